//! How long a recording is, as far as its first bytes tell.
//!
//! A WAV file says it exactly; of others there is a guess from their size, which ranks backends and
//! holds money, and is no upper bound. What a backend reports always counts before it.

/// Bytes a millisecond of a compressed recording, at 128 kbit/s: more than speech usually has, so
/// the guess is rather too short for music and too long for speech.
const COMPRESSED: u64 = 16;

/// Milliseconds that a recording may have, by its size.
#[must_use]
pub fn guess(file: &[u8]) -> u64 {
    file.len() as u64 / COMPRESSED
}

/// Milliseconds of a WAV file, from the chunks `fmt ` and `data`; `None`: it is none.
#[must_use]
pub fn wav(file: &[u8]) -> Option<u64> {
    let mut rest = file
        .strip_prefix(b"RIFF")?
        .get(4..)?
        .strip_prefix(b"WAVE")?;
    let mut bytes_a_second = None;
    loop {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (length, body) = after.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        if name == b"data" {
            // a file that was written as a stream does not know its length
            let there = body.len() as u64;
            let length = there.min(u64::from(length));
            return length.checked_mul(1_000)?.checked_div(bytes_a_second?);
        }
        if name == b"fmt " {
            let rate = body.get(8..)?.first_chunk::<4>()?;
            bytes_a_second = Some(u64::from(u32::from_le_bytes(*rate)));
        }
        let padded = usize::try_from(length).ok()?.checked_next_multiple_of(2)?;
        rest = body.get(padded..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(file: &[u8]) -> u64 {
        wav(file).unwrap_or(guess(file))
    }

    fn recording(seconds: u32, said: Option<u32>) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVEJUNK\x01\0\0\0x\0fmt \x10\0\0\0\x01\0\x01\0".to_vec();
        file.extend(8_000_u32.to_le_bytes());
        file.extend(16_000_u32.to_le_bytes());
        file.extend(b"\x02\0\x10\0data");
        let length = seconds * 16_000;
        file.extend(said.unwrap_or(length).to_le_bytes());
        file.resize(file.len() + length as usize, 0);
        file
    }

    #[test]
    fn a_wav_file_says_how_long_it_is() {
        assert_eq!(milliseconds(&recording(3, None)), 3_000);
        assert_eq!(milliseconds(&recording(2, Some(u32::MAX))), 2_000);
    }

    #[test]
    fn the_length_of_anything_else_is_guessed_from_its_size() {
        assert_eq!(milliseconds(&[0; 16_000]), 1_000);
        assert_eq!(milliseconds(b"RIFF\0\0\0\0WAVEfmt "), 1);
        let mut no_rate = recording(1, None);
        no_rate[38..42].fill(0);
        assert_eq!(milliseconds(&no_rate), no_rate.len() as u64 / COMPRESSED);
    }
}
