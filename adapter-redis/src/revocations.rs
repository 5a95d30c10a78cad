//! Tokens that are revoked, until they would have expired.
//!
//! A key for each kind of revocation of a namespace, so that one read of three
//! keys says whether a token is revoked. They go with Redis.

use std::sync::Arc;

use redis::FromRedisValue as _;
use tokio::time::Instant;

use crate::Unavailable;
use crate::script::Script;
use crate::shard::Shard;

/// Tokens that are revoked in a namespace. Moments are seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation<'a> {
    pub namespace: &'a str,
    pub what: Revoked<'a>,
    /// Tokens issued before this, and those that do not say when; of no
    /// account for [`Revoked::Token`].
    pub issued_before: u64,
    /// Until when it is kept.
    pub until: u64,
}

/// Whose tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked<'a> {
    User(&'a str),
    /// The one of this id.
    Token(&'a str),
    All,
}

/// What is known of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenFacts<'a> {
    pub user: Option<&'a str>,
    pub token_id: Option<&'a str>,
    /// Seconds since 1970.
    pub issued: Option<u64>,
}

pub(crate) struct Revocations {
    shard: Arc<Shard>,
}

impl Revocations {
    pub(crate) fn new(shard: Arc<Shard>) -> Self {
        Revocations { shard }
    }

    /// `*`, `u<user>` or `t<token>`.
    fn key(&self, namespace: &str, what: Revoked<'_>) -> String {
        let names = &self.shard.names;
        match what {
            Revoked::User(user) => names.revocation(namespace, &format!("u{user}")),
            Revoked::Token(id) => names.revocation(namespace, &format!("t{id}")),
            Revoked::All => names.revocation(namespace, "*"),
        }
    }

    pub(crate) async fn add(&self, revocation: &Revocation<'_>) -> Result<(), Unavailable> {
        let key = self.key(revocation.namespace, revocation.what);
        let until = revocation.until.saturating_mul(1000);
        let call = |_: &_, command: &mut redis::Cmd| {
            command.arg(revocation.issued_before).arg(until);
        };
        self.shard.call(Script::Revoke, &[&key], call).await.map(drop)
    }

    /// Whether one of them is about this token.
    pub(crate) async fn cover(&self, namespace: &str, token: &TokenFacts<'_>) -> Result<bool, Unavailable> {
        let kinds = [Some(Revoked::All), token.user.map(Revoked::User), token.token_id.map(Revoked::Token)];
        let kinds: Vec<Revoked<'_>> = kinds.into_iter().flatten().collect();
        let mut command = redis::cmd("MGET");
        kinds.iter().for_each(|kind| {
            command.arg(self.key(namespace, *kind));
        });
        let up = self.shard.up(Instant::now() + self.shard.settings.patience).await?;
        let values = match up.send(command).await {
            Ok(values) => values,
            Err(error) => {
                if error.is_io_error() || error.is_timeout() {
                    self.shard.broken(&up);
                }
                return Err(Unavailable);
            }
        };
        let moments = Vec::<Option<u64>>::from_redis_value(values).map_err(|_| Unavailable)?;
        let is_older = |moment: u64| token.issued.is_none_or(|issued| issued < moment);
        Ok(kinds.iter().zip(moments).any(|(kind, moment)| match (kind, moment) {
            (_, None) => false,
            (Revoked::Token(_), Some(_)) => true,
            (Revoked::User(_) | Revoked::All, Some(moment)) => is_older(moment),
        }))
    }
}
