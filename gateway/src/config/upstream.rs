//! `[upstream]` and `[namespaces.upstream]`: the backend that client events are sent to.

use std::{io, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Secret, units};

/// The backend that client events and questions are sent to by HTTP, for every namespace that names none of its own.
/// Without `url` there is none. `docs/upstream.md` describes the requests and their answers.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// `"http://…"` or `"https://…"`, to which everything is posted; `""` for none. Default: `""`.
    pub url: String,
    /// Text that signs the requests; it, or `secret_file`, is required with a `url`. Default: `""`.
    pub secret: Secret,
    /// File with the secret, without its line break at the end; `""` for none. Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub secret_file: Option<PathBuf>,
    /// Time for one request: for its place, the connection, the answer, and what is tried again. Default: `"5s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub timeout: Duration,
    /// Time to connect, the TLS handshake included. Default: `"2s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub connect_timeout: Duration,
    /// Requests under way at once, of one node to one backend. Default: `256`.
    pub max_concurrent: usize,
    /// Requests that wait until one of those has ended; further ones are refused at once. Default: `4096`.
    pub max_waiting: usize,
    /// Largest answer that is read. Default: `"1MiB"`.
    #[serde(with = "units::size")]
    #[schemars(with = "usize", extend("x-type" = "size"))]
    pub max_answer: usize,
    /// So many failures in a row (no connection, no answer in time, a status of 500 or more) open the circuit: nothing
    /// more is sent. Default: `20`.
    pub failures: u32,
    /// Time after which an open circuit lets one request try the backend. Default: `"5s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub open_for: Duration,
    /// File with the certificate authorities (PEM) of an `https://` backend; `""` trusts those of the system.
    /// Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// Time for which the notice of a disconnect is tried again. Default: `"10m"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub notice_patience: Duration,
}

/// The namespace's own backend, and what it is told. What is absent is as in `[upstream]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NamespaceUpstream {
    /// Backend of this namespace; `""` for that of `[upstream]`. Default: `""`.
    pub url: String,
    /// Text that signs the requests; `""` for that of `[upstream]`. Default: `""`.
    pub secret: Secret,
    /// File with the secret; `""` for that of `[upstream]`. Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub secret_file: Option<PathBuf>,
    /// File with the certificate authorities (PEM) of the backend; `""` for those of `[upstream]`. Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// Whether the backend is told of each client that has connected. Default: `false`.
    pub connect: bool,
    /// Whether the backend is told of each client that has gone and will not be recovered; needs `recovery`.
    /// Default: `false`.
    pub disconnect: bool,
}

impl Upstream {
    /// Whether there is a backend.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.url.is_empty()
    }

    /// These settings with what the namespace says for itself.
    #[must_use]
    pub fn of_namespace(&self, own: &NamespaceUpstream) -> Self {
        let mut settings = self.clone();
        if !own.url.is_empty() {
            settings.url.clone_from(&own.url);
        }
        if !own.secret.0.is_empty() || own.secret_file.is_some() {
            settings.secret = own.secret.clone();
            settings.secret_file.clone_from(&own.secret_file);
        }
        if own.ca_file.is_some() {
            settings.ca_file.clone_from(&own.ca_file);
        }
        settings
    }

    /// The secret, from wherever it is.
    ///
    /// # Errors
    ///
    /// When its file cannot be read.
    pub fn read_secret(&self) -> io::Result<Vec<u8>> {
        let Some(file) = &self.secret_file else {
            return Ok(self.secret.0.clone().into_bytes());
        };
        let mut secret = std::fs::read(file)?;
        if secret.ends_with(b"\n") {
            secret.pop();
        }
        if secret.ends_with(b"\r") {
            secret.pop();
        }
        Ok(secret)
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            url: String::new(),
            secret: Secret::default(),
            secret_file: None,
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            max_concurrent: 256,
            max_waiting: 4096,
            max_answer: 1 << 20,
            failures: 20,
            open_for: Duration::from_secs(5),
            ca_file: None,
            notice_patience: Duration::from_secs(600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_changes_what_it_names() {
        let all = Upstream { url: "http://a/".into(), secret: Secret("one".into()), ..Upstream::default() };
        let own = NamespaceUpstream::default();
        assert_eq!(all.of_namespace(&own), all);
        let own = NamespaceUpstream { url: "http://b/".into(), secret_file: Some("/s".into()), ..own };
        let changed = all.of_namespace(&own);
        assert_eq!((changed.url.as_str(), changed.secret.0.as_str()), ("http://b/", ""));
        assert_eq!((changed.secret_file, changed.timeout), (Some("/s".into()), all.timeout));
    }

    #[test]
    fn secrets_are_read_without_their_line_break_and_not_shown() {
        let file = std::env::temp_dir().join(format!("carillon-secret-{}", std::process::id()));
        for (written, read) in [("a b\n", "a b"), ("a b\r\n", "a b"), ("a b", "a b"), ("a\n\n", "a\n")] {
            std::fs::write(&file, written).unwrap();
            let upstream = Upstream { secret_file: Some(file.clone()), ..Upstream::default() };
            assert_eq!(upstream.read_secret().unwrap(), read.as_bytes());
        }
        std::fs::remove_file(&file).unwrap();
        assert!(Upstream { secret_file: Some(file), ..Upstream::default() }.read_secret().is_err());
        let upstream = Upstream { secret: Secret("s3cret".into()), ..Upstream::default() };
        assert_eq!(upstream.read_secret().unwrap(), b"s3cret");
        assert!(!format!("{upstream:?}").contains("s3cret"));
        assert!(!serde_json::to_string(&upstream).unwrap().contains("s3cret"));
    }
}
