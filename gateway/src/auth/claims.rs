//! The claims of a token whose signature is good: who it is, and whether it holds now.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{AuthError, Identity, UnixSeconds};
use crate::config::Auth;

/// Longest id of a user or token, in bytes.
const MAX_ID: usize = 255;

/// The last second that a double, and so JavaScript, tells from its neighbours. What is later is that.
const LAST: f64 = ((1_u64 << 53) - 1) as f64;

/// What is asked of the claims of a token.
#[derive(Debug, Clone)]
pub(super) struct ClaimRules {
    /// Empty for any.
    issuer: Box<str>,
    /// Empty for any.
    audience: Box<[String]>,
    leeway: Duration,
    user: Box<str>,
}

impl ClaimRules {
    pub(super) fn new(auth: &Auth) -> Self {
        ClaimRules {
            issuer: auth.issuer.as_str().into(),
            audience: auth.audience.as_slice().into(),
            leeway: auth.leeway,
            user: auth.user.as_str().into(),
        }
    }

    /// Who the client is, if the token holds at `now`.
    pub(super) fn judge(&self, claims: Map<String, Value>, now: UnixSeconds) -> Result<Identity, AuthError> {
        let expires = moment(&claims, "exp")?;
        let begins = moment(&claims, "nbf")?;
        let issued = moment(&claims, "iat")?;
        let token_id = match claims.get("jti") {
            Some(value) => Some(id(value).ok_or(AuthError::Malformed)?),
            None => None,
        };
        let (now, leeway) = (now.0 as f64, self.leeway.as_secs_f64());
        if expires.is_some_and(|expires| now >= expires + leeway) {
            return Err(AuthError::Expired);
        }
        if begins.into_iter().chain(issued).any(|begins| now + leeway < begins) {
            return Err(AuthError::NotYetValid);
        }
        if !self.issuer.is_empty() && claims.get("iss").and_then(Value::as_str) != Some(&*self.issuer) {
            return Err(AuthError::WrongIssuer);
        }
        if !self.is_for_us(claims.get("aud")) {
            return Err(AuthError::WrongAudience);
        }
        let user = find(&claims, &self.user).and_then(id).ok_or(AuthError::NoUser)?;
        // whole seconds; what is before 1970 is 1970
        let whole = |moment: f64| UnixSeconds(moment.clamp(0.0, LAST) as u64);
        Ok(Identity { user: Some(user), expires: expires.map(whole), issued: issued.map(whole), token_id, claims })
    }

    fn is_for_us(&self, audience: Option<&Value>) -> bool {
        let is_ours = |one: &Value| one.as_str().is_some_and(|one| self.audience.iter().any(|ours| ours == one));
        self.audience.is_empty()
            || match audience {
                Some(Value::Array(many)) => many.iter().any(is_ours),
                Some(one) => is_ours(one),
                None => false,
            }
    }
}

/// Seconds since 1970, of a claim that may be absent.
fn moment(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, AuthError> {
    match claims.get(name) {
        Some(Value::Number(number)) => number.as_f64().map(Some).ok_or(AuthError::Malformed),
        Some(_) => Err(AuthError::Malformed),
        None => Ok(None),
    }
}

/// The claim of that name, or else the one that the name's dots lead to. (Names of claims may have dots themselves,
/// when they are URLs.)
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |value, step| value.as_object()?.get(step))
    })
}

/// The id in a claim: a text that is short and plain, or an integer.
fn id(value: &Value) -> Option<Arc<str>> {
    match value {
        Value::String(text) => {
            let plain = !text.is_empty() && text.len() <= MAX_ID && !text.contains(char::is_control);
            plain.then(|| text.as_str().into())
        }
        Value::Number(number) if !number.is_f64() => Some(number.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
