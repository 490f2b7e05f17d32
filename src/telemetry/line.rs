//! A line of the log as one JSON object: when, how grave, what, its fields, and where it is from.
//!
//! The same members as the subscriber's own JSON has, written without a serializer: a line is
//! written for every request, and the general way costs as much as choosing its backend.

use std::fmt::{self, Write as _};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

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
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        let metadata = event.metadata();
        writer.write_str("\",\"level\":\"")?;
        writer.write_str(metadata.level().as_str())?;
        writer.write_char('"')?;
        let mut fields = Fields {
            writer: writer.by_ref(),
            outcome: Ok(()),
        };
        event.record(&mut fields);
        fields.outcome?;
        writer.write_str(",\"target\":\"")?;
        writer.write_str(metadata.target())?;
        writer.write_str("\"}\n")
    }
}

/// Writes fields as members.
struct Fields<'a> {
    writer: Writer<'a>,
    outcome: fmt::Result,
}

impl Fields<'_> {
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let name = field.name();
        // a raw identifier, where the name is a word of the language
        let name = name.strip_prefix("r#").unwrap_or(name);
        self.outcome = self.outcome.and_then(|()| {
            self.writer.write_str(",\"")?;
            self.writer.write_str(name)?;
            self.writer.write_str("\":")?;
            value(&mut self.writer)
        });
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field, |writer| {
            writer.write_char('"')?;
            write!(Escaped(writer), "{value:?}")?;
            writer.write_char('"')
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, |writer| {
            writer.write_char('"')?;
            Escaped(writer).write_str(value)?;
            writer.write_char('"')
        });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |writer| {
            writer.write_str(if value { "true" } else { "false" })
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, |writer| match value {
            _ if value.is_finite() => write!(writer, "{value}"),
            _ => writer.write_str("null"),
        });
    }
}

/// Writes into a JSON string (RFC 8259, section 7).
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.bytes().position(needs_escape) {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut chars = special.chars();
            match chars.next() {
                Some('"') => self.0.write_str("\\\"")?,
                Some('\\') => self.0.write_str("\\\\")?,
                Some('\n') => self.0.write_str("\\n")?,
                Some('\r') => self.0.write_str("\\r")?,
                Some('\t') => self.0.write_str("\\t")?,
                Some(control) => write!(self.0, "\\u{:04x}", u32::from(control))?,
                None => {}
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
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
}
