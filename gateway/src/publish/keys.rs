//! Who calls: API keys, known by their SHA-256 only.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use crate::config::{ApiKey, KeyHash, Scope};

use super::error::RequestError;

/// The keys that may call. Without any, everybody may (the configuration
/// allows that on loopback only).
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(Arc<[ApiKey]>);

/// Who presented a valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller<'a> {
    /// The key's name; empty when no keys are configured.
    pub(crate) name: &'a str,
}

impl ApiKeys {
    /// The keys of the configuration, several of which may be valid at once.
    pub fn new(keys: &[ApiKey]) -> Self {
        ApiKeys(keys.into())
    }

    /// Checks the presented key and that it is allowed `scope`. Every key is
    /// compared in constant time, so that the time tells nothing of them.
    pub(crate) fn authorize(&self, headers: &HeaderMap, scope: Scope) -> Result<Caller<'_>, RequestError> {
        if self.0.is_empty() {
            return Ok(Caller { name: "" });
        }
        let presented = KeyHash::of(bearer(headers)?);
        let mut found = None;
        for key in self.0.iter() {
            if bool::from(key.sha256.0.ct_eq(&presented.0)) {
                found = Some(key);
            }
        }
        let key = found.ok_or(RequestError::BadKey)?;
        if !key.scopes.contains(&scope) {
            return Err(RequestError::LacksScope(scope));
        }
        Ok(Caller { name: &key.name })
    }
}

/// The key in `Authorization: Bearer <key>`.
fn bearer(headers: &HeaderMap) -> Result<&str, RequestError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(RequestError::NoKey);
    };
    let (scheme, key) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(RequestError::NoKey)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(RequestError::NoKey);
    }
    Ok(key.trim())
}
