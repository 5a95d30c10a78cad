//! CPU time and memory of a process, seen from outside.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::ClockId;
use nix::unistd::Pid;

/// CPU time of all threads of a process, living and ended, user and system, exact to the nanosecond (the scheduler's
/// own run time, not the 10 ms ticks of `/proc/<pid>/stat`).
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let pid = Pid::from_raw(i32::try_from(pid).context("process id out of range")?);
    let clock = ClockId::pid_cpu_clock_id(pid).with_context(|| format!("no CPU clock of process {pid}"))?;
    Ok(Duration::from(clock.now()?))
}

/// Resident memory of a process in bytes, counted page by page (`VmRSS` may lag behind by some pages per thread).
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("Rss:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok())
        .with_context(|| format!("no Rss in {path}"))?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_process() {
        let own = std::process::id();
        assert!(cpu_time(own).unwrap() > Duration::ZERO);
        assert!(resident_bytes(own).unwrap() > 100 * 1024);
    }
}
