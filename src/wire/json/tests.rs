use proptest::prelude::*;

use super::*;

fn object(text: &str) -> Object {
    Object::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

fn text(object: &Object) -> String {
    String::from_utf8(object.to_bytes().to_vec()).unwrap()
}

#[test]
fn values_keep_their_bytes_around_an_edit() {
    let source = r#"{ "model":"m" , "temperature":0.123456789,"seed":123456789012345678901234567890,"x":1e400,"a":1.10, "n":{ "b" : [1, 2.50] } }"#;
    let mut o = object(source);
    o.set("model", &br#""x/y""#[..]);
    assert_eq!(text(&o), source.replace(r#""m""#, r#""x/y""#));
}

#[test]
fn a_new_member_goes_to_the_end_and_can_be_set_again() {
    let mut o = object(r#"{"a":1}"#);
    o.set("b", &b"2"[..]);
    o.set("b", &b"3"[..]);
    assert_eq!(
        (text(&o).as_str(), o.get("b")),
        (r#"{"a":1,"b":3}"#, Some("3"))
    );
    let mut empty = object(" { } ");
    empty.set("b", &b"2"[..]);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text(&empty)).unwrap()["b"],
        2
    );
}

#[test]
fn removal_leaves_the_rest_as_it_was() {
    for (gone, want) in [
        ("a", r#"{"b" : 2, "c":3 }"#),
        ("b", r#"{ "a":1,"c":3 }"#),
        ("c", r#"{ "a":1, "b" : 2 }"#),
        ("d", r#"{ "a":1, "b" : 2, "c":3 }"#),
    ] {
        let mut o = object(r#"{ "a":1, "b" : 2, "c":3 }"#);
        o.remove(gone);
        assert_eq!(text(&o), want, "without {gone}");
        assert_eq!(o.get(gone), None);
    }
    let mut o = object(r#"{"a":1,"b":2,"c":3}"#);
    o.remove("a");
    o.remove("b");
    o.set("d", &b"4"[..]);
    assert_eq!(text(&o), r#"{"c":3,"d":4}"#);
    o.remove("c");
    o.remove("d");
    assert_eq!(text(&o), "{}");
}

#[test]
fn a_key_that_stands_twice_is_refused_even_when_one_is_escaped() {
    for source in [
        r#"{"model":"a","model":"b"}"#,
        r#"{"model":"a","mod\u0065l":"b"}"#,
    ] {
        let error = Object::parse(Bytes::from(source)).unwrap_err();
        assert!(
            matches!(error, ObjectError::Duplicate(ref key) if key == "model"),
            "{source}: {error}"
        );
    }
    let many: Vec<String> = (0..40)
        .map(|i| format!("\"k{i}\":1"))
        .chain(["\"k7\":2".into()])
        .collect();
    let error = Object::parse(Bytes::from(format!("{{{}}}", many.join(",")))).unwrap_err();
    assert!(matches!(error, ObjectError::Duplicate(ref key) if key == "k7"));
}

#[test]
fn an_escaped_key_is_found_by_its_meaning() {
    let mut o = object(r#"{"mod\u0065l":"a","b":1}"#);
    assert_eq!(o.get("model"), Some(r#""a""#));
    o.remove("b");
    assert_eq!(text(&o), r#"{"mod\u0065l":"a"}"#);
}

#[test]
fn what_is_not_one_object_is_a_syntax_error() {
    for source in [
        "",
        "[1]",
        "1",
        "{",
        r#"{"a":}"#,
        r#"{"a":1}x"#,
        "{\"a\":\"\u{1}\"}",
        r#"{a:1}"#,
    ] {
        assert!(
            matches!(
                Object::parse(Bytes::from(source)),
                Err(ObjectError::Syntax(_))
            ),
            "{source:?}"
        );
    }
    assert!(Object::parse(Bytes::from_static(b"{\"a\":\"\xff\"}")).is_err());
}

#[test]
fn more_members_than_any_request_has_are_refused() {
    let many: Vec<String> = (0..2000).map(|i| format!("\"k{i}\":1")).collect();
    let error = Object::parse(Bytes::from(format!("{{{}}}", many.join(",")))).unwrap_err();
    assert!(
        error.to_string().contains("more than 1024 members"),
        "{error}"
    );
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    assert!(Object::parse(Bytes::from(deep)).is_ok());
}

#[test]
fn slices_share_the_original_memory() {
    let source = Bytes::from(format!(
        r#"{{"model":"m","big":"{}"}}"#,
        "x".repeat(100_000)
    ));
    let range = source.as_ptr_range();
    let mut o = Object::parse(source.clone()).unwrap();
    o.set("model", &b"\"n\""[..]);
    let big = o.slices().into_iter().find(|s| s.len() > 1000).unwrap();
    assert!(range.contains(&big.as_ptr()));
}

fn members() -> impl Strategy<Value = Vec<(String, String)>> {
    let value = prop_oneof![
        Just("null".to_owned()),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?",
        "[a-z {}\\[\\],:]{0,20}".prop_map(|s| serde_json::to_string(&s).unwrap()),
        Just(r#"{ "b" : [1, 2.50, {"c":"}"}] }"#.to_owned()),
    ];
    prop::collection::btree_map("[a-z\"\\\\é]{1,6}", value, 0..8)
        .prop_map(|m| m.into_iter().collect())
}

fn write(members: &[(String, String)], gap: &str) -> String {
    let body: Vec<String> = members
        .iter()
        .map(|(k, v)| {
            format!(
                "{gap}{}{gap}:{gap}{v}{gap}",
                serde_json::to_string(k).unwrap()
            )
        })
        .collect();
    format!("{gap}{{{}{gap}}}{gap}", body.join(","))
}

proptest! {
    #[test]
    fn rendering_without_edits_is_the_identity(m in members(), gap in "[ \n\t\r]{0,3}") {
        let source = write(&m, &gap);
        let o = object(&source);
        prop_assert_eq!(text(&o), source.clone());
        let joined: Vec<u8> = o.slices().iter().flat_map(|s| s.to_vec()).collect();
        prop_assert_eq!(String::from_utf8(joined).unwrap(), source);
    }

    #[test]
    fn edits_touch_no_other_member(m in members(), gap in "[ \n]{0,2}", seed in any::<u64>()) {
        let mut o = object(&write(&m, &gap));
        let mut want: Vec<(String, String)> = Vec::new();
        for (at, (key, value)) in m.iter().enumerate() {
            match seed >> (2 * at) & 3 {
                0 => o.remove(key),
                _ => want.push((key.clone(), value.clone())),
            }
        }
        o.set("model", &b"\"new\""[..]);
        want.retain(|(k, _)| k != "model");
        let rendered = object(&text(&o));
        let got: Vec<(String, String)> = rendered.iter()
            .filter(|(k, _)| *k != "model")
            .map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        prop_assert_eq!(got, want);
        prop_assert_eq!(rendered.get("model"), Some("\"new\""));
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Object::parse(Bytes::from(bytes));
    }
}
