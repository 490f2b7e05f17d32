//! An answer that is too large to be held until its end: it leaves as it comes, and only its tail
//! is kept, where backends write the usage.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Body;
use tokio::time::{Instant, Sleep};

use super::{
    Served, Watch,
    client::Received,
    failure::{Class, Failure, Phase},
    upstream::Busy,
};

/// Bytes of the beginning that are looked through for usage.
const HEAD: usize = 1024;
/// Bytes of the end that are looked through for usage.
const TAIL: usize = 16 * 1024;

/// A large answer on its way.
#[derive(Debug)]
pub struct Large {
    begun: VecDeque<Bytes>,
    body: Received,
    /// The beginning, where some backends write the usage.
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Members that say what was used.
    usage: &'static [&'static str],
    idle: Duration,
    heard: Instant,
    whole: Instant,
    sleep: Pin<Box<Sleep>>,
    ended: bool,
    _busy: Busy,
}

impl Large {
    pub(super) fn new(
        begun: VecDeque<Bytes>,
        body: Received,
        busy: Busy,
        idle: Duration,
        whole: Instant,
    ) -> Self {
        let heard = Instant::now();
        let sleep = Box::pin(tokio::time::sleep_until(whole.min(heard + idle)));
        Self {
            begun,
            body,
            head: Vec::new(),
            tail: Vec::new(),
            usage: &[],
            idle,
            heard,
            whole,
            sleep,
            ended: false,
            _busy: busy,
        }
    }

    /// It says what was used in one of these members.
    pub(super) fn looking_for(self, usage: &'static [&'static str]) -> Self {
        Self { usage, ..self }
    }

    /// The next bytes for the client.
    ///
    /// # Errors
    /// If the answer breaks off; nothing comes after it.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        watch: &mut dyn Watch,
    ) -> Poll<Option<Result<Bytes, Failure>>> {
        if let Some(bytes) = self.begun.pop_front() {
            self.keep(&bytes);
            return Poll::Ready(Some(Ok(bytes)));
        }
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    self.heard = Instant::now();
                    self.keep(&data);
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Ready(Some(Err(_))) => {
                    return self.fail(Class::Dropped, "the answer broke off");
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    if let Some(usage) = self.used() {
                        watch.usage(usage, Served::default());
                    }
                    return Poll::Ready(None);
                }
                Poll::Pending => {}
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            let phase = if now >= self.whole {
                Phase::Whole
            } else {
                Phase::Idle
            };
            if now >= self.whole || now >= self.heard + self.idle {
                return self.fail(Class::TimedOut(phase), phase.as_str());
            }
            let next = self.whole.min(self.heard + self.idle);
            self.sleep.as_mut().reset(next);
        }
    }

    fn fail(&mut self, class: Class, detail: &'static str) -> Poll<Option<Result<Bytes, Failure>>> {
        self.ended = true;
        Poll::Ready(Some(Err(Failure::without_answer(class, detail))))
    }

    /// What the end says that was used, or else the beginning.
    fn used(&self) -> Option<&str> {
        let mut names = self.usage.iter();
        names.find_map(|name| last(&self.tail, name).or_else(|| first(&self.head, name)))
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head
            .extend_from_slice(bytes.get(..room).unwrap_or_default());
        let from = bytes.len().saturating_sub(TAIL);
        self.tail
            .extend_from_slice(bytes.get(from..).unwrap_or_default());
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }
}

/// The object that is the last member of that name in the end of an answer, if it stands there
/// whole.
fn last<'a>(tail: &'a [u8], name: &str) -> Option<&'a str> {
    let quoted = format!("\"{name}\"");
    let at = memchr::memmem::rfind(tail, quoted.as_bytes())?;
    value(tail.get(at + quoted.len()..)?)
}

/// The same of the first one in the beginning.
fn first<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let quoted = format!("\"{name}\"");
    let at = memchr::memmem::find(head, quoted.as_bytes())?;
    value(head.get(at + quoted.len()..)?)
}

/// The object after a colon.
fn value(rest: &[u8]) -> Option<&str> {
    let rest = rest.trim_ascii_start().strip_prefix(b":")?;
    let mut values =
        serde_json::Deserializer::from_slice(rest).into_iter::<&serde_json::value::RawValue>();
    let value = values.next()?.ok()?.get();
    value.starts_with('{').then_some(value)
}

#[cfg(test)]
mod tests {
    use super::{first, last};

    #[test]
    fn usage_is_found_at_the_end_of_an_answer() {
        let tail = br#"AAAA"}}],"x":{"usage":"no"},"usage" : {"prompt_tokens":1,"d":{}},"z":1}"#;
        let usage_in = |tail| last(tail, "usage");
        assert_eq!(usage_in(tail), Some(r#"{"prompt_tokens":1,"d":{}}"#));
        assert_eq!(usage_in(br#"AAAA"}}],"usage":{"prompt_tok"#), None);
        assert_eq!(usage_in(br#"AAAA"}}],"usage":null}"#), None);
        assert_eq!(usage_in(b"AAAA"), None);
    }

    #[test]
    fn usage_is_found_at_the_beginning_of_an_answer() {
        let head = br#"{"model":"m","usage":{"prompt_tokens":1},"data":[{"embedding":[0.1,0."#;
        assert_eq!(first(head, "usage"), Some(r#"{"prompt_tokens":1}"#));
        assert_eq!(first(br#"{"data":[{"embedding":"AAAA"#, "usage"), None);
    }
}
