//! The values of directives that are words: usage styles, line ends, faults.

/// How usage is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum UsageStyle {
    #[default]
    OpenAi,
    DeepSeek,
    Last,
    Continuous,
    Bare,
    Xai,
    Missing,
    Null,
    Zero,
    Bad,
}

impl UsageStyle {
    pub(super) const NAMES: [(&'static str, Self); 10] = [
        ("openai", Self::OpenAi),
        ("deepseek", Self::DeepSeek),
        ("last", Self::Last),
        ("continuous", Self::Continuous),
        ("bare", Self::Bare),
        ("xai", Self::Xai),
        ("none", Self::Missing),
        ("null", Self::Null),
        ("zero", Self::Zero),
        ("bad", Self::Bad),
    ];
}

/// The line ends of a stream: all three are legal in an event stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LineEnd {
    #[default]
    Lf,
    CrLf,
    Cr,
}

impl LineEnd {
    pub(super) const NAMES: [(&'static str, Self); 3] =
        [("lf", Self::Lf), ("crlf", Self::CrLf), ("cr", Self::Cr)];

    pub(crate) fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
            Self::Cr => b"\r",
        }
    }
}

/// What goes wrong. Counts are data events of a stream; in a JSON answer one stands for 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `None`: the status that comes with the error body.
    Status(Option<u16>),
    Reset,
    Close,
    Hang,
    HangHead,
    Cut(u64),
    End(u64),
    Stall(u64),
    Garbage(u64),
    Error(u64),
    NotJson,
    Empty,
    Short,
    SlowBody,
}

impl Fault {
    /// The word under which the account counts it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Reset => "reset",
            Self::Close => "close",
            Self::Hang => "hang",
            Self::HangHead => "hang_head",
            Self::Cut(_) => "cut",
            Self::End(_) => "end",
            Self::Stall(_) => "stall",
            Self::Garbage(_) => "garbage",
            Self::Error(_) => "error",
            Self::NotJson => "notjson",
            Self::Empty => "empty",
            Self::Short => "short",
            Self::SlowBody => "slow_body",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, argument) = match text.split_once(':') {
            Some((kind, argument)) => (kind, Some(argument)),
            None => (text, None),
        };
        if kind == "status" {
            let Some(argument) = argument else {
                return Some(Self::Status(None));
            };
            let status = argument.parse().ok().filter(|s| (200..=599).contains(s))?;
            return Some(Self::Status(Some(status)));
        }
        if let Some(argument) = argument {
            let count = argument.parse().ok()?;
            return Some(match kind {
                "cut" => Self::Cut(count),
                "end" => Self::End(count),
                "stall" => Self::Stall(count),
                "garbage" => Self::Garbage(count),
                "error" => Self::Error(count),
                _ => return None,
            });
        }
        Some(match kind {
            "reset" => Self::Reset,
            "close" => Self::Close,
            "hang" => Self::Hang,
            "hang_head" => Self::HangHead,
            "error_first" => Self::Error(0),
            "notjson" => Self::NotJson,
            "empty" => Self::Empty,
            "short" => Self::Short,
            "slow_body" => Self::SlowBody,
            _ => return None,
        })
    }
}

/// In what way an answer is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// A document, or the arguments of a call, without their end.
    Form,
    /// A call of a tool that nobody declared.
    Tool,
    /// The finish reason is `length`, whatever the request allows.
    Length,
    /// The finish reason is `content_filter`.
    Filter,
    /// No text.
    Nothing,
}

impl Bad {
    pub(super) const NAMES: [(&'static str, Self); 5] = [
        ("form", Self::Form),
        ("tool", Self::Tool),
        ("length", Self::Length),
        ("filter", Self::Filter),
        ("nothing", Self::Nothing),
    ];
}
