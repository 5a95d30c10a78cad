//! The backend's side: publishes a run through the gateway's HTTP API, from threads of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use carillon_bench::control::{HttpPublish, LoadReply, Run, Target};
use carillon_bench::message;
use carillon_bench::publisher::{Due, Numbering};

use crate::http::HttpClient;
use crate::swarm::{Inbox, Input};

/// How long to wait before looking again whether the window is open.
const WINDOW_PAUSE: Duration = Duration::from_micros(100);
/// Without any delivery for so long, a closed window is a failure.
const STALLED: Duration = Duration::from_secs(5);

/// How far deliveries have come since the run began.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    received: Arc<AtomicU64>,
    base: u64,
    members: u64,
}

impl Progress {
    pub(crate) fn new(received: Arc<AtomicU64>, members: u64) -> Self {
        let base = received.load(Ordering::Acquire);
        Self { received, base, members }
    }

    /// Waits until at most `window` of `published` messages are not delivered to everybody.
    fn wait(&self, published: u64, window: u32) -> Result<()> {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let received = self.received.load(Ordering::Acquire) - self.base;
            if published <= received / self.members + u64::from(window) {
                return Ok(());
            }
            if received != last {
                (last, since) = (received, Instant::now());
            } else if since.elapsed() > STALLED {
                bail!("no delivery for {STALLED:?}");
            }
            std::thread::sleep(WINDOW_PAUSE);
        }
    }
}

/// Publishes a run on threads of its own; the answer goes to the event loop.
pub(crate) fn start(run: Run, http: HttpPublish, progress: Progress, numbering: Arc<Mutex<Numbering>>, inbox: Inbox) {
    std::thread::spawn(move || {
        let start = Instant::now();
        let parts = http.connections.clamp(1, run.rooms.max(1));
        let outcomes: Vec<Result<u64>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..parts)
                .map(|part| {
                    let (run, http, progress, numbering) = (&run, &http, &progress, &numbering);
                    scope.spawn(move || Part { run, http, part, parts, numbering, cursor: 0 }.publish(start, progress))
                })
                .collect();
            let ended = |_| Err(anyhow::anyhow!("a publisher panicked"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(ended)).collect()
        });
        let reply = match outcomes.into_iter().sum::<Result<u64>>() {
            Ok(messages) => LoadReply::Published { messages, seconds: start.elapsed().as_secs_f64() },
            Err(error) => LoadReply::Failed { error: format!("{error:#}") },
        };
        inbox.send(Input::Published(reply));
    });
}

/// One connection's part of a run: every `parts`-th tick, every `parts`-th room.
struct Part<'a> {
    run: &'a Run,
    http: &'a HttpPublish,
    part: u32,
    parts: u32,
    numbering: &'a Mutex<Numbering>,
    cursor: u32,
}

impl Part<'_> {
    fn publish(mut self, start: Instant, progress: &Progress) -> Result<u64> {
        let mut client = HttpClient::connect(&self.http.address)?;
        let pad = message::pad(self.run.bytes);
        let end = start + Duration::from_secs_f64(self.run.seconds);
        let mut published = 0;
        let mut tick = u64::from(self.part);
        while self.http.window.is_some() || tick < self.run.ticks() {
            match self.http.window {
                Some(window) => progress.wait(published, window)?,
                None => sleep_until(start + Duration::from_secs_f64(self.run.due(tick))),
            }
            if self.http.window.is_some() && Instant::now() >= end {
                break;
            }
            let mut left = self.run.burst;
            while left > 0 {
                let items = left.min(self.http.batch.max(1));
                self.request(&mut client, items, &pad)?;
                left -= items;
            }
            published += u64::from(self.run.burst);
            tick += u64::from(self.parts);
        }
        Ok(published)
    }

    fn request(&mut self, client: &mut HttpClient, items: u32, pad: &str) -> Result<()> {
        let bodies: Vec<String> = (0..items).map(|_| item(&self.next(), pad)).collect();
        let answer = if self.http.batch <= 1 {
            client.post("/v1/publish", &bodies.concat())?
        } else {
            client.post("/v1/publish/batch", &format!(r#"{{"items":[{}]}}"#, bodies.join(",")))?
        };
        let logged = answer.matches(r#""logged":true"#).count();
        if logged != items as usize {
            bail!("{logged} of {items} messages were accepted: {answer:.300}");
        }
        Ok(())
    }

    fn next(&mut self) -> Due {
        let room = match self.run.target {
            Target::Everyone => None,
            Target::Rooms => {
                let own = (self.run.rooms.max(1) - self.part).div_ceil(self.parts);
                let place = self.part + self.parts * (self.cursor % own);
                self.cursor += 1;
                Some(self.run.first_room + place)
            }
        };
        self.numbering.lock().unwrap_or_else(PoisonError::into_inner).number(room)
    }
}

fn item(due: &Due, pad: &str) -> String {
    let (room, event, number) = (due.room_name(), due.event(), message::digits(due.sequence));
    format!(r#"{{"target":{{"rooms":["{room}"]}},"event":"{event}","args":["{number}","{pad}"]}}"#)
}

fn sleep_until(due: Instant) {
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
}
