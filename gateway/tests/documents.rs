//! What the documents name is there: the ends of links, metrics, settings, `make` targets, and in ARCHITECTURE.md files.
//!
//! Metrics are held against docs/metrics.md, settings against docs/config.md, which are held against the program by tests of
//! their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Words in the form of a metric's name that are none.
const NO_METRICS: [&str; 1] = ["carillon_gateway"];

#[test]
fn links_lead_somewhere() {
    let documents = documents();
    let mut links = 0;
    let mut dead = Vec::new();
    for (path, document) in &documents {
        for link in document.links() {
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { joined(path, file) };
            let anchored = || documents.get(&target).is_some_and(|target| target.anchors().contains(anchor));
            if !root().join(&target).exists() || !anchor.is_empty() && !anchored() {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "links to nothing:\n{}", dead.join("\n"));
    assert!(links > 80, "only {links} links were found");
    println!("{links} links in {} documents", documents.len());
}

#[test]
fn metrics_are_those_of_the_list() {
    let documents = documents();
    let known: BTreeSet<&str> = documents[Path::new("docs/metrics.md")].first_cells().collect();
    let is_known = |word: &str| {
        let plain = ["_count", "_sum", "_bucket"].iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word);
        known.contains(word) || known.contains(plain) || NO_METRICS.contains(&word)
    };
    check(&documents, |document| document.words().filter(|word| is_metric(word)).collect(), is_known, 50);
}

#[test]
fn settings_are_those_of_the_reference() {
    let documents = documents();
    let reference = &documents[Path::new("docs/config.md")];
    let settings = settings(&reference.text);
    let sections: BTreeSet<&str> = settings.iter().filter_map(|name| Some(name.split_once('.')?.0)).collect();
    let is_setting = |word: &&str| {
        let parts = word.split_once('.').filter(|(section, _)| sections.contains(section));
        parts.is_some_and(|(_, key)| !is_file(word) && key.chars().all(|c| c.is_ascii_lowercase() || "._".contains(c)))
    };
    check(
        &documents,
        |document| {
            document.spans().filter_map(|span| span.split([' ', '=']).next()).filter(|word| is_setting(word)).collect()
        },
        |word| settings.contains(word),
        80,
    );

    let variables: BTreeSet<&str> = reference.words().filter(|word| is_variable(word)).collect();
    check(
        &documents,
        |document| document.words().filter(|word| is_variable(word)).collect(),
        |word| variables.contains(word),
        80,
    );
}

#[test]
fn make_targets_are_in_the_makefile() {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("the Makefile is readable");
    let has_target = |name: &str| makefile.lines().any(|line| line.strip_prefix(name).is_some_and(is_rule));
    check(
        &documents(),
        |document| {
            let commands = document.spans().chain(document.code()).map(str::trim);
            commands.filter_map(|text| text.strip_prefix("make ")?.split_whitespace().next()).collect()
        },
        has_target,
        10,
    );
}

#[test]
fn the_architecture_names_files_that_there_are() {
    let mut files = Vec::new();
    walk(root(), &mut |path| files.push(format!("/{}", relative(path).display())));
    let folders: BTreeSet<String> =
        files.iter().filter_map(|file| Some(format!("{}/", file.rsplit_once('/')?.0))).collect();
    let exists = |name: &str| {
        let end = format!("/{name}");
        files.iter().any(|file| file.ends_with(&end)) || folders.iter().any(|folder| folder.contains(&end))
    };
    let page = Path::new("ARCHITECTURE.md");
    let mut documents = documents();
    documents.retain(|path, _| path == page);
    check(
        &documents,
        |document| document.spans().filter(|span| is_file(span) || span.ends_with('/')).collect(),
        exists,
        50,
    );
}

#[test]
fn documents_are_read_as_they_are_shown() {
    let text = "# A `b` c, d!\n[x](y.md#z) `[n](no.md)` [w](https://x)\n```sh\nmake run\n[n](no.md)\n```\n## B\n## B\n| `k` | [v](w/) |\n";
    let document = Document::new(text.to_owned());
    assert_eq!(document.links().collect::<Vec<_>>(), ["y.md#z", "w/"]);
    assert_eq!(document.spans().collect::<Vec<_>>(), ["b", "[n](no.md)", "k"]);
    assert_eq!(document.code().collect::<Vec<_>>(), ["make run", "[n](no.md)"]);
    assert_eq!(document.first_cells().collect::<Vec<_>>(), ["k"]);
    assert_eq!(document.anchors(), ["a-b-c-d", "b", "b-1"].map(str::to_owned).into());
    let reference = "| `workers` |\n## `[a]`\n| `b` | `x` |\n## `[[a.c]]`\n| `d` | `x` |";
    assert_eq!(settings(reference), ["workers", "a", "a.b", "a.c", "a.c.d"].map(str::to_owned).into());
    assert_eq!(joined(Path::new("docs/a.md"), "../b/./c.md"), Path::new("b/c.md"));
}

/// Fails with what is named and is not there. `least`: so many are named at least.
fn check(
    documents: &BTreeMap<PathBuf, Document>,
    named: impl Fn(&Document) -> BTreeSet<&str>,
    exists: impl Fn(&str) -> bool,
    least: usize,
) {
    let names: Vec<(&PathBuf, &str)> = documents
        .iter()
        .flat_map(|(path, document)| named(document).into_iter().map(move |name| (path, name)))
        .collect();
    let wrong: Vec<String> = names
        .iter()
        .filter(|(_, name)| !exists(name))
        .map(|(path, name)| format!("{}: {name}", path.display()))
        .collect();
    assert!(names.len() >= least, "only {} names were found", names.len());
    assert!(wrong.is_empty(), "not there:\n{}", wrong.join("\n"));
    println!("{} names", names.len());
}

/// A Markdown file.
struct Document {
    text: String,
}

impl Document {
    fn new(text: String) -> Self {
        Document { text }
    }

    /// Lines, and whether they are in a block of code.
    fn lines(&self) -> impl Iterator<Item = (bool, &str)> {
        let mut inside = false;
        self.text.lines().filter_map(move |line| {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            (!fence).then_some((inside, line))
        })
    }

    fn prose(&self) -> impl Iterator<Item = &str> {
        self.lines().filter(|(inside, _)| !inside).map(|(_, line)| line)
    }

    /// Lines of blocks of code.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.lines().filter(|(inside, _)| *inside).map(|(_, line)| line)
    }

    /// What stands between backticks, outside of blocks.
    fn spans(&self) -> impl Iterator<Item = &str> {
        self.prose().flat_map(|line| line.split('`').skip(1).step_by(2))
    }

    /// Ends of links to files of the repository and their headings.
    fn links(&self) -> impl Iterator<Item = &str> {
        let plain = self.prose().flat_map(|line| line.split('`').step_by(2));
        let ends = plain.flat_map(|text| text.split("](").skip(1)).filter_map(|rest| Some(rest.split_once(')')?.0));
        ends.filter(|end| !end.contains("://") && !end.starts_with("mailto:"))
    }

    /// What headings are reached by, as GitHub and others make it.
    fn anchors(&self) -> BTreeSet<String> {
        let mut anchors = BTreeSet::new();
        for heading in self.prose().filter(|line| line.starts_with('#')) {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let again = (1..).map(|n| format!("{anchor}-{n}"));
            let free = std::iter::once(anchor.clone()).chain(again).find(|name| !anchors.contains(name));
            anchors.extend(free);
        }
        anchors
    }

    /// Names in the first cell of tables.
    fn first_cells(&self) -> impl Iterator<Item = &str> {
        self.prose().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0))
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
    }
}

/// The keys of the reference, each with its section, and the sections.
fn settings(reference: &str) -> BTreeSet<String> {
    let mut section = String::new();
    let mut settings = BTreeSet::new();
    for line in reference.lines() {
        if let Some(heading) = line.strip_prefix("## `[") {
            section = heading.trim_matches(['[', ']', '`']).to_owned();
            settings.insert(section.clone());
        } else if let Some((key, _)) = line.strip_prefix("| `").and_then(|rest| rest.split_once('`')) {
            settings.insert(if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") });
        }
    }
    settings
}

fn is_metric(word: &str) -> bool {
    word.strip_prefix("carillon_").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// Whether it is the name of an environment variable that sets a key of a section.
fn is_variable(word: &str) -> bool {
    word.starts_with("CARILLON_") && word.contains("__")
}

fn is_file(word: &str) -> bool {
    let extension = Path::new(word).extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("rs" | "lua" | "toml" | "js" | "md" | "conf"))
}

/// What follows the name of a target where its rule begins.
fn is_rule(rest: &str) -> bool {
    rest.starts_with(':') && !rest.starts_with(":=")
}

/// A link's end, seen from the root.
fn joined(document: &Path, link: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for component in document.parent().unwrap_or(Path::new("")).join(link).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the repository")
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix(root()).expect("it is below the root")
}

/// All Markdown files, by their path from the root.
fn documents() -> BTreeMap<PathBuf, Document> {
    let mut documents = BTreeMap::new();
    walk(root(), &mut |path| {
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(path).expect("a document is readable");
            documents.insert(relative(path).to_owned(), Document::new(text));
        }
    });
    assert!(documents.len() > 15, "only {} documents were found", documents.len());
    documents
}

/// Every file that is ours.
fn walk(folder: &Path, see: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).expect("a folder is readable") {
        let entry = entry.expect("an entry is readable");
        let (name, kind) = (entry.file_name(), entry.file_type().expect("an entry has a type"));
        let foreign = name == "node_modules" || name == "target" || name.to_string_lossy().starts_with('.');
        if foreign {
            continue;
        } else if kind.is_dir() {
            walk(&entry.path(), see);
        } else if kind.is_file() {
            see(&entry.path());
        }
    }
}
