//! What callers send, as it stands in the body: text is borrowed from it,
//! arguments are kept as raw JSON, each body is parsed once.
//!
//! Only a body that is refused is parsed a second time, to name the field.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::RequestError;

/// An event to be sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Publish<'a> {
    /// A configured namespace.
    #[serde(borrow, default = "root")]
    #[schema(value_type = String, default = "/")]
    pub(super) namespace: Cow<'a, str>,
    #[serde(borrow)]
    #[schema(value_type = super::openapi::Target)]
    pub(super) target: Target<'a>,
    /// Sockets that do not get it, by room or id: at most 100 in all.
    #[serde(borrow, default)]
    #[schema(value_type = super::openapi::Except)]
    pub(super) except: Object<Except<'a>>,
    /// The event's name: not empty, and none that stock clients reserve (`connect`, `connect_error`, `disconnect`,
    /// `disconnecting`, `newListener`, `removeListener`).
    #[serde(borrow)]
    #[schema(value_type = String, min_length = 1)]
    pub(super) event: Cow<'a, str>,
    /// The event's arguments: any JSON, nested at most 100 deep. `{"$binary":"<base64>"}` anywhere in them arrives as
    /// binary data (at most 64 of them).
    #[serde(borrow, default)]
    #[schema(value_type = Vec<Value>)]
    pub(super) args: Vec<&'a RawValue>,
    /// Never logged, and dropped for who cannot take it at once.
    #[serde(default)]
    pub(super) volatile: bool,
    /// Asks every recipient for an acknowledgement, and answers with them. Not logged; not together with `volatile`
    /// or an idempotency key, and not in a batch.
    #[serde(default)]
    #[schema(value_type = Option<AckRequest>)]
    pub(super) ack: Option<Object<AckRequest>>,
    /// Items of a batch only (a single publish uses the header): the same key again within 10 minutes sends nothing
    /// and answers with the first publish's id. 1 to 128 printable ASCII characters.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    pub(super) idempotency_key: Option<Cow<'a, str>>,
}

/// How long acknowledgements are waited for.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AckRequest {
    /// Milliseconds.
    #[schema(minimum = 1, maximum = 60000)]
    pub(super) timeout_ms: u64,
}

/// Rooms to join or leave.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomsChange<'a> {
    /// A configured namespace.
    #[serde(borrow, default = "root")]
    #[schema(value_type = String, default = "/")]
    pub(super) namespace: Cow<'a, str>,
    #[serde(borrow)]
    #[schema(value_type = super::openapi::Target)]
    pub(super) target: Target<'a>,
    /// Names of rooms; at least one.
    #[serde(borrow)]
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 100)]
    pub(super) rooms: Vec<Text<'a>>,
}

/// Sockets to disconnect.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Disconnect<'a> {
    /// A configured namespace.
    #[serde(borrow, default = "root")]
    #[schema(value_type = String, default = "/")]
    pub(super) namespace: Cow<'a, str>,
    #[serde(borrow)]
    #[schema(value_type = super::openapi::Target)]
    pub(super) target: Target<'a>,
    /// Close the whole connection instead of leaving the namespace only.
    #[serde(default)]
    pub(super) close: bool,
}

/// Many publishes, answered one by one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch<'a> {
    /// Sent in this order.
    #[serde(borrow)]
    #[schema(value_type = Vec<Publish>, max_items = 1000)]
    pub(super) items: Vec<Object<Publish<'a>>>,
}

/// A batch of which some item has the wrong shape.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBatch<'a> {
    #[serde(borrow)]
    pub(super) items: Vec<&'a RawValue>,
}

/// Which sockets are listed or counted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    #[serde(default = "root")]
    pub(super) namespace: Cow<'static, str>,
    pub(super) room: Option<String>,
    pub(super) user: Option<String>,
}

/// Who is meant.
#[derive(Debug)]
pub(crate) enum Target<'a> {
    All,
    Lists(TargetLists<'a>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetLists<'a> {
    #[serde(borrow, default)]
    pub(crate) rooms: Vec<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) users: Vec<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) sockets: Vec<Text<'a>>,
}

/// Who is not meant.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Except<'a> {
    #[serde(borrow, default)]
    pub(crate) rooms: Vec<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) sockets: Vec<Text<'a>>,
}

/// Text, borrowed also within lists (where `Cow` alone is always copied).
#[derive(Debug, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A struct that is written as an object only: by itself serde takes a list of
/// the fields' values as well.
#[derive(Debug, Default)]
pub(crate) struct Object<T>(pub(crate) T);

/// The namespace where none is given.
pub(super) fn root() -> Cow<'static, str> {
    Cow::Borrowed("/")
}

impl<'de: 'a, 'a> Deserialize<'de> for Target<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TargetVisitor;

        impl<'de> Visitor<'de> for TargetVisitor {
            type Value = Target<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#""all" or an object of rooms, users and sockets"#)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "all" => Ok(Target::All),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                TargetLists::deserialize(MapAccessDeserializer::new(map)).map(Target::Lists)
            }
        }

        deserializer.deserialize_any(TargetVisitor)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// Reads a body or an item of a batch.
pub(crate) fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, RequestError> {
    serde_json::from_str(json).map(|Object(value)| value).map_err(|_| explain::<Object<T>>(json))
}

/// Why `json` is no `T`, with the path of the field.
#[cold]
fn explain<'a, T: Deserialize<'a>>(json: &'a str) -> RequestError {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let (path, error) = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => {
            let error = deserializer.end().err().unwrap_or_else(|| serde_json::Error::custom("not accepted"));
            (String::from("."), error)
        }
        Err(error) => (error.path().to_string(), error.into_inner()),
    };
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => RequestError::NotJson(error.to_string()),
        Category::Data if path == "." => RequestError::Shape(error.to_string()),
        Category::Data => RequestError::field(path, error),
    }
}
