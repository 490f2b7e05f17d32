//! Vectors for the embeddings endpoint: seeded numbers, as floats or as base64.
//!
//! Pure. A vector is a function of the request and its position, not of meaning.

use serde::Serialize;

use super::ask::EmbeddingAsk;
use super::count::nth;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[derive(Serialize)]
struct Answer<'a> {
    object: &'static str,
    data: Vec<Item>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Item {
    object: &'static str,
    index: u64,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// The whole answer; `prompt` is what usage reports.
pub(crate) fn whole(ask: &EmbeddingAsk, model: &str, prompt: u64) -> Vec<u8> {
    let data = (0..ask.count)
        .map(|index| Item {
            object: "embedding",
            index,
            embedding: vector(ask, index),
        })
        .collect();
    let usage = Usage {
        prompt_tokens: prompt,
        total_tokens: prompt,
    };
    // strings and numbers alone: this cannot fail
    serde_json::to_vec(&Answer {
        object: "list",
        data,
        model,
        usage,
    })
    .unwrap_or_default()
}

fn vector(ask: &EmbeddingAsk, index: u64) -> Vector {
    let seed = nth(ask.seed, index);
    let floats = (0..ask.dimensions).map(|at| {
        // sixteen bits to -1..1, exact in an f32
        let bits = u16::try_from(nth(seed, at) >> 48).unwrap_or(0);
        f32::from(bits) / 32768.0 - 1.0
    });
    if ask.base64 {
        let bytes: Vec<u8> = floats.flat_map(f32::to_le_bytes).collect();
        Vector::Base64(base64(&bytes))
    } else {
        Vector::Floats(floats.collect())
    }
}

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = if at > group.len() {
                b'='
            } else {
                ALPHABET[(word >> (18 - 6 * at) & 63) as usize]
            };
            text.push(char::from(letter));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_the_standard_one() {
        for (bytes, want) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), want);
        }
    }
}
