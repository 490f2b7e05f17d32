use proptest::prelude::*;

use super::*;

#[test]
fn a_chunk_tells_its_finished_choices_and_its_output() {
    let chunk = read(
        br#"{"id":"x","choices":[{"index":0,"delta":{"content":"ab"},"finish_reason":null},
            {"index":2,"delta":{"tool_calls":[]},"finish_reason":"stop"}],"usage":null}"#,
    )
    .unwrap();
    let want = Choices {
        shape: Shape::Some,
        seen: 0b101,
        finished: 0b100,
        output_bytes: 2,
        ..Choices::default()
    };
    assert_eq!(
        (chunk.choices, chunk.usage, chunk.error),
        (want, Some("null"), None)
    );
}

#[test]
fn thoughts_refusals_and_answers_that_are_cut_short_are_told() {
    let told = |delta: &str, reason: &str| {
        let json = format!(r#"{{"choices":[{{"delta":{{{delta}}},"finish_reason":"{reason}"}}]}}"#);
        let choices = read(json.as_bytes()).unwrap().choices;
        let answered = choices.output_bytes - choices.thought_bytes;
        (
            answered,
            choices.thought_bytes,
            choices.cut_short,
            choices.refused,
        )
    };
    assert_eq!(
        told(r#""reasoning":"abc","content":"de""#, "stop"),
        (2, 3, false, false)
    );
    assert_eq!(
        told(r#""reasoning_content":"abc","content":null"#, "length"),
        (0, 3, true, false)
    );
    assert_eq!(told(r#""refusal":"no""#, "stop"), (2, 0, false, true));
    assert_eq!(
        told(r#""refusal":null,"content":"a""#, "stop"),
        (1, 0, false, false)
    );
    assert_eq!(
        told(r#""content":"a""#, "content_filter"),
        (1, 0, false, true)
    );
}

#[test]
fn odd_choices_are_still_a_chunk() {
    for (json, shape) in [
        (r#"{"usage":{"total_tokens":1}}"#, Shape::Missing),
        (r#"{"choices":null}"#, Shape::Missing),
        (r#"{"choices":[]}"#, Shape::Empty),
        (r#"{"choices":"?"}"#, Shape::Some),
        (
            r#"{"choices":[{"content_filter_results":{}}]}"#,
            Shape::Some,
        ),
        (
            r#"{"choices":[{"index":0,"delta":{"role":null,"content":null},"finish_reason":""}]}"#,
            Shape::Some,
        ),
    ] {
        let chunk = read(json.as_bytes()).unwrap();
        assert_eq!(
            (chunk.choices.shape, chunk.choices.finished),
            (shape, 0),
            "{json}"
        );
    }
}

#[test]
fn an_error_of_any_shape_is_seen_and_null_is_none() {
    assert_eq!(
        read(br#"{"error":"text"}"#).unwrap().error,
        Some(r#""text""#)
    );
    assert_eq!(
        read(br#"{"error":{"code":1}}"#).unwrap().error,
        Some(r#"{"code":1}"#)
    );
    assert_eq!(read(br#"{"error":null,"choices":[]}"#).unwrap().error, None);
}

#[test]
fn what_is_not_an_object_is_refused() {
    for json in ["", "x", "[1]", "<html>", r#"{"a":"#, "1"] {
        assert!(read(json.as_bytes()).is_none(), "{json}");
    }
}

/// A value that is odd in one way or another, and text that is none.
fn any_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just(r#""""#.to_owned()),
        Just(r#""a\n\u00e9\"""#.to_owned()),
        Just(r#""\x""#.to_owned()),
        Just("nul".to_owned()),
        Just(String::new()),
        "-?[0-9]{1,11}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?",
        "\"[a-zé\t ]{0,4}\"",
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| format!("[{}]", values.join(" ,"))),
            prop::collection::vec((any_key(), inner), 0..6).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(k, v)| format!("{k}: {v}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "choices",
        "usage",
        "error",
        "service_tier",
        "index",
        "finish_reason",
        "delta",
        "message",
        "text",
        "content",
        "reasoning",
        "refusal",
        "tool_calls",
        "x",
        r"u\u0073age",
    ];
    prop::sample::select(NAMES).prop_map(|name| format!("\"{name}\""))
}

/// Chunks that are nearly always JSON, most of them of the usual shape.
fn any_chunk() -> impl Strategy<Value = String> {
    let reasons = [r#""length""#, r#""content_filter""#].map(str::to_owned);
    let value = move || prop_oneof![4 => Just("null".to_owned()), 1 => prop::sample::select(reasons.to_vec()), 1 => any_value()];
    let delta = (any_key(), value()).prop_map(|(key, value)| {
        format!(r#"{{"role":"assistant","content":"a \n b","reasoning":null,{key}:{value}}}"#)
    });
    let choice = (0..130_u8, delta, value(), any_key(), value()).prop_map(
        |(index, delta, reason, key, value)| {
            format!(r#"{{"index":{index},"delta":{delta},"finish_reason":{reason},{key}:{value}}}"#)
        },
    );
    let choices = prop::collection::vec(choice, 0..3);
    (choices, value(), any_key(), value()).prop_map(|(choices, usage, key, value)| {
        let choices = choices.join(",");
        format!(r#" {{"id":"x","choices":[{choices}],"usage":{usage},{key}:{value}}}"#)
    })
}

/// Parses with serde alone what the scan has read, and compares.
fn reads_as_serde_does(json: &[u8]) -> Result<(), TestCaseError> {
    let scanned = std::str::from_utf8(json).ok().and_then(scan::read);
    if let Some((scanned, _)) = scanned {
        prop_assert_eq!(Some(scanned), parse(json));
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_scanned_is_what_serde_reads(json in prop_oneof![any_chunk(), any_value()]) {
        reads_as_serde_does(json.as_bytes())?;
    }

    #[test]
    fn what_is_cut_or_changed_is_not_taken_for_a_chunk_that_serde_refuses(
        json in any_chunk(),
        at in any::<prop::sample::Index>(),
        byte in prop::sample::select(&b"\"\\{}[],:0-e.n \t\x01\xff"[..]),
    ) {
        let mut bytes = json.into_bytes();
        let at = at.index(bytes.len());
        reads_as_serde_does(&bytes[..at])?;
        bytes[at] = byte;
        reads_as_serde_does(&bytes)?;
    }
}

#[test]
fn chunks_of_the_usual_shapes_are_scanned() {
    for json in [
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1764000000,"model":"m","service_tier":"default","system_fingerprint":"fp","choices":[{"index":0,"delta":{"content":" \"a\u00e9"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x"}"#,
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1.5e3}"}}]},"finish_reason":"tool_calls"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"cost":-0.5,"d":{"a":[1,2]}}}"#,
        r#"{"choices":[{"index":1,"text":"abc","finish_reason":"stop"}]}"#,
    ] {
        let (scanned, _) = scan::read(json).expect(json);
        assert_eq!(Some(scanned), parse(json.as_bytes()), "{json}");
    }
}

/// A text within a chunk, and sometimes what is none.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z .é]{0,8}",
        1 => prop::sample::select(&[r"\n", r#"\""#, r"\u00e9", r"\", r"\x", "\"", "\n", r#"","x":""#][..])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn a_chunk_of_a_series_says_what_it_says_alone(
        texts in prop::collection::vec((any_text(), 0..6_u8), 1..12),
        tier in prop::option::of("[a-z]{0,3}"),
        usage in prop::sample::select(&["", r#","usage":null"#, r#","usage":{"total_tokens":7}"#][..]),
    ) {
        let tier = tier.map_or_else(String::new, |tier| format!(r#""service_tier":"{tier}","#));
        let mut series = Series::default();
        for (text, shape) in texts {
            let json = match shape {
                0 | 1 => format!(r#"{{{tier}"choices":[{{"index":1,"delta":{{"content":"{text}"}}}}]{usage}}}"#),
                2 => format!(r#"{{"choices":[{{"delta":{{"reasoning":"{text}","content":"y"}}}}],"x":"{text}"}}"#),
                3 => format!(r#"{{"choices":[{{"delta":{{"content":"","reasoning_content":"{text}"}}}}]}}"#),
                4 => format!(r#"{{"choices":[{{"delta":{{"content":"","refusal":"{text}"}}}}]}}"#),
                _ => format!(r#"{{{tier}"choices":[{{"text":"{text}","finish_reason":"{text}"}}]{usage}}}"#),
            };
            prop_assert_eq!(series.read(json.as_bytes()), read(json.as_bytes()), "{}", json);
        }
    }
}

#[test]
fn an_error_in_a_series_is_never_taken_for_what_came_before() {
    let mut series = Series::default();
    let good = br#"{"choices":[{"delta":{"content":"a"}}],"usage":null}"#;
    for _ in 0..2 {
        assert_eq!(series.read(good).unwrap().choices.output_bytes, 1);
    }
    let bad = br#"{"choices":[{"delta":{"content":""}}],"error":{"m":"a"},"usage":null}"#;
    assert_eq!(series.read(bad).unwrap().error, Some(r#"{"m":"a"}"#));
    assert!(series.read(b"{").is_none());
    assert_eq!(series.read(good), read(good));
}
