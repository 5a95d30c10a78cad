//! `GET /admin/v1/tail`: the events of one room or user as they are delivered,
//! one JSON object a line, until one side goes.
//!
//! - `{"listening":true}` once everything that is published from then on is
//!   heard;
//! - `{"event":…,"args":…,…}` for each event;
//! - `{"left_out":n}` where there were more than the tail may have, or than its
//!   reader took;
//! - `{"ended":"stopping"}` when the node stops.
//!
//! An empty line now and then says that it is still there.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Response};
use futures_util::stream::unfold;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::adapter::{Adapter, Unavailable};
use crate::message::{Content, Message, NamespaceRef, Room};
use crate::publish::error::RequestError;
use crate::publish::{self, draft};
use crate::rooms::Listener;

use super::AdminState;
use super::ask::PATIENCE;

/// Bounds of the events a second.
const RATES: std::ops::RangeInclusive<u32> = 1..=200;

/// Bytes of an event's arguments that are shown.
const SHOWN: usize = 4096;

/// How often it is told what was left out.
const TICK: Duration = Duration::from_secs(1);

/// Ticks without a line until an empty one.
const QUIET: u32 = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default = "super::top::root")]
    namespace: String,
    room: Option<String>,
    user: Option<String>,
    #[serde(default = "some")]
    rate: u32,
}

fn some() -> u32 {
    20
}

/// Opens a tail.
///
/// # Errors
/// When what is asked for cannot be, or there are too many.
pub(super) async fn open(state: &AdminState, asked: Asked) -> Result<Response<Body>, RequestError> {
    let namespace = draft::namespace(&state.namespaces, &asked.namespace)?;
    if asked.room.is_none() && asked.user.is_none() {
        return Err(RequestError::Query("give `room` or `user`".into()));
    }
    let room = publish::room(asked.room.as_deref(), asked.user.as_deref())?;
    if !RATES.contains(&asked.rate) {
        let (least, most) = RATES.into_inner();
        return Err(RequestError::field("rate", format_args!("must be from {least} to {most}")));
    }
    let listener =
        state.rooms.taps().listen(namespace.id, room.clone(), asked.rate).ok_or(RequestError::TooManyTails)?;
    // from here on dropped on every way out
    let heard = Heard { listener: Some(listener), adapter: Arc::clone(&state.adapter), namespace, room };
    let subscribed = state.adapter.subscribe(&heard.namespace, std::slice::from_ref(&heard.room));
    // while Redis is away it would wait for it
    tokio::time::timeout(PATIENCE, subscribed).await.map_err(|_| Unavailable)??;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let tail = Tail { heard, stop: state.stop.clone(), tick, quiet: 0, state: Progress::Opening };
    let mut response = Response::new(Body::from_stream(unfold(tail, Tail::line)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // proxies that gather answers would hold the lines back
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// A room that is listened to. Dropped, the node hears it only while it has
/// members.
struct Heard {
    listener: Option<Listener>,
    adapter: Arc<dyn Adapter>,
    namespace: NamespaceRef,
    room: Room,
}

impl Drop for Heard {
    fn drop(&mut self) {
        // first: it is asked whether the room is wanted
        self.listener.take();
        self.adapter.unsubscribe(&self.namespace, std::slice::from_ref(&self.room));
    }
}

struct Tail {
    heard: Heard,
    stop: CancellationToken,
    tick: Interval,
    quiet: u32,
    state: Progress,
}

enum Progress {
    Opening,
    Listening,
    Ended,
}

impl Tail {
    /// The next line.
    async fn line(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let line = match self.state {
            Progress::Ended => return None,
            Progress::Opening => {
                self.state = Progress::Listening;
                to_line(&json!({"listening": true}))
            }
            Progress::Listening => self.next().await?,
        };
        Some((Ok(line), self))
    }

    async fn next(&mut self) -> Option<Bytes> {
        let listener = self.heard.listener.as_mut()?;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    self.state = Progress::Ended;
                    return Some(to_line(&json!({"ended": "stopping"})));
                }
                message = listener.next() => {
                    self.quiet = 0;
                    return Some(to_line(&Shown::new(&*message?, now())));
                }
                _ = self.tick.tick() => {
                    let left_out = listener.left_out();
                    self.quiet += 1;
                    if left_out > 0 {
                        self.quiet = 0;
                        return Some(to_line(&json!({"left_out": left_out})));
                    }
                    if self.quiet >= QUIET {
                        self.quiet = 0;
                        return Some(Bytes::from_static(b"\n"));
                    }
                }
            }
        }
    }
}

/// An event, as a tail tells of it.
#[derive(Debug, Serialize)]
struct Shown {
    /// Milliseconds since 1970, of this node's clock.
    at: u64,
    event: String,
    /// JSON text of the arguments with commas in between, the beginning of it.
    args: String,
    /// Bytes of the arguments that are not shown.
    cut: usize,
    /// Binary arguments, none of which is shown.
    attachments: usize,
    /// The rooms that it goes to, and those that it leaves out.
    rooms: Vec<Room>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    except: Vec<Room>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl Shown {
    fn new(message: &Message, at: u64) -> Self {
        let (text, offset, attachments) = match &message.content {
            Content::Logged { offset, frames } => {
                (inner(frames.array()), Some(offset.to_string()), frames.attachments())
            }
            Content::Unlogged { frames, .. } => (inner(frames.array()), None, frames.attachments()),
            Content::Positionless { body, .. } => (&body.elements()[..], None, body.attachments().len()),
        };
        let text = String::from_utf8_lossy(text);
        // the offset is the last argument
        let ending = offset.as_ref().map_or(0, |offset| offset.len() + r#","""#.len());
        let text = text.get(..text.len().saturating_sub(ending)).unwrap_or_default();
        let (event, args) = apart(text);
        let shown = args.floor_char_boundary(SHOWN);
        Shown {
            at,
            event,
            args: args[..shown].to_owned(),
            cut: args.len() - shown,
            attachments,
            rooms: message.rooms.to_vec(),
            except: message.except.to_vec(),
            id: offset,
        }
    }
}

/// An array without its brackets.
fn inner(array: &[u8]) -> &[u8] {
    array.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(array)
}

/// The event's name, and what follows it.
fn apart(elements: &str) -> (String, &str) {
    let mut names = serde_json::Deserializer::from_str(elements).into_iter::<String>();
    match names.next() {
        Some(Ok(event)) => {
            let rest = &elements[names.byte_offset()..];
            (event, rest.strip_prefix(',').unwrap_or(rest))
        }
        Some(Err(_)) | None => (String::new(), elements),
    }
}

fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

fn to_line(value: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(value).expect("lines are plain JSON");
    line.push(b'\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arguments_are_told_apart() {
        for (elements, event, args) in [
            (r#""e""#, "e", ""),
            (r#""a\"b",1,{"c":[2]}"#, "a\"b", r#"1,{"c":[2]}"#),
            (r#""e","x""#, "e", r#""x""#),
            ("", "", ""),
        ] {
            assert_eq!(apart(elements), (event.to_owned(), args));
        }
        assert_eq!(inner(b"[1,[2]]"), b"1,[2]");
    }
}
