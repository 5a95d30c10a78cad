//! What a socket is known by: who it is, until when, and how much it sends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::auth::{Identity, UnixSeconds};
use crate::policy::Rate;
use crate::protocol::packet::Hello;

use super::entry::Entry;

/// See the module. A socket of nobody without limits has none.
pub(super) struct Standing {
    /// What came with CONNECT, where a rule needs it.
    hello: Hello,
    identity: RefCell<Rc<Identity>>,
    due: Cell<Option<Due>>,
    pub(super) rate: RefCell<Option<Rate>>,
}

/// What is to be done about a token next, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The client is told that it will end.
    Warning(Instant),
    End(Instant),
}

impl Standing {
    /// `None` when there is nothing to know.
    pub(super) fn new(hello: Hello, identity: Rc<Identity>, rate: Option<Rate>, entry: &Entry) -> Option<Box<Self>> {
        if hello == Hello::Nothing && rate.is_none() && *identity == Identity::nobody() {
            return None;
        }
        let due = Cell::new(Due::first(&identity, entry));
        Some(Box::new(Standing { hello, identity: RefCell::new(identity), due, rate: RefCell::new(rate) }))
    }

    /// The payload of CONNECT; null where none is kept.
    pub(super) fn auth(&self) -> &Value {
        match &self.hello {
            Hello::Auth(auth) => auth,
            Hello::Nothing | Hello::Query(_) => &Value::Null,
        }
    }

    /// The query that came with CONNECT, in place of the connection's.
    pub(super) fn query(&self) -> Option<&str> {
        match &self.hello {
            Hello::Query(query) => Some(query),
            Hello::Nothing | Hello::Auth(_) => None,
        }
    }

    pub(super) fn identity(&self) -> Rc<Identity> {
        Rc::clone(&self.identity.borrow())
    }

    /// A new token has taken the place of the first.
    pub(super) fn renew(&self, identity: Rc<Identity>, entry: &Entry) {
        self.due.set(Due::first(&identity, entry));
        *self.identity.borrow_mut() = identity;
    }

    /// When something is to be done about the token.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due.get().map(Due::at)
    }

    /// What is due now; after a warning the end is.
    pub(super) fn take_due(&self, now: Instant, entry: &Entry) -> Option<Due> {
        let due = self.due.get().filter(|due| due.at() <= now)?;
        self.due.set(match due {
            Due::Warning(_) => Due::end(&self.identity.borrow(), entry),
            Due::End(_) => None,
        });
        Some(due)
    }
}

impl Due {
    fn at(self) -> Instant {
        match self {
            Due::Warning(at) | Due::End(at) => at,
        }
    }

    fn first(identity: &Identity, entry: &Entry) -> Option<Self> {
        let signals = &entry.signals;
        if signals.warn.is_none() || signals.warn_before.is_zero() {
            return Due::end(identity, entry);
        }
        let expires = identity.expires?;
        Some(Due::Warning(instant_of(expires)?.checked_sub(signals.warn_before).unwrap_or_else(Instant::now)))
    }

    fn end(identity: &Identity, entry: &Entry) -> Option<Self> {
        Some(Due::End(instant_of(identity.expires?)?.checked_add(entry.leeway)?))
    }
}

/// By the present difference of the clocks; what is past is now. `None` when it
/// is too far off to be told.
fn instant_of(moment: UnixSeconds) -> Option<Instant> {
    Instant::now().checked_add(Duration::from_secs(moment.0.saturating_sub(UnixSeconds::now().0)))
}

/// Whether a token has ended, as far as is forgiven.
pub(super) fn has_ended(identity: &Identity, entry: &Entry) -> bool {
    identity.expires.is_some_and(|expires| expires.0.saturating_add(entry.leeway.as_secs()) <= UnixSeconds::now().0)
}
