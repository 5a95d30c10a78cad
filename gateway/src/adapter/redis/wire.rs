//! What nodes ask and answer each other, as JSON.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use adapter_redis as redis;

use crate::adapter::inspect::Inquiry;
use crate::adapter::{Action, Operation, OperationId, Report, Revocation, Revoked, SocketInfo};
use crate::auth::UnixSeconds;
use crate::message::{Acknowledgement, Acks, Namespaces, Room, SocketId, Token};

use super::convert;

/// An [`Operation`].
#[derive(Serialize, Deserialize)]
pub(super) struct Asked {
    namespace: String,
    /// As the library writes them.
    rooms: Vec<String>,
    action: Doing,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Doing {
    Join(Vec<String>),
    Leave(Vec<String>),
    Disconnect { close: bool },
    List,
    Count,
    Revoke { what: Whose, issued_before: u64, until: u64 },
}

/// An [`Inquiry`].
#[derive(Serialize, Deserialize)]
pub(super) struct Inquired {
    inspect: Inquiry<Arc<str>>,
}

/// A [`Revoked`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Whose {
    User(Arc<str>),
    Token(Arc<str>),
    All,
}

impl From<&Revoked> for Whose {
    fn from(what: &Revoked) -> Self {
        match what {
            Revoked::User(user) => Whose::User(Arc::clone(user)),
            Revoked::Token(id) => Whose::Token(Arc::clone(id)),
            Revoked::All => Whose::All,
        }
    }
}

impl From<Whose> for Revoked {
    fn from(whose: Whose) -> Self {
        match whose {
            Whose::User(user) => Revoked::User(user),
            Whose::Token(id) => Revoked::Token(id),
            Whose::All => Revoked::All,
        }
    }
}

/// A [`Report`].
#[derive(Serialize, Deserialize)]
pub(super) struct Answer {
    count: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sockets: Vec<Listed>,
    partial: bool,
}

#[derive(Serialize, Deserialize)]
struct Listed {
    id: String,
    rooms: Vec<String>,
}

/// [`Acks`] of one node.
#[derive(Serialize, Deserialize)]
pub(super) struct Acknowledged {
    expected: usize,
    answers: Vec<Acknowledging>,
}

#[derive(Serialize, Deserialize)]
struct Acknowledging {
    socket: String,
    args: Box<RawValue>,
}

fn written(rooms: &[Room]) -> Vec<String> {
    rooms.iter().map(|room| convert::room(room).to_string()).collect()
}

fn read(rooms: Vec<String>) -> Option<Vec<Room>> {
    rooms.iter().map(|room| convert::own_room(redis::Room::parse(room)?)).collect()
}

impl Asked {
    pub(super) fn new(operation: &Operation) -> Self {
        Asked {
            namespace: operation.namespace.name.to_string(),
            rooms: written(&operation.rooms),
            action: match &operation.action {
                Action::Join(rooms) => Doing::Join(written(rooms)),
                Action::Leave(rooms) => Doing::Leave(written(rooms)),
                Action::Disconnect { close } => Doing::Disconnect { close: *close },
                Action::List => Doing::List,
                Action::Count => Doing::Count,
                Action::Revoke(Revocation { what, issued_before, until, .. }) => {
                    Doing::Revoke { what: what.into(), issued_before: issued_before.0, until: until.0 }
                }
            },
            id: operation.id.map(|id| id.0.to_string()),
        }
    }

    /// `None` when it cannot be read here, as of another namespace.
    pub(super) fn operation(self, namespaces: &Namespaces) -> Option<Operation> {
        let id = match self.id {
            Some(id) => Some(OperationId(Token::parse(&id)?)),
            None => None,
        };
        let namespace = namespaces.by_name(&self.namespace)?.clone();
        Some(Operation {
            rooms: read(self.rooms)?,
            action: match self.action {
                Doing::Join(rooms) => Action::Join(read(rooms)?),
                Doing::Leave(rooms) => Action::Leave(read(rooms)?),
                Doing::Disconnect { close } => Action::Disconnect { close },
                Doing::List => Action::List,
                Doing::Count => Action::Count,
                Doing::Revoke { what, issued_before, until } => Action::Revoke(Revocation {
                    namespace: namespace.clone(),
                    what: what.into(),
                    issued_before: UnixSeconds(issued_before),
                    until: UnixSeconds(until),
                }),
            },
            namespace,
            id,
        })
    }
}

impl Inquired {
    pub(super) fn new(inquiry: Inquiry) -> Self {
        let inspect = inquiry.in_namespace(|namespace| Some(namespace.name));
        Inquired { inspect: inspect.expect("every namespace has a name") }
    }

    /// `None` where its namespace is not configured here.
    pub(super) fn inquiry(self, namespaces: &Namespaces) -> Option<Inquiry> {
        self.inspect.in_namespace(|name| namespaces.by_name(&name).cloned())
    }
}

impl Answer {
    pub(super) fn new(report: &Report) -> Self {
        let listed = |socket: &SocketInfo| Listed { id: socket.id.to_string(), rooms: written(&socket.rooms) };
        Answer { count: report.count, sockets: report.sockets.iter().map(listed).collect(), partial: report.partial }
    }

    /// Adds what one node has reported.
    pub(super) fn add_to(self, report: &mut Report) {
        report.count += self.count;
        report.partial |= self.partial;
        for Listed { id, rooms } in self.sockets {
            match (Token::parse(&id), read(rooms)) {
                (Some(id), Some(rooms)) => report.sockets.push(SocketInfo { id: SocketId(id), rooms }),
                (None, _) | (_, None) => report.partial = true,
            }
        }
    }
}

impl Acknowledged {
    pub(super) fn new(acks: Acks) -> Self {
        let answer = |answer: Acknowledgement| Acknowledging { socket: answer.socket.to_string(), args: answer.args };
        Acknowledged { expected: acks.expected, answers: acks.answers.into_iter().map(answer).collect() }
    }

    /// Adds what the recipients on one node have answered.
    pub(super) fn add_to(self, acks: &mut Acks) {
        acks.expected += self.expected;
        let answer =
            |Acknowledging { socket, args }| Some(Acknowledgement { socket: SocketId(Token::parse(&socket)?), args });
        acks.answers.extend(self.answers.into_iter().filter_map(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_read_back() {
        let namespaces = Namespaces::new([("/", true)]);
        let room = Room::named("a").unwrap();
        let revoke = |what| {
            let namespace = namespaces.by_name("/").unwrap().clone();
            Action::Revoke(Revocation { namespace, what, issued_before: UnixSeconds(7), until: UnixSeconds(9) })
        };
        for action in [
            Action::Join(vec![room.clone()]),
            Action::Leave(vec![Room::user("7").unwrap()]),
            Action::Disconnect { close: true },
            Action::List,
            Action::Count,
            revoke(Revoked::User("ann".into())),
            revoke(Revoked::Token("t 1".into())),
            revoke(Revoked::All),
        ] {
            let operation = Operation {
                namespace: namespaces.by_name("/").unwrap().clone(),
                rooms: vec![room.clone(), Room::All, Room::Socket(SocketId(Token::random()))],
                action,
                id: Some(OperationId(Token::random())),
            };
            let text = serde_json::to_vec(&Asked::new(&operation)).unwrap();
            let back = serde_json::from_slice::<Asked>(&text).unwrap().operation(&namespaces).unwrap();
            assert_eq!((back.rooms, back.action, back.id), (operation.rooms, operation.action, operation.id));
        }
    }
}
