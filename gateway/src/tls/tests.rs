//! A stream with TLS against a client of rustls's own, and what becomes of
//! files.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::rustls::version::TLS13;
use tokio_util::sync::CancellationToken;

use super::metrics::{Handshake, Reload};
use super::testing::{Authority, VERSIONS, localhost, pair, sockets};
use super::{Authorities, ClientStream, Endpoint, HANDSHAKE_TIMEOUT, Settings, Side, Stream};

/// More than sockets on loopback hold.
const MUCH: usize = 24 << 20;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

/// Reads as a session does: when it is worth a try.
async fn read(stream: &Stream, length: usize) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    while all.len() < length {
        stream.readable().await.unwrap();
        match stream.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
    }
    all
}

async fn is_readable(stream: &Stream) -> bool {
    poll_fn(|context| Poll::Ready(stream.poll_read_ready(context).is_ready())).await
}

#[test]
fn a_stream_is_no_larger_than_its_socket() {
    assert_eq!(size_of::<Stream>(), size_of::<TcpStream>());
}

#[tokio::test]
async fn large_messages_pass_both_ways() {
    for version in VERSIONS {
        let (mut client, server) = pair(&[version]).await;
        let sent = pattern(3 << 20);
        client.get_ref().0.set_nodelay(true).unwrap();
        let (received, ()) = tokio::join!(read(&server, sent.len()), async {
            client.write_all(&sent).await.unwrap();
            client.flush().await.unwrap();
        });
        assert!(received == sent, "{version:?}: {} of {} bytes", received.len(), sent.len());
        let mut received = vec![0; sent.len()];
        let (written, got) = tokio::join!(server.write_all(&sent), client.read_exact(&mut received));
        written.unwrap();
        got.unwrap();
        assert!(received == sent, "{version:?}");
    }
}

#[tokio::test]
async fn records_come_in_pieces() {
    let (client, server) = pair(&[&TLS13]).await;
    let (mut socket, mut tls) = client.into_inner();
    std::io::Write::write_all(&mut tls.writer(), b"in pieces").unwrap();
    let mut record = Vec::new();
    tls.write_tls(&mut record).unwrap();
    socket.set_nodelay(true).unwrap();
    let (received, ()) = tokio::join!(read(&server, 9), async {
        for byte in &record {
            socket.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(received, b"in pieces");
}

#[tokio::test]
async fn what_was_decrypted_is_ready_whatever_the_socket_says() {
    let (mut client, server) = pair(&[&TLS13]).await;
    client.write_all(b"first second").await.unwrap();
    client.flush().await.unwrap();
    server.readable().await.unwrap();
    let mut some = [0; 6];
    assert_eq!(server.try_read(&mut some).unwrap(), 6);
    assert_eq!(&some, b"first ");
    // the socket is empty: asked itself, it has nothing
    let Stream::Tls(inner) = &server else { panic!("no TLS") };
    let mut probe = [0; 1];
    assert_eq!(inner.socket.try_read(&mut probe).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(is_readable(&server).await);
    assert_eq!(server.try_read(&mut some).unwrap(), 6);
    assert_eq!(&some, b"second");
    assert!(!is_readable(&server).await);
    assert_eq!(server.try_read(&mut some).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn many_small_records_pass() {
    let (mut client, server) = pair(&[&TLS13]).await;
    let sent = pattern(5000);
    let (received, ()) = tokio::join!(read(&server, sent.len()), async {
        for byte in &sent {
            client.write_all(&[*byte]).await.unwrap();
        }
        client.flush().await.unwrap();
    });
    assert!(received == sent);
    let mut received = vec![0; sent.len()];
    let (written, got) = tokio::join!(
        async {
            for byte in &sent {
                server.write_all(&[*byte]).await?;
            }
            Ok::<_, std::io::Error>(())
        },
        client.read_exact(&mut received)
    );
    written.unwrap();
    got.unwrap();
    assert!(received == sent);
}

/// Writes until no more is taken: how much was.
fn fill(server: &Stream, bytes: &[u8]) -> usize {
    let mut taken = 0;
    loop {
        match server.try_write(&bytes[taken..]) {
            Ok(count) => taken += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return taken;
            }
        }
    }
}

async fn read_all(client: &mut ClientStream, length: usize) -> Vec<u8> {
    let mut received = vec![0; length];
    client.read_exact(&mut received).await.unwrap();
    received
}

#[tokio::test]
async fn a_slow_reader_blocks_and_is_drained() {
    let (mut client, server) = pair(&[&TLS13]).await;
    let sent = pattern(MUCH);
    let taken = fill(&server, &sent);
    assert!((1..MUCH).contains(&taken), "{taken}");
    // what TLS holds back is told of, and bounded
    assert_eq!(server.try_flush().unwrap_err().kind(), ErrorKind::WouldBlock);
    // readiness was used up by the write that was not taken
    assert!(poll!(std::pin::pin!(poll_fn(|context| server.poll_write_ready(context)))).is_pending());
    let (flushed, received) = tokio::join!(server.write_all(&[]), read_all(&mut client, taken));
    flushed.unwrap();
    assert!(received == sent[..taken]);
    server.try_flush().unwrap();
    assert_eq!(server.try_write(b"more").unwrap(), 4);
    assert_eq!(read_all(&mut client, 4).await, b"more");
}

#[tokio::test]
async fn the_end_is_said_and_heard() {
    let (mut client, server) = pair(&[&TLS13]).await;
    assert_eq!(server.try_write(b"bye").unwrap(), 3);
    server.say_end();
    let mut rest = Vec::new();
    // an error unless close_notify came, for the socket is closed after it
    drop(server);
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"bye");

    // with data before it, and without the end of the socket
    let (client, server) = pair(&[&TLS13]).await;
    let (mut socket, mut tls) = client.into_inner();
    std::io::Write::write_all(&mut tls.writer(), b"last").unwrap();
    tls.send_close_notify();
    let mut records = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut records).unwrap();
    }
    socket.write_all(&records).await.unwrap();
    assert_eq!(read(&server, 100).await, b"last");
    drop(socket);
}

#[tokio::test]
async fn an_end_without_a_word_is_an_error() {
    let (client, server) = pair(&[&TLS13]).await;
    let (mut socket, _) = client.into_inner();
    socket.shutdown().await.unwrap();
    server.readable().await.unwrap();
    let mut buffer = [0; 10];
    assert_eq!(server.try_read(&mut buffer).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn garbage_is_an_error_and_answered_with_an_alert() {
    let (client, server) = pair(&[&TLS13]).await;
    let (mut socket, _) = client.into_inner();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    server.readable().await.unwrap();
    let mut buffer = [0; 10];
    assert_eq!(server.try_read(&mut buffer).unwrap_err().kind(), ErrorKind::InvalidData);
    // tickets of the handshake come before it
    drop(server);
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.ok();
    assert!(!answer.is_empty());
}

#[tokio::test]
async fn it_goes_on_at_another_reactor_with_what_was_decrypted() {
    let (mut client, server) = pair(&[&TLS13]).await;
    client.write_all(b"here there").await.unwrap();
    client.flush().await.unwrap();
    server.readable().await.unwrap();
    let mut here = [0; 5];
    assert_eq!(server.try_read(&mut here).unwrap(), 5);
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = server.rebound().unwrap();
            assert_eq!(read(&stream, 5).await, b"there");
            stream.write_all(b"and back").await.unwrap();
        });
    });
    assert_eq!(read_all(&mut client, 8).await, b"and back");
    elsewhere.join().unwrap();
}

/// A handshake as a client without a certificate; the one the server showed.
async fn shown(authority: &Authority, endpoint: &Endpoint) -> Option<(Vec<u8>, ClientStream, Stream)> {
    let (client, server) = sockets().await;
    let connector = authority.connector(&VERSIONS);
    let (client, server) = tokio::join!(connector.connect(localhost(), client), endpoint.accept(server));
    let (client, server) = (client.ok()?, server?);
    let shown = client.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    Some((shown, client, server.into()))
}

#[tokio::test]
async fn changed_files_are_for_new_connections() {
    let authority = Authority::new();
    let endpoint = authority.endpoint(|_| {});
    let (first, mut client, server) = shown(&authority, &endpoint).await.unwrap();
    endpoint.look();
    assert_eq!(endpoint.reloads(), (0, 0));
    authority.issue("127.0.0.1");
    endpoint.look();
    assert_eq!(endpoint.reloads(), (1, 0));
    let (second, ..) = shown(&authority, &endpoint).await.unwrap();
    assert_ne!(first, second);
    // the old one goes on
    server.write_all(b"still here").await.unwrap();
    assert_eq!(read_all(&mut client, 10).await, b"still here");

    // one file is changed before the other: refused once, then taken
    let (cert, key) = authority.certificate("127.0.0.1", |_| {});
    authority.write("cert.pem", &cert);
    endpoint.look();
    endpoint.look();
    assert_eq!(endpoint.reloads(), (1, 1));
    assert_eq!(shown(&authority, &endpoint).await.unwrap().0, second);
    authority.write("key.pem", &key);
    endpoint.look();
    assert_eq!(endpoint.reloads(), (2, 1));
    assert_ne!(shown(&authority, &endpoint).await.unwrap().0, second);

    // gone for a while
    std::fs::remove_file(authority.file("key.pem")).unwrap();
    endpoint.look();
    endpoint.look();
    assert_eq!(endpoint.reloads(), (2, 2));
    assert!(shown(&authority, &endpoint).await.is_some());
    authority.write("key.pem", &key);
    endpoint.look();
    assert_eq!(endpoint.reloads(), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn files_are_looked_at_from_time_to_time() {
    let authority = Authority::new();
    let endpoint = authority.endpoint(|_| {});
    let stop = CancellationToken::new();
    authority.issue("127.0.0.1");
    let changed = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(endpoint.reloads(), (1, 0));
        stop.cancel();
    };
    tokio::join!(endpoint.run(stop.clone()), changed);
}

#[tokio::test]
async fn handshakes_are_counted_and_sessions_resumed() {
    let authority = Authority::new();
    let endpoint = authority.endpoint(|_| {});
    let connector = authority.connector(&VERSIONS);
    for resumed in [false, true] {
        let (client, server) = sockets().await;
        let (client, server) = tokio::join!(connector.connect(localhost(), client), endpoint.accept(server));
        let (mut client, server) = (client.unwrap(), Stream::from(server.unwrap()));
        assert_eq!(client.get_ref().1.alpn_protocol(), None, "none was offered");
        assert_eq!(client.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let kind = client.get_ref().1.handshake_kind().unwrap();
        assert_eq!(format!("{kind:?}") == "Resumed", resumed, "{kind:?}");
        // a client reads its tickets before what comes behind them
        server.write_all(b"x").await.unwrap();
        assert_eq!(read_all(&mut client, 1).await, b"x");
    }
    let (mut client, server) = sockets().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(endpoint.accept(server).await.is_none());
    assert_eq!((endpoint.shaken(Handshake::Completed), endpoint.shaken(Handshake::Failed)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_shake_hands_is_let_go() {
    let authority = Authority::new();
    let endpoint = authority.endpoint(|_| {});
    let (client, server) = sockets().await;
    let start = tokio::time::Instant::now();
    assert!(endpoint.accept(server).await.is_none());
    assert_eq!(start.elapsed().as_secs(), HANDSHAKE_TIMEOUT.as_secs());
    assert_eq!(endpoint.shaken(Handshake::TimedOut), 1);
    drop(client);
}

/// As another node calls: what each side makes of the handshake. What the
/// server refuses, a client of TLS 1.3 learns only when it reads.
async fn call(caller: &Endpoint, called: &Endpoint, address: &str) -> (Result<(), String>, bool) {
    let (client, server) = sockets().await;
    let (client, server) = tokio::join!(caller.connect(client, address), called.accept(server));
    (client.map(drop).map_err(|error| error.to_string()), server.is_some())
}

#[tokio::test]
async fn nodes_check_each_others_certificates() {
    let (authority, other) = (Authority::new(), Authority::new());
    let node = |authority: &Authority, trusted: &Authority| {
        let file = trusted.file("ca.pem");
        authority.endpoint(|settings| {
            settings.client_ca_file = Some(file.clone());
            settings.peers = Some(Authorities::File("client_ca_file", file));
        })
    };
    let (one, two) = (node(&authority, &authority), node(&authority, &authority));
    assert_eq!(call(&one, &two, "127.0.0.1:9100").await, (Ok(()), true));
    // not the host that was called
    let (client, _) = call(&one, &two, "10.0.0.5:9100").await;
    assert!(client.as_ref().is_err_and(|error| error.contains("certificate not valid for name")), "{client:?}");
    // the caller is of an authority that the other does not know, or shows nothing
    let stranger = node(&other, &authority);
    let (_, accepted) = call(&stranger, &two, "127.0.0.1:9100").await;
    assert!(!accepted);
    assert!(shown(&authority, &two).await.is_none());
    // the called one is
    let (client, _) = call(&one, &stranger, "127.0.0.1:9100").await;
    assert!(client.as_ref().is_err_and(|error| error.contains("UnknownIssuer")), "{client:?}");
}

#[tokio::test]
async fn one_name_may_stand_for_all_nodes() {
    let authority = Authority::new();
    let node = |host: &str, name: &'static str| {
        let file = authority.file("ca.pem");
        authority.endpoint(|settings| {
            authority.issue(host);
            settings.peers = Some(Authorities::File("ca_file", file));
            settings.peers_name = Some(ServerName::try_from(name).unwrap());
        })
    };
    let one = node("carillon.internal", "carillon.internal");
    // wherever it was called
    for address in ["127.0.0.1:9100", "10.0.0.5:9100", "elsewhere:1"] {
        assert_eq!(call(&one, &node("carillon.internal", "carillon.internal"), address).await, (Ok(()), true));
    }
    // for the host that was called, but not for the name
    let (client, _) = call(&one, &node("127.0.0.1", "carillon.internal"), "127.0.0.1:9100").await;
    assert!(client.as_ref().is_err_and(|error| error.contains("certificate not valid for name")), "{client:?}");
}

#[test]
fn what_is_wrong_with_files_is_said() {
    let authority = Authority::new();
    authority.issue("localhost");
    let (cert, key) = authority.certificate("localhost", |_| {});
    let good = authority.settings();
    let check = |change: &dyn Fn(&mut Settings)| {
        let mut settings = good.clone();
        change(&mut settings);
        settings.check().map_err(|error| error.to_string().replace(authority.file("").to_str().unwrap(), ""))
    };
    assert_eq!(check(&|_| {}), Ok(()));
    let file = |name: &str, text: &str| authority.write(name, text);
    let not_base64 = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    let not_a_certificate = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let not_a_key = "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n";
    for (change, expected) in [
        (
            Box::new(|s: &mut Settings| s.cert_file = "nowhere".into()) as Box<dyn Fn(&mut Settings)>,
            "cert_file: nowhere: cannot be read: No such file",
        ),
        (Box::new(|s| s.key_file = "nowhere".into()), "key_file: nowhere: cannot be read: No such file"),
        (Box::new(|s| s.cert_file = file("empty", "")), "cert_file: empty: no certificate in it"),
        (Box::new(|s| s.cert_file = s.key_file.clone()), "cert_file: key.pem: no certificate in it"),
        (Box::new(|s| s.key_file = s.cert_file.clone()), "key_file: cert.pem: no private key in it"),
        (Box::new(|s| s.key_file = file("other", &key)), "key_file: other: is not the key of the certificate"),
        (Box::new(|s| s.cert_file = file("odd", not_base64)), "cert_file: odd: not PEM: a section is not base64"),
        (Box::new(|s| s.cert_file = file("cut", &cert[..100])), "cert_file: cut: not PEM: a section has no end"),
        (Box::new(|s| s.cert_file = file("bad", not_a_certificate)), "cert_file: bad: not a certificate that can be"),
        (Box::new(|s| s.key_file = file("bad.key", not_a_key)), "key_file: bad.key: not a key that can be used"),
        (
            Box::new(|s| s.client_ca_file = Some(file("no.ca", "# none\n"))),
            "client_ca_file: no.ca: no certificate in it",
        ),
        (
            Box::new(|s| s.peers = Some(Authorities::File("ca_file", file("bad.ca", not_a_certificate)))),
            "ca_file: bad.ca: not a certificate that can be used",
        ),
    ] {
        let error = check(&*change).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_certificate_that_clients_will_refuse_is_doubted() {
    let authority = Authority::new();
    let doubt = |change: &dyn Fn(&mut rcgen::CertificateParams)| {
        let (cert, key) = authority.certificate("localhost", change);
        authority.write("cert.pem", &cert);
        authority.write("key.pem", &key);
        let settings = authority.settings();
        let made = settings.make(&settings.read().unwrap()).unwrap();
        made.doubt.map(|doubt| doubt.to_string()).unwrap_or_default()
    };
    assert_eq!(doubt(&|_| {}), "");
    let expired = doubt(&|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert!(expired.starts_with("certificate expired"), "{expired}");
    let early = doubt(&|params| params.not_before = rcgen::date_time_ymd(2090, 1, 1));
    assert!(early.starts_with("certificate not valid yet"), "{early}");
    let purpose = doubt(&|params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth]);
    assert!(purpose.contains("certificate does not allow extended key usage"), "{purpose}");
}

impl Endpoint {
    /// Taken and refused.
    fn reloads(&self) -> (u64, u64) {
        let count = |outcome| self.metrics.reloads(Side::Internal, outcome);
        (count(Reload::Taken), count(Reload::Refused))
    }

    fn shaken(&self, outcome: Handshake) -> u64 {
        self.metrics.count(Side::Internal, outcome)
    }
}
