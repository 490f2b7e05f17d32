//! Backends that take only so many tools, or not every schema.

use http::Method;
use serde_json::{Value, json};
use tollgate::simulate::Handle;

use crate::support::{Gateway, Reply, Setup, gateway::ADMIN_KEY, simulator};

/// Three backends, the cheaper the less they take.
async fn gateway(sim: &Handle) -> Gateway {
    let model = |name: &str, usd: &str, takes: &str| {
        format!(
            "{{ name: {name}, context: 100000, max_output: 1000, caps: [streaming, tools, json_schema], \
             backends: [{{ provider: a, model: {name}, price: {{ input: '{usd}', output: '{usd}' }}{takes} }}] }}"
        )
    };
    let base = sim.base_url("a");
    Setup::new(sim)
        .provider("a", &format!("base_url: '{base}'"))
        .also_model(&model("few", "1", ", max_tools: 2"))
        .also_model(&model(
            "simple",
            "2",
            ", schema_lacks: [maxLength], strict_schema_lacks: [anyOf]",
        ))
        .also_model(&model("all", "3", ""))
        .also("routes:\n  - { name: auto, candidates: [few, simple, all] }")
        .also("  - { name: narrow, candidates: [few, simple] }")
        .start()
        .await
}

fn tools(number: usize, schema: &Value, strict: bool) -> Value {
    let tool = |n| json!({ "type": "function", "function": { "name": format!("f{n}"), "parameters": schema, "strict": strict } });
    (0..number).map(tool).collect()
}

fn plain() -> Value {
    json!({ "type": "object", "properties": { "maxLength": { "type": "string" } } })
}

fn using(keyword: &str, value: &Value) -> Value {
    json!({ "type": "object", "properties": { "a": { keyword: value } } })
}

async fn ask(gateway: &Gateway, route: &str, tools: Value) -> Reply {
    let body =
        json!({ "model": route, "tools": tools, "messages": [{ "role": "user", "content": "x" }] });
    gateway.post(&body).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_where_its_tools_and_schemas_are_taken() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    let any = using("anyOf", &json!([{ "type": "string" }]));
    let long = using("maxLength", &json!(3));
    for (tools, serves) in [
        (tools(2, &plain(), true), "few"),
        // a property of that name is none of its keywords
        (tools(3, &plain(), true), "simple"),
        (tools(3, &long, false), "all"),
        (tools(3, &any, false), "simple"),
        (tools(3, &any, true), "all"),
    ] {
        let reply = ask(&gateway, "auto", tools.clone()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("x-tollgate-model"), serves, "{tools}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_told_what_is_not_taken() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    let long = using("maxLength", &json!(3));
    let reply = ask(&gateway, "narrow", tools(3, &long, false)).await;
    assert_eq!(reply.status, 400);
    let error = reply.error();
    assert_eq!(error.code.as_deref(), Some("no_capable_backend"));
    for says in [
        "takes at most 2 tools, and there are 3",
        "takes no schemas with `maxLength`",
    ] {
        assert!(error.message.contains(says), "{}", error.message);
    }
    let metrics = gateway.metrics().await;
    for reason in ["tool_count", "schema"] {
        let refused = [("route", "narrow"), ("reason", reason)];
        assert_eq!(
            metrics.count("route_refusals_total", &refused),
            1,
            "{reason}"
        );
    }
    let strict = json!({ "model": "narrow", "messages": [{ "role": "user", "content": "x" }],
        "response_format": { "type": "json_schema", "json_schema": { "name": "s", "strict": true,
            "schema": using("anyOf", &json!([{ "type": "string" }])) } } });
    let call = gateway
        .operator(Method::POST, "/admin/v1/explain")
        .key(ADMIN_KEY);
    let explained = call.json(&strict).send().await.json();
    let detail = explained["refused"][0]["detail"].as_str().unwrap();
    assert_eq!(
        detail,
        "takes no schemas with `anyOf` where they are to be followed strictly"
    );
}
