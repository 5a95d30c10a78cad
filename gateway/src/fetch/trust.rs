//! Which servers are believed to be who they say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::TrustError;

/// Whose certificates `https://` servers must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Of the authorities that the system knows.
    System,
    /// Of those in this file (PEM).
    File(PathBuf),
    /// None are trusted: the client is for `http://` only.
    Nobody,
}

impl Trust {
    /// What a client needs for this URL, given the file if there is one.
    #[must_use]
    pub fn for_url(url: &str, ca_file: Option<&Path>) -> Self {
        let https = url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        match (https, ca_file) {
            (false, _) => Trust::Nobody,
            (true, Some(file)) => Trust::File(file.to_owned()),
            (true, None) => Trust::System,
        }
    }

    pub(super) fn client_config(&self) -> Result<ClientConfig, TrustError> {
        let provider: Arc<CryptoProvider> = ring::default_provider().into();
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = match self {
            Trust::System => builder.with_native_roots().map_err(TrustError::System)?,
            Trust::File(path) => builder.with_root_certificates(authorities(path)?),
            Trust::Nobody => builder.with_root_certificates(RootCertStore::empty()),
        };
        Ok(builder.with_no_client_auth())
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, TrustError> {
    let error = |reason: String| TrustError::File { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| error(e.to_string()))? {
        let certificate = certificate.map_err(|e| error(e.to_string()))?;
        roots.add(certificate).map_err(|e| error(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(error("there is none in it".to_owned()));
    }
    Ok(roots)
}
