//! Keys that signatures are verified with.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use jsonwebtoken::crypto;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use serde_json::Value;

use super::token::Token;
use super::{AuthError, KeyError, NoKey};
use crate::config;

/// Largest set of keys, in bytes.
pub(super) const MAX_SET: usize = 1 << 20;
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A key and what it may be used for.
pub(super) struct Key {
    /// What tokens call it.
    id: Option<Box<str>>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The keys of a JWKS that can verify something.
pub(super) struct KeySet(Vec<Arc<Key>>);

/// Which key of a set a token is to be verified with.
pub(super) enum Chosen {
    Key(Arc<Key>),
    /// The set has not what the token names.
    Unknown,
    /// Another set would not help.
    Refused(AuthError),
}

impl Key {
    /// The secret of HMAC. It is never looked at as a PEM, and a PEM never as a secret.
    pub(super) fn secret(secret: &[u8], algorithms: &[config::Algorithm]) -> Self {
        let key = DecodingKey::from_secret(secret);
        Key { id: None, algorithms: algorithms.iter().copied().map(library).collect(), key }
    }

    /// A public key or certificate in PEM, which must fit all the algorithms.
    pub(super) fn public(pem: &[u8], algorithms: &[config::Algorithm]) -> Result<Self, NoKey> {
        let text = String::from_utf8_lossy(pem);
        if text.lines().any(|line| line.starts_with("-----BEGIN") && line.contains("PRIVATE KEY")) {
            return Err(NoKey::Private);
        }
        let first = *algorithms.first().ok_or(NoKey::NoneUsable)?;
        let key = match first.key_kind() {
            config::KeyKind::Rsa => DecodingKey::from_rsa_pem(pem),
            config::KeyKind::P256 | config::KeyKind::P384 => DecodingKey::from_ec_pem(pem),
            config::KeyKind::Ed25519 => DecodingKey::from_ed_pem(pem),
            config::KeyKind::Secret => return Err(NoKey::Pem(first)),
        };
        let key = key.map_err(|_| NoKey::Pem(first))?;
        for algorithm in algorithms {
            if !can_verify(&key, library(*algorithm)) {
                return Err(rsa_bits(&key).map_or(NoKey::Pem(*algorithm), NoKey::RsaSize));
            }
        }
        Ok(Key { id: None, algorithms: algorithms.iter().copied().map(library).collect(), key })
    }

    /// A key of a set, when it can verify one of the algorithms.
    fn of_set(jwk: &Jwk, algorithms: &[Algorithm]) -> Option<Self> {
        let of_curve = |curve: &EllipticCurve| match jwk.algorithm {
            AlgorithmParameters::EllipticCurve(_) => matches!(curve, EllipticCurve::P256 | EllipticCurve::P384),
            _ => *curve == EllipticCurve::Ed25519,
        };
        let is_public = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => true,
            AlgorithmParameters::EllipticCurve(key) => of_curve(&key.curve),
            AlgorithmParameters::OctetKeyPair(key) => of_curve(&key.curve),
            _ => false,
        };
        let common = &jwk.common;
        let for_signatures = common.public_key_use.as_ref().is_none_or(|r#use| *r#use == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|allowed| allowed.contains(&KeyOperations::Verify));
        if !is_public || !for_signatures {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let own = |algorithm: Algorithm| common.key_algorithm.is_none_or(|own| own == algorithm.into());
        let algorithms: Vec<_> =
            algorithms.iter().copied().filter(|algorithm| own(*algorithm) && can_verify(&key, *algorithm)).collect();
        (!algorithms.is_empty()).then(|| Key { id: common.key_id.as_deref().map(Into::into), algorithms, key })
    }

    pub(super) fn verify(&self, algorithm: Algorithm, token: &Token<'_>) -> Result<(), AuthError> {
        if !self.algorithms.contains(&algorithm) {
            return Err(AuthError::WrongAlgorithm);
        }
        match crypto::verify(token.signature, token.signed.as_bytes(), &self.key, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) => Err(AuthError::BadSignature),
            Err(error) if matches!(error.kind(), ErrorKind::Base64(_)) => Err(AuthError::Malformed),
            Err(_) => Err(AuthError::BadSignature),
        }
    }
}

impl KeySet {
    /// The usable keys of a JWKS (RFC 7517); others in it are passed over.
    pub(super) fn read(bytes: &[u8], algorithms: &[Algorithm]) -> Result<Self, NoKey> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        if bytes.len() > MAX_SET {
            return Err(NoKey::TooLarge);
        }
        let set: Set = serde_json::from_slice(bytes)
            // its own words may cite what was read
            .map_err(|error| NoKey::NotASet { line: error.line(), column: error.column() })?;
        let keys: Vec<_> = set
            .keys
            .into_iter()
            .filter_map(|key| Key::of_set(&serde_json::from_value(key).ok()?, algorithms).map(Arc::new))
            .collect();
        if keys.is_empty() { Err(NoKey::NoneUsable) } else { Ok(KeySet(keys)) }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The one key that the token names and that is for the algorithm; without a name, the only one that is for it.
    pub(super) fn choose(&self, algorithm: Algorithm, id: Option<&str>) -> Chosen {
        let named = || self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id);
        let mut fitting = named().filter(|key| key.algorithms.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Chosen::Key(Arc::clone(key)),
            (Some(_), Some(_)) => Chosen::Refused(AuthError::UnknownKey),
            (None, _) if id.is_some() && named().next().is_some() => Chosen::Refused(AuthError::WrongAlgorithm),
            (None, _) => Chosen::Unknown,
        }
    }
}

/// The secret in a file, without line ends at its end.
///
/// # Errors
/// When the file cannot be read, or has nothing else.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, KeyError> {
    let mut secret = read(path)?;
    while secret.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        secret.pop();
    }
    if secret.is_empty() { Err(KeyError::Empty { path: path.to_owned() }) } else { Ok(secret) }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    fs::read(path).map_err(|source| KeyError::Unreadable { path: path.to_owned(), source })
}

pub(super) fn library(algorithm: config::Algorithm) -> Algorithm {
    match algorithm {
        config::Algorithm::HS256 => Algorithm::HS256,
        config::Algorithm::HS384 => Algorithm::HS384,
        config::Algorithm::HS512 => Algorithm::HS512,
        config::Algorithm::RS256 => Algorithm::RS256,
        config::Algorithm::RS384 => Algorithm::RS384,
        config::Algorithm::RS512 => Algorithm::RS512,
        config::Algorithm::PS256 => Algorithm::PS256,
        config::Algorithm::PS384 => Algorithm::PS384,
        config::Algorithm::PS512 => Algorithm::PS512,
        config::Algorithm::ES256 => Algorithm::ES256,
        config::Algorithm::ES384 => Algorithm::ES384,
        config::Algorithm::EdDSA => Algorithm::EdDSA,
    }
}

/// Whether a signature by this algorithm could ever be good: kind of key, curve and size are right.
fn can_verify(key: &DecodingKey, algorithm: Algorithm) -> bool {
    let size_fits = rsa_bits(key).is_none_or(|bits| RSA_BITS.contains(&bits));
    // an empty signature is wrong, but a key that does not fit is an error
    size_fits && crypto::verify("", b"", key, algorithm).is_ok()
}

/// The size of an RSA key; 0 for what is none inside.
fn rsa_bits(key: &DecodingKey) -> Option<usize> {
    if key.family() != jsonwebtoken::AlgorithmFamily::Rsa {
        return None;
    }
    let modulus = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.clone(),
        DecodingKeyKind::SecretOrDer(der) => {
            let parts = crypto::rust_crypto::DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
            parts(der).map_or_else(|_| Vec::new(), |(n, _)| n)
        }
    };
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let first = modulus.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize);
    Some((modulus.len() - zeros) * 8 - first)
}
