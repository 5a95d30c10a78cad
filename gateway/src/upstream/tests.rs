use std::collections::HashSet;
use std::future::Future;

use futures_util::future::join_all;
use hmac::{Hmac, KeyInit as _, Mac as _};
use opentelemetry::trace::Status;
use prometheus::{Encoder as _, Registry, TextEncoder};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::*;
use crate::config;
use crate::fetch::testing::{Accept, Certificates, Reaction, Received, Seen, serve};
use crate::message::{NamespaceRef, SocketId};
use crate::protocol::packet::Args;
use crate::tasks::Tasks;
use crate::trace::testing::tracer;

const SECRET: &str = "a secret of both";
const LATE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_millis(100);

/// A backend, and how the gateway sees it.
struct Setting {
    upstream: Arc<Upstream>,
    seen: Arc<Seen>,
    registry: Registry,
    tasks: Tasks,
}

fn ok(body: impl ToString) -> Reaction {
    Reaction::Answer(200, body.to_string())
}

async fn setting(
    change: impl FnOnce(&mut config::Upstream),
    react: impl Fn(usize, &Received) -> Reaction + Send + Sync + 'static,
) -> Setting {
    accepting(Accept::Plain, change, react).await
}

async fn accepting(
    accept: Accept,
    change: impl FnOnce(&mut config::Upstream),
    react: impl Fn(usize, &Received) -> Reaction + Send + Sync + 'static,
) -> Setting {
    let tasks = Tasks::default();
    let scheme = if matches!(accept, Accept::Plain) { "http" } else { "https" };
    let (address, seen) = serve(&tasks, accept, react).await;
    let mut settings = config::Upstream {
        url: format!("{scheme}://{address}/carillon"),
        secret: config::Secret(SECRET.into()),
        timeout: LATE,
        ..config::Upstream::default()
    };
    change(&mut settings);
    let registry = Registry::new();
    let metrics = UpstreamMetrics::register(&registry).unwrap();
    let upstream = Upstream::new(&settings, Handle::current(), tasks.clone(), metrics).unwrap();
    Setting { upstream: Arc::new(upstream), seen, registry, tasks }
}

impl Drop for Setting {
    fn drop(&mut self) {
        self.tasks.stop().cancel();
    }
}

impl Setting {
    async fn call(&self, client: &Client) -> Result<Answer, UpstreamError> {
        self.upstream.call(client.call()).await
    }

    /// The JSON of all requests that came.
    fn bodies(&self) -> Vec<Value> {
        self.seen.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    }

    /// The value of a metric.
    fn metric(&self, name: &str) -> f64 {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }
}

/// A client of the gateway.
struct Client {
    namespace: NamespaceRef,
    socket: SocketId,
    identity: Identity,
    args: Args,
    span: Option<Span>,
}

impl Client {
    fn new(user: Option<&str>) -> Self {
        Client {
            namespace: NamespaceRef { id: NamespaceId(0), name: "/".into(), recovery: true },
            socket: SocketId(Token::random()),
            identity: Identity { user: user.map(Into::into), ..Identity::nobody() },
            args: Args { json: vec!["1".into()], attachments: vec![] },
            span: None,
        }
    }

    fn sender(&self) -> Sender<'_> {
        Sender { namespace: &self.namespace, socket: self.socket, identity: &self.identity }
    }

    fn call(&self) -> Call<'_> {
        Call { sender: self.sender(), event: "e", args: &self.args, span: self.span.as_ref() }
    }

    fn may<'a>(&'a self, room: Option<&'a Room>, cache: Duration) -> Authorize<'a> {
        Authorize { sender: self.sender(), event: "e", args: &self.args, room, cache, span: None }
    }

    fn notice<'a>(&'a self, id: &'a str, what: NoticeKind) -> Notice<'a> {
        Notice { id, sender: self.sender(), what, span: None }
    }
}

/// As an author of a backend would.
fn is_signed(request: &Received) -> bool {
    let timestamp = &request.headers["x-carillon-timestamp"];
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&[timestamp.as_bytes(), b".", &request.body].concat());
    let recent = UnixSeconds::now().0.abs_diff(timestamp.parse().unwrap()) < 60;
    recent && request.headers["x-carillon-signature"] == format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LATE, future).await.expect("in time")
}

#[tokio::test]
async fn an_event_is_answered() {
    let setting = setting(
        |_| {},
        |n, _| match n {
            0 => ok(json!({ "ack": ["done"], "emit": [{ "event": "x" }], "join": ["r"], "disconnect": true })),
            1 => Reaction::Answer(204, String::new()),
            _ => Reaction::Answer(202, "{}".into()),
        },
    )
    .await;
    let client = Client::new(Some("ann"));
    let answer = setting.call(&client).await.unwrap();
    assert_eq!(answer.ack.unwrap().elements, r#""done""#);
    assert_eq!(answer.emit[0].rooms[..], [Room::Socket(client.socket)]);
    assert_eq!((answer.join, answer.disconnect), (vec![Room::named("r").unwrap()], Leave::Namespace));
    for _ in 0..2 {
        assert!(setting.call(&client).await.unwrap().ack.is_none());
    }
    let requests = setting.seen.requests();
    assert!(requests.iter().all(is_signed));
    let headers = &requests[0].headers;
    assert_eq!(headers["request"], "POST /carillon HTTP/1.1");
    assert_eq!(headers["content-type"], "application/json");
    assert!(!headers.contains_key("traceparent"));
    let bodies = setting.bodies();
    assert_eq!(
        (&bodies[0]["type"], &bodies[0]["args"], &bodies[0]["user"]),
        (&json!("event"), &json!([1]), &json!("ann"))
    );
    let ids: HashSet<_> = bodies.iter().map(|body| body["id"].as_str().unwrap().to_owned()).collect();
    assert!(ids.len() == 3 && ids.iter().all(|id| Token::parse(id).is_some()));
    assert_eq!(setting.metric(r#"carillon_upstream_calls_total{result="ok",type="event"}"#), 3.0);
    assert_eq!(setting.metric("carillon_upstream_duration_seconds_count"), 3.0);
    assert_eq!(setting.metric("carillon_upstream_in_flight"), 0.0);
}

#[tokio::test]
async fn a_trace_goes_on_below_the_span_of_the_request() {
    let setting = setting(|_| {}, |_, _| Reaction::Answer(500, String::new())).await;
    let (tracer, ended) = tracer(1.0);
    let client = Client { span: tracer.event(0, "e"), ..Client::new(None) };
    setting.call(&client).await.unwrap_err();
    let above = client.span.as_ref().unwrap().context();
    drop(client);
    let [request, event] = &ended.all()[..] else { panic!("{:?}", ended.all()) };
    assert_eq!(request.parent_span_id, event.span_context.span_id());
    assert_eq!(above.to_string()[3..35], request.span_context.trace_id().to_string());
    let carried = format!("00-{}-{}-01", request.span_context.trace_id(), request.span_context.span_id());
    assert_eq!(setting.seen.requests()[0].headers["traceparent"], carried);
    assert!(matches!(request.status, Status::Error { .. }));
}

#[tokio::test]
async fn whatever_a_backend_does_the_client_gets_a_code() {
    let half = b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\n{\"ack\":".to_vec();
    let cases: [(fn() -> Reaction, UpstreamError); 8] = [
        (|| Reaction::Silence, UpstreamError::TimedOut),
        (|| Reaction::Raw(vec![]), UpstreamError::Unavailable),
        (|| Reaction::Raw(b"SSH-2.0-OpenSSH\r\n".to_vec()), UpstreamError::Unavailable),
        (|| ok("<html>"), UpstreamError::BadAnswer),
        (|| ok("x".repeat(1001)), UpstreamError::BadAnswer),
        (|| Reaction::Answer(404, "{}".into()), UpstreamError::Status(404)),
        (|| Reaction::Answer(302, String::new()), UpstreamError::Status(302)),
        (|| Reaction::Answer(500, "{}".into()), UpstreamError::Status(500)),
    ];
    let client = Client::new(None);
    for (react, expected) in cases {
        let patience = if expected == UpstreamError::TimedOut { SOON } else { LATE };
        let change = |settings: &mut config::Upstream| (settings.timeout, settings.max_answer) = (patience, 1000);
        let setting = setting(change, move |_, _| react()).await;
        assert_eq!(setting.call(&client).await.map(drop), Err(expected));
        assert_eq!(setting.seen.requests().len(), 1, "{expected}: it was not sent again");
    }
    let setting = setting(|_| {}, move |_, _| Reaction::Raw(half.clone())).await;
    assert_eq!(setting.call(&client).await.map(drop), Err(UpstreamError::Unavailable));
    assert_eq!(setting.seen.requests().len(), 1);
    assert_eq!(setting.metric(r#"carillon_upstream_calls_total{result="unavailable",type="event"}"#), 1.0);
}

/// The backend closes the first connections before the handshake: nothing was sent on them.
#[tokio::test]
async fn what_was_not_sent_is_sent_again_but_notices() {
    let certificates = Certificates::make("upstream");
    let client = Client::new(None);
    for (refused, connections, expected) in
        [(1, 2, Ok(())), (2, 3, Ok(())), (usize::MAX, 3, Err(UpstreamError::Unavailable))]
    {
        let accept = Accept::Tls(certificates.acceptor(), refused);
        let setting = accepting(accept, |s| s.ca_file = Some(certificates.authority()), |_, _| ok("{}")).await;
        assert_eq!(setting.call(&client).await.map(drop), expected, "{refused} refused");
        assert_eq!(setting.seen.connections(), connections, "{refused} refused");
        assert_eq!(setting.seen.requests().len(), usize::from(expected.is_ok()));
    }
    let accept = Accept::Tls(certificates.acceptor(), 1);
    let setting = accepting(accept, |s| s.ca_file = Some(certificates.authority()), |_, _| ok("{}")).await;
    let tell = || setting.upstream.tell(client.notice("the same", NoticeKind::Connect));
    assert_eq!(tell().await.map(drop), Err(UpstreamError::Unavailable));
    assert_eq!((setting.seen.connections(), setting.seen.requests().len()), (1, 0));
    assert!(tell().await.is_ok());
    assert_eq!(setting.bodies()[0]["id"], "the same");
}

/// The backend closes each connection after its answer: no event is carried out twice.
#[tokio::test]
async fn closed_connections_double_nothing() {
    let setting = setting(|s| s.failures = 1000, |_, _| Reaction::AnswerAndClose(200, "{}".into())).await;
    let client = Client::new(None);
    let mut answered = 0;
    for _ in 0..100 {
        answered += usize::from(setting.call(&client).await.is_ok());
    }
    let bodies = setting.bodies();
    let ids: HashSet<_> = bodies.iter().map(|body| body["id"].as_str().unwrap()).collect();
    println!("100 events: {answered} answered, {} came, {} connections", bodies.len(), setting.seen.connections());
    assert_eq!(ids.len(), bodies.len(), "each once");
    assert!(answered > 0 && bodies.len() >= answered);
}

#[tokio::test]
async fn failures_in_a_row_open_the_circuit() {
    let change = |settings: &mut config::Upstream| (settings.failures, settings.open_for) = (3, LATE);
    let react = |n, _: &Received| Reaction::Answer(if n < 10 || n == 12 { 404 } else { 503 }, String::new());
    let setting = setting(change, react).await;
    let client = Client::new(None);
    for expected in [[404; 10].as_slice(), &[503, 503, 404, 503, 503, 503]].concat() {
        assert_eq!(setting.metric("carillon_upstream_circuit_open"), 0.0);
        assert_eq!(setting.call(&client).await.map(drop), Err(UpstreamError::Status(expected)));
    }
    assert_eq!(setting.metric("carillon_upstream_circuit_open"), 1.0);
    for _ in 0..100 {
        assert_eq!(setting.call(&client).await.map(drop), Err(UpstreamError::Unavailable));
    }
    assert_eq!(setting.seen.requests().len(), 16, "nothing came any more");
}

#[tokio::test]
async fn a_backend_that_answers_closes_the_circuit() {
    let change = |settings: &mut config::Upstream| (settings.failures, settings.open_for) = (1, SOON);
    let react = |n, _: &Received| match n {
        0 => Reaction::Raw(Vec::new()),
        1 => Reaction::Answer(500, String::new()),
        _ => ok("{}"),
    };
    let setting = setting(change, react).await;
    let client = Client::new(None);
    let mut refused = 0;
    in_time(async {
        while let Err(error) = setting.call(&client).await {
            refused += usize::from(error == UpstreamError::Unavailable);
            tokio::task::yield_now().await;
        }
    })
    .await;
    println!("{refused} calls found the circuit open");
    assert_eq!(setting.seen.requests().len(), 3, "one failed, one tried in vain, one was answered");
    assert_eq!(setting.metric("carillon_upstream_circuit_open"), 0.0);
    assert!(setting.call(&client).await.is_ok());
}

#[tokio::test]
async fn no_more_than_so_many_at_once() {
    let permits = Arc::new(Semaphore::new(0));
    let hold = Arc::clone(&permits);
    let setting =
        setting(|s| s.max_concurrent = 3, move |_, _| Reaction::After(Arc::clone(&hold), Box::new(ok("{}")))).await;
    let client = Client::new(None);
    let calls = join_all((0..40).map(|_| setting.call(&client)));
    let release = async {
        setting.seen.come.take(3).await;
        assert_eq!(setting.metric("carillon_upstream_in_flight"), 3.0);
        assert_eq!(setting.metric("carillon_upstream_waiting"), 37.0);
        permits.add_permits(40);
    };
    let (answers, ()) = in_time(async { tokio::join!(calls, release) }).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!((setting.seen.requests().len(), setting.seen.most.load(std::sync::atomic::Ordering::SeqCst)), (40, 3));
    assert_eq!(setting.metric("carillon_upstream_waiting"), 0.0);
}

#[tokio::test]
async fn who_finds_the_queue_full_is_refused_at_once() {
    let permits = Arc::new(Semaphore::new(0));
    let hold = Arc::clone(&permits);
    let change = |settings: &mut config::Upstream| (settings.max_concurrent, settings.max_waiting) = (1, 2);
    let setting = setting(change, move |_, _| Reaction::After(Arc::clone(&hold), Box::new(ok("{}")))).await;
    let client = Client::new(None);
    let calls = join_all((0..5).map(|_| async {
        let answer = setting.call(&client).await.map(drop);
        if answer == Err(UpstreamError::Busy) {
            permits.add_permits(2); // both that were refused are, before anybody is answered
        }
        answer
    }));
    let mut answers = in_time(calls).await;
    answers.sort_by_key(|answer| answer.map_or_else(UpstreamError::code, |()| ""));
    assert_eq!(answers, [Ok(()), Ok(()), Ok(()), Err(UpstreamError::Busy), Err(UpstreamError::Busy)]);
    assert_eq!(setting.seen.requests().len(), 3);
    assert_eq!(setting.metric(r#"carillon_upstream_calls_total{result="busy",type="event"}"#), 2.0);
}

#[tokio::test]
async fn waiting_is_part_of_the_time() {
    let change = |settings: &mut config::Upstream| (settings.max_concurrent, settings.timeout) = (1, SOON);
    let setting = setting(change, |_, _| Reaction::Silence).await;
    let client = Client::new(None);
    let answers = in_time(join_all((0..10).map(|_| setting.call(&client)))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(UpstreamError::TimedOut))));
    // the first only, and whoever got its place in the last moment
    let came = setting.seen.requests().len();
    println!("10 calls, {came} came");
    assert!(came < 10);
}

#[tokio::test]
async fn who_gives_up_frees_its_place() {
    let react = |n, _: &Received| if n == 0 { Reaction::Silence } else { ok("{}") };
    let setting = setting(|s| s.max_concurrent = 1, react).await;
    let client = Client::new(None);
    tokio::select! {
        _ = setting.call(&client) => panic!("nobody answers"),
        () = setting.seen.come.take(1) => {}
    }
    in_time(setting.seen.gone.take(1)).await;
    assert!(in_time(setting.call(&client)).await.is_ok());
    assert_eq!(setting.metric("carillon_upstream_in_flight"), 0.0);
}

#[tokio::test]
async fn backends_say_who_a_client_is() {
    let rejected = |code: &str, message: &str| AuthError::Rejected { code: code.into(), message: message.into() };
    let unsaid = rejected("rejected", "authentication was refused");
    let cases = [
        (200, r#"{"user":"ann"}"#, Ok(Some("ann"))),
        (200, "{}", Ok(None)),
        (401, r#"{"code":"banned","message":"go away"}"#, Err(rejected("banned", "go away"))),
        (403, r#"{"code":"banned"}"#, Err(rejected("banned", ""))),
        (403, "", Err(unsaid.clone())),
        (401, "<html>", Err(unsaid)),
        (200, "", Err(AuthError::Unavailable)),
        (200, r#"{"user":[]}"#, Err(AuthError::Unavailable)),
        (404, "{}", Err(AuthError::Unavailable)),
        (500, "{}", Err(AuthError::Unavailable)),
    ];
    let answers = cases.clone();
    let setting = setting(|_| {}, move |n, _| Reaction::Answer(answers[n].0, answers[n].1.into())).await;
    let client = Client::new(None);
    for (status, body, expected) in cases {
        let question = Authenticate {
            namespace: &client.namespace,
            socket: Some(client.socket),
            token: "secret token",
            auth: &Value::Null,
            query: "",
            address: [127, 0, 0, 1].into(),
            span: None,
        };
        let answer = setting.upstream.authenticate(question).await;
        assert_eq!(answer.map(|identity| identity.user), expected.map(|user| user.map(Into::into)), "{status} {body}");
    }
    assert_eq!(setting.bodies()[0]["token"], "secret token");
    assert!(setting.seen.requests().iter().all(is_signed));
}

#[tokio::test]
async fn verdicts_are_remembered_where_that_is_safe() {
    let react = |n, _: &Received| match n {
        0 => Reaction::Answer(500, String::new()),
        1 => ok(r#"{"allow":1}"#),
        n => ok(json!({ "allow": n % 2 == 0 })),
    };
    let setting = setting(|_| {}, react).await;
    let (ann, nobody) = (Client::new(Some("ann")), Client::new(None));
    let (red, blue) = (Room::named("red").unwrap(), Room::named("blue").unwrap());
    let ask = async |question| setting.upstream.authorize(question).await;
    assert_eq!(ask(ann.may(Some(&red), LATE)).await, Err(UpstreamError::Status(500)));
    assert_eq!(ask(ann.may(Some(&red), LATE)).await, Err(UpstreamError::BadAnswer));
    for _ in 0..3 {
        assert_eq!(ask(ann.may(Some(&red), LATE)).await, Ok(true), "errors are forgotten, this is kept");
    }
    assert_eq!(setting.seen.requests().len(), 3);
    for _ in 0..2 {
        assert_eq!(ask(ann.may(Some(&blue), LATE)).await, Ok(false), "a refusal is kept too");
    }
    assert_eq!(setting.seen.requests().len(), 4);
    for expected in [true, false] {
        assert_eq!(ask(nobody.may(Some(&red), LATE)).await, Ok(expected), "nobody is not the same as nobody");
    }
    for expected in [true, false] {
        assert_eq!(ask(ann.may(None, Duration::ZERO)).await, Ok(expected));
    }
    assert_eq!(setting.seen.requests().len(), 8);
    assert_eq!((&setting.bodies()[7]["type"], &setting.bodies()[7]["room"]), (&json!("authorize"), &Value::Null));
}

#[tokio::test]
async fn namespaces_with_one_backend_share_it() {
    let namespace = |name: &str, url: &str| {
        let mut namespace = config::Namespace::quiet(name);
        namespace.upstream.url = url.into();
        namespace
    };
    let namespaces = [namespace("/", ""), namespace("/a", ""), namespace("/b", "http://other/"), namespace("/c", "")];
    let metrics = || UpstreamMetrics::register(&Registry::new()).unwrap();
    let settings =
        config::Upstream { url: "http://one/".into(), secret: config::Secret("s".into()), ..Default::default() };
    let backends = Backends::new(&settings, &namespaces, &Handle::current(), &Tasks::default(), &metrics()).unwrap();
    let of = |n| backends.of(NamespaceId(n)).unwrap();
    assert!(Arc::ptr_eq(of(0), of(1)) && Arc::ptr_eq(of(0), of(3)) && !Arc::ptr_eq(of(0), of(2)));
    assert_eq!(&*of(2).name, "other/");
    assert!(backends.of(NamespaceId(4)).is_none());
    let none = config::Upstream::default();
    let backends = Backends::new(&none, &namespaces[..1], &Handle::current(), &Tasks::default(), &metrics()).unwrap();
    assert!(backends.of(NamespaceId(0)).is_none());
    let missing = config::Upstream { secret_file: Some("/no/such".into()), ..settings };
    let made = Backends::new(&missing, &namespaces, &Handle::current(), &Tasks::default(), &metrics());
    assert!(made.err().unwrap().to_string().starts_with("upstream secret: "));
}
