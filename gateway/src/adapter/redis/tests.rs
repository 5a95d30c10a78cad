//! The conformance kit against a real server.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::adapter::conformance::{Bounds, Subject, conformance_tests, namespace, plain};

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

#[async_trait]
impl Subject for Server {
    async fn adapter(&self, bounds: Bounds, node: Arc<dyn Node>) -> Arc<dyn Adapter> {
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
