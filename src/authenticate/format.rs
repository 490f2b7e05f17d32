//! How secrets look that this program makes: `sk-tg-`, 32 random characters, 6 that follow from
//! them. What looks otherwise is no stored key, and is refused without looking for it.

use sha2::{Digest, Sha256};

/// How they begin.
pub const PREFIX: &str = "sk-tg-";
/// Characters that nobody can guess: 190 bits.
pub const RANDOM: usize = 32;
/// Characters that follow from the others: a mistyped secret has others.
const CHECK: usize = 6;
/// What they are made of.
pub const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A whole secret from its random part.
#[must_use]
pub fn whole(random: &str) -> String {
    let start = format!("{PREFIX}{random}");
    let check = check(start.as_bytes());
    start + &check
}

/// Can it be a secret that this program made?
#[must_use]
pub fn is_whole(secret: &[u8]) -> bool {
    let Some((start, end)) = secret.split_at_checked(PREFIX.len() + RANDOM) else {
        return false;
    };
    start.starts_with(PREFIX.as_bytes()) && end == check(start).as_bytes()
}

fn check(start: &[u8]) -> String {
    let digest = Sha256::digest(start);
    let characters = digest.iter().take(CHECK).map(|byte| {
        // uneven, which a check may be
        let at = usize::from(*byte) % ALPHABET.len();
        ALPHABET.get(at).map_or('0', |byte| char::from(*byte))
    });
    characters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_secret_is_told_from_one_that_is_mistyped_cut_or_of_others() {
        let secret = whole("0123456789abcdefghijABCDEFGHIJxy");
        assert_eq!(secret.len(), 44);
        assert!(is_whole(secret.as_bytes()));
        for at in 0..secret.len() {
            let mut other = secret.clone().into_bytes();
            other[at] ^= 1;
            assert!(!is_whole(&other), "{at}");
            assert!(!is_whole(&secret.as_bytes()[..at]), "{at}");
        }
        for other in [
            "",
            "sk-tg-",
            "sk-proj-0123456789abcdefghijABCDEFGHIJxyabcdef",
        ] {
            assert!(!is_whole(other.as_bytes()), "{other}");
        }
    }
}
