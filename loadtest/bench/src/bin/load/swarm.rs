//! The event loop over all connections.

use std::io::Write as _;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use carillon_bench::control::{Counters, LoadCommand, LoadReply, Memory};
use carillon_bench::publisher::Numbering;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::client::{Client, State};
use crate::publish;

const BUFFER_BYTES: usize = 256 * 1024;
const EVENTS: usize = 4096;
const WAKE: Token = Token(usize::MAX);
/// At most so many connections are being set up at once, whatever the rate.
const SETTING_UP: usize = 256;
/// A set-up that takes this much longer than its rate says has failed.
const SET_UP_GRACE: Duration = Duration::from_secs(30);

/// What reaches the event loop from other threads.
#[derive(Debug)]
pub(crate) enum Input {
    Line(String),
    Published(LoadReply),
    /// Standard input is closed: the orchestrator has gone.
    End,
}

/// The way into the event loop.
#[derive(Debug, Clone)]
pub(crate) struct Inbox {
    sender: Sender<Input>,
    waker: Arc<Waker>,
}

impl Inbox {
    /// Hands something to the event loop; without effect once that has ended.
    pub(crate) fn send(&self, input: Input) {
        if self.sender.send(input).is_ok()
            && let Err(error) = self.waker.wake()
        {
            eprintln!("load: cannot wake the event loop: {error}");
        }
    }
}

/// Where clients connect to, and as what. Kept, for those that come back.
#[derive(Debug, Clone)]
struct Place {
    addresses: Vec<SocketAddr>,
    rooms: u32,
    memory: Memory,
}

/// A set-up under way, of new clients or of those that were cut.
#[derive(Debug)]
struct SetUp {
    first: usize,
    next: usize,
    until: usize,
    per_second: f64,
    start: Instant,
    asked: Asked,
}

/// What a set-up is answered with.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Connect,
    Recover,
}

#[derive(Debug)]
pub(crate) struct Swarm {
    poll: Poll,
    inbox: Inbox,
    inputs: Receiver<Input>,
    clients: Vec<Client>,
    place: Option<Place>,
    live: usize,
    counters: Counters,
    /// [`Counters::received`], for the publishers.
    received: Arc<AtomicU64>,
    numbering: Arc<Mutex<Numbering>>,
    set_up: Option<SetUp>,
    rest: Duration,
}

impl Swarm {
    pub(crate) fn new() -> Result<(Self, Inbox)> {
        let poll = Poll::new()?;
        let (sender, inputs) = channel();
        let inbox = Inbox { sender, waker: Arc::new(Waker::new(poll.registry(), WAKE)?) };
        let swarm = Self {
            poll,
            inbox: inbox.clone(),
            inputs,
            clients: Vec::new(),
            place: None,
            live: 0,
            counters: Counters::default(),
            received: Arc::default(),
            numbering: Arc::default(),
            set_up: None,
            rest: Duration::ZERO,
        };
        Ok((swarm, inbox))
    }

    /// Runs until standard input ends.
    pub(crate) fn serve(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let timeout = self.set_up.is_some().then_some(Duration::from_millis(1));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                if event.token() != WAKE {
                    self.on_event(event, &mut buffer);
                }
            }
            self.received.store(self.counters.received, Ordering::Release);
            while let Ok(input) = self.inputs.try_recv() {
                match input {
                    Input::Line(line) => self.on_command(&line)?,
                    Input::Published(reply) => answer(&reply)?,
                    Input::End => return Ok(()),
                }
            }
            self.advance_set_up()?;
            if !self.rest.is_zero() {
                std::thread::sleep(self.rest);
            }
        }
    }

    fn on_event(&mut self, event: &mio::event::Event, buffer: &mut [u8]) {
        let Token(index) = event.token();
        let client = &mut self.clients[index];
        let before = client.state;
        if before == State::Closed {
            return;
        }
        let mut outcome = Ok(());
        if event.is_writable() && before == State::Connecting {
            outcome = client.on_writable().and_then(|()| {
                Ok(self.poll.registry().reregister(&mut client.stream, Token(index), Interest::READABLE)?)
            });
        }
        if event.is_readable() && outcome.is_ok() {
            outcome = client.on_readable(buffer, &mut self.counters);
        }
        if let Err(error) = outcome {
            if self.counters.closed == 0 {
                eprintln!("load: client {index}: {error:#}");
            }
            client.state = State::Closed;
            self.counters.closed += 1;
            drop(self.poll.registry().deregister(&mut client.stream));
        }
        match (before == State::Live, client.state == State::Live) {
            (false, true) => self.live += 1,
            (true, false) => self.live -= 1,
            _ => {}
        }
    }

    fn on_command(&mut self, line: &str) -> Result<()> {
        let command = serde_json::from_str(line).with_context(|| format!("no command: {line}"))?;
        match command {
            LoadCommand::Connect { addresses, connections, rooms, per_second, memory } => {
                let address = |text: &String| text.parse().with_context(|| format!("no address: {text}"));
                let addresses = addresses.iter().map(address).collect::<Result<_>>()?;
                self.place = Some(Place { addresses, rooms: rooms.max(1), memory });
                let first = self.clients.len();
                self.begin_set_up(first, first + connections as usize, per_second, Asked::Connect);
            }
            LoadCommand::Cut => {
                for client in self.clients.iter_mut().filter(|client| client.state != State::Closed) {
                    self.poll.registry().deregister(&mut client.stream)?;
                    // Fails only if the server was faster.
                    drop(client.stream.shutdown(Shutdown::Both));
                    client.state = State::Closed;
                }
                self.live = 0;
                answer(&LoadReply::Cut)?;
            }
            LoadCommand::Recover { per_second } => {
                self.begin_set_up(0, self.clients.len(), per_second, Asked::Recover);
            }
            LoadCommand::Publish { run, http } => {
                let members = self.clients.len() as u64 / u64::from(run.rooms.max(1));
                let progress = publish::Progress::new(self.received.clone(), members.max(1));
                publish::start(run, http, progress, self.numbering.clone(), self.inbox.clone());
            }
            LoadCommand::Rest { micros } => {
                self.rest = Duration::from_micros(micros);
                answer(&LoadReply::Rested)?;
            }
            LoadCommand::Count => answer(&LoadReply::Counted { counters: self.counters.clone() })?,
        }
        Ok(())
    }

    fn begin_set_up(&mut self, first: usize, until: usize, per_second: f64, asked: Asked) {
        self.set_up = Some(SetUp { first, next: first, until, per_second, start: Instant::now(), asked });
    }

    /// Opens the connections that are due, and tells when all are live.
    fn advance_set_up(&mut self) -> Result<()> {
        let (Some(set_up), Some(place)) = (&mut self.set_up, &self.place) else {
            return Ok(());
        };
        let elapsed = set_up.start.elapsed();
        let due = set_up.first + (elapsed.as_secs_f64() * set_up.per_second) as usize;
        let closed = self.counters.closed as usize;
        while set_up.next < due.min(set_up.until) && set_up.next < self.live + closed + SETTING_UP {
            let index = set_up.next;
            let address = place.addresses[index % place.addresses.len()];
            match self.clients.get_mut(index) {
                Some(client) => client.reconnect(address, index as u32)?,
                None => {
                    let room = index as u32 % place.rooms;
                    self.clients.push(Client::connect(address, index as u32, room, place.memory)?);
                }
            }
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut self.clients[index].stream, Token(index), both)?;
            set_up.next += 1;
        }
        let wanted = set_up.until - set_up.first;
        let expected = Duration::from_secs_f64(wanted as f64 / set_up.per_second);
        if self.live == set_up.until {
            let reply = match set_up.asked {
                Asked::Connect => LoadReply::Connected { connections: wanted as u32, seconds: elapsed.as_secs_f64() },
                Asked::Recover => {
                    let recovered = self.clients.iter().filter(|client| client.has_recovered()).count();
                    LoadReply::Recovered { recovered: recovered as u32 }
                }
            };
            self.set_up = None;
            answer(&reply)?;
        } else if closed > 0 || elapsed > expected + SET_UP_GRACE {
            let error = format!("{} of {} connected, {closed} closed", self.live, set_up.until);
            self.set_up = None;
            answer(&LoadReply::Failed { error })?;
        }
        Ok(())
    }
}

fn answer(reply: &LoadReply) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, reply)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
