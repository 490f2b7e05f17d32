//! tollgate: an OpenAI-compatible gateway that sends each request to the cheapest backend that
//! can handle it.

pub mod money;
pub mod usage;

pub mod catalog;
pub mod config;

pub mod simulate;
