//! The length of a prompt as a family of tokenizers counts it.
//!
//! Counted only where a backend's context is near: the whole prompt is read once more for it.

use std::sync::OnceLock;

use bytestring::ByteString;

use super::Endpoint;
use crate::{
    tokens::{Counter, Family},
    wire::{body::Body, openai::chat},
};

/// The texts of a prompt, and how long they are.
#[derive(Debug, Clone, Default)]
pub struct Recount {
    /// `messages`, as JSON text; `None`: it is no chat.
    messages: Option<ByteString>,
    /// `tools` and a schema of the answer.
    others: Vec<ByteString>,
    /// In the order of [`Family::ALL`].
    tokens: [OnceLock<u64>; Family::ALL.len()],
}

impl Recount {
    pub(super) fn of(endpoint: Endpoint, body: &Body) -> Self {
        if endpoint != Endpoint::ChatCompletions {
            return Self::default();
        }
        let share = |name| body.get(name).and_then(|raw| body.share(raw));
        let format = share("response_format").filter(|raw| raw.contains("json_schema"));
        let others = [share("tools"), share("functions"), format];
        Self {
            messages: share("messages"),
            others: others.into_iter().flatten().collect(),
            ..Self::default()
        }
    }

    /// What was counted before.
    #[must_use]
    pub fn counted(counts: &[(Family, u64)]) -> Self {
        let all = Self::default();
        for (family, tokens) in counts {
            if let Some(cell) = all.tokens.get(*family as usize) {
                // each family stands there once
                let _ = cell.set(*tokens);
            }
        }
        all
    }

    /// All that has been counted.
    #[must_use]
    pub fn counts(&self) -> Vec<(Family, u64)> {
        let known = Family::ALL.into_iter().zip(&self.tokens);
        known
            .filter_map(|(family, cell)| Some((family, *cell.get()?)))
            .collect()
    }

    /// Tokens of the prompt as this family counts; `None`: its texts are not known.
    pub fn tokens(&self, family: Family) -> Option<u64> {
        let cell = self.tokens.get(family as usize)?;
        if let Some(known) = cell.get() {
            return Some(*known);
        }
        let messages = self.messages.as_deref()?;
        let mut count = chat::messages_as(Some(family), messages).ok()?.count;
        self.others.iter().for_each(|raw| count.add_json(raw));
        Some(*cell.get_or_init(|| Counter::tokens(&count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Object;

    fn recount(body: &str) -> Recount {
        let object = Object::parse(body.to_owned().into()).unwrap();
        Recount::of(Endpoint::ChatCompletions, &Body::Json(object))
    }

    #[test]
    fn all_texts_of_a_chat_count_and_each_family_is_counted_once() {
        let text = "\u{4eba}\u{5de5}".repeat(500);
        let chat = recount(&format!(
            r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#
        ));
        assert_eq!(chat.counts(), []);
        let (qwen, old) = (chat.tokens(Family::Qwen), chat.tokens(Family::Cl100k));
        assert!(qwen.unwrap() > 500 && old.unwrap() > 2 * qwen.unwrap() - 100);
        assert_eq!(
            chat.counts(),
            [
                (Family::Cl100k, old.unwrap()),
                (Family::Qwen, qwen.unwrap())
            ]
        );
        let again = Recount::counted(&chat.counts());
        assert_eq!(
            (again.tokens(Family::Qwen), again.tokens(Family::Gemma)),
            (qwen, None)
        );
        let tools = recount(&format!(
            r#"{{"messages":[],"tools":["{text}"],"response_format":{{"type":"json_schema","x":"{text}"}}}}"#
        ));
        assert!(tools.tokens(Family::Qwen) > Some(2 * qwen.unwrap() - 100));
    }

    #[test]
    fn what_is_no_chat_is_not_counted() {
        let body = Body::Json(Object::parse(r#"{"prompt":"x"}"#.into()).unwrap());
        let none = Recount::of(Endpoint::Completions, &body);
        assert_eq!(none.tokens(Family::Qwen), None);
    }
}
