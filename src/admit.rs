//! Admit: what may be taken on, and what it holds while it lasts.
//!
//! `room` is memory for request bodies. `limits` are requests a minute, tokens a minute and
//! requests at once, of the whole gateway, a key, a route, a model or a provider: taken before
//! work begins, corrected when it ends, given back where another limit refuses.

pub mod bucket;
pub mod gate;
pub mod limits;
pub mod rate;
pub mod room;
pub mod table;
