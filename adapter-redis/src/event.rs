//! An event as it is stored and sent between nodes.
//!
//! Written, lengths big-endian:
//! ```text
//! flags u8 (1: volatile) · namespace u16+bytes · rooms u16 × (u16+bytes) · except u16 × (u16+bytes)
//! · trace u16+bytes (since format 2) · elements u32+bytes · attachments u16 × (u32+bytes)
//! ```
//! Rooms are written as in [`Room`].

use bytes::{Buf, BufMut, Bytes, BytesMut};
use smol_str::SmolStr;

use crate::{Format, Room};

/// An event on its way to the members of its rooms.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Event {
    /// Begins with `/`.
    pub namespace: SmolStr,
    /// Sockets in any of these get it, once.
    pub rooms: Vec<Room>,
    /// Sockets in any of these do not.
    pub except: Vec<Room>,
    /// Dropped for who cannot take it at once.
    pub volatile: bool,
    /// W3C `traceparent` of the publish, and after a space its `tracestate`; empty without one.
    pub trace: SmolStr,
    /// JSON of the event array, without its brackets: name and arguments.
    pub elements: Bytes,
    /// What the placeholders in `elements` stand for.
    pub attachments: Vec<Bytes>,
}

const VOLATILE: u8 = 1;

/// The bytes are no event of a format known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event of a known format")]
pub struct BadEvent;

impl Event {
    /// Appends the written form.
    pub fn write(&self, format: Format, out: &mut BytesMut) {
        let attachments: usize = self.attachments.iter().map(|attachment| 4 + attachment.len()).sum();
        out.reserve(64 + self.elements.len() + attachments);
        out.put_u8(if self.volatile { VOLATILE } else { 0 });
        put_short(out, self.namespace.as_bytes());
        put_rooms(out, &self.rooms);
        put_rooms(out, &self.except);
        match format {
            Format::One => {}
            Format::Two => put_short(out, self.trace.as_bytes()),
        }
        put_long(out, &self.elements);
        out.put_u16(self.attachments.len() as u16);
        self.attachments.iter().for_each(|attachment| put_long(out, attachment));
    }

    /// Reads the written form; the content shares the memory of `bytes`.
    ///
    /// # Errors
    /// When it is cut short, or names what is not known.
    pub fn read(format: Format, mut bytes: Bytes) -> Result<Self, BadEvent> {
        let flags = bytes.try_get_u8().map_err(|_| BadEvent)?;
        let namespace = take_text(&mut bytes)?;
        let rooms = take_rooms(&mut bytes)?;
        let except = take_rooms(&mut bytes)?;
        let trace = match format {
            Format::One => SmolStr::default(),
            Format::Two => take_text(&mut bytes)?,
        };
        let elements = take_long(&mut bytes)?;
        let count = bytes.try_get_u16().map_err(|_| BadEvent)?;
        let attachments = (0..count).map(|_| take_long(&mut bytes)).collect::<Result<_, _>>()?;
        if !bytes.is_empty() {
            return Err(BadEvent);
        }
        Ok(Event { namespace, rooms, except, volatile: flags & VOLATILE != 0, trace, elements, attachments })
    }
}

fn put_short(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u16(bytes.len() as u16);
    out.put_slice(bytes);
}

fn put_long(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(bytes.len() as u32);
    out.put_slice(bytes);
}

fn put_rooms(out: &mut BytesMut, rooms: &[Room]) {
    out.put_u16(rooms.len() as u16);
    for room in rooms {
        let (kind, name) = match room {
            Room::All => (b'*', ""),
            Room::Socket(name) => (b's', name.as_str()),
            Room::User(name) => (b'u', name.as_str()),
            Room::Named(name) => (b'n', name.as_str()),
        };
        out.put_u16(1 + name.len() as u16);
        out.put_u8(kind);
        out.put_slice(name.as_bytes());
    }
}

fn take_short(bytes: &mut Bytes) -> Result<Bytes, BadEvent> {
    let length = usize::from(bytes.try_get_u16().map_err(|_| BadEvent)?);
    take(bytes, length)
}

fn take_long(bytes: &mut Bytes) -> Result<Bytes, BadEvent> {
    let length = bytes.try_get_u32().map_err(|_| BadEvent)? as usize;
    take(bytes, length)
}

fn take(bytes: &mut Bytes, length: usize) -> Result<Bytes, BadEvent> {
    if bytes.len() < length { Err(BadEvent) } else { Ok(bytes.split_to(length)) }
}

fn take_text(bytes: &mut Bytes) -> Result<SmolStr, BadEvent> {
    let text = take_short(bytes)?;
    Ok(SmolStr::new(std::str::from_utf8(&text).map_err(|_| BadEvent)?))
}

fn take_rooms(bytes: &mut Bytes) -> Result<Vec<Room>, BadEvent> {
    let count = bytes.try_get_u16().map_err(|_| BadEvent)?;
    let room = |bytes: &mut Bytes| {
        let text = take_short(bytes)?;
        Room::parse(std::str::from_utf8(&text).map_err(|_| BadEvent)?).ok_or(BadEvent)
    };
    (0..count).map(|_| room(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            namespace: "/chat".into(),
            rooms: vec![Room::Named("a".into()), Room::User("7".into())],
            except: vec![Room::Socket("x".into()), Room::All],
            volatile: true,
            trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
            elements: Bytes::from_static(br#""event",{"_placeholder":true,"num":0}"#),
            attachments: vec![Bytes::from_static(&[0, 1, 2]), Bytes::new()],
        }
    }

    fn written(event: &Event, format: Format) -> Bytes {
        let mut out = BytesMut::new();
        event.write(format, &mut out);
        out.freeze()
    }

    #[test]
    fn an_event_reads_back_in_each_format() {
        assert_eq!(Event::read(Format::Two, written(&event(), Format::Two)), Ok(event()));
        let without = Event { trace: SmolStr::default(), ..event() };
        assert_eq!(Event::read(Format::One, written(&event(), Format::One)), Ok(without));
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let whole = written(&event(), Format::Two);
        for length in 0..whole.len() {
            assert_eq!(Event::read(Format::Two, whole.slice(..length)), Err(BadEvent), "{length}");
        }
        let more = [&whole[..], b"x"].concat();
        assert_eq!(Event::read(Format::Two, more.into()), Err(BadEvent));
    }
}
