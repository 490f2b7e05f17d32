//! Accept: the door. Listeners, connections, paths, bodies, and errors as HTTP.
//!
//! Nothing outside this folder knows axum. `server` owns the connections, `desk` is
//! what every request of a client meets first, `router` has the paths of clients, `admin` those of the operator, `respond` the shape of answers.

mod admin;
mod body;
mod budgets;
pub mod desk;
mod feedback;
mod key;
mod models;
mod patient;
mod respond;
pub mod router;
pub mod server;

pub use admin::router as admin_router;
