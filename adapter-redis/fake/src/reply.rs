//! What a command answers, before it becomes a value of the crate `redis` or of Lua.

use std::sync::Arc;

use redis::{ErrorKind, RedisError, RedisResult, Value};

/// Binary text, shared between the data, the replica and replies.
pub(crate) type Bytes = Arc<[u8]>;

pub(crate) type Outcome = Result<Reply, Failure>;

/// A reply of protocol version 2. Nil stands for the absent text and the absent array, which clients do not tell apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Nil,
    Int(i64),
    Bulk(Bytes),
    Status(String),
    Array(Vec<Reply>),
    Error(Failure),
}

impl Reply {
    pub(crate) fn ok() -> Self {
        Self::Status("OK".into())
    }

    pub(crate) fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(text.as_ref().into())
    }

    pub(crate) fn count(count: usize) -> Self {
        Self::Int(count as i64)
    }

    pub(crate) fn list<T: Into<Self>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }

    fn into_value(self) -> Value {
        match self {
            Self::Nil => Value::Nil,
            Self::Int(number) => Value::Int(number),
            Self::Bulk(text) => Value::BulkString(text.to_vec()),
            Self::Status(status) if status == "OK" => Value::Okay,
            Self::Status(status) => Value::SimpleString(status),
            Self::Array(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            Self::Error(failure) => failure.into_value(),
        }
    }
}

impl From<bool> for Reply {
    fn from(yes: bool) -> Self {
        Self::Int(yes.into())
    }
}

impl From<Bytes> for Reply {
    fn from(text: Bytes) -> Self {
        Self::Bulk(text)
    }
}

impl From<Option<Bytes>> for Reply {
    fn from(text: Option<Bytes>) -> Self {
        text.map_or(Self::Nil, Self::Bulk)
    }
}

/// An error of the server: the line after the `-`, which begins with its code.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self(line.into())
    }

    pub(crate) fn wrong_type() -> Self {
        Self::new("WRONGTYPE Operation against a key holding the wrong kind of value")
    }

    pub(crate) fn syntax() -> Self {
        Self::new("ERR syntax error")
    }

    pub(crate) fn arity(name: &str) -> Self {
        Self(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// The crate makes such a value from the wire only, so it is written as on the wire.
    fn into_value(self) -> Value {
        let line = self.0.replace(['\r', '\n'], " ");
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap_or(Value::Nil)
    }
}

/// As a client of the crate `redis` sees it: an error of the whole reply is an error, one inside of it is a value.
pub(crate) fn to_client(outcome: Outcome) -> RedisResult<Value> {
    match outcome {
        Ok(reply) => Ok(reply.into_value()),
        Err(failure) => match failure.into_value() {
            Value::ServerError(error) => Err(error.into()),
            _ => Err(RedisError::from((ErrorKind::Parse, "an error that cannot be written"))),
        },
    }
}
