//! Recovered means complete: the pure core of it.
//!
//! Every change of what a socket hears (connecting, recovering, joining) is a
//! *cut*. Live messages for the socket are held back ([`Feed`]); once its rooms
//! are heard, a position is fixed; what lies before it comes from the log
//! ([`ranges`], [`merge()`]), what lies after it from what was held; then the
//! socket is live. The session drives it ([`crate::session`]), the shard of its
//! worker asks the feed about each message ([`crate::rooms`]).
//!
//! Invariants:
//! - A socket is sent each message of its rooms once, in the order of ids.
//! - An offset that a client holds is never beyond what it was sent: frames of
//!   the worker's own end in [`Feed::position`].
//! - What is held is bounded in bytes; beyond that the log is the buffer.
//!
//! Each test of the cut also runs with the core broken on purpose (`mutation`)
//! and must notice.

mod feed;
mod merge;
#[cfg(test)]
pub(crate) mod mutation;

pub use feed::{Feed, Foreseen, Released, Stay, Verdict};
pub use merge::{merge, ranges};

/// Whether the core is to be wrong in this way: never, outside tests.
macro_rules! mutated {
    ($mutation:ident) => {{
        #[cfg(test)]
        let wrong = $crate::recovery::mutation::is($crate::recovery::mutation::Mutation::$mutation);
        #[cfg(not(test))]
        let wrong = false;
        wrong
    }};
}
pub(crate) use mutated;
