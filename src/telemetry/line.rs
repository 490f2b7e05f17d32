//! A line of the log as one JSON object: when, how grave, what, its fields, and where it is from.
//!
//! The same members as the subscriber's own JSON has, written without a serializer: a line is
//! written for every request, and the general way costs as much as choosing its backend.

use std::{
    cell::Cell,
    fmt::{self, Write as _},
};

use jiff::Timestamp;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Bytes that hold most lines.
const ROOM: usize = 1024;

/// Writes such lines.
#[derive(Debug)]
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // a text of its own: each piece of it would be a call through a table of the writer
        let mut line = String::with_capacity(ROOM);
        line.push_str("{\"timestamp\":\"");
        push_moment(&mut line, Timestamp::now());
        let metadata = event.metadata();
        line.push_str("\",\"level\":\"");
        line.push_str(metadata.level().as_str());
        line.push('"');
        event.record(&mut Fields(&mut line));
        line.push_str(",\"target\":\"");
        line.push_str(metadata.target());
        line.push_str("\"}\n");
        writer.write_str(&line)
    }
}

/// A second, and how it is written: `2026-11-25T00:00:00`.
type Second = (i64, [u8; 19]);

/// Writes a moment to the microsecond. Of lines in the same second only that differs.
fn push_moment(line: &mut String, at: Timestamp) {
    thread_local! {
        static LATEST: Cell<Second> = const { Cell::new((i64::MIN, [b'0'; 19])) };
    }
    let second = at.as_second();
    let mut latest = LATEST.get();
    if latest.0 != second {
        let text = at.to_string();
        let whole = text.as_bytes().first_chunk();
        latest = (second, whole.copied().unwrap_or(latest.1));
        LATEST.set(latest);
    }
    line.push_str(str::from_utf8(&latest.1).unwrap_or_default());
    // a one before the fraction keeps the zeros that it begins with
    let micros = 1_000_000 + at.subsec_microsecond().unsigned_abs();
    let mut digits = itoa::Buffer::new();
    line.push('.');
    line.push_str(digits.format(micros).get(1..).unwrap_or_default());
    line.push('Z');
}

/// Writes fields as members.
struct Fields<'a>(&'a mut String);

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        let name = field.name();
        // a raw identifier, where the name is a word of the language
        let name = name.strip_prefix("r#").unwrap_or(name);
        self.0.push_str(",\"");
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn number(&mut self, field: &Field, number: impl itoa::Integer) {
        self.name(field);
        self.0.push_str(itoa::Buffer::new().format(number));
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        self.0.push('"');
        // writing to a text can't fail
        let _ = write!(Escaped(self.0), "{value:?}");
        self.0.push('"');
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.0.push('"');
        push_escaped(self.0, value);
        self.0.push('"');
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        self.0.push_str(if value { "true" } else { "false" });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.name(field);
        if value.is_finite() {
            let _ = write!(self.0, "{value}");
        } else {
            self.0.push_str("null");
        }
    }
}

/// Writes into a JSON string.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_escaped(self.0, text);
        Ok(())
    }
}

/// Writes a text as a part of a JSON string (RFC 8259, section 7).
fn push_escaped(line: &mut String, text: &str) {
    let mut rest = text;
    while !is_plain(rest)
        && let Some(at) = rest.bytes().position(needs_escape)
    {
        let (plain, special) = rest.split_at(at);
        line.push_str(plain);
        let mut chars = special.chars();
        match chars.next() {
            Some('"') => line.push_str("\\\""),
            Some('\\') => line.push_str("\\\\"),
            Some('\n') => line.push_str("\\n"),
            Some('\r') => line.push_str("\\r"),
            Some('\t') => line.push_str("\\t"),
            Some(control) => {
                let _ = write!(line, "\\u{:04x}", u32::from(control));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    line.push_str(rest);
}

fn needs_escape(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Is there surely nothing to escape? Eight bytes at a time, the last ones twice rather than alone.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (words, rest) = bytes.as_chunks();
    let last = bytes.last_chunk();
    words.iter().all(|word| all_plain(*word))
        && match last {
            Some(last) => all_plain(*last),
            None => !rest.iter().any(|byte| needs_escape(*byte)),
        }
}

/// The same of eight bytes.
fn all_plain(bytes: [u8; 8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_ne_bytes(bytes);
    // the top bit of a byte is set where it is below `limit`, itself none above 128
    let below = |word: u64, limit: u8| word.wrapping_sub(EACH * u64::from(limit)) & !word;
    let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (below(word, b' ') | is(b'"') | is(b'\\')) & (EACH << 7) == 0
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Kept {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What is written while something is done.
    fn lines(json: bool, work: impl FnOnce()) -> Vec<Value> {
        let kept = Kept::default();
        let lines = tracing_subscriber::fmt().with_writer(kept.clone());
        if json {
            let theirs = lines.json().flatten_event(true);
            let theirs = theirs.with_current_span(false).with_span_list(false);
            tracing::subscriber::with_default(theirs.finish(), work);
        } else {
            tracing::subscriber::with_default(lines.event_format(JsonLines).finish(), work);
        }
        let bytes = kept.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines()
            .map(|line| {
                let mut value: Value = serde_json::from_str(line).unwrap();
                let at = value.as_object_mut().unwrap().remove("timestamp").unwrap();
                assert_eq!(
                    at.as_str().unwrap().len(),
                    "2026-11-25T00:00:00.000000Z".len()
                );
                value
            })
            .collect()
    }

    #[test]
    fn a_line_says_what_the_general_format_says() {
        let work = || {
            tracing::info!(
                target: "a::b",
                text = "\"\\\n\r\t\u{1}é人\u{2028}",
                shown = %"x\"y",
                debug = ?Some("z\\"),
                none = None::<u64>,
                some = Some(7_u64),
                whole = -3_i64,
                real = 0.5,
                odd = f64::NAN,
                yes = true,
                r#type = "t",
                "words \"and\" more"
            );
            tracing::error!("{} of {}", 1, "\"2\"");
        };
        assert_eq!(lines(false, work), lines(true, work));
        assert_eq!(lines(false, work).len(), 2);
    }

    #[test]
    fn what_needs_an_escape_gets_one_wherever_it_stands_and_nothing_else_does() {
        for special in [
            "\"", "\\", "\u{0}", "\u{1f}", " ", "!", "#", "[", "]", "\u{7f}", "é", "\u{a2}",
        ] {
            for (before, behind) in (0..20).flat_map(|n| (0..20).map(move |m| (n, m))) {
                let text = ["x".repeat(before), "y".repeat(behind)].join(special);
                let mut line = String::new();
                push_escaped(&mut line, &text);
                assert_eq!(format!("\"{line}\""), serde_json::to_string(&text).unwrap());
            }
        }
    }

    #[test]
    fn a_moment_is_written_to_the_microsecond_whatever_was_written_before() {
        for (nanosecond, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (999_999, "1970-01-01T00:00:00.000999Z"),
            (1_000_000_000, "1970-01-01T00:00:01.000000Z"),
            (1_120_000_000, "1970-01-01T00:00:01.120000Z"),
            (1_795_564_800_999_999_999, "2026-11-25T00:00:00.999999Z"),
            (0, "1970-01-01T00:00:00.000000Z"),
        ] {
            let mut line = String::new();
            push_moment(&mut line, Timestamp::from_nanosecond(nanosecond).unwrap());
            assert_eq!(line, text);
        }
    }
}
