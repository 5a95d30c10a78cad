//! CONNECT and DISCONNECT of Socket.IO protocols 4 and 3: their namespace may
//! end in a query, and in a comma or not.

use crate::protocol::packet::{BadPacket, Content, Hello, Packet};

/// Bytes of a query; some servers on the way take no longer ones either.
const MAX_QUERY: usize = 8 * 1024;

/// Reads them; `None` for any other packet, which is as new ones are.
pub(in crate::protocol) fn decode(text: &str) -> Option<Result<Packet, BadPacket>> {
    let (kind, rest) = (text.as_bytes().first()?, text.get(1..)?);
    let content: fn(Hello) -> Content = match kind {
        b'0' => Content::Connect,
        b'1' => |_| Content::Disconnect,
        _ => return None,
    };
    let namespace = rest.strip_suffix(',').unwrap_or(rest);
    let (name, query) = namespace.split_once('?').unwrap_or((namespace, ""));
    let name = if name.is_empty() { "/" } else { name };
    if !name.starts_with('/') || namespace.contains(',') || query.len() > MAX_QUERY {
        return Some(Err(BadPacket));
    }
    let hello = if query.is_empty() { Hello::Nothing } else { Hello::Query(query.into()) };
    Some(Ok(Packet { namespace: name.to_owned(), content: content(hello) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_read_in_every_writing() {
        let connect =
            |query: &str| Content::Connect(if query.is_empty() { Hello::Nothing } else { Hello::Query(query.into()) });
        for (text, namespace, content) in [
            ("0", "/", connect("")),
            ("0/", "/", connect("")),
            ("0/chat", "/chat", connect("")),
            ("0/chat,", "/chat", connect("")),
            ("0/chat?token=a%2Cb&x=", "/chat", connect("token=a%2Cb&x=")),
            ("0/chat?token=1,", "/chat", connect("token=1")),
            ("0/?x=1", "/", connect("x=1")),
            ("0?x=1", "/", connect("x=1")),
            ("1", "/", Content::Disconnect),
            ("1/chat", "/chat", Content::Disconnect),
            ("1/chat,", "/chat", Content::Disconnect),
            ("1/chat?x=1", "/chat", Content::Disconnect),
        ] {
            assert_eq!(decode(text), Some(Ok(Packet { namespace: namespace.into(), content })), "{text}");
        }
        for text in ["0x", "0{}", "0/chat,{}", "1x", "0,/x"] {
            assert_eq!(decode(text), Some(Err(BadPacket)), "{text}");
        }
        let long = format!("0/x?{}", "x".repeat(MAX_QUERY + 1));
        assert_eq!(decode(&long), Some(Err(BadPacket)));
        for text in ["2[\"e\"]", "", "x"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
