//! What is written to Redis and sent over it begins with a format version and
//! a kind, each one character:
//!
//! | kind | content |
//! |---|---|
//! | `L` | epoch, id, [`Event`]: a logged event, in logs and on channels |
//! | `U` | [`Event`] that is not logged |
//! | `T` | epoch, id: all up to here has been sent to who reads this |
//! | `F` | generation, socket id, namespace: an older owner of the session is to end |
//! | `K` | [`Question`], [`Event`]: to be acknowledged |
//! | `Q` | [`Question`], JSON: an operation |
//! | `A` | number, JSON: an answer to the node that asked |
//!
//! Version N reads N - 1, so that nodes of two versions serve in one cluster.

use bytes::{BufMut, Bytes, BytesMut};
use smol_str::SmolStr;

use crate::place::{Epoch, Id, Place};
use crate::{BadEvent, Event};

/// A version of everything that is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// Without the trace of an event.
    One,
    #[default]
    Two,
}

impl Format {
    fn version(self) -> u8 {
        match self {
            Format::One => b'1',
            Format::Two => b'2',
        }
    }

    fn of(version: u8) -> Option<Self> {
        match version {
            b'1' => Some(Format::One),
            b'2' => Some(Format::Two),
            _ => None,
        }
    }
}

/// Who asks, and until when it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The node that asks.
    pub from: SmolStr,
    /// By which it knows the answers.
    pub number: u64,
    pub timeout_ms: u64,
}

/// Something that was read from a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Logged(Place, Event),
    Unlogged(Event),
    Position(Place),
    Fence { generation: u64, socket: SmolStr, namespace: SmolStr },
    Acknowledge(Question, Event),
    Operate(Question, Bytes),
    Answer { number: u64, answer: Bytes },
}

/// The bytes are no record of a version known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a record of a known version")]
pub struct BadRecord;

impl From<BadEvent> for BadRecord {
    fn from(BadEvent: BadEvent) -> Self {
        BadRecord
    }
}

/// Where the event stands in a logged record.
const LOGGED_HEAD: usize = 2 + Epoch::LEN + Id::LEN;

impl Record {
    /// # Errors
    /// When it is cut short, or of a version not known.
    pub fn read(bytes: Bytes) -> Result<Self, BadRecord> {
        let (Some(version), Some(kind)) = (bytes.first(), bytes.get(1)) else { return Err(BadRecord) };
        let format = Format::of(*version).ok_or(BadRecord)?;
        match kind {
            b'L' => Ok(Record::Logged(place(&bytes)?, Event::read(format, rest(&bytes, LOGGED_HEAD)?)?)),
            b'U' => Ok(Record::Unlogged(Event::read(format, rest(&bytes, 2)?)?)),
            b'T' => Ok(Record::Position(place(&bytes)?)),
            b'F' => {
                let text = std::str::from_utf8(&bytes[2..]).map_err(|_| BadRecord)?;
                let mut parts = text.splitn(3, ' ');
                match (parts.next().and_then(|n| n.parse().ok()), parts.next(), parts.next()) {
                    (Some(generation), Some(socket), Some(namespace)) => {
                        Ok(Record::Fence { generation, socket: socket.into(), namespace: namespace.into() })
                    }
                    _ => Err(BadRecord),
                }
            }
            b'K' => {
                let (question, rest) = Question::read(&bytes)?;
                Ok(Record::Acknowledge(question, Event::read(format, rest)?))
            }
            b'Q' => Question::read(&bytes).map(|(question, rest)| Record::Operate(question, rest)),
            b'A' => {
                let (head, answer) = line(&bytes)?;
                Ok(Record::Answer { number: head.parse().map_err(|_| BadRecord)?, answer })
            }
            _ => Err(BadRecord),
        }
    }
}

fn rest(bytes: &Bytes, from: usize) -> Result<Bytes, BadRecord> {
    if bytes.len() < from { Err(BadRecord) } else { Ok(bytes.slice(from..)) }
}

fn place(bytes: &[u8]) -> Result<Place, BadRecord> {
    let text = |from: usize, length: usize| {
        bytes.get(from..from + length).and_then(|part| std::str::from_utf8(part).ok()).ok_or(BadRecord)
    };
    let epoch = text(2, Epoch::LEN)?.parse().map_err(|_| BadRecord)?;
    let id = text(2 + Epoch::LEN, Id::LEN)?.parse().map_err(|_| BadRecord)?;
    Ok(Place { epoch, id })
}

/// The line after version and kind, and what follows it.
fn line(bytes: &Bytes) -> Result<(&str, Bytes), BadRecord> {
    let end = bytes.iter().position(|byte| *byte == b'\n').filter(|end| *end >= 2).ok_or(BadRecord)?;
    let text = std::str::from_utf8(&bytes[2..end]).map_err(|_| BadRecord)?;
    Ok((text, bytes.slice(end + 1..)))
}

impl Question {
    fn read(bytes: &Bytes) -> Result<(Self, Bytes), BadRecord> {
        let (head, rest) = line(bytes)?;
        let mut parts = head.split(' ');
        let from = parts.next().ok_or(BadRecord)?.into();
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or(BadRecord);
        Ok((Question { from, number: number()?, timeout_ms: number()? }, rest))
    }

    fn head(&self) -> String {
        format!("{} {} {}\n", self.from, self.number, self.timeout_ms)
    }
}

/// Writes records in one version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer(pub(crate) Format);

impl Writer {
    fn start(self, kind: u8) -> BytesMut {
        let mut out = BytesMut::with_capacity(256);
        out.put_u8(self.0.version());
        out.put_u8(kind);
        out
    }

    /// What the script puts the id behind: of a logged event, and of a position.
    pub(crate) fn logged_head(self, epoch: Epoch) -> String {
        format!("{}L{epoch}", char::from(self.0.version()))
    }

    pub(crate) fn position_head(self, epoch: Epoch) -> String {
        format!("{}T{epoch}", char::from(self.0.version()))
    }

    pub(crate) fn fence_head(self) -> String {
        format!("{}F", char::from(self.0.version()))
    }

    /// The event of a logged record: what follows the id.
    pub(crate) fn event(self, event: &Event) -> Bytes {
        let mut out = BytesMut::new();
        event.write(self.0, &mut out);
        out.freeze()
    }

    pub(crate) fn unlogged(self, event: &Event) -> Bytes {
        let mut out = self.start(b'U');
        event.write(self.0, &mut out);
        out.freeze()
    }

    pub(crate) fn acknowledge(self, question: &Question, event: &Event) -> Bytes {
        let mut out = self.start(b'K');
        out.put_slice(question.head().as_bytes());
        event.write(self.0, &mut out);
        out.freeze()
    }

    pub(crate) fn operate(self, question: &Question, operation: &[u8]) -> Bytes {
        let mut out = self.start(b'Q');
        out.put_slice(question.head().as_bytes());
        out.put_slice(operation);
        out.freeze()
    }

    pub(crate) fn answer(self, number: u64, answer: &[u8]) -> Bytes {
        let mut out = self.start(b'A');
        out.put_slice(format!("{number}\n").as_bytes());
        out.put_slice(answer);
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event { namespace: "/".into(), elements: Bytes::from_static(b"\"e\""), ..Event::default() }
    }

    #[test]
    fn records_read_back() {
        let place = Place { epoch: "0000000a".parse().unwrap(), id: Id::new(1_795_246_647_165, 3) };
        let question = Question { from: "abc".into(), number: 7, timeout_ms: 100 };
        for format in [Format::One, Format::Two] {
            let writer = Writer(format);
            let head = format!("{}{}", writer.logged_head(place.epoch), place.id);
            let logged = Bytes::from([head.as_bytes(), &writer.event(&event())].concat());
            assert_eq!(Record::read(logged), Ok(Record::Logged(place, event())));
            let position = format!("{}{}", writer.position_head(place.epoch), place.id);
            assert_eq!(Record::read(position.into()), Ok(Record::Position(place)));
            assert_eq!(Record::read(writer.unlogged(&event())), Ok(Record::Unlogged(event())));
            let asked = writer.acknowledge(&question, &event());
            assert_eq!(Record::read(asked), Ok(Record::Acknowledge(question.clone(), event())));
            let asked = writer.operate(&question, b"{}");
            assert_eq!(Record::read(asked), Ok(Record::Operate(question.clone(), Bytes::from_static(b"{}"))));
            let answer = Record::Answer { number: 7, answer: Bytes::from_static(b"[]\n") };
            assert_eq!(Record::read(writer.answer(7, b"[]\n")), Ok(answer));
            let fence = format!("{}2 sid /chat room", writer.fence_head());
            let expected = Record::Fence { generation: 2, socket: "sid".into(), namespace: "/chat room".into() };
            assert_eq!(Record::read(fence.into()), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for text in ["", "1", "3T", "1X", "1Tdeadbeef", "1L", "2F1", "2A1", "2Aone\n", "2Qabc\n", "1U", "2K\n"] {
            assert_eq!(Record::read(Bytes::copy_from_slice(text.as_bytes())), Err(BadRecord), "{text}");
        }
    }
}
