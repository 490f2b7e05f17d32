//! Shapes on the wire: JSON objects as slices of the sender's own bytes, server-sent events, and
//! the few members of each dialect that are read. No policy and no I/O.

pub mod json;
pub mod openai;
pub mod sse;
pub mod usage;
