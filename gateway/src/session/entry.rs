//! Who may enter a namespace, and as whom.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::adapter::{Adapter, TokenFacts};
use crate::auth::{AuthError, AuthMetrics, Identity, Presented, TokenSources, Verifier};
use crate::config::OnRecovery;
use crate::message::NamespaceRef;
use crate::trace::Span;
use crate::upstream::{Authenticate, Upstream};

use super::handshake::Handshake;
use super::standing::has_ended;

/// How clients enter a namespace.
pub struct Entry {
    pub gate: Gate,
    pub sources: TokenSources,
    pub signals: TokenSignals,
    /// Tokens are taken for so long after their end.
    pub leeway: Duration,
    pub on_recovery: OnRecovery,
    /// A socket joins the room of its user.
    pub user_room: bool,
    /// The event that tells a client why it is refused, instead of an error.
    pub failure_event: Option<String>,
    pub metrics: AuthMetrics,
}

/// What decides who enters.
pub enum Gate {
    /// Everybody, as nobody.
    Open,
    Token(Arc<Verifier>),
    Backend(Arc<Upstream>),
}

/// Events by which client and gateway talk about the token; `None` for one that
/// there is not.
#[derive(Debug, Clone, Default)]
pub struct TokenSignals {
    /// It will end in so long.
    pub warn_before: Duration,
    pub warn: Option<String>,
    pub expired: Option<String>,
    pub revoked: Option<String>,
    /// The client's: a new one.
    pub refresh: Option<String>,
}

/// What a client shows to enter a namespace.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    /// The payload of CONNECT.
    pub(super) auth: &'a Value,
    pub(super) query: &'a str,
    pub(super) handshake: &'a Handshake,
    /// Where it is.
    pub(super) client: IpAddr,
    pub(super) span: Option<&'a Span>,
}

impl Entry {
    /// Everybody enters, as nobody.
    pub fn open(metrics: AuthMetrics) -> Self {
        Entry {
            gate: Gate::Open,
            sources: TokenSources::new(&[]),
            signals: TokenSignals::default(),
            leeway: Duration::ZERO,
            on_recovery: OnRecovery::Authenticate,
            user_room: false,
            failure_event: None,
            metrics,
        }
    }

    /// Whether everybody may enter.
    pub fn is_open(&self) -> bool {
        matches!(self.gate, Gate::Open)
    }

    /// Who the client is.
    ///
    /// # Errors
    /// When it may not enter, or that cannot be told now.
    pub(super) async fn authenticate(&self, namespace: &NamespaceRef, shown: Shown<'_>) -> Result<Identity, AuthError> {
        let Handshake { bearer, cookies, .. } = shown.handshake;
        let presented = Presented { auth: shown.auth, query: shown.query, header: bearer.as_deref(), cookies };
        let token = self.sources.find(&presented);
        self.judge(namespace, token.as_deref(), shown).await
    }

    /// Who the client is by another token, sent later.
    ///
    /// # Errors
    /// As with [`Self::authenticate`].
    pub(super) async fn identify(
        &self,
        namespace: &NamespaceRef,
        token: &str,
        shown: Shown<'_>,
    ) -> Result<Identity, AuthError> {
        self.judge(namespace, Some(token), shown).await
    }

    async fn judge(
        &self,
        namespace: &NamespaceRef,
        token: Option<&str>,
        shown: Shown<'_>,
    ) -> Result<Identity, AuthError> {
        let judged = match &self.gate {
            Gate::Open => return Ok(Identity::nobody()),
            Gate::Token(verifier) => match token {
                Some(token) => verifier.verify(token).await,
                None => Err(AuthError::Missing),
            },
            Gate::Backend(upstream) => {
                let Shown { auth, query, client: address, span, .. } = shown;
                let token = token.unwrap_or_default();
                let question = Authenticate { namespace, socket: None, token, auth, query, address, span };
                match upstream.authenticate(question).await {
                    Ok(identity) if has_ended(&identity, self) => Err(AuthError::Expired),
                    judged => judged,
                }
            }
        };
        self.count(&judged);
        judged
    }

    fn count<T>(&self, judged: &Result<T, AuthError>) {
        match judged {
            Ok(_) => self.metrics.verified(),
            Err(error) => self.metrics.failed(error),
        }
    }

    /// Whether the identity's token was revoked.
    ///
    /// # Errors
    /// [`AuthError::Revoked`], or [`AuthError::Unavailable`].
    pub(super) async fn check_revoked(
        &self,
        adapter: &dyn Adapter,
        namespace: &NamespaceRef,
        identity: &Identity,
    ) -> Result<(), AuthError> {
        if self.is_open() {
            return Ok(());
        }
        let judged = match adapter.is_revoked(namespace, &facts(identity)).await {
            Ok(false) => return Ok(()),
            Ok(true) => Err(AuthError::Revoked),
            Err(_) => Err(AuthError::Unavailable),
        };
        self.count(&judged);
        judged
    }
}

/// What a revocation is judged by.
pub(super) fn facts(identity: &Identity) -> TokenFacts<'_> {
    TokenFacts { user: identity.user.as_deref(), token_id: identity.token_id.as_deref(), issued: identity.issued }
}
