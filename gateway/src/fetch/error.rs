//! Why there is no answer.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The server cannot have seen anything of it: it may be sent again.
    #[error("not sent: {0}")]
    NotSent(String),
    /// Not answered by the deadline; it may have been carried out.
    #[error("no answer in time")]
    TimedOut,
    /// The connection ended, or what came was not HTTP; it may have been
    /// carried out.
    #[error("no whole answer: {0}")]
    Failed(String),
    /// The answer has more bytes than the caller takes.
    #[error("the answer is too large")]
    TooLarge,
}

/// Why no server can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("cannot read certificates from {path}: {reason}")]
    File { path: PathBuf, reason: String },
    #[error("the system has no certificate authorities: {0}")]
    System(std::io::Error),
    #[error("tls: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
}

/// An error with its causes, of which the first alone says little.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}
