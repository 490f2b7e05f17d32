//! Shapes on the wire: JSON objects and forms as slices of the sender's own bytes, server-sent
//! events, and the few members of each dialect that are read. No policy and no I/O.

pub mod audio;
pub mod body;
pub mod form;
pub mod json;
pub mod openai;
pub(crate) mod scan;
pub mod sse;
pub mod usage;
