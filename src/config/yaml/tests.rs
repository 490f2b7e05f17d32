use super::*;

fn messages(text: &str) -> Vec<String> {
    let mistakes = parse(text).unwrap_err();
    mistakes
        .iter()
        .map(|m| format!("{}:{} {} {}", m.line, m.column, m.path, m.message))
        .collect()
}

fn scalar<'n>(root: &'n Node, path: &Path) -> &'n Scalar {
    match &root.nearest(path).1.value {
        Value::Scalar(scalar) => scalar,
        other => panic!("no scalar: {other:?}"),
    }
}

#[test]
fn every_key_and_value_knows_its_place() {
    let root = parse("a:\n  - b: ä\n    'c': 1\n").unwrap();
    let item = Path::root().key("a").index(0);
    assert_eq!(root.nearest(&item.key("b")).0, Mark { line: 2, column: 8 });
    assert_eq!(
        root.nearest(&item.key("c")).0,
        Mark {
            line: 3,
            column: 10
        }
    );
    // of a list or mapping the place of its key, of what is not there that of its parent
    assert_eq!(
        root.nearest(&Path::root().key("a")).0,
        Mark { line: 1, column: 1 }
    );
    assert_eq!(
        root.nearest(&item.key("d").key("e")).0,
        Mark { line: 2, column: 5 }
    );
}

#[test]
fn plain_scalars_are_typed_by_the_core_schema() {
    for (text, typed) in [
        ("~", Typed::Null),
        ("null", Typed::Null),
        ("true", Typed::Bool(true)),
        ("FALSE", Typed::Bool(false)),
        ("12", Typed::Integer(12)),
        ("-3", Typed::Integer(-3)),
        ("0x1F", Typed::Integer(31)),
        ("0o17", Typed::Integer(15)),
        ("0.2", Typed::Number(0.2)),
        ("1e3", Typed::Number(1000.0)),
        ("-.inf", Typed::Number(f64::NEG_INFINITY)),
        ("99999999999999999999", Typed::Number(1e20)),
        ("yes", Typed::Text),
        ("5s", Typed::Text),
        ("127.0.0.1", Typed::Text),
        ("1_000", Typed::Text),
        ("-", Typed::Text),
        (".", Typed::Text),
        ("0x", Typed::Text),
        ("infinity", Typed::Text),
    ] {
        assert_eq!(core_schema(text), typed, "{text}");
    }
}

#[test]
fn quoted_tagged_and_block_scalars_are_text() {
    let root = parse("a: '1'\nb: \"true\"\nc: !!str 1\nd: |\n  1\n").unwrap();
    for key in ["a", "b", "c", "d"] {
        assert_eq!(
            scalar(&root, &Path::root().key(key)).typed(),
            Typed::Text,
            "{key}"
        );
    }
    assert!(messages("a: !!int 1")[0].contains("tags"));
    assert!(messages("a: !mine [1]")[0].contains("tags"));
}

#[test]
fn every_repeated_key_is_a_mistake_that_names_both_places() {
    assert_eq!(
        messages("a: 1\nb:\n  - c: 1\n    c: 2\na: 2\na: 3\n"),
        [
            "4:5 b[0].c written twice, first at line 3, column 5",
            "5:1 a written twice, first at line 1, column 1",
            "6:1 a written twice, first at line 1, column 1",
        ]
    );
}

#[test]
fn an_empty_file_is_an_empty_mapping() {
    for text in [
        "",
        "\n\n",
        "# nothing\n",
        "---\n",
        "---\n...\n",
        "\u{feff}",
        "~",
        "null",
    ] {
        let root = parse(text).unwrap();
        assert!(
            matches!(root.value, Value::Map(ref entries) if entries.is_empty()),
            "{text:?}"
        );
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    let root = parse("\u{feff}a: 1\r\nb:\r\n  - c\r\n").unwrap();
    assert_eq!(
        root.nearest(&Path::root().key("a")).0,
        Mark { line: 1, column: 4 }
    );
    let c = Path::root().key("b").index(0);
    assert_eq!(scalar(&root, &c).text, "c");
    assert_eq!(root.nearest(&c).0, Mark { line: 3, column: 5 });
}

#[test]
fn only_one_document_with_a_mapping_at_its_root_is_taken() {
    assert!(messages("a: 1\n---\nb: 1\n")[0].contains("more than one document"));
    assert!(messages("- a\n")[0].contains("must hold a mapping, found a list"));
    assert!(messages("just text\n")[0].contains("must hold a mapping, found text"));
    assert!(messages("a: [1\nb: 2\n")[0].contains("not YAML"));
    assert!(messages("? [a]\n: 1\n")[0].contains("a key must be text"));
}

#[test]
fn aliases_stand_for_copies() {
    let root = parse("a: &x { k: &y 1 }\nb: *x\nc: [*y]\n*y : d\n").unwrap();
    assert_eq!(scalar(&root, &Path::root().key("b").key("k")).text, "1");
    assert_eq!(scalar(&root, &Path::root().key("c").index(0)).text, "1");
    assert_eq!(scalar(&root, &Path::root().key("1")).text, "d");
    assert!(messages("a: *nowhere")[0].contains("not YAML"));
    assert!(messages("a: &x [*x]")[0].contains("an alias inside of what it stands for"));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    assert!(messages(&bomb)[0].contains("copy more than"));
}

#[test]
fn depth_is_limited_also_through_aliases() {
    let deep = format!("a: {}{}", "[".repeat(40), "]".repeat(40));
    assert!(messages(&deep)[0].contains("nested deeper"));
    let half = format!(
        "a: &a {}{}\nb: {}*a{}",
        "[".repeat(20),
        "]".repeat(20),
        "[".repeat(20),
        "]".repeat(20)
    );
    assert!(messages(&half)[0].contains("nested deeper"));
}
