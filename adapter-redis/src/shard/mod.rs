//! The link to a shard: all of a deployment on one Redis.
//!
//! Everything that is asked of Redis goes through [`Shard`]. It keeps one
//! multiplexed connection, opens it anew with jittered back-off when it breaks,
//! knows the epoch, and tells callers apart what was not done from what may
//! have been done ([`Fault`]).
//!
//! A connection breaks when it fails or answers nothing for the response
//! timeout. What was sent over it may still be carried out later.
//!
//! Invariant: a script runs only in the epoch and the run of Redis that its
//! caller knows (see [`crate::script`]).

mod epochs;
mod opening;
mod readers;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::names::Names;
use crate::observer::{Command, LinkKind, Observer};
use crate::place::{Epoch, Id, Place};
use crate::script::{Digests, Script};
use crate::server::{Commands, Server};
use crate::{Settings, Unavailable, reply};

pub use epochs::Epochs;
use epochs::Progress;
use readers::Readers;

/// How often the server is asked whether it has evicted anything.
const INQUIRY: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Shard {
    server: Arc<dyn Server>,
    pub(crate) names: Names,
    pub(crate) settings: Settings,
    link: watch::Sender<Link>,
    /// As of now, or when the link was last up.
    progress: RwLock<Progress>,
    /// One opens at a time.
    opening: Mutex<()>,
}

/// The state of the link.
#[derive(Clone)]
pub(crate) enum Link {
    Down,
    Up(Arc<Up>),
}

/// A connection that was opened.
pub(crate) struct Up {
    pub(crate) commands: Arc<dyn Commands>,
    /// Further connections to the same server, for long replies.
    pub(crate) readers: Readers,
    digests: Digests,
    observer: Arc<dyn Observer>,
    pub(crate) epoch: Epoch,
    /// Keys that the server had evicted.
    evicted: u64,
}

/// Why a script was not carried out, or is not known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was done: the epoch or the run of Redis is another. It has been
    /// looked up.
    Moved,
    /// Nothing was done: the server refuses.
    Refused,
    /// It may have been done, or may yet be.
    Unknown,
    /// The script failed, perhaps half way.
    Failed,
}

impl Fault {
    pub const ALL: [Fault; 4] = [Fault::Moved, Fault::Refused, Fault::Unknown, Fault::Failed];

    /// For a metric.
    pub fn label(self) -> &'static str {
        match self {
            Fault::Moved => "moved",
            Fault::Refused => "refused",
            Fault::Unknown => "unknown",
            Fault::Failed => "failed",
        }
    }
}

impl Up {
    /// A command that is no script.
    pub(crate) async fn send(&self, command: Cmd) -> Result<Value, RedisError> {
        let began = Instant::now();
        let answer = self.commands.send(command).await;
        let fault = |error: &RedisError| if error.code().is_some() { Fault::Failed } else { Fault::Unknown };
        self.observer.asked(Command::Plain, began.elapsed(), answer.as_ref().err().map(fault));
        answer
    }
}

impl Shard {
    pub(crate) fn new(server: Arc<dyn Server>, settings: Settings) -> Arc<Self> {
        let names = Names::new(&settings.prefix);
        let (link, _) = watch::channel(Link::Down);
        Arc::new(Shard {
            server,
            names,
            settings,
            link,
            progress: RwLock::new(Progress::new()),
            opening: Mutex::new(()),
        })
    }

    pub(crate) fn server(&self) -> &dyn Server {
        &*self.server
    }

    /// The last id that this node has handed out.
    pub(crate) fn position(&self) -> Id {
        self.progress().position
    }

    /// What stands at this place is handed out. False when its epoch is over:
    /// then it must not be.
    pub(crate) fn reach(&self, place: Place) -> bool {
        self.change_progress().reach(place)
    }

    /// A client's cut is made here.
    ///
    /// # Errors
    /// When its epoch is over.
    pub(crate) fn cut(&self, place: Place) -> Result<Place, Unavailable> {
        if self.change_progress().cut(place) { Ok(place) } else { Err(Unavailable) }
    }

    /// The epochs as of now, or when the link was last up.
    pub(crate) fn epochs(&self) -> Epochs {
        self.progress().epochs
    }

    /// Nothing from before this epoch is held here any more.
    pub(crate) fn begin_anew(&self, epoch: Epoch) {
        self.change_progress().begin_anew(epoch);
    }

    fn progress(&self) -> RwLockReadGuard<'_, Progress> {
        self.progress.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_progress(&self) -> RwLockWriteGuard<'_, Progress> {
        self.progress.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told when the link goes up or down, or finds another epoch.
    pub(crate) fn watch(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// The open connection; waits for it until `deadline`.
    pub(crate) async fn up(&self, deadline: Instant) -> Result<Arc<Up>, Unavailable> {
        let mut link = self.link.subscribe();
        let up = async {
            loop {
                if let Link::Up(up) = &*link.borrow_and_update() {
                    return Arc::clone(up);
                }
                if link.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout_at(deadline, up).await.map_err(|_| Unavailable)
    }

    /// Calls a script, whose effect is the same when it runs twice, until its
    /// outcome is known. `arguments` adds what follows the epoch.
    ///
    /// # Errors
    /// When it is not known after [`Settings::patience`].
    pub(crate) async fn call(
        &self,
        script: Script,
        keys: &[&str],
        arguments: impl Fn(&Up, &mut Cmd),
    ) -> Result<Value, Unavailable> {
        let deadline = Instant::now() + self.settings.patience;
        loop {
            let up = self.up(deadline).await?;
            match self.attempt(&up, script, keys, |command| arguments(&up, command)).await {
                Ok(value) => return Ok(value),
                Err(Fault::Moved | Fault::Unknown) if Instant::now() < deadline => {}
                Err(_) => return Err(Unavailable),
            }
        }
    }

    /// The place of the last message.
    pub(crate) async fn head(&self) -> Result<Place, Unavailable> {
        reply::place(self.call(Script::Head, &[], |_, _| {}).await?)
    }

    /// Calls a script once. ARGV begins with the epoch, except for the one
    /// that finds it.
    pub(crate) async fn attempt(
        &self,
        up: &Arc<Up>,
        script: Script,
        keys: &[&str],
        arguments: impl FnOnce(&mut Cmd),
    ) -> Result<Value, Fault> {
        self.attempt_over(&*up.commands, up, script, keys, arguments).await
    }

    /// The same, over another connection to the same server.
    pub(crate) async fn attempt_over(
        &self,
        commands: &dyn Commands,
        up: &Arc<Up>,
        script: Script,
        keys: &[&str],
        arguments: impl FnOnce(&mut Cmd),
    ) -> Result<Value, Fault> {
        let mut command = redis::cmd("EVALSHA");
        command.arg(up.digests.get(script)).arg(1 + keys.len()).arg(self.names.meta());
        for key in keys {
            command.arg(*key);
        }
        command.arg(up.epoch.to_string());
        arguments(&mut command);
        let began = Instant::now();
        let answer = commands.send(command).await;
        let took = began.elapsed();
        let answer = match answer {
            Ok(value) => Ok(value),
            Err(error) => Err(self.judge(up, script, error).await),
        };
        self.settings.observer.asked(Command::Script(script), took, answer.as_ref().err().copied());
        answer
    }

    async fn judge(&self, up: &Arc<Up>, script: Script, error: RedisError) -> Fault {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => self.moved(up).await,
            ErrorKind::Server(
                ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown,
            ) => {
                self.broken(up);
                Fault::Refused
            }
            ErrorKind::Server(ServerErrorKind::NoPerm) => refused(&error),
            _ => match error.code() {
                Some("EPOCH") => self.moved(up).await,
                Some("OOM" | "MISCONF" | "BUSY" | "NOREPLICAS" | "STALE") => refused(&error),
                Some(_) => {
                    tracing::error!(%error, ?script, "a script failed");
                    Fault::Failed
                }
                None => {
                    self.broken(up);
                    Fault::Unknown
                }
            },
        }
    }

    /// Somebody knows of another epoch.
    pub(crate) async fn look_again(&self) -> Result<(), Unavailable> {
        let up = self.up(Instant::now() + self.settings.patience).await?;
        self.moved(&up).await;
        Ok(())
    }

    /// Redis is not what it was: looks which epoch it is in.
    async fn moved(&self, up: &Arc<Up>) -> Fault {
        let _one = self.opening.lock().await;
        let same = matches!(&*self.link.borrow(), Link::Up(now) if Arc::ptr_eq(now, up));
        if same {
            match self.open(Arc::clone(&up.commands)).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "redis has changed and cannot be opened");
                    self.broken(up);
                }
            }
        }
        Fault::Moved
    }

    /// This connection is not used any more.
    pub(crate) fn broken(&self, up: &Arc<Up>) {
        let was_up = self.link.send_if_modified(|link| {
            let is_up = matches!(link, Link::Up(now) if Arc::ptr_eq(now, up));
            if is_up {
                *link = Link::Down;
            }
            is_up
        });
        if was_up {
            self.settings.observer.broke(LinkKind::Commands);
        }
    }

    /// Opens a connection and makes it the link.
    async fn open(&self, commands: Arc<dyn Commands>) -> Result<(), RedisError> {
        let floor = || self.progress().known();
        let opened = opening::open(&*commands, &self.names.meta(), floor, &self.settings).await?;
        if opened.info.may_evict {
            tracing::warn!("redis may evict keys, which ends recovery each time: set maxmemory-policy to noeviction");
        }
        {
            let mut progress = self.change_progress();
            if opened.epoch != progress.epochs.current() {
                tracing::info!(epoch = %opened.epoch, "a new epoch of the log");
            }
            // only now: while the epoch was looked up, what is of the one before went on being handed out
            let known = progress.known();
            progress.find(opened.epoch, opened.start, known);
        }
        let readers = Readers::new(&self.server, self.settings.readers);
        let up = Up {
            commands,
            readers,
            digests: opened.digests,
            observer: Arc::clone(&self.settings.observer),
            epoch: opened.epoch,
            evicted: opened.info.evicted,
        };
        self.link.send_replace(Link::Up(Arc::new(up)));
        Ok(())
    }

    async fn connect(&self) -> Result<(), RedisError> {
        let commands = self.server.commands().await?;
        let _one = self.opening.lock().await;
        self.open(commands).await?;
        self.settings.observer.linked(LinkKind::Commands);
        Ok(())
    }

    /// Keeps the link up, until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut link = self.link.subscribe();
        let mut back_off = BackOff::new(self.settings.back_off);
        loop {
            let up = match &*link.borrow_and_update() {
                Link::Up(up) => Some(Arc::clone(up)),
                Link::Down => None,
            };
            let work = async {
                match up {
                    Some(up) => {
                        back_off.reset();
                        tokio::select! {
                            biased;
                            _ = link.changed() => {}
                            () = tokio::time::sleep(INQUIRY) => self.inquire(&up).await,
                        }
                    }
                    None => {
                        if let Err(error) = self.connect().await {
                            self.settings.observer.unreachable(LinkKind::Commands);
                            back_off.failed(&error);
                            back_off.wait().await;
                        }
                    }
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = work => {}
            }
        }
    }

    /// Eviction empties logs without a word: it begins a new epoch.
    async fn inquire(&self, up: &Arc<Up>) {
        match opening::inquire(&*up.commands).await {
            Ok(info) if info.is_master && info.evicted > up.evicted => {
                tracing::error!(evicted = info.evicted, "redis has evicted keys: recovery begins anew");
                self.moved(up).await;
            }
            Ok(info) if !info.is_master => self.broken(up),
            Ok(_) => {}
            Err(_) => self.broken(up),
        }
    }
}

fn refused(error: &RedisError) -> Fault {
    tracing::warn!(%error, "redis refuses");
    Fault::Refused
}

/// Waits between attempts: doubled each time, and between half of it and all.
#[derive(Debug)]
pub(crate) struct BackOff {
    bounds: (Duration, Duration),
    next: Duration,
    told: bool,
}

impl BackOff {
    pub(crate) fn new(bounds: (Duration, Duration)) -> Self {
        BackOff { bounds, next: bounds.0, told: false }
    }

    pub(crate) fn reset(&mut self) {
        if std::mem::take(&mut self.told) {
            tracing::info!("redis is reached again");
        }
        self.next = self.bounds.0;
    }

    /// Says so once.
    pub(crate) fn failed(&mut self, error: &RedisError) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(%error, "redis cannot be reached; trying again");
        }
    }

    pub(crate) async fn wait(&mut self) {
        let wait = self.next;
        self.next = (wait * 2).min(self.bounds.1);
        tokio::time::sleep(wait.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
    }
}
