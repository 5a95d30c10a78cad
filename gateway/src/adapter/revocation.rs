//! Tokens that are not valid any more, though they have not expired.

use std::sync::Arc;

use crate::auth::UnixSeconds;
use crate::message::{NamespaceRef, Room};

use super::{Action, Operation};

/// Tokens that are revoked in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    pub namespace: NamespaceRef,
    pub what: Revoked,
    /// Tokens issued before this moment, and those that do not say when. Of no
    /// account for [`Revoked::Token`].
    pub issued_before: UnixSeconds,
    /// Until when it is kept: past the expiry of the tokens.
    pub until: UnixSeconds,
}

/// Whose tokens a [`Revocation`] is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Revoked {
    /// Those of a user.
    User(Arc<str>),
    /// The one of this id.
    Token(Arc<str>),
    /// Everybody's.
    All,
}

/// What a revocation is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenFacts<'a> {
    pub user: Option<&'a str>,
    pub token_id: Option<&'a str>,
    pub issued: Option<UnixSeconds>,
}

impl TokenFacts<'_> {
    /// Whether it was issued before, or does not say when.
    pub(super) fn is_older_than(&self, moment: UnixSeconds) -> bool {
        self.issued.is_none_or(|issued| issued < moment)
    }
}

impl Revocation {
    /// What has every node carry it out.
    pub(super) fn into_operation(self) -> Operation {
        let namespace = self.namespace.clone();
        Operation { namespace, rooms: vec![Room::All], action: Action::Revoke(self), id: None }
    }

    /// Whether it revokes this token, of the same namespace.
    pub fn applies_to(&self, token: &TokenFacts<'_>) -> bool {
        match &self.what {
            Revoked::User(user) => token.user == Some(&**user) && token.is_older_than(self.issued_before),
            Revoked::Token(id) => token.token_id == Some(&**id),
            Revoked::All => token.is_older_than(self.issued_before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Namespaces;

    #[test]
    fn what_is_revoked() {
        let namespace = Namespaces::new([("/", true)]).by_name("/").unwrap().clone();
        let revocation = |what| Revocation {
            namespace: namespace.clone(),
            what,
            issued_before: UnixSeconds(100),
            until: UnixSeconds(1000),
        };
        let at = |issued| TokenFacts { user: Some("ann"), token_id: Some("t1"), issued };
        let (old, new, silent) = (at(Some(UnixSeconds(99))), at(Some(UnixSeconds(100))), at(None));
        let nobody = TokenFacts::default();
        for (what, expected) in [
            (Revoked::User("ann".into()), [true, false, true, false]),
            (Revoked::User("bob".into()), [false, false, false, false]),
            (Revoked::Token("t1".into()), [true, true, true, false]),
            (Revoked::Token("t2".into()), [false, false, false, false]),
            (Revoked::All, [true, false, true, true]),
        ] {
            let revocation = revocation(what);
            assert_eq!(
                [old, new, silent, nobody].map(|token| revocation.applies_to(&token)),
                expected,
                "{revocation:?}"
            );
        }
    }
}
