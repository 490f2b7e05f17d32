//! What the tests are made of: a gateway in this process, a plain HTTP client, scripted upstreams,
//! readers of metrics and of event streams.

pub(crate) mod common;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod metrics;
pub(crate) mod program;
pub(crate) mod scripted;
pub(crate) mod setup;
pub(crate) mod sse;
pub(crate) mod tls;

pub(crate) use self::{
    common::{ANY_PORT, SOON, eventually, pico, simulator, simulator_with},
    gateway::Gateway,
    http::{Call, Reply},
    metrics::Metrics,
    scripted::{Act, Scripted},
    setup::Setup,
    sse::Stream,
};
