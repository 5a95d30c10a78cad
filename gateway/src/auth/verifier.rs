//! Verifies the tokens of a namespace.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use tokio_util::sync::CancellationToken;

use super::claims::ClaimRules;
use super::jwks::{Jwks, KeyServer};
use super::key::{self, Key};
use super::token::Token;
use super::{AuthError, AuthMetrics, Identity, KeyError, UnixSeconds};
use crate::config::{Algorithm as Configured, Auth, KeyKind};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> UnixSeconds + Send + Sync>;

/// Shortest secret that is not warned of, in bytes.
const GOOD_SECRET: usize = 32;

/// Makes identities of JSON Web Tokens (RFC 7519, RFC 8725).
pub struct Verifier {
    max_token: usize,
    algorithms: Box<[Algorithm]>,
    keys: Keys,
    rules: ClaimRules,
    clock: Clock,
}

enum Keys {
    Fixed(Key),
    Set(Box<Jwks>),
}

impl Verifier {
    /// For a namespace with the method `"jwt"`. `server` is called for the server of `jwks_url`, if there is one;
    /// then [`Self::run`] must run.
    ///
    /// # Errors
    /// When a file cannot be read or has no usable key.
    pub fn new(
        auth: &Auth,
        server: impl FnOnce(&str) -> Arc<dyn KeyServer>,
        clock: Clock,
        metrics: AuthMetrics,
    ) -> Result<Self, KeyError> {
        let algorithms: Box<[Algorithm]> = auth.algorithms.iter().copied().map(key::library).collect();
        let keys = match fixed(auth)? {
            Some(key) => Keys::Fixed(key),
            None => Keys::Set(Box::new(match &auth.jwks_file {
                Some(path) => Jwks::file(path.clone(), &algorithms, auth.jwks_refresh, metrics)?,
                None => {
                    let url = auth.jwks_url.as_str();
                    Jwks::remote(url, server(url), &algorithms, auth.jwks_refresh, metrics)
                }
            })),
        };
        Ok(Verifier { max_token: auth.max_token, algorithms, keys, rules: ClaimRules::new(auth), clock })
    }

    /// Keeps the set of keys current; ends at `stop`. Without a set it just waits for that.
    pub async fn run(&self, stop: CancellationToken) {
        match &self.keys {
            Keys::Fixed(_) => stop.cancelled().await,
            Keys::Set(jwks) => jwks.run(stop).await,
        }
    }

    /// Who the token says the client is. Waits only when the token's key is not known, for at most some seconds, until
    /// the keys were read again. May be dropped at any time.
    ///
    /// # Errors
    /// When the token is not valid now, or, [`AuthError::Unavailable`], when that cannot be told.
    pub async fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        if token.len() > self.max_token {
            return Err(AuthError::TooLong);
        }
        let token = Token::read(token)?;
        let algorithm = token.header.alg.parse().ok().filter(|algorithm| self.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(AuthError::WrongAlgorithm)?;
        match &self.keys {
            Keys::Fixed(key) => key.verify(algorithm, &token)?,
            Keys::Set(jwks) => {
                jwks.find(algorithm, token.header.kid.as_deref()).await?.verify(algorithm, &token)?;
            }
        }
        self.rules.judge(token.claims()?, (self.clock)())
    }
}

/// Reads the keys of a namespace as [`Verifier::new`] does, but for those behind a URL; gives what the operator should
/// be warned of, with its key.
///
/// # Errors
/// When a file cannot be read or has no usable key.
pub fn check(auth: &Auth) -> Result<Vec<(&'static str, String)>, KeyError> {
    let mut warnings = Vec::new();
    let secret = match &auth.secret_file {
        Some(path) => ("secret_file", key::read_secret(path)?.len()),
        None => ("secret", auth.secret.0.len()),
    };
    if (1..GOOD_SECRET).contains(&secret.1) {
        warnings.push((secret.0, format!("is only {} bytes long; {GOOD_SECRET} or more cannot be guessed", secret.1)));
    }
    if auth.jwks_url.starts_with("http://") {
        warnings.push(("jwks_url", "is not https: whoever is on the way can replace the keys".to_owned()));
    }
    if fixed(auth)?.is_none()
        && let Some(path) = &auth.jwks_file
    {
        let algorithms: Vec<_> = auth.algorithms.iter().copied().map(key::library).collect();
        key::KeySet::read(&key::read(path)?, &algorithms)
            .map_err(|why| KeyError::Unusable { path: path.clone(), why })?;
    }
    Ok(warnings)
}

/// The one key of the configuration; `None` for a set of keys.
fn fixed(auth: &Auth) -> Result<Option<Key>, KeyError> {
    let algorithms: &[Configured] = &auth.algorithms;
    let is_secret = |algorithm: &Configured| algorithm.key_kind() == KeyKind::Secret;
    let [source] = auth.key_sources()[..] else {
        return Err(KeyError::Incomplete);
    };
    // validation has said so already; a secret that is used as a public key, or the reverse, must never come to be
    let fits = match source {
        "secret" | "secret_file" => algorithms.iter().all(is_secret),
        _ => !algorithms.iter().any(is_secret),
    };
    if algorithms.is_empty() || !fits {
        return Err(KeyError::Incomplete);
    }
    let key = match (&auth.secret_file, &auth.public_key_file) {
        (Some(path), _) => Key::secret(&key::read_secret(path)?, algorithms),
        (None, Some(path)) => {
            let unusable = |why| KeyError::Unusable { path: path.clone(), why };
            Key::public(&key::read(path)?, algorithms).map_err(unusable)?
        }
        (None, None) if source == "secret" => Key::secret(auth.secret.0.as_bytes(), algorithms),
        (None, None) => return Ok(None),
    };
    Ok(Some(key))
}
