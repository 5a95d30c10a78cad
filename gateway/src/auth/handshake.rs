//! What HTTP headers of the handshake hold: the bearer token and cookies.

use std::borrow::Cow;

/// The token of an `Authorization` header, when that is of the kind `Bearer` (RFC 6750; the word in any case).
#[must_use]
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim_start();
    let whole = !token.is_empty() && !token.contains(char::is_whitespace);
    (scheme.eq_ignore_ascii_case("bearer") && whole).then_some(token)
}

/// The cookies of a `Cookie` header, in its order, without those that have no name or no value (RFC 6265). Quotes
/// around a value are left out, and what is percent-encoded in it is decoded, if that gives UTF-8.
pub fn cookies(header: &str) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    header.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        (!name.is_empty() && !value.is_empty()).then(|| (name, percent_decoded(value)))
    })
}

/// As it was, when an escape is incomplete or the whole is not UTF-8 then.
fn percent_decoded(text: &str) -> Cow<'_, str> {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let Some((escape, rest)) = part.as_bytes().split_at_checked(2) else {
            return Cow::Borrowed(text);
        };
        let mut byte = [0];
        if hex::decode_to_slice(escape, &mut byte).is_err() {
            return Cow::Borrowed(text);
        }
        decoded.push(byte[0]);
        decoded.extend_from_slice(rest);
    }
    String::from_utf8(decoded).map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bearer_tokens() {
        for (header, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer   a.b-c_d~+/==  ", Some("a.b-c_d~+/==")),
            ("BEARER x", Some("x")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearer a b", None),
            ("Bearer\ta", None),
            ("Basic abc", None),
            ("Bearerx abc", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(bearer(header), token, "{header:?}");
        }
    }

    #[test]
    fn cookies_of_a_header() {
        let read = |header| cookies(header).map(|(name, value)| (name, value.into_owned())).collect::<Vec<_>>();
        let pairs = |pairs: &[(&'static str, &str)]| {
            pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>()
        };
        for (header, expected) in [
            ("a=1; b=2", pairs(&[("a", "1"), ("b", "2")])),
            ("a=1;b=2;", pairs(&[("a", "1"), ("b", "2")])),
            ("  a = 1 ;; =x; c; d=", pairs(&[("a", "1")])),
            ("a=x=y==", pairs(&[("a", "x=y==")])),
            ("a=\"q u\"; b=\"", pairs(&[("a", "q u"), ("b", "\"")])),
            ("a=\"\"; b=1", pairs(&[("b", "1")])),
            ("a=1; a=2", pairs(&[("a", "1"), ("a", "2")])),
            ("a=%41%2f%C3%A9", pairs(&[("a", "A/é")])),
            ("a=100%; b=%4; c=%zz; d=%ff", pairs(&[("a", "100%"), ("b", "%4"), ("c", "%zz"), ("d", "%ff")])),
            ("a=1+2", pairs(&[("a", "1+2")])),
            ("", vec![]),
        ] {
            assert_eq!(read(header), expected, "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(header in any::<String>()) {
            prop_assert!(bearer(&header).is_none_or(|token| header.contains(token)));
            for (name, value) in cookies(&header) {
                prop_assert!(!name.is_empty() && !value.is_empty());
            }
        }
    }
}
