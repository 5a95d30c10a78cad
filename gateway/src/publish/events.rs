//! `/v1/publish` and `/v1/publish/batch`.

use std::time::Duration;

use axum::http::HeaderMap;

use crate::adapter::PublishError;
use crate::message::{Draft, Namespaces};
use crate::trace::Span;

use super::PublishState;
use super::answer;
use super::draft::{ack_timeout, check_key, draft};
use super::error::RequestError;
use super::keys::Caller;
use super::openapi::{BatchAnswer, BodyRefusals, ErrorAnswer, PublishAnswer, Refusals};
use super::request::{Batch, Object, Publish, RawBatch, parse};

/// Most items of one batch.
const MAX_ITEMS: usize = 1000;

/// Bytes of one item's answer, about.
const ITEM_ANSWER: usize = 96;

const KEY_HEADER: &str = "idempotency-key";

/// Publishes one event.
///
/// `logged: true` says that it is in the log: clients that are away now get it when they come back. 503 says that
/// nothing was sent; after 504 repeat it with the same idempotency key, or it may be sent twice.
#[utoipa::path(
    post,
    path = "/v1/publish",
    tag = "publish",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key again within 10 minutes, from \
        the same caller in the same namespace, sends nothing and answers with the first publish's id. 1 to 128 \
        printable ASCII characters")),
    request_body = Publish,
    responses(
        (status = 200, description = "Accepted", body = PublishAnswer),
        (status = 409, description = "`idempotency_conflict`: the key was used with another body", body = ErrorAnswer),
        (status = 504, description = "`outcome_unknown`: it may have been sent", body = ErrorAnswer),
        Refusals,
        BodyRefusals,
    ),
    security(("api_key" = ["publish"])),
)]
pub(super) async fn publish(
    state: &PublishState,
    caller: Caller<'_>,
    headers: &HeaderMap,
    json: &str,
    span: Option<&Span>,
) -> Result<Vec<u8>, RequestError> {
    let answered = publish_one(state, caller, headers, json, span).await;
    if let Err(error) = &answered {
        state.metrics.refused(error);
    }
    answered
}

async fn publish_one(
    state: &PublishState,
    caller: Caller<'_>,
    headers: &HeaderMap,
    json: &str,
    span: Option<&Span>,
) -> Result<Vec<u8>, RequestError> {
    let Asked { mut draft, ack } = asked(&state.namespaces, caller, headers, json)?;
    trace(span, std::slice::from_mut(&mut draft));
    if let Some(timeout) = ack {
        let acks = state.adapter.publish_with_ack(draft, timeout).await?;
        state.metrics.acknowledged();
        return Ok(answer::acks(&acks));
    }
    let mut results = state.adapter.publish(vec![draft]).await;
    let published = results.pop().unwrap_or(Err(PublishError::OutcomeUnknown))?;
    state.metrics.published(&published);
    let mut out = vec![b'{'];
    answer::write_published(&mut out, &published);
    out.push(b'}');
    Ok(out)
}

/// What a publish asks for.
pub(crate) struct Asked {
    pub(crate) draft: Draft,
    /// How long acknowledgements are waited for, where they are asked for.
    pub(crate) ack: Option<Duration>,
}

/// Reads the body of a publish, and checks all of it.
pub(crate) fn asked(
    namespaces: &Namespaces,
    caller: Caller<'_>,
    headers: &HeaderMap,
    json: &str,
) -> Result<Asked, RequestError> {
    let key = key_header(headers)?;
    let item: Publish<'_> = parse(json)?;
    if item.idempotency_key.is_some() {
        return Err(RequestError::field("idempotency_key", "belongs in the header `Idempotency-Key` here"));
    }
    let ack = item.ack.as_ref().map(|Object(ack)| ack_timeout(*ack)).transpose()?;
    if ack.is_some() && item.volatile {
        return Err(RequestError::field("ack", "cannot be combined with `volatile`"));
    }
    if ack.is_some() && key.is_some() {
        return Err(RequestError::field("ack", "cannot be combined with an idempotency key"));
    }
    Ok(Asked { draft: draft(namespaces, caller, &item, key)?, ack })
}

/// Publishes many events.
///
/// In the order of the items; each is answered at its place, and a refused one does not keep the others back.
#[utoipa::path(
    post,
    path = "/v1/publish/batch",
    tag = "publish",
    request_body = Batch,
    responses((status = 200, description = "Answered item by item", body = BatchAnswer), Refusals, BodyRefusals),
    security(("api_key" = ["publish"])),
)]
pub(super) async fn publish_batch(
    state: &PublishState,
    caller: Caller<'_>,
    headers: &HeaderMap,
    json: &str,
    span: Option<&Span>,
) -> Result<Vec<u8>, RequestError> {
    if headers.contains_key(KEY_HEADER) {
        return Err(RequestError::Header {
            header: "Idempotency-Key",
            reason: "a batch takes `idempotency_key` in its items",
        });
    }
    let mut prepared = prepare(state, caller, json)?;
    trace(span, &mut prepared.drafts);
    state.metrics.batch(prepared.refusals.len());
    let results = if prepared.drafts.is_empty() { Vec::new() } else { state.adapter.publish(prepared.drafts).await };
    let mut results = results.into_iter();
    let mut out = Vec::with_capacity(16 + prepared.refusals.len() * ITEM_ANSWER);
    out.extend_from_slice(br#"{"results":["#);
    for (n, refusal) in prepared.refusals.into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        let outcome = match refusal {
            Some(error) => Err(error),
            // an adapter answers each; if not, nobody knows
            None => results.next().unwrap_or(Err(PublishError::OutcomeUnknown)).map_err(RequestError::from),
        };
        match outcome {
            Ok(published) => {
                state.metrics.published(&published);
                answer::write_accepted_item(&mut out, &published);
            }
            Err(error) => {
                state.metrics.refused(&error);
                answer::write_refused_item(&mut out, &error);
            }
        }
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// Makes the drafts part of the request's trace.
fn trace(span: Option<&Span>, drafts: &mut [Draft]) {
    if let Some(span) = span {
        span.has_items(drafts.len());
        drafts.iter_mut().for_each(|draft| draft.trace = Some(span.context()));
    }
}

/// A batch's good items, and for each of its items why it is not one of them.
struct Prepared {
    drafts: Vec<Draft>,
    refusals: Vec<Option<RequestError>>,
}

fn prepare(state: &PublishState, caller: Caller<'_>, json: &str) -> Result<Prepared, RequestError> {
    match serde_json::from_str::<Object<Batch<'_>>>(json) {
        Ok(Object(batch)) => collect(batch.items.into_iter(), |Object(item)| item_draft(state, caller, &item)),
        // some item has the wrong shape: look at each by itself
        Err(_) => {
            let batch: RawBatch<'_> = parse(json)?;
            collect(batch.items.into_iter(), |raw| item_draft(state, caller, &parse(raw.get())?))
        }
    }
}

fn collect<T>(
    items: impl ExactSizeIterator<Item = T>,
    draft: impl Fn(T) -> Result<Draft, RequestError>,
) -> Result<Prepared, RequestError> {
    if items.len() > MAX_ITEMS {
        let reason = format_args!("holds {} items, at most {MAX_ITEMS} are allowed", items.len());
        return Err(RequestError::field("items", reason));
    }
    let mut drafts = Vec::with_capacity(items.len());
    let refusals = items.map(|item| draft(item).map(|draft| drafts.push(draft)).err()).collect();
    Ok(Prepared { drafts, refusals })
}

fn item_draft(state: &PublishState, caller: Caller<'_>, item: &Publish<'_>) -> Result<Draft, RequestError> {
    if item.ack.is_some() {
        return Err(RequestError::field("ack", "cannot be asked for in a batch"));
    }
    let key = item.idempotency_key.as_deref();
    if let Some(key) = key {
        check_key(key).map_err(|reason| RequestError::field("idempotency_key", reason))?;
    }
    draft(&state.namespaces, caller, item, key)
}

/// The `Idempotency-Key` header, if there is one.
fn key_header(headers: &HeaderMap) -> Result<Option<&str>, RequestError> {
    let refuse = |reason| RequestError::Header { header: "Idempotency-Key", reason };
    let mut values = headers.get_all(KEY_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refuse("given more than once"));
    }
    let key = value.to_str().unwrap_or_default();
    check_key(key).map_err(refuse)?;
    Ok(Some(key))
}
