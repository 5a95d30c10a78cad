//! How a backend knows that a request is the gateway's.
//!
//! [`SIGNATURE`] holds `v1=` and the HMAC-SHA256, in hexadecimal digits, under
//! the shared secret over the value of [`TIMESTAMP`] (seconds since 1970), a
//! dot, and the body. The time is of this attempt: a request that is sent
//! again is signed again.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, HeaderValue};
use sha2::Sha256;

use crate::auth::UnixSeconds;

pub(super) const TIMESTAMP: HeaderName = HeaderName::from_static("x-carillon-timestamp");
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("x-carillon-signature");

/// The values of [`TIMESTAMP`] and [`SIGNATURE`].
pub(super) fn sign(secret: &[u8], now: UnixSeconds, body: &[u8]) -> (HeaderValue, HeaderValue) {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(format!("{}.", now.0).as_bytes());
    mac.update(body);
    let signature = format!("v1={}", hex::encode(mac.finalize().into_bytes()));
    (HeaderValue::from(now.0), HeaderValue::try_from(signature).expect("letters, digits and `=`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '1767225600.{"type":"event"}' | openssl dgst -sha256 -hmac secret`
    #[test]
    fn is_what_others_compute() {
        let (timestamp, signature) = sign(b"secret", UnixSeconds(1_767_225_600), br#"{"type":"event"}"#);
        assert_eq!(timestamp, "1767225600");
        assert_eq!(signature, "v1=08d5506b24ae2e10715cd13af3d3961482878bd4be8a0ebe6743e01f45ba8395");
    }

    #[test]
    fn is_as_documented() {
        let page = include_str!("../../../docs/upstream.md");
        let given = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("no {name}")).trim()
        };
        let time = UnixSeconds(given("timestamp").parse().unwrap());
        assert_eq!(sign(given("secret").as_bytes(), time, given("body").as_bytes()).1, given("signature"));
    }

    #[test]
    fn depends_on_everything() {
        let signed = |secret: &[u8], time, body: &[u8]| sign(secret, UnixSeconds(time), body).1;
        let first = signed(b"a", 1, b"b");
        assert_eq!(signed(b"a", 1, b"b"), first);
        assert_ne!(signed(b"b", 1, b"b"), first);
        assert_ne!(signed(b"a", 2, b"b"), first);
        assert_ne!(signed(b"a", 1, b"c"), first);
    }
}
