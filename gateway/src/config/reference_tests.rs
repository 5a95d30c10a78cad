use super::*;

#[test]
fn reference_in_docs_is_current() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/config.md");
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert!(written == markdown(), "run `carillon config-docs > docs/config.md`");
}

#[test]
fn doc_comments_state_the_actual_default() {
    let schema = schema();
    check(&mut Vec::new(), schema.as_object().unwrap(), &serde_json::to_value(Config::default()).unwrap());
}

/// The default configuration has no namespace.
#[test]
fn doc_comments_of_auth_state_the_actual_default() {
    let schema = schema();
    let table = schema.pointer("/properties/namespaces/items/properties/auth").unwrap();
    let default = serde_json::to_value(crate::config::Auth::default()).unwrap();
    check(&mut vec!["auth".to_owned()], table.as_object().unwrap(), &default);
}

fn check(path: &mut Vec<String>, table: &Object, defaults: &Value) {
    for (key, value) in properties(table) {
        path.push(key.to_owned());
        let default = defaults.get(key).unwrap_or_else(|| panic!("{path:?} has no default"));
        match nested(value) {
            Some((schema, false)) => check(path, schema, default),
            Some((_, true)) | None => {
                let (_, stated) = without_default(&lines(value).unwrap());
                assert_eq!(stated, Some(format!("`{default}`")), "{path:?}");
            }
        }
        path.pop();
    }
}

#[test]
fn every_key_of_a_list_element_is_described() {
    let text = markdown();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        assert!(cells.len() >= 5 && cells.iter().all(|cell| !cell.trim().is_empty()), "{line}");
    }
    for expected in [
        "`CARILLON_PUBLIC__LISTEN`",
        "## `[[namespaces.events]]`",
        "## `[namespaces.on_connect]`",
        "## `[[internal.api_keys]]`",
        "`except_sender`",
    ] {
        assert!(text.contains(expected), "{expected}");
    }
}
