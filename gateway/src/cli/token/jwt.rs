//! `carillon token jwt`: a client's token, to try things out.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args, ValueEnum};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};

use crate::auth::{UnixSeconds, read_secret};

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("key").required(true),
    after_long_help = "Examples:\n  carillon token jwt --secret-file secret --user ann\n  \
                       carillon token jwt --secret-file secret --user ann --ttl 30s --claim 'sessions=[\"s1\"]'"
)]
pub(super) struct Jwt {
    /// File with the secret, as `secret_file` of a namespace
    #[arg(long, value_name = "FILE", group = "key")]
    secret_file: Option<PathBuf>,
    /// The secret; better given by the environment or a file, where other users do not see it
    #[arg(long, value_name = "TEXT", group = "key", env = "CARILLON_JWT_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Id of the user: the claim `sub`
    #[arg(long)]
    user: String,
    /// A further claim, its value as JSON; a word that is not JSON is taken as a string; repeat for several
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// Time for which the token holds ("30s", "1h")
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1h")]
    ttl: Duration,
    /// How it is signed
    #[arg(long, default_value = "HS256")]
    algorithm: Signature,
}

/// The algorithms that sign with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Signature {
    #[value(name = "HS256")]
    Hs256,
    #[value(name = "HS384")]
    Hs384,
    #[value(name = "HS512")]
    Hs512,
}

fn claim(word: &str) -> Result<(String, Value), String> {
    match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            Ok((name.to_owned(), value))
        }
        _ => Err("expected name=value".to_owned()),
    }
}

impl Jwt {
    /// The token. What `--claim` says goes before what is made here.
    pub(super) fn mint(self, now: UnixSeconds) -> Result<String> {
        let secret = match (&self.secret_file, self.secret) {
            (Some(path), _) => read_secret(path)?,
            (None, secret) => secret.unwrap_or_default().into_bytes(),
        };
        if secret.is_empty() {
            bail!("the secret is empty");
        }
        let expires = now.0.checked_add(self.ttl.as_secs()).context("--ttl is too long")?;
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), self.user.into());
        claims.insert("iat".to_owned(), now.0.into());
        claims.insert("exp".to_owned(), expires.into());
        claims.insert("jti".to_owned(), hex::encode(rand::random::<[u8; 10]>()).into());
        claims.extend(self.claims);
        let algorithm = match self.algorithm {
            Signature::Hs256 => Algorithm::HS256,
            Signature::Hs384 => Algorithm::HS384,
            Signature::Hs512 => Algorithm::HS512,
        };
        let signer = EncodingKey::from_secret(&secret);
        jsonwebtoken::encode(&Header::new(algorithm), &claims, &signer).context("the token cannot be signed")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser;
    use prometheus::Registry;
    use serde_json::json;

    use super::*;
    use crate::auth::{AuthMetrics, Identity, Verifier};
    use crate::config::{self, Auth, AuthMethod, Secret};

    const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        jwt: Jwt,
    }

    fn parsed(line: &str) -> Result<Jwt, clap::Error> {
        Line::try_parse_from(std::iter::once("jwt").chain(line.split_whitespace())).map(|line| line.jwt)
    }

    /// Whom a gateway with the secret takes the token for.
    fn verified(token: &str, algorithm: config::Algorithm, secret: &str) -> Identity {
        let auth = Auth {
            method: AuthMethod::Jwt,
            algorithms: vec![algorithm],
            secret: Secret(secret.to_owned()),
            ..Auth::default()
        };
        let metrics = AuthMetrics::register(&Registry::new()).unwrap();
        let verifier = Verifier::new(&auth, |_| unreachable!("no URL"), Arc::new(|| NOW), metrics).unwrap();
        futures_util::FutureExt::now_or_never(verifier.verify(token)).unwrap().unwrap()
    }

    #[test]
    fn tokens_are_those_of_the_user() {
        for (name, algorithm) in [
            ("HS256", config::Algorithm::HS256),
            ("HS384", config::Algorithm::HS384),
            ("HS512", config::Algorithm::HS512),
        ] {
            let line = format!(
                "--secret hush --user ann --ttl 90s --algorithm {name} --claim sessions=[\"s1\",2] --claim role=admin --claim a=b=c"
            );
            let identity = verified(&parsed(&line).unwrap().mint(NOW).unwrap(), algorithm, "hush");
            assert_eq!(identity.user.as_deref(), Some("ann"));
            assert_eq!((identity.issued, identity.expires), (Some(NOW), Some(UnixSeconds(NOW.0 + 90))));
            assert_eq!(identity.token_id.as_deref().map(str::len), Some(20));
            assert_eq!(identity.claims["sessions"], json!(["s1", 2]));
            assert_eq!((&identity.claims["role"], &identity.claims["a"]), (&json!("admin"), &json!("b=c")));
        }
    }

    #[test]
    fn claims_go_before_what_is_made() {
        let jwt = parsed("--secret hush --user ann --claim sub=bob --claim exp=1800000000").unwrap();
        let identity = verified(&jwt.mint(NOW).unwrap(), config::Algorithm::HS256, "hush");
        assert_eq!((identity.user.as_deref(), identity.expires), (Some("bob"), Some(UnixSeconds(1_800_000_000))));
    }

    #[test]
    fn lines_that_are_wrong() {
        for line in [
            "--user ann",
            "--secret hush",
            "--secret hush --secret-file f --user ann",
            "--secret hush --user ann --claim role",
            "--secret hush --user ann --claim =x",
            "--secret hush --user ann --ttl soon",
            "--secret hush --user ann --algorithm RS256",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
        for line in
            ["--secret= --user ann", "--secret-file /no/such --user ann", "--secret s --user ann --ttl 600000000000y"]
        {
            assert!(parsed(line).map_or(true, |jwt| jwt.mint(NOW).is_err()), "{line}");
        }
    }
}
