//! File + environment -> [`Config`], with every problem reported at once.
//!
//! Serde stops at the first problem. So the value that caused it is noted and taken out, and what is left is tried again,
//! until it deserializes; then it is validated.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use figment::{
    error::{Error, Kind},
    providers::{Format, Toml},
    value::{Dict, Value},
};
use serde::Deserialize;

use super::{
    Config, ConfigError, Internal, Problem, Problems, Source,
    source::{Override, nearest, overrides},
    validate::validate,
};

/// A key path: names, and indices of list elements.
pub(super) type KeyPath = Vec<String>;

/// Every top-level key.
const TOP_LEVEL: [&str; 15] = [
    "workers",
    "demo",
    "public",
    "engine",
    "limits",
    "internal",
    "cluster",
    "redis",
    "recovery",
    "upstream",
    "fanout",
    "drain",
    "log",
    "tracing",
    "namespaces",
];

/// Reads the file, if one is given, and the environment over it.
///
/// # Errors
///
/// When the file cannot be read, is not TOML, or any key or value is wrong.
pub fn load(file: Option<&Path>, source: &dyn Source) -> Result<Config, ConfigError> {
    let (name, text) = read(file)?;
    parse(&name, &text, source)
}

/// The file's name and its text; without a file there are the defaults.
fn read(file: Option<&Path>) -> Result<(String, String), ConfigError> {
    let Some(path) = file else { return Ok(("default".to_owned(), String::new())) };
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    Ok((path.display().to_string(), text))
}

/// The same for a text that was read already; `file` is the name that problems are reported under.
///
/// # Errors
///
/// When the text is not TOML, or any key or value is wrong.
pub fn parse(file: &str, text: &str, source: &dyn Source) -> Result<Config, ConfigError> {
    let (value, overrides) = merged(file, text, source)?;
    let mut reader = Reader::new(value);
    let config = reader.read();
    let wrong: BTreeSet<String> = reader.found.iter().filter_map(|(path, _)| path.first().cloned()).collect();
    for (path, message) in validate(&config) {
        // A room that lost a value stands on defaults there: what it says beside them is not judged. Namespaces are
        // judged one by one.
        if path.first().is_some_and(|room| room == "namespaces" || !wrong.contains(room)) {
            let path = reader.as_written(&path);
            reader.found.push((path, message));
        }
    }

    if reader.found.is_empty() {
        return Ok(config);
    }
    let problem = |(path, message): (KeyPath, String)| Problem {
        key: display(&path),
        origin: origin(&path, &overrides, file),
        message,
    };
    Err(ConfigError::Invalid(Problems(reader.found.into_iter().map(problem).collect())))
}

/// Where the internal listener of a process with this file and environment is. What is wrong beside it is passed over:
/// the process was started with what was right, and the file may have changed since.
///
/// # Errors
///
/// When the file cannot be read or is not TOML.
pub fn load_internal(file: Option<&Path>, source: &dyn Source) -> Result<Internal, ConfigError> {
    let (name, text) = read(file)?;
    let (value, _) = merged(&name, &text, source)?;
    Ok(Reader::new(value).read().internal)
}

/// The values of the text, with those of the environment over them.
fn merged(file: &str, text: &str, source: &dyn Source) -> Result<(Value, Vec<Override>), ConfigError> {
    let mut dict: Dict = Toml::from_str(text).map_err(|error| ConfigError::Syntax {
        file: file.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })?;
    let overrides = overrides(source, &TOP_LEVEL);
    for change in &overrides {
        change.apply(&mut dict);
    }
    Ok((Value::from(dict), overrides))
}

/// Deserializes a value, taking out what is wrong with it.
struct Reader {
    value: Value,
    found: Vec<(KeyPath, String)>,
    /// List elements taken out, by the path of their list: what follows them has moved up.
    taken: BTreeMap<KeyPath, BTreeSet<usize>>,
}

impl Reader {
    fn new(value: Value) -> Self {
        Self { value, found: Vec::new(), taken: BTreeMap::new() }
    }

    fn read(&mut self) -> Config {
        loop {
            match Config::deserialize(&self.value) {
                Ok(config) => return config,
                Err(error) => {
                    let written = self.as_written(&error.path);
                    self.note(&written, &error);
                    if !remove(&mut self.value, &error.path) {
                        return Config::default();
                    }
                    self.note_taken(&written);
                }
            }
        }
    }

    fn note(&mut self, written: &[String], error: &Error) {
        let mut key = written.to_vec();
        if let Kind::MissingField(field) = &error.kind {
            key.push(field.to_string());
            if self.found.iter().any(|(found, _)| *found == key) {
                return; // it was there, was wrong, and was taken out
            }
        }
        self.found.push((key, message(&error.kind)));
    }

    fn note_taken(&mut self, written: &[String]) {
        if let Some((last, list)) = written.split_last()
            && let Ok(index) = last.parse()
        {
            self.taken.entry(list.to_vec()).or_default().insert(index);
        }
    }

    /// The path that an element had before others were taken out.
    fn as_written(&self, path: &[String]) -> KeyPath {
        let mut written = KeyPath::new();
        for part in path {
            let part = match (self.taken.get(&written), part.parse::<usize>()) {
                (Some(taken), Ok(index)) => {
                    let kept = (0..).filter(|i| !taken.contains(i)).nth(index);
                    kept.unwrap_or(index).to_string()
                }
                _ => part.clone(),
            };
            written.push(part);
        }
        written
    }
}

/// Takes the value at `path` out; false when there is none.
fn remove(value: &mut Value, path: &[String]) -> bool {
    match (value, path) {
        (Value::Dict(_, dict), [key]) => dict.remove(key).is_some(),
        (Value::Dict(_, dict), [key, rest @ ..]) => dict.get_mut(key).is_some_and(|inner| remove(inner, rest)),
        (Value::Array(_, list), [index, rest @ ..]) => match index.parse::<usize>() {
            Ok(index) if index < list.len() && rest.is_empty() => {
                list.remove(index);
                true
            }
            Ok(index) => list.get_mut(index).is_some_and(|inner| remove(inner, rest)),
            Err(_) => false,
        },
        (_, _) => false,
    }
}

fn message(kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("expected {}, found {found}", in_words(expected))
        }
        Kind::UnknownField(key, known) => match nearest(key, known.iter().copied()) {
            Some(near) => format!("unknown key, did you mean `{near}`?"),
            None => format!("unknown key, expected one of `{}`", known.join("`, `")),
        },
        Kind::UnknownVariant(value, known) => match nearest(value, known.iter().copied()) {
            Some(near) => format!("unknown value \"{value}\", did you mean \"{near}\"?"),
            None => format!("unknown value \"{value}\", expected one of \"{}\"", known.join("\", \"")),
        },
        Kind::MissingField(_) => "required, but absent".to_owned(),
        other => other.to_string(),
    }
}

/// What serde says it expected, in the words of the file.
fn in_words(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "usize" => "an integer, 0 or more",
        "u32" => "an integer from 0 to 4294967295",
        struct_name if struct_name.starts_with("struct ") => "a table",
        other => other,
    }
}

fn display(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        match part.parse::<usize>() {
            Ok(index) => text.push_str(&format!("[{index}]")),
            Err(_) if text.is_empty() => text.push_str(part),
            Err(_) => text.push_str(&format!(".{part}")),
        }
    }
    text
}

/// Where the value at `path` was set.
fn origin(path: &[String], overrides: &[Override], file: &str) -> String {
    let set_by = |change: &&Override| path.starts_with(&change.path) || change.path.starts_with(path);
    overrides.iter().find(set_by).map_or_else(|| file.to_owned(), |change| change.variable.clone())
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "problem_tests.rs"]
mod problem_tests;
