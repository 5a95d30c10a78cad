//! Options of commands that call the internal listener by `https://`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow};
use clap::Args;
use rustls_pki_types::CertificateDer;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::tls::{self, Identity, TlsError};

#[derive(Debug, Args)]
pub(super) struct Tls {
    /// Authorities (PEM) of the gateway's certificate, for an https:// address; without it the system's
    #[arg(long, value_name = "FILE", env = "CARILLON_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// This caller's certificate (PEM), where the gateway asks for one
    #[arg(long, value_name = "FILE", env = "CARILLON_CERT_FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// Key (PEM) of that certificate
    #[arg(long, value_name = "FILE", env = "CARILLON_KEY_FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
}

impl Tls {
    /// # Errors
    /// When a file cannot be used.
    pub(super) fn config(&self) -> Result<TlsConfig> {
        let authorities = match &self.ca_file {
            Some(file) => tls::authorities("ca_file", file).map_err(in_words)?,
            None => tls::system_authorities(),
        };
        let identity = match self.cert_file.as_ref().zip(self.key_file.as_ref()) {
            Some((cert, key)) => Some(client_certificate(cert, key, in_words)?),
            None => None,
        };
        Ok(TlsConfig::builder()
            .unversioned_rustls_crypto_provider(tls::provider())
            .root_certs(RootCerts::from(authorities.iter().map(certificate)))
            .client_cert(identity)
            .build())
    }
}

fn certificate(der: &CertificateDer<'_>) -> Certificate<'static> {
    Certificate::from_der(der).to_owned()
}

/// What a caller shows; `in_words` says what is wrong with a file.
///
/// # Errors
/// When a file cannot be used.
pub(super) fn client_certificate(
    cert_file: &Path,
    key_file: &Path,
    in_words: impl FnOnce(TlsError) -> Error,
) -> Result<ClientCert> {
    let Identity { chain, .. } = Identity::read(cert_file, key_file).map_err(in_words)?;
    let chain: Vec<_> = chain.iter().map(certificate).collect();
    let key = std::fs::read(key_file).with_context(|| key_file.display().to_string())?;
    Ok(ClientCert::new_with_certs(&chain, PrivateKey::from_pem(&key)?))
}

/// Of the command line.
fn in_words(error: TlsError) -> Error {
    anyhow!("--{}: {}", error.key.replace('_', "-"), error.message())
}
