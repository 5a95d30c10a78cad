//! The shape of a token: three parts, of which the first is the header.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserializer, IgnoredAny};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::AuthError;

/// A token whose header was read; its signature was not verified yet.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) header: Header,
    /// What is signed: header and claims, as they were sent.
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
    claims: &'a str,
}

/// What counts of the header (RFC 7515, 4.1). Keys that a token brings along or points to are not looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    /// Extensions that must be understood. None is.
    #[serde(default, rename = "crit", deserialize_with = "present")]
    critical: bool,
}

impl<'a> Token<'a> {
    /// # Errors
    /// When it has not the shape of a signed token, or demands an extension.
    pub(super) fn read(text: &'a str) -> Result<Self, AuthError> {
        let (signed, signature) = text.rsplit_once('.').ok_or(AuthError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(AuthError::Malformed)?;
        let header: Header = json(header)?;
        if header.critical {
            return Err(AuthError::Malformed);
        }
        Ok(Token { header, signed, signature, claims })
    }

    /// The claims, which mean nothing before the signature was verified.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, AuthError> {
        json(self.claims)
    }
}

/// A part that is a JSON object. (What derives `Deserialize` would take a list as well.)
fn json<T: DeserializeOwned>(part: &str) -> Result<T, AuthError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| AuthError::Malformed)?;
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(AuthError::Malformed);
    }
    serde_json::from_slice(&bytes).map_err(|_| AuthError::Malformed)
}

/// True for whatever value, `null` too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(header: &str) -> String {
        format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(header))
    }

    #[test]
    fn shapes() {
        let good = encoded(r#"{"alg":"HS256","kid":"k","typ":"JWT","jwk":{"kty":"oct"}}"#);
        let token = Token::read(&good).unwrap();
        assert_eq!((token.header.alg.as_str(), token.header.kid.as_deref()), ("HS256", Some("k")));
        assert_eq!((token.signed, token.signature), (good.rsplit_once('.').unwrap().0, "c2ln"));
        assert!(token.claims().unwrap().is_empty());

        for header in [
            r#"{"kid":"k"}"#,
            r#"{"alg":256}"#,
            r#"{"alg":"HS256","kid":7}"#,
            r#"{"alg":"HS256","alg":"none"}"#,
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
            r#"{"alg":"HS256","crit":[]}"#,
            r#"{"alg":"HS256","crit":null}"#,
            r#"["HS256"]"#,
            r#"["HS256",null]"#,
            r#""HS256""#,
            r#"{"alg":"HS256"} x"#,
            "",
        ] {
            assert_eq!(Token::read(&encoded(header)).unwrap_err(), AuthError::Malformed, "{header}");
        }
        let header = good.split('.').next().unwrap();
        for text in [
            String::new(),
            "..".to_owned(),
            header.to_owned(),
            format!("{header}.e30"),
            format!("{header}=.e30.c2ln"),
            format!(" {header}.e30.c2ln"),
            "e30.e30.e30.e30.e30".to_owned(),
        ] {
            assert_eq!(Token::read(&text).unwrap_err(), AuthError::Malformed, "{text}");
        }
        // encrypted tokens have five parts; the claims of this one are not base64
        assert!(Token::read(&format!("{header}.a.b.c2ln")).unwrap().claims().is_err());
        for claims in ["W10", "MQ", "bnVsbA", "", "e30="] {
            assert!(Token::read(&format!("{header}.{claims}.c2ln")).unwrap().claims().is_err(), "{claims}");
        }
    }
}
