//! What a failed attempt means: from a status and a body to one of a few classes.
//!
//! Pure. Backends word the same failure in dozens of ways; the tables below hold the wordings
//! that were seen. What matches none of them is judged by its status alone.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};

use crate::{
    caps::{Cap, Caps},
    route::health::{DownReason, Verdict},
    wire::openai::error::{self, ErrorBody},
};

/// Which deadline ended an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Connecting, TLS included.
    Connect,
    /// Until the first byte of the body, or the first event.
    FirstByte,
    /// Between two bytes.
    Idle,
    /// The whole request.
    Whole,
}

impl Phase {
    /// The words in messages and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect_timeout",
            Self::FirstByte => "first_byte_timeout",
            Self::Idle => "idle_timeout",
            Self::Whole => "request_timeout",
        }
    }
}

/// What kind of failure it was; decides what is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// No connection: nothing was sent.
    Unreachable,
    /// Sent, and the connection ended without an answer.
    Dropped,
    /// 408, 409, 425, 5xx: may pass by itself.
    Transient,
    /// 429, 503, 529.
    Busy { retry_after: Option<Duration> },
    /// A deadline passed after the request was sent.
    TimedOut(Phase),
    /// The request does not fit into this backend's context.
    ContextTooLong,
    /// This backend can't do something that the request needs.
    Incapable(Cap),
    /// The client's fault: the same everywhere.
    Rejected,
    /// This backend does not serve us.
    Refused(DownReason),
    /// What came is no answer.
    Nonsense,
}

/// A failed attempt.
#[derive(Debug, Clone)]
pub struct Failure {
    pub class: Class,
    /// The status that the backend answered, or that its error stands for.
    pub status: Option<StatusCode>,
    /// What the backend said, as sent: masked before a client sees it.
    pub body: Option<Box<ErrorBody>>,
    /// What happened, in words that a client may read.
    pub detail: &'static str,
    /// What the system said, for the log.
    pub cause: Option<String>,
}

/// Wordings of a prompt that is too long, in lower case.
const CONTEXT: [&str; 19] = [
    "context_length_exceeded",
    "exceed_context_size",
    "model_context_window_exceeded",
    "maximum context length",
    "max context length",
    "context length",
    "context window",
    "context size has been exceeded",
    "exceeds the available context size",
    "input is too long",
    "prompt is too long",
    "prompt too long",
    "prompt超长",
    "too large for model",
    "reduce the length of the",
    "exceeds the maximum number of tokens",
    "range of input length should be",
    "exceed the model's maximum",
    "longer than the maximum model length",
];
/// Wordings of an empty account, in lower case.
const MONEY: [&str; 14] = [
    "insufficient_quota",
    "insufficient balance",
    "insufficient_balance",
    "insufficient credit",
    "insufficient account balance",
    "credit balance is too low",
    "exceeded your current quota",
    "billing_not_active",
    "billing_hard_limit",
    "arrearage",
    "out of credits",
    "payment required",
    "余额不足",
    "欠费",
];
/// Codes of an empty account: Zhipu 1113, MiniMax 1008.
const MONEY_CODES: [&str; 2] = ["1113", "1008"];
/// Codes of a refused key: MiniMax 1004 and 2049.
const KEY_CODES: [&str; 2] = ["1004", "2049"];
/// Wordings of "can't do that", in lower case.
const UNSUPPORTED: [&str; 10] = [
    "not support",
    "unsupported",
    "not available for",
    "not enabled",
    "only support",
    "does not accept",
    "cannot be used with this model",
    "not a multimodal model",
    // servers of one's own that were started without tools: vLLM, and llama.cpp, which says it with 500
    "requires --enable-auto-tool-choice",
    "requires --jinja",
];
/// What a wording of "can't do that" is about, in lower case.
const ABOUT: [(&str, Cap); 14] = [
    ("parallel_tool", Cap::ParallelTools),
    ("tool", Cap::Tools),
    ("function", Cap::Tools),
    ("image", Cap::Vision),
    ("vision", Cap::Vision),
    ("multimodal", Cap::Vision),
    ("audio", Cap::AudioIn),
    ("video", Cap::Video),
    ("json_schema", Cap::JsonSchema),
    ("response_format", Cap::JsonSchema),
    ("logprobs", Cap::Logprobs),
    ("reasoning", Cap::Reasoning),
    ("thinking", Cap::Reasoning),
    ("stream", Cap::Streaming),
];

impl Failure {
    /// A failure that no answer tells about.
    #[must_use]
    pub fn without_answer(class: Class, detail: &'static str) -> Self {
        Self {
            class,
            status: None,
            body: None,
            detail,
            cause: None,
        }
    }

    /// With what the system said.
    #[must_use]
    pub fn because(self, cause: String) -> Self {
        Self {
            cause: Some(cause),
            ..self
        }
    }

    /// What is to be written in the log: the system's words, or the backend's, which may hold what
    /// a client wrote and so are masked and cut.
    #[must_use]
    pub fn for_log(&self) -> Option<String> {
        let said = || self.body.as_ref().map(|body| error::mask(&body.message));
        let text = self.cause.clone().or_else(said)?;
        Some(text.chars().take(300).collect())
    }

    /// A deadline passed.
    #[must_use]
    pub fn timed_out(phase: Phase) -> Self {
        Self::without_answer(Class::TimedOut(phase), phase.as_str())
    }

    /// An answer with a status other than success.
    #[must_use]
    pub fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8], needs: Caps) -> Self {
        let parsed = error::read(body).map(Box::new);
        let class = classify(status, retry_after(headers), parsed.as_deref(), needs);
        Self {
            class,
            status: Some(status),
            body: parsed,
            detail: "the last one failed",
            cause: None,
        }
    }

    /// An error inside an answer of success: in its body, or as the first event of a stream.
    #[must_use]
    pub fn from_error(body: ErrorBody, needs: Caps) -> Self {
        let status = implied_status(&body);
        let class = classify(status, None, Some(&body), needs);
        Self {
            class,
            status: Some(status),
            body: Some(Box::new(body)),
            detail: "the last one failed in a success",
            cause: None,
        }
    }

    /// The label in metrics: `error`, `timeout` or `refused`.
    #[must_use]
    pub fn result(&self) -> &'static str {
        match self.class {
            Class::TimedOut(_) => "timeout",
            Class::Rejected | Class::ContextTooLong | Class::Incapable(_) | Class::Refused(_) => {
                "refused"
            }
            Class::Unreachable
            | Class::Dropped
            | Class::Transient
            | Class::Busy { .. }
            | Class::Nonsense => "error",
        }
    }

    /// Is it to be taken that the backend bills it? It is where the request was sent and no answer
    /// says what became of it; a status that refuses is an answer.
    #[must_use]
    pub fn may_be_billed(&self) -> bool {
        // 504 is how a proxy says that a backend which has the request did not answer
        let unanswered = self
            .status
            .is_none_or(|status| status == StatusCode::GATEWAY_TIMEOUT);
        unanswered && self.may_have_been_processed()
    }

    /// What it says of the backend's health. That the time of the whole request is over is the
    /// fault of a backend only where it had all of that time: where it was the `first` one asked.
    #[must_use]
    pub fn verdict(&self, first: bool) -> Verdict {
        match self.class {
            Class::Busy { retry_after } => {
                let ms = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                Verdict::Busy(retry_after.map(ms))
            }
            Class::Refused(reason) => Verdict::Refused(reason),
            Class::TimedOut(Phase::Whole) if !first => Verdict::Neither,
            // 408, 409 and 425 are about one request
            Class::Transient if self.status.is_some_and(|s| s.is_client_error()) => {
                Verdict::Neither
            }
            Class::Unreachable
            | Class::Dropped
            | Class::Transient
            | Class::TimedOut(_)
            | Class::Nonsense => Verdict::Failed,
            Class::ContextTooLong | Class::Incapable(_) | Class::Rejected => Verdict::Neither,
        }
    }

    /// What it says of the key that was sent; `None`: nothing, it is about the backend.
    #[must_use]
    pub fn of_key(&self) -> Option<Verdict> {
        let limited = self.status == Some(StatusCode::TOO_MANY_REQUESTS);
        match self.class {
            // 503 and 529 say the same to everybody
            Class::Busy { .. } if limited => Some(self.verdict(false)),
            Class::Refused(DownReason::KeyRefused | DownReason::OutOfMoney) => {
                Some(self.verdict(false))
            }
            _ => None,
        }
    }

    /// May the backend have worked on the request, without telling us an outcome?
    #[must_use]
    pub fn may_have_been_processed(&self) -> bool {
        match self.class {
            Class::TimedOut(phase) => phase != Phase::Connect,
            Class::Dropped | Class::Nonsense => true,
            _ => false,
        }
    }
}

fn classify(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Option<&ErrorBody>,
    needs: Caps,
) -> Class {
    let text = body.map(words).unwrap_or_default();
    let code = body
        .and_then(|body| body.code.as_deref())
        .unwrap_or_default();
    let says = |wordings: &[&str]| wordings.iter().any(|wording| text.contains(wording));
    match status.as_u16() {
        402 => Class::Refused(DownReason::OutOfMoney),
        _ if says(&MONEY) || MONEY_CODES.contains(&code) => Class::Refused(DownReason::OutOfMoney),
        // OpenAI: the project of the key has no access to it
        403 if code == "model_not_found" => Class::Refused(DownReason::ModelUnknown),
        401 | 403 => Class::Refused(DownReason::KeyRefused),
        _ if KEY_CODES.contains(&code) => Class::Refused(DownReason::KeyRefused),
        404 => Class::Refused(DownReason::ModelUnknown),
        429 | 503 | 529 => Class::Busy { retry_after },
        504 => Class::TimedOut(Phase::FirstByte),
        400 | 413 | 422 | 500 if says(&CONTEXT) => Class::ContextTooLong,
        400 | 413 | 422 => match lacking(&text, needs) {
            Some(cap) => Class::Incapable(cap),
            None if code == "model_not_found" => Class::Refused(DownReason::ModelUnknown),
            None => Class::Rejected,
        },
        500 => lacking(&text, needs).map_or(Class::Transient, Class::Incapable),
        408 | 409 | 425 | 501..=599 => Class::Transient,
        // nothing that a backend should answer to a well-formed call
        _ => Class::Nonsense,
    }
}

/// The ability that a backend says it lacks, if the request needs it: else the words are about
/// something that the client wrote.
fn lacking(text: &str, needs: Caps) -> Option<Cap> {
    UNSUPPORTED
        .iter()
        .any(|wording| text.contains(wording))
        .then_some(())?;
    let mut about = ABOUT
        .iter()
        .filter(|(word, _)| text.contains(word))
        .map(|(_, cap)| *cap);
    about.find(|cap| needs.has(*cap))
}

/// Everything that an error says, in lower case.
fn words(body: &ErrorBody) -> String {
    let parts = [
        Some(&body.message),
        body.kind.as_ref(),
        body.code.as_ref(),
        body.param.as_ref(),
    ];
    let mut text = String::new();
    for part in parts.into_iter().flatten() {
        text.push_str(part);
        text.push('\n');
    }
    text.to_lowercase()
}

/// The status that an error without one stands for.
fn implied_status(body: &ErrorBody) -> StatusCode {
    let code = body.code.as_deref().and_then(|code| code.parse().ok());
    let mut numbers = [body.status, code].into_iter().flatten();
    if let Some(status) = numbers.find(|number| (400..600).contains(number)) {
        return StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    }
    let kind = [body.kind.as_deref(), body.code.as_deref()];
    let is = |name: &str| kind.contains(&Some(name));
    let status = match () {
        () if is("overloaded_error") => 529,
        () if is("rate_limit_error") || is("rate_limit_exceeded") => 429,
        () if is("authentication_error") || is("invalid_api_key") => 401,
        () if is("permission_error") => 403,
        () if is("not_found_error") || is("model_not_found") => 404,
        () if is("invalid_request_error") || is("BadRequestError") => 400,
        () if is("timeout_error") => 504,
        () => 502,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)
}

/// How long to wait, from `retry-after-ms` or `retry-after` in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.parse::<u64>().ok()) {
        return Some(Duration::from_millis(ms));
    }
    let text = text(RETRY_AFTER.as_str())?;
    // OpenAI and others send fractions
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    match (
        whole.parse::<u64>(),
        fraction.bytes().all(|b| b.is_ascii_digit()),
    ) {
        (Ok(seconds), true) => {
            let more = u64::from(fraction.bytes().any(|b| b != b'0'));
            Some(Duration::from_secs(seconds.saturating_add(more)))
        }
        // a date would need a clock; a cool-down of our own guess is right enough
        _ => None,
    }
}

#[cfg(test)]
mod tests;
