//! The Lua scripts, one file each.
//!
//! A script's text names the run of Redis that it was loaded into. So the
//! digest by which it is called is another after each restart, and a Redis
//! that was restarted or replaced answers `NOSCRIPT` rather than serve callers
//! that do not know of it: the check of the run costs nothing.

use sha1::{Digest, Sha1};

use crate::mutation::mutated;

/// The scripts by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Script {
    OpenEpoch,
    Publish,
    Tick,
    Head,
    Read,
    OpenSession,
    RestoreSession,
    TakeOver,
    Attach,
    ChangeRooms,
    Refresh,
    Detach,
    EndSession,
    Operate,
    Sweep,
    Presence,
    ClaimNotices,
    SettleNotices,
    Revoke,
    Take,
    Recent,
}

impl Script {
    pub const ALL: [Script; 21] = [
        Script::OpenEpoch,
        Script::Publish,
        Script::Tick,
        Script::Head,
        Script::Read,
        Script::OpenSession,
        Script::RestoreSession,
        Script::TakeOver,
        Script::Attach,
        Script::ChangeRooms,
        Script::Refresh,
        Script::Detach,
        Script::EndSession,
        Script::Operate,
        Script::Sweep,
        Script::Presence,
        Script::ClaimNotices,
        Script::SettleNotices,
        Script::Revoke,
        Script::Take,
        Script::Recent,
    ];

    /// For a metric: the name of its file.
    pub fn label(self) -> &'static str {
        match self {
            Script::OpenEpoch => "open_epoch",
            Script::Publish => "publish",
            Script::Tick => "tick",
            Script::Head => "head",
            Script::Read => "read",
            Script::OpenSession => "open_session",
            Script::RestoreSession => "restore_session",
            Script::TakeOver => "take_over",
            Script::Attach => "attach",
            Script::ChangeRooms => "change_rooms",
            Script::Refresh => "refresh",
            Script::Detach => "detach",
            Script::EndSession => "end_session",
            Script::Operate => "operate",
            Script::Sweep => "sweep",
            Script::Presence => "presence",
            Script::ClaimNotices => "claim_notices",
            Script::SettleNotices => "settle_notices",
            Script::Revoke => "revoke",
            Script::Take => "take",
            Script::Recent => "recent",
        }
    }

    /// What it is made of: parts that several begin with, and its own file.
    fn parts(self) -> (&'static [&'static str], &'static str) {
        const PRELUDE: &[&str] = &[include_str!("lua/prelude.lua")];
        const NOTICES: &[&str] = &[include_str!("lua/prelude.lua"), include_str!("lua/notices.lua")];
        const SESSIONS: &[&str] =
            &[include_str!("lua/prelude.lua"), include_str!("lua/notices.lua"), include_str!("lua/sessions.lua")];
        match self {
            Script::OpenEpoch => (&[], include_str!("lua/open_epoch.lua")),
            Script::Publish => (PRELUDE, include_str!("lua/publish.lua")),
            Script::Tick => (PRELUDE, include_str!("lua/tick.lua")),
            Script::Head => (PRELUDE, include_str!("lua/head.lua")),
            Script::Read => (PRELUDE, include_str!("lua/read.lua")),
            Script::OpenSession => (SESSIONS, include_str!("lua/open_session.lua")),
            Script::RestoreSession => (SESSIONS, include_str!("lua/restore_session.lua")),
            Script::TakeOver => (SESSIONS, include_str!("lua/take_over.lua")),
            Script::Attach => (SESSIONS, include_str!("lua/attach.lua")),
            Script::ChangeRooms => (SESSIONS, include_str!("lua/change_rooms.lua")),
            Script::Refresh => (SESSIONS, include_str!("lua/refresh.lua")),
            Script::Detach => (SESSIONS, include_str!("lua/detach.lua")),
            Script::EndSession => (SESSIONS, include_str!("lua/end_session.lua")),
            Script::Operate => (SESSIONS, include_str!("lua/operate.lua")),
            Script::Sweep => (SESSIONS, include_str!("lua/sweep.lua")),
            Script::Presence => (SESSIONS, include_str!("lua/presence.lua")),
            Script::ClaimNotices => (NOTICES, include_str!("lua/claim_notices.lua")),
            Script::SettleNotices => (NOTICES, include_str!("lua/settle_notices.lua")),
            Script::Revoke => (PRELUDE, include_str!("lua/revoke.lua")),
            Script::Take => (PRELUDE, include_str!("lua/take.lua")),
            Script::Recent => (PRELUDE, include_str!("lua/recent.lua")),
        }
    }

    /// Its text for a run of Redis.
    pub(crate) fn source(self, run: &str) -> String {
        let (before, own) = self.parts();
        let text = format!("-- run {run}\n{}{own}", before.concat());
        if mutated!(IgnoreSlot) {
            text.replace("if before == number", "if false")
        } else if mutated!(IgnoreFence) {
            text.replace("record.gen == generation", "true").replace("state[1] ~= ARGV[i + 1]", "false")
        } else if mutated!(ForgetEnd) {
            text.replace("  tell_gone(record, reason)\n", "")
        } else if mutated!(ForgetPresence) {
            text.replace("      count_presence(record, room, -1)\n", "")
        } else {
            text
        }
    }
}

/// The digests of all scripts for one run of Redis.
#[derive(Debug)]
pub(crate) struct Digests([String; Script::ALL.len()]);

impl Digests {
    pub(crate) fn of(run: &str) -> Self {
        Digests(Script::ALL.map(|script| hex::encode(Sha1::digest(script.source(run)))))
    }

    pub(crate) fn get(&self, script: Script) -> &str {
        &self.0[script as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_has_its_place() {
        for (index, script) in Script::ALL.into_iter().enumerate() {
            assert_eq!(script as usize, index);
            assert_ne!(Digests::of("a").get(script), Digests::of("b").get(script));
        }
    }
}
