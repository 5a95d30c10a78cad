//! `carillon token`: makes an API key, whose hash alone goes into the configuration, or a client's token (`jwt`).

mod jwt;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::print;
use crate::auth::UnixSeconds;
use crate::config::{KeyHash, Scope};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Token {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    key: Option<Key>,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Make a JSON Web Token for a client, to try things out
    ///
    /// Prints the token. It is signed with a secret, so the namespace must have `method = "jwt"` and that secret.
    Jwt(jwt::Jwt),
}

#[derive(Debug, Args)]
struct Key {
    /// Name of the caller, for logs and as the scope of its idempotency keys
    #[arg(long)]
    name: String,
    /// What the key may do; repeat for several
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<Scope>,
}

pub(super) fn run(token: Token) -> Result<()> {
    if let Some(Other::Jwt(jwt)) = token.other {
        return Ok(print(&format!("{}\n", jwt.mint(UnixSeconds::now())?))?);
    }
    let token = token.key.context("--name and --scope are required")?;
    let key = new_key();
    Ok(print(&format!("# the key, shown only now:\n# {key}\n{}", admission(&token, &key)?))?)
}

/// 256 bits from the operating system; the prefix lets secret scanners find a key that leaked.
fn new_key() -> String {
    format!("carillon_{}", hex::encode(rand::random::<[u8; 32]>()))
}

/// The lines that admit the key.
fn admission(token: &Key, key: &str) -> Result<String, serde_json::Error> {
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
        let token = Key { name: "back\"end".to_owned(), scopes: vec![Scope::Read, Scope::Publish, Scope::Read] };
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
