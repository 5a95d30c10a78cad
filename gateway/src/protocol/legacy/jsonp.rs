//! Polling by script elements and forms, for browsers that know no other way
//! to another origin.

use bytes::Bytes;

use super::text::escape;

/// A number that a client gives its callback, `j` in the query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Callback(u32);

impl Callback {
    /// `None` for anything but a number: it becomes part of a script.
    pub fn parse(digits: &str) -> Option<Self> {
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| plain).map(Callback)
    }

    /// A text payload as a script that hands it over.
    pub fn answer(self, payload: &[u8]) -> Bytes {
        let text = String::from_utf8_lossy(payload);
        let literal = serde_json::Value::from(text).to_string();
        let mut out = Vec::with_capacity(literal.len() + 30);
        out.extend_from_slice(format!("___eio[{}](", self.0).as_bytes());
        // no part of it may end a script element, nor a line of the script
        escape(&mut out, &literal.replace('<', "\\u003c"));
        out.extend_from_slice(b");");
        out.into()
    }
}

/// The payload in a form: its field `d`, in which line breaks are escaped.
pub(super) fn field(body: &[u8]) -> Option<String> {
    let (_, value) = form_urlencoded::parse(body).find(|(name, _)| name == "d")?;
    Some(unescaped(&value))
}

/// Clients write a line break as `\n`, and `\n` itself with one more backslash.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split("\\n").peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            out.push_str(part);
        } else if let Some(part) = part.strip_suffix('\\') {
            out.push_str(part);
            out.push_str("\\n");
        } else {
            out.push_str(part);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn callbacks_are_numbers() {
        assert_eq!(Callback::parse("12"), Some(Callback(12)));
        for text in ["", "+1", "-1", "1;alert()", "99999999999", "x"] {
            assert_eq!(Callback::parse(text), None, "{text}");
        }
    }

    #[test]
    fn answers_are_safe_scripts() {
        let answer = |payload: &str| Callback(3).answer(payload.as_bytes());
        assert_eq!(answer("1:6"), r#"___eio[3]("1:6");"#);
        assert_eq!(answer("9:\"\\\n</script>\u{2028}\u{2029}"), r#"___eio[3]("9:\"\\\n\u003c/script>\u2028\u2029");"#);
    }

    #[test]
    fn forms_are_read() {
        for (body, expected) in [
            (&b"d=1%3A6"[..], Some("1:6")),
            (b"d=a+b%0D%0A", Some("a b\r\n")),
            (b"d=%5Cn", Some("\n")),
            (b"d=%5C%5Cn", Some("\\n")),
            (b"d=%5C%5C%5Cn", Some("\\\\n")),
            (b"d=\\nx\\\\nx\\\\x\\", Some("\nx\\nx\\\\x\\")),
            (b"x=1&d=2", Some("2")),
            (b"x=1", None),
        ] {
            assert_eq!(field(body).as_deref(), expected, "{}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        /// As clients do it: `\n` first, then line breaks.
        #[test]
        fn json_survives_a_form(text in "[\\\\n\n\"a]{0,20}") {
            let json = serde_json::to_string(&text).unwrap();
            let written = json.replace("\\n", "\\\n").replace('\n', "\\n");
            prop_assert_eq!(unescaped(&written), json);
        }
    }
}
