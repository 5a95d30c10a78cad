//! What scripts answer, as types.

use std::time::Duration;

use redis::Value;

use crate::Unavailable;
use crate::place::Place;

/// Milliseconds, as scripts take them.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A reply that is none of those that a script gives.
fn strange(reply: &str) -> Unavailable {
    tracing::error!(reply, "a script's answer cannot be read");
    Unavailable
}

pub(crate) fn array(value: Value) -> Result<Vec<Value>, Unavailable> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(strange("not an array")),
    }
}

pub(crate) fn text(value: Value) -> Result<String, Unavailable> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).map_err(|_| strange("not text")),
        Value::SimpleString(text) => Ok(text),
        Value::Okay => Ok("OK".into()),
        _ => Err(strange("not text")),
    }
}

pub(crate) fn number(value: Value) -> Result<u64, Unavailable> {
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| strange("a negative number")),
        _ => Err(strange("not a number")),
    }
}

pub(crate) fn place(value: Value) -> Result<Place, Unavailable> {
    text(value)?.parse().map_err(|_| strange("not a place"))
}

pub(crate) fn texts(value: Value) -> Result<Vec<String>, Unavailable> {
    array(value)?.into_iter().map(text).collect()
}
