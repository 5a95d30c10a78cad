//! Ways to break the core on purpose, so that tests show that they would
//! notice.

use std::cell::Cell;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutation {
    /// Live messages are sent while the cut is being made.
    SkipHold,
    /// The log is read up to a position from before the rooms were heard.
    ReadBeforeConfirmation,
    /// A room is read from the client's offset, though it was joined later.
    DropSince,
    /// A frame of the worker's own ends in the worker's position while the
    /// socket is still behind it.
    WorkerPositionWhileReplaying,
    /// What was held is sent without regard to what was replayed.
    ReleaseAll,
    /// A hold buffer that overflowed is released as if it were whole.
    ForgetOverflow,
    /// `except` is judged by the rooms of now.
    ExceptByPresentRooms,
    /// A room being left is live until its session has been written.
    LeaveWithoutHold,
    /// After a join that may have been written, what was held is sent.
    ReleaseInDoubt,
    /// A room is left without waiting for what was published before.
    LeaveAtOnce,
    /// A live socket's position is its worker's, though it was replayed more.
    ForgetReplayed,
    /// `except` is judged while a room that decides is not confirmed.
    GuessExcept,
    /// A message to several rooms comes by way of each.
    OncePerRoom,
    /// Rooms that were left are not read.
    ForgetPastStays,
    /// What the client shows is not believed.
    IgnoreOffset,
    /// What was missed is read up to one position, and the cut fixed at a later one.
    CutAfterRead,
    /// An offset of any epoch is taken for one of the present.
    IgnoreEpoch,
}

impl Mutation {
    pub(crate) const ALL: [Mutation; 17] = [
        Mutation::SkipHold,
        Mutation::ReadBeforeConfirmation,
        Mutation::DropSince,
        Mutation::WorkerPositionWhileReplaying,
        Mutation::ReleaseAll,
        Mutation::ForgetOverflow,
        Mutation::ExceptByPresentRooms,
        Mutation::LeaveWithoutHold,
        Mutation::ReleaseInDoubt,
        Mutation::LeaveAtOnce,
        Mutation::ForgetReplayed,
        Mutation::GuessExcept,
        Mutation::OncePerRoom,
        Mutation::ForgetPastStays,
        Mutation::IgnoreOffset,
        Mutation::CutAfterRead,
        Mutation::IgnoreEpoch,
    ];
}

thread_local! {
    static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
}

pub(crate) fn is(mutation: Mutation) -> bool {
    ACTIVE.get() == Some(mutation)
}

/// Runs `test` with the core broken.
pub(crate) fn with<T>(mutation: Option<Mutation>, test: impl FnOnce() -> T) -> T {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            ACTIVE.set(None);
        }
    }
    ACTIVE.set(mutation);
    let _restore = Restore;
    test()
}
