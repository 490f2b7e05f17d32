//! Any text: nothing panics, places are in the file, secrets stay out of messages.

use proptest::prelude::*;

use super::*;

/// A good file with one piece cut out and another put in.
fn mutated() -> impl Strategy<Value = String> {
    let files: Vec<String> = files("config")
        .into_values()
        .chain(files("tests/config/good").into_values())
        .collect();
    let piece = prop_oneof![
        "\\PC{0,12}",
        "[\\[\\]{}:,&*!|>'\"%@`#?\n -]{0,6}",
        "\\$\\{[A-Z:-]{0,8}\\}?"
    ];
    (
        proptest::sample::select(files),
        any::<proptest::sample::Index>(),
        0_usize..40,
        piece,
    )
        .prop_map(|(file, at, cut, piece)| {
            let chars: Vec<char> = file.chars().collect();
            let at = at.index(chars.len());
            let rest = chars.iter().skip(at + cut);
            chars
                .iter()
                .take(at)
                .copied()
                .chain(piece.chars())
                .chain(rest.copied())
                .collect()
        })
}

/// A good file with a secret in place of one of its values.
fn with_secret() -> impl Strategy<Value = String> {
    let files: Vec<String> = files("config").into_values().collect();
    (
        proptest::sample::select(files),
        any::<proptest::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(file, at, quoted)| {
            let lines: Vec<&str> = file.lines().collect();
            let with_value: Vec<usize> = (0..lines.len())
                .filter(|i| lines[*i].contains(": ") && !lines[*i].trim().starts_with('#'))
                .collect();
            let chosen = with_value[at.index(with_value.len())];
            let secret = if quoted { "\"${SECRET}\"" } else { "${SECRET}" };
            let mut text = String::new();
            for (i, line) in lines.iter().enumerate() {
                match line.split_once(": ") {
                    Some((key, _)) if i == chosen => text.push_str(&format!("{key}: {secret}")),
                    _ => text.push_str(line),
                }
                text.push('\n');
            }
            text
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn reading_any_text_never_panics(text in "(?s).{0,200}") {
        let _ = check("t", &text);
    }

    #[test]
    fn reading_a_broken_file_never_panics_and_its_places_are_in_it(text in mutated()) {
        if let Err(mistakes) = check("t", &text) {
            let lines = text.lines().count() + 1;
            for mistake in &mistakes {
                prop_assert!(mistake.line <= lines, "{} of {}", mistake, lines);
                prop_assert!(!mistake.message.contains("report this"), "{}", mistake);
            }
        }
    }

    #[test]
    fn a_secret_never_stands_in_a_message(text in with_secret()) {
        match check("t", &text) {
            Err(mistakes) => {
                prop_assert!(!mistakes.to_string().contains("hunter2"), "{}", mistakes);
                let debug = format!("{mistakes:?}");
                prop_assert!(!debug.contains("hunter2"));
            }
            Ok(checked) => prop_assert!(!warnings(&checked).contains("hunter2")),
        }
    }
}
