//! Makes secrets and ids of keys. Who is given a secret has the only copy of it.

use secrecy::SecretString;
use sha2::{Digest, Sha256};

use crate::authenticate::format;

/// Random characters of an id.
const ID: usize = 16;

/// A secret that nobody can guess.
///
/// # Errors
/// If the system has no randomness.
pub fn secret() -> Result<SecretString, getrandom::Error> {
    let random = random(format::RANDOM)?;
    Ok(SecretString::from(format::whole(&random)))
}

/// An id that no other key has.
///
/// # Errors
/// If the system has no randomness.
pub fn id() -> Result<String, getrandom::Error> {
    Ok(format!("key_{}", random(ID)?))
}

/// What is kept of a secret: its SHA-256.
#[must_use]
pub fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// So many characters, each as likely as any other.
fn random(length: usize) -> Result<String, getrandom::Error> {
    let letters = format::ALPHABET.len();
    // beyond the last whole alphabet some would be likelier
    let fair = 256 - 256 % letters;
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0_u8; 64];
        getrandom::fill(&mut bytes)?;
        let fair = bytes.iter().map(|b| usize::from(*b)).filter(|b| *b < fair);
        let drawn = fair.filter_map(|byte| format::ALPHABET.get(byte % letters));
        let missing = length - text.len();
        text.extend(drawn.take(missing).map(|byte| char::from(*byte)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn secrets_and_ids_have_their_form_and_differ() {
        let (one, two) = (secret().unwrap(), secret().unwrap());
        assert!(format::is_whole(one.expose_secret().as_bytes()));
        assert_ne!(one.expose_secret(), two.expose_secret());
        let ids = (id().unwrap(), id().unwrap());
        assert!(ids.0.starts_with("key_") && ids.0.len() == 20 && ids.0 != ids.1);
    }
}
