//! `[namespaces.auth]`: who may enter a namespace.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Secret, units};

/// How clients are authenticated, and what happens when their token ends.
///
/// For `"jwt"` exactly one of `secret`, `secret_file`, `public_key_file`, `jwks_file` and `jwks_url` is needed. A token
/// without `exp` never ends.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// `"none"`: everybody may enter, as nobody known; `"jwt"`: who has a valid JSON Web Token; `"upstream"`: the
    /// backend decides. Default: `"none"`.
    pub method: AuthMethod,
    /// Where a client's token is looked for; the first that is there counts: `"auth.<path>"` is a field of the CONNECT
    /// payload, `"query.<name>"` a parameter of the handshake, `"header"` is `Authorization: Bearer`, `"cookie.<name>"`
    /// a cookie. Default: `["auth.token","query.token","header"]`.
    pub token: Vec<TokenSource>,
    /// Algorithms that tokens may be signed with, either for a secret: `"HS256"`, `"HS384"`, `"HS512"`; or for public
    /// keys: `"RS256"`, `"RS384"`, `"RS512"`, `"PS256"`, `"PS384"`, `"PS512"`, `"ES256"`, `"ES384"`, `"EdDSA"`.
    /// Required for `"jwt"`. Default: `[]`.
    pub algorithms: Vec<Algorithm>,
    /// Secret of `HS…`, as text; 32 bytes or more of chance. Default: `""`.
    pub secret: Secret,
    /// File with that secret; line ends at its end are left out. Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub secret_file: Option<PathBuf>,
    /// File with the public key (PEM: public key or certificate; RSA from 2048 to 4096 bits). Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub public_key_file: Option<PathBuf>,
    /// File with a set of public keys (JWKS). Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub jwks_file: Option<PathBuf>,
    /// Where a set of public keys (JWKS) is fetched: `"https://…"`. Until it is there, clients are told to try again.
    /// Default: `""`.
    pub jwks_url: String,
    /// Time after which a JWKS is read again; also at once, but at most each 10 seconds, when a token names a key that
    /// is not in it. While it cannot be read, the old keys hold. Default: `"10m"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub jwks_refresh: Duration,
    /// What `iss` of the token must be; `""` for anything. Default: `""`.
    pub issuer: String,
    /// One of these must be in `aud` of the token; `[]` for anything. Default: `[]`.
    pub audience: Vec<String>,
    /// Time by which the clocks may differ, for `exp`, `nbf` and `iat`. Default: `"5s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub leeway: Duration,
    /// Claim that is the id of the user; dots lead into objects. It must be in the token: a text, at most 255 bytes, or
    /// an integer. Default: `"sub"`.
    pub user: String,
    /// Whether a socket joins the room of its user. Default: `true`.
    pub user_room: bool,
    /// Longest token, in bytes. Default: `"8KiB"`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub max_token: usize,
    /// Event that tells a client why it may not enter, as `{message, code}`, before it is disconnected; `""` refuses by
    /// CONNECT_ERROR. Default: `""`.
    pub failure_event: String,
    /// What a client that recovers its session must show: `"authenticate"`: a token, of the same user; `"trust"`:
    /// nothing, whoever has the private session id is who he was. Default: `"authenticate"`.
    pub on_recovery: OnRecovery,
    /// Time before the end of its token at which a client is warned; 0 never. Default: `"0s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub warn_before: Duration,
    /// Event of that warning, with `{expires_at}`. Default: `"token-expiring"`.
    pub warn_event: String,
    /// Event sent when the token has ended, before the connection is closed; `""` for none. Default: `"token-expired"`.
    pub expired_event: String,
    /// Event by which a client sends a new token, which is acknowledged; `""` for none. Default: `"refresh-token"`.
    pub refresh_event: String,
    /// Event sent when the token was revoked, before the connection is closed; `""` for none.
    /// Default: `"token-revoked"`.
    pub revoked_event: String,
}

/// See [`Auth::method`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthMethod {
    /// Everybody may enter.
    #[default]
    None,
    /// A JSON Web Token.
    Jwt,
    /// The backend decides.
    Upstream,
}

/// See [`Auth::on_recovery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnRecovery {
    /// As for a new session.
    #[default]
    Authenticate,
    /// The private session id is enough.
    Trust,
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSA, PKCS#1 1.5, with SHA-256.
    RS256,
    /// RSA, PKCS#1 1.5, with SHA-384.
    RS384,
    /// RSA, PKCS#1 1.5, with SHA-512.
    RS512,
    /// RSA, PSS, with SHA-256.
    PS256,
    /// RSA, PSS, with SHA-384.
    PS384,
    /// RSA, PSS, with SHA-512.
    PS512,
    /// ECDSA on P-256.
    ES256,
    /// ECDSA on P-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

/// What an algorithm is verified with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// The secret that tokens are signed with.
    Secret,
    /// An RSA key.
    Rsa,
    /// A point of P-256.
    P256,
    /// A point of P-384.
    P384,
    /// A point of Ed25519.
    Ed25519,
}

/// Where a client's token is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(with = "String")]
pub enum TokenSource {
    /// A field of the CONNECT payload; each name leads into an object.
    Auth(Vec<String>),
    /// A parameter of the handshake's query.
    Query(String),
    /// `Authorization: Bearer`.
    Header,
    /// A cookie of the handshake.
    Cookie(String),
}

impl Auth {
    /// Every key source that is given, by its key.
    #[must_use]
    pub fn key_sources(&self) -> Vec<&'static str> {
        let given = [
            ("secret", !self.secret.0.is_empty()),
            ("secret_file", self.secret_file.is_some()),
            ("public_key_file", self.public_key_file.is_some()),
            ("jwks_file", self.jwks_file.is_some()),
            ("jwks_url", !self.jwks_url.is_empty()),
        ];
        given.into_iter().filter_map(|(key, is_given)| is_given.then_some(key)).collect()
    }
}

impl Default for Auth {
    fn default() -> Self {
        let token = || "token".to_owned();
        Self {
            method: AuthMethod::None,
            token: vec![TokenSource::Auth(vec![token()]), TokenSource::Query(token()), TokenSource::Header],
            algorithms: Vec::new(),
            secret: Secret::default(),
            secret_file: None,
            public_key_file: None,
            jwks_file: None,
            jwks_url: String::new(),
            jwks_refresh: Duration::from_secs(600),
            issuer: String::new(),
            audience: Vec::new(),
            leeway: Duration::from_secs(5),
            user: "sub".to_owned(),
            user_room: true,
            max_token: 8 << 10,
            failure_event: String::new(),
            on_recovery: OnRecovery::Authenticate,
            warn_before: Duration::ZERO,
            warn_event: "token-expiring".to_owned(),
            expired_event: "token-expired".to_owned(),
            refresh_event: "refresh-token".to_owned(),
            revoked_event: "token-revoked".to_owned(),
        }
    }
}

impl Algorithm {
    /// What it is verified with.
    #[must_use]
    pub fn key_kind(self) -> KeyKind {
        match self {
            Self::HS256 | Self::HS384 | Self::HS512 => KeyKind::Secret,
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => KeyKind::Rsa,
            Self::ES256 => KeyKind::P256,
            Self::ES384 => KeyKind::P384,
            Self::EdDSA => KeyKind::Ed25519,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the variants bear the registered names
        fmt::Debug::fmt(self, f)
    }
}

/// The text names no place where a token can be.
#[derive(Debug, thiserror::Error)]
#[error("not a place where a token can be")]
pub struct NotATokenSource;

impl FromStr for TokenSource {
    type Err = NotATokenSource;

    fn from_str(text: &str) -> Result<Self, NotATokenSource> {
        if text == "header" {
            return Ok(Self::Header);
        }
        let (place, name) = text.split_once('.').ok_or(NotATokenSource)?;
        let plain = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control());
        match place {
            "auth" if plain && name.split('.').all(|step| !step.is_empty()) => {
                Ok(Self::Auth(name.split('.').map(str::to_owned).collect()))
            }
            "query" if plain => Ok(Self::Query(name.to_owned())),
            // what RFC 6265 lets a cookie be called
            "cookie" if plain && name.chars().all(|c| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?={}".contains(c)) => {
                Ok(Self::Cookie(name.to_owned()))
            }
            _ => Err(NotATokenSource),
        }
    }
}

impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auth(path) => write!(f, "auth.{}", path.join(".")),
            Self::Query(name) => write!(f, "query.{name}"),
            Self::Header => f.write_str("header"),
            Self::Cookie(name) => write!(f, "cookie.{name}"),
        }
    }
}

impl Serialize for TokenSource {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenSource {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        units::text(d, "\"auth.<path>\", \"query.<name>\", \"header\" or \"cookie.<name>\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_sources_are_read_and_written() {
        for text in ["auth.token", "auth.user.token", "query.token", "query.a.b", "header", "cookie.__Host-token"] {
            assert_eq!(text.parse::<TokenSource>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "auth",
            "auth.",
            "auth.a..b",
            "auth..a",
            "auth.a.",
            "auth.a b",
            "query",
            "query.",
            "query.a\n",
            "Header",
            "header.x",
            "cookie",
            "cookie.",
            "cookie.a b",
            "cookie.a;b",
            "cookie.a=b",
            "cookie.é",
            "body.token",
            "token",
        ] {
            assert!(text.parse::<TokenSource>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_default_token_sources_are_the_stated_ones() {
        let default = serde_json::to_string(&Auth::default().token).unwrap();
        assert_eq!(default, r#"["auth.token","query.token","header"]"#);
    }

    #[test]
    fn secrets_are_not_shown() {
        let auth = Auth { secret: Secret("hush".to_owned()), ..Auth::default() };
        assert!(!format!("{auth:?}").contains("hush"));
        assert!(!serde_json::to_string(&auth).unwrap().contains("hush"));
    }

    #[test]
    fn algorithms_bear_their_registered_names() {
        for (algorithm, name) in [(Algorithm::HS256, "HS256"), (Algorithm::EdDSA, "EdDSA")] {
            assert_eq!(serde_json::to_value(algorithm).unwrap(), name);
            assert_eq!(algorithm.to_string(), name);
        }
    }
}
