//! `floor`: the reference server, the least that a one-thread server can do for a delivery.
//!
//! One thread, one tokio runtime. A message is encoded once per room and written by the publisher straight to each
//! member's socket with a non-blocking `try_write`; the messages of a burst to one room are joined into one write. A
//! connection is set up by hyper's HTTP/1 parser, then rests as one small task that waits for readability and owns no
//! buffer.
//!
//! It is a yardstick, not a server: it has no queue (a full socket ends the program), no recovery, no heartbeat timeouts,
//! no limits, one namespace, WebSocket only. It publishes from inside its own process, on command (see
//! [`carillon_bench::control`]), so it pays for no intake either.
//!
//! - [`connection`]: from `accept` to the resting task.
//! - [`hub`]: rooms and their members.
//! - [`publish`]: runs of messages, heartbeats.

mod connection;
mod hub;
mod publish;

use std::io::BufRead as _;
use std::net::Ipv4Addr;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use carillon_bench::control::{Done, Ready, Run};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use crate::hub::Hub;

fn main() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(serve())
}

async fn serve() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", serde_json::to_string(&Ready::new(listener.local_addr()?))?);
    let hub = Rc::new(Hub::default());
    tokio::task::spawn_local(accept(listener, hub.clone()));
    tokio::task::spawn_local(publish::heartbeats(hub.clone()));

    let (lines, mut runs) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                break;
            }
        }
    });
    let mut publisher = publish::Publisher::new(hub);
    while let Some(line) = runs.recv().await {
        let run: Run = serde_json::from_str(&line).with_context(|| format!("no run: {line}"))?;
        let published = publisher.run(&run).await?;
        println!("{}", serde_json::to_string(&Done::new(published))?);
    }
    Ok(())
}

async fn accept(listener: TcpListener, hub: Rc<Hub>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(connection::serve(stream, hub.clone()));
            }
            Err(error) => eprintln!("floor: accept failed: {error}"),
        }
    }
}
