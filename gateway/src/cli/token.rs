//! `carillon token`: makes an API key. Only its hash goes into the configuration.

use anyhow::Result;
use clap::Args;

use super::print;
use crate::config::{KeyHash, Scope};

#[derive(Debug, Args)]
pub(super) struct Token {
    /// Name of the caller, for logs and as the scope of its idempotency keys
    #[arg(long)]
    name: String,
    /// What the key may do; repeat for several
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<Scope>,
}

pub(super) fn run(token: Token) -> Result<()> {
    let key = new_key();
    Ok(print(&format!("# the key, shown only now:\n# {key}\n{}", admission(&token, &key)?))?)
}

/// 256 bits from the operating system; the prefix lets secret scanners find a key that leaked.
fn new_key() -> String {
    format!("carillon_{}", hex::encode(rand::random::<[u8; 32]>()))
}

/// The lines that admit the key.
fn admission(token: &Token, key: &str) -> Result<String, serde_json::Error> {
    let mut scopes = token.scopes.clone();
    let mut seen = std::collections::HashSet::new();
    scopes.retain(|scope| seen.insert(*scope));
    // JSON strings and lists of strings are TOML as well.
    Ok(format!(
        "[[internal.api_keys]]\nname = {}\nsha256 = \"{}\"\nscopes = {}\n",
        serde_json::to_string(&token.name)?,
        KeyHash::of(key),
        serde_json::to_string(&scopes)?,
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config;

    #[test]
    fn lines_are_accepted_and_admit_the_key() {
        let token = Token { name: "back\"end".to_owned(), scopes: vec![Scope::Read, Scope::Publish, Scope::Read] };
        let key = new_key();
        let lines = admission(&token, &key).unwrap();
        assert!(!lines.contains(&key));
        let config = config::parse("token", &lines, &BTreeMap::new()).unwrap();
        let [api_key] = config.internal.api_keys.as_slice() else {
            panic!("one key");
        };
        assert_eq!(api_key.name, "back\"end");
        assert_eq!(api_key.sha256, KeyHash::of(&key));
        assert_eq!(api_key.scopes, [Scope::Read, Scope::Publish]);
    }

    #[test]
    fn keys_differ() {
        assert_ne!(new_key(), new_key());
        assert_eq!(new_key().len(), "carillon_".len() + 64);
    }
}
