//! Which epoch an id is of, and how far this node has come in it.

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
    /// Ids up to here that this node holds are of the epoch before: the last
    /// that it or a client of it knew when it learned of the current one.
    floor: Id,
    previous: Option<Epoch>,
}

impl Epochs {
    /// Before any is known.
    pub(crate) fn unknown() -> Self {
        Epochs { current: Epoch::random(), start: Id::ZERO, floor: Id::ZERO, previous: None }
    }

    /// The same, when a node that knows of ids up to `known` finds this epoch.
    fn next(self, current: Epoch, start: Id, known: Id) -> Self {
        if current == self.current {
            return self;
        }
        let previous = (self.start > Id::ZERO).then_some(self.current);
        Epochs { current, start, floor: self.floor.max(known), previous }
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
    fn anew(self) -> Self {
        Epochs { floor: Id::ZERO, ..self }
    }

    /// The epoch of an id that this node holds.
    pub fn place(&self, id: Id) -> Place {
        let is_current = id > self.floor && id >= self.start;
        let epoch = if is_current { self.current } else { self.previous.unwrap_or(self.current) };
        Place { epoch, id }
    }
}

/// How far a node has come, and in which epoch. Both change together: while an
/// epoch is looked up, what is of the one before may still be handed out.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) epochs: Epochs,
    /// The last id that was handed out.
    pub(crate) position: Id,
    /// The last id of the current epoch that a cut was made at: some client's
    /// position may be beyond the node's.
    cut: Id,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Progress { epochs: Epochs::unknown(), position: Id::ZERO, cut: Id::ZERO }
    }

    /// The last id that is known here. A new epoch has to begin after it.
    pub(crate) fn known(&self) -> Id {
        self.position.max(self.cut)
    }

    /// This place is handed out. False when its epoch is over: then it must not
    /// be.
    pub(crate) fn reach(&mut self, place: Place) -> bool {
        let is_current = place.epoch == self.epochs.current;
        if is_current {
            self.position = self.position.max(place.id);
        }
        is_current
    }

    /// A cut is made at this place. False when its epoch is over, or what came
    /// before it is still to be handed out: then there is none.
    pub(crate) fn cut(&mut self, place: Place) -> bool {
        let is_current = place.epoch == self.epochs.current && !self.epochs.is_entangled();
        if is_current {
            self.cut = self.cut.max(place.id);
        }
        is_current
    }

    /// This is the epoch now. `known`: the last id that is known here.
    pub(crate) fn find(&mut self, current: Epoch, start: Id, known: Id) {
        if current != self.epochs.current {
            self.epochs = self.epochs.next(current, start, known);
            self.cut = Id::ZERO;
        }
    }

    /// Nothing from before this epoch is held here any more, if it is still the
    /// current one.
    pub(crate) fn begin_anew(&mut self, epoch: Epoch) {
        if epoch == self.epochs.current {
            self.epochs = self.epochs.anew();
            self.position = self.epochs.before_start();
        }
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

    #[test]
    fn all_that_is_known_is_of_the_epoch_before() {
        let [a, b, c] = [Epoch::random(), Epoch::random(), Epoch::random()];
        let at = |epoch, ms| Place { epoch, id: Id::new(ms, 0) };
        let mut progress = Progress::new();
        progress.find(a, Id::new(10, 0), progress.known());
        assert!(progress.reach(at(a, 20)) && progress.cut(at(a, 30)), "a client came, the bus is behind");
        progress.find(b, Id::new(31, 0), progress.known());
        assert!(!progress.epochs.is_entangled());
        assert_eq!(progress.epochs.place(Id::new(30, 0)).epoch, a);
        assert!(!progress.reach(at(a, 40)) && !progress.cut(at(a, 40)), "it comes too late");
        assert_eq!(progress.position, Id::new(20, 0));
        progress.find(c, Id::new(25, 0), progress.known());
        assert!(progress.epochs.is_entangled(), "the client's position is beyond the beginning");
        progress.begin_anew(b);
        assert!(progress.epochs.is_entangled(), "of an epoch that is over");
        progress.begin_anew(c);
        assert!(!progress.epochs.is_entangled());
        assert!(progress.reach(at(c, 26)));
        assert_eq!(progress.epochs.place(progress.position).epoch, c);
    }
}
