//! HTTP long-polling payloads of Engine.IO 4: packets joined by `0x1e`.

use bytes::{Bytes, BytesMut};

use super::engine::{self, BadPacket, Inbound};

/// Stands between the packets of a payload.
pub const SEPARATOR: u8 = 0x1e;

/// Most packets taken from one POST.
pub const MAX_PACKETS: usize = 10_000;

/// The packets of a request body, in order.
pub fn split(body: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    let mut rest = Some(0);
    std::iter::from_fn(move || {
        let start = rest?;
        let end = body[start..].iter().position(|b| *b == SEPARATOR).map(|n| start + n);
        rest = end.map(|end| end + 1);
        Some(body.slice(start..end.unwrap_or(body.len())))
    })
}

/// What the packets of a request body say, in order.
pub fn read(body: &Bytes) -> impl Iterator<Item = Result<Inbound, BadPacket>> + '_ {
    split(body).map(|packet| {
        let text = String::from_utf8(packet.into()).map_err(|_| BadPacket)?;
        engine::decode_new(text.into())
    })
}

/// A response body of these packets.
pub fn join(packets: impl IntoIterator<Item = Bytes>) -> Bytes {
    let mut packets = packets.into_iter();
    let Some(first) = packets.next() else { return Bytes::new() };
    let Some(second) = packets.next() else { return first };
    let mut out = BytesMut::from(first);
    for packet in std::iter::once(second).chain(packets) {
        out.extend_from_slice(&[SEPARATOR]);
        out.extend_from_slice(&packet);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_joined_splits_again(texts in proptest::collection::vec("[a-z]{0,5}", 1..10)) {
            let packets: Vec<Bytes> = texts.into_iter().map(Bytes::from).collect();
            let body = join(packets.clone());
            prop_assert_eq!(split(&body).collect::<Vec<_>>(), packets);
        }
    }
}
