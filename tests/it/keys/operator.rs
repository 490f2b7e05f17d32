//! `/admin/v1/keys`.

use http::Method;
use serde_json::{Value, json};

use super::{Bench, WRONG};
use crate::support::{Reply, gateway::ADMIN_KEY};

impl Bench {
    async fn operator(&self, method: Method, path: &str, body: &Value) -> Reply {
        let path = format!("/admin/v1/keys{path}");
        let call = self.gateway.operator(method, &path).key(ADMIN_KEY);
        call.json(body).send().await
    }

    async fn made(&self, body: &Value) -> (String, Value) {
        let reply = self.operator(Method::POST, "", body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let made = reply.json();
        (made["key"].as_str().unwrap().to_owned(), made)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_makes_changes_rotates_and_revokes_at_once() {
    let bench = Bench::start().await;
    let (secret, made) = bench.made(&json!({ "models": ["small"] })).await;
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("key_"), "{made}");
    assert_eq!(bench.status(&secret, "small").await, 200);
    assert_eq!(bench.status(&secret, "large").await, 403);

    let change = json!({ "models": null, "limits": { "max_concurrent": 7 } });
    let path = format!("/{id}");
    let changed = bench.operator(Method::PATCH, &path, &change).await.json();
    assert_eq!(changed["models"], Value::Null);
    assert_eq!(changed["limits"]["max_concurrent"], 7);
    assert_eq!(bench.status(&secret, "large").await, 200);

    let path = format!("/{id}/rotate");
    let body = json!({ "overlap": "0" });
    let rotated = bench.operator(Method::POST, &path, &body).await.json();
    let new = rotated["key"].as_str().unwrap();
    assert_eq!(bench.status(&secret, "small").await, 401);
    assert_eq!(bench.status(new, "small").await, 200);

    let path = format!("/{id}/revoke");
    let revoked = bench.operator(Method::POST, &path, &json!({})).await.json();
    assert_eq!(revoked["state"], "revoked");
    assert_eq!(bench.gateway.ask_as(new, "small").await.refusal(), WRONG);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_the_keys_of_the_file_and_then_those_of_the_store_in_pages() {
    let bench = Bench::start().await;
    for id in ["a", "b", "c"] {
        bench
            .made(&json!({ "id": id, "tags": { "team": id } }))
            .await;
    }
    let list = async |query: &str| {
        let reply = bench.operator(Method::GET, query, &json!({})).await;
        let list = reply.json();
        let keys = list["keys"].as_array().unwrap();
        let ids: Vec<String> = keys
            .iter()
            .map(|key| format!("{} {}", key["source"], key["id"]).replace('"', ""))
            .collect();
        (ids.join(", "), list["next"].clone())
    };
    let all = "file of-file, store a, store b, store c".to_owned();
    assert_eq!(list("").await, (all, Value::Null));
    let first = list("?limit=2").await;
    assert_eq!(first, ("file of-file, store a, store b".into(), "b".into()));
    assert_eq!(
        list("?limit=2&after=b").await,
        ("store c".into(), Value::Null)
    );
    let reply = bench.operator(Method::GET, "?page=2", &json!({})).await;
    assert_eq!(reply.status, 400);
}

/// A request, its body, status and code of the refusal, and a word of its message.
const REFUSED: [(&str, &str, &str, &str); 21] = [
    (
        "POST ",
        r#"{"expires":"2020-01-01T00:00:00Z"}"#,
        "400 invalid_body",
        "revoke a key to end it now",
    ),
    (
        "PATCH /a",
        r#"{"expires":"2020-01-01T00:00:00Z"}"#,
        "400 invalid_body",
        "expires: 2020-01-01",
    ),
    ("POST ", r#"{"id":"a"}"#, "409 key_exists", "taken"),
    ("POST ", r#"{"id":"of-file"}"#, "409 key_exists", "file"),
    ("POST ", r#"{"modles":[]}"#, "400 invalid_body", "`modles`"),
    ("POST ", r#"{"id":"a b"}"#, "400 invalid_body", "printable"),
    ("POST ", r#"{"rpm":5}"#, "400 invalid_body", "`rpm`"),
    (
        "POST ",
        r#"{"limits":{"rps":5}}"#,
        "400 invalid_body",
        "`rps`",
    ),
    ("POST ", "[]", "400 invalid_body", "object"),
    (
        "POST ",
        r#"{"tags":{"a,b":""}}"#,
        "400 invalid_body",
        "tags",
    ),
    (
        "POST ",
        r#"{"budget":{"usd":5.5,"per":"day"}}"#,
        "400 invalid_body",
        "",
    ),
    ("PATCH /a", r#"{"id":"b"}"#, "400 invalid_body", "`id`"),
    ("PATCH /nobody", "{}", "404 key_not_found", "nobody"),
    ("PATCH /of-file", "{}", "409 key_of_file", "`keys`"),
    ("PATCH /gone", "{}", "409 key_revoked", "final"),
    ("POST /gone/revoke", "", "409 key_revoked", "final"),
    ("POST /gone/rotate", "{}", "409 key_revoked", "final"),
    (
        "POST /a/rotate",
        r#"{"overlap":"1x"}"#,
        "400 invalid_body",
        "",
    ),
    (
        "POST /a/revoke",
        r#"{"why":""}"#,
        "400 invalid_body",
        "`why`",
    ),
    ("POST /of-file/rotate", "{}", "409 key_of_file", "`keys`"),
    ("POST /a/destroy", "{}", "404 unknown_url", "destroy"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_is_refused_with_its_reason() {
    let bench = Bench::start().await;
    bench.made(&json!({ "id": "a" })).await;
    bench.made(&json!({ "id": "gone" })).await;
    bench
        .operator(Method::POST, "/gone/revoke", &json!({}))
        .await;
    for (request, body, refusal, word) in REFUSED {
        let (method, path) = request.split_once(' ').unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let path = format!("/admin/v1/keys{path}");
        let call = bench.gateway.operator(method, &path).key(ADMIN_KEY);
        let reply = call.json(body).send().await;
        let (status, code) = refusal.split_once(' ').unwrap();
        let expected = format!("{status} invalid_request_error {code} null");
        assert_eq!(reply.refusal(), expected, "{request} {body}");
        assert!(reply.text().contains(word), "{}", reply.text());
    }
    let path = "/admin/v1/keys";
    let reply = bench.gateway.operator(Method::GET, path).send().await;
    assert_eq!(reply.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_file_wins_over_a_stored_one_of_its_id() {
    let bench = Bench::start().await;
    // the file may get a key of that id later
    let path = bench.database();
    let digest = |secret: &str| tollgate::store::keys::secret::digest(secret);
    let secret = tollgate::store::keys::secret::secret().unwrap();
    let secret = secrecy::ExposeSecret::expose_secret(&secret).to_owned();
    let mut register = tollgate::store::keys::Register::open(&path).unwrap();
    let terms = tollgate::store::keys::Terms::default();
    let now = jiff::Timestamp::now();
    register
        .create("of-file", digest(&secret), terms, now)
        .unwrap();
    assert_eq!(
        bench.gateway.ask_as(&secret, "small").await.refusal(),
        WRONG
    );
    assert_eq!(
        bench.status("sk-of-file-0123456789abcdef", "small").await,
        200
    );
    let list = bench.keys(&["list"]);
    assert_eq!(list["keys"][0]["state"], "shadowed");
}
