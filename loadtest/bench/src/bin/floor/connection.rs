//! One connection: HTTP upgrade, Engine.IO open, Socket.IO CONNECT, then rest.

use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::io::ErrorKind;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use carillon_bench::frame;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::hub::{Hub, Member};

/// Room for one CONNECT frame; a longer one is refused.
const CONNECT_BYTES: usize = 1024;

/// What the load client sends with CONNECT.
#[derive(Debug, Deserialize)]
struct Auth<'a> {
    room: &'a str,
}

/// Sets a connection up, then leaves it to a second, smaller task, so that nothing of the set-up stays allocated.
pub(crate) async fn serve(stream: TcpStream, hub: Rc<Hub>) {
    match set_up(stream, hub).await {
        Ok((stream, member)) => {
            tokio::task::spawn_local(rest(stream, member));
        }
        Err(error) => eprintln!("floor: connection refused: {error:#}"),
    }
}

async fn set_up(stream: TcpStream, hub: Rc<Hub>) -> Result<(Rc<TcpStream>, Member)> {
    stream.set_nodelay(true)?;
    let mut stream = upgrade(stream).await?;
    let mut frames = Vec::new();
    let id = stream.peer_addr()?;
    let open =
        format!(r#"0{{"sid":"{id}","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#);
    frame::push_server_text(&mut frames, open.as_bytes());
    stream.write_all(&frames).await?;

    let packet = receive(&stream).await?;
    let auth = packet.strip_prefix(b"40").context("first packet is not CONNECT")?;
    let auth: Auth<'_> = serde_json::from_slice(auth)?;
    frames.clear();
    frame::push_server_text(&mut frames, format!(r#"40{{"sid":"{id}"}}"#).as_bytes());
    stream.write_all(&frames).await?;

    let stream = Rc::new(stream);
    let member = hub.join(stream.clone(), auth.room);
    Ok((stream, member))
}

/// Answers the upgrade request by hyper and takes the socket back from it.
async fn upgrade(stream: TcpStream) -> Result<TcpStream> {
    let service = service_fn(|request: Request<Incoming>| ready(Ok::<_, Infallible>(answer(&request))));
    let mut http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    poll_fn(|context| http.poll_without_shutdown(context)).await?;
    let parts = http.into_parts();
    if !parts.read_buf.is_empty() {
        bail!("the client spoke before it was answered");
    }
    Ok(parts.io.into_inner())
}

fn answer(request: &Request<Incoming>) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    let accept = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| frame::accept_key(key.as_bytes()));
    match accept.and_then(|accept| accept.parse().ok()) {
        Some(accept) => {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(UPGRADE, hyper::header::HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, hyper::header::HeaderValue::from_static("Upgrade"));
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        None => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

/// Waits for one frame.
async fn receive(stream: &TcpStream) -> Result<Vec<u8>> {
    let mut received = Vec::new();
    loop {
        stream.readable().await?;
        let mut buffer = [0; CONNECT_BYTES];
        match stream.try_read(&mut buffer) {
            Ok(0) => bail!("closed before CONNECT"),
            Ok(length) => received.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        if let Some(found) = frame::find(&received) {
            return Ok(frame::payload(&received, &found));
        }
        if received.len() > CONNECT_BYTES {
            bail!("CONNECT is too long");
        }
    }
}

/// Waits until the client goes. What it says meanwhile (pongs) is read and forgotten.
async fn rest(stream: Rc<TcpStream>, member: Member) {
    while stream.readable().await.is_ok() && stays(&stream) {}
    drop(member);
}

/// Not async, so that the buffer lives on the thread's stack and not in the task.
fn stays(stream: &TcpStream) -> bool {
    let mut buffer = [0; 512];
    match stream.try_read(&mut buffer) {
        Ok(0) => false,
        Ok(_) => buffer[0] & 0x0f != frame::CLOSE,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
