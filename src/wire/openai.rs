//! OpenAI's dialect: only the members that the gateway acts on, each read from its raw text.

pub mod answer;
pub mod chat;
pub mod chunk;
pub mod error;
pub mod input;
pub mod typed;
