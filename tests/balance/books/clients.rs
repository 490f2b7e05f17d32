//! What clients saw, against their rows.

use super::{Books, Wrong, off};
use crate::{
    client::{End, Seen},
    ledger::Row,
    mix::Kind,
};

impl Books {
    /// Every cost that a client was shown stands in the row of the call that answered, and every
    /// answer has such a row.
    pub(super) fn clients_were_shown_what_rows_say(&self) -> Wrong {
        let mut wrong = Wrong::new();
        let rows = self.by_request();
        let mut known = 0;
        for seen in &self.seen {
            let own = seen.id.as_deref().and_then(|id| rows.get(id));
            let own = own.map_or(&[][..], Vec::as_slice);
            known += usize::from(!own.is_empty());
            if let Some(why) = not_as_seen(seen, own.last().copied()) {
                wrong.push(format!("{why}: {seen:?}: {own:?}"));
            }
        }
        // who left before the head never learned its id
        let unnamed = self.seen.iter().filter(|seen| seen.id.is_none()).count();
        off(
            &mut wrong,
            "requests with rows",
            rows.len(),
            known + unnamed,
        );
        wrong
    }

    /// What clients were shown of a kind, and what their rows say.
    pub(crate) fn shown(&self, kind: Kind) -> (u128, u128) {
        let rows = self.by_request();
        let told = self.seen.iter().filter(|seen| seen.kind == kind);
        told.filter_map(|seen| Some((seen.told?, rows.get(seen.id.as_deref()?)?.last()?.cost?)))
            .fold((0, 0), |(told, rows), (one, row)| (told + one, rows + row))
    }

    pub(super) fn requests_are_counted_as_clients_saw_them(&self) -> Wrong {
        let mut wrong = Wrong::new();
        let counted = |outcome| {
            self.metrics
                .count("requests_total", &[("outcome", outcome)])
        };
        let seen = |end: End| self.seen.iter().filter(|s| s.end == end).count() as u64;
        let all = self.metrics.count("requests_total", &[]);
        off(&mut wrong, "requests_total", all, self.seen.len() as u64);
        // who leaves after the last event may have left before we noticed that it was the last
        let (answered, left) = (seen(End::Answered), seen(End::Left));
        off(
            &mut wrong,
            "requests ok or cancelled",
            counted("ok") + counted("cancelled"),
            answered + left,
        );
        let after = self
            .seen
            .iter()
            .filter(|seen| seen.kind == Kind::After)
            .count() as u64;
        if !(answered..=answered + after).contains(&counted("ok")) {
            wrong.push(format!(
                "requests ok: {}, answered {answered}",
                counted("ok")
            ));
        }
        off(&mut wrong, "requests cut", counted("cut"), seen(End::Broke));
        off(
            &mut wrong,
            "requests of client_error",
            counted("client_error"),
            seen(End::Refused(400)) + seen(End::Refused(401)),
        );
        off(
            &mut wrong,
            "requests rate_limited",
            counted("rate_limited"),
            seen(End::Refused(429)),
        );
        wrong
    }
}

/// What is not as it should be with a request, whose last row is given.
fn not_as_seen(seen: &Seen, last: Option<&Row>) -> Option<&'static str> {
    let should = match seen.kind {
        Kind::Invalid | Kind::Malformed => seen.end == End::Refused(400),
        Kind::Stranger => seen.end == End::Refused(401),
        Kind::Tight => matches!(seen.end, End::Answered | End::Refused(429)),
        Kind::Garbled | Kind::Cut => seen.end == End::Broke,
        Kind::After | Kind::Mid | Kind::Early => seen.end == End::Left,
        _ => seen.end == End::Answered,
    };
    if !should {
        return Some("another end than it should have come to");
    }
    if matches!(seen.end, End::Refused(_)) && seen.kind != Kind::Invalid {
        return last.is_some().then_some("a row without a call");
    }
    if seen.kind == Kind::Early {
        return None;
    }
    let Some(last) = last else {
        return Some("no row");
    };
    let shows = match seen.kind {
        // nothing is shown where nothing is known
        Kind::Quiet | Kind::Mute | Kind::Mid | Kind::Garbled | Kind::Cut | Kind::Invalid => false,
        Kind::Unpriced => {
            return (seen.told.is_some() || last.basis != "unpriced")
                .then_some("no price was known");
        }
        _ => true,
    };
    if shows != seen.told.is_some() {
        return Some("shown or not shown");
    }
    if shows && (seen.told, "exact") != (last.cost, last.basis.as_str()) {
        return Some("shown another cost than the row's");
    }
    let flagged = matches!(
        seen.kind,
        Kind::Mute | Kind::Mid | Kind::Garbled | Kind::Cut
    );
    let basis = if flagged { "estimated" } else { "exact" };
    (last.basis != basis).then_some("its cost rests on something else")
}
