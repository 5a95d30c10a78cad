//! `leash PARENT PROGRAM ARGS…`: becomes PROGRAM, which the kernel kills when the process PARENT ends, however it ends.
//!
//! Also raises the soft limit of open files to the hard one. The process id stays the same, so that the orchestrator
//! measures the program itself.

use std::os::unix::process::{CommandExt as _, parent_id};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let parent: u32 = arguments.next().and_then(|id| id.to_str()?.parse().ok()).context("first argument: parent id")?;
    let program = arguments.next().context("second argument: program")?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if parent_id() != parent {
        bail!("the parent ended before the leash was on");
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let error = Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", program.to_string_lossy()))
}
