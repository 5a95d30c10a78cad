//! A client shows a new token in the place of its first.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::adapter::RoomChange;
use crate::auth::AuthError;
use crate::policy;
use crate::protocol::packet::Args;
use crate::rooms::Recipient;

use super::ask::Asking;
use super::close::Close;
use super::dispatch;
use super::entry::Shown;
use super::refusal::{Reason, Refusal, answer, send_ack};
use super::rights;
use super::socket::{Socket, kept};

/// Takes the new token, or tells why not; the first one then stays.
pub(super) async fn refresh(socket: Rc<Socket>, id: Option<u64>, args: Args) {
    match take(&socket, &args).await {
        Ok(expires_at) => {
            let accepted = json!({ "ok": true, "expires_at": expires_at });
            send_ack(&socket, id, accepted.to_string().as_bytes(), &[]);
        }
        Err(refusal) => answer(&socket, id, None, Err(refusal)),
    }
}

/// Answers when it ends, in seconds since 1970.
async fn take(socket: &Rc<Socket>, args: &Args) -> Result<Option<u64>, Refusal> {
    let rules = socket.rules();
    let (connection, entry) = (&socket.connection, &rules.entry);
    let Some(standing) = &socket.standing else { return Err(AuthError::NoUser.into()) };
    let token = args.json.first().and_then(|json| serde_json::from_str::<String>(json).ok());
    let token = token.ok_or(AuthError::Missing)?;
    let shown = Shown {
        auth: &Value::Null,
        query: &connection.query,
        handshake: connection.handshake(),
        client: connection.client,
        span: None,
    };
    let identity = entry.identify(&rules.namespace, &token, shown).await?;
    if identity.user != standing.identity().user {
        return Err(Refusal::with_code(Reason::Token, "token_other_user", "the token is another user's"));
    }
    let adapter = &*connection.worker.shared.adapter;
    entry.check_revoked(adapter, &rules.namespace, &identity).await?;
    let rooms: Vec<_> = socket.feed().borrow().stays().iter().map(|stay| stay.room.clone()).collect();
    let context = socket.context(&identity, policy::Args::Json(&[]));
    let asking = Asking::at_connect(socket.id, &identity, None);
    let withdrawn = rights::withdrawn(connection, rules, asking, &context, rooms.iter()).await?;
    let unavailable = || Refusal::new(Reason::Unavailable, "the token could not be kept");
    dispatch::leave(socket, &withdrawn).await.map_err(|_| unavailable())?;
    if let Some(key) = socket.session {
        let change = RoomChange { identity: kept(&identity), ..RoomChange::default() };
        if adapter.change_rooms(key, change).await.is_err() {
            connection.close(Close::Unavailable);
            return Err(unavailable());
        }
    }
    let expires = identity.expires.map(|expires| expires.0);
    standing.renew(Rc::new(identity), entry);
    connection.schedule();
    Ok(expires)
}
