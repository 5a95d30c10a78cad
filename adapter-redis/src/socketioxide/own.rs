//! What other nodes send and ask, and this server's own sockets.

use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt, StreamExt};
use socketioxide_core::Sid;
use socketioxide_core::adapter::{AckStreamItem, BroadcastFlags, BroadcastOptions, Room as Name, SocketEmitter};

use super::adapter::CarillonAdapter;
use super::node::Namespace;
use super::selection::Selection;
use super::wire::{self, Acknowledged, Acknowledging, Answer, Asked, Doing, Listed};
use super::{names, packet};
use crate::{Event, Room};

impl<E: SocketEmitter> Namespace for CarillonAdapter<E> {
    fn deliver(&self, event: &Event) {
        let Some(packet) = packet::packet(self.local.path(), event) else {
            tracing::error!("an event on the bus is not UTF-8");
            return;
        };
        let selection = Selection::new(&event.rooms, &event.except);
        let send = |packet, mut options: BroadcastOptions| {
            if event.volatile {
                options.add_flag(BroadcastFlags::Volatile);
            }
            if let Err(errors) = self.local.broadcast(packet, options) {
                tracing::debug!(sockets = errors.len(), "sockets that could not take an event");
            }
        };
        match selection.options() {
            Some(options) => send(packet, options),
            None => {
                selection
                    .sids(&self.local)
                    .into_iter()
                    .for_each(|sid| send(packet.clone(), BroadcastOptions::new(sid)));
            }
        }
    }

    fn ask(&self, event: &Event, timeout: Duration) -> BoxFuture<'static, Acknowledged> {
        let Some(packet) = packet::packet(self.local.path(), event) else {
            tracing::error!("an event on the bus is not UTF-8");
            return std::future::ready(Acknowledged::default()).boxed();
        };
        let mut expected = 0;
        let ask = |sid: Sid| {
            let options = BroadcastOptions::new(sid);
            let (answers, count) = self.local.broadcast_with_ack(packet.clone(), options, Some(timeout));
            expected += count as usize;
            answers.collect::<Vec<_>>()
        };
        let selection = Selection::new(&event.rooms, &event.except);
        let asked = join_all(selection.sids(&self.local).into_iter().map(ask).collect::<Vec<_>>());
        let answer = |(sid, answer): AckStreamItem<E::AckError>| {
            Some(Acknowledging { socket: names::id(sid, None).into(), args: packet::inline(answer.ok()?)? })
        };
        asked
            .map(move |answers| Acknowledged {
                expected,
                answers: answers.into_iter().flatten().filter_map(answer).collect(),
            })
            .boxed()
    }

    fn operate(&self, asked: &Asked) -> Answer {
        let Some(rooms) = wire::read(&asked.rooms) else {
            tracing::error!(
                "a question of another node names rooms that are not known here: is it of a newer version?"
            );
            return Answer { partial: true, ..Answer::default() };
        };
        let sids = Selection::new(&rooms, &[]).sids(&self.local);
        let names = |rooms: &[String]| -> Vec<Name> {
            rooms.iter().filter_map(|room| names::name(&Room::parse(room)?)).collect()
        };
        let mut answer = Answer { count: sids.len(), ..Answer::default() };
        match &asked.action {
            Doing::Join(rooms) => {
                let rooms = names(rooms);
                sids.iter().for_each(|sid| self.local.add_sockets(BroadcastOptions::new(*sid), rooms.clone()));
            }
            Doing::Leave(rooms) => {
                let rooms = names(rooms);
                sids.iter().for_each(|sid| self.local.del_sockets(BroadcastOptions::new(*sid), rooms.clone()));
            }
            Doing::Disconnect { close: _ } => {
                for sid in &sids {
                    if self.local.disconnect_socket(BroadcastOptions::new(*sid)).is_err() {
                        tracing::debug!(%sid, "a socket to disconnect has gone already");
                    }
                }
            }
            Doing::List => {
                let rooms =
                    |sid| self.local.socket_rooms(sid).iter().filter_map(|name| names::room(name).ok()).collect();
                let listed = |sid: Sid| {
                    let rooms: Vec<Room> = rooms(sid);
                    Listed { id: names::id(sid, None).into(), rooms: wire::written(&rooms) }
                };
                answer.sockets = sids.into_iter().map(listed).collect();
            }
            Doing::Count => {}
        }
        answer
    }
}
