//! `/v1/revoke`.

use std::borrow::Cow;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::adapter::{Report, Revocation, Revoked};
use crate::auth::UnixSeconds;

use super::PublishState;
use super::answer;
use super::draft::namespace;
use super::error::RequestError;
use super::openapi::{BodyRefusals, ChangeAnswer, Refusals};
use super::request::parse;

/// Longest user and token id, in bytes.
const MAX_NAME: usize = 1024;

/// How long a revocation is kept unless told, and at most, in seconds.
const DEFAULT_TTL: u64 = 24 * 3600;
const MAX_TTL: u64 = 10 * 366 * 24 * 3600;

/// Tokens to revoke: exactly one of `user`, `token_id` and `all`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke<'a> {
    /// A configured namespace; every one where it is absent.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    namespace: Option<Cow<'a, str>>,
    /// The tokens of this user.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 1024)]
    user: Option<Cow<'a, str>>,
    /// The token of this id (`jti`).
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 1024)]
    token_id: Option<Cow<'a, str>>,
    /// Everybody's tokens.
    #[serde(default)]
    all: bool,
    /// With `user` and `all`: only tokens issued before this are revoked, in seconds since 1970, and tokens that do not
    /// say when. A second from now by default.
    issued_before: Option<u64>,
    /// Until when the revocation is kept, in seconds since 1970: must be past the expiry of the tokens. A day from now by
    /// default, ten years at most.
    until: Option<u64>,
    /// The same in seconds from now; not together with `until`.
    #[schema(minimum = 1)]
    ttl_s: Option<u64>,
}

/// Revokes tokens: their sockets are told and disconnected at once, and they connect nobody any more.
#[utoipa::path(
    post,
    path = "/v1/revoke",
    tag = "sockets",
    request_body = Revoke,
    responses((status = 200, description = "Done", body = ChangeAnswer), Refusals, BodyRefusals),
    security(("api_key" = ["manage"])),
)]
pub(super) async fn revoke(state: &PublishState, json: &str) -> Result<Vec<u8>, RequestError> {
    let request: Revoke<'_> = parse(json)?;
    let namespaces = match &request.namespace {
        Some(name) => vec![namespace(&state.namespaces, name)?],
        None => state.namespaces.iter().cloned().collect(),
    };
    let what = request.what()?;
    let now = UnixSeconds::now();
    let until = request.until(now)?;
    let issued_before = request.issued_before.map_or(UnixSeconds(now.0 + 1), UnixSeconds);
    if issued_before > until {
        return Err(RequestError::field("issued_before", "must not be after `until`"));
    }
    let mut total = Report::default();
    for namespace in namespaces {
        let revocation = Revocation { namespace, what: what.clone(), issued_before, until };
        let report = state.adapter.revoke(revocation).await?;
        total.count += report.count;
        total.partial |= report.partial;
    }
    Ok(answer::changed(&total))
}

impl Revoke<'_> {
    fn what(&self) -> Result<Revoked, RequestError> {
        match (&self.user, &self.token_id, self.all) {
            (Some(user), None, false) => Ok(Revoked::User(name("user", user)?.into())),
            (None, Some(id), false) => Ok(Revoked::Token(name("token_id", id)?.into())),
            (None, None, true) => Ok(Revoked::All),
            _ => Err(RequestError::Shape("give exactly one of `user`, `token_id` and `all`".into())),
        }
    }

    fn until(&self, now: UnixSeconds) -> Result<UnixSeconds, RequestError> {
        let (field, until) = match (self.until, self.ttl_s) {
            (None, None) => ("until", now.0 + DEFAULT_TTL),
            (Some(until), None) => ("until", until),
            (None, Some(ttl)) => ("ttl_s", now.0.saturating_add(ttl)),
            (Some(_), Some(_)) => return Err(RequestError::Shape("give `until` or `ttl_s`, not both".into())),
        };
        if until <= now.0 {
            return Err(RequestError::field(field, "must be in the future"));
        }
        if until > now.0 + MAX_TTL {
            return Err(RequestError::field(field, "must not be more than ten years ahead"));
        }
        Ok(UnixSeconds(until))
    }
}

fn name<'a>(field: &str, name: &'a str) -> Result<&'a str, RequestError> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(RequestError::field(field, format!("must be 1 to {MAX_NAME} bytes long")));
    }
    Ok(name)
}
