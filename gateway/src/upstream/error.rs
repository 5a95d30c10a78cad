//! Why a backend has not answered.

use std::io;

use crate::fetch::{FetchError, TrustError};

/// Why a request to a backend has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// No connection, a broken one, or an open circuit.
    #[error("the backend is not available")]
    Unavailable,
    /// Too many requests wait already; it was not sent.
    #[error("the backend is busy")]
    Busy,
    /// No answer, or not even a place, in time.
    #[error("the backend did not answer in time")]
    TimedOut,
    /// Not what an answer may be, or too large.
    #[error("the backend's answer cannot be used")]
    BadAnswer,
    /// Not a status of success.
    #[error("the backend answered with status {0}")]
    Status(u16),
}

impl UpstreamError {
    /// Every code, as metrics have them.
    pub(super) const CODES: [&'static str; 5] =
        ["upstream_unavailable", "upstream_busy", "upstream_timeout", "upstream_bad_answer", "upstream_error"];

    /// What the client is told.
    #[must_use]
    pub fn code(self) -> &'static str {
        let index = match self {
            UpstreamError::Unavailable => 0,
            UpstreamError::Busy => 1,
            UpstreamError::TimedOut => 2,
            UpstreamError::BadAnswer => 3,
            UpstreamError::Status(_) => 4,
        };
        Self::CODES[index]
    }

    /// Whether the same may succeed later: it is not the backend that has
    /// refused it.
    #[must_use]
    pub fn is_transient(self) -> bool {
        match self {
            UpstreamError::Unavailable | UpstreamError::Busy | UpstreamError::TimedOut => true,
            UpstreamError::Status(status) => status >= 500 || status == 429,
            UpstreamError::BadAnswer => false,
        }
    }
}

impl From<&FetchError> for UpstreamError {
    fn from(error: &FetchError) -> Self {
        match error {
            FetchError::NotSent(_) | FetchError::Failed(_) => UpstreamError::Unavailable,
            FetchError::TimedOut => UpstreamError::TimedOut,
            FetchError::TooLarge => UpstreamError::BadAnswer,
        }
    }
}

/// Why a backend cannot be used at all: what validation of the configuration
/// did not find, or what has changed since.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("upstream url `{url}`: {source}")]
    Url { url: String, source: http::uri::InvalidUri },
    #[error("upstream secret: {0}")]
    Secret(#[from] io::Error),
    #[error("upstream {0}")]
    Trust(#[from] TrustError),
}
