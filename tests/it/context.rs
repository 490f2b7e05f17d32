//! Near the edge of a context, a prompt is as long as the backend's own tokenizer counts it.

use serde_json::{Value, json};
use tollgate::simulate::Handle;

use crate::support::{Gateway, Setup, simulator};

/// Two models of the same context, whose tokens are counted by their names; one that says otherwise.
async fn gateway(sim: &Handle) -> Gateway {
    let model = |name: &str, said: &str, usd: &str, more: &str| {
        format!(
            "{{ name: {name}, context: 4000, max_output: 1000, caps: [streaming], backends: \
             [{{ provider: a, model: '{said}', price: {{ input: '{usd}', output: '{usd}' }} }}]{more} }}"
        )
    };
    let base = sim.base_url("a");
    Setup::new(sim)
        .provider("a", &format!("base_url: '{base}'"))
        .also_model(&model("old", "gpt-4+out=4", "1", ""))
        .also_model(&model("new", "qwen3-32b+out=4", "2", ""))
        .also_model(&model("stated", "own+out=4", "1", ", tokenizer: cl100k"))
        .also("routes:\n  - { name: auto, candidates: [old, new] }")
        .also("  - { name: one, candidates: [stated] }")
        .start()
        .await
}

fn body(route: &str, characters: usize) -> Value {
    let text: String = "人工智能正在改变我们的生活方式"
        .chars()
        .cycle()
        .take(characters)
        .collect();
    json!({ "model": route, "max_tokens": 10, "messages": [{ "role": "user", "content": text }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_prompt_fits_into_one_context_and_not_into_another_of_the_same_size() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    for (characters, serves) in [
        (1_000, Some("old")),
        // about 3,500 tokens on average, 6,000 as GPT-4 counts, 3,000 as Qwen does
        (5_000, Some("new")),
        // 4,550 on average, and still less for Qwen
        (6_500, Some("new")),
        (7_500, None),
    ] {
        let reply = gateway.post(&body("auto", characters)).send().await;
        match serves {
            Some(model) => {
                assert_eq!(reply.status, 200, "{characters}: {}", reply.text());
                assert_eq!(reply.header("x-tollgate-model"), model, "{characters}");
            }
            None => assert_eq!(
                reply.error().code.as_deref(),
                Some("context_length_exceeded")
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tokenizer_can_be_stated_and_the_refusal_has_its_count() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    let reply = gateway.post(&body("one", 5_000)).send().await;
    let message = reply.error().message;
    let needed = message
        .split("and about ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let needed: u64 = needed
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{message}"));
    assert!((5_500..6_500).contains(&needed), "{message}");
}
