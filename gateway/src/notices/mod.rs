//! Tells what the session store has to tell: the backend that a client is
//! gone, a room that a user has come or gone.
//!
//! The adapter leases each [`Notice`] to one node; [`Notices::run`] carries it
//! out there and settles it. A notice that cannot be carried out now is tried
//! again, here or by another node when the lease has ended, under the same
//! id; a backend that has not understood it for [`Notices::patience`] is not
//! told any more. What a room is told is published under the notice's id, so
//! that it is there once.
//!
//! Bounds: [`MOST`] at a time; further ones wait in the store.

mod metrics;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hashbrown::HashMap;
use serde_json::json;
use smallvec::smallvec;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::adapter::{Adapter, GoneReason, Notice, NoticeId, NoticeOf, PresenceChange};
use crate::auth::Identity;
use crate::config::Presence;
use crate::message::{Draft, Idempotency, NamespaceRef, Room, SocketId};
use crate::protocol::Body;
use crate::upstream::{self, NoticeKind, Reason, Sender, Upstream};

pub use metrics::NoticeMetrics;

/// Notices carried out at a time.
const MOST: usize = 256;

/// Waits between attempts of one lease; together, with the attempts
/// themselves, less than a lease.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(6)];

/// A lease is worth nothing after this time.
const LEASE: Duration = Duration::from_secs(25);

/// To whom a namespace's notices go.
pub struct Told {
    pub namespace: NamespaceRef,
    pub backend: Option<Arc<Upstream>>,
    pub presence: Presence,
}

/// See the module.
pub struct Notices {
    pub adapter: Arc<dyn Adapter>,
    /// By [`crate::message::NamespaceId`].
    pub told: Vec<Told>,
    /// How long a backend may not understand a notice.
    pub patience: Duration,
    pub metrics: NoticeMetrics,
}

/// What became of a notice in one lease.
enum Outcome {
    Done,
    /// It comes again.
    Failed,
}

impl Notices {
    /// Until `stop`. Dropped, what was begun is another node's.
    pub async fn run(self, stop: CancellationToken) {
        let mut under_way = FuturesUnordered::new();
        let mut failing: HashMap<NoticeId, Instant> = HashMap::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some((id, outcome)) = under_way.next() => self.settle(id, outcome, &mut failing).await,
                notices = self.adapter.notices(), if under_way.len() < MOST => {
                    under_way.extend(notices.into_iter().map(|notice| self.carry_out(notice)));
                }
            }
        }
    }

    async fn settle(&self, id: NoticeId, outcome: Outcome, failing: &mut HashMap<NoticeId, Instant>) {
        if matches!(outcome, Outcome::Failed) {
            let since = *failing.entry(id.clone()).or_insert_with(Instant::now);
            if since.elapsed() < self.patience {
                return;
            }
            tracing::warn!(notice = id.as_str(), "the backend was not told in time, and will not be");
            self.metrics.given_up();
        }
        failing.remove(&id);
        self.adapter.settle(&[id]).await;
    }

    /// Tries as long as the notice is this node's.
    async fn carry_out(&self, notice: Notice) -> (NoticeId, Outcome) {
        let attempts = async {
            for pause in PAUSES {
                if let Outcome::Done = self.attempt(&notice).await {
                    return Outcome::Done;
                }
                tokio::time::sleep(pause).await;
            }
            self.attempt(&notice).await
        };
        let outcome = tokio::time::timeout(LEASE, attempts).await.unwrap_or(Outcome::Failed);
        (notice.id, outcome)
    }

    async fn attempt(&self, notice: &Notice) -> Outcome {
        // a namespace that is not configured here any more: there is nobody to tell
        let Some(told) = self.told.get(usize::from(notice.namespace.0)) else { return Outcome::Done };
        match &notice.what {
            NoticeOf::Gone { socket, subject, identity, reason } => {
                let known = identity.as_deref().and_then(Identity::from_text);
                let identity = known.unwrap_or_else(|| Identity { user: subject.clone(), ..Identity::nobody() });
                self.tell_gone(told, &notice.id, *socket, &identity, *reason).await
            }
            NoticeOf::Presence { room, user, change } => self.tell_room(told, &notice.id, room, user, *change).await,
        }
    }

    async fn tell_gone(
        &self,
        told: &Told,
        id: &NoticeId,
        socket: SocketId,
        identity: &Identity,
        reason: GoneReason,
    ) -> Outcome {
        let Some(backend) = &told.backend else { return Outcome::Done };
        let sender = Sender { namespace: &told.namespace, socket, identity };
        let what = NoticeKind::Disconnect(match reason {
            GoneReason::Client => Reason::Client,
            GoneReason::Backend => Reason::Backend,
            GoneReason::Lost => Reason::Lost,
            GoneReason::Expired => Reason::Expired,
        });
        match backend.tell(upstream::Notice { id: id.as_str(), sender, what, span: None }).await {
            Ok(answer) => {
                self.metrics.gone(reason);
                // who is told by it missed nothing that was promised
                let _ = self.adapter.publish(answer.emit).await;
                Outcome::Done
            }
            Err(error) if error.is_transient() => Outcome::Failed,
            Err(error) => {
                tracing::warn!(notice = id.as_str(), %error, "the backend does not understand a disconnect");
                self.metrics.given_up();
                Outcome::Done
            }
        }
    }

    async fn tell_room(&self, told: &Told, id: &NoticeId, room: &Room, user: &str, change: PresenceChange) -> Outcome {
        let event = match change {
            PresenceChange::Joined => &told.presence.joined,
            PresenceChange::Left => &told.presence.left,
        };
        let Room::Named(name) = room else { return Outcome::Done };
        if event.is_empty() || !told.presence.covers(name) {
            return Outcome::Done;
        }
        let Ok(body) = Body::from_values(event, &[json!({ "room": name.as_str(), "user": user })]) else {
            return Outcome::Done;
        };
        // a line break keeps it apart from the keys of callers, which have two
        let key = format!("presence\n{}", id.as_str()).into();
        let draft = Draft {
            namespace: told.namespace.clone(),
            rooms: smallvec![room.clone()],
            except: Vec::new(),
            body,
            volatile: false,
            idempotency: Some(Idempotency { key, digest: 0 }),
            trace: None,
        };
        match self.adapter.publish(vec![draft]).await.pop() {
            Some(Ok(_)) => {
                self.metrics.presence(change);
                Outcome::Done
            }
            Some(Err(_)) | None => Outcome::Failed,
        }
    }
}
