//! What cannot be told here is asked: of Redis, or of the backend.

use std::rc::Rc;

use crate::auth::Identity;
use crate::message::{Room, SocketId};
use crate::policy::Question;
use crate::protocol::packet::Args;
use crate::trace::Span;
use crate::upstream::{Authorize, Sender, UpstreamError};

use super::connection::Connection;
use super::namespace::NamespaceRules;
use super::refusal::{Reason, Refusal};

/// On whose behalf something is asked, and about what.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) socket: SocketId,
    pub(super) identity: &'a Identity,
    /// The client's event; `None` while it connects.
    pub(super) event: Option<&'a str>,
    pub(super) args: &'a Args,
    /// The room that it is about.
    pub(super) room: Option<&'a Room>,
    pub(super) span: Option<&'a Span>,
}

/// The answer is not to be had now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("the store cannot be asked")]
    Store,
    #[error(transparent)]
    Backend(#[from] UpstreamError),
}

impl From<Unanswered> for Refusal {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Store => Refusal::new(Reason::Unavailable, unanswered.to_string()),
            Unanswered::Backend(error) => error.into(),
        }
    }
}

impl<'a> Asking<'a> {
    /// While a client connects.
    pub(super) fn at_connect(socket: SocketId, identity: &'a Identity, span: Option<&'a Span>) -> Self {
        Asking { socket, identity, event: None, args: Args::NONE, room: None, span }
    }

    /// The same for another event and room.
    pub(super) fn by<'b>(self, event: Option<&'b str>, room: Option<&'b Room>) -> Asking<'b>
    where
        'a: 'b,
    {
        Asking { event, room, ..self }
    }

    /// Whether all are answered with yes. Asks one after the other, and no
    /// more after the first no.
    ///
    /// # Errors
    /// When one is not answered.
    pub(super) async fn all(
        self,
        connection: &Rc<Connection>,
        rules: &NamespaceRules,
        questions: &[Question],
    ) -> Result<bool, Unanswered> {
        for question in questions {
            if !self.one(connection, rules, question).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn one(
        self,
        connection: &Rc<Connection>,
        rules: &NamespaceRules,
        question: &Question,
    ) -> Result<bool, Unanswered> {
        match question {
            Question::InSet { key, member } => {
                let sets = connection.worker.shared.sets.as_ref().ok_or(Unanswered::Store)?;
                sets.has_member(key, member).await.map_err(|_| Unanswered::Store)
            }
            Question::Upstream { cache } => {
                let backend = rules.backend.as_ref().ok_or(UpstreamError::Unavailable)?;
                let authorize = Authorize {
                    sender: Sender { namespace: &rules.namespace, socket: self.socket, identity: self.identity },
                    event: self.event.unwrap_or("connect"),
                    args: self.args,
                    room: self.room,
                    cache: *cache,
                    span: self.span,
                };
                Ok(backend.authorize(authorize).await?)
            }
            // judged before, where there is a socket; a client that comes back was in it
            Question::InRoom => Ok(true),
        }
    }
}
