//! `tollgate prices refresh`: a newer price list, from the command line to the bill.

use std::{fs, path::Path, process::Output};

use serde_json::{Value, json};

use crate::support::program::command;

const MAP: &str = r#"{
  "sample_spec": {"mode": "one of: chat, …", "input_cost_per_token": 0.0},
  "gpt-5.4": {"mode": "chat", "input_cost_per_token": 2e-06, "output_cost_per_token": 1.5e-05,
              "output_cost_per_token_flex": 7.5000000000000002e-06},
  "deepseek/deepseek-v4-flash": {"mode": "chat", "input_cost_per_token": 1e-06}
}"#;

fn refresh(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = command();
    command.current_dir(folder);
    command.args(["prices", "refresh"]).args(arguments);
    command.output().unwrap()
}

fn said(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    str::from_utf8(&output.stdout).unwrap()
}

/// What a call of that moment costs on the prices of a configuration.
fn cost(folder: &Path, completed_at: &str) -> String {
    let line = json!({
        "provider": "openai", "model": "gpt-5.4", "completed_at": completed_at,
        "usage": {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000},
    });
    fs::write(folder.join("call.jsonl"), line.to_string()).unwrap();
    let mut command = command();
    command.current_dir(folder);
    let output = command
        .args(["price", "--config", "t.yaml", "call.jsonl"])
        .output()
        .unwrap();
    let answer: Value = serde_json::from_str(said(&output)).unwrap();
    answer["cost_usd"].as_str().unwrap().to_owned()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("map.json"), MAP).unwrap();
    fs::create_dir(folder.path().join("prices")).unwrap();
    let config = "catalog: [prices]\nproviders: { openai: { api_key: sk-test-0000000000000000 } }\n\
                  models: [{ name: gpt-5.4, backends: [{ provider: openai, model: gpt-5.4 }] }]\n";
    fs::write(folder.path().join("t.yaml"), config).unwrap();
    folder
}

#[test]
fn differences_are_shown_and_nothing_is_written_unless_it_is_asked_for() {
    let folder = folder();
    let output = refresh(folder.path(), &["--from", "map.json", "--config", "t.yaml"]);
    let text = said(&output);
    assert!(
        text.contains("openai    gpt-5.4  standard      input  2.5  2    -20.0 %"),
        "{text}"
    );
    assert!(
        text.contains("Prices that differ: 1, of models: 1."),
        "{text}"
    );
    assert!(
        text.contains("which is no whole 0.000001 of its unit: openai/gpt-5.4"),
        "{text}"
    );
    assert!(
        text.contains("hours of the day, which the map can't say: deepseek/"),
        "{text}"
    );
    assert!(
        text.ends_with("Nothing was written; `--apply` does.\n"),
        "{text}"
    );
    assert_eq!(
        fs::read_dir(folder.path().join("prices")).unwrap().count(),
        0
    );
}

#[test]
fn what_is_applied_prices_calls_from_then_on_and_earlier_ones_as_before() {
    let folder = folder();
    let before = "2026-11-20T00:00:00Z";
    let later = "2099-01-01T00:00:00Z";
    assert_eq!(cost(folder.path(), later), "0.0025");
    let arguments = ["--from", "map.json", "--config", "t.yaml", "--apply"];
    let output = refresh(folder.path(), &arguments);
    assert!(said(&output).contains("Written: prices/openai.toml"));
    assert_eq!(cost(folder.path(), later), "0.002");
    assert_eq!(cost(folder.path(), before), "0.0025");
    let again = refresh(folder.path(), &arguments);
    assert!(
        said(&again).starts_with("Prices that differ: 0, of models: 0."),
        "{again:?}"
    );
    assert_eq!(
        fs::read_dir(folder.path().join("prices")).unwrap().count(),
        1,
        "nothing half written is left behind"
    );
}

#[test]
fn a_newer_catalogue_is_compared_by_its_folder_or_by_one_of_its_files() {
    let folder = folder();
    let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/config/catalog");
    let output = refresh(folder.path(), &["--from", built_in, "--json"]);
    let nothing: Value = serde_json::from_str(said(&output)).unwrap();
    for list in ["differences", "added", "gone", "own", "left_out"] {
        assert_eq!(nothing[list], json!([]), "{list}");
    }
    let text = fs::read_to_string(Path::new(built_in).join("groq.toml")).unwrap();
    let newer = text.replace("audio_hour = \"0.111\"", "audio_hour = \"0.1\"");
    fs::write(folder.path().join("groq.toml"), newer).unwrap();
    let arguments = ["--from", "groq.toml", "--json", "--into", "own", "--apply"];
    let output = refresh(folder.path(), &arguments);
    let seen: Value = serde_json::from_str(said(&output)).unwrap();
    let difference = &seen["differences"][0];
    assert_eq!(
        [
            &difference["model"],
            &difference["old"],
            &difference["new"],
            &difference["change"]
        ],
        ["whisper-large-v3", "0.111", "0.1", "-9.9 %"]
    );
    let own = fs::read_to_string(folder.path().join("own/groq.toml")).unwrap();
    assert!(own.contains("min_audio_seconds = 10"), "{own}");
}

#[test]
fn what_is_no_list_and_a_place_that_is_missing_are_refused() {
    let folder = folder();
    fs::write(folder.path().join("list.csv"), "model,price\n").unwrap();
    fs::write(folder.path().join("half.toml"), "[provider]\n").unwrap();
    for (arguments, says) in [
        (&["--from", "nothing.json"][..], "--from nothing.json: "),
        (&["--from", "list.csv"], "neither a catalogue"),
        (&["--from", "half.toml"], "provider: needs an `id`"),
        (&["--from", "map.json", "--apply"], "--apply: say where"),
        (
            &["--from", "map.json", "--into", "map.json"],
            "is a file; a folder",
        ),
        (&["--from", "."], "cannot be read|No such file"),
    ] {
        let output = refresh(folder.path(), arguments);
        let text = str::from_utf8(&output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(
            says.split('|').any(|says| text.contains(says)),
            "{arguments:?}: {text}"
        );
    }
}
