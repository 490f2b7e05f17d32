//! Reads the script that a model name carries: `qwen3+out=64+fault=cut:3`.
//!
//! Given a name, it decides how that model behaves. It promises to refuse what it does not know,
//! so that a test with a misspelt directive fails instead of testing nothing.

mod kinds;
mod table;

use std::time::Duration;

use super::provider_errors::{self, ErrorBody};
use super::received;
pub(crate) use kinds::{Bad, Fault, LineEnd, UsageStyle};
use table::{DIRECTIVES, FAULTS};

/// Most output tokens that `out=` may ask for: an answer is composed in memory.
const MAX_OUT: u64 = 200_000;
/// Most tool calls that `calls=` may ask for.
const MAX_CALLS: u64 = 64;

/// How one model behaves; the default is a plain, healthy, fast one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Script {
    pub(crate) out: Option<u64>,
    pub(crate) chunks: Option<u64>,
    pub(crate) chunk: Option<u64>,
    pub(crate) ttft: Duration,
    pub(crate) gap: Duration,
    pub(crate) head: Duration,
    pub(crate) prompt: Option<u64>,
    pub(crate) cached: u64,
    pub(crate) remembers: bool,
    pub(crate) written: u64,
    pub(crate) reasoning: Option<u64>,
    pub(crate) usage: UsageStyle,
    /// US dollars, a JSON number.
    pub(crate) cost: Option<String>,
    /// A word.
    pub(crate) tier: Option<String>,
    pub(crate) calls: Option<u64>,
    pub(crate) bad: Option<Bad>,
    pub(crate) sse: LineEnd,
    pub(crate) nospace: bool,
    pub(crate) comments: u64,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) split: usize,
    pub(crate) nodone: bool,
    pub(crate) nofinish: bool,
    pub(crate) multiline: bool,
    pub(crate) bom: bool,
    pub(crate) strict: bool,
    pub(crate) fault: Option<Fault>,
    pub(crate) body: Option<&'static ErrorBody>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) fail: Option<u64>,
    pub(crate) every: Option<u64>,
    /// The beginning of a digest, in lower-case hex.
    pub(crate) only_key: Option<String>,
    pub(crate) idle_close: Option<Duration>,
}

/// Why a script cannot be read; the texts go to whoever wrote the model name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScriptError {
    /// Not in the table.
    #[error("unknown directive `{0}`; known: {known}", known = known())]
    Unknown(String),
    /// The value does not have the form in the table.
    #[error("directive `{key}={value}` cannot be read; write it as `{form}`{choices}")]
    Value {
        /// The directive.
        key: String,
        /// What was given.
        value: String,
        /// How the table writes it.
        form: &'static str,
        /// The names to choose from, where there are any.
        choices: String,
    },
    /// The same directive twice in one name.
    #[error("directive `{0}` is given twice")]
    Twice(String),
    /// Directives that contradict each other.
    #[error("{0}")]
    Conflict(&'static str),
}

/// The name without its directives.
pub(crate) fn base(model: &str) -> &str {
    model.split_once('+').map_or(model, |(base, _)| base)
}

impl Script {
    /// Reads `name+key=value+flag`, on top of the directives in `extra` (`key=value+flag`), which
    /// the name's own override.
    pub(crate) fn parse(model: &str, extra: &str) -> Result<Self, ScriptError> {
        let mut script = Self::default();
        let own = model.split_once('+').map_or("", |(_, own)| own);
        for source in [extra, own] {
            let mut seen: Vec<&str> = Vec::new();
            for directive in source.split('+').filter(|d| !d.is_empty()) {
                let (key, value) = directive.split_once('=').unwrap_or((directive, ""));
                if seen.contains(&key) {
                    return Err(ScriptError::Twice(key.to_owned()));
                }
                seen.push(key);
                script.set(key, value)?;
            }
        }
        script.check()?;
        Ok(script)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ScriptError> {
        let Some((_, form, _)) = DIRECTIVES.iter().find(|(name, _, _)| *name == key) else {
            return Err(ScriptError::Unknown(key.to_owned()));
        };
        if self.assign(key, value).is_some() {
            return Ok(());
        }
        Err(ScriptError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            form,
            choices: choices(key),
        })
    }

    /// `None` where the value has another form than the table gives.
    fn assign(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "out" => self.out = Some(number(value).filter(|n| *n <= MAX_OUT)?),
            "chunks" => self.chunks = Some(number(value).filter(|n| (1..=MAX_OUT).contains(n))?),
            "chunk" => self.chunk = Some(number(value).filter(|n| (1..=MAX_OUT).contains(n))?),
            "ttft" => self.ttft = duration(value)?,
            "gap" => self.gap = duration(value)?,
            "head" => self.head = duration(value)?,
            "prompt" => self.prompt = Some(number(value)?),
            "cached" => self.cached = number(value)?,
            "remembers" => self.remembers = flag(value)?,
            "written" => self.written = number(value)?,
            "reasoning" => self.reasoning = Some(number(value).filter(|n| *n <= MAX_OUT)?),
            "usage" => self.usage = choose(&UsageStyle::NAMES, value)?,
            "cost" => self.cost = Some(dollars(value)?),
            "tier" => self.tier = Some(word(value)?),
            "calls" => self.calls = Some(number(value).filter(|n| (1..=MAX_CALLS).contains(n))?),
            "bad" => self.bad = Some(choose(&Bad::NAMES, value)?),
            "sse" => self.sse = choose(&LineEnd::NAMES, value)?,
            "nospace" => self.nospace = flag(value)?,
            "comments" => self.comments = number(value).filter(|n| *n <= 1000)?,
            "keepalive" => self.keepalive = Some(duration(value).filter(|d| !d.is_zero())?),
            "split" => self.split = value.parse().ok().filter(|n| *n > 0)?,
            "nodone" => self.nodone = flag(value)?,
            "nofinish" => self.nofinish = flag(value)?,
            "multiline" => self.multiline = flag(value)?,
            "bom" => self.bom = flag(value)?,
            "strict" => self.strict = flag(value)?,
            "fault" => self.fault = Some(Fault::parse(value)?),
            "body" => self.body = Some(provider_errors::find(value)?),
            "retry_after" => self.retry_after = Some(wait(value)?),
            "fail" => self.fail = Some(number(value)?),
            "every" => self.every = Some(number(value).filter(|n| *n > 0)?),
            "only_key" => self.only_key = Some(hex(value)?),
            "idle_close" => self.idle_close = Some(duration(value)?),
            _ => return None,
        }
        Some(())
    }

    fn check(&self) -> Result<(), ScriptError> {
        let takes_body = matches!(self.fault, Some(Fault::Status(_) | Fault::Error(_)));
        if self.body.is_some() && !takes_body {
            return Err(ScriptError::Conflict(
                "`body` needs `fault=status`, `fault=error:N` or `fault=error_first`",
            ));
        }
        if self.retry_after.is_some() && !matches!(self.fault, Some(Fault::Status(_))) {
            return Err(ScriptError::Conflict("`retry_after` needs `fault=status`"));
        }
        let chooses = self.fail.is_some() || self.every.is_some() || self.only_key.is_some();
        if self.fault.is_none() && chooses {
            let message = "`fail`, `every` and `only_key` need a `fault`";
            return Err(ScriptError::Conflict(message));
        }
        if self.fail.is_some() && self.every.is_some() {
            return Err(ScriptError::Conflict(
                "`fail` and `every` exclude each other",
            ));
        }
        if self.chunks.is_some() && self.chunk.is_some() && self.out.is_some() {
            return Err(ScriptError::Conflict(
                "of `out`, `chunks` and `chunk` only two fit together",
            ));
        }
        let product = self
            .chunks
            .unwrap_or(1)
            .saturating_mul(self.chunk.unwrap_or(1));
        if product > MAX_OUT {
            return Err(ScriptError::Conflict(
                "`chunks` times `chunk` is more than 200000 tokens",
            ));
        }
        Ok(())
    }

    /// Visible output tokens that the script asks for, if it does.
    pub(crate) fn wanted_output(&self) -> Option<u64> {
        self.out
            .or_else(|| Some(self.chunks?.saturating_mul(self.chunk.unwrap_or(1))))
    }

    /// Could a request with this API key meet the fault?
    pub(crate) fn is_for(&self, key: Option<&str>) -> bool {
        self.only_key.as_ref().is_none_or(|beginning| {
            key.is_some_and(|key| received::digest(key.as_bytes()).starts_with(&**beginning))
        })
    }

    /// The fault that the `count`-th request for this name meets (counted from 1).
    pub(crate) fn fault_for(&self, count: u64) -> Option<Fault> {
        let due = match (self.fail, self.every) {
            (Some(first), _) => count <= first,
            (None, Some(every)) => count.is_multiple_of(every),
            (None, None) => true,
        };
        self.fault.filter(|_| due)
    }
}

fn known() -> String {
    DIRECTIVES
        .iter()
        .map(|(name, _, _)| *name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn choices(key: &str) -> String {
    let names: Vec<&str> = match key {
        "usage" => UsageStyle::NAMES.iter().map(|(name, _)| *name).collect(),
        "bad" => Bad::NAMES.iter().map(|(name, _)| *name).collect(),
        "fault" => FAULTS.iter().map(|(name, _)| *name).collect(),
        "body" => provider_errors::names().collect(),
        _ => return String::new(),
    };
    format!(", with one of {}", names.join(", "))
}

fn choose<T: Copy>(names: &[(&str, T)], value: &str) -> Option<T> {
    names
        .iter()
        .find(|(name, _)| *name == value)
        .map(|(_, chosen)| *chosen)
}

fn flag(value: &str) -> Option<bool> {
    value.is_empty().then_some(true)
}

fn hex(value: &str) -> Option<String> {
    let fits = (1..=64).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| value.to_ascii_lowercase())
}

/// Digits and at most one dot between them: what both a script and JSON take as a number.
fn dollars(value: &str) -> Option<String> {
    let (whole, part) = value.split_once('.').unwrap_or((value, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let fits = digits(whole) && digits(part) && (whole.len() == 1 || !whole.starts_with('0'));
    (fits && value.len() <= 20).then(|| value.to_owned())
}

fn word(value: &str) -> Option<String> {
    let fits = (1..=32).contains(&value.len())
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    fits.then(|| value.to_owned())
}

fn number(value: &str) -> Option<u64> {
    // u32 keeps every later sum of reported tokens far from overflow
    value.parse::<u32>().ok().map(u64::from)
}

/// `200ms`, `2s`, `500us`; a bare number is milliseconds. At most an hour.
fn duration(value: &str) -> Option<Duration> {
    let read = |digits: &str, unit: fn(u64) -> Duration| digits.parse().ok().map(unit);
    let duration = if let Some(digits) = value.strip_suffix("ms") {
        read(digits, Duration::from_millis)
    } else if let Some(digits) = value.strip_suffix("us") {
        read(digits, Duration::from_micros)
    } else if let Some(digits) = value.strip_suffix('s') {
        read(digits, Duration::from_secs)
    } else {
        read(value, Duration::from_millis)
    }?;
    (duration <= Duration::from_secs(3600)).then_some(duration)
}

/// As the header means it: a bare number is seconds.
fn wait(value: &str) -> Option<Duration> {
    match value.parse::<u32>() {
        Ok(seconds) => Some(Duration::from_secs(u64::from(seconds))),
        Err(_) => duration(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_is_a_healthy_model() {
        assert_eq!(Script::parse("Qwen/Qwen3-32B", ""), Ok(Script::default()));
        assert_eq!(base("Qwen/Qwen3-32B+out=3"), "Qwen/Qwen3-32B");
    }

    #[test]
    fn directives_come_in_any_order_and_override_the_extra_ones() {
        let script = Script::parse("m+fault=cut:3+out=7+ttft=2s+nospace", "out=1+gap=5us").unwrap();
        assert_eq!(script.out, Some(7));
        assert_eq!(script.fault, Some(Fault::Cut(3)));
        assert_eq!(script.ttft, Duration::from_secs(2));
        assert_eq!(script.gap, Duration::from_micros(5));
        assert!(script.nospace);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (model, says) in [
            ("m+outt=3", "unknown directive `outt`; known: out, chunks"),
            ("m+out=x", "write it as `out=N`"),
            ("m+out=1+out=2", "given twice"),
            ("m+nodone=1", "write it as `nodone`"),
            ("m+usage=x", "openai, deepseek"),
            ("m+fault=cut", "cut:N"),
            ("m+fault=status:99", "status[:S]"),
            ("m+fault=status+body=x", "money"),
            ("m+body=money", "needs `fault=status`"),
            ("m+retry_after=1", "needs `fault=status`"),
            ("m+fail=1", "need a `fault`"),
            ("m+only_key=0a", "need a `fault`"),
            ("m+fault=reset+only_key=x", "only_key=HEX"),
            ("m+fault=reset+fail=1+every=2", "exclude"),
            ("m+out=4+chunks=2+chunk=2", "only two"),
            ("m+chunks=100000+chunk=100000", "200000"),
            ("m+ttft=2h", "ttft=200ms"),
        ] {
            let error = Script::parse(model, "").expect_err(model).to_string();
            assert!(error.contains(says), "{model}: {error}");
        }
    }

    #[test]
    fn every_directive_of_the_table_is_understood() {
        for (name, form, _) in DIRECTIVES {
            let value = match *name {
                "usage" => "last",
                "cost" => "0.01",
                "tier" => "flex",
                "sse" => "cr",
                "bad" => "form",
                "fault" | "body" | "retry_after" | "fail" | "every" | "only_key" => continue,
                _ if form.contains("=N") => "1",
                _ if form.contains('=') => "1ms",
                _ => "",
            };
            let model = if value.is_empty() {
                format!("m+{name}")
            } else {
                format!("m+{name}={value}")
            };
            assert!(Script::parse(&model, "").is_ok(), "{model}");
        }
        for (form, _) in FAULTS {
            let form = form.replace("[:S]", ":503").replace(":N", ":2");
            assert!(
                Script::parse(&format!("m+fault={form}+every=2"), "").is_ok(),
                "{form}"
            );
        }
    }

    #[test]
    fn a_charge_is_a_json_number_and_a_tier_a_word() {
        for good in [
            "cost=0",
            "cost=12.50",
            "cost=0.000000000001",
            "tier=on_demand",
        ] {
            assert!(Script::parse(&format!("m+{good}"), "").is_ok(), "{good}");
        }
        for bad in [
            "cost=", "cost=.5", "cost=1.", "cost=01", "cost=-1", "cost=1e3", "tier=a-b",
        ] {
            assert!(Script::parse(&format!("m+{bad}"), "").is_err(), "{bad}");
        }
    }

    #[test]
    fn the_guide_and_the_module_name_every_directive_fault_style_and_body() {
        let guide = include_str!("../../docs/simulator.md");
        let module = include_str!("../simulate.rs");
        let words = |form: &str| form.split(['[', ':']).next().unwrap().to_owned();
        for (_, form, _) in DIRECTIVES {
            let form = form.replace('|', "\\|");
            assert!(guide.contains(&format!("`{form}`")), "{form}");
            assert!(module.contains(&format!("`{form}`")), "{form}");
        }
        for (form, _) in FAULTS {
            let mark = format!("`{}", words(form));
            assert!(guide.contains(&mark) && module.contains(&mark), "{form}");
        }
        for (style, _) in UsageStyle::NAMES {
            let mark = format!("`{style}`");
            assert!(guide.contains(&mark) && module.contains(&mark), "{style}");
        }
        for body in provider_errors::names() {
            assert!(guide.contains(&format!("`{body}`")), "{body}");
        }
    }

    #[test]
    fn only_key_chooses_by_the_digest_of_the_key() {
        // printf sk-one | sha256sum
        let script = Script::parse("m+fault=reset+only_key=456F1612", "").unwrap();
        assert!(script.is_for(Some("sk-one")));
        assert!(!script.is_for(Some("sk-two")) && !script.is_for(None));
        assert!(Script::default().is_for(None));
    }

    #[test]
    fn fail_and_every_choose_which_requests_meet_the_fault() {
        let meets = |model: &str| -> Vec<bool> {
            let script = Script::parse(model, "").unwrap();
            (1..=4)
                .map(|count| script.fault_for(count).is_some())
                .collect()
        };
        assert_eq!(meets("m+fault=reset"), [true; 4]);
        assert_eq!(meets("m+fault=reset+fail=2"), [true, true, false, false]);
        assert_eq!(meets("m+fault=reset+every=2"), [false, true, false, true]);
    }
}
