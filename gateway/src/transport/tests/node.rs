//! Nodes in this process, and a client that counts on no library.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use crate::adapter::memory::{LogLimits, MemoryAdapter, MemoryLimits, system_clock};
use crate::adapter::{ReadLimit, Watch};
use crate::auth::{AuthMetrics, HandshakeNeeds};
use crate::config::{self, Config};
use crate::message::{NodeTag, Token};
use crate::ops;
use crate::peers::testing::{self, TestDirectory};
use crate::peers::{Directory, PeerMetrics, Peers};
use crate::policy::{NamespacePolicy, RateLimits};
use crate::rooms::mailbox::Mailbox;
use crate::rooms::{RoomMetrics, Router, WorkerPort};
use crate::session::{Counter, Entry, NamespaceRules, SessionLimits, SessionMetrics, Shared, WorkerSeed};
use crate::tasks::Tasks;
use crate::trace::Tracer;
use crate::transport::{
    Accepting, Admission, AdmissionMetrics, ClientFiles, EnginePath, Listener, Transports, WorkerIntake, router,
};

const WORKERS: usize = 2;
const PLENTY: usize = 1 << 20;

const RULES: &str = "
[[namespaces]]
name = '/'
events = [{ event = 'echo', action = 'acknowledge', with = 'received' }]
";

pub(super) struct Node {
    pub(super) tag: NodeTag,
    pub(super) public: String,
    pub(super) internal: String,
    pub(super) transports: Arc<Transports>,
    pub(super) tasks: Tasks,
    registry: Registry,
    accepting: Option<Accepting>,
    threads: Vec<JoinHandle<()>>,
}

/// How a node of a test differs.
pub(super) struct Setting {
    pub(super) secret: &'static [u8],
    pub(super) max_forwarded: usize,
}

impl Default for Setting {
    fn default() -> Self {
        Setting { secret: testing::SECRET, max_forwarded: 10 }
    }
}

impl Node {
    pub(super) async fn start(nodes: &Arc<testing::Registry>, setting: Setting) -> Self {
        let config = config::parse("test", RULES, &std::collections::BTreeMap::new()).unwrap();
        let directory = TestDirectory { secret: setting.secret.into(), ..TestDirectory::new(nodes) };
        let tag = directory.this();
        let registry = Registry::new();
        let tasks = Tasks::default();
        let (workers, threads) = start_workers(tag, &config, &registry, &tasks);
        let peer_metrics = PeerMetrics::register(&registry).unwrap();
        let directory = Arc::new(directory);
        let answer_within = Duration::from_secs(60);
        let transports = Arc::new(Transports {
            client_files: ClientFiles::default(),
            admission: Admission::new(0, 0, None, AdmissionMetrics::register(&registry).unwrap()),
            max_payload: config.engine.max_payload,
            demo: false,
            needs: HandshakeNeeds::default(),
            path: EnginePath::parse(&config.public.path),
            public: config.public.clone(),
            workers,
            peers: Peers::new(directory, None, WORKERS, answer_within, setting.max_forwarded, peer_metrics),
            tls: None,
        });
        let internal = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let internal_address = internal.local_addr().unwrap();
        nodes.set(tag, internal_address);
        let listen = ops::listen(internal, None, router(Arc::clone(&transports)), tasks.stop().clone());
        tasks.spawn_vital("internal listener", listen);
        let public = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let public_address = public.address().unwrap();
        let accepting = public.accept(Arc::clone(&transports)).unwrap();
        Node {
            tag,
            public: public_address.to_string(),
            internal: internal_address.to_string(),
            transports,
            tasks,
            registry,
            accepting: Some(accepting),
            threads,
        }
    }

    /// The value of a series, by name and labels as in the text format.
    pub(super) fn metric(&self, series: &str) -> u64 {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
    }

    pub(super) fn forwarded(&self, kind: &str, outcome: &str) -> u64 {
        self.metric(&format!("carillon_forwarded_requests_total{{kind=\"{kind}\",outcome=\"{outcome}\"}}"))
    }

    pub(super) fn sessions(&self) -> usize {
        self.transports.admission.open()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.tasks.stop().cancel();
        if let Some(accepting) = self.accepting.take() {
            accepting.stop();
        }
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a worker panicked");
        }
    }
}

fn start_workers(
    node: NodeTag,
    config: &Config,
    registry: &Registry,
    tasks: &Tasks,
) -> (Vec<WorkerIntake>, Vec<JoinHandle<()>>) {
    let space = Arc::new(Notify::new());
    let mailboxes: Vec<_> = (0..WORKERS).map(|_| Arc::new(Mailbox::new(PLENTY, Arc::clone(&space)))).collect();
    let (commands, command_queues): (Vec<_>, Vec<_>) = (0..WORKERS).map(|_| mpsc::channel(64)).unzip();
    let ports = mailboxes.iter().cloned().zip(commands).map(|(mailbox, commands)| WorkerPort { mailbox, commands });
    let room_metrics = RoomMetrics::register(registry).unwrap();
    let router = Arc::new(Router::new(ports.collect(), 1, space, room_metrics));
    let limits = MemoryLimits {
        log: LogLimits { retention: Duration::from_secs(100), max_entries_per_room: 100, max_bytes: PLENTY },
        session_ttl: Duration::from_secs(100),
        max_sessions: 0,
        idempotency: Duration::from_secs(1),
        max_idempotency_keys: 10,
    };
    let namespaces = crate::message::Namespaces::new([("/", true)]);
    let policy = NamespacePolicy::compile(&config.namespaces[0]).unwrap();
    let rules = NamespaceRules {
        namespace: namespaces.by_name("/").unwrap().clone(),
        policy,
        entry: Entry::open(AuthMetrics::register(registry).unwrap()),
        rates: RateLimits::new(&config.namespaces[0].limits),
        watch: Watch::NONE,
        backend: None,
        tells_connects: false,
    };
    let shared = Arc::new(Shared {
        node,
        namespaces: vec![rules],
        limits: session_limits(config),
        adapter: Arc::new(MemoryAdapter::new(limits, Arc::clone(&router) as _, system_clock())),
        router,
        metrics: SessionMetrics::register(registry).unwrap(),
        sets: None,
        tracer: Tracer::default(),
    });
    let seeds = mailboxes.into_iter().zip(command_queues).enumerate().map(|(index, (mailbox, commands))| {
        let (intake, intake_queue) = mpsc::channel(64);
        let (shared, tasks) = (Arc::clone(&shared), tasks.child());
        let seed = WorkerSeed { index, shared, mailbox, commands, intake: intake_queue, tasks };
        let thread = std::thread::spawn(move || seed.run().unwrap());
        (WorkerIntake { intake, streams: Counter::default() }, thread)
    });
    seeds.unzip()
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
        msgpack: true,
        upgrades: true,
        refresh: config.recovery.refresh,
        replay: ReadLimit { messages: 100, bytes: PLENTY },
    }
}

/// Sends a request on a connection of its own.
pub(super) async fn send(address: &str, method: &str, target: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!("{method} {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Status and body of the answer.
pub(super) async fn ask(address: &str, method: &str, target: &str, body: &str) -> (u16, String) {
    let mut stream = send(address, method, target, "connection: close\r\n", body).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A polling client whose requests go to whichever node.
pub(super) struct Client {
    pub(super) sid: String,
    t: u32,
}

impl Client {
    pub(super) async fn open(node: &Node) -> Self {
        let (status, body) = ask(&node.public, "GET", "/socket.io/?EIO=4&transport=polling", "").await;
        assert_eq!(status, 200, "{body}");
        let sid = body.split('"').nth(3).unwrap().to_owned();
        assert_eq!(Token::parse(&sid).unwrap().node(), node.tag);
        Client { sid, t: 0 }
    }

    pub(super) fn target(&mut self) -> String {
        self.t += 1;
        format!("/socket.io/?EIO=4&transport=polling&t=x{}&sid={}", self.t, self.sid)
    }

    pub(super) async fn get(&mut self, node: &Node) -> (u16, String) {
        let target = self.target();
        ask(&node.public, "GET", &target, "").await
    }

    pub(super) async fn post(&mut self, node: &Node, body: &str) -> (u16, String) {
        let target = self.target();
        ask(&node.public, "POST", &target, body).await
    }

    /// Asks for a WebSocket: the stream, and the head of the answer.
    pub(super) async fn upgrade(&self, node: &Node) -> (TcpStream, String) {
        let target = format!("/socket.io/?EIO=4&transport=websocket&sid={}", self.sid);
        let headers = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let mut stream = send(&node.public, "GET", &target, headers, "").await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        (stream, String::from_utf8(head).unwrap())
    }
}

/// Sends a text frame, masked with zeros.
pub(super) async fn say(stream: &mut TcpStream, text: &str) {
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0xff);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    stream.write_all(&frame).await.unwrap();
}

/// The text of the next frame.
pub(super) async fn hear(stream: &mut TcpStream) -> String {
    assert_eq!(stream.read_u8().await.unwrap(), 0x81);
    let length = match stream.read_u8().await.unwrap() {
        126 => u64::from(stream.read_u16().await.unwrap()),
        127 => stream.read_u64().await.unwrap(),
        short => u64::from(short),
    };
    let mut text = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// Waits for what other threads do.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("waited for {what}"));
}
