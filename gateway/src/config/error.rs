//! What is wrong with a configuration: every problem, each with its key and where it was set.

use std::{fmt, io, path::PathBuf};

/// The configuration cannot be used. The operator's fault, and not retryable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{file} is not valid TOML: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// What the TOML parser said, with line and column.
        message: String,
    },
    /// Keys or values are wrong.
    #[error("{0}")]
    Invalid(Problems),
}

/// All that is wrong with the keys and values, in the order it was found; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// One key that is unknown, has the wrong type, or a value that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {key}: {message}")]
pub struct Problem {
    /// Full path of the key, as in `namespaces[0].events[1].room`.
    pub key: String,
    /// The file name, the environment variable, or `default`.
    pub origin: String,
    /// What is wrong, and what was expected.
    pub message: String,
}

impl ConfigError {
    /// The problems with single keys; empty when the file as a whole could not be read.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Unreadable { .. } | Self::Syntax { .. } => &[],
            Self::Invalid(Problems(problems)) => problems,
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        Ok(())
    }
}
