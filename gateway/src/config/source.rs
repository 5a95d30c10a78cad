//! Where configuration comes from besides the file: environment variables, read through a trait.

use std::collections::BTreeMap;

use figment::value::{Dict, Value};

/// What every environment variable of Carillon begins with.
pub const PREFIX: &str = "CARILLON_";

/// Between the levels of a key in the name of an environment variable.
const SEPARATOR: &str = "__";

/// The environment that configuration is read from.
pub trait Source {
    /// All variables, as name and value.
    fn variables(&self) -> Vec<(String, String)>;
}

/// The environment of this process. Variables that are not UTF-8 are left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Source for ProcessEnvironment {
    fn variables(&self) -> Vec<(String, String)> {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(utf8).collect()
    }
}

impl Source for BTreeMap<String, String> {
    fn variables(&self) -> Vec<(String, String)> {
        self.clone().into_iter().collect()
    }
}

/// A key that an environment variable sets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Override {
    pub(super) variable: String,
    pub(super) path: Vec<String>,
    pub(super) value: Value,
}

/// The keys that the environment sets, in order of their names.
///
/// A name without `__` is taken only when it is, or is a slip of, a top-level key: other programs set variables with
/// our prefix too (Kubernetes sets `CARILLON_PORT` for a service called `carillon`; the command line has
/// `CARILLON_CONFIG`).
pub(super) fn overrides(source: &dyn Source, top_level: &[&str]) -> Vec<Override> {
    let mut found: Vec<Override> = source
        .variables()
        .into_iter()
        .filter_map(|(variable, value)| {
            let key = variable.strip_prefix(PREFIX)?.to_ascii_lowercase();
            let path: Vec<String> = key.split(SEPARATOR).map(str::to_owned).collect();
            let ours = path.len() > 1 || nearest(&key, top_level.iter().copied()).is_some();
            let value = value.parse().unwrap_or_else(|never| match never {});
            (ours && !key.is_empty()).then_some(Override { variable, path, value })
        })
        .collect();
    found.sort_by(|a, b| a.variable.cmp(&b.variable));
    found
}

impl Override {
    /// Sets the key in `dict`; a value that stood where a table is needed gives way.
    pub(super) fn apply(&self, dict: &mut Dict) {
        let Some((last, parents)) = self.path.split_last() else {
            return;
        };
        let mut table = dict;
        for parent in parents {
            let entry = table.entry(parent.clone()).or_insert_with(|| Value::from(Dict::new()));
            if !matches!(entry, Value::Dict(..)) {
                *entry = Value::from(Dict::new());
            }
            let Value::Dict(_, inner) = entry else { return };
            table = inner;
        }
        table.insert(last.clone(), self.value.clone());
    }
}

/// The known key nearest to `word`, if one is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|key| (strsim::damerau_levenshtein(word, key), key))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, key)| key)
}
