//! Child processes: started on a leash, spoken to in JSON lines, killed when dropped.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::Value;

/// A running child. Dropped, it is killed and reaped; should the orchestrator itself be killed, the leash does it.
#[derive(Debug)]
pub(crate) struct Leashed {
    name: String,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Leashed {
    /// Starts `command` by way of `leash`, which lies beside the orchestrator's own program.
    pub(crate) fn start(name: &str, command: &[String], environment: &BTreeMap<String, String>) -> Result<Self> {
        let leash = std::env::current_exe()?.with_file_name("leash");
        let mut child = Command::new(&leash)
            .arg(std::process::id().to_string())
            .args(command)
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name} by {}", leash.display()))?;
        let input = child.stdin.take().context("child without standard input")?;
        let output = child.stdout.take().context("child without standard output")?;
        let (sender, lines) = channel();
        // The thread also keeps a talkative child from blocking on a full pipe.
        std::thread::spawn(move || {
            let all = BufReader::new(output).lines().map_while(Result::ok);
            all.filter(|line| line.starts_with('{')).try_for_each(|line| sender.send(line))
        });
        Ok(Self { name: name.to_owned(), child, input, lines })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes one JSON line.
    pub(crate) fn send(&mut self, command: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.input.write_all(&line).with_context(|| format!("{} does not listen any more", self.name))
    }

    /// Reads JSON lines until `wanted` takes one.
    pub(crate) fn receive<T>(&mut self, timeout: Duration, wanted: impl Fn(Value) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(found) = serde_json::from_str(&line).ok().and_then(&wanted) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{} did not answer within {timeout:?}", self.name)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?;
                    bail!("{} ended: {status}", self.name)
                }
            }
        }
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        drop(self.child.kill());
        if let Err(error) = self.child.wait() {
            eprintln!("bench: cannot reap {}: {error}", self.name);
        }
    }
}
