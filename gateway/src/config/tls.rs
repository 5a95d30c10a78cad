//! `[public.tls]` and `[internal.tls]`: certificates of the listeners.

use std::{path::PathBuf, time::Duration};

use rustls_pki_types::ServerName;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::units;
use crate::tls::{Authorities, Settings, Versions};

/// TLS of the listener that clients connect to.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PublicTls {
    /// File with the certificate (PEM), followed by those of its chain; `""` is no TLS. Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub cert_file: Option<PathBuf>,
    /// File with the key (PEM, not encrypted) of `cert_file`. Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub key_file: Option<PathBuf>,
    /// Oldest version of TLS that is spoken: `"1.2"` or `"1.3"`. Default: `"1.2"`.
    pub min_version: TlsVersion,
    /// Time between two looks at the files; changed ones are for new connections, and those that are open keep what
    /// they have. Default: `"10s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub reload: Duration,
}

/// TLS of the internal listener, and of this node where it calls others.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InternalTls {
    /// File with the certificate (PEM), followed by those of its chain; `""` is no TLS. Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub cert_file: Option<PathBuf>,
    /// File with the key (PEM, not encrypted) of `cert_file`. Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub key_file: Option<PathBuf>,
    /// File with certificate authorities (PEM): whoever calls (backends, probes, scrapers, other nodes) must show a
    /// certificate of one of them; `""` asks for none. Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub client_ca_file: Option<PathBuf>,
    /// File with the authorities (PEM) of other nodes' certificates; `""` is `client_ca_file`, or without that the
    /// system's. Default: `""`.
    #[serde(with = "units::optional_path")]
    #[schemars(with = "String", extend("x-type" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// Name that the certificates of all nodes carry, such as `"carillon.internal"`: it is checked in place of the host by
    /// which another node is reached, so that one certificate serves all; `""` checks the host. Default: `""`.
    pub server_name: String,
    /// Oldest version of TLS that is spoken: `"1.2"` or `"1.3"`. Default: `"1.2"`.
    pub min_version: TlsVersion,
    /// Time between two looks at the files; changed ones are for new connections, and those that are open keep what
    /// they have. Default: `"10s"`.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-type" = "duration"))]
    pub reload: Duration,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum TlsVersion {
    /// 2008.
    #[serde(rename = "1.2")]
    V12,
    /// 2018.
    #[serde(rename = "1.3")]
    V13,
}

impl TlsVersion {
    fn and_later(self) -> Versions {
        match self {
            TlsVersion::V12 => Versions::From12,
            TlsVersion::V13 => Versions::From13,
        }
    }
}

/// As text, or as the number that an environment variable is read as.
impl<'de> Deserialize<'de> for TlsVersion {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = match serde_json::Value::deserialize(d)? {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        match text.as_str() {
            "1.2" => Ok(TlsVersion::V12),
            "1.3" => Ok(TlsVersion::V13),
            _ => Err(D::Error::unknown_variant(&text, &["1.2", "1.3"])),
        }
    }
}

impl PublicTls {
    /// What the listener speaks TLS with; `None`: it does not.
    #[must_use]
    pub fn settings(&self) -> Option<Settings> {
        Some(Settings {
            cert_file: self.cert_file.clone()?,
            key_file: self.key_file.clone()?,
            client_ca_file: None,
            peers: None,
            peers_name: None,
            versions: self.min_version.and_later(),
            reload: self.reload,
        })
    }
}

impl InternalTls {
    /// What the listener, and this node as another's client, speak TLS with; `None`: they do not.
    #[must_use]
    pub fn settings(&self) -> Option<Settings> {
        let file = |key, path: &Option<PathBuf>| path.clone().map(|path| Authorities::File(key, path));
        let peers = file("ca_file", &self.ca_file).or_else(|| file("client_ca_file", &self.client_ca_file));
        Some(Settings {
            cert_file: self.cert_file.clone()?,
            key_file: self.key_file.clone()?,
            client_ca_file: self.client_ca_file.clone(),
            peers: Some(peers.unwrap_or(Authorities::System)),
            peers_name: ServerName::try_from(self.server_name.clone()).ok(),
            versions: self.min_version.and_later(),
            reload: self.reload,
        })
    }
}

impl Default for PublicTls {
    fn default() -> Self {
        Self { cert_file: None, key_file: None, min_version: TlsVersion::V12, reload: RELOAD }
    }
}

impl Default for InternalTls {
    fn default() -> Self {
        Self {
            cert_file: None,
            key_file: None,
            client_ca_file: None,
            ca_file: None,
            server_name: String::new(),
            min_version: TlsVersion::V12,
            reload: RELOAD,
        }
    }
}

const RELOAD: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{Config, parse};

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let environment: BTreeMap<_, _> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        parse("test", text, &environment).map_err(|error| error.to_string())
    }

    #[test]
    fn versions_are_read_as_text_or_number() {
        for text in ["[public.tls]\nmin_version = '1.3'", "[public.tls]\nmin_version = 1.3"] {
            assert_eq!(read(text, &[]).unwrap().public.tls.min_version, TlsVersion::V13, "{text}");
        }
        let config = read("", &[("CARILLON_INTERNAL__TLS__MIN_VERSION", "1.3")]).unwrap();
        assert_eq!(config.internal.tls.min_version, TlsVersion::V13);
        for wrong in ["'1.1'", "1.1", "true", "[]"] {
            let error = read(&format!("[public.tls]\nmin_version = {wrong}"), &[]).unwrap_err();
            assert!(error.starts_with("test: public.tls.min_version: unknown value"), "{error}");
        }
    }

    #[test]
    fn mistakes_beside_the_files_are_told() {
        for (text, problem) in [
            ("[public.tls]\ncert_file = 'x'", "public.tls.key_file: `cert_file` and `key_file` go together"),
            ("[internal.tls]\nkey_file = 'x'", "internal.tls.key_file: `cert_file` and `key_file` go together"),
            ("[internal.tls]\nca_file = 'x'", "internal.tls.ca_file: is of no use without `cert_file`"),
            ("[internal.tls]\nserver_name = 'x'", "internal.tls.server_name: is of no use without `cert_file`"),
            (
                "[internal.tls]\nserver_name = 'a b'\ncert_file = 'c'\nkey_file = 'k'",
                "internal.tls.server_name: must be a host name such as `carillon.internal`",
            ),
            ("[public.tls]\nserver_name = 'x'", "public.tls.server_name: unknown key"),
            ("[public.tls]\nreload = '0s'", "public.tls.reload: must be more than 0s"),
            ("[public.tls]\nclient_ca_file = 'x'", "public.tls.client_ca_file: unknown key"),
            ("[public.tls]\ncert_file = '/no/c'\nkey_file = '/no/k'", "public.tls.cert_file: no such file: /no/c"),
        ] {
            let error = read(text, &[]).unwrap_err();
            assert!(error.contains(&format!("test: {problem}")), "{error}");
        }
    }

    #[test]
    fn nodes_trust_what_is_named_first() {
        let file = |name: &str| Some(PathBuf::from(name));
        let peers = |client_ca_file, ca_file| {
            let (cert_file, key_file) = (file("cert"), file("key"));
            let tls = InternalTls { cert_file, key_file, client_ca_file, ca_file, ..InternalTls::default() };
            tls.settings().unwrap().peers.unwrap()
        };
        assert_eq!(peers(None, None), Authorities::System);
        assert_eq!(peers(file("a"), None), Authorities::File("client_ca_file", "a".into()));
        assert_eq!(peers(file("a"), file("b")), Authorities::File("ca_file", "b".into()));
        let named = |server_name: &str| {
            let (cert_file, key_file) = (file("cert"), file("key"));
            let tls =
                InternalTls { cert_file, key_file, server_name: server_name.to_owned(), ..InternalTls::default() };
            tls.settings().unwrap().peers_name.map(|name| name.to_str().into_owned())
        };
        assert_eq!((named(""), named("a.internal").as_deref()), (None, Some("a.internal")));
        assert_eq!(InternalTls::default().settings(), None);
        assert_eq!(PublicTls::default().settings(), None);
    }
}
