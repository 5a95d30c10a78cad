//! Sets of keys that are fetched: when, how often, and what holds meanwhile. Time is virtual.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use config::Algorithm::{ES256, RS256};
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::{advance, sleep};

use super::*;
use crate::auth::KeyServer;
use crate::tasks::Tasks;

/// Answers what it is told to, after a second of virtual time.
struct Server {
    answer: Mutex<Result<String, String>>,
    fetches: AtomicUsize,
}

struct Setting {
    server: Arc<Server>,
    verifier: Arc<Verifier>,
    registry: Registry,
    tasks: Tasks,
}

#[async_trait]
impl KeyServer for Server {
    async fn fetch(&self) -> Result<Bytes, String> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
        self.answer.lock().unwrap().clone().map(Bytes::from)
    }
}

impl Server {
    fn answers(&self, answer: Result<&[Value], &str>) {
        *self.answer.lock().unwrap() = answer.map(|keys| json!({ "keys": keys }).to_string()).map_err(str::to_owned);
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }
}

impl Setting {
    /// A verifier whose task runs.
    fn new(answer: Result<&[Value], &str>) -> Self {
        let server = Arc::new(Server { answer: Mutex::new(Err(String::new())), fetches: AtomicUsize::new(0) });
        server.answers(answer);
        let auth = Auth { jwks_url: "https://id.example/jwks".to_owned(), ..jwt(&[RS256, ES256]) };
        let registry = Registry::new();
        let give = |url: &str| {
            assert_eq!(url, "https://id.example/jwks");
            Arc::clone(&server) as Arc<dyn KeyServer>
        };
        let verifier = Verifier::new(&auth, give, clock().1, AuthMetrics::register(&registry).unwrap()).unwrap();
        let (verifier, tasks) = (Arc::new(verifier), Tasks::default());
        let (run, stop) = (Arc::clone(&verifier), tasks.stop().clone());
        tasks.spawn_vital("keys", async move { run.run(stop).await });
        Setting { server, verifier, registry, tasks }
    }

    async fn user(&self, token: &str) -> Result<(), AuthError> {
        self.verifier.verify(token).await.map(|identity| assert_eq!(identity.user.as_deref(), Some("ann")))
    }

    fn counted(&self, result: &str) -> u64 {
        let families = self.registry.gather();
        let fetches = families.iter().find(|family| family.name() == "carillon_jwks_fetches_total").unwrap();
        let metric = fetches.get_metric().iter().find(|metric| metric.get_label()[0].value() == result).unwrap();
        metric.get_counter().value() as u64
    }
}

fn old() -> Value {
    jwk(RS256, "rsa", json!({ "kid": "old" }))
}

fn new() -> Value {
    jwk(ES256, "p256", json!({ "kid": "new" }))
}

fn by_old() -> String {
    token(RS256, "rsa", Some("old"), &ann())
}

fn by_new() -> String {
    token(ES256, "p256", Some("new"), &ann())
}

#[tokio::test(start_paused = true)]
async fn keys_rotate() {
    let setting = Setting::new(Ok(&[old()]));
    assert_eq!(setting.user(&by_old()).await, Ok(()), "the first waits for the first fetch");
    assert_eq!(setting.server.fetches(), 1);

    setting.server.answers(Ok(&[old(), new()]));
    assert_eq!(setting.user(&by_new()).await, Err(AuthError::UnknownKey), "the set was read just now");
    advance(Duration::from_secs(11)).await;
    assert_eq!(setting.user(&by_new()).await, Ok(()), "an unknown key has it read at once");
    assert_eq!(setting.user(&by_old()).await, Ok(()));
    assert_eq!(setting.server.fetches(), 2);

    setting.server.answers(Ok(&[new()]));
    sleep(Duration::from_secs(590)).await;
    assert_eq!((setting.user(&by_old()).await, setting.server.fetches()), (Ok(()), 2), "not yet refreshed");
    sleep(Duration::from_secs(15)).await;
    assert_eq!(setting.server.fetches(), 3);
    assert_eq!(setting.user(&by_old()).await, Err(AuthError::UnknownKey), "taken away");
    assert_eq!(setting.user(&by_new()).await, Ok(()));
    assert_eq!((setting.counted("taken"), setting.counted("failed")), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_crowd_with_an_unknown_key_shares_one_fetch() {
    let setting = Setting::new(Ok(&[old()]));
    setting.user(&by_old()).await.unwrap();
    advance(Duration::from_secs(11)).await;
    setting.server.answers(Ok(&[old(), new()]));
    let (good, forged) = (by_new(), token(RS256, "rsa", Some("made up"), &ann()));
    let all = join_all((0..200).flat_map(|_| [setting.user(&good), setting.user(&forged)])).await;
    let accepted = all.iter().filter(|result| result.is_ok()).count();
    let unknown = all.iter().filter(|result| **result == Err(AuthError::UnknownKey)).count();
    println!("{accepted} accepted, {unknown} unknown by {} fetches", setting.server.fetches());
    assert_eq!((accepted, unknown, setting.server.fetches()), (200, 200, 2));
}

#[tokio::test(start_paused = true)]
async fn made_up_keys_cost_one_fetch_in_ten_seconds() {
    let setting = Setting::new(Ok(&[old()]));
    setting.user(&by_old()).await.unwrap();
    for id in 0..1_000 {
        let forged = token(ES256, "p256", Some(&format!("made up {id}")), &ann());
        assert_eq!(setting.user(&forged).await, Err(AuthError::UnknownKey));
        sleep(Duration::from_millis(100)).await;
    }
    // a hundred seconds and the time of the fetches
    println!("{} fetches", setting.server.fetches());
    assert!((9..=11).contains(&setting.server.fetches()), "{}", setting.server.fetches());
}

#[tokio::test(start_paused = true)]
async fn a_node_starts_without_its_keys() {
    let setting = Setting::new(Err("connection refused"));
    assert_eq!(setting.user(&by_old()).await, Err(AuthError::Unavailable), "after the first attempt");
    assert!(AuthError::Unavailable.is_transient());
    let at_once = setting.user(&by_old()).now_or_never();
    assert_eq!(at_once, Some(Err(AuthError::Unavailable)), "without waiting for the next");
    sleep(Duration::from_secs(60)).await;
    // after 1, 2, 4, 8, 16, 30 seconds, each of which takes one itself
    assert_eq!(setting.server.fetches(), 6);
    setting.server.answers(Ok(&[old()]));
    sleep(Duration::from_secs(31)).await;
    assert_eq!(setting.user(&by_old()).await, Ok(()));
    assert_eq!((setting.counted("failed"), setting.counted("taken")), (6, 1));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_leaves_the_old_keys() {
    let setting = Setting::new(Ok(&[old()]));
    setting.user(&by_old()).await.unwrap();
    let mut fetches = 1;
    for (answer, counted) in [
        (Err("connection refused"), "failed"),
        (Ok(vec![]), "refused"),
        (Ok(vec![jwk(RS256, "rsa-other", json!({ "use": "enc" }))]), "refused"),
        (Ok(vec![json!("x".repeat(1 << 20))]), "refused"),
    ] {
        setting.server.answers(answer.as_ref().map(|keys| &keys[..]).map_err(|error| *error));
        let before = setting.counted(counted);
        advance(Duration::from_secs(11)).await;
        // the key may be in the set that could not be had
        assert_eq!(setting.user(&by_new()).await, Err(AuthError::Unavailable), "{counted}");
        assert_eq!(setting.user(&by_old()).await, Ok(()), "{counted}");
        assert!(setting.counted(counted) > before && setting.server.fetches() > fetches, "{counted}");
        fetches = setting.server.fetches();
    }
    setting.server.answers(Ok(&[new()]));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(setting.user(&by_new()).await, Ok(()), "it was tried again before the refresh");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_given_up() {
    struct Hangs;
    #[async_trait]
    impl KeyServer for Hangs {
        async fn fetch(&self) -> Result<Bytes, String> {
            std::future::pending().await
        }
    }
    let auth = Auth { jwks_url: "https://id.example/jwks".to_owned(), ..jwt(&[RS256]) };
    let verifier = Arc::new(Verifier::new(&auth, |_| Arc::new(Hangs), clock().1, metrics()).unwrap());
    assert_eq!(verifier.verify(&by_old()).await.err(), Some(AuthError::Unavailable), "nothing runs");
    let (tasks, run) = (Tasks::default(), Arc::clone(&verifier));
    let stop = tasks.stop().clone();
    tasks.spawn_vital("keys", async move { run.run(stop).await });
    let from = tokio::time::Instant::now();
    assert_eq!(verifier.verify(&by_old()).await.err(), Some(AuthError::Unavailable));
    assert_eq!(from.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_ends_no_fetch() {
    let setting = Setting::new(Ok(&[old()]));
    let token = by_old();
    let impatient = tokio::time::timeout(Duration::from_millis(500), setting.user(&token));
    assert!(impatient.await.is_err());
    assert_eq!(setting.user(&token).await, Ok(()));
    assert_eq!(setting.server.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_when_told() {
    let setting = Setting::new(Ok(&[old()]));
    setting.user(&by_old()).await.unwrap();
    setting.tasks.stop().cancel();
    setting.tasks.ended().await;
    assert_eq!(setting.user(&by_old()).await, Ok(()), "what is there stays");

    let fixed = verifier(&with_key(RS256, "rsa")).unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    assert!(fixed.run(stop.clone()).now_or_never().is_none());
    stop.cancel();
    fixed.run(stop).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_again() {
    let set = |keys: &[Value]| json!({ "keys": keys }).to_string();
    let file = Scratch::new(&set(&[old()]));
    let auth = Auth { jwks_file: Some(file.0.clone()), ..jwt(&[RS256, ES256]) };
    let verifier = Arc::new(verifier(&auth).unwrap());
    let (tasks, run) = (Tasks::default(), Arc::clone(&verifier));
    let stop = tasks.stop().clone();
    tasks.spawn_vital("keys", async move { run.run(stop).await });
    assert!(verifier.verify(&by_old()).await.is_ok());
    std::fs::write(&file.0, set(&[new()])).unwrap();
    assert_eq!(verifier.verify(&by_new()).await.err(), Some(AuthError::UnknownKey), "it was read just now");
    advance(Duration::from_secs(11)).await;
    assert!(verifier.verify(&by_new()).await.is_ok());
    assert_eq!(verifier.verify(&by_old()).await.err(), Some(AuthError::UnknownKey));
    std::fs::write(&file.0, "broken").unwrap();
    advance(Duration::from_secs(11)).await;
    assert_eq!(verifier.verify(&by_old()).await.err(), Some(AuthError::Unavailable));
    assert!(verifier.verify(&by_new()).await.is_ok());
}
