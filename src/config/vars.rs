//! Variables in values: `${VAR}`, `${VAR:-default}`, `${file:/path}`, and `$${` for a plain `${`.
//!
//! They are replaced in the tree, after YAML was read, so that what a secret holds is never taken
//! for YAML; keys and comments are left alone. No message ever holds what a variable held.

use std::{
    io,
    path::{Path as FilePath, PathBuf},
};

use jiff::Timestamp;

use super::{
    mistake::{Mistake, Path, shorten},
    yaml::{Node, Scalar, Value},
};

/// Where variables and secret files come from. Any `Fn(&str) -> Option<String>` is one, with
/// files from the file system.
pub trait Environment {
    /// The variable of that name, if it is set.
    fn var(&self, name: &str) -> Option<String>;

    /// The content of a file, which must be text.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    fn file(&self, path: &FilePath) -> io::Result<String> {
        super::load::secret_file(path)
    }

    /// The files of a folder, sorted by name: those that end so; `None`: it is no folder.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    fn folder(&self, path: &FilePath, end: &'static str) -> io::Result<Option<Vec<PathBuf>>> {
        super::load::folder(path, end)
    }

    /// The moment by which certificates are judged.
    fn now(&self) -> Timestamp {
        super::load::now()
    }
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn var(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// Why a variable could not be replaced.
#[derive(Debug, thiserror::Error)]
enum VarError {
    #[error("`${{` without a closing `}}`")]
    Open,
    #[error("`{0}` is not a variable")]
    Syntax(String),
    #[error("the variable `{0}` is not set")]
    Unset(String),
    #[error("the variable `{0}` is empty")]
    Empty(String),
    #[error("the file `{path}` cannot be read: {kind}")]
    File { path: String, kind: io::ErrorKind },
    #[error("the file `{0}` is empty")]
    EmptyFile(String),
}

/// Replaces the variables in every value below. A key whose value was only variables and came out
/// empty (`${VAR:-}`) is left out, as if it had not been written.
pub(super) fn replace(root: &mut Node, env: &dyn Environment) -> Vec<Mistake> {
    let mut walk = Walk {
        env,
        path: Path::root(),
        mistakes: Vec::new(),
    };
    walk.visit(root);
    walk.mistakes
}

struct Walk<'a> {
    env: &'a dyn Environment,
    path: Path,
    mistakes: Vec<Mistake>,
}

impl Walk<'_> {
    fn visit(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.path.push_index(index);
                    self.visit(item);
                    self.path.pop();
                }
            }
            Value::Map(entries) => {
                for entry in entries.iter_mut() {
                    self.path.push_key(&entry.key);
                    self.visit(&mut entry.value);
                    self.path.pop();
                }
                entries.retain(|entry| !left_out(&entry.value));
            }
            Value::Scalar(scalar) => match self.expand(&scalar.text) {
                Ok(None) => {}
                Ok(Some(text)) => {
                    scalar.written = Some(std::mem::replace(&mut scalar.text, text));
                }
                Err(error) => {
                    let mistake = Mistake::new(node.at, &self.path, error.to_string());
                    self.mistakes.push(match error.hint() {
                        Some(hint) => mistake.hint(hint),
                        None => mistake,
                    });
                    scalar.broken = true;
                }
            },
        }
    }

    /// The text with its variables replaced; `None` if it has none.
    fn expand(&self, text: &str) -> Result<Option<String>, VarError> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${");
                rest = after;
                continue;
            }
            let (body, after) = after.split_once('}').ok_or(VarError::Open)?;
            expanded.push_str(before);
            expanded.push_str(&self.look_up(body)?);
            rest = after;
        }
        expanded.push_str(rest);
        Ok((expanded != text).then_some(expanded))
    }

    fn look_up(&self, body: &str) -> Result<String, VarError> {
        if let Some(path) = body.strip_prefix("file:") {
            return self.read_file(path);
        }
        let (name, default) = match body.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (body, None),
        };
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(VarError::Syntax(shorten(&format!("${{{body}}}"))));
        }
        match (
            self.env.var(name).filter(|value| !value.is_empty()),
            default,
        ) {
            (Some(value), _) => Ok(value),
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) if self.env.var(name).is_some() => Err(VarError::Empty(shorten(name))),
            (None, None) => Err(VarError::Unset(shorten(name))),
        }
    }

    /// The content without the line break that editors and `echo` put at the end.
    fn read_file(&self, path: &str) -> Result<String, VarError> {
        let content = self
            .env
            .file(FilePath::new(path))
            .map_err(|error| VarError::File {
                path: shorten(path),
                kind: error.kind(),
            })?;
        let content = content.strip_suffix('\n').unwrap_or(&content);
        let content = content.strip_suffix('\r').unwrap_or(content);
        if content.is_empty() {
            return Err(VarError::EmptyFile(shorten(path)));
        }
        Ok(content.to_owned())
    }
}

impl VarError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Open => Some("write `$${` for a plain `${`".to_owned()),
            Self::Syntax(_) => {
                Some("${VAR}, ${VAR:-default} or ${file:/path}; `$${` is a plain `${`".to_owned())
            }
            Self::Unset(name) | Self::Empty(name) => {
                Some(format!("set it, or write a default: ${{{name}:-…}}"))
            }
            Self::File { .. } | Self::EmptyFile(_) => None,
        }
    }
}

fn left_out(node: &Node) -> bool {
    matches!(
        &node.value,
        Value::Scalar(Scalar { text, written: Some(_), .. }) if text.is_empty()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn env(name: &str) -> Option<String> {
        match name {
            "SET" => Some("a: [b, # not YAML".to_owned()),
            "NUMBER" => Some("8".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    /// The text of `k` in a mapping, or the first message.
    fn value(written: &str) -> Result<String, String> {
        let mut root = yaml::parse(&format!("k: '{written}'")).unwrap();
        if let Some(mistake) = replace(&mut root, &env).first() {
            return Err(mistake.message.clone());
        }
        match &root.nearest(&Path::root().key("k")).1.value {
            Value::Scalar(scalar) => Ok(scalar.text.clone()),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn variables_are_replaced_inside_a_value() {
        for (written, want) in [
            ("${SET}", "a: [b, # not YAML"),
            ("x${NUMBER}y${NUMBER}", "x8y8"),
            ("${NONE:-d:-e}", "d:-e"),
            ("${EMPTY:-d}", "d"),
            ("$${SET}", "${SET}"),
            ("$$${SET}", "$${SET}"),
            ("cost: $5 and $VAR", "cost: $5 and $VAR"),
        ] {
            assert_eq!(value(written).as_deref(), Ok(want), "{written}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_said_by_name() {
        for (written, want) in [
            ("${NONE}", "the variable `NONE` is not set"),
            ("${EMPTY}", "the variable `EMPTY` is empty"),
            ("${}", "`${}` is not a variable"),
            ("${A-b}", "`${A-b}` is not a variable"),
            ("${SET", "`${` without a closing `}`"),
            (
                "${file:/nowhere/at/all}",
                "the file `/nowhere/at/all` cannot be read: entity not found",
            ),
        ] {
            assert_eq!(value(written), Err(want.to_owned()), "{written}");
        }
    }

    #[test]
    fn keys_and_comments_are_left_alone() {
        let mut root = yaml::parse("${NONE}: 1 # ${NONE}").unwrap();
        assert_eq!(replace(&mut root, &env), []);
    }

    #[test]
    fn an_empty_default_leaves_the_key_out() {
        let mut root = yaml::parse("a: ${NONE:-}\nb: ''\nc: [\"${NONE:-}\"]").unwrap();
        assert_eq!(replace(&mut root, &env), []);
        let Value::Map(entries) = &root.value else {
            panic!("not a mapping")
        };
        assert_eq!(
            entries.iter().map(|e| e.key.as_str()).collect::<Vec<_>>(),
            ["b", "c"]
        );
    }

    #[test]
    fn debug_output_shows_a_replaced_value_as_written() {
        let mut root = yaml::parse("k: ${SET}").unwrap();
        replace(&mut root, &env);
        let debug = format!("{root:?}");
        assert!(
            debug.contains("${SET}") && !debug.contains("not YAML"),
            "{debug}"
        );
    }
}
