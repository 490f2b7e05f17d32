//! Reads an upload: the fields of a `multipart/form-data` body as a JSON object of texts, and how
//! large the file is.
//!
//! Strict where a careful backend is: a form without an end or with a part that has no name is
//! refused. It shares no code with the gateway, so that it can show that the gateway is wrong.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use memchr::memmem;
use serde_json::{Map, Value};

use super::refusal::Refusal;

/// A form that was read.
#[derive(Debug)]
pub(crate) struct Upload {
    /// A JSON object.
    pub(crate) fields: Vec<u8>,
    /// Bytes of the file; 0: none was sent.
    pub(crate) file: usize,
}

/// Reads a form.
pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Upload, Refusal> {
    let media = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let media = media.unwrap_or_default();
    let boundary = media
        .strip_prefix("multipart/form-data;")
        .and_then(|rest| rest.trim().strip_prefix("boundary="))
        .map(|boundary| boundary.trim_matches('"'))
        .ok_or_else(|| {
            let message = format!("expected multipart/form-data with a boundary, not '{media}'");
            Refusal::invalid("content-type", "invalid_header", message)
        })?;
    parts(boundary, body).ok_or_else(|| {
        let message = "we could not parse the form of your request";
        Refusal::invalid("body", "invalid_form", message)
    })
}

fn parts(boundary: &str, body: &[u8]) -> Option<Upload> {
    let (first, between) = (format!("--{boundary}"), format!("\r\n--{boundary}"));
    let mut rest = body.strip_prefix(first.as_bytes())?;
    let mut fields = Map::new();
    let mut file = 0;
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = memmem::find(part, between.as_bytes())?;
        let (part, after) = part.split_at_checked(end)?;
        rest = after.get(between.len()..)?;
        let at = memmem::find(part, b"\r\n\r\n")?;
        let head = std::str::from_utf8(part.get(..at)?).ok()?;
        let value = part.get(at + 4..)?;
        let name = head.split("name=\"").nth(1)?.split('"').next()?;
        if head.contains("filename=") {
            file = value.len();
        } else {
            let text = String::from_utf8(value.to_vec()).ok()?;
            if fields
                .insert(name.to_owned(), Value::String(text))
                .is_some()
                && !name.ends_with("[]")
            {
                return None;
            }
        }
    }
    rest.starts_with(b"--").then_some(())?;
    Some(Upload {
        fields: Value::Object(fields).to_string().into_bytes(),
        file,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_the_size_of_the_file_are_read() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nabc\r\n--b--\r\n";
        let upload = parts("b", body.as_bytes()).unwrap();
        assert_eq!(upload.file, 3);
        assert_eq!(upload.fields, br#"{"model":"m"}"#);
        let cut = body.trim_end().trim_end_matches("--");
        assert!(parts("b", cut.as_bytes()).is_none());
        let twice = body.replace("file\"; filename=\"a", "model");
        assert!(parts("b", twice.as_bytes()).is_none());
    }
}
