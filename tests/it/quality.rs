//! Quality as predicted: from the command line, and where it decides who serves.

use std::{fs, path::Path, process::Output};

use serde_json::{Value, json};
use tollgate::simulate::Handle;

use crate::support::{Gateway, Setup, gateway::ask, program::command, simulator};

const FIXTURE: &str = include_str!("../data/router/fixture.jsonl");
const WORD_PROBLEM: &str = "Mia has 14 boxes with 6 apples each. She sells half of all apples for \
    $0.25 each and eats 2. How many dollars does she earn?";
const PROSE: &str = "Please write a short note to my landlord about the broken heating.";
const SCORES: &str = "model,model_key,variant,benchmark,score,unit,date,source,licence\n\
    own,own,,llm-stats/math,0.95,fraction,2026-01-01,x,MIT\n\
    own,own,,livebench/coding,20,percent,2026-01-01,x,MIT\n";

fn root(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = command();
    command.current_dir(folder).args(arguments);
    command.output().unwrap()
}

fn said(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    str::from_utf8(&output.stdout).unwrap()
}

fn complaint(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    let each = text.lines().map(|line| serde_json::from_str(line).unwrap());
    each.collect()
}

#[test]
fn predictions_are_those_of_the_training_program_to_the_last_digit() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = lines(FIXTURE);
    assert!(fixture.len() >= 28);
    for (name, more) in [
        ("shipped", vec![]),
        ("evaluation", vec![root("tests/data/router/evaluation.bin")]),
    ] {
        let of = fixture.iter().filter(|line| line["artifact"] == name);
        let of: Vec<&Value> = of.collect();
        let asked: Vec<String> = of
            .iter()
            .map(|line| json!({ "id": line["id"], "prompt": line["prompt"] }).to_string())
            .collect();
        fs::write(folder.path().join("t.jsonl"), asked.join("\n")).unwrap();
        let models = of[0]["models"].as_array().unwrap();
        let ids: Vec<&str> = models.iter().map(|m| m["id"].as_str().unwrap()).collect();
        let ids = ids.join(",");
        let mut arguments = vec!["predict", "--models", &ids];
        for path in &more {
            arguments.extend(["--artifact", path]);
        }
        arguments.push("t.jsonl");
        let output = run(folder.path(), &arguments);
        let answers = lines(said(&output));
        assert_eq!(answers.len(), of.len() * models.len());
        let mut answers = answers.iter();
        for line in of {
            for expected in line["models"].as_array().unwrap() {
                let answer = answers.next().unwrap();
                assert_eq!(answer["id"], line["id"]);
                assert_eq!(answer["model"], expected["id"]);
                for figure in ["p", "low", "high"] {
                    let far = |value: &Value| value.as_f64().unwrap_or(-1.0);
                    let off = (far(&answer[figure]) - far(&expected[figure])).abs();
                    assert!(off < 2e-6, "{figure} of {answer} and {expected}");
                }
                let tokens = expected.get("output_tokens").and_then(Value::as_f64);
                let known = answer["output_tokens"].as_f64();
                assert_eq!(known.is_some(), tokens.is_some(), "{answer}");
                let off = known.unwrap_or_default() - tokens.unwrap_or_default();
                assert!(off.abs() <= 0.51, "{answer} and {expected}");
            }
        }
    }
}

#[test]
fn messages_are_predicted_by_what_the_user_says_last() {
    let folder = tempfile::tempdir().unwrap();
    let asked = [
        json!({ "id": 1, "prompt": WORD_PROBLEM }),
        json!({ "id": 2, "messages": [
            { "role": "system", "content": "def f(x): return x" },
            { "role": "user", "content": "hello" },
            { "role": "assistant", "content": "hello" },
            { "role": "user", "content": [{ "type": "text", "text": WORD_PROBLEM }] },
        ] }),
        json!({ "id": 3, "messages": [{ "role": "user", "content": "hello" }],
                "tools": [{ "type": "function", "function": { "name": "f" } }] }),
    ];
    let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
    fs::write(folder.path().join("t.jsonl"), asked.join("\n")).unwrap();
    let arguments = ["predict", "--models", "gpt-4o-2024-08-06,nobody", "t.jsonl"];
    let answers = run(folder.path(), &arguments);
    let answers = lines(said(&answers));
    assert_eq!(answers.len(), 6);
    assert_eq!(answers[0]["p"], answers[2]["p"]);
    assert_eq!(answers[0]["domain"], "math");
    assert!(
        answers[0]["p"].as_f64() > Some(0.85) && answers[0]["novelty"] == 0.0,
        "{}",
        answers[0]
    );
    // nothing is known of the model, and the text says nothing
    for figure in ["p", "low", "high", "output_tokens"] {
        assert_eq!(answers[1][figure], Value::Null);
    }
    assert_eq!(answers[4]["domain"], "tools");
    assert_eq!(answers[4]["novelty"], 1.0);
    assert!(answers[4]["low"].as_f64() < Some(0.3), "{}", answers[4]);
}

#[test]
fn lines_and_files_that_make_no_sense_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = "{\"id\":\"a\",\"prompt\":\"x\"}\nnonsense\n\n{\"id\":\"b\"}\n{\"id\":\"c\",\"prompt\":7}\n";
    fs::write(folder.path().join("t.jsonl"), text).unwrap();
    let output = run(
        folder.path(),
        &["predict", "--models", "gpt-4o-2024-08-06", "t.jsonl"],
    );
    let complaint_of_all = complaint(&output, 1);
    assert!(
        complaint_of_all.contains("3 of 5 lines can't be predicted"),
        "{complaint_of_all}"
    );
    let answers = lines(str::from_utf8(&output.stdout).unwrap());
    assert_eq!(answers.len(), 4);
    assert!(answers[0]["p"].is_f64());
    assert_eq!(
        (&answers[1]["line"], &answers[1]["id"]),
        (&json!(2), &Value::Null)
    );
    assert_eq!(
        answers[2]["error"],
        "either `prompt` or `messages` must be there"
    );
    assert_eq!(answers[3]["error"], "`prompt` must be a string");
    fs::write(folder.path().join("t.bin"), "no artifact").unwrap();
    let output = run(
        folder.path(),
        &["predict", "--artifact", "t.bin", "t.jsonl"],
    );
    let text = complaint(&output, 2);
    assert!(
        text.contains("t.bin: is not an artifact of tollgate"),
        "{text}"
    );
}

/// Forty questions of which the strong model answers all and the weak one every other.
fn outcomes(folder: &Path) {
    let (mut questions, mut outcomes) = (
        Vec::new(),
        vec!["qid,model,score,in_tok,out_tok,cost".to_owned()],
    );
    for number in 0..40 {
        let question = json!({
            "qid": format!("q{number}"), "suite": if number < 20 { "pair" } else { "reasoning" },
            "dataset": if number < 20 { "two" } else { "many" }, "domain": "x", "split": "t",
            "prompt": format!("Tom has {number} pens and buys {} more. How many has he?", number * 3),
        });
        questions.push(question.to_string());
        let weak = number % 2;
        let models = if number < 20 {
            [
                ("mixtral-8x7b", weak, "0.001"),
                ("gpt-4-1106-preview", 1, "0.01"),
            ]
        } else {
            [
                ("gemma-2-2b", weak, "0.001"),
                ("gpt-4o-2024-08-06", 1, "0.01"),
            ]
        };
        for (model, score, cost) in models {
            outcomes.push(format!("q{number},{model},{score},100,100,{cost}"));
        }
    }
    fs::write(folder.join("queries.jsonl"), questions.join("\n")).unwrap();
    fs::write(folder.join("outcomes.csv"), outcomes.join("\n")).unwrap();
}

#[test]
fn recorded_outcomes_are_replayed_into_figures_and_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    outcomes(folder.path());
    let arguments = [
        "evaluate", "--data", ".", "--draws", "20", "--json", "--plot", "t.svg",
    ];
    let output = run(folder.path(), &arguments);
    let result: Value = serde_json::from_str(said(&output)).unwrap();
    assert_eq!(result["predictor"], "shipped");
    let figure = |of: &str, name: &str| {
        let all = result["figures"].as_array().unwrap();
        let found = all
            .iter()
            .find(|row| row["of"] == of && row["figure"] == name);
        found.unwrap_or_else(|| panic!("{name} of {of}")).clone()
    };
    let apgr = figure("two (2 models)", "APGR");
    let (low, value, high) = (&apgr["low"], &apgr["value"], &apgr["high"]);
    assert!(low.as_f64() <= value.as_f64() && value.as_f64() <= high.as_f64());
    assert!((0.0..=1.0).contains(&value.as_f64().unwrap()));
    let many = "reasoning (2 models)";
    assert_eq!(figure(many, "cost at 100 %")["rows"], 20);
    // whatever is surely good enough for .8 is the strong model, which always answers
    assert_eq!(figure(many, "floor 0.8: promised")["value"], 1.0);
    assert_eq!(figure(many, "floor 0.8: kept")["value"], 1.0);
    let picture = fs::read_to_string(folder.path().join("t.svg")).unwrap();
    assert!(picture.contains("<title>gpt-4o-2024-08-06</title>") && picture.ends_with("</svg>\n"));
    let table = run(folder.path(), &["evaluate", "--data", ".", "--draws", "20"]);
    assert!(said(&table).contains("reasoning (2 models)  20         floor 0.8: kept      1.000"));
    fs::write(
        folder.path().join("outcomes.csv"),
        "qid,model,score,cost\nq0,m,one,0\n",
    )
    .unwrap();
    let text = complaint(&run(folder.path(), &["evaluate", "--data", "."]), 2);
    assert!(text.contains("outcomes.csv, line 2"), "{text}");
    let text = complaint(&run(folder.path(), &["evaluate", "--data", "nowhere"]), 2);
    assert!(text.contains("nowhere/queries.jsonl.gz"), "{text}");
}

/// A configuration with a model that has scores, and one that has none.
fn configured(folder: &Path, more: &str) {
    fs::write(folder.join("scores.csv"), SCORES).unwrap();
    let config = format!(
        "scores: [scores.csv]\n{more}providers: {{ gpu: {{ base_url: 'http://127.0.0.1:1/v1' }} }}\n\
         models:\n\
         \x20 - {{ name: own, backends: [{{ provider: gpu, model: own, price: free }}] }}\n\
         \x20 - {{ name: other, backends: [{{ provider: gpu, model: other, price: free }}] }}\n\
         routes: [{{ name: auto, candidates: '*', min_quality: 0.8 }}]\n"
    );
    fs::write(folder.join("t.yaml"), config).unwrap();
}

fn explained(folder: &Path, text: &str) -> Value {
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": text }] });
    fs::write(folder.join("t.json"), body.to_string()).unwrap();
    let output = run(
        folder,
        &["explain", "--config", "t.yaml", "--json", "t.json"],
    );
    serde_json::from_str(said(&output)).unwrap()
}

#[test]
fn published_scores_decide_by_domain_and_say_how_sure_they_are() {
    let folder = tempfile::tempdir().unwrap();
    configured(folder.path(), "");
    let math = explained(folder.path(), WORD_PROBLEM);
    assert_eq!(math["needs"]["domain"], "math");
    let own = &math["candidates"][0];
    assert_eq!(
        (&math["chosen"], &own["model"]),
        (&json!("gpu/own"), &json!("own"))
    );
    let number = |name: &str| own[name].as_str().unwrap().parse::<f64>().unwrap();
    assert!(number("quality_low") >= 0.8 && number("quality_low") < number("quality"));
    assert!(number("quality") < number("quality_high"));
    assert_eq!(math["refused"][0]["reason"], "quality");
    let code = explained(folder.path(), "Please refactor this: def f(x): return x");
    assert_eq!(code["needs"]["domain"], "code");
    // the one is surely below the floor, of the other nothing is known
    assert_eq!(code["reason"], "uncertain_strongest");
    assert_eq!(code["candidates"].as_array().unwrap().len(), 2);
}

#[test]
fn a_chance_above_the_floor_that_might_be_below_it_does_not_meet_it() {
    let folder = tempfile::tempdir().unwrap();
    configured(folder.path(), "");
    let scores = format!("{SCORES}own,own,,livebench/language,84,percent,2026-01-01,x,MIT\n");
    fs::write(folder.path().join("scores.csv"), scores).unwrap();
    let chat = explained(folder.path(), PROSE);
    let own = &chat["candidates"][0];
    assert_eq!(
        (&own["model"], &own["quality"]),
        (&json!("own"), &json!("0.84"))
    );
    assert_eq!(chat["needs"]["min_quality"], "0.8");
    assert_eq!(chat["reason"], "uncertain_strongest");
    assert_eq!(chat["candidates"].as_array().unwrap().len(), 2);
}

#[test]
fn a_table_that_makes_no_sense_is_a_mistake_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    configured(folder.path(), "calibration: c.csv\n");
    let check = || run(folder.path(), &["check", "--config", "t.yaml"]);
    let text = complaint(&check(), 2);
    assert!(
        text.contains("calibration: the file cannot be read"),
        "{text}"
    );
    fs::write(
        folder.path().join("c.csv"),
        "model,domain,offset,error,n\nown,math,x,0,1\n",
    )
    .unwrap();
    let text = complaint(&check(), 2);
    assert!(
        text.contains("calibration: c.csv: line 2: `x` is not a number"),
        "{text}"
    );
    fs::write(folder.path().join("scores.csv"), "a,b\n1,2\n").unwrap();
    let text = complaint(&check(), 2);
    assert!(
        text.contains("scores[0]: scores.csv: its head is none that is known"),
        "{text}"
    );
}

#[test]
fn own_outcomes_correct_predictions_and_make_an_unknown_model_known() {
    let folder = tempfile::tempdir().unwrap();
    configured(folder.path(), "");
    let outcome = |n: usize, model: &str, score: f64| {
        let prompt = format!("{WORD_PROBLEM} And {n} more?");
        json!({ "prompt": prompt, "model": model, "score": score }).to_string()
    };
    // `own` is worse than its scores, and `other` always right
    let of_own = (0..60).map(|n| outcome(n, "own", f64::from(u8::from(n % 2 == 0))));
    let of_other = (0..60).map(|n| outcome(n, "other", 1.0));
    let rare = std::iter::once(outcome(0, "rare", 1.0));
    let all: Vec<String> = of_own.chain(of_other).chain(rare).collect();
    fs::write(folder.path().join("e.jsonl"), all.join("\n")).unwrap();
    let arguments = [
        "calibrate",
        "--data",
        "e.jsonl",
        "--config",
        "t.yaml",
        "--out",
        "c.csv",
    ];
    let output = run(folder.path(), &arguments);
    let text = said(&output);
    assert!(
        text.contains("1 of them have fewer than 5 outcomes"),
        "{text}"
    );
    assert!(text.contains("held out: "), "{text}");
    let (_, squared) = text.split_once("mean squared error ").unwrap();
    let figures: Vec<f64> = squared
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .take(2)
        .collect();
    assert!(figures[1] < figures[0], "{text}");
    configured(folder.path(), "calibration: c.csv\n");
    let math = explained(folder.path(), WORD_PROBLEM);
    assert_eq!(math["chosen"], "gpu/other");
    assert_eq!(math["refused"][0]["model"], "own");
    let detail = math["refused"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("surely"), "{detail}");
}

#[test]
fn outcomes_that_make_no_sense_are_named_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let calibrate = |text: &str| {
        fs::write(folder.path().join("e.jsonl"), text).unwrap();
        complaint(&run(folder.path(), &["calibrate", "--data", "e.jsonl"]), 2)
    };
    let good = "{\"prompt\":\"x\",\"model\":\"m\",\"score\":1}\n";
    assert!(
        calibrate(&format!("{good}{{\"prompt\":\"x\"}}"))
            .contains("e.jsonl, line 2: missing field `model`")
    );
    let high = "{\"prompt\":\"x\",\"model\":\"m\",\"score\":2}";
    assert!(calibrate(high).contains("line 1: `score` is 2, and must be from 0 to 1"));
    assert!(calibrate("{\"model\":\"m\",\"score\":1}").contains("either `prompt` or `messages`"));
    assert!(calibrate("").contains("no line"));
    fs::write(folder.path().join("e.jsonl"), good).unwrap();
    let few = run(folder.path(), &["calibrate", "--data", "e.jsonl"]);
    assert!(complaint(&few, 1).contains("nothing to correct"));
}

/// A strong and a weak model whose outcomes the predictor knows, for the same price: the weak one
/// comes first.
async fn gateway(sim: &Handle) -> Gateway {
    let more = "context: 9000, caps: [streaming]";
    Setup::new(sim)
        .provider("sim", &format!("base_url: '{}'", sim.base_url("sim")))
        .model_with("gemma-2-2b", more, &["sim/weak+out=1"])
        .model_with("gpt-4o-2024-08-06", more, &["sim/strong+out=1"])
        .also("routes:\n  - { name: auto, candidates: '*', min_quality: 0.8 }")
        .also("  - { name: thrifty, candidates: '*', min_quality: 0.8, on_uncertain: cheapest }")
        .also("  - { name: best, candidates: '*', objective: quality }")
        .also("  - { name: cheap, candidates: '*' }")
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_serves_depends_on_what_is_asked() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    let (strong, weak) = ("gpt-4o-2024-08-06", "gemma-2-2b");
    for (route, text, expected, decision) in [
        // first, while both are expected to write as much
        (
            "thrifty",
            PROSE,
            weak,
            "quality not known, cheapest of 2 capable",
        ),
        ("cheap", WORD_PROBLEM, weak, "cheapest of 2 capable"),
        ("auto", WORD_PROBLEM, strong, "only one capable; 1 refused"),
        (
            "auto",
            PROSE,
            strong,
            "quality not known, strongest of 2 capable",
        ),
        ("best", WORD_PROBLEM, strong, "best of 2 capable"),
    ] {
        let mut body = ask(route);
        body["messages"] = json!([{ "role": "user", "content": text }]);
        let reply = gateway.post(&body).send().await;
        assert_eq!(reply.status, 200, "{route}");
        assert_eq!(
            reply.header("x-tollgate-model"),
            expected,
            "{route}: {text}"
        );
        assert_eq!(
            reply.header("x-tollgate-decision"),
            decision,
            "{route}: {text}"
        );
    }
}
