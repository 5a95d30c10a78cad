//! What happens on the connections between nodes, against a node that is
//! played byte by byte.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::message::NodeTag;

use super::testing::{Registry, TestDirectory};
use super::{ForwardError, PeerMetrics, Peers, SingleNode, Upgrade};

const LONG: Duration = Duration::from_secs(30);

struct Bench {
    peers: Peers,
    registry: Arc<Registry>,
    owner: NodeTag,
    listener: TcpListener,
}

impl Bench {
    async fn new(answer_within: Duration) -> Self {
        let registry = Arc::new(Registry::default());
        let owner = NodeTag::random();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        registry.set(owner, listener.local_addr().unwrap());
        let metrics = PeerMetrics::register(&prometheus::Registry::new()).unwrap();
        let directory = Arc::new(TestDirectory::new(&registry));
        Bench { peers: Peers::new(directory, None, 1, answer_within, 1, metrics), registry, owner, listener }
    }

    async fn poll(&self) -> Result<String, ForwardError> {
        let answer = self.peers.ask(0, self.owner, &Method::GET, "transport=polling&sid=x", Bytes::new()).await?;
        Ok(String::from_utf8(answer.into_body().to_vec()).unwrap())
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    fn forwarded(&self, outcome: &str) -> u64 {
        self.peers.metrics.forwarded("poll", outcome)
    }

    fn kept(&self) -> usize {
        self.peers.pools[0].lock().unwrap().len()
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn answer(stream: &mut TcpStream, body: &str) {
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_connection_is_kept_and_replaced_once_it_has_ended() {
    let bench = Bench::new(LONG).await;
    let node = async {
        let mut first = bench.accept().await;
        for body in ["one", "two"] {
            let head = head(&mut first).await;
            assert!(head.starts_with("GET /internal/v1/engine?transport=polling&sid=x HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("carillon-signature: 1."), "{head}");
            answer(&mut first, body).await;
        }
        first
    };
    let client = async { [bench.poll().await.unwrap(), bench.poll().await.unwrap()] };
    let (first, answers) = tokio::join!(node, client);
    assert_eq!(answers, ["one", "two"]);
    assert_eq!(bench.kept(), 1);

    // the runtime has seen the end of the stream before it is asked again
    drop(first);
    tokio::task::yield_now().await;
    let node = async {
        let mut second = bench.accept().await;
        head(&mut second).await;
        answer(&mut second, "three").await;
    };
    let ((), third) = tokio::join!(node, bench.poll());
    assert_eq!(third.unwrap(), "three");
    assert_eq!((bench.forwarded("answered"), bench.forwarded("lost")), (3, 0));
}

#[tokio::test]
async fn what_may_have_arrived_is_not_sent_again() {
    for on_kept in [false, true] {
        let bench = Bench::new(LONG).await;
        let node = async {
            let mut stream = bench.accept().await;
            head(&mut stream).await;
            if on_kept {
                answer(&mut stream, "one").await;
                head(&mut stream).await;
            }
        };
        let client = async {
            if on_kept {
                assert_eq!(bench.poll().await.unwrap(), "one");
            }
            bench.poll().await
        };
        let ((), outcome) = tokio::join!(node, client);
        assert_eq!(outcome, Err(ForwardError::Lost));
        let mut again = std::pin::pin!(bench.listener.accept());
        assert!(futures_util::poll!(&mut again).is_pending(), "another connection was made");
        assert_eq!((bench.forwarded("lost"), bench.kept()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_lost() {
    let bench = Bench::new(LONG).await;
    let node = async {
        let mut stream = bench.accept().await;
        head(&mut stream).await;
        stream.read_u8().await.unwrap_err().kind()
    };
    let (end, outcome) = tokio::join!(node, bench.poll());
    assert_eq!((end, outcome), (std::io::ErrorKind::UnexpectedEof, Err(ForwardError::Lost)));
}

#[tokio::test]
async fn giving_up_ends_the_request_there() {
    let bench = Bench::new(LONG).await;
    let mut stream = tokio::select! {
        _ = bench.poll() => panic!("nobody answers"),
        stream = async {
            let mut stream = bench.accept().await;
            head(&mut stream).await;
            stream
        } => stream,
    };
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!((bench.forwarded("abandoned"), bench.kept()), (1, 0));
}

#[tokio::test]
async fn nodes_that_are_not_there() {
    let bench = Bench::new(LONG).await;
    bench.registry.down.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(bench.poll().await, Err(ForwardError::Unavailable));
    bench.registry.down.store(false, std::sync::atomic::Ordering::Relaxed);
    let address = bench.listener.local_addr().unwrap();
    let Bench { peers, registry, owner, listener } = bench;
    drop(listener);
    let ask = || peers.ask(0, owner, &Method::GET, "", Bytes::new());
    assert_eq!(ask().await.unwrap_err(), ForwardError::Gone, "{address}");
    registry.remove(owner);
    assert_eq!(ask().await.unwrap_err(), ForwardError::Gone);
    let long = "x".repeat(70_000);
    registry.set(owner, address);
    assert_eq!(peers.ask(0, owner, &Method::GET, &long, Bytes::new()).await.unwrap_err(), ForwardError::TooLong);

    let metrics = PeerMetrics::register(&prometheus::Registry::new()).unwrap();
    let alone = Peers::new(Arc::new(SingleNode::new(NodeTag::random())), None, 1, LONG, 1, metrics);
    assert_eq!(alone.ask(0, owner, &Method::GET, "", Bytes::new()).await.unwrap_err(), ForwardError::Gone);
}

#[tokio::test]
async fn the_place_of_a_websocket_that_is_refused_is_given_back() {
    let bench = Bench::new(LONG).await;
    for _ in 0..2 {
        let node = async {
            let mut stream = bench.accept().await;
            head(&mut stream).await;
            answer(&mut stream, "no").await;
        };
        let headers = HeaderMap::new();
        let ((), upgrade) = tokio::join!(node, bench.peers.upgrade(bench.owner, "", &headers));
        assert!(matches!(upgrade, Ok(Upgrade::Refused(answer)) if answer.body() == "no"));
        assert_eq!(bench.peers.carried(), 0);
    }
}
