//! Who is in a room, as the sessions say.

use redis::Value;
use smol_str::SmolStr;

use crate::reply::{array, number, texts};
use crate::script::Script;
use crate::{RoomKey, Unavailable};

use super::Sessions;

/// The sessions of a room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Present {
    /// How many there are.
    pub total: usize,
    /// Some of them, as many as were asked for.
    pub sockets: Vec<PresentSocket>,
}

/// A session in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentSocket {
    pub socket: SmolStr,
    /// Empty for nobody's.
    pub subject: SmolStr,
    /// Its client is not connected, or its node is not alive.
    pub is_away: bool,
}

impl Sessions {
    /// Those in a room, at most so many.
    pub(crate) async fn presence(&self, room: &RoomKey, most: usize) -> Result<Present, Unavailable> {
        let (namespace, name) = room.as_str().split_once(',').ok_or(Unavailable)?;
        let nodes = self.shard.names.nodes();
        let call = |_: &_, command: &mut redis::Cmd| {
            command.arg(self.shard.names.prefix()).arg(namespace).arg(name).arg(most);
        };
        let mut reply = array(self.shard.call(Script::Presence, &[&nodes], call).await?)?.into_iter();
        let total = number(reply.next().unwrap_or(Value::Nil))?;
        let sockets = reply.map(socket).collect::<Result<_, _>>()?;
        Ok(Present { total: usize::try_from(total).unwrap_or(usize::MAX), sockets })
    }
}

/// `{ sid, subject, live or away }`.
fn socket(reply: Value) -> Result<PresentSocket, Unavailable> {
    let [socket, subject, state] = <[String; 3]>::try_from(texts(reply)?).map_err(|_| Unavailable)?;
    Ok(PresentSocket { socket: socket.into(), subject: subject.into(), is_away: state == "away" })
}
