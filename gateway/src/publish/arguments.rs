//! Checks raw JSON arguments.
//!
//! Raw JSON is only known to be well-formed. Whoever decodes it later (the
//! msgpack parser, a client) must be able to: no nesting without end, no
//! halves of surrogate pairs, no numbers beyond what a double can hold.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest nesting of one argument.
pub(super) const MAX_DEPTH: usize = 100;

/// Reads the argument without keeping anything of it.
pub(super) fn check(arg: &RawValue) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(arg.get());
    Check { levels: MAX_DEPTH }.deserialize(&mut deserializer)
}

/// Accepts any value nested at most `levels` deep.
#[derive(Clone, Copy)]
struct Check {
    levels: usize,
}

impl Check {
    fn inside<E: Error>(self) -> Result<Check, E> {
        let levels = self.levels.checked_sub(1);
        levels
            .map(|levels| Check { levels })
            .ok_or_else(|| E::custom(format_args!("nested more than {MAX_DEPTH} deep")))
    }
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a json value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while items.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while entries.next_key_seed(inside)?.is_some() {
            entries.next_value_seed(inside)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<(), String> {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        check(&raw).map_err(|error| error.to_string())
    }

    #[test]
    fn what_can_be_decoded_passes() {
        for json in ["null", "-1", "1.5e300", "18446744073709551615", r#""\ud83d\ude00""#, r#"{"a":[true,{"b":""}]}"#] {
            assert_eq!(checked(json), Ok(()), "{json}");
            assert!(serde_json::from_str::<serde_json::Value>(json).is_ok());
        }
        let deepest = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert_eq!(checked(&deepest), Ok(()));
    }

    #[test]
    fn what_cannot_is_refused() {
        let too_deep = format!("{}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
        for (json, reason) in [
            (too_deep.as_str(), "nested more than 100 deep"),
            (r#"["\ud83d"]"#, "hex escape"),
            (r#"{"\ud83d":1}"#, "hex escape"),
            ("1e999", "out of range"),
        ] {
            let error = checked(json).unwrap_err();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }
}
