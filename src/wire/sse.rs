//! Server-sent events, taken apart without being rewritten.
//!
//! The splitter finds where events end and where their data stands, however the bytes were cut
//! into frames and whichever of LF, CRLF and CR ends a line; the bytes themselves are handed on
//! as they came. Rules: WHATWG HTML, section 9.2.6 "Interpreting an event stream".

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// The end marker of OpenAI's streams.
pub const DONE: &[u8] = b"[DONE]";
/// A whole end event.
pub const DONE_EVENT: &[u8] = b"data: [DONE]\n\n";
/// The byte order mark that may open a stream.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Cuts a stream of frames into whole events.
#[derive(Debug)]
pub struct Splitter {
    /// The beginning of an event whose end has not come yet.
    held: BytesMut,
    scan: Scan,
    /// Bytes that one event may have.
    limit: usize,
}

/// How far the held bytes have been looked at.
#[derive(Debug, Default, Clone, Copy)]
struct Scan {
    /// Where the current line begins.
    line: usize,
    /// Where to look on.
    at: usize,
    /// The last byte seen was a CR that ended a line: an LF right after it belongs to it.
    after_cr: bool,
}

/// Whole events that lie side by side in one piece of memory.
#[derive(Debug, Default)]
pub struct Block {
    /// The bytes of all the events.
    pub bytes: Bytes,
    /// The events, in order, covering `bytes` without a gap.
    pub events: Vec<Event>,
}

/// One event of a [`Block`].
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// All its bytes, the blank line included.
    pub raw: Range<usize>,
    /// Its `data` field.
    pub data: Data,
}

/// The `data` of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing but comments, other fields or blank lines.
    None,
    /// One line: a range of the block.
    Line(Range<usize>),
    /// Several lines, joined by LF as the standard says.
    Joined(Bytes),
}

/// An event longer than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {limit} bytes")]
pub struct TooLong {
    /// The limit in bytes.
    pub limit: usize,
}

impl Splitter {
    /// A splitter that refuses events of more than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            held: BytesMut::new(),
            scan: Scan::default(),
            limit,
        }
    }

    /// Takes the next frame and gives the events that it completed.
    ///
    /// # Errors
    /// If an event is longer than the limit; the stream can't be read on after that.
    pub fn push(&mut self, frame: &Bytes) -> Result<Block, TooLong> {
        if let Some(data) = self.only_event(frame) {
            let raw = 0..frame.len();
            return Ok(Block {
                bytes: frame.clone(),
                events: vec![Event { raw, data }],
            });
        }
        let mut events = Vec::new();
        let bytes = if self.held.is_empty() {
            let done = self.scan.events(frame, &mut events);
            self.held
                .extend_from_slice(frame.get(done..).unwrap_or_default());
            frame.slice(..done)
        } else {
            self.held.extend_from_slice(frame);
            let done = self.scan.events(&self.held, &mut events);
            self.held.split_to(done).freeze()
        };
        let longest = events.iter().map(|event| event.raw.len()).max();
        if longest.unwrap_or(0).max(self.held.len()) > self.limit {
            return Err(TooLong { limit: self.limit });
        }
        Ok(Block { bytes, events })
    }

    /// The data of a frame that is one event of one line, as nearly all are.
    fn only_event(&self, frame: &[u8]) -> Option<Data> {
        let fresh = self.held.is_empty() && !self.scan.after_cr && frame.len() <= self.limit;
        let rest = frame.strip_prefix(b"data: ").filter(|_| fresh)?;
        let line = rest.strip_suffix(b"\n\n")?;
        let start = frame.len() - rest.len();
        memchr::memchr2(b'\n', b'\r', line)
            .is_none()
            .then_some(Data::Line(start..start + line.len()))
    }

    /// What has come of an event that was never completed, without the second half of a CRLF.
    #[must_use]
    pub fn unfinished(&self) -> &[u8] {
        match self.held.as_ref() {
            [b'\n', rest @ ..] | rest => rest,
        }
    }
}

impl Scan {
    /// Finds the events in `bytes`, which begin where the last call's remainder began.
    /// Returns where the unfinished rest begins.
    fn events(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> usize {
        let mut done = 0;
        loop {
            if self.after_cr && self.at < bytes.len() {
                if bytes.get(self.at) == Some(&b'\n') {
                    self.at += 1;
                    self.line += 1;
                }
                self.after_cr = false;
            }
            let rest = bytes.get(self.at..).unwrap_or_default();
            let Some(found) = memchr::memchr2(b'\n', b'\r', rest).map(|i| self.at + i) else {
                self.at = bytes.len();
                break;
            };
            let blank = found == self.line;
            let mut end = found + 1;
            if bytes.get(found) == Some(&b'\r') {
                match bytes.get(end) {
                    Some(b'\n') => end += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            (self.at, self.line) = (end, end);
            if blank {
                let raw = done..end;
                let data = data(bytes, raw.clone());
                events.push(Event { raw, data });
                done = end;
            }
        }
        self.at -= done;
        self.line -= done;
        done
    }
}

impl Event {
    /// The event's data in the block it came with.
    #[must_use]
    pub fn data<'a>(&'a self, block: &'a Bytes) -> Option<&'a [u8]> {
        match &self.data {
            Data::None => None,
            Data::Line(range) => block.get(range.clone()),
            Data::Joined(bytes) => Some(bytes),
        }
    }
}

/// Finds the data field of one event.
fn data(block: &[u8], raw: Range<usize>) -> Data {
    let mut values = lines(block, raw).filter_map(|line| data_value(block, line));
    let Some(first) = values.next() else {
        return Data::None;
    };
    let Some(second) = values.next() else {
        return Data::Line(first);
    };
    let all: Vec<&[u8]> = [first, second]
        .into_iter()
        .chain(values)
        .filter_map(|range| block.get(range))
        .collect();
    Data::Joined(all.join(&b'\n').into())
}

/// The value of a `data` line: one space after the colon does not belong to it.
fn data_value(block: &[u8], line: Range<usize>) -> Option<Range<usize>> {
    let text = block.get(line.clone())?;
    let skipped = if text.starts_with(BOM) { BOM.len() } else { 0 };
    match text.get(skipped..)?.strip_prefix(b"data")? {
        [] => Some(line.end..line.end),
        [b':', b' ', ..] => Some(line.start + skipped + 6..line.end),
        [b':', ..] => Some(line.start + skipped + 5..line.end),
        _ => None,
    }
}

/// The lines of an event, without their ends.
fn lines(block: &[u8], raw: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut start = raw.start;
    std::iter::from_fn(move || {
        let rest = block.get(start..raw.end).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = start..start + length;
        start = line.end + 1;
        Some(line)
    })
}

/// An event that holds one JSON text; where that has several lines, each needs its own field.
#[must_use]
pub fn event(json: &[u8]) -> Bytes {
    event_of(&[json])
}

/// The same of a text in parts.
#[must_use]
pub fn event_of(parts: &[&[u8]]) -> Bytes {
    const FIELD: &[u8] = b"data: ";
    const END: &[u8] = b"\n\n";
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut event = Vec::with_capacity(FIELD.len() + length + END.len());
    event.extend_from_slice(FIELD);
    for part in parts {
        let mut lines = part.split(|byte| *byte == b'\n');
        event.extend_from_slice(lines.next().unwrap_or_default());
        for line in lines {
            event.push(b'\n');
            event.extend_from_slice(FIELD);
            event.extend_from_slice(line);
        }
    }
    event.extend_from_slice(END);
    Bytes::from(event)
}

/// A comment; clients ignore it, but it keeps connections open.
#[must_use]
pub fn comment(text: &str) -> Bytes {
    Bytes::from(format!(": {text}\n\n"))
}

#[cfg(test)]
mod tests;
