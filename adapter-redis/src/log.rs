//! Reads of the recovery log.
//!
//! What many clients ask for at once is read together: requests that come
//! while a read is under way share the next one, and a room that several ask
//! for is read once. A request's end was fixed before it was made, so any read
//! that begins later is complete up to it.

use std::sync::Arc;
#[cfg(feature = "mutations")]
use std::sync::PoisonError;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hashbrown::HashMap;
use redis::Value;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::place::{Epoch, Id};
use crate::record::Record;
use crate::script::Script;
use crate::shard::{Fault, Shard};
use crate::{Host, Names, RoomKey, Unavailable};

/// Rooms read in one call.
pub(crate) const ROOMS_PER_CALL: usize = 500;

/// Requests that may wait; further ones wait to enter.
const QUEUE: usize = 1024;

/// The part of a room's log after `after`, up to and with `through`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub room: RoomKey,
    pub after: Id,
    pub through: Id,
}

/// Most that one request may be answered with.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimit {
    pub messages: usize,
    pub bytes: usize,
}

/// Why parts of the log were not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("part of it is no longer in the log")]
    Trimmed,
    #[error("there is more than may be read")]
    TooMuch,
    #[error("the log is of another epoch by now")]
    OtherEpoch,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A message with its id.
pub(crate) type Entry<M> = (Id, M, usize);

type Answer<M> = Result<Vec<Vec<M>>, ReadError>;

struct Request<M> {
    /// That the parts' ids are of.
    epoch: Epoch,
    parts: Vec<Part>,
    limit: ReadLimit,
    answer: oneshot::Sender<Answer<M>>,
}

/// What one call found: a room's entries in order, or `None` when some are no
/// longer there.
pub(crate) type Found<M> = Vec<Option<Vec<Entry<M>>>>;

#[cfg(feature = "mutations")]
type Read<M> = (Vec<Part>, Found<M>);

pub(crate) struct Logs<H: Host> {
    shard: Arc<Shard>,
    host: Arc<H>,
    queue: mpsc::Sender<Request<H::Message>>,
    waiting: Mutex<mpsc::Receiver<Request<H::Message>>>,
    /// What was read last.
    #[cfg(feature = "mutations")]
    last: std::sync::Mutex<Option<Read<H::Message>>>,
}

impl<H: Host> Logs<H> {
    pub(crate) fn new(shard: Arc<Shard>, host: Arc<H>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Logs {
            shard,
            host,
            queue,
            waiting: Mutex::new(waiting),
            #[cfg(feature = "mutations")]
            last: Default::default(),
        }
    }

    /// Each part's messages, in order.
    pub(crate) async fn read(&self, epoch: Epoch, parts: Vec<Part>, limit: ReadLimit) -> Answer<H::Message> {
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, outcome) = oneshot::channel();
        self.queue.send(Request { epoch, parts, limit, answer }).await.map_err(|_| Unavailable)?;
        outcome.await.map_err(|_| Unavailable)?
    }

    /// The last `most` messages of a part, so far as they are there, in order.
    pub(crate) async fn recent(&self, part: &Part, most: usize) -> Result<Vec<H::Message>, Unavailable> {
        let settings = &self.shard.settings;
        let Part { room, after, through } = part;
        let reply = self.shard.call(Script::Recent, &[], |up, command| {
            command.arg(Names::log_suffix(up.epoch)).arg(self.shard.names.channel(room));
            command.arg(after.to_string()).arg(through.to_string()).arg(most).arg(settings.max_read);
        });
        let entries = self.entries(reply.await?).map_err(|_| Unavailable)?;
        Ok(entries.into_iter().flatten().map(|(_, message, _)| message).collect())
    }

    /// Serves requests, until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut waiting = self.waiting.lock().await;
        let mut calls = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(()) = calls.next() => {}
                first = waiting.recv(), if calls.len() < self.shard.settings.readers => {
                    let Some(first) = first else { return };
                    let mut rooms = first.parts.len();
                    let mut requests = vec![first];
                    while rooms < ROOMS_PER_CALL && let Ok(request) = waiting.try_recv() {
                        rooms += request.parts.len();
                        requests.push(request);
                    }
                    calls.push(self.serve(requests));
                }
            }
        }
    }

    async fn serve(&self, mut requests: Vec<Request<H::Message>>) {
        let epoch = requests[0].epoch;
        let others: Vec<_> = requests.extract_if(.., |request| request.epoch != epoch).collect();
        if !others.is_empty() {
            Box::pin(self.serve(others)).await;
        }
        let parts = union(requests.iter().flat_map(|request| &request.parts));
        #[cfg(feature = "mutations")]
        let found = match self.reuse(&parts) {
            Some(found) => Ok(found),
            None => self.fetch(epoch, &parts).await,
        };
        #[cfg(not(feature = "mutations"))]
        let found = self.fetch(epoch, &parts).await;
        match found {
            Ok(found) => {
                #[cfg(feature = "mutations")]
                self.last.lock().unwrap_or_else(PoisonError::into_inner).replace((parts.clone(), found.clone()));
                let found: HashMap<&RoomKey, _> = parts.iter().map(|part| &part.room).zip(found).collect();
                let alone = requests.len() == 1;
                for request in requests {
                    match cut_out(&request.parts, &found, request.limit) {
                        // another may have asked for what is no longer there
                        Err(ReadError::Trimmed) if !alone => Box::pin(self.serve(vec![request])).await,
                        // who asked may have gone
                        share => drop(request.answer.send(share)),
                    }
                }
            }
            // together they are too much: one by one
            Err(ReadError::TooMuch) if requests.len() > 1 => {
                for request in requests {
                    Box::pin(self.serve(vec![request])).await;
                }
            }
            Err(error) => requests.into_iter().for_each(|request| drop(request.answer.send(Err(error)))),
        }
    }

    /// What was read last, if these rooms were among it and nobody looks when.
    #[cfg(feature = "mutations")]
    fn reuse(&self, parts: &[Part]) -> Option<Found<H::Message>> {
        if !crate::mutation::mutated!(ReuseRead) {
            return None;
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, found) = last.as_ref()?;
        let of = |part: &Part| {
            let index = known.iter().position(|known| known.room == part.room && known.after <= part.after)?;
            Some(found[index].clone())
        };
        parts.iter().map(of).collect()
    }

    /// Reads parts of different rooms, in one call.
    ///
    /// # Errors
    /// All but [`ReadError::Trimmed`], which is told room by room.
    pub(crate) async fn fetch(&self, epoch: Epoch, parts: &[Part]) -> Result<Found<H::Message>, ReadError> {
        let deadline = Instant::now() + self.shard.settings.patience;
        let reply = loop {
            let up = self.shard.up(deadline).await?;
            if up.epoch != epoch {
                return Err(ReadError::OtherEpoch);
            }
            let Some(reader) = up.readers.get().await else {
                self.shard.broken(&up);
                continue;
            };
            let read = self.shard.attempt_over(reader.commands(), &up, Script::Read, &[], |command| {
                command.arg(Names::log_suffix(epoch)).arg(self.shard.settings.max_read);
                for Part { room, after, through } in parts {
                    command.arg(self.shard.names.channel(room)).arg(after.to_string()).arg(through.to_string());
                }
            });
            match read.await {
                Ok(reply) => break reply,
                Err(fault) => {
                    reader.discard();
                    match fault {
                        Fault::Moved | Fault::Unknown if Instant::now() < deadline => {}
                        Fault::Moved | Fault::Unknown | Fault::Refused | Fault::Failed => {
                            return Err(Unavailable.into());
                        }
                    }
                }
            }
        };
        match reply {
            Value::Array(rooms) if rooms.len() == parts.len() => {
                rooms.into_iter().map(|room| self.entries(room)).collect()
            }
            Value::Array(_) => Err(Unavailable.into()),
            _ => Err(ReadError::TooMuch),
        }
    }

    /// The entries of a room, which come last first.
    fn entries(&self, room: Value) -> Result<Option<Vec<Entry<H::Message>>>, ReadError> {
        let Value::Array(records) = room else { return Ok(None) };
        let mut entries = Vec::with_capacity(records.len());
        for record in records.into_iter().rev() {
            let Value::BulkString(record) = record else { return Ok(None) };
            let length = record.len();
            match Record::read(record.into()) {
                Ok(Record::Logged(place, event)) => {
                    if let Some(message) = self.host.message(Some(place), event) {
                        entries.push((place.id, message, length));
                    }
                }
                // of a version that comes after this one's: it cannot be shown that all was read
                Ok(_) | Err(_) => return Ok(None),
            }
        }
        entries.sort_by_key(|(id, ..)| *id);
        Ok(Some(entries))
    }
}

/// Each room once, with all that is asked of it.
fn union<'a>(parts: impl Iterator<Item = &'a Part>) -> Vec<Part> {
    let mut rooms: HashMap<&RoomKey, usize> = HashMap::new();
    let mut all: Vec<Part> = Vec::new();
    for part in parts {
        match rooms.get(&part.room) {
            Some(index) => {
                let whole = &mut all[*index];
                whole.after = whole.after.min(part.after);
                whole.through = whole.through.max(part.through);
            }
            None => {
                rooms.insert(&part.room, all.len());
                all.push(part.clone());
            }
        }
    }
    all
}

/// The share of one request.
fn cut_out<M: Clone>(
    parts: &[Part],
    found: &HashMap<&RoomKey, Option<Vec<Entry<M>>>>,
    limit: ReadLimit,
) -> Result<Vec<Vec<M>>, ReadError> {
    let (mut messages, mut bytes) = (0, 0);
    let mut share = Vec::with_capacity(parts.len());
    for part in parts {
        let Some(Some(entries)) = found.get(&part.room) else { return Err(ReadError::Trimmed) };
        let from = entries.partition_point(|(id, ..)| *id <= part.after);
        let to = entries.partition_point(|(id, ..)| *id <= part.through);
        let own = &entries[from..to.max(from)];
        messages += own.len();
        bytes += own.iter().map(|(.., length)| length).sum::<usize>();
        if messages > limit.messages || bytes > limit.bytes {
            return Err(ReadError::TooMuch);
        }
        share.push(own.iter().map(|(_, message, _)| message.clone()).collect());
    }
    Ok(share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Room;

    fn part(room: &str, after: u64, through: u64) -> Part {
        Part { room: RoomKey::new("/", &Room::Named(room.into())), after: Id(after), through: Id(through) }
    }

    #[test]
    fn a_room_is_read_once_for_all() {
        let parts = [part("a", 5, 9), part("b", 1, 9), part("a", 3, 7), part("a", 6, 12)];
        assert_eq!(union(parts.iter()), [part("a", 3, 12), part("b", 1, 9)]);
    }

    #[test]
    fn each_gets_its_share() {
        let rooms = [part("a", 0, 0).room, part("b", 0, 0).room];
        let entries = vec![(Id(4), "four", 1), (Id(6), "six", 1), (Id(8), "eight", 1)];
        let found = HashMap::from([(&rooms[0], Some(entries)), (&rooms[1], None)]);
        let limit = ReadLimit { messages: 2, bytes: 2 };
        assert_eq!(cut_out(&[part("a", 4, 7)], &found, limit), Ok(vec![vec!["six"]]));
        assert_eq!(cut_out(&[part("a", 4, 4)], &found, limit), Ok(vec![vec![]]));
        assert_eq!(cut_out(&[part("a", 3, 8)], &found, limit), Err(ReadError::TooMuch));
        assert_eq!(cut_out(&[part("a", 4, 7), part("b", 4, 7)], &found, limit), Err(ReadError::Trimmed));
    }
}
