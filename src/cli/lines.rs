//! Lines of a text of any length, each of them bounded.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use bytes::Bytes;

/// Bytes of a line: the streams of hour-long answers with usage in every event are shorter.
pub(super) const MOST: usize = 64 << 20;

/// Hands out one line after another.
pub(super) struct Lines {
    text: Box<dyn BufRead>,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Line(Bytes),
    /// White space alone.
    Blank,
    /// It was passed over.
    TooLong,
}

impl Lines {
    /// Of a file; `-` is standard input.
    pub(super) fn open(file: &Path) -> io::Result<Self> {
        if file == Path::new("-") {
            return Ok(Self::of(Box::new(io::stdin().lock())));
        }
        Ok(Self::of(Box::new(BufReader::new(File::open(file)?))))
    }

    pub(super) fn of(text: Box<dyn BufRead>) -> Self {
        Self { text }
    }

    /// The next line without its end; `None`: there is none.
    pub(super) fn next(&mut self) -> io::Result<Option<Read>> {
        let mut line = Vec::new();
        let mut long = false;
        loop {
            let piece = self.text.fill_buf()?;
            if piece.is_empty() {
                let nothing = line.is_empty() && !long;
                return Ok((!nothing).then(|| read(line, long)));
            }
            let end = memchr::memchr(b'\n', piece);
            let taken = piece.get(..end.unwrap_or(piece.len())).unwrap_or(piece);
            long |= line.len() + taken.len() > MOST;
            if long {
                line = Vec::new();
            } else {
                line.extend_from_slice(taken);
            }
            let used = taken.len() + usize::from(end.is_some());
            self.text.consume(used);
            if end.is_some() {
                return Ok(Some(read(line, long)));
            }
        }
    }
}

fn read(line: Vec<u8>, long: bool) -> Read {
    if long {
        Read::TooLong
    } else if line.trim_ascii().is_empty() {
        Read::Blank
    } else {
        Read::Line(line.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use super::*;

    fn all(text: Vec<u8>, buffer: usize) -> Vec<Read> {
        let mut lines = Lines::of(Box::new(BufReader::with_capacity(
            buffer,
            Cursor::new(text),
        )));
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    #[test]
    fn lines_are_the_same_however_the_text_comes() {
        let line = |text: &'static str| Read::Line(Bytes::from_static(text.as_bytes()));
        let expected = [line("one"), Read::Blank, line("two\r"), line(" three")];
        for buffer in [1, 2, 3, 7, 100] {
            let text = b"one\n \ntwo\r\n three".to_vec();
            assert_eq!(all(text, buffer), expected, "{buffer}");
        }
        assert_eq!(all(Vec::new(), 10), []);
        assert_eq!(all(b"\n".to_vec(), 10), [Read::Blank]);
    }

    #[test]
    fn a_line_without_bound_is_passed_over_and_the_next_one_read() {
        let mut text = vec![b'x'; MOST + 1];
        text.extend_from_slice(b"\nnext\n");
        let next = Read::Line(Bytes::from_static(b"next"));
        assert_eq!(all(text, 1 << 16), [Read::TooLong, next]);
    }
}
