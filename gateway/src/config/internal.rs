//! `[internal]`: the listener of the publish API, metrics and health, and the keys that guard it; `[log]`.

use std::{fmt, net::SocketAddr, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::{tls::InternalTls, units};

/// The listener of the publish API, metrics and health.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Internal {
    /// Address and port to listen on; port 0 takes a free one. Beyond loopback at least one API key is required.
    /// Default: `"127.0.0.1:9100"`.
    #[serde(with = "units::address")]
    #[schemars(with = "String", extend("x-type" = "address"))]
    pub listen: SocketAddr,
    /// Largest request body, in bytes. Default: `"8MiB"`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub max_body: usize,
    /// Keys that callers present as `Authorization: Bearer <key>`; without any, callers are not asked for one.
    /// `carillon token` makes them. Default: `[]`.
    pub api_keys: Vec<ApiKey>,
    /// TLS of this listener, also mutual; without a certificate it speaks plain HTTP. Where it has one, nodes reach each
    /// other by TLS too, so all nodes of a deployment must have one, for the host that they advertise
    /// (`cluster.advertise`). See docs/tls.md.
    pub tls: InternalTls,
}

/// A key that may call the internal API; the key itself is never in the configuration.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Name of the caller, for logs and for the scope of idempotency keys; two keys may share it while one replaces
    /// the other. Required.
    pub name: String,
    /// SHA-256 of the key, as 64 hex digits. Required.
    pub sha256: KeyHash,
    /// What the key may do: `"publish"` (publish), `"manage"` (join, leave, disconnect), `"read"` (list and count
    /// sockets), `"admin"` (the admin page, which shows also what is published). Required.
    pub scopes: Vec<Scope>,
}

/// SHA-256 of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct KeyHash(pub [u8; 32]);

/// What an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Publish events, also in batches and with acknowledgements.
    Publish,
    /// Join, leave and disconnect sockets.
    Manage,
    /// List and count sockets.
    Read,
    /// Use the admin page, which shows what is published.
    Admin,
}

/// What is logged, and in which form.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Level (`error`, `warn`, `info`, `debug`, `trace`) or a filter such as `"info,carillon_gateway=debug"`.
    /// Default: `"info"`.
    pub level: String,
    /// Form of the lines on stdout: `"text"` or `"json"`. Default: `"text"`.
    pub format: LogFormat,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line, the fields of the event at its top level.
    Json,
}

impl KeyHash {
    /// The hash of a presented key. Compare in constant time.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

impl Default for Internal {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9100)),
            max_body: 8 << 20,
            api_keys: Vec::new(),
            tls: InternalTls::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl FromStr for KeyHash {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash)?;
        Ok(Self(hash))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        units::text(d, "64 hex digits, the sha256 of the key (see `carillon token`)")
    }
}
