//! What waits to be written to one connection.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Encoded packets in order, bounded in bytes by who fills it. Holds no
/// allocation while it is empty or has one packet.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    first: Bytes,
    rest: VecDeque<Bytes>,
    bytes: usize,
}

/// Most packets joined in one write.
pub(super) const MAX_SLICES: usize = 64;

impl Outbound {
    /// Appends a packet; empty ones are nothing.
    pub(super) fn push(&mut self, packet: Bytes) {
        self.bytes += packet.len();
        if self.first.is_empty() {
            self.first = packet;
        } else {
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

    /// The packets to write next.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        slices[0] = IoSlice::new(&self.first);
        let mut count = 1;
        for (slice, packet) in slices[1..].iter_mut().zip(&self.rest) {
            *slice = IoSlice::new(packet);
            count += 1;
        }
        count
    }

    pub(super) fn first(&self) -> &Bytes {
        &self.first
    }

    /// Whether exactly one packet waits.
    pub(super) fn is_single(&self) -> bool {
        self.rest.is_empty()
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
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let count = outbound.slices(&mut slices);
                let chunk: Vec<u8> = slices[..count].iter().flat_map(|s| s.iter().copied()).take(step).collect();
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
