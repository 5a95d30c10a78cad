//! A server on loopback that does what a test says, well or badly.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use crate::tasks::Tasks;

/// What the server does with a request.
pub(crate) enum Reaction {
    Answer(u16, String),
    /// Answers, and closes the connection without having said so.
    AnswerAndClose(u16, String),
    /// These bytes, and then the end.
    Raw(Vec<u8>),
    /// These bytes, and what comes next.
    First(Vec<u8>, Box<Reaction>),
    /// Nothing until the client goes.
    Silence,
    /// Waits for a permit, which it uses up.
    After(Arc<Semaphore>, Box<Reaction>),
}

#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) requests: Mutex<Vec<Received>>,
    pub(crate) connections: AtomicUsize,
    now: AtomicUsize,
    /// Most requests at once.
    pub(crate) most: AtomicUsize,
    /// Clients that went before they were answered.
    pub(crate) gone: Arrivals,
    /// A permit for each request that has come.
    pub(crate) come: Arrivals,
}

/// Counts what a test waits for.
pub(crate) struct Arrivals(pub(crate) Semaphore);

impl Default for Arrivals {
    fn default() -> Self {
        Arrivals(Semaphore::new(0))
    }
}

impl Arrivals {
    /// Waits for that many.
    pub(crate) async fn take(&self, count: u32) {
        self.0.acquire_many(count).await.unwrap().forget();
    }
}

impl Seen {
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

type React = Arc<dyn Fn(usize, &Received) -> Reaction + Send + Sync>;

/// How connections are accepted.
pub(crate) enum Accept {
    Plain,
    /// TLS, but the first so many connections are closed before it.
    Tls(TlsAcceptor, usize),
}

/// Serves until `tasks` end; each request is numbered from 0.
pub(crate) async fn serve(
    tasks: &Tasks,
    accept: Accept,
    react: impl Fn(usize, &Received) -> Reaction + Send + Sync + 'static,
) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, react): (Arc<Seen>, React) = (Arc::default(), Arc::new(react));
    let (all, connections) = (Arc::clone(&seen), tasks.clone());
    let runtime = tokio::runtime::Handle::current();
    let stop = tasks.stop().clone();
    let accepting = async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let number = all.connections.fetch_add(1, Ordering::SeqCst);
            let (seen, react) = (Arc::clone(&all), Arc::clone(&react));
            let stop = connections.stop().clone();
            match &accept {
                Accept::Plain => {
                    let connection = async move { stop.run_until_cancelled(connection(stream, seen, react)).await };
                    connections.spawn_on(&runtime, connection);
                }
                Accept::Tls(_, refused) if number < *refused => drop(stream),
                Accept::Tls(acceptor, _) => {
                    let handshake = acceptor.accept(stream);
                    let serve = async move {
                        if let Ok(stream) = handshake.await {
                            stop.run_until_cancelled(connection(stream, seen, react)).await;
                        }
                    };
                    connections.spawn_on(&runtime, serve);
                }
            }
        }
    };
    tasks.spawn_on(&tokio::runtime::Handle::current(), async move { stop.run_until_cancelled(accepting).await });
    (address, seen)
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<Seen>, react: React) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let received = read(&mut stream).await?;
        let mut reaction = {
            let mut requests = seen.requests.lock().unwrap();
            requests.push(received.clone());
            react(requests.len() - 1, &received)
        };
        let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(now, Ordering::SeqCst);
        seen.come.0.add_permits(1);
        let went_on = async {
            loop {
                match reaction {
                    Reaction::After(permits, next) => {
                        permits.acquire().await.unwrap().forget();
                        reaction = *next;
                    }
                    Reaction::Answer(status, body) => break answer(&mut stream, status, &body).await,
                    Reaction::AnswerAndClose(status, body) => {
                        answer(&mut stream, status, &body).await;
                        break None;
                    }
                    Reaction::First(bytes, next) => {
                        let _ = stream.write_all(&bytes).await;
                        let _ = stream.flush().await;
                        reaction = *next;
                    }
                    Reaction::Raw(bytes) => {
                        let _ = stream.write_all(&bytes).await;
                        break None;
                    }
                    Reaction::Silence => {
                        let mut rest = [0; 1];
                        let _ = stream.read(&mut rest).await;
                        seen.gone.0.add_permits(1);
                        break None;
                    }
                }
            }
        };
        let went_on = went_on.await;
        seen.now.fetch_sub(1, Ordering::SeqCst);
        went_on?;
    }
}

async fn read(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Received> {
    let mut headers = HashMap::new();
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.to_owned())),
            None if line == "\r\n" => break,
            None => drop(headers.insert("request".to_owned(), line.trim_end().to_owned())),
        }
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received { headers, body })
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), status: u16, body: &str) -> Option<()> {
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

/// A certificate for 127.0.0.1 and the authority that has issued it.
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    pub(crate) fn make(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("carillon-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        for command in [
            format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"),
            format!("req {key} -keyout key.pem -out request.pem -subj /CN=backend"),
            "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem"
                .to_owned(),
        ] {
            let made = Command::new("openssl").args(command.split(' ')).current_dir(&folder).output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        Certificates { folder }
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let chain = |path: &Path| CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(self.folder.join("key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain(&self.folder.join("cert.pem")), key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
