//! tollgate: an OpenAI-compatible gateway that sends each request to the cheapest backend that
//! can handle it.
//!
//! The path of a request is one function, [`gateway::serve_one`]. Each line of it is a stage:
//!
//! 1. [`authenticate`]: who is calling
//! 2. [`admit`]: may the request be taken on (for now: is there memory for its body)
//! 3. [`understand`]: what it asks for and what a backend must have
//! 4. [`route`]: which backends may and can serve it, in what order
//! 5. [`call`]: ask them in turn until one's answer can be delivered
//! 6. [`settle`]: what was used, what it costs, what is learned; once, on every way out
//!
//! The modules below stand on floors. A module imports only from lower floors, or from what stands
//! before it on its own, so they can be read from top to bottom; `tests/house.rs` holds that.
//! `ARCHITECTURE.md` at the top of the repository has the whole tour: the failure edges, four
//! walkthroughs, and where to add what.

// Floor 0: words.
pub mod caps;
pub mod certificates;
pub mod cores;
pub mod domain;
pub mod keywords;
pub mod lanes;
pub mod money;
pub mod usage;

// Floor 1: shapes and facts. No policy; I/O only where the configuration is read.
pub mod catalog;

pub mod quality;

pub mod tokens;

pub mod config;
pub mod learn;
pub mod wire;

pub mod verify;

// Floor 2: the stages, in the order in which a request passes them (rustfmt sorts neighbours).
pub mod authenticate;

pub mod admit;

pub mod understand;

pub mod route;

pub mod call;

pub mod settle;

pub mod store;

// Floor 3: the hallway.
pub mod error;

pub mod keyring;

pub mod learning;

pub mod state;

pub mod spending;

pub mod offer;

pub mod explaining;

pub mod gateway;

pub mod reload;

// Floor 4: the door.
pub mod telemetry;

pub mod simulate;

pub mod accept;

pub mod serve;

pub mod cli;
