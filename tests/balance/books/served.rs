//! What the simulator says that it served.

use std::collections::HashMap;

use tollgate::simulate::account::ModelCounts;

use super::{Books, Wrong, off};
use crate::{
    client::Seen,
    fleet::{Backend, Promise},
    ledger::{self, Row},
};

impl Books {
    /// The simulator's own account of a backend.
    pub(crate) fn account(&self, backend: &Backend) -> ModelCounts {
        self.served.at("", &backend.model)
    }

    /// What the simulator would ask for.
    pub(crate) fn bill(&self, backend: &Backend) -> u128 {
        let served = self.account(backend);
        backend.price(
            served.prompt_tokens,
            (served.cached_tokens, served.written_tokens),
            served.completion_tokens,
        )
    }

    /// Every call came to the simulator, and where it reports what it serves, the rows hold just
    /// that.
    pub(super) fn simulator_served_what_rows_say(&self) -> Wrong {
        let mut wrong = Wrong::new();
        for backend in &self.backends {
            let rows: Vec<&Row> = self.of(backend).collect();
            let served = self.account(backend);
            let what = |what: &str| format!("{what} of {}", backend.model);
            off(
                &mut wrong,
                what("calls"),
                rows.len() as u64,
                served.requests,
            );
            if backend.promise != Promise::Exact {
                continue;
            }
            let sum = |column: fn(&Row) -> u64| rows.iter().map(|row| column(row)).sum::<u64>();
            let (prompt, cached) = (served.prompt_tokens, served.cached_tokens);
            off(&mut wrong, what("prompt"), sum(Row::prompt), prompt);
            off(
                &mut wrong,
                what("cached"),
                sum(|row| row.cache_read),
                cached,
            );
            off(
                &mut wrong,
                what("written"),
                sum(|row| row.cache_write),
                served.written_tokens,
            );
            let (output, thought) = (served.completion_tokens, served.reasoning_tokens);
            off(
                &mut wrong,
                what("output"),
                sum(|row| row.output + row.reasoning),
                output,
            );
            off(
                &mut wrong,
                what("reasoning"),
                sum(|row| row.reasoning),
                thought,
            );
            let cost = ledger::total(rows.iter().copied());
            off(&mut wrong, what("dollars"), cost, self.bill(backend));
            let failed: u64 = served.failed.values().sum();
            let errors = rows.iter().filter(|row| !row.is_used()).count() as u64;
            off(&mut wrong, what("failures"), errors, failed);
        }
        let known: u64 = self.backends.iter().map(|b| self.account(b).requests).sum();
        off(
            &mut wrong,
            "calls to anybody else",
            self.served.requests - known,
            0,
        );
        let cut = self.served.uploads_cut + self.served.rejected;
        off(&mut wrong, "calls that were no requests", cut, 0);
        wrong
    }

    /// An estimate holds the prompt as it was judged before the call, here within an eighth of the
    /// simulator's count, and no less output than the client got and no more than was sent.
    pub(super) fn estimates_lie_within_their_bounds(&self) -> Wrong {
        let mut wrong = Wrong::new();
        let seen: HashMap<&str, &Seen> = self
            .seen
            .iter()
            .filter_map(|seen| Some((seen.id.as_deref()?, seen)))
            .collect();
        for backend in self.backends.iter().filter(|b| b.promise != Promise::Exact) {
            let mut got = 0;
            for row in self.of(backend) {
                if row.basis != "estimated" || row.cache_read + row.cache_write + row.reasoning > 0
                {
                    wrong.push(format!("no estimate: {row:?}"));
                }
                let Some(seen) = seen.get(row.request.as_str()) else {
                    continue;
                };
                if row.input.abs_diff(seen.prompt) * 8 > seen.prompt {
                    wrong.push(format!("a prompt of {}: {row:?}", seen.prompt));
                }
                let least = match backend.promise {
                    Promise::Part => seen.text.div_ceil(4),
                    _ => 0,
                };
                if row.output < least {
                    wrong.push(format!("{least} tokens came to the client: {row:?}"));
                }
                got += row.output;
            }
            let sent = self.account(backend).completion_tokens;
            if got > sent {
                wrong.push(format!("{got} of {sent} tokens of {}", backend.model));
            }
        }
        wrong
    }
}
