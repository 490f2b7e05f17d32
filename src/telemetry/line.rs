//! A line of the log as one JSON object: when, how grave, what, its fields, and where it is from.
//!
//! The same members as the subscriber's own JSON has, written without a serializer: a line is
//! written for every request, and the general way costs as much as choosing its backend.

use std::{
    cell::RefCell,
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

use crate::wire::scan;

/// Writes such lines.
#[derive(Debug)]
pub(super) struct JsonLines;

/// Bytes of a line about a request, about.
const LINE: usize = 768;

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
        // made as a whole: the writer takes each piece in a call of its own
        let mut line = String::with_capacity(LINE);
        line.push_str("{\"timestamp\":\"");
        push_time(&mut line, Timestamp::now());
        let metadata = event.metadata();
        line.push_str("\",\"level\":\"");
        line.push_str(metadata.level().as_str());
        line.push('"');
        let mut fields = Fields {
            line: &mut line,
            outcome: Ok(()),
        };
        event.record(&mut fields);
        fields.outcome?;
        line.push_str(",\"target\":\"");
        line.push_str(metadata.target());
        line.push_str("\"}\n");
        writer.write_str(&line)
    }
}

thread_local! {
    /// The second of the last line, since 1970, and how it is written.
    static SECOND: RefCell<(i64, String)> = RefCell::default();
}

/// Writes a moment, as `2026-11-25T00:00:00.000000Z`.
fn push_time(line: &mut String, now: Timestamp) {
    let second = now.as_second();
    SECOND.with_borrow_mut(|(last, text)| {
        if *last != second || text.is_empty() {
            *last = second;
            *text =
                Timestamp::from_second(second).map_or_else(|_| String::new(), |t| t.to_string());
        }
        line.push_str(text.strip_suffix('Z').unwrap_or(text));
    });
    let micros = now.subsec_microsecond().unsigned_abs();
    line.push('.');
    // seven digits, of which the first is a one
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(1_000_000 + micros);
    line.push_str(digits.get(1..).unwrap_or_default());
    line.push('Z');
}

/// Writes fields as members.
struct Fields<'a> {
    line: &'a mut String,
    outcome: fmt::Result,
}

impl Fields<'_> {
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut String) -> fmt::Result) {
        let name = field.name();
        // a raw identifier, where the name is a word of the language
        let name = name.strip_prefix("r#").unwrap_or(name);
        self.line.push_str(",\"");
        self.line.push_str(name);
        self.line.push_str("\":");
        let written = value(self.line);
        self.outcome = self.outcome.and(written);
    }

    fn number(&mut self, field: &Field, number: impl itoa::Integer) {
        self.member(field, |line| {
            line.push_str(itoa::Buffer::new().format(number));
            Ok(())
        });
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field, |line| {
            line.push('"');
            write!(Escaped(line), "{value:?}")?;
            line.push('"');
            Ok(())
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, |line| {
            line.push('"');
            Escaped(line).write_str(value)?;
            line.push('"');
            Ok(())
        });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |line| {
            line.push_str(if value { "true" } else { "false" });
            Ok(())
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, |line| match value {
            _ if value.is_finite() => write!(line, "{value}"),
            _ => line.write_str("null"),
        });
    }
}

/// Writes into a JSON string (RFC 8259, section 7).
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = scan::special(rest.as_bytes()) {
            let (plain, special) = rest.split_at(at);
            self.0.push_str(plain);
            let mut chars = special.chars();
            match chars.next() {
                Some('"') => self.0.push_str("\\\""),
                Some('\\') => self.0.push_str("\\\\"),
                Some('\n') => self.0.push_str("\\n"),
                Some('\r') => self.0.push_str("\\r"),
                Some('\t') => self.0.push_str("\\t"),
                Some(control) => write!(self.0, "\\u{:04x}", u32::from(control))?,
                None => {}
            }
            rest = chars.as_str();
        }
        self.0.push_str(rest);
        Ok(())
    }
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
                Escaped(&mut line).write_str(&text).unwrap();
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
            push_time(&mut line, Timestamp::from_nanosecond(nanosecond).unwrap());
            assert_eq!(line, text);
        }
    }
}
