//! The chunks of one stream, which are alike: from one to the next, mostly one text differs. Pure.
//!
//! What stands before and after that text is compared and not read again. Whatever is not alike is
//! read as any chunk is, and what is said of it is the same either way.

use super::{
    Choices, Chunk, Part, parse,
    scan::{self, Text},
};
use crate::wire::scan::is_text;

/// Chunks longer than this are not kept for comparison.
const MAX_KEPT: usize = 4 * 1024;

/// Reads chunk after chunk.
#[derive(Debug, Default)]
pub struct Series {
    /// The last chunk that was read; empty: there is none to compare with.
    last: Vec<u8>,
    /// The text of it that may differ, without its quotes.
    text: Text,
    /// What it said of its choices, but for that text.
    choices: Choices,
    usage: Option<Place>,
    service_tier: Option<Place>,
    model: Option<Place>,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Before the text: so many bytes after the beginning, so many of them.
    Before(usize, usize),
    /// After it: so many bytes before the end, so many of them.
    After(usize, usize),
}

impl Series {
    /// Reads the next chunk; `None` if the text is not a JSON object.
    #[must_use]
    pub fn read<'a>(&mut self, json: &'a [u8]) -> Option<Chunk<'a>> {
        if let Some(chunk) = self.alike(json) {
            return Some(chunk);
        }
        self.last.clear();
        let usual = std::str::from_utf8(json).ok().and_then(scan::read);
        let Some((chunk, text)) = usual else {
            return parse(json);
        };
        self.keep(json, &chunk, text);
        Some(chunk)
    }

    /// What the last one said, with another text.
    fn alike<'a>(&self, json: &'a [u8]) -> Option<Chunk<'a>> {
        let before = self
            .last
            .get(..self.text.place.start)
            .filter(|b| !b.is_empty())?;
        let after = self.last.get(self.text.place.end..)?;
        let text = json.strip_prefix(before)?.strip_suffix(after)?;
        if !is_text(text) {
            return None;
        }
        let said = |place: &Option<Place>| match place {
            None => Some(None),
            Some(place) => place.of(json).map(Some),
        };
        let mut choices = self.choices;
        choices.add(self.text.part, text.len() as u64);
        Some(Chunk {
            error: None,
            usage: said(&self.usage)?,
            service_tier: said(&self.service_tier)?,
            model: said(&self.model)?,
            choices,
        })
    }

    /// Keeps a chunk for the next one, if it has a text that may differ, and nothing is wrong.
    fn keep(&mut self, json: &[u8], chunk: &Chunk<'_>, text: Text) {
        let own = text.place.len() as u64;
        // of a refusal nobody knows any more whether it was all that refused
        let unusual = chunk.error.is_some() || text.part == Part::Refusal;
        if text.place.start == 0 || json.len() > MAX_KEPT || unusual {
            return;
        }
        let place = |value: &str| {
            let start = (value.as_ptr() as usize).checked_sub(json.as_ptr() as usize)?;
            Some(if start < text.place.start {
                Place::Before(start, value.len())
            } else {
                Place::After(json.len().checked_sub(start)?, value.len())
            })
        };
        self.usage = chunk.usage.and_then(place);
        self.service_tier = chunk.service_tier.and_then(place);
        self.model = chunk.model.and_then(place);
        self.choices = chunk.choices;
        let without = |bytes: &mut u64| *bytes = bytes.saturating_sub(own);
        without(&mut self.choices.output_bytes);
        if text.part == Part::Thought {
            without(&mut self.choices.thought_bytes);
        }
        self.last.extend_from_slice(json);
        self.text = text;
    }
}

impl Place {
    fn of(self, json: &[u8]) -> Option<&str> {
        let (start, length) = match self {
            Self::Before(start, length) => (start, length),
            Self::After(distance, length) => (json.len().checked_sub(distance)?, length),
        };
        std::str::from_utf8(json.get(start..start + length)?).ok()
    }
}
