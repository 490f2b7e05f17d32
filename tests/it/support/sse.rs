//! Reads event streams, by code of its own: a mistake in the gateway's reader must not hide here.

use std::time::Instant;

use http::HeaderMap;
use serde_json::Value;

use super::http::{ErrorObject, Line, Open};

/// A stream that was read to its end.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Everything that came.
    pub(crate) text: String,
    /// The data of each event, `[DONE]` too, and when it came.
    pub(crate) events: Vec<(String, Instant)>,
    pub(crate) comments: Vec<String>,
    /// Did the transfer end properly?
    pub(crate) ended: bool,
    pub(crate) line: Line,
}

/// Takes bytes and gives events.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    held: Vec<u8>,
    comments: Vec<String>,
}

impl Reader {
    /// The data of the events that these bytes complete. Lines end in LF, CRLF or CR; tests that
    /// use a bare CR read the whole text at once.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.held.extend_from_slice(bytes);
        // a character may be cut in two; what can't be one is replaced, as the standard says
        let cut = match std::str::from_utf8(&self.held) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.held.len(),
        };
        let tail = self.held.split_off(cut);
        let whole = String::from_utf8_lossy(&self.held);
        let unix = whole.replace("\r\n", "\n").replace('\r', "\n");
        let mut events = Vec::new();
        let mut rest = unix.as_str();
        while let Some((event, after)) = rest.split_once("\n\n") {
            let lines: Vec<&str> = event
                .lines()
                .map(|line| line.trim_start_matches('\u{feff}'))
                .collect();
            let comments = lines.iter().filter_map(|line| line.strip_prefix(':'));
            self.comments
                .extend(comments.map(|text| text.trim().to_owned()));
            let data: Vec<&str> = lines
                .iter()
                .filter_map(|line| line.strip_prefix("data:"))
                .map(|data| data.strip_prefix(' ').unwrap_or(data))
                .collect();
            if !data.is_empty() {
                events.push(data.join("\n"));
            }
            rest = after;
        }
        self.held = [rest.as_bytes(), &tail].concat();
        events
    }
}

impl Stream {
    /// Reads to the end, proper or not.
    pub(crate) async fn read(mut open: Open) -> Self {
        let mut reader = Reader::default();
        let (mut bytes, mut events) = (Vec::new(), Vec::new());
        let mut ended = true;
        while let Some(piece) = open.frame().await {
            let Ok(piece) = piece else {
                ended = false;
                break;
            };
            bytes.extend_from_slice(&piece);
            let now = Instant::now();
            events.extend(reader.push(&piece).into_iter().map(|event| (event, now)));
        }
        Self {
            status: open.status,
            headers: open.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
            events,
            comments: reader.comments,
            ended,
            line: open.line,
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The data of every event but `[DONE]`.
    pub(crate) fn data(&self) -> Vec<&str> {
        let data = self.events.iter().map(|(data, _)| data.as_str());
        data.filter(|data| *data != "[DONE]").collect()
    }

    pub(crate) fn chunks(&self) -> Vec<Value> {
        let parse = |data: &str| {
            serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))
        };
        self.data().into_iter().map(parse).collect()
    }

    /// Is `[DONE]` the last event, and the only one of its kind?
    pub(crate) fn is_done(&self) -> bool {
        let done = |(data, _): &(String, Instant)| data == "[DONE]";
        self.events.iter().filter(|event| done(event)).count() == 1
            && self.events.last().is_some_and(done)
    }

    /// The text of the first choice.
    pub(crate) fn content(&self) -> String {
        let chunks = self.chunks();
        let parts = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
        parts.collect()
    }

    /// The usage objects that came.
    pub(crate) fn usages(&self) -> Vec<Value> {
        let chunks = self.chunks().into_iter();
        let usages = chunks.filter_map(|chunk| chunk.get("usage").cloned());
        usages.filter(|usage| !usage.is_null()).collect()
    }

    /// The error that ended it: the last event, the only error, and no `[DONE]` after it.
    pub(crate) fn error(&self) -> ErrorObject {
        let chunks = self.chunks();
        let errors = chunks.iter().filter(|chunk| chunk.get("error").is_some());
        assert_eq!(errors.count(), 1, "{}", self.text);
        let mut datas = self.events.iter().map(|(data, _)| data);
        assert!(
            datas.all(|data| data != "[DONE]"),
            "an error and an end: {}",
            self.text
        );
        ErrorObject::of(chunks.last().unwrap())
    }
}
