//! The gateway against simulated providers, in one process, over real HTTP.
//!
//! Each module covers one part of the public contract. A test is named after the fact that it
//! proves. Nothing here uses a fixed port, nothing waits for a guessed time: what has to happen is
//! polled for until a deadline, and timings are asserted as generous bounds.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: a panic is how they fail"
)]

mod admin;
mod affinity;
mod api_keys;
mod auth;
mod bad_days;
mod budgets;
mod chat;
mod console;
mod context;
mod disconnects;
mod drain;
mod endpoints;
mod errors;
mod failures;
mod hosted;
mod hostile;
mod keys;
mod large;
mod ledger;
mod limits;
mod max_cost;
mod metrics;
mod models;
mod narrow;
mod operate;
mod outcomes;
mod policy;
mod price;
mod program;
mod quality;
mod refresh;
mod schemas;
mod stream;
mod support;
mod timeouts;
mod transport;
