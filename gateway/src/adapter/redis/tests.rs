//! The conformance kit against a real server.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::adapter::conformance::sessions::{claim, open};
use crate::adapter::conformance::{Bounds, Recorder, Rig, Subject, conformance_tests, namespace, plain, room};

/// A redis-server of a test, reached by a socket in its own folder.
struct Server {
    folder: PathBuf,
    process: Child,
    stop: CancellationToken,
    running: Mutex<JoinSet<()>>,
}

impl Server {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("carillon-redis-{}", Token::random()));
        std::fs::create_dir_all(&folder).unwrap();
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(folder.join("redis.sock"))
            .arg("--dir")
            .arg(&folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed (see gateway/e2e/install)");
        Server { folder, process, stop: CancellationToken::new(), running: Mutex::default() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    /// Runs a command of redis-cli, which must succeed.
    fn cli(&self, args: &[&str]) {
        let output =
            Command::new("redis-cli").arg("-s").arg(self.folder.join("redis.sock")).args(args).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1", "{args:?}");
    }

    /// A node that is listed.
    async fn node(&self, bounds: Bounds, node: Arc<dyn Node>) -> Arc<RedisAdapter> {
        let address = redis::server::Address {
            url: format!("redis+unix://{}", self.folder.join("redis.sock").display()),
            sentinels: Vec::new(),
            master: String::new(),
            authorities: None,
            identity: None,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(5),
        };
        let settings = redis::Settings {
            retention: bounds.retention,
            slice: bounds.retention / 4,
            max_slice_entries: bounds.entries_per_room,
            session_ttl: bounds.session_ttl,
            notice_lease: bounds.lease,
            idempotency: bounds.idempotency,
            ..redis::Settings::default()
        };
        let server = Arc::new(redis::server::RedisServer::new(address).unwrap());
        let namespaces = Namespaces::new([(&*namespace().name, true), (&*plain().name, false)]);
        let unready = Duration::from_secs(5);
        let adapter = RedisAdapter::new(server, settings, NodeTag::random(), namespaces, node, unready);
        let adapter = Arc::new(adapter);
        let (running, stop) = (Arc::clone(&adapter), self.stop.clone());
        self.running.lock().unwrap().spawn(async move { running.run(stop).await });
        assert!(adapter.register().await);
        adapter
    }
}

#[async_trait]
impl Subject for Server {
    async fn adapter(&self, bounds: Bounds, node: Arc<dyn Node>) -> Arc<dyn Adapter> {
        self.node(bounds, node).await
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn step_back(&self, _: Duration) -> bool {
        false
    }

    /// Ticks come by themselves, and cases wait for them.
    async fn tick(&self) {}
}

conformance_tests!(Server::start());

#[tokio::test]
async fn nodes_know_what_the_others_carry() {
    let server = Server::start();
    let nodes = [
        server.node(Bounds::default(), Arc::new(Recorder::default())).await,
        server.node(Bounds::default(), Arc::new(Recorder::default())).await,
    ];
    let loads = [Load { connections: 70_000, draining: false }, Load { connections: 3, draining: true }];
    nodes.iter().zip(loads).for_each(|(node, load)| node.report(load));
    for (n, node) in nodes.iter().enumerate() {
        let known = async {
            loop {
                let seen = node.nodes();
                let of = |this: bool| seen.iter().find(|node| node.this == this).and_then(|node| node.load);
                if (of(true), of(false)) == (Some(loads[n]), Some(loads[1 - n])) {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let seen = tokio::time::timeout(Duration::from_secs(10), known).await.expect("they tell each other");
        assert_eq!(seen.len(), 2);
    }
}

#[tokio::test]
async fn nodes_take_from_one_budget() {
    let server = Server::start();
    let a = server.node(Bounds::default(), Arc::new(Recorder::default())).await;
    let b = server.node(Bounds::default(), Arc::new(Recorder::default())).await;
    let start = std::time::Instant::now();
    let counts = [a.take(600, 1000).await.unwrap().count, b.take(1000, 1000).await.unwrap().count];
    let next = a.take(1000, 1000).await.unwrap().next;
    // what came in while the test ran is on top
    let most = 1000 + start.elapsed().as_millis() as u32 + 1;
    println!("{counts:?} of at most {most}, the next in {next:?}");
    assert_eq!(counts[0], 600);
    assert!(counts[1] >= 400 && counts.iter().sum::<u32>() <= most);
    assert!(next <= Duration::from_millis(1));
}

#[tokio::test]
async fn a_session_of_an_earlier_epoch_is_not_believed() {
    let server = Server::start();
    let rig = Rig::new(&server, Bounds::default()).await;
    let ((key, socket, start), (other, ..)) = (open(&rig, &[1]).await, open(&rig, &[1]).await);
    let refresh = async || rig.adapter.refresh(vec![Refresh { key, confirmed: start }]).await.unwrap();
    assert!(refresh().await.is_empty());
    let before = rig.epoch().await;
    // as after a failover: the sessions are there, and nobody knows whether all of them is
    server.cli(&["del", "{carillon}:meta"]);
    assert_ne!(rig.epoch().await, before);
    assert!(matches!(refresh().await[..], [(_, Attention::Missing)]));
    assert!(matches!(rig.adapter.take_over(claim(other.pid)).await, Err(TakeOverError::Unknown)));
    let session = NewSession {
        pid: key.pid,
        socket,
        namespace: namespace().id,
        subject: Some("ada".into()),
        identity: None,
        watched: Watch::NONE,
        rooms: vec![room(2)],
    };
    rig.adapter.restore_session(key, session).await.unwrap();
    assert!(refresh().await.is_empty(), "its owner has written it anew");
    let taken = rig.adapter.take_over(claim(key.pid)).await.unwrap();
    let rooms: Vec<Room> = taken.stays.memberships.into_iter().map(|stay| stay.room).collect();
    assert_eq!(rooms, [room(2)], "with the rooms that the owner knows, and no others");
}
