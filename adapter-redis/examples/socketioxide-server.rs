//! A socketioxide server that is a node of the cluster: its clients tell it
//! what to emit and to do.
//!
//! `REDIS_URL` says where Redis is, `LISTEN` where it serves. It says so in one
//! line, and leaves the cluster at SIGTERM. The gateways' intervals are those
//! that they have by default.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use adapter_redis::Intervals;
use adapter_redis::server::{Address, RedisServer};
use adapter_redis::socketioxide::{CarillonAdapter, Node};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::adapter::Emitter;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::operators::BroadcastOperators;
use tokio::signal::unix::{SignalKind, signal};

type Adapter = CarillonAdapter<Emitter>;
type Socket = SocketRef<Adapter>;

/// Whom a command is about: sockets in some rooms, or all, except some.
#[derive(Deserialize)]
struct Target {
    #[serde(default)]
    rooms: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    /// Not the client that says it.
    #[serde(default)]
    others: bool,
}

impl Target {
    fn of(self, io: &SocketIo<Adapter>, socket: &Socket) -> BroadcastOperators<Adapter> {
        let everyone = || io.of(socket.ns()).map(BroadcastOperators::broadcast);
        let others = || socket.broadcast();
        let operators = if self.others { others() } else { everyone().unwrap_or_else(others) };
        operators.to(self.rooms).except(self.except)
    }
}

/// Binary data beside text.
#[derive(Serialize, Deserialize)]
struct File {
    name: String,
    data: Bytes,
}

fn said(outcome: Result<(), impl std::fmt::Display>) -> Value {
    match outcome {
        Ok(()) => json!("ok"),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn answer(acknowledge: AckSender<Adapter>, answer: Value) {
    // the client may have gone
    let _ = acknowledge.send(&answer);
}

async fn on_connect(socket: Socket, io: SocketIo<Adapter>) {
    socket.on("enter", async |socket: Socket, Data::<String>(room), acknowledge: AckSender<Adapter>| {
        socket.join(room);
        answer(acknowledge, json!("ok"));
    });
    type Emit = (Target, String, Value);
    let own = io.clone();
    socket.on("emit", async move |socket: Socket, Data::<Emit>(command), acknowledge: AckSender<Adapter>| {
        let (target, event, value) = command;
        answer(acknowledge, said(target.of(&own, &socket).emit(event, &value).await));
    });
    let own = io.clone();
    socket.on("emit many", async move |socket: Socket, Data::<Emit>(command), acknowledge: AckSender<Adapter>| {
        let (target, event, count) = command;
        let operators = target.of(&own, &socket);
        for number in 0..count.as_u64().unwrap_or_default() {
            if let Err(error) = operators.clone().emit(&event, &(number, "多")).await {
                return answer(acknowledge, json!({ "error": error.to_string() }));
            }
        }
        answer(acknowledge, json!("ok"));
    });
    let own = io.clone();
    type EmitFile = (Target, String, File);
    socket.on("emit file", async move |socket: Socket, Data::<EmitFile>(command), acknowledge: AckSender<Adapter>| {
        let (target, event, file) = command;
        answer(acknowledge, said(target.of(&own, &socket).emit(event, &file).await));
    });
    let own = io.clone();
    socket.on("emit volatile", async move |socket: Socket, Data::<Emit>(command), acknowledge: AckSender<Adapter>| {
        let (target, event, value) = command;
        answer(acknowledge, said(target.of(&own, &socket).volatile().emit(event, &value).await));
    });
    let own = io.clone();
    socket.on("ask", async move |socket: Socket, Data::<Emit>(command), acknowledge: AckSender<Adapter>| {
        let (target, event, value) = command;
        let operators = target.of(&own, &socket).timeout(Duration::from_secs(5));
        let answers = match operators.emit_with_ack::<_, Value>(event, &value).await {
            Ok(answers) => answers,
            Err(error) => return answer(acknowledge, json!({ "error": error.to_string() })),
        };
        let answers = answers.map(|(sid, answer)| json!([sid, answer.ok()]));
        answer(acknowledge, json!(answers.collect::<Vec<_>>().await));
    });
    let own = io.clone();
    socket.on("list", async move |socket: Socket, Data::<Target>(target), acknowledge: AckSender<Adapter>| {
        let found = target.of(&own, &socket).fetch_sockets().await.unwrap_or_default();
        answer(acknowledge, json!(found.iter().map(|socket| socket.data().id).collect::<Vec<_>>()));
    });
    let own = io.clone();
    socket.on("tell each", async move |socket: Socket, Data::<Emit>(command), acknowledge: AckSender<Adapter>| {
        let (target, event, value) = command;
        for remote in target.of(&own, &socket).fetch_sockets().await.unwrap_or_default() {
            if let Err(error) = remote.emit(&event, &value).await {
                return answer(acknowledge, json!({ "error": error.to_string() }));
            }
        }
        answer(acknowledge, json!("ok"));
    });
    type Move = (Target, String);
    let own = io.clone();
    socket.on("join", async move |socket: Socket, Data::<Move>(command), acknowledge: AckSender<Adapter>| {
        answer(acknowledge, said(command.0.of(&own, &socket).join(command.1).await));
    });
    let own = io.clone();
    socket.on("leave", async move |socket: Socket, Data::<Move>(command), acknowledge: AckSender<Adapter>| {
        answer(acknowledge, said(command.0.of(&own, &socket).leave(command.1).await));
    });
    let own = io.clone();
    socket.on("end", async move |socket: Socket, Data::<Target>(target), acknowledge: AckSender<Adapter>| {
        answer(acknowledge, said(target.of(&own, &socket).disconnect().await));
    });
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.into())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = RedisServer::new(Address::new(setting("REDIS_URL", "redis://127.0.0.1:6379/0")))?;
    let node = Node::new(Arc::new(server), Intervals::default().settings()).without_recovery(["/plain"]);
    let (layer, io) = SocketIo::builder().with_adapter::<CarillonAdapter<_>>(node).build_layer();
    io.ns("/", on_connect).await?;
    io.ns("/plain", on_connect).await?;
    io.dyn_ns("/of/{someone}", on_connect)?;

    let listener = tokio::net::TcpListener::bind(setting("LISTEN", "127.0.0.1:0")).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        terminate.recv().await;
        io.close().await;
    };
    axum::serve(listener, axum::Router::new().layer(layer)).with_graceful_shutdown(stop).await?;
    Ok(())
}
