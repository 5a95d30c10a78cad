//! Two nodes, and clients whose requests go to either.

mod node;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use crate::message::{NodeTag, Token};
use crate::peers::testing::{Registry, TestDirectory};
use crate::peers::{Directory, PATH};

use node::{Client, Node, Setting, ask, hear, say, send, until};

const UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

async fn two() -> (Node, Node, Arc<Registry>) {
    let registry = Arc::new(Registry::default());
    let first = Node::start(&registry, Setting::default()).await;
    let second = Node::start(&registry, Setting::default()).await;
    (first, second, registry)
}

fn ok(body: &str) -> (u16, String) {
    (200, body.to_owned())
}

fn unknown() -> (u16, String) {
    (400, UNKNOWN.to_owned())
}

#[tokio::test]
async fn polling_at_any_node() {
    let (owner, other, _) = two().await;
    // on both workers
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client::open(&owner).await);
    }
    for client in &mut clients {
        assert_eq!(client.post(&other, "40").await, ok("ok"));
        let (status, connected) = client.get(&other).await;
        assert!(status == 200 && connected.starts_with("40{\"sid\""), "{connected}");
        assert_eq!(client.post(&owner, "421[\"echo\",1]").await, ok("ok"));
        assert_eq!(client.get(&other).await, ok("431[1]"));
        assert_eq!(client.post(&other, "422[\"echo\",2]").await, ok("ok"));
        assert_eq!(client.get(&owner).await, ok("432[2]"));
    }
    assert_eq!((owner.sessions(), other.sessions()), (8, 0));
    let forwarded = [other.forwarded("poll", "answered"), other.forwarded("post", "answered")];
    assert_eq!(forwarded, [16, 16]);
    assert_eq!(owner.forwarded("poll", "answered"), 0);
    println!("{} sessions, forwarded {forwarded:?}", clients.len());
}

#[tokio::test]
async fn what_the_owner_refuses_is_told() {
    let (owner, other, _) = two().await;
    let mut client = Client::open(&owner).await;
    let large = "4".repeat(1_000_001);
    assert_eq!(client.post(&other, &large).await.0, 413);
    // a GET that comes twice is closed by the owner, wherever it comes in
    let target = client.target();
    assert_eq!(client.post(&other, "40").await, ok("ok"));
    assert_eq!(ask(&other.public, "GET", &target, "").await.0, 200);
    assert_eq!(ask(&owner.public, "GET", &target, "").await.0, 400);
    until("the session to end", || owner.sessions() == 0).await;
    assert_eq!(client.get(&other).await, unknown());

    // so are two at a time
    let mut client = Client::open(&owner).await;
    let first = send(&other.public, "GET", &client.target(), "", "").await;
    until("the first to wait", || owner.metric("carillon_polls_waiting") == 1).await;
    assert_eq!(client.get(&owner).await.0, 400);
    until("the session to end", || owner.sessions() == 0).await;
    drop(first);

    // bad methods, and ids that are none
    assert_eq!(ask(&other.public, "PUT", &Client::open(&owner).await.target(), "").await.0, 400);
    assert_eq!(ask(&other.public, "GET", "/socket.io/?EIO=4&transport=polling&sid=x", "").await, unknown());
}

#[tokio::test]
async fn a_client_that_goes_away_is_missed_at_the_owner() {
    let (owner, other, _) = two().await;
    let mut client = Client::open(&owner).await;
    let waiting = send(&other.public, "GET", &client.target(), "", "").await;
    until("the GET to wait", || owner.metric("carillon_polls_waiting") == 1).await;
    assert_eq!(owner.sessions(), 1);
    drop(waiting);
    until("the session to end", || owner.sessions() == 0).await;
    until("the count", || other.forwarded("poll", "abandoned") == 1).await;
}

#[tokio::test]
async fn a_websocket_at_another_node() {
    let (owner, other, _) = two().await;
    let mut client = Client::open(&owner).await;
    assert_eq!(client.post(&other, "40").await, ok("ok"));
    assert_eq!(client.get(&other).await.0, 200);
    let waiting = send(&other.public, "GET", &client.target(), "connection: close\r\n", "").await;
    until("the GET to wait", || owner.metric("carillon_polls_waiting") == 1).await;

    let (mut stream, head) = client.upgrade(&other).await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    say(&mut stream, "2probe").await;
    assert_eq!(hear(&mut stream).await, "3probe");
    let mut answer = String::new();
    let mut waiting = waiting;
    waiting.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("\r\n\r\n6"), "{answer}");
    say(&mut stream, "5").await;
    // more than the buffers of the sockets on the way hold
    let long = "x".repeat(900_000);
    let mut echoed = 0;
    for n in 0..20 {
        say(&mut stream, &format!("42{n}[\"echo\",\"{long}\"]")).await;
        assert_eq!(hear(&mut stream).await, format!("43{n}[\"{long}\"]"));
        echoed += long.len();
    }
    assert_eq!((other.transports.peers.carried(), owner.sessions()), (1, 1));
    assert_eq!(other.metric("carillon_forwarded_websockets"), 1);
    println!("{echoed} bytes each way");

    drop(stream);
    until("the session to end", || owner.sessions() == 0).await;
    until("the tunnel to end", || other.transports.peers.carried() == 0).await;
    assert_eq!(other.metric("carillon_forwarded_websockets"), 0);
    assert_eq!(other.metric("carillon_forwarded_websockets_total"), 1);
    until("the streams to be given back", || {
        owner.transports.workers.iter().chain(&other.transports.workers).all(|worker| worker.streams.get() == 0)
    })
    .await;
}

/// A session that has been upgraded by way of another node.
async fn upgraded(owner: &Node, other: &Node) -> tokio::net::TcpStream {
    let client = Client::open(owner).await;
    let (mut stream, _) = client.upgrade(other).await;
    say(&mut stream, "2probe").await;
    assert_eq!(hear(&mut stream).await, "3probe");
    say(&mut stream, "5").await;
    say(&mut stream, "40").await;
    assert!(hear(&mut stream).await.starts_with("40{"));
    stream
}

#[tokio::test]
async fn either_end_of_a_tunnel_ends_it() {
    let (owner, other, _) = two().await;
    let mut stream = upgraded(&owner, &other).await;
    // a packet that no client may send: the owner closes, and says why
    say(&mut stream, "x").await;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [0x88, 2, 3, 0xea]);
    until("the tunnel to end", || other.transports.peers.carried() == 0).await;

    let mut stream = upgraded(&owner, &other).await;
    other.transports.peers.drain(Duration::from_millis(1));
    stream.read_to_end(&mut rest).await.unwrap();
    until("the session to end", || owner.sessions() == 0).await;
}

#[tokio::test]
async fn tunnels_are_limited() {
    let registry = Arc::new(Registry::default());
    let owner = Node::start(&registry, Setting::default()).await;
    let other = Node::start(&registry, Setting { max_forwarded: 1, ..Setting::default() }).await;
    let first = upgraded(&owner, &other).await;
    let mut second = Client::open(&owner).await;
    let (_, head) = second.upgrade(&other).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(other.forwarded("upgrade", "limited"), 1);
    // it stays on polling
    assert_eq!(second.post(&other, "40").await, ok("ok"));
    assert_eq!(second.get(&other).await.0, 200);
    drop(first);
    until("the tunnel to end", || other.transports.peers.carried() == 0).await;
    let (_, head) = second.upgrade(&other).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

#[tokio::test]
async fn a_session_whose_node_is_gone_is_unknown_at_once() {
    let (owner, other, registry) = two().await;
    let mut client = Client::open(&owner).await;
    registry.down.store(true, Ordering::Relaxed);
    let (status, body) = client.get(&other).await;
    assert_eq!((status, &*body), (503, r#"{"code":8,"message":"Directory unavailable"}"#));
    registry.down.store(false, Ordering::Relaxed);
    assert_eq!(client.post(&other, "40").await, ok("ok"));

    let (tag, tasks) = (owner.tag, owner.tasks.clone());
    drop(owner);
    // its connections are closed, the kept ones too
    tasks.ended().await;
    let upgrade = client.upgrade(&other).await.1;
    assert!(upgrade.starts_with("HTTP/1.1 400 "), "{upgrade}");
    assert_eq!(client.get(&other).await, unknown());
    registry.remove(tag);
    assert_eq!(client.post(&other, "41").await, unknown());
    assert_eq!(["poll", "post", "upgrade"].map(|kind| other.forwarded(kind, "gone")), [1, 1, 1]);
}

#[tokio::test]
async fn nobody_else_may_forward() {
    let registry = Arc::new(Registry::default());
    let owner = Node::start(&registry, Setting::default()).await;
    let foreign = Node::start(&registry, Setting { secret: b"of others", ..Setting::default() }).await;
    let mut client = Client::open(&owner).await;
    let query = format!("EIO=4&transport=polling&t=0&sid={}", client.sid);
    for method in ["GET", "POST"] {
        assert_eq!(ask(&owner.internal, method, &format!("{PATH}?{query}"), "40").await.0, 403);
    }
    assert_eq!(owner.metric("carillon_peer_requests_refused_total{reason=\"missing\"}"), 2);
    assert_eq!(client.post(&foreign, "40").await, unknown());
    let (_, head) = client.upgrade(&foreign).await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(owner.metric("carillon_peer_requests_refused_total{reason=\"wrong\"}"), 2);
    assert_eq!((foreign.forwarded("post", "untrusted"), foreign.forwarded("upgrade", "untrusted")), (1, 1));
    // nothing of it has reached the session
    let waiting = send(&owner.public, "GET", &client.target(), "", "").await;
    until("the GET to wait", || owner.metric("carillon_polls_waiting") == 1).await;
    drop(waiting);
}

#[tokio::test]
async fn what_was_forwarded_is_not_forwarded_again() {
    let (first, second, registry) = two().await;
    // a tag that leads in a circle
    let circle = TestDirectory::new(&registry).this();
    registry.set(circle, &first.internal);
    let sid = Token::random().with_first(0).with_node(circle);
    let target = format!("/socket.io/?EIO=4&transport=polling&t=0&sid={sid}");
    assert_eq!(ask(&second.public, "GET", &target, "").await, unknown());
    assert_eq!(second.forwarded("poll", "answered"), 1);
    for outcome in ["answered", "gone", "lost", "abandoned"] {
        assert_eq!(first.forwarded("poll", outcome), 0, "{outcome}");
    }
    let nowhere = Token::random().with_node(NodeTag::random());
    let target = format!("/socket.io/?EIO=4&transport=polling&t=0&sid={nowhere}");
    assert_eq!(ask(&second.public, "GET", &target, "").await, unknown());
}
