//! `when`: what must hold for a rule to allow something. The file has flat keys; the code gets an enum.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What must hold for a rule to allow something.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "FlatCondition", into = "FlatCondition")]
pub enum Condition {
    /// A claim holds a value: a list as an element, an object as a key, a text as a word.
    ClaimContains {
        /// Dotted path of the claim.
        claim: String,
        /// Template of the value.
        value: String,
    },
    /// A claim is a value.
    ClaimEquals {
        /// Dotted path of the claim.
        claim: String,
        /// A JSON value; a text is a template.
        value: Value,
    },
    /// A set in Redis has a member.
    InSet {
        /// Template of the set's key, without the prefix of the gateway's own.
        key: String,
        /// Template of the member.
        member: String,
    },
    /// The backend says so.
    Upstream {
        /// How long its answer holds for the same user, event and room; zero = not at all.
        cache: Duration,
    },
    /// The socket is in the rule's room.
    InRoom,
}

/// A condition as it is written in the file.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FlatCondition {
    /// Dotted path of a claim, with `contains` or `equals`.
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<String>,
    /// Template of what the claim holds: an element of a list, a key of an object, a word of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    contains: Option<String>,
    /// JSON value that the claim is; a text is a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-type" = "JSON value"))]
    equals: Option<Value>,
    /// Template of the key of a set in the Redis of `[redis]`, with `member`.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis_set: Option<String>,
    /// Template of the member.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<String>,
    /// `true`: the backend is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<bool>,
    /// For `upstream`: how long its answer holds. Default: `"0s"`.
    #[serde(with = "optional_duration", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    cache: Option<Duration>,
    /// `true`: the socket is in the rule's room.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_room: Option<bool>,
}

/// Why the keys of a condition do not make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// None of the keys that begin a condition, or several.
    #[error("a condition has one of `claim`, `redis_set`, `upstream = true`, `in_room = true`; several go into a list")]
    Kind,
    /// `claim` without a comparison, or with both.
    #[error("`claim` needs `contains` or `equals`")]
    Comparison,
    /// `redis_set` alone.
    #[error("`redis_set` needs `member`")]
    Member,
    /// A key that this condition has no use for.
    #[error("`{0}` has no meaning here")]
    Unused(&'static str),
}

impl TryFrom<FlatCondition> for Condition {
    type Error = ConditionError;

    fn try_from(mut flat: FlatCondition) -> Result<Self, ConditionError> {
        let kinds = [
            flat.claim.is_some(),
            flat.redis_set.is_some(),
            flat.upstream.take() == Some(true),
            flat.in_room.take() == Some(true),
        ];
        let condition = match kinds {
            [true, false, false, false] => {
                let claim = flat.claim.take().unwrap_or_default();
                match (flat.contains.take(), flat.equals.take()) {
                    (Some(value), None) => Condition::ClaimContains { claim, value },
                    (None, Some(value)) => Condition::ClaimEquals { claim, value },
                    (None, None) | (Some(_), Some(_)) => return Err(ConditionError::Comparison),
                }
            }
            [false, true, false, false] => Condition::InSet {
                key: flat.redis_set.take().unwrap_or_default(),
                member: flat.member.take().ok_or(ConditionError::Member)?,
            },
            [false, false, true, false] => Condition::Upstream { cache: flat.cache.take().unwrap_or_default() },
            [false, false, false, true] => Condition::InRoom,
            _ => return Err(ConditionError::Kind),
        };
        let leftovers = [
            ("contains", flat.contains.is_some()),
            ("equals", flat.equals.is_some()),
            ("member", flat.member.is_some()),
            ("cache", flat.cache.is_some()),
        ];
        match leftovers.into_iter().find(|(_, present)| *present) {
            Some((key, _)) => Err(ConditionError::Unused(key)),
            None => Ok(condition),
        }
    }
}

impl From<Condition> for FlatCondition {
    fn from(condition: Condition) -> Self {
        let flat = FlatCondition::default();
        match condition {
            Condition::ClaimContains { claim, value } => {
                FlatCondition { claim: Some(claim), contains: Some(value), ..flat }
            }
            Condition::ClaimEquals { claim, value } => {
                FlatCondition { claim: Some(claim), equals: Some(value), ..flat }
            }
            Condition::InSet { key, member } => FlatCondition { redis_set: Some(key), member: Some(member), ..flat },
            Condition::Upstream { cache } => FlatCondition { upstream: Some(true), cache: Some(cache), ..flat },
            Condition::InRoom => FlatCondition { in_room: Some(true), ..flat },
        }
    }
}

/// One condition, or a list of them.
pub(super) mod one_or_many {
    use super::*;
    use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
    use serde::de::{MapAccess, SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    struct OneOrMany;

    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<Condition>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a condition such as `{ claim = \"role\", equals = \"admin\" }`, or a list of them")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Condition::deserialize(MapAccessDeserializer::new(map)).map(|condition| vec![condition])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Condition>, D::Error> {
        d.deserialize_any(OneOrMany)
    }

    pub(in crate::config) fn serialize<S: Serializer>(conditions: &[Condition], s: S) -> Result<S::Ok, S::Error> {
        conditions.serialize(s)
    }
}

/// A duration that may be absent.
mod optional_duration {
    use super::*;
    use crate::config::units;
    use serde::{Deserializer, Serializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        units::duration::deserialize(d).map(Some)
    }

    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        units::duration::serialize(&value.unwrap_or_default(), s)
    }
}
