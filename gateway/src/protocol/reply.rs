//! The packets with which the server answers one client.

use bytes::Bytes;
use serde_json::{Value, json};

use super::frames::{Format, base64_packet, write_namespace};
use super::legacy::escape;
use super::msgpack;
use super::websocket::{self, Opcode};

/// A packet for one connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply<'a> {
    /// The namespace is joined. `pid` only where recovery is on.
    Connected { sid: &'a str, pid: Option<&'a str> },
    /// The namespace is refused: `{message}` or `{message,data}`.
    Refused { message: &'a str, data: Option<Value> },
    /// The namespace is left by the server.
    Disconnected,
}

impl Reply<'_> {
    /// As a connection of this format is sent it.
    pub fn encode(&self, namespace: &str, format: Format) -> Bytes {
        let (kind, data) = self.parts();
        let data = data.map(|data| data.to_string());
        let mut packet = Vec::with_capacity(100);
        match format {
            Format::JsonWebSocket | Format::JsonPolling => {
                packet.extend([b'4', b'0' + kind]);
                write_namespace(&mut packet, namespace);
                packet.extend_from_slice(data.unwrap_or_default().as_bytes());
            }
            // an id is told to nobody there, and an error is text
            Format::Legacy(_) => {
                packet.extend([b'4', b'0' + kind]);
                write_namespace(&mut packet, namespace);
                if let Reply::Refused { message, .. } = self {
                    escape(&mut packet, &Value::from(*message).to_string());
                }
            }
            Format::MsgpackWebSocket | Format::MsgpackPolling => {
                packet = msgpack::encode(kind, namespace, data.as_deref().map(str::as_bytes), &[], None);
            }
        }
        match format {
            Format::JsonWebSocket => websocket::frame(Opcode::Text, &packet),
            Format::JsonPolling => packet.into(),
            Format::MsgpackWebSocket => websocket::frame(Opcode::Binary, &packet),
            Format::MsgpackPolling => base64_packet(&packet),
            Format::Legacy(form) => form.encode(&packet, &[]),
        }
    }

    fn parts(&self) -> (u8, Option<Value>) {
        match self {
            Reply::Connected { sid, pid: None } => (msgpack::CONNECT, Some(json!({ "sid": sid }))),
            Reply::Connected { sid, pid: Some(pid) } => (msgpack::CONNECT, Some(json!({ "sid": sid, "pid": pid }))),
            Reply::Refused { message, data: None } => (msgpack::CONNECT_ERROR, Some(json!({ "message": message }))),
            Reply::Refused { message, data: Some(data) } => {
                (msgpack::CONNECT_ERROR, Some(json!({ "message": message, "data": data })))
            }
            Reply::Disconnected => (msgpack::DISCONNECT, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::legacy::Form;

    #[test]
    fn replies_are_written_as_the_reference_writes_them() {
        let connected = Reply::Connected { sid: "s", pid: Some("p") };
        let refused = Reply::Refused { message: "Invalid namespace", data: None };
        for (reply, namespace, expected) in [
            (&connected, "/", r#"40{"sid":"s","pid":"p"}"#),
            (&connected, "/x", r#"40/x,{"sid":"s","pid":"p"}"#),
            (&Reply::Connected { sid: "s", pid: None }, "/", r#"40{"sid":"s"}"#),
            (&refused, "/random", r#"44/random,{"message":"Invalid namespace"}"#),
            (&Reply::Disconnected, "/", "41"),
            (&Reply::Disconnected, "/x", "41/x,"),
        ] {
            assert_eq!(reply.encode(namespace, Format::JsonPolling), expected);
        }
    }

    #[test]
    fn old_clients_are_answered_as_they_expect() {
        let refused = Reply::Refused { message: "no \u{4f60}", data: Some(json!(1)) };
        for (reply, namespace, expected) in [
            (&Reply::Connected { sid: "s", pid: Some("p") }, "/", "2:40"),
            (&Reply::Connected { sid: "s", pid: None }, "/x", "5:40/x,"),
            (&refused, "/", r#"13:44"no \u4f60""#),
            (&refused, "/x", r#"16:44/x,"no \u4f60""#),
            (&Reply::Disconnected, "/", "2:41"),
            (&Reply::Disconnected, "/x", "5:41/x,"),
        ] {
            assert_eq!(reply.encode(namespace, Format::Legacy(Form::TextPayload)), expected);
        }
    }
}
