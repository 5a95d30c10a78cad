//! The content of an event, before it has a place in the order.

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// An event's name and arguments as JSON text, with binary parts set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The elements of the event array without its brackets:
    /// `"name",arg,arg`. Valid JSON between brackets.
    elements: Bytes,
    /// What the `{"_placeholder":true,"num":n}` in `elements` stand for.
    attachments: Vec<Bytes>,
}

/// Why arguments cannot become an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    #[error("the event name `{0}` is reserved")]
    ReservedName(String),
    #[error("the event name must not be empty")]
    EmptyName,
    #[error("`$binary` must be the only key and hold base64 text")]
    BadBinary,
    #[error("`_placeholder` cannot be used together with binary arguments")]
    Placeholder,
    #[error("at most {} binary arguments", Body::MAX_ATTACHMENTS)]
    TooManyAttachments,
    #[error("the arguments are not a JSON array that starts with an event name")]
    NotAnEvent,
}

/// Names that stock clients use for themselves; an event so named would be
/// taken for one of their own.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// The key of an argument that carries binary data as base64.
const BINARY_KEY: &str = "$binary";
const PLACEHOLDER_KEY: &str = "_placeholder";

impl Body {
    /// Most binary arguments in one event.
    pub const MAX_ATTACHMENTS: usize = 64;

    /// From JSON arguments, as the publish API takes them: an object
    /// `{"$binary":"<base64>"}` anywhere in them is a binary argument.
    pub fn from_json(event: &str, args: &[&RawValue]) -> Result<Self, BadBody> {
        check_name(event)?;
        let mut elements = Vec::with_capacity(event.len() + 2 + args.iter().map(|a| a.get().len() + 1).sum::<usize>());
        write_string(&mut elements, event);
        let mut attachments = Vec::new();
        write_args(&mut elements, &mut attachments, args)?;
        Ok(Body { elements: elements.into(), attachments })
    }

    /// The arguments of an acknowledgement, in the same way: `arg,arg` as JSON
    /// text, and its attachments.
    pub fn ack_from_json(args: &[&RawValue]) -> Result<(Bytes, Vec<Bytes>), BadBody> {
        let (mut elements, mut attachments) = (Vec::new(), Vec::new());
        write_args(&mut elements, &mut attachments, args)?;
        Ok((elements.into(), attachments))
    }

    /// From values without binary parts.
    pub fn from_values(event: &str, args: &[Value]) -> Result<Self, BadBody> {
        check_name(event)?;
        let mut elements = Vec::new();
        write_string(&mut elements, event);
        for arg in args {
            elements.push(b',');
            write_value(&mut elements, arg);
        }
        Ok(Body { elements: elements.into(), attachments: Vec::new() })
    }

    /// From arguments that a client sent, as JSON text each, under `event`.
    /// Placeholders in them refer to `attachments`, as they came.
    pub fn from_client<'a>(
        event: &str,
        args: impl Iterator<Item = &'a str>,
        attachments: Vec<Bytes>,
    ) -> Result<Self, BadBody> {
        check_name(event)?;
        let mut elements = Vec::new();
        write_string(&mut elements, event);
        for arg in args {
            elements.push(b',');
            elements.extend_from_slice(arg.as_bytes());
        }
        Ok(Body { elements: elements.into(), attachments })
    }

    /// From the stored form (see [`Self::elements`]), which is trusted.
    pub fn from_parts(elements: Bytes, attachments: Vec<Bytes>) -> Self {
        Body { elements, attachments }
    }

    /// `"name",arg,arg` as JSON text.
    pub fn elements(&self) -> &Bytes {
        &self.elements
    }

    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.elements.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// Never: an event has at least its name.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }
}

/// Refuses the names that cannot be emitted.
pub(crate) fn check_name(event: &str) -> Result<(), BadBody> {
    if event.is_empty() {
        return Err(BadBody::EmptyName);
    }
    if RESERVED.contains(&event) {
        return Err(BadBody::ReservedName(event.to_owned()));
    }
    Ok(())
}

/// Appends the arguments to the elements before them, with binary parts set
/// aside.
fn write_args(elements: &mut Vec<u8>, attachments: &mut Vec<Bytes>, args: &[&RawValue]) -> Result<(), BadBody> {
    let binary = args.iter().any(|arg| arg.get().contains(BINARY_KEY));
    for arg in args {
        if !elements.is_empty() {
            elements.push(b',');
        }
        if binary {
            let mut value: Value = serde_json::from_str(arg.get()).map_err(|_| BadBody::NotAnEvent)?;
            extract_binary(&mut value, attachments)?;
            write_value(elements, &value);
        } else {
            elements.extend_from_slice(arg.get().as_bytes());
        }
    }
    Ok(())
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is written to memory");
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    serde_json::to_writer(out, value).expect("a JSON value is written to memory");
}

/// Replaces each `{"$binary":…}` in `value` by a placeholder.
fn extract_binary(value: &mut Value, attachments: &mut Vec<Bytes>) -> Result<(), BadBody> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| extract_binary(item, attachments)),
        Value::Object(map) => {
            if map.contains_key(PLACEHOLDER_KEY) {
                return Err(BadBody::Placeholder);
            }
            let Some(data) = map.get(BINARY_KEY) else {
                return map.values_mut().try_for_each(|item| extract_binary(item, attachments));
            };
            if map.len() != 1 {
                return Err(BadBody::BadBinary);
            }
            if attachments.len() == Body::MAX_ATTACHMENTS {
                return Err(BadBody::TooManyAttachments);
            }
            let data = data.as_str().and_then(|text| STANDARD.decode(text).ok()).ok_or(BadBody::BadBinary)?;
            *value = placeholder(attachments.len());
            attachments.push(data.into());
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// A JSON array of arguments in which `{"$binary":"<base64>"}` stands for each
/// attachment, as the publish API writes them.
pub fn to_api_json(args: &[String], attachments: &[Bytes]) -> String {
    let mut out = String::from("[");
    for (n, arg) in args.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        match serde_json::from_str(arg) {
            Ok(mut value) if !attachments.is_empty() => {
                insert_binary(&mut value, attachments);
                out.push_str(&value.to_string());
            }
            _ => out.push_str(arg),
        }
    }
    out.push(']');
    out
}

fn insert_binary(value: &mut Value, attachments: &[Bytes]) {
    if let Some(data) = placeholder_number(value).and_then(|n| attachments.get(n)) {
        *value = serde_json::json!({ BINARY_KEY: STANDARD.encode(data) });
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| insert_binary(item, attachments)),
        Value::Object(map) => map.values_mut().for_each(|item| insert_binary(item, attachments)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What stands in the JSON for the attachment `num`.
pub(crate) fn placeholder(num: usize) -> Value {
    serde_json::json!({ PLACEHOLDER_KEY: true, "num": num })
}

/// The attachment that `value` stands for, if it is a placeholder.
pub(crate) fn placeholder_number(value: &Value) -> Option<usize> {
    let map = value.as_object()?;
    (map.get(PLACEHOLDER_KEY)? == &Value::Bool(true))
        .then(|| map.get("num")?.as_u64().and_then(|n| usize::try_from(n).ok()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(json: &str) -> Vec<&RawValue> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn json_arguments_are_kept_as_written() {
        let body = Body::from_json("up\"date", &args(r#"[1, {"b":2,"a":1.50}, "é"]"#)).unwrap();
        assert_eq!(body.elements(), r#""up\"date",1,{"b":2,"a":1.50},"é""#);
        assert!(body.attachments().is_empty());
    }

    #[test]
    fn binary_arguments_become_attachments() {
        let body = Body::from_json("e", &args(r#"[{"f":{"$binary":"AQID"}},[{"$binary":""}]]"#)).unwrap();
        assert_eq!(body.elements(), r#""e",{"f":{"_placeholder":true,"num":0}},[{"_placeholder":true,"num":1}]"#);
        assert_eq!(body.attachments(), [Bytes::from_static(&[1, 2, 3]), Bytes::new()]);
    }

    #[test]
    fn acknowledgements_are_arguments_alone() {
        let acked = |json| Body::ack_from_json(&args(json)).unwrap();
        assert_eq!(acked("[]"), (Bytes::new(), Vec::new()));
        assert_eq!(acked(r#"[{"a":1.0},2]"#), (Bytes::from_static(br#"{"a":1.0},2"#), Vec::new()));
        let (elements, attachments) = acked(r#"[1,{"$binary":"AQID"}]"#);
        assert_eq!(elements, r#"1,{"_placeholder":true,"num":0}"#);
        assert_eq!(attachments, [Bytes::from_static(&[1, 2, 3])]);
    }

    #[test]
    fn bad_arguments_are_refused() {
        for (event, json, expected) in [
            ("", "[]", BadBody::EmptyName),
            ("connect", "[]", BadBody::ReservedName("connect".into())),
            ("e", r#"[{"$binary":"%%"}]"#, BadBody::BadBinary),
            ("e", r#"[{"$binary":7}]"#, BadBody::BadBinary),
            ("e", r#"[{"$binary":"","x":1}]"#, BadBody::BadBinary),
            ("e", r#"[{"$binary":""},{"_placeholder":true,"num":9}]"#, BadBody::Placeholder),
        ] {
            assert_eq!(Body::from_json(event, &args(json)), Err(expected), "{json}");
        }
    }
}
