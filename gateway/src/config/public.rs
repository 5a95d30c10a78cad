//! `[public]`: the listener that clients connect to, and `[engine]`: the heartbeat and size limits of Engine.IO.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{tls::PublicTls, units};

/// The listener that clients connect to.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Public {
    /// Address and port to listen on; port 0 takes a free one. Default: `"0.0.0.0:8080"`.
    #[serde(with = "units::address")]
    #[schemars(with = "String", extend("x-type" = "address"))]
    pub listen: SocketAddr,
    /// Engine.IO path; begins and ends with `/`. A segment `{name}` takes any one segment of letters, digits and `-._~`,
    /// which templates know as `{path.name}`. Default: `"/socket.io/"`.
    pub path: String,
    /// Transports that clients may use: `"polling"`, `"websocket"`. Default: `["polling","websocket"]`.
    pub transports: Vec<Transport>,
    /// Whether the upgrade from polling to WebSocket is offered. Default: `true`.
    pub upgrades: bool,
    /// Whether clients with the msgpack parser are accepted beside JSON ones; they are told apart by their first
    /// packet. Default: `true`.
    pub msgpack: bool,
    /// Origins that browsers may connect from: `"*"` for any, or exact ones such as `"https://example.com"`.
    /// Default: `["*"]`.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// Networks (CIDR) of proxies whose `X-Forwarded-For` is believed. Default: `[]`.
    #[serde(with = "units::networks")]
    #[schemars(with = "Vec<String>", extend("x-type" = "list of networks"))]
    pub trusted_proxies: Vec<IpNet>,
    /// Directory with `socket.io.js` and its variants (the `dist/` of the npm package `socket.io-client`), served below
    /// `path`; `""` serves none. Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub client_dir: Option<PathBuf>,
    /// Clients of Socket.IO 1 and 2.
    pub legacy: Legacy,
    /// TLS, for a node that clients reach without a balancer that ends it; without a certificate the listener speaks plain
    /// HTTP. See docs/tls.md.
    pub tls: PublicTls,
}

/// Clients of Socket.IO 1 and 2 (Engine.IO 2 and 3), beside the present ones; they recover nothing. See docs/protocol.md.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Legacy {
    /// Whether they are served. Default: `false`.
    pub enabled: bool,
    /// Whether polling by script elements (JSONP) is served, which pages of any origin may read. Default: `false`.
    pub jsonp: bool,
    /// Time between two pings of such a client, which pings by itself. Default: `"25s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub ping_interval: Duration,
    /// Time beyond `ping_interval` after which a client that sends nothing is gone. Default: `"1m"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub ping_timeout: Duration,
    /// Such connections of this node at once; further ones are refused with 503. They count for
    /// `limits.max_connections` as well. 0: no limit of their own. Default: `0`.
    pub max_connections: usize,
}

/// Heartbeat and size limits of Engine.IO connections.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Time between two pings to a client. Default: `"25s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub ping_interval: Duration,
    /// Time a client has to answer a ping before its connection is closed. Default: `"20s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub ping_timeout: Duration,
    /// Time an upgrade from polling to WebSocket may take. Default: `"10s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub upgrade_timeout: Duration,
    /// Largest message or POST body from a client, in bytes. Default: `1000000`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub max_payload: usize,
}

/// A way to carry Engine.IO packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// HTTP long-polling.
    Polling,
    /// WebSocket, directly or by upgrade.
    Websocket,
}

/// An entry of `public.allowed_origins`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(with = "String")]
pub enum AllowedOrigin {
    /// `"*"`: every origin.
    Any,
    /// One origin, exactly as browsers send it: `scheme://host[:port]`, in lower case.
    Exact(String),
}

impl Public {
    /// Whether clients may use this transport.
    #[must_use]
    pub fn allows(&self, transport: Transport) -> bool {
        self.transports.contains(&transport)
    }

    /// Whether a browser at `origin` (the value of the `Origin` header) may connect.
    #[must_use]
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|allowed| match allowed {
            AllowedOrigin::Any => true,
            AllowedOrigin::Exact(exact) => exact.eq_ignore_ascii_case(origin),
        })
    }
}

impl Default for Public {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            path: "/socket.io/".to_owned(),
            transports: vec![Transport::Polling, Transport::Websocket],
            upgrades: true,
            msgpack: true,
            allowed_origins: vec![AllowedOrigin::Any],
            trusted_proxies: Vec::new(),
            client_dir: None,
            legacy: Legacy::default(),
            tls: PublicTls::default(),
        }
    }
}

impl Default for Legacy {
    fn default() -> Self {
        Self {
            enabled: false,
            jsonp: false,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(60),
            max_connections: 0,
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            max_payload: 1_000_000,
        }
    }
}

/// The text is not `*` and not `scheme://host[:port]`.
#[derive(Debug, thiserror::Error)]
#[error("neither \"*\" nor scheme://host[:port]")]
pub struct NotAnOrigin;

impl FromStr for AllowedOrigin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (scheme, authority) = text.split_once("://").ok_or(NotAnOrigin)?;
        let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let parsed: http::uri::Authority = authority.parse().map_err(|_| NotAnOrigin)?;
        let port_ok = parsed.port().is_some() || !authority.ends_with(':');
        if !scheme_ok || !port_ok || parsed.host().is_empty() || authority.contains(['@', '*']) {
            return Err(NotAnOrigin);
        }
        Ok(Self::Exact(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(origin) => f.write_str(origin),
        }
    }
}

impl Serialize for AllowedOrigin {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AllowedOrigin {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        units::text(d, "\"*\" or an origin such as \"https://example.com\" (scheme://host[:port], no path)")
    }
}
