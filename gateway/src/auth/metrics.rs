//! What is counted of authentications and key fetches.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::AuthError;

/// How the reading of a JWKS ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fetch {
    Taken,
    /// It could not be read.
    Failed,
    /// It was read, and is not a set with usable keys.
    Refused,
}

impl Fetch {
    const ALL: [Fetch; 3] = [Fetch::Taken, Fetch::Failed, Fetch::Refused];

    fn label(self) -> &'static str {
        match self {
            Fetch::Taken => "taken",
            Fetch::Failed => "failed",
            Fetch::Refused => "refused",
        }
    }
}

/// Handles into the registry. Whoever authenticates a client calls [`Self::verified`] or [`Self::failed`], once.
#[derive(Debug, Clone)]
pub struct AuthMetrics {
    verified: IntCounter,
    failures: IntCounterVec,
    fetches: IntCounterVec,
}

impl AuthMetrics {
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = AuthMetrics {
            verified: IntCounter::new("carillon_auth_verified_total", "Tokens that were accepted.")?,
            failures: IntCounterVec::new(
                Opts::new("carillon_auth_failures_total", "Clients that could not be authenticated, by code."),
                &["code"],
            )?,
            fetches: IntCounterVec::new(
                Opts::new("carillon_jwks_fetches_total", "Times that a set of keys was read, by result."),
                &["result"],
            )?,
        };
        for error in AuthError::ALL {
            metrics.failures.with_label_values(&[error.label()]);
        }
        for fetch in Fetch::ALL {
            metrics.fetches.with_label_values(&[fetch.label()]);
        }
        registry.register(Box::new(metrics.verified.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.fetches.clone()))?;
        Ok(metrics)
    }

    /// A token was accepted.
    pub fn verified(&self) {
        self.verified.inc();
    }

    /// A client could not be authenticated.
    pub fn failed(&self, error: &AuthError) {
        self.failures.with_label_values(&[error.label()]).inc();
    }

    pub(super) fn fetched(&self, fetch: Fetch) {
        self.fetches.with_label_values(&[fetch.label()]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_is_there_from_the_start_and_counts() {
        let registry = Registry::new();
        let metrics = AuthMetrics::register(&registry).unwrap();
        metrics.verified();
        metrics.failed(&AuthError::Expired);
        metrics.failed(&AuthError::Rejected { code: "banned".to_owned(), message: "go".to_owned() });
        metrics.fetched(Fetch::Failed);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "carillon_auth_verified_total 1",
            "carillon_auth_failures_total{code=\"token_expired\"} 1",
            "carillon_auth_failures_total{code=\"rejected\"} 1",
            "carillon_auth_failures_total{code=\"token_missing\"} 0",
            "carillon_jwks_fetches_total{result=\"failed\"} 1",
            "carillon_jwks_fetches_total{result=\"taken\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("carillon_auth_failures_total{").count(), AuthError::ALL.len());
        assert!(AuthMetrics::register(&registry).is_err());
    }
}
