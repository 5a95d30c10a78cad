//! Stock socketioxide server for the benchmark, as its documentation shows it: `axum::serve` on tokio's multi-thread
//! runtime, with default settings, except that Nagle's algorithm is off (on, it costs 40 ms stalls).
//!
//! With `REDIS_URL` in its environment it is a node of several: the adapter is that of `socketioxide-redis` with the
//! `redis` crate as driver, as its documentation shows it.
//!
//! It publishes from inside its own process on command, which favours it: the gateway pays for its HTTP intake, this
//! server does not. Control: see [`carillon_bench::control`].

use std::io::BufRead as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::serve::ListenerExt as _;
use carillon_bench::control::{Done, Ready, Run};
use carillon_bench::message;
use carillon_bench::publisher::Numbering;
use serde::Deserialize;
use socketioxide::SocketIo;
use socketioxide::adapter::Adapter;
use socketioxide::extract::{Data, SocketRef};
use socketioxide::layer::SocketIoLayer;
use socketioxide_redis::{RedisAdapter, RedisAdapterCtr};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// What the load client sends with CONNECT.
#[derive(Debug, Deserialize)]
struct Auth {
    room: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Ok(url) = std::env::var("REDIS_URL") else {
        let (layer, io) = SocketIo::new_layer();
        io.ns("/", on_connect);
        return serve(layer, io).await;
    };
    let client = redis::Client::open(format!("{url}?protocol=resp3"))?;
    let adapter = RedisAdapterCtr::new_with_redis(&client).await?;
    let (layer, io) = SocketIo::builder().with_adapter::<RedisAdapter<_>>(adapter).build_layer();
    io.ns("/", on_connect).await?;
    serve(layer, io).await
}

async fn on_connect<A: Adapter>(socket: SocketRef<A>, Data(auth): Data<Auth>) {
    socket.join(auth.room);
    socket.join(message::EVERYONE_ROOM);
}

/// Serves clients, and publishes what comes by standard input.
async fn serve<A: Adapter>(layer: SocketIoLayer<A>, io: SocketIo<A>) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", serde_json::to_string(&Ready::new(listener.local_addr()?))?);
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("peer-socketioxide: cannot turn Nagle off: {error}");
        }
    });
    let server = axum::serve(listener, Router::new().layer(layer)).into_future();
    tokio::select! {
        served = server => served.context("server ended"),
        published = publish(io) => published,
    }
}

/// Publishes the runs that come by standard input, until it ends.
async fn publish<A: Adapter>(io: SocketIo<A>) -> Result<()> {
    let (lines, mut runs) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                break;
            }
        }
    });
    let mut numbering = Numbering::default();
    while let Some(line) = runs.recv().await {
        let run: Run = serde_json::from_str(&line).with_context(|| format!("no run: {line}"))?;
        let pad = message::pad(run.bytes);
        let start = Instant::now();
        for tick in 0..run.ticks() {
            sleep_until(start + Duration::from_secs_f64(run.due(tick))).await;
            for _ in 0..run.burst {
                let due = numbering.next(&run);
                let arguments = (message::digits(due.sequence), &pad);
                if let Err(error) = io.to(due.room_name()).emit(due.event(), &arguments).await {
                    eprintln!("peer-socketioxide: emission failed: {error}");
                }
            }
        }
        println!("{}", serde_json::to_string(&Done::new(run.ticks() * u64::from(run.burst)))?);
    }
    Ok(())
}
