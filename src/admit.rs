//! Admit: what may be taken on, and what it holds while it lasts.
//!
//! `room` is memory for request bodies. `limits` are requests a minute, tokens a minute and
//! requests at once, of the whole gateway, a key, a route, a model or a provider: taken before
//! work begins, corrected when it ends, given back where another limit refuses. `purse` is the money
//! of a key or of a budget that several share (`budgets`): held before each call, corrected after
//! it. `holders` keeps what each key is held to.

pub mod bucket;
pub mod budgets;
pub mod gate;
pub mod holders;
pub mod limits;
pub mod purse;
pub mod rate;
pub mod room;
pub mod table;
pub mod window;
