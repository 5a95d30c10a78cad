//! How a node shows that a request is another node's.
//!
//! The header [`HEADER`] holds `1.<milliseconds>.<body>.<mac>`: the time of
//! signing, the SHA-256 of the body, and HMAC-SHA256 under the shared secret
//! over method, path with query, time and the body's digest. The head is
//! judged before the body is read.
//!
//! A signature holds for [`VALIDITY`] around its time, and in that time again:
//! who could repeat a request has read its session id, which alone lets
//! anybody speak for the client on the public listener.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sha2::{Digest, Sha256};

pub(super) const HEADER: HeaderName = HeaderName::from_static("carillon-signature");

/// How far the clocks of two nodes may be apart.
pub(super) const VALIDITY: Duration = Duration::from_secs(30);

const VERSION: &str = "1";

/// Why a request is not taken for a peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untrusted {
    /// This node has no peers.
    NoPeers,
    Missing,
    /// Not of this secret, or of another request.
    Wrong,
    /// Signed too long ago, or too far ahead.
    Stale,
}

impl Untrusted {
    pub(super) const ALL: [Untrusted; 4] = [Untrusted::NoPeers, Untrusted::Missing, Untrusted::Wrong, Untrusted::Stale];

    pub(super) fn label(self) -> &'static str {
        match self {
            Untrusted::NoPeers => "no_peers",
            Untrusted::Missing => "missing",
            Untrusted::Wrong => "wrong",
            Untrusted::Stale => "stale",
        }
    }
}

/// The digest that a request's body must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyDigest([u8; 32]);

impl BodyDigest {
    fn of(body: &[u8]) -> Self {
        BodyDigest(Sha256::digest(body).into())
    }

    pub fn fits(&self, body: &[u8]) -> bool {
        *self == BodyDigest::of(body)
    }
}

/// The header's value for a request to `target`, path and query.
pub(super) fn sign(secret: &[u8], method: &Method, target: &str, body: &[u8], now: SystemTime) -> HeaderValue {
    let time = milliseconds(now);
    let body = BodyDigest::of(body);
    let mac = mac(secret, method, target, time, &body).finalize().into_bytes();
    let value = format!("{VERSION}.{time}.{}.{}", hex::encode(body.0), hex::encode(mac));
    HeaderValue::try_from(value).expect("digits, dots and hexadecimal digits")
}

/// Whether the head of a request is a peer's.
pub(super) fn verify(
    secret: &[u8],
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    now: SystemTime,
) -> Result<BodyDigest, Untrusted> {
    let value = headers.get(HEADER).ok_or(Untrusted::Missing)?;
    let (time, body, presented) = value.to_str().ok().and_then(parse).ok_or(Untrusted::Wrong)?;
    mac(secret, method, target, time, &body).verify_slice(&presented).map_err(|_| Untrusted::Wrong)?;
    if u128::from(milliseconds(now).abs_diff(time)) > VALIDITY.as_millis() {
        return Err(Untrusted::Stale);
    }
    Ok(body)
}

fn parse(value: &str) -> Option<(u64, BodyDigest, [u8; 32])> {
    let mut parts = value.split('.');
    let (version, time, body, mac) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let digest = |text| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
    };
    let whole = version == VERSION && parts.next().is_none();
    whole.then_some((time.parse().ok()?, BodyDigest(digest(body)?), digest(mac)?))
}

fn mac(secret: &[u8], method: &Method, target: &str, time: u64, body: &BodyDigest) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    // neither can hold a line feed, and the rest has a fixed form
    mac.update(format!("carillon {VERSION}\n{method}\n{target}\n{time}\n").as_bytes());
    mac.update(&body.0);
    mac
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of the nodes";
    const TARGET: &str = "/internal/v1/engine?sid=x";

    fn signed(value: HeaderValue) -> HeaderMap {
        HeaderMap::from_iter([(HEADER, value)])
    }

    #[test]
    fn what_was_signed_is_trusted_for_a_while() {
        let now = SystemTime::now();
        let headers = signed(sign(SECRET, &Method::POST, TARGET, b"body", now));
        let late = VALIDITY + Duration::from_millis(1);
        for (at, expected) in [
            (now, None),
            (now + VALIDITY, None),
            (now - VALIDITY, None),
            (now + late, Some(Untrusted::Stale)),
            (now - late, Some(Untrusted::Stale)),
        ] {
            assert_eq!(verify(SECRET, &Method::POST, TARGET, &headers, at).err(), expected, "{at:?}");
        }
        let digest = verify(SECRET, &Method::POST, TARGET, &headers, now).unwrap();
        assert!(digest.fits(b"body") && !digest.fits(b"bodies"));
    }

    #[test]
    fn nothing_else_is() {
        let now = SystemTime::now();
        let value = sign(SECRET, &Method::GET, TARGET, b"", now);
        let good = signed(value.clone());
        let wrong = Some(Untrusted::Wrong);
        assert_eq!(verify(SECRET, &Method::GET, TARGET, &good, now).err(), None);
        assert_eq!(verify(b"another", &Method::GET, TARGET, &good, now).err(), wrong);
        assert_eq!(verify(SECRET, &Method::POST, TARGET, &good, now).err(), wrong);
        assert_eq!(verify(SECRET, &Method::GET, "/internal/v1/engine?sid=y", &good, now).err(), wrong);
        assert_eq!(verify(SECRET, &Method::GET, TARGET, &HeaderMap::new(), now).err(), Some(Untrusted::Missing));
        let text = value.to_str().unwrap();
        let parts: Vec<&str> = text.split('.').collect();
        let later = (parts[1].parse::<u64>().unwrap() + 1).to_string();
        let other_body = hex::encode(Sha256::digest(b"x"));
        for forged in [
            String::new(),
            "1.2.3".to_owned(),
            format!("{text}.0"),
            format!("2.{}", parts[1..].join(".")),
            [parts[0], &later, parts[2], parts[3]].join("."),
            [parts[0], parts[1], &other_body, parts[3]].join("."),
            [parts[0], parts[1], parts[2], &"0".repeat(64)].join("."),
            text[..text.len() - 1].to_owned(),
        ] {
            let headers = signed(HeaderValue::try_from(&forged).unwrap());
            assert_eq!(verify(SECRET, &Method::GET, TARGET, &headers, now).err(), wrong, "{forged}");
        }
    }
}
