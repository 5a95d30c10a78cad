//! JSON that a client may write and that not every reader takes.
//!
//! `JSON.stringify` writes half a surrogate pair as an escape, and a number may
//! be written that no double holds. Browsers read both. Within the gateway a
//! text must be readable as a value, also to be written as msgpack, so such
//! places are replaced as browsers would write them again: by U+FFFD and null.

use serde_json::Value;

/// The text itself, or repaired; `None` when it is beyond that (nested too
/// deep). `json` is valid by grammar.
pub(super) fn readable(json: &str) -> Option<String> {
    if serde_json::from_str::<Value>(json).is_ok() {
        return Some(json.to_owned());
    }
    let repaired = repair(json);
    serde_json::from_str::<Value>(&repaired).is_ok().then_some(repaired)
}

fn repair(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' => {
                let len = string_len(rest);
                repair_string(&rest[..len], &mut out);
                len
            }
            '-' | '0'..='9' => {
                let len = rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
                let number = &rest[..len];
                let holds = number.parse::<f64>().is_ok_and(f64::is_finite);
                out.push_str(if holds { number } else { "null" });
                len
            }
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[len..];
    }
    out
}

/// Bytes of the string that the text begins with, with its quotes.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Replaces surrogates that are not a pair.
fn repair_string(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let len = match (surrogate(rest), rest.get(6..).and_then(surrogate)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(_), _) => {
                out.push('\u{FFFD}');
                rest = &rest[6..];
                continue;
            }
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..len]);
        rest = &rest[len..];
    }
    out.push_str(rest);
}

/// The surrogate that the text begins with as an escape.
fn surrogate(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok().filter(|unit| (0xD800..=0xDFFF).contains(unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_readable_stays() {
        for json in ["1.50", r#"{"b":1,"a":"é\ud83d\udd14"}"#, "[1e2]", r#""\\ud800""#] {
            assert_eq!(readable(json).as_deref(), Some(json));
        }
    }

    #[test]
    fn the_rest_is_repaired() {
        for (json, expected) in [
            ("1e999", "null"),
            (r#"[-1e999,{"a":1E400}, 2]"#, r#"[null,{"a":null}, 2]"#),
            (r#""a\ud83d""#, "\"a\u{FFFD}\""),
            (r#""\udd14\ud83d\ud83d\udd14\n""#, "\"\u{FFFD}\u{FFFD}\\ud83d\\udd14\\n\""),
            (r#"["1e999","\ud800"]"#, "[\"1e999\",\"\u{FFFD}\"]"),
        ] {
            assert_eq!(readable(json).as_deref(), Some(expected), "{json}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_not() {
        let json = "[".repeat(1000) + &"]".repeat(1000);
        assert_eq!(readable(&json), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}", escapes in r#"("\\\\u[d][89a-f][0-9a-f]{2}|[0-9e",-]){0,10}"#) {
            let _ = readable(&text);
            let _ = repair(&format!("[\"{escapes}\"]"));
        }
    }
}
