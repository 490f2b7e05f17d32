//! Prices recorded usage objects and demands the exact amount, to the last digit.
//!
//! The vectors and where they come from: `tests/data/prices/README.md`.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate::{
    catalog::{self, Adapter, price},
    money::Usd,
    wire::usage::{self, Reading, Tally},
};

const VECTORS: &str = include_str!("data/prices/cost_vectors_dev.jsonl");

/// Vectors that are known not to come out right, with the reason.
const EXCEPTIONS: [(&str, &str); 0] = [];

#[derive(Deserialize)]
struct Vector<'a> {
    id: &'a str,
    provider: &'a str,
    model: &'a str,
    adapter: &'a str,
    #[serde(borrow)]
    usage: &'a RawValue,
    #[serde(borrow, default)]
    stream_events: Vec<&'a RawValue>,
    completed_at: jiff::Timestamp,
    service_tier: &'a str,
    expected_usd: Option<&'a str>,
    expected_cny: Option<&'a str>,
}

/// The usage of a stream, or of the whole answer.
fn reading(vector: &Vector<'_>) -> Option<Reading> {
    let adapter = Adapter::from_name(vector.adapter)?;
    if vector.stream_events.is_empty() {
        return Some(usage::read(adapter, vector.usage.get()));
    }
    let mut tally = Tally::new(adapter);
    for usage in vector
        .stream_events
        .iter()
        .filter_map(|event| usage::find(event.get()))
    {
        tally.see(usage);
    }
    tally.reading()
}

/// The amount in the currency of the expectation, as the program would write it; `None`: a name
/// that is not known, or unpriced.
fn price(vector: &Vector<'_>) -> Option<String> {
    let catalog = catalog::builtin();
    let provider = catalog.provider(vector.provider)?.ok()?;
    let model = provider.model(vector.model)?;
    let reading = reading(vector)?;
    let asked = price::Asked {
        at: vector.completed_at,
        tier: vector.service_tier,
        reasoning: reading.usage.reasoning > 0,
    };
    let priced = price::cost(
        &model.cards,
        &asked,
        &reading.usage,
        provider.boundary,
        catalog.shared(),
    );
    if vector.expected_cny.is_some() {
        return priced.listed.map(|yuan| Usd::from_pico(yuan).to_string());
    }
    reading
        .reported_cost
        .or(priced.cost)
        .map(|cost| cost.to_string())
}

#[test]
fn every_vector_costs_exactly_what_is_expected() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in VECTORS.lines() {
        let vector: Vector<'_> = serde_json::from_str(line).unwrap();
        count += 1;
        let expected = vector
            .expected_usd
            .or(vector.expected_cny)
            .expect("an expectation");
        let got = price(&vector).unwrap_or("nothing".to_owned());
        let excused = EXCEPTIONS.iter().any(|(id, _)| *id == vector.id);
        if (got == expected) == excused {
            wrong.push(format!(
                "{} {}/{} expected {expected}, got {got}",
                vector.id, vector.provider, vector.model
            ));
        }
    }
    assert_eq!(count, 422, "the file is complete");
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A stream and the whole answer it makes up report the same.
#[test]
fn a_stream_is_read_as_its_whole_answer() {
    for line in VECTORS.lines() {
        let vector: Vector<'_> = serde_json::from_str(line).unwrap();
        if vector.stream_events.is_empty() {
            continue;
        }
        let adapter = Adapter::from_name(vector.adapter).unwrap();
        let whole = usage::read(adapter, vector.usage.get());
        assert_eq!(
            reading(&vector).unwrap().usage,
            whole.usage,
            "{}",
            vector.id
        );
    }
}

/// No vector is odd: a flag raised here would be raised for every ordinary call.
#[test]
fn ordinary_usage_objects_raise_no_flag() {
    for line in VECTORS.lines() {
        let vector: Vector<'_> = serde_json::from_str(line).unwrap();
        let adapter = Adapter::from_name(vector.adapter).unwrap();
        let flags = usage::read(adapter, vector.usage.get()).flags;
        assert!(
            flags.is_empty(),
            "{}: {:?}",
            vector.id,
            flags.names().collect::<Vec<_>>()
        );
    }
}

/// The document counts two requests by hand; the program must come to the same.
#[test]
fn the_examples_of_the_document_are_what_the_program_says() {
    let document = include_str!("../docs/money.md");
    let usage = document.split("```json\n").nth(1).unwrap();
    let usage = usage.split("```").next().unwrap();
    let yuan = r#"{"prompt_tokens":30000,"completion_tokens":1001,"total_tokens":31001}"#;
    for (provider, model, tier, usage, dollars) in [
        ("openai", "gpt-5.4-mini", "flex", usage, "0.002779875"),
        ("zhipuai", "GLM-4-Air", "standard", yuan, "0.002152847222"),
    ] {
        let catalog = catalog::builtin();
        let provider = catalog.provider(provider).unwrap().unwrap();
        let asked = price::Asked {
            at: "2026-11-25T12:00:00Z".parse().unwrap(),
            tier,
            reasoning: false,
        };
        let cards = &provider.model(model).unwrap().cards;
        let reading = usage::read(provider.adapter, usage);
        let (boundary, shared) = (provider.boundary, catalog.shared());
        let priced = price::cost(cards, &asked, &reading.usage, boundary, shared);
        assert_eq!(priced.cost.unwrap().to_string(), dollars);
        assert!(document.contains(&format!("${dollars}")), "{dollars}");
    }
}

/// Every line of the table that adds up is a product, and the last one their sum.
#[test]
fn the_table_of_the_document_adds_up() {
    let document = include_str!("../docs/money.md");
    let rows = document
        .lines()
        .skip_while(|line| !line.ends_with("| amount |"));
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    let (mut products, mut all) = (0, 0);
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let number = |at: usize| cells[at].parse::<u64>().unwrap();
        if cells[1] == "all" {
            all = number(4);
        } else {
            assert_eq!(number(2) * number(3), number(4), "{row}");
            products += number(4);
        }
    }
    assert_eq!((products, all), (2_779_875_000, 2_779_875_000));
}
