//! Text between those that write UTF-8 once and those that write it twice.

use std::fmt::Write as _;

/// Appends JSON with everything beyond ASCII as `\uXXXX`, which is the same
/// bytes in either encoding. Valid JSON has such only in its strings.
pub(in crate::protocol) fn escape(out: &mut Vec<u8>, json: &str) {
    let mut escaped = String::new();
    let mut rest = json;
    while let Some(at) = rest.find(|c: char| !c.is_ascii()) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let mut chars = rest[at..].chars();
        if let Some(c) = chars.next() {
            escaped.clear();
            for unit in c.encode_utf16(&mut [0; 2]) {
                // writing to memory does not fail
                let _ = write!(escaped, "\\u{unit:04x}");
            }
            out.extend_from_slice(escaped.as_bytes());
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// The text, decoded once more if it looks as if it was encoded twice: all its
/// characters are bytes, and the bytes are UTF-8.
pub fn undoubled(text: String) -> String {
    if text.is_ascii() {
        return text;
    }
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(json: &str) -> String {
        let mut out = Vec::new();
        escape(&mut out, json);
        String::from_utf8(out).unwrap()
    }

    fn doubled(text: &str) -> String {
        text.bytes().map(char::from).collect()
    }

    #[test]
    fn text_is_escaped() {
        for (json, expected) in [
            (r#"["e",1]"#, r#"["e",1]"#),
            ("\"\u{4f60}\u{597d}\"", r#""\u4f60\u597d""#),
            ("\"a\u{1f514}b\u{2028}\"", r#""a\ud83d\udd14b\u2028""#),
        ] {
            assert_eq!(escaped(json), expected);
        }
    }

    #[test]
    fn text_is_undoubled_only_where_it_was_doubled() {
        for (text, expected) in [
            ("plain", "plain"),
            ("\u{c3}\u{a9}", "\u{e9}"),
            ("\u{e9}", "\u{e9}"),
            ("\u{4f60}", "\u{4f60}"),
            ("\u{c3}\u{a9}\u{4f60}", "\u{c3}\u{a9}\u{4f60}"),
        ] {
            assert_eq!(undoubled(text.to_owned()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_reads_the_same(text in ".*") {
            let json = serde_json::to_string(&text).unwrap();
            let escaped = escaped(&json);
            prop_assert!(escaped.is_ascii());
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }

        #[test]
        fn what_is_doubled_is_undoubled(text in ".*") {
            prop_assert_eq!(undoubled(doubled(&text)), text);
        }
    }
}
