//! What is wrong with the files.

use std::io;
use std::path::{Path, PathBuf};

use rustls_pki_types::pem;
use tokio_rustls::rustls;

/// A file of a certificate, key or authority cannot be used. The operator's
/// fault; at a reload it passes when another file is still to be replaced.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {}", self.message())]
pub struct TlsError {
    /// The key of the configuration, within its table.
    pub key: &'static str,
    path: PathBuf,
    flaw: Flaw,
}

/// See [`TlsError`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Flaw {
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("not PEM: {}", words(.0))]
    NotPem(pem::Error),
    #[error("no certificate in it (PEM, `BEGIN CERTIFICATE`)")]
    NoCertificate,
    #[error("no private key in it (PEM, `BEGIN PRIVATE KEY`, not encrypted)")]
    NoKey,
    #[error("not a certificate that can be used: {0}")]
    BadCertificate(rustls::Error),
    #[error("not a key that can be used: {0}")]
    BadKey(rustls::Error),
    #[error("is not the key of the certificate in `cert_file`")]
    OtherKey,
    #[error("not authorities that can be used: {0}")]
    BadAuthorities(String),
}

impl TlsError {
    pub(super) fn new(key: &'static str, path: &Path, flaw: Flaw) -> Self {
        TlsError { key, path: path.to_owned(), flaw }
    }

    /// The file and what is wrong with it, without the key.
    pub fn message(&self) -> String {
        format!("{}: {}", self.path.display(), self.flaw)
    }
}

/// Without the bytes of the line, which may be a key's.
fn words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "the first line of a section is cut",
        pem::Error::Base64Decode(_) => "a section is not base64",
        pem::Error::SectionTooLarge => "a section is too large",
        pem::Error::NoItemsFound => "there is no section",
        _ => "it cannot be read",
    }
}
