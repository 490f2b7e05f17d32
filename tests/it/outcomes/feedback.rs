//! `/v1/feedback`.

use http::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{KEY_A, KEY_B, Kept, learned, model, quality, setup};
use crate::support::{Gateway, Reply, gateway::ADMIN_KEY, simulator};

async fn judge(gateway: &Gateway, key: &str, request: &str, score: f64) -> Reply {
    let body = json!({ "request_id": request, "score": score });
    let call = gateway.call(Method::POST, "/v1/feedback").key(key);
    call.json(&body).send().await
}

/// Asks and judges the answer; says which model gave it.
async fn asked_and_judged(gateway: &Gateway, key: &str, score: f64) -> String {
    let reply = gateway.ask_as(key, "auto").await;
    let name = model(&reply).to_owned();
    let judged = judge(gateway, key, reply.header("x-request-id"), score).await;
    assert_eq!(judged.status, 200, "{}", judged.text());
    assert_eq!(judged.json()["model"], *name);
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_answers_cost_a_model_the_floor_for_that_key_alone_and_after_a_restart_too() {
    let sim = simulator().await;
    let kept = Kept::start(setup(&sim, "fast+out=4")).await;
    assert_eq!(model(&kept.gateway.ask_as(KEY_A, "auto").await), "cheap");
    let before = quality(&kept.gateway, "a", "cheap").await;
    assert_eq!(before, [0.8, 0.8, 0.8]);
    let mut judged = 0;
    while asked_and_judged(&kept.gateway, KEY_A, 0.0).await == "cheap" {
        judged += 1;
        assert!(
            judged < 10,
            "{:?}",
            quality(&kept.gateway, "a", "cheap").await
        );
    }
    assert!(judged >= 1);
    assert_eq!(model(&kept.gateway.ask_as(KEY_B, "auto").await), "cheap");
    assert_eq!(quality(&kept.gateway, "b", "cheap").await, before);

    let seen = learned(&kept.gateway, "?key=a&model=cheap").await;
    assert_eq!(seen[0]["feedback"]["outcomes"], judged);
    assert!(
        seen[0]["feedback"]["offset"].as_f64() < Some(-0.1),
        "{seen:?}"
    );
    assert_eq!(seen[0]["domain"], "chat");

    let kept = kept.restarted().await;
    assert_eq!(learned(&kept.gateway, "?key=a&model=cheap").await, seen);
    assert_eq!(model(&kept.gateway.ask_as(KEY_A, "auto").await), "dear");
    assert_eq!(model(&kept.gateway.ask_as(KEY_B, "auto").await), "cheap");

    // what is forgotten stays so
    let path = "/admin/v1/outcomes?key=a";
    let call = kept.gateway.operator(Method::DELETE, path).key(ADMIN_KEY);
    assert_eq!(call.send().await.json()["forgotten"], 2);
    assert_eq!(model(&kept.gateway.ask_as(KEY_A, "auto").await), "cheap");
    let kept = kept.restarted().await;
    let seen = learned(&kept.gateway, "?key=a").await;
    let told: Vec<_> = seen
        .iter()
        .map(|place| &place["feedback"]["outcomes"])
        .collect();
    assert_eq!(told, [0], "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_learn_from_all_where_the_operator_wants_it() {
    let sim = simulator().await;
    let shared = setup(&sim, "fast+out=4").also("evidence: { across_keys: true }");
    let kept = Kept::start(shared).await;
    while asked_and_judged(&kept.gateway, KEY_A, 0.0).await == "cheap" {}
    assert_eq!(model(&kept.gateway.ask_as(KEY_B, "auto").await), "dear");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_judged_once_by_its_key_within_a_day() {
    let sim = simulator().await;
    let kept = Kept::start(setup(&sim, "fast+out=4")).await;
    let gateway = &kept.gateway;
    let first = gateway.ask_as(KEY_A, "auto").await;
    let request = first.header("x-request-id");
    let refused = async |key: &str, request: &str| {
        let reply = judge(gateway, key, request, 0.5).await;
        let error = reply.json()["error"].clone();
        (
            reply.status,
            error["code"].as_str().unwrap().to_owned(),
            error["param"].clone(),
        )
    };
    let unknown = (404, "request_not_found".to_owned(), json!("request_id"));
    // another key is told no more than of a request that never was
    assert_eq!(refused(KEY_B, request).await, unknown);
    assert_eq!(refused(KEY_A, "req_of_nobody").await, unknown);
    let taken = judge(gateway, KEY_A, request, 0.5).await;
    let want = json!({
        "object": "feedback", "request_id": request, "score": 0.5,
        "model": "cheap", "domain": "chat", "learned": true,
    });
    assert_eq!((taken.status, taken.json()), (200, want));
    let given = (
        400,
        "feedback_already_given".to_owned(),
        json!("request_id"),
    );
    assert_eq!(refused(KEY_A, request).await, given);

    let old = gateway.ask_as(KEY_A, "auto").await;
    let old = old.header("x-request-id");
    // its row is written before feedback on it is looked at
    assert_eq!(refused(KEY_B, old).await, unknown);
    let db = Connection::open(kept.path()).unwrap();
    let sql = "UPDATE attempts SET completed_ms = completed_ms - 86400001 WHERE request_id = ?1";
    assert_eq!(db.execute(sql, [old]).unwrap(), 1);
    assert_eq!(refused(KEY_A, old).await, unknown);

    let failed = gateway
        .post(&json!({ "model": "auto", "messages": 7 }))
        .key(KEY_A);
    let failed = failed.send().await;
    assert_eq!(refused(KEY_A, failed.header("x-request-id")).await, unknown);

    let metrics = gateway.metrics().await;
    let count = |result| metrics.count("feedback_total", &[("result", result)]);
    assert_eq!(
        (count("taken"), count("given"), count("unknown")),
        (1, 1, 5)
    );
    let kept: (i64, String, String) = db
        .query_row(
            "SELECT count(*), max(key), max(score) FROM feedback",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, f64>(2)?.to_string())),
        )
        .unwrap();
    assert_eq!(kept, (1, "a".into(), "0.5".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_feedback_says_what_is_wrong() {
    let sim = simulator().await;
    let kept = Kept::start(setup(&sim, "fast+out=4")).await;
    for (body, code, param) in [
        (
            json!({ "score": 1 }),
            "missing_required_parameter",
            "request_id",
        ),
        (
            json!({ "request_id": "r" }),
            "missing_required_parameter",
            "score",
        ),
        (
            json!({ "request_id": "r", "score": 2 }),
            "invalid_type",
            "score",
        ),
        (
            json!({ "request_id": 1, "score": 1 }),
            "invalid_type",
            "request_id",
        ),
    ] {
        let call = kept.gateway.call(Method::POST, "/v1/feedback").key(KEY_A);
        let reply = call.json(&body).send().await;
        assert_eq!(reply.status, 400, "{body}");
        let error = &reply.json()["error"];
        assert_eq!(
            (&error["code"], &error["param"]),
            (&json!(code), &json!(param)),
            "{body}"
        );
    }
    let nobody = kept.gateway.call(Method::POST, "/feedback");
    assert_eq!(nobody.json(&json!({})).send().await.status, 401);
    let get = kept.gateway.call(Method::GET, "/v1/feedback").key(KEY_A);
    assert_eq!(get.send().await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_or_where_it_is_off_there_is_no_feedback() {
    let sim = simulator().await;
    let off = Kept::start(setup(&sim, "fast").also("evidence: { feedback: false }")).await;
    let without = setup(&sim, "fast").start().await;
    for gateway in [&off.gateway, &without] {
        let reply = judge(gateway, KEY_A, "r", 1.0).await;
        assert_eq!(
            (reply.status, reply.json()["error"]["code"].clone()),
            (403, json!("feedback_off"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_stopped_can_be_judged_and_a_model_without_a_chance_is_not_made_one() {
    let sim = simulator().await;
    let plain = setup(&sim, "fast+out=400+gap=20ms").model("plain", &["a/p+out=2"]);
    let kept = Kept::start(plain).await;
    let body = json!({ "model": "loose", "stream": true, "messages": [{ "role": "user", "content": "x" }] });
    let mut open = kept.gateway.post(&body).key(KEY_A).open().await;
    let request = open.header("x-request-id").to_owned();
    open.frame().await.unwrap().unwrap();
    drop(open);
    let judged = async || judge(&kept.gateway, KEY_A, &request, 0.0).await.status == 200;
    crate::support::eventually("the row is there", judged).await;
    let reply = kept.gateway.ask_as(KEY_A, "plain").await;
    let judged = judge(&kept.gateway, KEY_A, reply.header("x-request-id"), 1.0).await;
    assert_eq!(judged.json()["learned"], false);
    assert_eq!(
        learned(&kept.gateway, "?model=plain").await,
        Vec::<Value>::new()
    );
}
