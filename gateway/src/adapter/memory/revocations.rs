//! Tokens that are revoked, until they would have expired.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::adapter::{Revocation, Revoked, TokenFacts, Unavailable};
use crate::auth::UnixSeconds;
use crate::message::NamespaceId;

/// Revocations that may be kept.
const MOST: usize = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct Revocations(HashMap<(NamespaceId, Revoked), Kept, foldhash::fast::RandomState>);

#[derive(Debug, Clone, Copy)]
struct Kept {
    issued_before: UnixSeconds,
    until: UnixSeconds,
}

impl Revocations {
    /// # Errors
    /// When there are too many.
    pub(super) fn add(&mut self, revocation: &Revocation) -> Result<(), Unavailable> {
        let Revocation { namespace, what, issued_before, until } = revocation;
        let key = (namespace.id, what.clone());
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            tracing::error!("too many tokens are revoked: another is not");
            return Err(Unavailable);
        }
        let kept = self.0.entry(key).or_insert(Kept { issued_before: *issued_before, until: *until });
        kept.issued_before = kept.issued_before.max(*issued_before);
        kept.until = kept.until.max(*until);
        Ok(())
    }

    /// Whether one of them is about this token; `now` in ms.
    pub(super) fn cover(&self, namespace: NamespaceId, token: &TokenFacts<'_>, now: u64) -> bool {
        let kept = |what: Revoked| {
            self.0.get(&(namespace, what)).filter(|kept| kept.is_kept(now)).map(|kept| kept.issued_before)
        };
        let is_older = |moment: Option<UnixSeconds>| moment.is_some_and(|moment| token.is_older_than(moment));
        is_older(kept(Revoked::All))
            || token.user.is_some_and(|user| is_older(kept(Revoked::User(Arc::from(user)))))
            || token.token_id.is_some_and(|id| kept(Revoked::Token(Arc::from(id))).is_some())
    }

    /// Forgets what need not be known any more.
    pub(super) fn expire(&mut self, now: u64) {
        self.0.retain(|_, kept| kept.is_kept(now));
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Kept {
    fn is_kept(self, now: u64) -> bool {
        now < self.until.0.saturating_mul(1000)
    }
}
