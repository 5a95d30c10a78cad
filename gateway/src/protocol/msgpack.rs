//! The msgpack parser of Socket.IO: each packet one binary message, a map of
//! `type`, `nsp`, `data` and `id`.
//!
//! Source: `socket.io-msgpack-parser` 3. The gateway keeps events as JSON text
//! with attachments, so packets are transcoded in both directions; that needs
//! the value tree, which is why `rmpv` serves here.

use std::collections::VecDeque;

use bytes::Bytes;
use rmpv::Value as Packed;
use serde_json::{Map, Number, Value};

use super::body::{placeholder, placeholder_number};

/// Packet types.
pub const CONNECT: u8 = 0;
pub const DISCONNECT: u8 = 1;
pub const EVENT: u8 = 2;
pub const ACK: u8 = 3;
pub const CONNECT_ERROR: u8 = 4;

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 128;

/// A packet of this type; `json` is its data, in which placeholders stand for
/// `attachments`. JSON that does not parse is written as nil (it was checked
/// where it came in).
pub fn encode(kind: u8, namespace: &str, json: Option<&[u8]>, attachments: &[Bytes], id: Option<u64>) -> Vec<u8> {
    let mut map = vec![("type".into(), kind.into()), ("nsp".into(), namespace.into())];
    if let Some(json) = json {
        let value = serde_json::from_slice(json).unwrap_or(Value::Null);
        map.push(("data".into(), pack(value, attachments)));
    }
    if let Some(id) = id {
        map.push(("id".into(), id.into()));
    }
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, &Packed::Map(map)).expect("a value is written to memory");
    out
}

/// A packet as it came.
#[derive(Debug, PartialEq)]
pub struct Decoded {
    pub kind: u8,
    pub namespace: String,
    /// Binary parts are placeholders for `attachments`.
    pub data: Option<Value>,
    pub attachments: Vec<Bytes>,
    pub id: Option<u64>,
}

/// The bytes are no msgpack packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed msgpack packet")]
pub struct BadPacket;

/// Reads one packet; bytes after it are an error.
pub fn decode(bytes: &[u8]) -> Result<Decoded, BadPacket> {
    let mut rest = bytes;
    let value = rmpv::decode::read_value_with_max_depth(&mut rest, MAX_DEPTH).map_err(|_| BadPacket)?;
    let Packed::Map(entries) = value else { return Err(BadPacket) };
    if !rest.is_empty() {
        return Err(BadPacket);
    }
    let mut attachments = VecDeque::new();
    let (mut kind, mut namespace, mut data, mut id) = (None, None, None, None);
    for (key, value) in entries {
        match key.as_str() {
            Some("type") => kind = value.as_u64().and_then(|n| u8::try_from(n).ok()),
            Some("nsp") => namespace = value.as_str().map(str::to_owned),
            // an absent payload is written as nil or as `undefined`, which is an extension
            Some("data") if data.is_some() => return Err(BadPacket),
            Some("data") => data = Some(unpack(value, &mut attachments)?).filter(|data| !data.is_null()),
            Some("id") => id = value.as_u64(),
            _ => {}
        }
    }
    Ok(Decoded {
        kind: kind.ok_or(BadPacket)?,
        namespace: namespace.ok_or(BadPacket)?,
        data,
        attachments: attachments.into(),
        id,
    })
}

fn pack(value: Value, attachments: &[Bytes]) -> Packed {
    if let Some(attachment) = placeholder_number(&value).and_then(|n| attachments.get(n)) {
        return Packed::Binary(attachment.to_vec());
    }
    match value {
        Value::Null => Packed::Nil,
        Value::Bool(value) => value.into(),
        Value::Number(number) => pack_number(&number),
        Value::String(text) => text.into(),
        Value::Array(items) => Packed::Array(items.into_iter().map(|item| pack(item, attachments)).collect()),
        Value::Object(map) => {
            Packed::Map(map.into_iter().map(|(key, item)| (key.into(), pack(item, attachments))).collect())
        }
    }
}

fn pack_number(number: &Number) -> Packed {
    if let Some(n) = number.as_u64() {
        n.into()
    } else if let Some(n) = number.as_i64() {
        n.into()
    } else {
        number.as_f64().unwrap_or_default().into()
    }
}

fn unpack(value: Packed, attachments: &mut VecDeque<Bytes>) -> Result<Value, BadPacket> {
    Ok(match value {
        Packed::Nil => Value::Null,
        Packed::Boolean(value) => Value::Bool(value),
        Packed::Integer(n) => match (n.as_u64(), n.as_i64()) {
            (Some(n), _) => n.into(),
            (None, Some(n)) => n.into(),
            (None, None) => return Err(BadPacket),
        },
        Packed::F32(n) => f64::from(n).into(),
        Packed::F64(n) => n.into(),
        Packed::String(text) => Value::String(text.into_str().ok_or(BadPacket)?),
        Packed::Binary(data) => {
            attachments.push_back(data.into());
            placeholder(attachments.len() - 1)
        }
        Packed::Array(items) => {
            Value::Array(items.into_iter().map(|item| unpack(item, attachments)).collect::<Result<_, _>>()?)
        }
        Packed::Map(entries) => {
            let mut map = Map::new();
            for (key, item) in entries {
                let Packed::String(key) = key else { return Err(BadPacket) };
                // a key that comes twice would leave attachments that nothing stands for
                if map.insert(key.into_str().ok_or(BadPacket)?, unpack(item, attachments)?).is_some() {
                    return Err(BadPacket);
                }
            }
            Value::Object(map)
        }
        // dates and the like of the JavaScript library: JSON has no such value
        Packed::Ext(..) => Value::Null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packets_read_back() {
        let json = br#"["e",1,-2,1.5,"x",null,{"b":{"_placeholder":true,"num":0}}]"#;
        let attachments = [Bytes::from_static(&[1, 2])];
        let bytes = encode(EVENT, "/n", Some(json), &attachments, Some(9));
        let expected = Decoded {
            kind: EVENT,
            namespace: "/n".into(),
            data: Some(serde_json::from_slice(json).unwrap()),
            attachments: attachments.to_vec(),
            id: Some(9),
        };
        assert_eq!(decode(&bytes), Ok(expected));
    }

    #[test]
    fn an_undefined_payload_is_none() {
        // as notepack writes {type: 0, data: undefined, nsp: "/"}
        let bytes = b"\x83\xa4type\x00\xa4data\xd4\x00\x00\xa3nsp\xa1/";
        let packet = decode(bytes).unwrap();
        assert_eq!((packet.kind, packet.data), (CONNECT, None));
    }

    #[test]
    fn what_comes_twice_is_refused() {
        let data_twice = b"\x84\xa4type\x02\xa4data\x91\xa1a\xa4data\x91\xa1b\xa3nsp\xa1/";
        let key_twice = b"\x83\xa4type\x02\xa4data\x92\xa1a\x82\xa1k\x01\xa1k\x02\xa3nsp\xa1/";
        assert_eq!(decode(data_twice), Err(BadPacket));
        assert_eq!(decode(key_twice), Err(BadPacket));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let mut bytes = vec![0x91; 100_000];
        bytes.push(0xc0);
        assert_eq!(decode(&bytes), Err(BadPacket));
    }
}
