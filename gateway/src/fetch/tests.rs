use super::testing::{Accept, Certificates, Reaction, Seen, serve};
use super::*;
use std::sync::Arc;

const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(30);

fn client(tasks: &Tasks, trust: &Trust) -> Client {
    Client::new(Handle::current(), tasks.clone(), trust, LATE).unwrap()
}

fn request(url: &str) -> Request<Bytes> {
    Request::post(url).body(Bytes::from_static(b"question")).unwrap()
}

async fn send(client: &Client, url: &str, patience: Duration) -> Result<String, FetchError> {
    let answer = client.send(request(url), Instant::now() + patience, 1000).await?;
    Ok(format!("{} {}", answer.status().as_u16(), String::from_utf8_lossy(answer.body())))
}

fn ok(text: &str) -> Reaction {
    Reaction::Answer(200, text.to_owned())
}

async fn plain(
    react: impl Fn(usize, &super::testing::Received) -> Reaction + Send + Sync + 'static,
) -> (Client, String, Arc<Seen>, Tasks) {
    let tasks = Tasks::default();
    let (address, seen) = serve(&tasks, Accept::Plain, react).await;
    (client(&tasks, &Trust::Nobody), format!("http://{address}/path?q=1"), seen, tasks)
}

#[tokio::test]
async fn answers_come_over_kept_connections() {
    let (client, url, seen, tasks) = plain(|n, _| ok(&n.to_string())).await;
    for n in 0..5 {
        assert_eq!(send(&client, &url, LATE).await.unwrap(), format!("200 {n}"));
    }
    assert_eq!(seen.connections(), 1);
    let first = &seen.requests()[0];
    assert_eq!(first.headers["request"], "POST /path?q=1 HTTP/1.1");
    assert_eq!(first.body, b"question");
    tasks.stop().cancel();
    tasks.ended().await;
    assert!(matches!(send(&client, &url, LATE).await, Err(FetchError::Failed(_))));
}

/// A worker's runtime ends; what it asked for was never its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn any_runtime_may_call() {
    let (client, url, seen, _tasks) = plain(|_, _| ok("x")).await;
    for _ in 0..3 {
        let (client, url) = (client.clone(), url.clone());
        let worker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(send(&client, &url, LATE))
        });
        let joined = tokio::task::spawn_blocking(move || worker.join().unwrap());
        assert_eq!(joined.await.unwrap().unwrap(), "200 x");
    }
    assert_eq!(seen.connections(), 1);
}

#[tokio::test]
async fn redirects_are_answers() {
    let moved = b"HTTP/1.1 302 x\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
    let (client, url, seen, _tasks) = plain(move |_, _| Reaction::Raw(moved.to_vec())).await;
    assert_eq!(send(&client, &url, LATE).await.unwrap(), "302 ");
    assert_eq!(seen.requests().len(), 1);
}

#[tokio::test]
async fn deadlines_cover_the_whole() {
    let half = b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nhalf".to_vec();
    let never = Arc::new(tokio::sync::Semaphore::new(0));
    let (client, url, seen, _tasks) = plain(move |n, _| match n {
        0 => Reaction::Silence,
        // the head and a part of the body come at once, the rest never
        _ => Reaction::First(half.clone(), Box::new(Reaction::After(Arc::clone(&never), Box::new(ok(""))))),
    })
    .await;
    assert_eq!(send(&client, &url, SOON).await, Err(FetchError::TimedOut));
    // the server sees that nobody waits
    tokio::time::timeout(LATE, seen.gone.take(1)).await.unwrap();
    assert_eq!(send(&client, &url, SOON).await, Err(FetchError::TimedOut));
    assert_eq!(seen.requests().len(), 2);
}

#[tokio::test]
async fn who_goes_ends_the_request() {
    let (client, url, seen, _tasks) = plain(|_, _| Reaction::Silence).await;
    {
        let mut asking = pin!(send(&client, &url, LATE));
        tokio::select! {
            _ = &mut asking => panic!("nobody answers"),
            () = seen.come.take(1) => {}
        }
    }
    tokio::time::timeout(LATE, seen.gone.take(1)).await.unwrap();
}

#[tokio::test]
async fn answers_are_bounded() {
    let (client, url, _seen, _tasks) = plain(|n, _| match n {
        0 => ok(&"x".repeat(1000)),
        1 => ok(&"x".repeat(1001)),
        // an endless body, without a length
        2 => Reaction::Raw([b"HTTP/1.1 200 x\r\n\r\n".to_vec(), vec![b'x'; 100_000]].concat()),
        _ => Reaction::Raw(b"HTTP/1.1 200 x\r\ncontent-length: 99999999999\r\n\r\n".to_vec()),
    })
    .await;
    assert!(send(&client, &url, LATE).await.is_ok());
    for _ in 0..3 {
        assert_eq!(send(&client, &url, LATE).await, Err(FetchError::TooLarge));
    }
}

#[tokio::test]
async fn what_may_have_arrived_is_not_called_unsent() {
    let (client, url, seen, _tasks) = plain(|n, _| {
        Reaction::Raw(match n {
            0 => Vec::new(),
            1 => b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nhalf".to_vec(),
            2 => b"nonsense\r\n\r\n".to_vec(),
            _ => b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        })
    })
    .await;
    for n in 0..4 {
        let sent = send(&client, &url, LATE).await;
        assert!(matches!(&sent, Err(FetchError::Failed(reason)) if !reason.is_empty()), "{n}: {sent:?}");
    }
    assert_eq!(seen.requests().len(), 4);
}

#[tokio::test]
async fn what_cannot_have_arrived_is_unsent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let tasks = Tasks::default();
    let client = client(&tasks, &Trust::Nobody);
    for url in [format!("http://{address}/"), "http://no-such-host.invalid/".to_owned()] {
        let sent = send(&client, &url, LATE).await;
        assert!(matches!(&sent, Err(FetchError::NotSent(_))), "{sent:?}");
    }
}

/// The TCP connection is accepted, and the TLS handshake never answered.
#[tokio::test]
async fn connecting_has_its_own_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let client = Client::new(Handle::current(), Tasks::default(), &Trust::Nobody, SOON).unwrap();
    assert_eq!(send(&client, &url, LATE).await, Err(FetchError::NotSent("no connection in time".to_owned())));
}

/// The server closes each connection after its answer, without saying so: the next request takes another.
#[tokio::test]
async fn closed_connections_are_replaced() {
    let (client, url, seen, _tasks) = plain(|n, _| Reaction::AnswerAndClose(200, n.to_string())).await;
    let mut failed = 0;
    for _ in 0..50 {
        match send(&client, &url, LATE).await {
            Ok(_) => {}
            // it crossed the close on the way
            Err(FetchError::Failed(_)) => failed += 1,
            Err(error) => panic!("{error}"),
        }
        // the close is seen before the next request
        tokio::task::yield_now().await;
    }
    println!("50 requests, {} seen, {} connections, {failed} lost", seen.requests().len(), seen.connections());
    assert!(seen.requests().len() >= 50 - failed && failed < 50);
}

#[tokio::test]
async fn tls_by_a_file_of_authorities() {
    let certificates = Certificates::make("fetch");
    let tasks = Tasks::default();
    let accept = Accept::Tls(certificates.acceptor(), 0);
    let (address, seen) = serve(&tasks, accept, |_, _| ok("over tls")).await;
    let url = format!("https://{address}/");
    let trust = Trust::for_url(&url, Some(&certificates.authority()));
    assert_eq!(send(&client(&tasks, &trust), &url, LATE).await.unwrap(), "200 over tls");
    for trust in [Trust::Nobody, Trust::System] {
        let Ok(client) = Client::new(Handle::current(), tasks.clone(), &trust, LATE) else {
            println!("the system has no authorities");
            continue;
        };
        let sent = send(&client, &url, LATE).await;
        assert!(matches!(&sent, Err(FetchError::NotSent(reason)) if reason.contains("UnknownIssuer")), "{sent:?}");
    }
    // and for the right name only
    let other = url.replace("127.0.0.1", "localhost");
    let sent = send(&client(&tasks, &trust), &other, LATE).await;
    assert!(matches!(&sent, Err(FetchError::NotSent(_))), "{sent:?}");
    assert_eq!(seen.requests().len(), 1);
}

#[test]
fn files_of_authorities_are_checked() {
    let file = std::env::temp_dir().join(format!("carillon-authorities-{}", std::process::id()));
    std::fs::write(&file, "no certificate\n").unwrap();
    let error = |path: &std::path::Path| Trust::File(path.to_owned()).client_config().unwrap_err().to_string();
    assert!(error(&file).ends_with("there is none in it"), "{}", error(&file));
    std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(error(&file).starts_with("cannot read certificates from"), "{}", error(&file));
    std::fs::remove_file(&file).unwrap();
    assert!(error(&file).contains("os error 2"), "{}", error(&file));
    assert_eq!(Trust::for_url("http://x", Some(&file)), Trust::Nobody);
    assert_eq!(Trust::for_url("HTTPS://x", None), Trust::System);
}
