//! Ways to break the library on purpose, so that tests of the protocol show
//! that they would notice. Only with the feature `mutations`.

#[cfg(feature = "mutations")]
use std::cell::Cell;

/// One of them.
#[cfg(feature = "mutations")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// After a lost connection nothing is read from the log.
    SkipCatchUp,
    /// The log is read from where it ends, not from where the node stands.
    CatchUpFromNow,
    /// What the inbox dropped is not read from the log.
    ForgetOverflow,
    /// A read answers what an earlier one of the same rooms has found.
    ReuseRead,
    /// A publish in doubt is sent again as another.
    RetryAnew,
    /// The script does not look what its caller has sent before.
    IgnoreSlot,
    /// Keys of publishers are not sent.
    IgnoreKey,
    /// Who had a session before writes to it as if it were the owner.
    IgnoreFence,
    /// Rooms are left though they have members.
    DropWanted,
    /// What a session's owner was not told of stays undone.
    IgnoreWaiting,
    /// That a session has ended is not told.
    ForgetEnd,
    /// Who leaves with the end of the session is still counted as present.
    ForgetPresence,
}

#[cfg(feature = "mutations")]
impl Mutation {
    pub const ALL: [Mutation; 12] = [
        Mutation::SkipCatchUp,
        Mutation::CatchUpFromNow,
        Mutation::ForgetOverflow,
        Mutation::ReuseRead,
        Mutation::RetryAnew,
        Mutation::IgnoreSlot,
        Mutation::IgnoreKey,
        Mutation::IgnoreFence,
        Mutation::DropWanted,
        Mutation::IgnoreWaiting,
        Mutation::ForgetEnd,
        Mutation::ForgetPresence,
    ];
}

#[cfg(feature = "mutations")]
thread_local! {
    static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
}

#[cfg(feature = "mutations")]
pub fn is(mutation: Mutation) -> bool {
    ACTIVE.get() == Some(mutation)
}

/// Runs `test` on this thread with the library broken.
#[cfg(feature = "mutations")]
pub fn with<T>(mutation: Mutation, test: impl FnOnce() -> T) -> T {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            ACTIVE.set(None);
        }
    }
    ACTIVE.set(Some(mutation));
    let _restore = Restore;
    test()
}

/// Whether the library is to be wrong in this way: never without the feature.
macro_rules! mutated {
    ($mutation:ident) => {{
        #[cfg(feature = "mutations")]
        let wrong = $crate::mutation::is($crate::mutation::Mutation::$mutation);
        #[cfg(not(feature = "mutations"))]
        let wrong = false;
        wrong
    }};
}
pub(crate) use mutated;
