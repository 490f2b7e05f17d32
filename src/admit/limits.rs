//! Limits of one holder, and what a request has taken of several: all of them or none.

use std::{sync::Arc, time::Duration};

use super::{
    bucket::Bucket,
    gate::{Gate, Pass},
    rate::{Level, RequestRate},
};
use crate::config;

/// Whose limits they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whose {
    Gateway,
    Key(Arc<str>),
    Route(Arc<str>),
    Model(Arc<str>),
    Provider(Arc<str>),
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Requests,
    Tokens,
    Concurrency,
}

/// The limits of one holder, at work.
#[derive(Debug)]
pub struct Limits {
    pub whose: Whose,
    pub stated: config::Limits,
    requests: Option<RequestRate>,
    tokens: Option<Bucket>,
    gate: Option<Gate>,
}

/// A limit that is reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the limit of {whose} of {limit} {what} is reached")]
pub struct Denied {
    pub whose: Whose,
    pub what: What,
    pub limit: u64,
    /// How long until it makes sense to come back.
    pub wait: Duration,
}

/// What a request has taken of one holder's limits. Dropped, it keeps the tokens it took: that is
/// the estimate, where nothing better is known.
#[derive(Debug)]
pub struct Grant {
    limits: Arc<Limits>,
    request: bool,
    tokens: u64,
    _pass: Option<Pass>,
}

/// When somebody inside may have left: nobody knows, so soon.
const SOON: Duration = Duration::from_secs(1);

impl Limits {
    /// Limits at work; `None` where nothing is limited.
    #[must_use]
    pub fn of(whose: Whose, stated: config::Limits) -> Option<Arc<Self>> {
        if stated == config::Limits::default() {
            return None;
        }
        Some(Arc::new(Self {
            whose,
            stated,
            requests: stated.rpm.map(RequestRate::new),
            tokens: stated.tpm.map(|limit| Bucket::new(limit.get())),
            gate: stated.max_concurrent.map(|limit| Gate::new(limit.get())),
        }))
    }

    /// Takes one request and a place inside.
    ///
    /// # Errors
    /// If a limit is reached; nothing is taken then.
    pub fn enter(self: &Arc<Self>) -> Result<Grant, Denied> {
        let pass = match &self.gate {
            None => None,
            Some(gate) => match gate.enter() {
                Some(pass) => Some(pass),
                None => return Err(self.denied(What::Concurrency, u64::from(gate.limit()), SOON)),
            },
        };
        if let Some(requests) = &self.requests {
            let limit = requests.level().limit;
            requests
                .take()
                .map_err(|wait| self.denied(What::Requests, limit, wait))?;
        }
        Ok(Grant {
            limits: Arc::clone(self),
            request: true,
            tokens: 0,
            _pass: pass,
        })
    }

    /// Would so many tokens find room now? Nothing is taken, so that by the time it is tried the
    /// answer may have changed.
    ///
    /// # Errors
    /// The limit that would refuse.
    pub fn probe(&self, tokens: u64, now_ms: u64) -> Result<(), Denied> {
        if let Some(gate) = self
            .gate
            .as_ref()
            .filter(|gate| gate.inside() >= gate.limit())
        {
            return Err(self.denied(What::Concurrency, u64::from(gate.limit()), SOON));
        }
        let (requests, level) = self.levels(now_ms);
        if let Some(level) = requests.filter(|level| level.remaining == 0) {
            let wait = Duration::from_millis(60_000_u64.div_ceil(level.limit.max(1)));
            return Err(self.denied(What::Requests, level.limit, wait));
        }
        if let Some(level) = level {
            let missing = tokens.min(level.limit).saturating_sub(level.remaining);
            if missing > 0 {
                let wait = missing.saturating_mul(60_000).div_ceil(level.limit.max(1));
                return Err(self.denied(What::Tokens, level.limit, Duration::from_millis(wait)));
            }
        }
        Ok(())
    }

    /// How full the request limit and the token limit are.
    #[must_use]
    pub fn levels(&self, now_ms: u64) -> (Option<Level>, Option<Level>) {
        let requests = self.requests.as_ref().map(RequestRate::level);
        (
            requests,
            self.tokens.as_ref().map(|tokens| tokens.level(now_ms)),
        )
    }

    /// How many requests are inside, where that is limited.
    #[must_use]
    pub fn inside(&self) -> Option<u32> {
        self.gate.as_ref().map(Gate::inside)
    }

    fn denied(&self, what: What, limit: u64, wait: Duration) -> Denied {
        Denied {
            whose: self.whose.clone(),
            what,
            limit,
            wait,
        }
    }
}

impl Grant {
    /// Takes tokens by estimate.
    ///
    /// # Errors
    /// If there are not so many; nothing is taken then.
    pub fn take_tokens(&mut self, tokens: u64, now_ms: u64) -> Result<(), Denied> {
        let Some(bucket) = &self.limits.tokens else {
            return Ok(());
        };
        let limit = bucket.level(now_ms).limit;
        let taken = bucket.take(tokens, now_ms).map_err(|wait_ms| {
            self.limits
                .denied(What::Tokens, limit, Duration::from_millis(wait_ms))
        })?;
        self.tokens += taken;
        Ok(())
    }

    /// The work is done: corrects the tokens to what was used.
    pub fn settle(mut self, used: u64, now_ms: u64) {
        if let Some(bucket) = &self.limits.tokens {
            bucket.settle(self.tokens, used, now_ms);
        }
        self.tokens = 0;
    }

    /// The work was not begun, as another limit refused it: gives everything back.
    pub fn give_back(self, now_ms: u64) {
        if self.request
            && let Some(requests) = &self.limits.requests
        {
            requests.give_back();
        }
        self.settle(0, now_ms);
    }

    /// Whose limits they are of.
    #[must_use]
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }
}

/// Enters all of them, and takes tokens of each; or none. What was taken is added to `grants`.
///
/// # Errors
/// The first limit that is reached.
pub fn enter_all<'a>(
    grants: &mut Vec<Grant>,
    all: impl IntoIterator<Item = &'a Arc<Limits>>,
    tokens: u64,
    now_ms: u64,
) -> Result<(), Denied> {
    let before = grants.len();
    for limits in all {
        let entered =
            limits
                .enter()
                .and_then(|mut grant| match grant.take_tokens(tokens, now_ms) {
                    Ok(()) => Ok(grant),
                    Err(denied) => {
                        grant.give_back(now_ms);
                        Err(denied)
                    }
                });
        match entered {
            Ok(grant) => grants.push(grant),
            Err(denied) => {
                let taken = grants.drain(before..);
                taken.for_each(|grant| grant.give_back(now_ms));
                return Err(denied);
            }
        }
    }
    Ok(())
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gateway => f.write_str("this gateway"),
            Self::Key(name) => write!(f, "the key `{name}`"),
            Self::Route(name) => write!(f, "the route `{name}`"),
            Self::Model(name) => write!(f, "the model `{name}`"),
            Self::Provider(name) => write!(f, "the provider `{name}`"),
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Requests => "requests a minute",
            Self::Tokens => "tokens a minute",
            Self::Concurrency => "requests at once",
        })
    }
}

impl Denied {
    /// The label in metrics: whose limit, and of what.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match (&self.whose, self.what) {
            (Whose::Gateway, What::Requests) => "gateway_requests",
            (Whose::Gateway, What::Tokens) => "gateway_tokens",
            (Whose::Gateway, What::Concurrency) => "gateway_concurrency",
            (Whose::Key(_), What::Requests) => "key_requests",
            (Whose::Key(_), What::Tokens) => "key_tokens",
            (Whose::Key(_), What::Concurrency) => "key_concurrency",
            (Whose::Route(_), What::Requests) => "route_requests",
            (Whose::Route(_), What::Tokens) => "route_tokens",
            (Whose::Route(_), What::Concurrency) => "route_concurrency",
            (Whose::Model(_), What::Requests) => "model_requests",
            (Whose::Model(_), What::Tokens) => "model_tokens",
            (Whose::Model(_), What::Concurrency) => "model_concurrency",
            (Whose::Provider(_), What::Requests) => "provider_requests",
            (Whose::Provider(_), What::Tokens) => "provider_tokens",
            (Whose::Provider(_), What::Concurrency) => "provider_concurrency",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};

    use super::*;

    fn limits(rpm: u32, tpm: u64, max_concurrent: u32) -> Arc<Limits> {
        let stated = config::Limits {
            rpm: NonZeroU32::new(rpm),
            tpm: NonZeroU64::new(tpm),
            max_concurrent: NonZeroU32::new(max_concurrent),
        };
        Limits::of(Whose::Gateway, stated).unwrap()
    }

    fn free(limits: &Limits) -> (u64, u64, u32) {
        let (requests, tokens) = limits.levels(0);
        (
            requests.unwrap().remaining,
            tokens.unwrap().remaining,
            limits.inside().unwrap(),
        )
    }

    #[test]
    fn a_refusal_by_the_last_of_several_limits_consumes_nothing_of_the_others() {
        let (wide, narrow) = (limits(100, 10_000, 10), limits(100, 50, 10));
        let mut grants = Vec::new();
        enter_all(&mut grants, [&wide, &narrow], 40, 0).unwrap();
        let denied = enter_all(&mut grants, [&wide, &narrow], 40, 0).unwrap_err();
        assert_eq!(denied.what, What::Tokens);
        assert_eq!(grants.len(), 2);
        assert_eq!(free(&wide), (99, 9_960, 1));
        assert_eq!(free(&narrow), (99, 10, 1));
    }

    #[test]
    fn a_place_is_left_and_tokens_are_corrected_when_the_work_is_done() {
        let limits = limits(10, 1_000, 1);
        let mut grants = Vec::new();
        enter_all(&mut grants, [&limits], 600, 0).unwrap();
        let denied = limits.enter().unwrap_err();
        assert_eq!((denied.what, denied.limit), (What::Concurrency, 1));
        grants.pop().unwrap().settle(100, 0);
        assert_eq!(free(&limits), (9, 900, 0));
    }

    #[test]
    fn a_grant_that_is_dropped_leaves_its_place_and_keeps_its_estimate() {
        let limits = limits(10, 1_000, 1);
        let mut grants = Vec::new();
        enter_all(&mut grants, [&limits], 600, 0).unwrap();
        drop(grants);
        assert_eq!(free(&limits), (9, 400, 0));
    }

    #[test]
    fn a_message_says_whose_limit_it_was() {
        let denied = Denied {
            whose: Whose::Key("team-a".into()),
            what: What::Requests,
            limit: 600,
            wait: Duration::from_millis(10),
        };
        assert_eq!(
            denied.to_string(),
            "the limit of the key `team-a` of 600 requests a minute is reached"
        );
    }

    #[test]
    fn nothing_limited_is_no_limits() {
        assert!(Limits::of(Whose::Gateway, config::Limits::default()).is_none());
    }
}
