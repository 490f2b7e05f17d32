//! Sections that are a few plain values.

use serde_json::{Value, json};

use crate::config::{Admin, Evidence, Ledger, OnFailure, Series, Store};

pub(super) fn view_admin(admin: &Admin) -> Value {
    let Admin { listen, key } = admin;
    json!({ "listen": listen.to_string(), "key": super::hidden(key.as_ref()) })
}

pub(super) fn view_store(store: &Store) -> Value {
    let Store {
        ledger,
        stated: _,
        on_failure,
    } = store;
    json!({
        "ledger": match ledger {
            Ledger::None => "none".to_owned(),
            Ledger::Sqlite(path) => format!("sqlite:{}", path.display()),
        },
        "on_failure": match on_failure {
            OnFailure::Serve => "serve",
            OnFailure::Refuse => "refuse",
        },
    })
}

pub(super) fn view_evidence(evidence: Evidence) -> Value {
    let Evidence {
        feedback,
        verify,
        across_keys,
        decisions,
    } = evidence;
    json!({
        "feedback": feedback,
        "verify": verify,
        "across_keys": across_keys,
        "decisions": decisions,
    })
}

pub(super) fn view_series(series: Series) -> Value {
    let Series {
        max_keys,
        max_series,
    } = series;
    json!({ "max_keys": max_keys, "max_series": max_series })
}
