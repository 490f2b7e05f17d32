//! The image is built from stand-ins of all programs first, so that its crates are a layer of
//! their own: a program that `Cargo.toml` names and the Dockerfile does not makes no image.

use toml::{Table, Value};

/// Programs of the manifest that the Dockerfile has no stand-in for.
pub(crate) fn without_stand_in(manifest: &str, dockerfile: &str) -> Vec<String> {
    let manifest: Table = manifest.parse().unwrap();
    let targets = |kind: &str| match manifest.get(kind) {
        Some(Value::Array(targets)) => targets.clone(),
        _ => Vec::new(),
    };
    let place = |folder: &str, target: &Value| match target.get("path") {
        Some(path) => path.as_str().unwrap().to_owned(),
        None => format!("{folder}/{}.rs", target["name"].as_str().unwrap()),
    };
    let benches = targets("bench").into_iter().map(|it| place("benches", &it));
    let programs = targets("bin").into_iter().map(|it| place("src/bin", &it));
    benches
        .chain(programs)
        .filter(|path| {
            !dockerfile
                .split_whitespace()
                .any(|word| word.trim_end_matches(';') == path)
        })
        .map(|path| format!("Dockerfile: has no stand-in for {path}; add it to the list"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_the_dockerfile_does_not_name_is_told() {
        let manifest = "[[bin]]\nname = 'a'\npath = 'x/a.rs'\n[[bench]]\nname = 'b'\n";
        let all = "for file in x/a.rs benches/b.rs; do";
        assert_eq!(without_stand_in(manifest, all), [""; 0]);
        let wrong = without_stand_in(manifest, "for file in x/a.rs; do");
        assert!(
            wrong.len() == 1 && wrong[0].contains("benches/b.rs"),
            "{wrong:?}"
        );
    }
}
