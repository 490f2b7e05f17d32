//! What is sent: requests of every kind, the same at each run.

use serde_json::{Value, json};

/// What becomes of a request, by the model that it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// A whole answer.
    Plain,
    /// A stream whose client does not ask for usage.
    Quiet,
    /// A stream whose client does.
    Told,
    /// Its client leaves after the last event.
    After,
    Thinks,
    Cached,
    /// A part of the prompt is written to a cache.
    Written,
    /// Own hardware, at what its seconds cost.
    Hosted,
    /// A model of the catalogue whose prompt is over its context tier.
    Long,
    /// One of the catalogue that answers that it served in another tier than was asked for.
    Flex,
    /// No usage is reported.
    Mute,
    /// Its client leaves in the middle.
    Mid,
    /// Its client leaves before the first byte.
    Early,
    /// Each second call is a 500.
    Limps,
    /// The first backend breaks every connection.
    Falls,
    /// Each third call is a 429 that says when to come back.
    Busy,
    /// An event of the stream is not JSON.
    Garbled,
    /// The stream is cut.
    Cut,
    /// The first backend never answers.
    Hangs,
    /// The backend's 400.
    Invalid,
    Unpriced,
    Free,
    /// Of a key with few requests a minute.
    Tight,
    /// Our own 400.
    Malformed,
    /// A wrong key.
    Stranger,
    /// Never in the mix: streams that stay open, for looking at limits.
    Held,
}

impl Kind {
    pub(crate) const ALL: [Self; 26] = [
        Self::Plain,
        Self::Quiet,
        Self::Told,
        Self::After,
        Self::Thinks,
        Self::Cached,
        Self::Written,
        Self::Hosted,
        Self::Long,
        Self::Flex,
        Self::Mute,
        Self::Mid,
        Self::Early,
        Self::Limps,
        Self::Falls,
        Self::Busy,
        Self::Garbled,
        Self::Cut,
        Self::Hangs,
        Self::Invalid,
        Self::Unpriced,
        Self::Free,
        Self::Tight,
        Self::Malformed,
        Self::Stranger,
        Self::Held,
    ];

    /// How many of a thousand are of it.
    fn share(self) -> u64 {
        match self {
            Self::Plain => 140,
            Self::Told => 150,
            Self::Quiet => 120,
            Self::Cached | Self::Thinks | Self::After => 60,
            Self::Mid => 50,
            Self::Limps => 40,
            Self::Early | Self::Mute | Self::Garbled | Self::Cut | Self::Invalid => 25,
            Self::Unpriced | Self::Free | Self::Malformed => 20,
            Self::Busy | Self::Falls | Self::Stranger | Self::Tight => 15,
            Self::Written | Self::Hosted => 25,
            Self::Long | Self::Flex => 10,
            Self::Hangs => 5,
            Self::Held => 0,
        }
    }

    /// What it is called in the table, and the model that it asks for.
    pub(crate) fn model(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Quiet => "quiet",
            Self::Told => "told",
            Self::After => "left-after",
            Self::Thinks => "thinks",
            Self::Cached => "cached",
            Self::Written => "written",
            Self::Hosted => "hosted",
            Self::Long => "gpt-5.4",
            Self::Flex => "gpt-5.4-mini",
            Self::Mute => "mute",
            Self::Mid => "left-mid",
            Self::Early => "left-early",
            Self::Limps => "limps",
            Self::Falls => "falls",
            Self::Busy => "busy",
            Self::Garbled => "garbled",
            Self::Cut => "cut",
            Self::Hangs => "hangs",
            Self::Invalid => "invalid",
            Self::Unpriced => "unpriced",
            Self::Free => "free",
            Self::Tight => "tight",
            Self::Malformed => "malformed",
            Self::Stranger => "stranger",
            Self::Held => "held",
        }
    }
}

/// One request of the mix.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) kind: Kind,
    pub(crate) stream: bool,
    pub(crate) wants_usage: bool,
    /// Content events after which a client leaves that leaves in the middle.
    pub(crate) reads: u64,
    text: String,
}

impl Ask {
    /// The prompt by the simulator's rule: 3, for each message 4, and a token for four bytes.
    pub(crate) fn prompt_tokens(&self) -> u64 {
        7 + (self.text.len() as u64).div_ceil(4)
    }

    /// The body, asking for a model.
    pub(crate) fn body(&self, model: &str) -> Value {
        let mut body = json!({
            "model": model,
            "messages": [{ "role": "user", "content": self.text }],
        });
        if self.stream {
            body["stream"] = true.into();
        }
        if self.wants_usage {
            body["stream_options"] = json!({ "include_usage": true });
        }
        if self.kind == Kind::Malformed {
            body["messages"] = json!("none");
        }
        body
    }

    /// A stream that stays open.
    pub(crate) fn held() -> Self {
        Self {
            kind: Kind::Held,
            stream: true,
            wants_usage: false,
            reads: 1,
            text: "one two six".into(),
        }
    }

    /// One of the key with few requests a minute.
    pub(crate) fn tight() -> Self {
        Self {
            kind: Kind::Tight,
            stream: false,
            ..Self::held()
        }
    }

    /// A plain request.
    pub(crate) fn plain() -> Self {
        Self {
            kind: Kind::Plain,
            stream: false,
            ..Self::held()
        }
    }
}

/// Numbers that only depend on their place (splitmix64).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// So many requests, each kind by its share, in an order of their own.
pub(crate) fn of(number: usize) -> Vec<Ask> {
    assert_eq!(
        Kind::ALL.iter().map(|kind| kind.share()).sum::<u64>(),
        1_000
    );
    let mut dice = Dice(20_261_125);
    let mut mix: Vec<Ask> = (0..number)
        .map(|at| ask(kind_at(at, number), &mut dice))
        .collect();
    for last in (1..mix.len()).rev() {
        mix.swap(last, dice.below(last as u64 + 1) as usize);
    }
    spread_out(mix)
}

/// Puts those that hang at even distances in the first third: the gateway repeats only so many calls as
/// others begin in the same second, and there are none when those give up that began in the last
/// seconds of a load.
fn spread_out(mix: Vec<Ask>) -> Vec<Ask> {
    let (hang, mut rest): (Vec<_>, Vec<_>) =
        mix.into_iter().partition(|ask| ask.kind == Kind::Hangs);
    let distance = rest.len() / 3 / hang.len().max(1);
    for (nth, ask) in hang.into_iter().enumerate() {
        rest.insert(nth * distance, ask);
    }
    rest
}

/// The kind of the request at a place, before they are mixed.
fn kind_at(at: usize, number: usize) -> Kind {
    let mut place = at as u64 * 1_000 / number as u64;
    for kind in Kind::ALL {
        match place.checked_sub(kind.share()) {
            None => return kind,
            Some(rest) => place = rest,
        }
    }
    Kind::Plain
}

fn ask(kind: Kind, dice: &mut Dice) -> Ask {
    let either = dice.below(2) == 0;
    let stream = match kind {
        Kind::Plain | Kind::Mute | Kind::Tight | Kind::Malformed | Kind::Stranger => false,
        Kind::Quiet | Kind::Told | Kind::After | Kind::Mid | Kind::Garbled | Kind::Cut => true,
        _ => either,
    };
    let words = 12 + dice.below(60);
    let text: Vec<&str> = (0..words)
        .map(|_| ["sun", "sea", "map", "oak", "ice", "pen"][dice.below(6) as usize])
        .collect();
    Ask {
        kind,
        stream,
        wants_usage: stream && kind != Kind::Quiet,
        reads: 1 + dice.below(12),
        text: text.join(" "),
    }
}
