//! Turns an answer into the steps of an event stream, with a script's habits and faults.
//!
//! Pure. Steps are made as they are needed, so that a long stream costs no more memory than a
//! short one.

mod pieces;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::account::Model;
use super::answer::{Answer, Counts};
use super::body::{self, Step};
use super::directive::{Fault, Script, UsageStyle};
use super::render::{self, Delta, UsageField};
use pieces::Piece;

/// Pause between the bytes of `slow_body` where no gap is given.
pub(crate) const SLOW_GAP: Duration = Duration::from_millis(20);

/// What a request wants to know about usage in its stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsageWish {
    pub(crate) include: bool,
    pub(crate) continuous: bool,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Opening,
    Role(usize),
    Round(usize, usize),
    Finish(usize),
    Usage,
    Done,
    Over,
}

/// A stream of events in the making.
#[derive(Debug)]
pub(crate) struct Events {
    model: Arc<Model>,
    answer: Answer,
    wish: UsageWish,
    fault: Option<Fault>,
    /// The data of an `error` fault.
    error: Bytes,
    pieces: Vec<Vec<Piece>>,
    place: Place,
    /// Data events so far.
    sent: u64,
    /// Output so far, for continuous usage.
    so_far: Counts,
}

impl Events {
    pub(crate) fn new(
        model: Arc<Model>,
        answer: Answer,
        wish: UsageWish,
        fault: Option<Fault>,
        error: Bytes,
    ) -> Self {
        let script = &model.script;
        let pieces = answer
            .choices
            .iter()
            .map(|choice| pieces::of(choice, script))
            .collect();
        let so_far = Counts {
            completion: 0,
            reasoning: 0,
            ..answer.usage
        };
        Self {
            model,
            answer,
            wish,
            fault,
            error,
            pieces,
            place: Place::Opening,
            sent: 0,
            so_far,
        }
    }

    /// Adds the next steps; none when the stream is over.
    pub(crate) fn refill(&mut self, steps: &mut VecDeque<Step>) {
        while steps.is_empty() && self.place != Place::Over {
            if self.place == Place::Opening {
                self.open(steps);
            } else if !self.fault_due(steps) {
                self.advance(steps);
            }
        }
    }

    fn script(&self) -> &Script {
        &self.model.script
    }

    fn open(&mut self, steps: &mut VecDeque<Step>) {
        self.place = Place::Role(0);
        match self.fault {
            Some(Fault::HangHead) => {
                steps.extend([Step::Fail("hang_head"), Step::Hang]);
                return;
            }
            Some(Fault::Short) => steps.push_back(Step::Fail("short")),
            _ => {}
        }
        if self.script().bom {
            steps.push_back(Step::Send(Bytes::from_static("\u{feff}".as_bytes())));
        }
        let end = self.script().sse.bytes();
        let comment = [b": keep-alive".as_slice(), end, end].concat();
        silence(self.script().ttft, self.script().keepalive, comment, steps);
    }

    /// Adds the steps of a fault whose moment has come.
    fn fault_due(&mut self, steps: &mut VecDeque<Step>) -> bool {
        let sent = self.sent;
        let Some(fault) = self.fault else {
            return false;
        };
        let fail = Step::Fail(fault.label());
        self.place = match fault {
            Fault::Cut(at) if at == sent => {
                steps.push_back(fail);
                steps.extend(body::cut());
                Place::Over
            }
            Fault::End(at) if at == sent => {
                steps.push_back(fail);
                Place::Over
            }
            Fault::Stall(at) if at == sent => {
                steps.extend([fail, Step::Hang]);
                Place::Over
            }
            Fault::Error(at) if at == sent => {
                let event = self.frame(&self.error, false);
                steps.extend([fail, Step::Send(event)]);
                Place::Over
            }
            Fault::Garbage(at) if at == sent => {
                let event =
                    self.frame(br#"{"id":"chatcmpl-sim","choices":[{"delta":{"cont"#, false);
                steps.extend([fail, Step::Send(event)]);
                self.fault = None;
                self.place
            }
            _ => return false,
        };
        true
    }

    fn advance(&mut self, steps: &mut VecDeque<Step>) {
        let choices = self.answer.choices.len();
        self.place = match self.place {
            Place::Role(choice) if choice < choices => {
                self.delta(choice, Piece::new(Delta::Role, 0, 0), steps);
                Place::Role(choice + 1)
            }
            Place::Opening | Place::Role(_) => Place::Round(0, 0),
            Place::Round(round, choice) => {
                let pieces = self
                    .pieces
                    .get(choice)
                    .and_then(|pieces| pieces.get(round))
                    .copied();
                if choice == 0 && self.pieces.iter().all(|pieces| pieces.len() <= round) {
                    Place::Finish(0)
                } else {
                    let gap = self.script().gap;
                    if choice == 0 && round > 0 && !gap.is_zero() {
                        steps.push_back(Step::Wait(gap));
                    }
                    if let Some(piece) = pieces {
                        self.delta(choice, piece, steps);
                    }
                    let last = choice + 1 == choices;
                    if last {
                        Place::Round(round + 1, 0)
                    } else {
                        Place::Round(round, choice + 1)
                    }
                }
            }
            Place::Finish(choice) if choice < choices && !self.script().nofinish => {
                self.delta(choice, Piece::new(Delta::Finish, 0, 0), steps);
                Place::Finish(choice + 1)
            }
            Place::Finish(_) => Place::Usage,
            Place::Usage => {
                if self.has_usage_chunk() {
                    let json = render::usage_chunk(&self.answer, self.script().usage);
                    self.emit(&json, 0, 0, steps);
                }
                Place::Done
            }
            Place::Done => {
                if !self.script().nodone {
                    let done = self.frame(b"[DONE]", false);
                    steps.push_back(Step::Send(done));
                }
                Place::Over
            }
            Place::Over => Place::Over,
        };
    }

    fn delta(&mut self, choice: usize, piece: Piece, steps: &mut VecDeque<Step>) {
        self.so_far.completion += piece.completion;
        self.so_far.reasoning += piece.reasoning;
        let last = choice + 1 == self.answer.choices.len();
        let usage = self.chunk_usage(last && matches!(piece.delta, Delta::Finish));
        let json = render::chunk(&self.answer, choice, piece.delta, usage);
        self.emit(&json, piece.completion, piece.reasoning, steps);
    }

    /// The usage member of an ordinary chunk; `last` is the one with the last `finish_reason`.
    fn chunk_usage(&self, last: bool) -> UsageField {
        let style = self.script().usage;
        match style {
            UsageStyle::Null => UsageField::Null,
            UsageStyle::DeepSeek | UsageStyle::Last if last => {
                UsageField::Given(self.answer.usage, style)
            }
            UsageStyle::Missing | UsageStyle::DeepSeek | UsageStyle::Last | UsageStyle::Bare => {
                UsageField::Absent
            }
            UsageStyle::Continuous => UsageField::Given(self.so_far, style),
            _ if self.wish.include && self.wish.continuous => UsageField::Given(self.so_far, style),
            _ if self.wish.include => UsageField::Null,
            _ => UsageField::Absent,
        }
    }

    fn has_usage_chunk(&self) -> bool {
        let elsewhere = matches!(
            self.script().usage,
            UsageStyle::Missing | UsageStyle::Null | UsageStyle::DeepSeek | UsageStyle::Last
        );
        self.wish.include && !elsewhere
    }

    fn emit(&mut self, json: &[u8], completion: u64, reasoning: u64, steps: &mut VecDeque<Step>) {
        self.sent += 1;
        let event = self.frame(json, self.script().multiline);
        if self.fault == Some(Fault::SlowBody) {
            trickle(event, self.script().gap, (completion, reasoning), steps);
        } else {
            steps.push_back(Step::Output(event, completion, reasoning));
        }
    }

    /// One event: comments, data lines, the blank line.
    fn frame(&self, data: &[u8], multiline: bool) -> Bytes {
        let script = self.script();
        let end = script.sse.bytes();
        let prefix: &[u8] = if script.nospace { b"data:" } else { b"data: " };
        let mut event = BytesMut::with_capacity(data.len() + 16);
        for _ in 0..script.comments {
            event.put_slice(b": simulated");
            event.put_slice(end);
        }
        let mut line = |bytes: &[u8]| {
            event.put_slice(prefix);
            event.put_slice(bytes);
            event.put_slice(end);
        };
        // a comma before a quote: JSON may break its line there
        let comma = data
            .windows(2)
            .position(|pair| pair == b",\"")
            .filter(|_| multiline);
        if let Some((first, second)) = comma.and_then(|at| data.split_at_checked(at + 1)) {
            line(first);
            line(second);
        } else {
            for piece in data.split(|byte| *byte == b'\n') {
                line(piece.strip_suffix(b"\r").unwrap_or(piece));
            }
        }
        event.put_slice(end);
        event.freeze()
    }
}

/// Silence of length `time`, broken every `keepalive` by `sign`.
pub(crate) fn silence(
    time: Duration,
    keepalive: Option<Duration>,
    sign: Vec<u8>,
    steps: &mut VecDeque<Step>,
) {
    let sign = Bytes::from(sign);
    let mut left = time;
    if let Some(every) = keepalive {
        while left > every {
            steps.extend([Step::Wait(every), Step::Send(sign.clone())]);
            left -= every;
        }
    }
    if !left.is_zero() {
        steps.push_back(Step::Wait(left));
    }
}

/// One byte at a time; the tokens go with the first.
pub(crate) fn trickle(
    mut bytes: Bytes,
    gap: Duration,
    (completion, reasoning): (u64, u64),
    steps: &mut VecDeque<Step>,
) {
    let gap = if gap.is_zero() { SLOW_GAP } else { gap };
    let first = bytes.split_to(bytes.len().min(1));
    steps.push_back(Step::Output(first, completion, reasoning));
    while !bytes.is_empty() {
        steps.extend([Step::Wait(gap), Step::Send(bytes.split_to(1))]);
    }
}
