//! Log probabilities of simulated tokens: fixed numbers in OpenAI's two shapes.

use serde::Serialize;

use crate::simulate::answer::Answer;
use crate::simulate::ask::Endpoint;
use crate::simulate::text::piece_end;

/// What stands under `logprobs` of a choice.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Logprobs {
    Chat {
        content: Vec<Token>,
        refusal: Option<String>,
    },
    Text {
        tokens: Vec<String>,
        token_logprobs: Vec<f32>,
        text_offset: Vec<usize>,
    },
}

#[derive(Serialize)]
pub(super) struct Token {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
    top_logprobs: Vec<Alternative>,
}

#[derive(Serialize)]
struct Alternative {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

/// The log probabilities of a text, where the request asked for them.
pub(super) fn of(answer: &Answer, text: &str) -> Option<Logprobs> {
    let alternatives = answer.logprobs?;
    if answer.endpoint == Endpoint::Completions {
        let (text_offset, tokens): (Vec<usize>, Vec<String>) = pieces(text).unzip();
        let token_logprobs = vec![-0.25; tokens.len()];
        return Some(Logprobs::Text {
            tokens,
            token_logprobs,
            text_offset,
        });
    }
    let content = pieces(text)
        .map(|(_, token)| Token {
            logprob: -0.25,
            bytes: token.as_bytes().to_vec(),
            top_logprobs: (0..alternatives)
                .map(|rank| alternative(&token, rank))
                .collect(),
            token,
        })
        .collect();
    Some(Logprobs::Chat {
        content,
        refusal: None,
    })
}

/// The most likely alternative is the token itself.
fn alternative(token: &str, rank: u64) -> Alternative {
    let token = if rank == 0 {
        token.to_owned()
    } else {
        format!("{token}{rank}")
    };
    let rank = u16::try_from(rank).unwrap_or(u16::MAX);
    Alternative {
        logprob: -0.25 - f32::from(rank),
        bytes: token.as_bytes().to_vec(),
        token,
    }
}

fn pieces(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from;
        from = piece_end(text, start, 1);
        let piece = text.get(start..from).filter(|piece| !piece.is_empty())?;
        Some((start, piece.to_owned()))
    })
}
