//! Between packets of socketioxide's common parser and events.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use socketioxide_core::packet::{Packet, PacketData};
use socketioxide_core::{Str, Value};

use crate::Event;

/// Stands for binary data in acknowledgements, as the gateways write them.
const BINARY: &str = "$binary";

/// Stands for an attachment.
const PLACEHOLDER: &str = "_placeholder";

/// Name and arguments of an event, without brackets, and its attachments.
/// `None` for what is no event of the common parser.
pub(super) fn content(packet: Packet) -> Option<(Bytes, Vec<Bytes>)> {
    let (PacketData::Event(value, _) | PacketData::BinaryEvent(value, _)) = packet.inner else { return None };
    let Value::Str(text, attachments) = value else { return None };
    let text = Bytes::from(text);
    let inner = text.strip_prefix(b"[")?.strip_suffix(b"]")?;
    Some((text.slice_ref(inner), attachments.unwrap_or_default().into()))
}

/// The packet of an event; `None` when it is not UTF-8.
pub(super) fn packet(namespace: &Str, event: &Event) -> Option<Packet> {
    let elements = std::str::from_utf8(&event.elements).ok()?;
    Some(Packet::event(namespace.clone(), value(format!("[{elements}]"), event.attachments.iter().cloned().collect())))
}

fn value(array: String, attachments: VecDeque<Bytes>) -> Value {
    Value::Str(array.into(), (!attachments.is_empty()).then_some(attachments))
}

/// The arguments of an acknowledgement, with binary data inside; `None` for
/// what is none of the common parser.
pub(super) fn inline(answer: Value) -> Option<Box<RawValue>> {
    let Value::Str(text, attachments) = answer else { return None };
    let text = match attachments {
        Some(attachments) => {
            let mut args = serde_json::from_str(&text).ok()?;
            put_inside(&mut args, &attachments);
            args.to_string()
        }
        None => text.into(),
    };
    RawValue::from_string(text).ok()
}

/// The arguments of an acknowledgement, with attachments.
pub(super) fn attached(args: &RawValue) -> Value {
    let mut attachments = VecDeque::new();
    if args.get().contains(BINARY)
        && let Ok(mut args) = serde_json::from_str(args.get())
    {
        take_out(&mut args, &mut attachments);
        return value(args.to_string(), attachments);
    }
    value(args.get().to_owned(), attachments)
}

fn put_inside(json: &mut Json, attachments: &VecDeque<Bytes>) {
    match json {
        Json::Object(map) => {
            let number = map.get("num").filter(|_| map.get(PLACEHOLDER) == Some(&Json::Bool(true)));
            let number = number.and_then(Json::as_u64).and_then(|number| usize::try_from(number).ok());
            match number.and_then(|number| attachments.get(number)) {
                Some(data) => *json = json!({ BINARY: STANDARD.encode(data) }),
                None => map.values_mut().for_each(|json| put_inside(json, attachments)),
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|json| put_inside(json, attachments)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn take_out(json: &mut Json, attachments: &mut VecDeque<Bytes>) {
    match json {
        Json::Object(map) => {
            let data = map.get(BINARY).filter(|_| map.len() == 1).and_then(Json::as_str);
            match data.and_then(|data| STANDARD.decode(data).ok()) {
                Some(data) => {
                    *json = json!({ PLACEHOLDER: true, "num": attachments.len() });
                    attachments.push_back(data.into());
                }
                None => map.values_mut().for_each(|json| take_out(json, attachments)),
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|json| take_out(json, attachments)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(array: &str, attachments: &[&'static [u8]]) -> Value {
        value(array.to_owned(), attachments.iter().map(|data| Bytes::from_static(data)).collect())
    }

    #[test]
    fn events_map_both_ways() {
        for (array, attachments) in [
            (r#"["news"]"#, &[][..]),
            (r#"["нове",{"a":[1.50,"[]"]},null]"#, &[]),
            (r#"["file",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#, &[&b"\x00\xff"[..], b""]),
        ] {
            let original = Packet::event("/chat", common(array, attachments));
            let (elements, attachments) = content(original.clone()).unwrap();
            assert_eq!(format!("[{}]", std::str::from_utf8(&elements).unwrap()), array);
            let event = Event { elements, attachments, ..Event::default() };
            assert_eq!(packet(&Str::from("/chat"), &event), Some(original));
        }
    }

    #[test]
    fn what_is_no_event_of_the_common_parser_is_refused() {
        assert_eq!(content(Packet::event("/", Value::Bytes(Bytes::from_static(b"\x91")))), None);
        assert_eq!(content(Packet::event("/", common("{}", &[]))), None);
        assert_eq!(content(Packet::disconnect("/")), None);
        let event = Event { elements: Bytes::from_static(b"\"\xff\""), ..Event::default() };
        assert_eq!(packet(&Str::from("/"), &event), None);
    }

    #[test]
    fn acknowledgements_map_both_ways() {
        for (array, attachments, json) in [
            (r#"[1.50,{"b":1,"a":2}]"#, &[][..], r#"[1.50,{"b":1,"a":2}]"#),
            (r#"[{"f":{"_placeholder":true,"num":0}}]"#, &[&b"\x01\x02"[..]], r#"[{"f":{"$binary":"AQI="}}]"#),
        ] {
            let original = common(array, attachments);
            let args = inline(original.clone()).unwrap();
            assert_eq!(args.get(), json);
            assert_eq!(attached(&args), original);
        }
        assert!(inline(Value::Bytes(Bytes::new())).is_none());
        let text = RawValue::from_string(r#"["$binary",{"$binary":"?"}]"#.into()).unwrap();
        assert_eq!(attached(&text), common(r#"["$binary",{"$binary":"?"}]"#, &[]));
    }
}
