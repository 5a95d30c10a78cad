//! Dependencies point one way, and no file grows too long.
//!
//! Reads the sources under `src/`, without their tests: which part names which by `crate::…`, or by as many `super::` as
//! lead to the crate's root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every part of the gateway from low to high, and what it may use. An arrow that is not used any more is taken out.
const PARTS: [(&str, &[&str]); 23] = [
    ("tasks", &[]),
    ("tls", &[]),
    ("trace", &[]),
    ("protocol", &[]),
    ("message", &["protocol", "trace"]),
    ("policy", &["config", "message"]),
    ("config", &["policy", "tls"]),
    ("auth", &["config"]),
    ("adapter", &["auth", "message", "protocol"]),
    ("fleet", &["adapter", "message"]),
    ("recovery", &["adapter", "message"]),
    ("rooms", &["adapter", "message", "recovery", "trace"]),
    ("ops", &["config", "tls"]),
    ("publish", &["adapter", "auth", "config", "message", "ops", "protocol", "trace"]),
    ("admin", &["adapter", "config", "message", "ops", "publish", "rooms"]),
    ("fetch", &["tasks"]),
    ("upstream", &["auth", "config", "fetch", "message", "protocol", "publish", "tasks", "trace"]),
    ("notices", &["adapter", "auth", "config", "message", "protocol", "upstream"]),
    (
        "session",
        &[
            "adapter", "auth", "config", "message", "policy", "protocol", "recovery", "rooms", "tasks", "tls", "trace",
            "upstream",
        ],
    ),
    ("peers", &["adapter", "message", "session", "tls"]),
    ("transport", &["auth", "config", "fleet", "message", "ops", "peers", "protocol", "session", "tls"]),
    (
        "app",
        &[
            "adapter",
            "admin",
            "auth",
            "config",
            "fetch",
            "fleet",
            "message",
            "notices",
            "ops",
            "peers",
            "policy",
            "publish",
            "rooms",
            "session",
            "tasks",
            "tls",
            "trace",
            "transport",
            "upstream",
        ],
    ),
    ("cli", &["app", "auth", "config", "ops", "tls"]),
];

/// The one arrow upwards: rules are compiled from the configuration, whose validation compiles them to find mistakes.
const UPWARDS: [(&str, &str); 1] = [("policy", "config")];

const MAX_LINES: usize = 500;

#[test]
fn the_table_has_no_arrow_upwards() {
    let height =
        |part: &str| PARTS.iter().position(|(name, _)| *name == part).unwrap_or_else(|| panic!("no part {part}"));
    for (part, uses) in PARTS {
        for other in uses {
            let down = height(other) < height(part);
            assert!(down || UPWARDS.contains(&(part, other)), "{part} -> {other} points upwards");
        }
    }
}

#[test]
fn parts_use_what_the_table_says() {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for source in sources() {
        let part = source.modules.first().cloned().unwrap_or_default();
        if part == "lib" || part == "main" {
            continue;
        }
        let Some((_, allowed)) = PARTS.iter().find(|(name, _)| *name == part) else {
            wrong.push(format!("{}: `{part}` is not in the table", source.path.display()));
            continue;
        };
        for target in source.targets() {
            if target == part {
                continue;
            }
            if !allowed.contains(&target.as_str()) {
                wrong.push(format!("{}: {part} -> {target} is not allowed", source.path.display()));
            }
            found.entry(part.clone()).or_default().insert(target);
        }
    }
    for (part, allowed) in PARTS {
        let used = found.remove(part).unwrap_or_default();
        let unused: Vec<_> = allowed.iter().filter(|name| !used.contains(**name)).collect();
        if !unused.is_empty() {
            wrong.push(format!("the table: {part} uses {unused:?} no more"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|source| source.lines > MAX_LINES)
        .map(|source| format!("{}: {} lines", source.path.display(), source.lines))
        .collect();
    assert!(long.is_empty(), "over {MAX_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn paths_are_found_in_every_form() {
    let source = |modules: &[&str], text: &str| Source {
        path: PathBuf::new(),
        modules: modules.iter().map(|module| (*module).to_owned()).collect(),
        lines: 0,
        code: code(text),
    };
    for (modules, text, expected) in [
        (vec!["a"], "use crate::b::C;\nfn f() { crate::d::e(); }", vec!["b", "d"]),
        (vec!["a"], "use crate::{b::{C, D}, d,\n    e::f};", vec!["b", "d", "e"]),
        (vec!["a"], "use super::b;\nuse super::super_b;", vec!["b", "super_b"]),
        (vec!["a", "b"], "use super::c;\nuse super::super::d;", vec!["d"]),
        (vec!["a"], "//! [`crate::b`]\n    // crate::c\nuse my_crate::d;", vec![]),
        (vec!["a"], "#[cfg(test)]\nmod tests {\n    use crate::b;\n}\nuse crate::c;", vec!["c"]),
        (vec!["a"], "#[cfg(test)]\nuse crate::b;\nuse crate::c;", vec!["c"]),
    ] {
        let targets: Vec<String> = source(&modules, text).targets().into_iter().collect();
        assert_eq!(targets, expected, "{text}");
    }
}

/// A file that is not a test.
struct Source {
    path: PathBuf,
    /// The module that it is, from the crate's root.
    modules: Vec<String>,
    lines: usize,
    /// Without comments and tests.
    code: String,
}

impl Source {
    /// The parts that it names.
    fn targets(&self) -> BTreeSet<String> {
        let mut targets = BTreeSet::new();
        for rest in after(&self.code, "crate::") {
            targets.extend(heads(rest));
        }
        let to_root = "super::".repeat(self.modules.len());
        for rest in after(&self.code, &to_root) {
            targets.extend(heads(rest));
        }
        targets
    }
}

/// What follows each occurrence of a path's beginning.
fn after<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.match_indices(prefix)
        .filter(|(at, _)| !code[..*at].ends_with(is_path))
        .map(|(at, _)| &code[at + prefix.len()..])
        .filter(|rest| !rest.starts_with("super::"))
        .collect()
}

/// The first names of what stands here: one, or those of a group in braces.
fn heads(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut depth, mut fresh, mut names) = (0, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            _ if fresh && depth == 0 && !c.is_whitespace() => {
                names.push(name(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

/// The text without comments, and without items that are compiled for tests only.
fn code(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let item = lines.by_ref().find(|line| !line.trim_start().starts_with("#["));
            if item.is_some_and(|item| item.ends_with('{')) {
                let indent = line.len() - line.trim_start().len();
                let end = format!("{}}}", " ".repeat(indent));
                lines.by_ref().find(|line| *line == end);
            }
        } else if !line.trim_start().starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let texts: Vec<(PathBuf, String)> = files
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(&path).expect("a source is readable")))
        .collect();
    let tests: Vec<PathBuf> = texts.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let is_test = |path: &Path| tests.iter().any(|test| path == test.with_extension("rs") || path.starts_with(test));
    let sources: Vec<Source> = texts
        .iter()
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| Source {
            modules: modules(path.strip_prefix(&root).expect("it is below the root")),
            path: path.clone(),
            lines: text.lines().count(),
            code: code(text),
        })
        .collect();
    assert!(sources.len() > 50, "the sources were found");
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder is readable") {
        let path = entry.expect("an entry is readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The module that a file is.
fn modules(path: &Path) -> Vec<String> {
    let mut modules: Vec<String> =
        path.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if modules.last().is_some_and(|name| name == "mod") {
        modules.pop();
    }
    modules
}

/// The modules in files of their own that a file declares for tests, as paths without an extension.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let parent = path.parent().expect("a file has a folder");
    let own = match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") | None => parent.to_owned(),
        Some(stem) => parent.join(stem),
    };
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            continue;
        }
        let mut named = None;
        for line in lines.by_ref() {
            if let Some(file) = line.trim().strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
                named = Some(parent.join(file).with_extension(""));
            } else if !line.trim_start().starts_with("#[") {
                if let Some(name) = line.strip_suffix(';').and_then(|line| line.split("mod ").nth(1)) {
                    found.push(named.unwrap_or_else(|| own.join(name)));
                }
                break;
            }
        }
    }
    found
}
