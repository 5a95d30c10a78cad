//! `[redis]`: where the nodes of a deployment meet.

use std::{fmt, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::units;

/// Redis, through which several nodes are one deployment. Without `url` this node is alone, and keeps all in memory.
///
/// Redis 6.2 or later with `maxmemory-policy noeviction`; `deploy/redis/redis.conf` has what else helps.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// `"redis://[user:password@]host:port/database"`, or `"rediss://…"` for TLS; `""` for none. With sentinels, host
    /// and port are not used. Default: `""`.
    pub url: Secret,
    /// URLs of sentinels, such as `["redis://10.0.0.1:26379"]`; the master is asked for at each connection.
    /// Default: `[]`.
    pub sentinels: Vec<Secret>,
    /// Name of the master at the sentinels. Default: `"mymaster"`.
    pub master: String,
    /// File with the certificate authorities (PEM) of a `rediss://` server; `""` trusts those of the system.
    /// Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// File with this client's certificate (PEM), where the server asks for one. Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub cert_file: Option<PathBuf>,
    /// File with the key (PEM) of `cert_file`. Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub key_file: Option<PathBuf>,
    /// Beginning of all keys and channels; deployments on one Redis need different ones. Default: `"carillon"`.
    pub prefix: String,
    /// Time to connect, and for each answer; a connection that takes longer is given up. Default: `"2s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub timeout: Duration,
    /// Time during which a publish or a change of a session is tried while Redis cannot be reached. Default: `"5s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub patience: Duration,
    /// Time without Redis after which this node is not ready; also the most by which it may be behind with what is
    /// published. The default is three missed ticks, and a little. Default: `"3s 500ms"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub unready_after: Duration,
    /// What happens to connected clients when Redis has lost its log (restarted empty, failed over behind, evicted):
    /// `"keep"` lets them be, `"reconnect"` closes them, so that each learns that it may have missed something.
    /// Default: `"keep"`.
    pub on_epoch_change: OnEpochChange,
    /// Replicas that must have a message before its publish is answered; 0 = none. Default: `0`.
    pub wait_replicas: u32,
    /// Bytes from Redis that may wait to be delivered; beyond it the rest is read from the log. Default: `"64MiB"`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub inbox: usize,
    /// Time for which a room is still heard after its last member has left this node. Default: `"2s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub linger: Duration,
    /// Connections for reads of the log. Default: `2`.
    pub readers: usize,
    /// Version in which messages are written: 2, or 1 while nodes of the version before still run. Default: `2`.
    pub format: u8,
}

/// See [`Redis::on_epoch_change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnEpochChange {
    /// They stay connected.
    Keep,
    /// They are closed, and come back with a new session.
    Reconnect,
}

/// Text that may hold a password: it is never shown.
#[derive(Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[schemars(with = "String")]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "\"…\"" })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(if self.0.is_empty() { "" } else { "…" })
    }
}

impl Redis {
    /// Whether there is a Redis.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.url.0.is_empty()
    }

    /// Host, port and database of the URL, without user and password.
    #[must_use]
    pub fn shown(&self) -> String {
        let url = &self.url.0;
        match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
            _ => url.clone(),
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            sentinels: Vec::new(),
            master: "mymaster".to_owned(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            prefix: "carillon".to_owned(),
            timeout: Duration::from_secs(2),
            patience: Duration::from_secs(5),
            unready_after: Duration::from_millis(3500),
            on_epoch_change: OnEpochChange::Keep,
            wait_replicas: 0,
            inbox: 64 << 20,
            linger: Duration::from_secs(2),
            readers: 2,
            format: 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let redis = Redis { url: Secret("rediss://app:s3@cret@10.0.0.1:6379/2".into()), ..Redis::default() };
        assert_eq!(redis.shown(), "rediss://10.0.0.1:6379/2");
        assert!(!format!("{redis:?}").contains("s3"));
        assert!(!serde_json::to_string(&redis).unwrap().contains("s3"));
        assert_eq!(Redis { url: Secret("redis://h/1".into()), ..redis }.shown(), "redis://h/1");
    }
}
