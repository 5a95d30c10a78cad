//! Lost, doubled and out of order, from the sequence numbers of one stream of messages.

use carillon_bench::control::Counters;

/// At most so many missing numbers are remembered per stream, to tell "out of order" from "duplicate".
const REMEMBERED: usize = 4096;

/// What one client has seen of one stream.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    last: u32,
    missing: Vec<u32>,
}

impl Sequence {
    /// Counts one message.
    #[inline]
    pub(crate) fn on_message(&mut self, number: u32, counters: &mut Counters) {
        if number == self.last + 1 {
            self.last = number;
            counters.received += 1;
        } else {
            self.on_surprise(number, counters);
        }
    }

    #[cold]
    fn on_surprise(&mut self, number: u32, counters: &mut Counters) {
        if number > self.last {
            counters.lost += u64::from(number - self.last - 1);
            counters.received += 1;
            let room = REMEMBERED.saturating_sub(self.missing.len());
            self.missing.extend((self.last + 1..number).take(room));
            self.last = number;
        } else if let Some(place) = self.missing.iter().position(|missing| *missing == number) {
            self.missing.swap_remove(place);
            counters.lost -= 1;
            counters.out_of_order += 1;
            counters.received += 1;
        } else {
            counters.duplicate += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(numbers: &[u32]) -> Counters {
        let mut counters = Counters::default();
        let mut sequence = Sequence::default();
        for number in numbers {
            sequence.on_message(*number, &mut counters);
        }
        counters
    }

    #[test]
    fn tells_the_faults_apart() {
        assert_eq!(count(&[1, 2, 3]), Counters { received: 3, ..Counters::default() });
        assert_eq!(count(&[1, 4]), Counters { received: 2, lost: 2, ..Counters::default() });
        assert_eq!(count(&[1, 1]), Counters { received: 1, duplicate: 1, ..Counters::default() });
        assert_eq!(count(&[1, 3, 2]), Counters { received: 3, out_of_order: 1, ..Counters::default() });
        assert_eq!(count(&[2]), Counters { received: 1, lost: 1, ..Counters::default() });
    }
}
