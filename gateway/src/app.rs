//! The composition root: the only file that knows every room.
//!
//! Threads: this one runs a runtime for the internal listener, the adapter's
//! upkeep and signals; one accepts public streams; each worker has its own.

mod adapters;
mod certificates;
mod drain;
mod namespaces;
mod spans;

use std::pin::pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use crate::adapter::{Load, ReadLimit};
use crate::admin::{self, AdminState};
use crate::config::Config;
use crate::fleet::{Budget, FleetMetrics, Watch};
use crate::message::Namespaces;
use crate::notices::{NoticeMetrics, Notices};
use crate::ops::{self, Health};
use crate::peers::{PeerMetrics, Peers};
use crate::publish::{self, ApiKeys, PublishMetrics, PublishState};
use crate::rooms::mailbox::Mailbox;
use crate::rooms::{self, AgeMetric, RoomMetrics, Router, WorkerPort};
use crate::session::{Counter, SessionLimits, SessionMetrics, Shared, WorkerSeed};
use crate::tasks::Tasks;
use crate::transport::{
    self, Admission, AdmissionMetrics, ClientFiles, EnginePath, Listener, Transports, WorkerIntake,
};

use adapters::Adapters;
use certificates::Certificates;
use namespaces::Maker;
use spans::Spans;

/// Commands and streams that may wait for one worker.
const WORKER_QUEUE: usize = 4096;

/// Runs a node until it is told to stop and has drained.
///
/// # Errors
/// When it cannot start: an address is taken, a thread or runtime cannot be
/// made, the client's scripts cannot be read.
pub fn serve(config: Config) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime cannot be made")?;
    runtime.block_on(run(config))
}

async fn run(config: Config) -> Result<()> {
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    let tasks = Tasks::default();
    let health = Health::default();
    let registry = ops::metrics::registry()?;
    let certificates = Certificates::load(&config, &registry)?;
    let configured = config.effective_namespaces();
    let namespaces = Namespaces::new(configured.iter().map(|it| (it.name.as_str(), it.recovery)));
    let spans = Spans::new(&config.tracing, &namespaces, &registry)?;
    let maker = Maker::new(&config, &tasks, &registry)?;
    let rules = maker.rules(&configured, &namespaces)?;

    let workers = worker_count(config.workers);
    let space = Arc::new(Notify::new());
    let mailboxes: Vec<_> =
        (0..workers).map(|_| Arc::new(Mailbox::new(config.fanout.mailbox, Arc::clone(&space)))).collect();
    let (commands, command_queues): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel(WORKER_QUEUE)).unzip();
    let ports = mailboxes.iter().cloned().zip(commands).map(|(mailbox, commands)| WorkerPort { mailbox, commands });
    let router = Router::new(ports.collect(), namespaces.len(), space, RoomMetrics::register(&registry)?);
    let router = Arc::new(router.traced_by(spans.tracer.clone()));

    let internal = TcpListener::bind(config.internal.listen)
        .await
        .with_context(|| format!("cannot listen on the internal address {}", config.internal.listen))?;
    let internal_address = internal.local_addr()?;
    AgeMetric::register(&registry, router.canary())?;
    let adapters = Adapters::new(&config, &namespaces, Arc::clone(&router) as _, internal_address, &registry)?;
    let (adapter, directory) = (Arc::clone(&adapters.adapter), Arc::clone(&adapters.directory));
    spans.run(&config.tracing, directory.this())?;
    let upkeep = Arc::clone(&adapter);
    let stop = tasks.stop().clone();
    tasks.spawn_vital("adapter", async move { upkeep.run(stop).await });

    let shared = Arc::new(Shared {
        node: directory.this(),
        namespaces: rules,
        limits: session_limits(&config),
        adapter: Arc::clone(&adapter),
        router: Arc::clone(&router),
        metrics: SessionMetrics::register(&registry)?,
        sets: adapters.sets(),
        tracer: spans.tracer.clone(),
    });
    if let Some(told) = maker.told(&configured, &namespaces) {
        let (adapter, metrics) = (Arc::clone(&adapter), NoticeMetrics::register(&registry)?);
        let notices = Notices { adapter, told, patience: config.upstream.notice_patience, metrics };
        tasks.spawn_vital("notices", notices.run(tasks.stop().clone()));
    }
    let worker_tasks = tasks.child();
    let mut threads = Vec::new();
    let mut intakes = Vec::new();
    for (index, (mailbox, commands)) in mailboxes.into_iter().zip(command_queues).enumerate() {
        let (intake, intake_queue) = mpsc::channel(WORKER_QUEUE);
        intakes.push(WorkerIntake { intake, streams: Counter::default() });
        threads.push(start_worker(WorkerSeed {
            index,
            shared: Arc::clone(&shared),
            mailbox,
            commands,
            intake: intake_queue,
            tasks: worker_tasks.child(),
        })?);
    }

    let public = Listener::bind(config.public.listen)
        .with_context(|| format!("cannot listen on the public address {}", config.public.listen))?;
    let public_address = public.address()?;

    health.ask_adapter({
        let adapter = Arc::clone(&adapter);
        move || adapter.is_ready()
    });
    health.ask_canary({
        let canary = Arc::clone(router.canary());
        let late = if config.redis.is_used() { config.redis.unready_after } else { rooms::LATE };
        move || canary.age() < late
    });
    let source = admin::Source::new(registry.clone(), health.clone(), Arc::clone(router.canary()));
    router.introduce(shared.node, move |census| source.status(census));
    let admin = admin::router(AdminState {
        adapter: Arc::clone(&adapter),
        fleet: Arc::clone(&adapters.fleet),
        rooms: Arc::clone(&router),
        namespaces: namespaces.clone(),
        keys: ApiKeys::new(&config.internal.api_keys),
        max_body: config.internal.max_body,
        stop: tasks.stop().clone(),
    });
    let api = publish::router(PublishState {
        adapter,
        namespaces,
        keys: ApiKeys::new(&config.internal.api_keys),
        max_body: config.internal.max_body,
        metrics: PublishMetrics::new(&registry)?,
        tracer: spans.tracer.clone(),
    });
    let transports = Arc::new(Transports {
        client_files: match &config.public.client_dir {
            Some(folder) => ClientFiles::read(folder).with_context(|| format!("public.client_dir {folder:?}"))?,
            None => ClientFiles::default(),
        },
        admission: Admission::new(
            config.limits.max_connections,
            config.limits.handshakes_per_second,
            budget(&config, &adapters, &tasks),
            AdmissionMetrics::register(&registry)?,
        )
        .with_max_legacy(config.public.legacy.max_connections),
        max_payload: config.engine.max_payload,
        demo: config.demo,
        needs: namespaces::needs(&configured),
        public: config.public.clone(),
        path: EnginePath::parse(&config.public.path),
        workers: intakes,
        peers: Peers::new(
            directory,
            certificates.internal.clone(),
            workers,
            longest_silence(&config),
            config.cluster.max_forwarded,
            PeerMetrics::register(&registry)?,
        ),
        tls: certificates.public.clone(),
    });
    let watch = Watch {
        fleet: Arc::clone(&adapters.fleet),
        load: {
            let (open, health) = (transports.admission.connections(), health.clone());
            move || Load { connections: open.get() as u64, draining: health.is_draining() }
        },
        shed: {
            let transports = Arc::clone(&transports);
            move |count| drain::shed(&transports, count)
        },
        rebalance_per_second: config.cluster.rebalance_per_second,
        metrics: FleetMetrics::register(&registry)?,
    };
    tasks.spawn_vital("fleet", watch.run(tasks.stop().clone()));
    let routes =
        ops::router(registry, health.clone()).merge(api).merge(admin).merge(transport::router(Arc::clone(&transports)));
    // ends last: probes, the backend and other nodes are answered while connections drain
    let internal_tasks = Tasks::default();
    let listen = ops::listen(internal, certificates.internal.clone(), routes, internal_tasks.stop().clone());
    internal_tasks.spawn_vital("internal listener", listen);
    certificates.run(&tasks);

    let mut signals = pin!(stopped(&tasks));
    let ended_early = tokio::select! {
        biased;
        by_signal = &mut signals => Some(by_signal?),
        joined = adapters.joined() => {
            joined?;
            None
        }
    };
    let (accepting, by_signal) = match ended_early {
        Some(by_signal) => (None, by_signal),
        None => {
            tasks.spawn_vital("node directory", adapters.run(tasks.stop().clone()));
            let accepting = public.accept(Arc::clone(&transports))?;
            health.started();
            tracing::info!(public = %public_address, internal = %internal_address, workers, "ready");
            if config.demo {
                let scheme = if certificates.public.is_some() { "https" } else { "http" };
                tracing::info!("the demo page is at {scheme}://{}/", reachable(public_address));
            }
            (Some(accepting), signals.await?)
        }
    };
    health.draining();
    tracing::info!("draining");
    let deadline = tokio::time::Instant::now() + config.drain.deadline;
    tokio::time::sleep(config.drain.ready_delay).await;
    // joins a thread that ends at once
    if let Some(accepting) = accepting {
        accepting.stop();
    }
    drain::drain(&transports, config.drain.spread, deadline).await;
    tasks.stop().cancel();
    internal_tasks.stop().cancel();
    if tokio::time::timeout_at(deadline + ops::GRACE, internal_tasks.ended()).await.is_err() {
        tracing::warn!("requests to the internal listener were cut off");
    }
    tasks.ended().await;
    for thread in threads {
        if thread.join().is_err() {
            anyhow::bail!("a worker panicked");
        }
    }
    spans.finish().await;
    anyhow::ensure!(by_signal, "a vital task ended");
    tracing::info!("stopped");
    Ok(())
}

/// True when a signal asks for it, false when a vital task has ended.
async fn stopped(tasks: &Tasks) -> Result<bool> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok(true),
        _ = interrupt.recv() => Ok(true),
        () = tasks.stop().cancelled() => Ok(false),
    }
}

/// Where handshakes ask, if the nodes share a budget of them.
fn budget(config: &Config, adapters: &Adapters, tasks: &Tasks) -> Option<Budget> {
    let per_second = config.cluster.handshakes_per_second;
    (per_second > 0).then(|| {
        let (budget, clerk) = Budget::new(Arc::clone(&adapters.fleet), per_second);
        tasks.spawn_vital("budget of handshakes", clerk.run(tasks.stop().clone()));
        budget
    })
}

fn start_worker(seed: WorkerSeed) -> Result<JoinHandle<()>> {
    let name = format!("worker-{}", seed.index);
    let run = move || {
        if let Err(error) = seed.run() {
            tracing::error!(%error, "a worker's runtime cannot be made");
        }
    };
    thread::Builder::new().name(name).spawn(run).context("a worker's thread cannot be started")
}

/// 0 means one for each core.
fn worker_count(configured: usize) -> usize {
    let cores = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if configured == 0 { cores() } else { configured }.min(Router::MAX_WORKERS)
}

/// How long a request of a client may be without an answer.
fn longest_silence(config: &Config) -> Duration {
    let (engine, legacy) = (&config.engine, &config.public.legacy);
    let ours = engine.ping_interval + engine.ping_timeout;
    if legacy.enabled { ours.max(legacy.ping_interval + legacy.ping_timeout) } else { ours }
}

fn session_limits(config: &Config) -> SessionLimits {
    SessionLimits {
        ping_interval: config.engine.ping_interval,
        ping_timeout: config.engine.ping_timeout,
        legacy_ping_interval: config.public.legacy.ping_interval,
        legacy_ping_timeout: config.public.legacy.ping_timeout,
        upgrade_timeout: config.engine.upgrade_timeout,
        connect_timeout: config.limits.connect_timeout,
        max_payload: config.engine.max_payload,
        outbound_queue: config.limits.outbound_queue,
        max_held: config.limits.max_held,
        max_pending_events: config.limits.max_pending_events,
        max_namespaces: config.limits.max_namespaces,
        max_rooms: config.limits.max_rooms,
        msgpack: config.public.msgpack,
        upgrades: config.public.upgrades && config.public.allows(crate::config::Transport::Websocket),
        refresh: config.recovery.refresh,
        replay: ReadLimit { messages: config.recovery.replay_max_messages, bytes: config.recovery.replay_max_bytes },
    }
}

/// An address to type into a browser on this machine.
fn reachable(address: std::net::SocketAddr) -> std::net::SocketAddr {
    if address.ip().is_unspecified() { ([127, 0, 0, 1], address.port()).into() } else { address }
}
