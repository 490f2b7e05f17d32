//! What the key with a budget has spent, as it is told itself and as `/metrics` says.

use http::Method;
use serde_json::Value;

use super::{Books, Wrong, off};
use crate::{
    fleet::KEY,
    ledger,
    support::{Call, Program, pico},
};

/// What the key is told of its budget.
pub(super) async fn read(program: &Program) -> Value {
    let call = Call::new(program.client, Method::GET, "/v1/key").key(KEY);
    call.send().await.json()["budget"].take()
}

impl Books {
    /// All lives together have spent what their rows cost, and nothing is held any more.
    pub(super) fn budget_says_what_rows_say(&self) -> Wrong {
        let mut wrong = Wrong::new();
        let rows = self.before.iter().chain(&self.rows);
        let own = rows.filter(|row| row.key.as_deref() == Some("books"));
        let cost = ledger::total(own);
        let told = |name: &str| pico(self.budget[name].as_str().unwrap());
        off(&mut wrong, "budget spent", told("spent_usd"), cost);
        off(&mut wrong, "budget held", told("held_usd"), 0);
        for (name, should) in [("budget_spent_usd", cost), ("budget_held_usd", 0)] {
            let dollars = self.metrics.sum(name, &[("key", "books")]);
            off(&mut wrong, name, pico(&format!("{dollars:.12}")), should);
        }
        wrong
    }
}
