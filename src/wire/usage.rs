//! stub
use crate::{catalog::Adapter, usage::Usage};
#[derive(Debug, Default)]
pub struct Reading {
    pub usage: Usage,
    pub flags: Flags,
}
#[derive(Debug, Default)]
pub struct Flags(u8);
impl Flags {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }
}
#[must_use]
pub fn read(_: Adapter, raw: &str) -> Reading {
    #[derive(serde::Deserialize)]
    struct W {
        prompt_tokens: u64,
        completion_tokens: u64,
    }
    let w: Option<W> = serde_json::from_str(raw).ok();
    Reading {
        usage: Usage {
            input: w.as_ref().map_or(0, |w| w.prompt_tokens),
            output: w.as_ref().map_or(0, |w| w.completion_tokens),
            ..Usage::default()
        },
        flags: Flags::default(),
    }
}
