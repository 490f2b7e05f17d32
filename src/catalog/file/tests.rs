use super::*;
use crate::catalog::builtin;

const MINIMAL: &str = r#"
schema = "tollgate.catalog/1"
generated = "2026-11-24"
[provider]
id = "p"
name = "P"
origin = "US"
usage_adapter = "openai"
protocol = "openai"
env = []
address_basis = "test"
regions = ["us"]
tier_boundary = "gt"
[[model]]
id = "m"
model_key = "m"
mode = "chat"
inputs = ["text", "image"]
outputs = ["text", "audio"]
caps = ["tools"]
[[model.card]]
tier = "standard"
rates = { input = "0.25" }
source = "test"
basis = "test"
"#;

fn refused(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from), "{from}");
    provider("p", &MINIMAL.replace(from, to), &[])
        .unwrap_err()
        .to_string()
}

#[test]
fn every_built_in_file_is_read_and_named_as_its_provider() {
    let catalog = builtin();
    assert_eq!(catalog.names().count(), 39);
    assert!(!catalog.shared().exchange.is_empty() && !catalog.shared().windows.is_empty());
    let mut models = 0;
    for name in catalog.names() {
        let provider = catalog
            .provider(name)
            .unwrap()
            .unwrap_or_else(|error| panic!("{error}"));
        models += provider.models.len();
        assert!(
            provider
                .base_url
                .as_ref()
                .is_none_or(|url| !url.ends_with('/')),
            "{name}"
        );
        for model in &provider.models {
            assert!(!model.cards.is_empty(), "{name}/{}", model.id);
        }
    }
    assert_eq!(models, 583);
    assert!(catalog.provider("nobody").is_none());
}

#[test]
fn every_file_of_the_catalogue_is_built_in() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/catalog");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned()))
        .filter(|name| !name.starts_with('_'))
        .collect();
    files.sort();
    assert_eq!(files, builtin().names().collect::<Vec<_>>());
}

#[test]
fn capabilities_are_joined_with_what_inputs_outputs_and_mode_imply() {
    let caps = |text: &str| {
        let provider = provider("p", text, &[]).unwrap();
        let caps: Vec<_> = provider.models[0]
            .caps
            .unwrap()
            .iter()
            .map(Cap::as_str)
            .collect();
        caps.join(" ")
    };
    assert_eq!(caps(MINIMAL), "tools vision audio_out");
    let embedding = MINIMAL.replace("mode = \"chat\"", "mode = \"embedding\"");
    assert_eq!(caps(&embedding), "tools vision audio_out embeddings");
    let unknown = MINIMAL.replace("caps = [\"tools\"]", "");
    assert_eq!(
        provider("p", &unknown, &[]).unwrap().models[0].caps,
        None,
        "not known"
    );
}

#[test]
fn what_is_not_exactly_meant_is_refused_with_its_place() {
    for (from, to, message) in [
        (
            "name = \"P\"",
            "name = \"P\"\ncolour = 1",
            "unknown field `colour`",
        ),
        (
            "catalog/1",
            "catalog/2",
            "unknown variant `tollgate.catalog/2`",
        ),
        ("\"0.25\"", "0.25", "invalid type: floating point"),
        ("\"0.25\"", "\"0.0000001\"", "more than 6 digits"),
        ("\"0.25\"", "\"-1\"", "not a decimal number"),
        (
            "id = \"p\"",
            "id = \"q\"",
            "p: provider: the id `q` is not the file's name",
        ),
        ("[\"tools\"]", "[\"tool\"]", "p: m: no capability `tool`"),
        ("\"image\"", "\"smell\"", "p: m: no input `smell`"),
        (
            "source = \"test\"\n",
            "source = \"test\"\nwindow = \"w\"\n",
            "p: m: card 1: no window `w`",
        ),
        (
            "{ input = \"0.25\" }",
            "{ gpu_hour = \"2\" }",
            "p: m: card 1: `gpu_hour`, `gpus`",
        ),
        (
            "{ input = \"0.25\" }",
            "{}",
            "p: m: card 1: needs either rates or `gpu_hour`",
        ),
        (
            "source = \"test\"",
            "source = \"test\"\nfrom = \"2026-01-02T00:00:00Z\"\nuntil = \"2026-01-01T00:00:00Z\"",
            "p: m: card 1: ends at 2026-01-01T00:00:00Z, before it begins",
        ),
    ] {
        let error = refused(from, to);
        assert!(error.contains(message), "{to}: {error}");
    }
    let twice = format!(
        "{MINIMAL}\n{}",
        &MINIMAL[MINIMAL.find("[[model]]").unwrap()..]
    );
    assert!(
        provider("p", &twice, &[])
            .unwrap_err()
            .to_string()
            .contains("stands here twice")
    );
}

#[test]
fn a_shared_file_with_a_name_that_leads_nowhere_is_refused() {
    let text = r#"
        schema = "tollgate.schedules/1"
        [[window]]
        id = "w"
        hours_utc = [["01:00", "25:00"]]
        source = "test"
    "#;
    for (text, message) in [
        (
            text.to_owned(),
            "_schedules: w: hours are not times of a day",
        ),
        (
            text.replace("25:00\"]]", "02:00\"]]\nexcludes_holidays = \"xx\""),
            "_schedules: w: no holidays `xx`",
        ),
        (
            text.replace("25:00\"]]", "02:00\"]]\nweekdays = [0]"),
            "_schedules: w: weekdays are 1 to 7",
        ),
    ] {
        assert_eq!(windows(&text).unwrap_err().to_string(), message);
    }
    let rates = r#"
        schema = "tollgate.fx/1"
        [[rate]]
        pair = "CNY/USD"
        from = "2026-01-01"
        num = 1000
        den = 0
        source = "test"
    "#;
    let error = exchange(rates).unwrap_err().to_string();
    assert_eq!(error, "_fx: 2026-01-01: `num` and `den` must be above zero");
}
