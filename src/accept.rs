//! Accept: the door. Listeners, connections, paths, bodies, and errors as HTTP.
//!
//! Nothing outside this folder knows axum. `server` owns the connections, `router` the paths of
//! clients, `admin` those of the operator, `respond` the shape of answers.

mod admin;
mod body;
mod key;
mod models;
mod patient;
mod respond;
pub mod router;
pub mod server;

pub use admin::router as admin_router;
