//! Whole tokens against whole verifiers: signed with the keys in `testdata`, at a time that the test sets.

mod algorithms;
mod forgery;
mod keys;
mod rotation;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use prometheus::Registry;
use serde_json::{Value, json};

use super::{AuthError, AuthMetrics, Clock, Identity, KeyError, UnixSeconds, Verifier};
use crate::config::{self, Auth, AuthMethod, Secret};

const NOW: u64 = 1_700_000_000;
const SECRET: &str = "a secret of thirty-two bytes and more";

/// Every algorithm with the name of its key in `testdata`; that of HMAC is [`SECRET`].
const ALGORITHMS: [(config::Algorithm, &str); 12] = [
    (config::Algorithm::HS256, ""),
    (config::Algorithm::HS384, ""),
    (config::Algorithm::HS512, ""),
    (config::Algorithm::RS256, "rsa"),
    (config::Algorithm::RS384, "rsa"),
    (config::Algorithm::RS512, "rsa"),
    (config::Algorithm::PS256, "rsa"),
    (config::Algorithm::PS384, "rsa"),
    (config::Algorithm::PS512, "rsa"),
    (config::Algorithm::ES256, "p256"),
    (config::Algorithm::ES384, "p384"),
    (config::Algorithm::EdDSA, "ed25519"),
];

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/auth/testdata").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

/// The key that signs, by its name in `testdata`.
fn signer(algorithm: config::Algorithm, name: &str) -> EncodingKey {
    let pem = || text(&format!("{name}.key.pem"));
    match algorithm.key_kind() {
        config::KeyKind::Secret => EncodingKey::from_secret(SECRET.as_bytes()),
        config::KeyKind::Rsa => EncodingKey::from_rsa_pem(pem().as_bytes()).unwrap(),
        config::KeyKind::P256 | config::KeyKind::P384 => EncodingKey::from_ec_pem(pem().as_bytes()).unwrap(),
        config::KeyKind::Ed25519 => EncodingKey::from_ed_pem(pem().as_bytes()).unwrap(),
    }
}

fn library(algorithm: config::Algorithm) -> Algorithm {
    super::key::library(algorithm)
}

/// A token that names its key, or does not.
fn token(algorithm: config::Algorithm, key: &str, id: Option<&str>, claims: &Value) -> String {
    let header = Header { kid: id.map(str::to_owned), ..Header::new(library(algorithm)) };
    jsonwebtoken::encode(&header, claims, &signer(algorithm, key)).unwrap()
}

/// Ann's for a minute.
fn ann() -> Value {
    json!({ "sub": "ann", "exp": NOW + 60 })
}

/// The public key of one in `testdata`, as an element of a JWKS.
fn jwk(algorithm: config::Algorithm, key: &str, more: Value) -> Value {
    let jwk = Jwk::from_encoding_key(&signer(algorithm, key), library(algorithm)).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    let fields = jwk.as_object_mut().unwrap();
    fields.remove("alg");
    fields.extend(more.as_object().unwrap().clone());
    jwk
}

fn jwt(algorithms: &[config::Algorithm]) -> Auth {
    Auth { method: AuthMethod::Jwt, algorithms: algorithms.to_vec(), ..Auth::default() }
}

/// With the key of that name.
fn with_key(algorithm: config::Algorithm, key: &str) -> Auth {
    match algorithm.key_kind() {
        config::KeyKind::Secret => Auth { secret: Secret(SECRET.to_owned()), ..jwt(&[algorithm]) },
        _ => Auth { public_key_file: Some(file(&format!("{key}.pub.pem"))), ..jwt(&[algorithm]) },
    }
}

fn metrics() -> AuthMetrics {
    AuthMetrics::register(&Registry::new()).unwrap()
}

/// A clock that stands still until the test moves it.
fn clock() -> (Arc<AtomicU64>, Clock) {
    let time = Arc::new(AtomicU64::new(NOW));
    let told = Arc::clone(&time);
    (time, Arc::new(move || UnixSeconds(told.load(Ordering::Relaxed))))
}

/// For configurations without a URL.
fn verifier(auth: &Auth) -> Result<Verifier, KeyError> {
    Verifier::new(auth, |url| panic!("nothing is to be fetched from {url}"), clock().1, metrics())
}

/// Whom the token is taken for; verifying must not wait.
fn verify(verifier: &Verifier, token: &str) -> Result<Identity, AuthError> {
    let verified = std::pin::pin!(verifier.verify(token));
    match futures_util::FutureExt::now_or_never(verified) {
        Some(result) => result,
        None => panic!("it waits"),
    }
}

/// A file that is gone with its guard.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("carillon-auth-{:016x}", rand::random::<u64>()));
        std::fs::write(&path, text).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
