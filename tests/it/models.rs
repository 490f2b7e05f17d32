//! `/v1/models`: names, where they run, what they can do, and what they cost.

use serde_json::{Value, json};

use crate::support::{Gateway, Setup, gateway::ask, simulator};

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_tells_context_capabilities_and_price() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model_with(
            "m",
            "context: 8000, max_output: 500, caps: [streaming, tools], aliases: [n], \
             quality: { default: 0.75 }",
            &["a/x", "b/org/y"],
        )
        .model("other", &["b/z"])
        .also("routes:\n  - { name: auto, candidates: [m, other] }")
        .start()
        .await;
    let entry = gateway.get("/v1/models/m").send().await.json();
    for (member, value) in [
        ("id", json!("m")),
        ("object", json!("model")),
        ("owned_by", json!("tollgate")),
        ("kind", json!("model")),
        ("context_length", json!(8000)),
        ("max_output_tokens", json!(500)),
        ("capabilities", json!(["streaming", "tools"])),
    ] {
        assert_eq!(entry[member], value, "{entry}");
    }
    assert!(entry["created"].is_u64());
    let backends = entry["backends"].as_array().unwrap();
    let ids: Vec<&Value> = backends.iter().map(|backend| &backend["id"]).collect();
    assert_eq!(ids, ["a/x", "b/org/y"]);
    assert_eq!(backends[0]["pricing"]["input"], "1");
    assert_eq!(backends[1]["pricing"]["output"], "200");
    assert_eq!(backends[0]["pricing"]["kind"], "card");
    assert_eq!(backends[0]["pricing"]["currency"], "USD");
    assert_eq!(backends[0]["quality"], "0.75");
    // what it is for, where nothing is declared, is chat
    assert_eq!(entry["serves"], json!(["chat"]));
    for (name, kind) in [("n", "alias"), ("auto", "route"), ("a/x", "backend")] {
        let entry = gateway
            .get(&format!("/v1/models/{name}"))
            .send()
            .await
            .json();
        assert_eq!((&entry["id"], &entry["kind"]), (&json!(name), &json!(kind)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_tells_what_a_model_is_for_and_every_rate_of_its_card() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/z"])
        .also_model("{ name: voice, caps: [speech], backends: [{ provider: a, model: x, price: { char_m: '15' } }] }")
        .also_model("{ name: pictures, caps: [images], backends: [{ provider: a, model: y, price: { image_each: '0.04' } }] }")
        .start()
        .await;
    let entry = async |name: &str| {
        gateway
            .get(&format!("/v1/models/{name}"))
            .send()
            .await
            .json()
    };
    let voice = entry("voice").await;
    assert_eq!(voice["serves"], json!(["speech"]));
    let price = json!({
        "kind": "card", "currency": "USD", "char_m": "15",
        "input": null, "output": null, "cache_read": null,
    });
    assert_eq!(voice["backends"][0]["pricing"], price);
    let pictures = entry("pictures").await;
    assert_eq!(pictures["backends"][0]["serves"], json!(["images"]));
    assert_eq!(pictures["backends"][0]["pricing"]["image_each"], "0.04");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_slashes_is_found_written_plainly_or_escaped() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("Qwen/Qwen3-32B", &["a/Qwen/Qwen3-32B+out=1"])
        .start()
        .await;
    for path in [
        "Qwen/Qwen3-32B",
        "Qwen%2FQwen3-32B",
        "a/Qwen/Qwen3-32B+out=1",
    ] {
        for prefix in ["/v1", ""] {
            let reply = gateway.get(&format!("{prefix}/models/{path}")).send().await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
            assert_eq!(reply.json()["id"], path.replace("%2F", "/"));
        }
    }
    for name in ["Qwen/Qwen3-32B", "a/Qwen/Qwen3-32B+out=1"] {
        assert_eq!(gateway.ask(name).await.status, 200);
    }
    for missing in ["Qwen", "Qwen/", "Qwen/Qwen3-32B/", "%00", "%ff", "%"] {
        let reply = gateway.get(&format!("/v1/models/{missing}")).send().await;
        assert!(
            matches!(reply.status, 400 | 404),
            "{missing}: {}",
            reply.status
        );
        reply.error();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_backend_serves_alone_and_an_alias_serves_as_its_model() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model_with("m", "aliases: [n]", &["a/x+out=1", "b/y+out=1"])
        .model("down", &["c/z+fault=status:500", "b/w+out=1"])
        .start()
        .await;
    let reply = gateway.ask("b/y+out=1").await;
    assert_eq!(reply.header("x-tollgate-backend"), "b/y+out=1");
    assert_eq!(reply.header("x-tollgate-decision"), "asked for by name");
    let reply = gateway.ask("n").await;
    assert_eq!(reply.header("x-tollgate-model"), "m");
    let reply = gateway.ask("c/z+fault=status:500").await;
    assert_eq!(reply.status, 502, "a pinned backend has no stand-in");
    assert_eq!(sim.account().model("w+out=1").requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_serves_every_name_that_begins_so_and_an_exact_name_beats_it() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("small*", &["a/any+out=1"])
        .model("small-x*", &["a/longer+out=1"])
        .model("small-1", &["a/exact+out=1"])
        .start()
        .await;
    for (name, model, backend) in [
        ("small", "small*", "a/any+out=1"),
        ("small-2", "small*", "a/any+out=1"),
        ("small-xy", "small-x*", "a/longer+out=1"),
        ("small-1", "small-1", "a/exact+out=1"),
        ("small-1b", "small*", "a/any+out=1"),
    ] {
        let reply = gateway.ask(name).await;
        assert_eq!(reply.header("x-tollgate-model"), model, "{name}");
        assert_eq!(reply.header("x-tollgate-backend"), backend, "{name}");
    }
    assert_eq!(gateway.ask("smal").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_chooses_the_cheapest_that_can_and_says_so() {
    let sim = simulator().await;
    let own = |name: &str, price: &str, caps: &str| {
        format!(
            "  - {{ name: {name}, backends: [{{ provider: a, model: {name}, price: {{ input: \
             '{price}', output: '{price}' }} }}], context: 9000, caps: [{caps}] }}\n"
        )
    };
    let yaml = format!(
        "providers:\n  a: {{ base_url: '{}' }}\nmodels:\n{}{}{}routes:\n  - {{ name: auto, \
         candidates: '*' }}\n",
        sim.base_url("a"),
        own("dear", "9", "streaming, tools"),
        own("mid", "2", "streaming, tools"),
        own("cheap", "0.1", "streaming")
    );
    let gateway = Gateway::start(&yaml).await;
    let reply = gateway.ask("auto").await;
    assert_eq!(reply.header("x-tollgate-model"), "cheap");
    assert_eq!(reply.header("x-tollgate-decision"), "cheapest of 3 capable");
    let mut body = ask("auto");
    body["tools"] = json!([{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }]);
    let reply = gateway.post(&body).send().await;
    assert_eq!(reply.header("x-tollgate-model"), "mid");
    assert_eq!(
        reply.header("x-tollgate-decision"),
        "cheapest of 2 capable; 1 refused"
    );
    let metrics = gateway.metrics().await;
    let count = |model| {
        let labels = [("route", "auto"), ("model", model), ("reason", "cheapest")];
        metrics.count("route_decisions_total", &labels)
    };
    assert_eq!((count("cheap"), count("mid"), count("dear")), (1, 1, 0));
    let labels = [
        ("route", "auto"),
        ("backend", "a/cheap"),
        ("reason", "tools"),
    ];
    assert_eq!(metrics.count("route_refusals_total", &labels), 1);
}
