//! Which epoch an id is of.

use crate::place::{Epoch, Id, Place};

/// The present epoch, as this node knows it, and the one before.
///
/// Ids never fall: a node begins an epoch beyond the last id that it knows. So
/// an id alone tells its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    current: Epoch,
    /// The first id of the current epoch.
    start: Id,
    /// Ids up to here that this node holds are of the epoch before: what it
    /// had reached when it learned of the current one.
    floor: Id,
    previous: Option<Epoch>,
}

impl Epochs {
    /// Before any is known.
    pub(crate) fn unknown() -> Self {
        Epochs { current: Epoch::random(), start: Id::ZERO, floor: Id::ZERO, previous: None }
    }

    /// The same, when a node that has reached `position` finds this epoch.
    pub(crate) fn next(self, current: Epoch, start: Id, position: Id) -> Self {
        if current == self.current {
            return self;
        }
        let previous = (self.start > Id::ZERO).then_some(self.current);
        Epochs { current, start, floor: position, previous }
    }

    pub fn current(&self) -> Epoch {
        self.current
    }

    /// All of the current epoch comes after this.
    pub fn before_start(&self) -> Id {
        Id(self.start.0.saturating_sub(1))
    }

    /// The current epoch began before ids that this node has reached: what it
    /// holds and what comes cannot be put in one order.
    pub fn is_entangled(&self) -> bool {
        self.floor >= self.start
    }

    /// No other was known before.
    pub(crate) fn is_first(&self) -> bool {
        self.previous.is_none()
    }

    /// The same, when nothing from before it is held any more.
    pub(crate) fn anew(self) -> Self {
        Epochs { floor: Id::ZERO, ..self }
    }

    /// The epoch of an id that this node holds.
    pub fn place(&self, id: Id) -> Place {
        let is_current = id > self.floor && id >= self.start;
        let epoch = if is_current { self.current } else { self.previous.unwrap_or(self.current) };
        Place { epoch, id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_epoch() {
        let [a, b] = [Epoch::random(), Epoch::random()];
        let epochs = Epochs::unknown().next(a, Id::new(10, 0), Id::ZERO);
        assert!(epochs.is_first());
        assert_eq!(epochs.place(Id::new(9, 0)).epoch, a, "nothing else is known");
        assert_eq!(epochs.next(a, Id::new(20, 0), Id::new(15, 0)), epochs, "the same epoch");
        let epochs = epochs.next(b, Id::new(20, 0), Id::new(15, 0));
        assert!(!epochs.is_entangled() && !epochs.is_first());
        assert_eq!(epochs.place(Id::new(15, 0)).epoch, a);
        assert_eq!(epochs.place(Id::new(20, 0)).epoch, b);
        assert_eq!(epochs.before_start().ms(), 19);
        let epochs = epochs.next(a, Id::new(21, 0), Id::new(30, 0));
        assert!(epochs.is_entangled());
        assert_eq!(epochs.place(Id::new(25, 0)).epoch, b, "the node holds it since before");
        assert_eq!(epochs.place(Id::new(31, 0)).epoch, a);
        assert_eq!(epochs.anew().place(Id::new(25, 0)).epoch, a, "it has let go of that");
    }
}
