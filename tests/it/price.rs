//! `tollgate price` and `tollgate prices`: money from the command line.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use serde_json::{Value, json};

use crate::support::program::command;

const CATALOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/catalog");
const VECTORS: &str = include_str!("../data/prices/cost_vectors_dev.jsonl");

/// What the program says to these lines.
fn price(arguments: &[&str], lines: &str) -> Output {
    let mut command = command();
    command.arg("price").args(arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = lines.to_owned();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output
}

fn answers(output: &Output) -> Vec<Value> {
    let text = str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_recorded_usage_costs_exactly_what_is_expected() {
    for arguments in [
        &[][..],
        &["--catalog", CATALOG],
        &["--catalog", CATALOG, "-"],
    ] {
        let output = price(arguments, VECTORS);
        assert_eq!(output.status.code(), Some(0));
        let answers = answers(&output);
        assert_eq!(answers.len(), 422);
        for (line, answer) in VECTORS.lines().zip(answers) {
            let vector: Value = serde_json::from_str(line).unwrap();
            assert_eq!(answer["id"], vector["id"]);
            let (expected, got) = if vector["expected_cny"].is_null() {
                (&vector["expected_usd"], &answer["cost_usd"])
            } else {
                (&vector["expected_cny"], &answer["cost_cny"])
            };
            assert_eq!(got, expected, "{line}");
            if answer["basis"] == "reported" {
                continue;
            }
            assert_eq!(answer["flags"], json!([]), "{line}");
            assert!(answer["card"].is_string(), "{line}");
        }
    }
}

#[test]
fn other_members_are_copied_byte_for_byte_and_known_ones_replaced() {
    let line = r#"{"n": 1.50,"basis":"mine", "provider":"openai","model":"gpt-5.4-mini","list":[1, 2 ],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2},"completed_at":"2026-11-25T12:00:00+08:00","\u00e9":"\u00e9"}"#;
    let output = price(&[], line);
    let text = str::from_utf8(&output.stdout).unwrap();
    let begins = r#"{"n":1.50,"provider":"openai","model":"gpt-5.4-mini","list":[1, 2 ],"completed_at":"2026-11-25T12:00:00+08:00","é":"\u00e9","cost_usd":"0.00000525","card":"#;
    assert!(text.starts_with(begins), "{text}");
    assert!(
        text.contains(r#""basis":"exact","usage":{"input":1,"#),
        "{text}"
    );
}

#[test]
fn the_tier_is_that_of_the_line_else_that_of_the_usage() {
    let ask = |tier: &str, usage: &str| {
        let at = "2026-11-25T12:00:00Z";
        format!(
            r#"{{"provider":"openai","model":"gpt-5.4-mini","completed_at":"{at}",{tier}"usage":{{"prompt_tokens":1000000,"total_tokens":1000000{usage}}}}}"#
        )
    };
    for (tier, usage, cost) in [
        ("", "", "0.75"),
        (r#""service_tier":"default","#, "", "0.75"),
        (r#""service_tier":"flex","#, "", "0.375"),
        ("", r#","service_tier":"flex""#, "0.375"),
        (
            r#""service_tier":"priority","#,
            r#","service_tier":"flex""#,
            "1.5",
        ),
    ] {
        let output = price(&[], &ask(tier, usage));
        assert_eq!(answers(&output)[0]["cost_usd"], cost, "{tier} {usage}");
    }
}

#[test]
fn what_is_not_known_is_unpriced_with_a_flag_and_never_free() {
    let at = "2026-11-25T12:00:00Z";
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
    for (change, flag) in [
        (json!({"provider": "nobody"}), "unknown_provider"),
        (json!({"model": "gpt-5.4-mini-but-newer"}), "unknown_model"),
        (json!({"adapter": "of-my-own"}), "unknown_adapter"),
        (json!({"usage": null}), "no_usage"),
        (json!({"usage": {}}), "nothing_read"),
    ] {
        let mut line = json!({"provider": "openai", "model": "gpt-5.4-mini", "usage": usage,
            "completed_at": at});
        for (name, value) in change.as_object().unwrap() {
            line[name] = value.clone();
        }
        let output = price(&[], &line.to_string());
        assert_eq!(output.status.code(), Some(0), "{change}");
        let answer = &answers(&output)[0];
        assert_eq!(answer["cost_usd"], Value::Null, "{answer}");
        assert_eq!(answer["basis"], "unpriced", "{answer}");
        let flags = answer["flags"].as_array().unwrap();
        assert!(flags.contains(&json!(flag)), "{answer}");
    }
}

#[test]
fn a_line_that_can_not_be_read_says_why_and_the_others_are_priced() {
    let good = VECTORS.lines().next().unwrap();
    let lines = format!(
        "{good}\nnonsense\n\n{{\"id\":7,\"provider\":\"openai\",\"usage\":{{}}}}\n\
         {{\"provider\":1}}\n{{\"a\":1,\"a\":2}}\n{good}"
    );
    let output = price(&[], &lines);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("4 of 7 lines can't be priced"), "{said}");
    let answers = answers(&output);
    let errors = answers.iter().filter(|answer| answer["error"].is_string());
    let lines: Vec<_> = errors
        .map(|answer| answer["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [2, 4, 5, 6]);
    assert_eq!(answers[2]["id"], 7, "it can be told which one it was");
    let error = answers[2]["error"].as_str().unwrap();
    assert!(error.contains("lacks `completed_at`, such as"), "{error}");
    assert_eq!(answers[0], answers[5]);
}

#[test]
fn a_catalogue_that_is_none_is_a_wrong_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let empty = price(&["--catalog", path], "");
    assert_eq!(empty.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&empty.stderr).contains("holds no catalogue"));
    for name in ["_fx.toml", "_schedules.toml"] {
        std::fs::copy(format!("{CATALOG}/{name}"), folder.path().join(name)).unwrap();
    }
    let broken = folder.path().join("openai.toml");
    std::fs::write(&broken, "schema = 7").unwrap();
    let line =
        r#"{"provider":"openai","model":"m","usage":{},"completed_at":"2026-11-25T12:00:00Z"}"#;
    let output = price(&["--catalog", path], line);
    assert_eq!(output.status.code(), Some(1));
    let error = answers(&output)[0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("openai"), "{error}");
}

/// What the program says to these arguments.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command().args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output.status.code(), out, err)
}

#[test]
fn the_cards_of_a_moment_are_listed_with_their_sources() {
    let deepseek = [
        "prices",
        "--provider",
        "deepseek",
        "--model",
        "deepseek-v4-*",
        "--json",
    ];
    let at = |moment: &str| {
        let (code, out, _) = run(&[&deepseek[..], &["--at", moment]].concat());
        assert_eq!(code, Some(0));
        let list: Vec<Value> = serde_json::from_str(&out).unwrap();
        list.into_iter()
            .filter(|card| card["model"] == "deepseek-v4-pro" && card["tier"] == "standard")
            .map(|card| (card["window"].clone(), card["rates"]["output"].clone()))
            .collect::<Vec<_>>()
    };
    // a Wednesday in Beijing, at ten and at seven in the evening
    assert_eq!(
        at("2026-11-25T02:00:00Z"),
        [(json!("deepseek-peak-2026"), json!("3.96"))]
    );
    assert_eq!(at("2026-11-25T11:00:00Z"), [(Value::Null, json!("1.98"))]);
    let (code, out, _) = run(&["prices", "--model", "gpt-5.4-mini"]);
    assert_eq!(code, Some(0));
    let line = out.lines().find(|line| line.contains(" flex ")).unwrap();
    assert!(
        line.contains("0.375") && line.contains("https://"),
        "{line}"
    );
    let (_, all, _) = run(&["prices", "--model", "gpt-5.4", "--all"]);
    let (_, now, _) = run(&["prices", "--model", "gpt-5.4"]);
    let marked = all.lines().filter(|line| line.starts_with('*')).count();
    assert_eq!(marked, now.lines().count() - 1);
    assert!(all.lines().count() > now.lines().count());
}

#[test]
fn prices_of_nobody_are_a_wrong_command_line() {
    for (arguments, says) in [
        (&["--provider", "opanai"][..], "there are ai21, "),
        (&["--model", "no-such-model"], "no card applies"),
        (&["--catalog", "/nowhere"], "/nowhere"),
    ] {
        let (code, _, err) = run(&[&["prices"], arguments].concat());
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains(says), "{err}");
    }
}

#[test]
fn a_catalogue_is_checked_with_file_line_model_and_card() {
    let (code, out, err) = run(&["check", "--catalog", CATALOG]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.starts_with("The catalogue is fine: 39 providers, "),
        "{out}"
    );
    assert!(err.contains("_fx.toml: the rate from"), "{err}");
    let folder = tempfile::tempdir().unwrap();
    for name in ["_fx.toml", "_schedules.toml", "groq.toml"] {
        std::fs::copy(format!("{CATALOG}/{name}"), folder.path().join(name)).unwrap();
    }
    let file = folder.path().join("groq.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let card = text.find("[[model.card]]").unwrap();
    let end = text[card..]
        .find("\n\n")
        .map_or(text.len(), |end| card + end);
    let twice = format!("{}\n{}{}", &text[..end], &text[card..end], &text[end..]);
    std::fs::write(&file, &twice).unwrap();
    let path = folder.path().to_str().unwrap();
    let (code, _, err) = run(&["check", "--catalog", path]);
    assert_eq!(code, Some(2), "{err}");
    let lines = twice[..end].lines().count() + 1;
    let says = format!("groq.toml:{lines}: ");
    assert!(
        err.contains(&says) && err.contains("fits the same calls as card 1"),
        "{err}"
    );
    let (code, out, _) = run(&["check", "--json", "--catalog", path]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["ok"]), (Some(2), &json!(false)));
    assert_eq!(report["errors"][0]["line"], lines);
}
