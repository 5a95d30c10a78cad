//! What waits to be written to one connection.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;

/// Encoded packets in order, bounded in bytes by who fills it. Holds no
/// allocation while it is empty or has one packet.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    first: Bytes,
    rest: VecDeque<Bytes>,
    bytes: usize,
}

/// Packets for which room is made when a second one waits.
const RESERVE: usize = 16;

impl Outbound {
    /// Appends a packet; empty ones are nothing.
    pub(super) fn push(&mut self, packet: Bytes) {
        self.bytes += packet.len();
        if self.first.is_empty() {
            self.first = packet;
        } else {
            if self.rest.capacity() == 0 {
                self.rest.reserve(RESERVE);
            }
            self.rest.push_back(packet);
        }
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The bytes to write next: the only packet as it is, or several joined in
    /// `scratch`. Joining costs less than a vectored write: a copy of some
    /// hundred bytes against an entry that the kernel checks and copies.
    pub(super) fn next_write<'a>(&'a self, scratch: &'a mut [u8]) -> &'a [u8] {
        if self.rest.is_empty() || self.first.len() >= scratch.len() {
            return &self.first;
        }
        let mut end = 0;
        for packet in std::iter::once(&self.first).chain(&self.rest) {
            let Some(room) = scratch.get_mut(end..end + packet.len()) else { break };
            room.copy_from_slice(packet);
            end += packet.len();
        }
        &scratch[..end]
    }

    /// `written` bytes have left.
    pub(super) fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while written >= self.first.len() && !self.first.is_empty() {
            written -= self.first.len();
            self.first = self.rest.pop_front().unwrap_or_default();
        }
        if written > 0 {
            self.first.advance(written);
        }
        if self.rest.is_empty() && self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
    }

    /// Takes whole packets from the front, at most `max` bytes of them but at
    /// least one.
    pub(super) fn take(&mut self, max: usize) -> Vec<Bytes> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while !self.first.is_empty() && (taken.is_empty() || bytes + self.first.len() <= max) {
            bytes += self.first.len();
            let next = self.rest.pop_front().unwrap_or_default();
            taken.push(std::mem::replace(&mut self.first, next));
        }
        self.bytes -= bytes;
        if self.rest.is_empty() {
            self.rest = VecDeque::new();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_leave_in_order_however_they_are_written(
            packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..100),
            step in 1usize..40,
        ) {
            let mut outbound = Outbound::default();
            for packet in &packets {
                outbound.push(packet.clone().into());
            }
            let mut written = Vec::new();
            while !outbound.is_empty() {
                let mut scratch = [0; 50];
                let chunk: Vec<u8> = outbound.next_write(&mut scratch).iter().copied().take(step).collect();
                written.extend_from_slice(&chunk);
                outbound.advance(chunk.len());
            }
            prop_assert_eq!(written, packets.concat());
            prop_assert_eq!(outbound.bytes(), 0);
        }

        #[test]
        fn packets_are_taken_whole(
            packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..50),
            max in 1usize..100,
        ) {
            let mut outbound = Outbound::default();
            packets.iter().for_each(|packet| outbound.push(packet.clone().into()));
            let mut taken = Vec::new();
            while !outbound.is_empty() {
                let some = outbound.take(max);
                prop_assert!(some.len() == 1 || some.iter().map(Bytes::len).sum::<usize>() <= max);
                taken.extend(some);
            }
            prop_assert_eq!(taken, packets.into_iter().map(Bytes::from).collect::<Vec<_>>());
        }
    }
}
