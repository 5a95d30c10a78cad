//! Why a client may not enter, and why a key cannot be used.

use std::io;
use std::path::PathBuf;

use crate::config::Algorithm;

/// Why a client is not let in. What it says is for the client: neither its token nor a secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No token was presented.
    #[error("a token is required")]
    Missing,
    /// It is longer than tokens may be, and was not read.
    #[error("the token is too long")]
    TooLong,
    /// It is no token, or a part of it that was looked at is not what it must be.
    #[error("the token is malformed")]
    Malformed,
    /// The signature is not that of the key.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// It is not signed by an algorithm that is allowed, or not by one that its key is for.
    #[error("the token's algorithm is not allowed")]
    WrongAlgorithm,
    /// The key that it names is not known, or it names none and there is not just one.
    #[error("the token's key is not known")]
    UnknownKey,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It begins later, or was issued in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Another issuer's, or nobody's.
    #[error("the token's issuer is not accepted")]
    WrongIssuer,
    /// It is for others.
    #[error("the token is for another audience")]
    WrongAudience,
    /// The claim that is the user's id is absent or is no id.
    #[error("the token names no user")]
    NoUser,
    /// It was valid and is not any more.
    #[error("the token was revoked")]
    Revoked,
    /// The backend says no.
    #[error("{message}")]
    Rejected {
        /// The backend's own.
        code: String,
        /// The backend's own.
        message: String,
    },
    /// It cannot be told now: there are no keys, or the backend does not answer.
    #[error("authentication is not possible at the moment, try again")]
    Unavailable,
}

impl AuthError {
    /// One of each, for their labels.
    pub const ALL: [AuthError; 14] = [
        AuthError::Missing,
        AuthError::TooLong,
        AuthError::Malformed,
        AuthError::BadSignature,
        AuthError::WrongAlgorithm,
        AuthError::UnknownKey,
        AuthError::Expired,
        AuthError::NotYetValid,
        AuthError::WrongIssuer,
        AuthError::WrongAudience,
        AuthError::NoUser,
        AuthError::Revoked,
        AuthError::Rejected { code: String::new(), message: String::new() },
        AuthError::Unavailable,
    ];

    /// The code that the client is told.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Rejected { code, .. } => code,
            other => other.label(),
        }
    }

    /// The code in metrics: what the backend calls its refusals is one there.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::TooLong => "token_too_long",
            Self::Malformed => "token_malformed",
            Self::BadSignature => "token_bad_signature",
            Self::WrongAlgorithm => "token_wrong_algorithm",
            Self::UnknownKey => "token_unknown_key",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::WrongIssuer => "token_wrong_issuer",
            Self::WrongAudience => "token_wrong_audience",
            Self::NoUser => "token_no_user",
            Self::Revoked => "token_revoked",
            Self::Rejected { .. } => "rejected",
            Self::Unavailable => "auth_unavailable",
        }
    }

    /// Whether the same token may be accepted later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable)
    }
}

/// Why the keys of the configuration cannot be used. The operator's fault; no secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has no text, or none but line ends.
    #[error("{} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file does not hold a usable key.
    #[error("{}: {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: NoKey,
    },
    /// There is not exactly one key source, or no algorithm. Validation refuses that earlier.
    #[error("exactly one key source and at least one algorithm are required")]
    Incomplete,
}

/// Why something is not a key, or not a set of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// It should not be where this gateway can read it.
    #[error("is a private key, the public one is needed")]
    Private,
    /// No PEM, another kind of key, or another curve.
    #[error("is not a public key or certificate in PEM for {0}")]
    Pem(Algorithm),
    /// Too weak, or larger than is supported.
    #[error("is an RSA key of {0} bits, and must have 2048 to 4096")]
    RsaSize(usize),
    /// Sets are small.
    #[error("is larger than 1 MiB")]
    TooLarge,
    /// No JSON, or not of that shape.
    #[error("is not a JSON Web Key Set (line {line}, column {column})")]
    NotASet {
        /// Where it is not.
        line: usize,
        /// Where it is not.
        column: usize,
    },
    /// None, or none for the algorithms that are allowed.
    #[error("has no usable key for the configured algorithms")]
    NoneUsable,
}
