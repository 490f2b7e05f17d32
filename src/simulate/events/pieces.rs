//! Cuts one choice into what its chunks carry.

use crate::simulate::answer::Choice;
use crate::simulate::count::tokens;
use crate::simulate::directive::Script;
use crate::simulate::render::Delta;
use crate::simulate::text::piece_end;

/// What one chunk carries, and its tokens; `completion` includes `reasoning`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) delta: Delta,
    pub(super) completion: u64,
    pub(super) reasoning: u64,
}

impl Piece {
    pub(super) fn new(delta: Delta, completion: u64, reasoning: u64) -> Self {
        Self {
            delta,
            completion,
            reasoning,
        }
    }
}

/// All pieces between the role and the finish: reasoning, content, then calls.
pub(super) fn of(choice: &Choice, script: &Script) -> Vec<Piece> {
    let chunk = script.chunk.unwrap_or(1);
    let mut pieces = Vec::new();
    for (from, to) in cut(&choice.reasoning, |_| chunk) {
        let count = weigh(&choice.reasoning, from, to);
        pieces.push(Piece::new(Delta::Reasoning(from, to), count, count));
    }
    if let Some(content) = &choice.content {
        let whole = tokens(content);
        // the i-th of N pieces ends at token i * whole / N: sizes differ by one at most
        let size = |index: u64| match script.chunks {
            None => chunk,
            Some(chunks) => {
                let chunks = chunks.min(whole).max(1);
                (index + 1) * whole / chunks - index * whole / chunks
            }
        };
        for (from, to) in cut(content, size) {
            pieces.push(Piece::new(
                Delta::Content(from, to),
                weigh(content, from, to),
                0,
            ));
        }
    }
    for (index, call) in choice.calls.iter().enumerate() {
        pieces.push(Piece::new(Delta::CallHead(index), tokens(&call.name), 0));
        for (from, to) in cut(&call.arguments, |_| chunk) {
            let count = weigh(&call.arguments, from, to);
            pieces.push(Piece::new(Delta::CallArguments(index, from, to), count, 0));
        }
    }
    pieces
}

fn weigh(text: &str, from: usize, to: usize) -> u64 {
    text.get(from..to).map_or(0, tokens)
}

/// Byte ranges of a text in pieces of `size(index)` tokens.
fn cut(text: &str, size: impl Fn(u64) -> u64) -> impl Iterator<Item = (usize, usize)> {
    let mut from = 0;
    let mut index = 0;
    std::iter::from_fn(move || {
        let start = from;
        from = piece_end(text, start, size(index).max(1));
        index += 1;
        (from > start).then_some((start, from))
    })
}
