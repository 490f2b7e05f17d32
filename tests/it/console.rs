//! The console: that its page is served to anybody, holds nothing, and may do nothing but show
//! itself; and what its playground does with a request.

use http::Method;
use serde_json::json;
use tollgate::simulate::Handle;

use crate::support::{
    Call, Gateway, Reply, Setup,
    gateway::{ADMIN_KEY, ask},
    simulator,
};

const KEY: &str = "sk-team-a-0123456789abcdef";

/// A gateway with two backends; the simulator lives as long as its handle.
async fn gateway() -> (Gateway, Handle) {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=3"])
        .model("other", &["a/y"])
        .also(&format!(
            "keys:\n  - {{ id: team-a, key: {KEY}, models: [m], limits: {{ rpm: 2 }} }}\n  \
             - {{ id: gone, key: sk-gone-0123456789abcdef, expires: 2020-01-01T00:00:00Z }}"
        ))
        .start()
        .await;
    (gateway, sim)
}

async fn file(gateway: &Gateway, path: &str) -> Reply {
    gateway.operator(Method::GET, path).send().await
}

/// Addresses that a text of the page names.
fn names<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    let pieces = text.split(before).skip(1);
    pieces
        .filter_map(|piece| piece.split(after).next())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_without_a_key_and_shuts_everything_else_out() {
    let (gateway, _sim) = gateway().await;
    let page = file(&gateway, "/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
    assert_eq!(page.header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(page.header("cache-control"), "no-cache");
    assert_eq!(
        page.header("content-security-policy"),
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    );
    for word in ["team-a", ADMIN_KEY, "a/x"] {
        assert!(!page.text().contains(word), "the page holds {word}");
    }
    let of_clients = gateway.get("/").send().await;
    assert_eq!(of_clients.status, 404, "the clients' address has no page");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_that_the_page_or_a_script_names_is_there() {
    let (gateway, _sim) = gateway().await;
    let page = file(&gateway, "/").await;
    let mut wanted: Vec<String> = Vec::new();
    for attribute in ["src=\"", "href=\""] {
        let all = names(page.text(), attribute, '"').into_iter();
        wanted.extend(all.filter(|name| !name.starts_with('#')).map(str::to_owned));
    }
    let mut seen = 0;
    while let Some(path) = wanted.get(seen).cloned() {
        seen += 1;
        let kind = match path.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        let reply = file(&gateway, &path).await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, kind),
            "{path}"
        );
        assert!(reply.has("content-security-policy"), "{path}");
        for import in names(reply.text(), "from './", '\'') {
            let import = format!("/console/{import}");
            if !wanted.contains(&import) {
                wanted.push(import);
            }
        }
        assert!(
            !reply.text().contains("innerHTML"),
            "{path} makes markup of text"
        );
        assert!(
            !reply.text().contains("https://"),
            "{path} names another address"
        );
    }
    assert!(seen > 15, "only {seen} files were found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_browser_has_is_not_sent_again_and_head_sends_none() {
    let (gateway, _sim) = gateway().await;
    let page = file(&gateway, "/").await;
    let tag = page.header("etag").to_owned();
    assert!(tag.len() > 10 && tag.starts_with('"'), "{tag}");
    let call = |tag: &str| {
        gateway
            .operator(Method::GET, "/")
            .header("if-none-match", tag)
    };
    let again = call(&tag).send().await;
    assert_eq!((again.status, again.text()), (304, ""));
    assert_eq!(again.header("etag"), tag);
    assert_eq!(call("\"other\"").send().await.status, 200);
    let script = file(&gateway, "/console/app.js").await;
    assert_ne!(script.header("etag"), tag);
    let head = gateway.operator(Method::HEAD, "/").send().await;
    assert_eq!((head.status, head.text()), (200, ""));
    assert_eq!(head.header("etag"), tag);
    assert!(head.has("content-security-policy"));
    let wrong = gateway.operator(Method::POST, "/").send().await;
    assert_eq!(
        wrong.refusal(),
        "405 invalid_request_error method_not_allowed null"
    );
}

fn play(gateway: &Gateway, query: &str, model: &str) -> Call {
    let path = format!("/admin/v1/playground{query}");
    gateway.operator(Method::POST, &path).json(&ask(model))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_playground_is_for_the_operator_and_serves_as_a_client_is_served() {
    let (gateway, _sim) = gateway().await;
    for stranger in [play(&gateway, "", "m"), play(&gateway, "", "m").key(KEY)] {
        let refusal = stranger.send().await.refusal();
        assert_eq!(refusal, "401 invalid_request_error invalid_api_key null");
    }
    let reply = play(&gateway, "", "other").key(ADMIN_KEY).send().await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-tollgate-backend"), "a/y");
    assert!(reply.has("x-tollgate-cost-usd"));
    let call = gateway.operator(Method::GET, "/admin/v1/decisions");
    let decisions = call.key(ADMIN_KEY).send().await.json();
    let latest = &decisions["decisions"][0];
    assert_eq!(latest["request_id"], reply.header("x-request-id"));
    assert_eq!(latest["key"], "the console");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_of_a_key_the_playground_is_held_to_what_that_key_may() {
    let (gateway, _sim) = gateway().await;
    let as_team = |model| play(&gateway, "?key=team-a", model).key(ADMIN_KEY);
    assert_eq!(as_team("m").send().await.status, 200);
    let refused = as_team("other").send().await.refusal();
    assert!(refused.starts_with("403 "), "{refused}");
    // both have used up what the key may ask in a minute
    let refused = as_team("m").send().await.refusal();
    assert!(refused.starts_with("429 "), "{refused}");
    for (query, status) in [("?key=gone", 401), ("?key=nobody", 401), ("?model=m", 400)] {
        let reply = play(&gateway, query, "m").key(ADMIN_KEY).send().await;
        assert_eq!(reply.status, status, "{query}");
    }
    let listed = gateway.operator(Method::GET, "/admin/v1/keys");
    let listed = listed.key(ADMIN_KEY).send().await.json();
    let ids = listed["keys"].as_array().unwrap().iter();
    let ids: Vec<_> = ids.map(|key| key["id"].clone()).collect();
    assert_eq!(
        ids,
        [json!("team-a"), json!("gone")],
        "the console is no key"
    );
}
