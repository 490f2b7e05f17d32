//! tollgate: an OpenAI-compatible gateway that sends each request to the cheapest backend that
//! can handle it.

// Floor 0: words.
pub mod caps;
pub mod money;
pub mod usage;

// Floor 1: shapes and facts. No policy; I/O only where the configuration is read.
pub mod catalog;
pub mod config;
pub mod learn;
pub mod tokens;
pub mod wire;

// Floor 2: the stages, in the order in which a request passes them.
pub mod admit;
pub mod authenticate;
pub mod call;
pub mod route;
pub mod settle;
pub mod understand;

// Floor 3: the hallway.
pub mod error;
pub mod explaining;
pub mod gateway;
pub mod offer;
pub mod state;

// Floor 4: the door.
pub mod accept;
pub mod cli;
pub mod serve;
pub mod simulate;
pub mod telemetry;
