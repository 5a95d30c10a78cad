//! Sets of keys that change: read by one task, used by every verification.
//!
//! [`Jwks::run`] reads the set at the start, then at each `jwks_refresh`, after a failure sooner, and at once when
//! [`Jwks::find`] misses a key, but not within [`AGAIN`] of the last reading: a client that makes up names of keys
//! costs the server nothing more. Whoever misses a key waits for the one reading that is under way, and a client that
//! goes away meanwhile does not end it. A set that cannot be read, or has no usable key, changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use bytes::Bytes;
use jsonwebtoken::Algorithm;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::key::{self, Chosen, Key, KeySet, MAX_SET};
use super::metrics::Fetch;
use super::{AuthError, AuthMetrics, KeyError};

/// Least time between two readings because of an unknown key.
const AGAIN: Duration = Duration::from_secs(10);
/// Longest time that one reading takes.
const LIMIT: Duration = Duration::from_secs(5);
/// After the first failure; doubled at each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// Where a JWKS comes from.
#[async_trait]
pub trait KeyServer: Send + Sync {
    /// The set as it is now; more than 1 MiB need not be given.
    ///
    /// # Errors
    /// Why it cannot be had, for the log: without secrets.
    async fn fetch(&self) -> Result<Bytes, String>;
}

/// A set of keys that is read again and again.
pub(super) struct Jwks {
    /// Where it comes from, for the log.
    place: String,
    server: Arc<dyn KeyServer>,
    algorithms: Box<[Algorithm]>,
    refresh: Duration,
    /// `None` before the first was read.
    keys: ArcSwapOption<KeySet>,
    /// The last reading.
    reading: watch::Sender<Option<Reading>>,
    wanted: Notify,
    metrics: AuthMetrics,
}

/// A reading that has ended.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    result: Fetch,
}

impl Jwks {
    /// A set that [`Self::run`] will read.
    pub(super) fn remote(
        url: &str,
        server: Arc<dyn KeyServer>,
        algorithms: &[Algorithm],
        refresh: Duration,
        metrics: AuthMetrics,
    ) -> Self {
        Jwks {
            place: shown(url),
            server,
            algorithms: algorithms.into(),
            refresh,
            keys: ArcSwapOption::empty(),
            reading: watch::Sender::new(None),
            wanted: Notify::new(),
            metrics,
        }
    }

    /// A set in a file, which must be there.
    pub(super) fn file(
        path: PathBuf,
        algorithms: &[Algorithm],
        refresh: Duration,
        metrics: AuthMetrics,
    ) -> Result<Self, KeyError> {
        let keys = KeySet::read(&key::read(&path)?, algorithms)
            .map_err(|why| KeyError::Unusable { path: path.clone(), why })?;
        let jwks = Self::remote("", Arc::new(File(path.clone())), algorithms, refresh, metrics);
        jwks.keys.store(Some(Arc::new(keys)));
        jwks.reading.send_replace(Some(Reading { at: Instant::now(), result: Fetch::Taken }));
        Ok(Jwks { place: path.display().to_string(), ..jwks })
    }

    /// The key for a token that names its algorithm and perhaps its key.
    pub(super) async fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Result<Arc<Key>, AuthError> {
        if let Some(known) = self.look(algorithm, id) {
            return known;
        }
        self.read_again().await;
        self.look(algorithm, id).unwrap_or_else(|| {
            let is_current = self.reading.borrow().is_some_and(|last| last.result == Fetch::Taken);
            // what is unknown to an old set may be known to the one that could not be had
            Err(if is_current { AuthError::UnknownKey } else { AuthError::Unavailable })
        })
    }

    /// `None` when another set may know the key.
    fn look(&self, algorithm: Algorithm, id: Option<&str>) -> Option<Result<Arc<Key>, AuthError>> {
        match self.keys.load().as_ref()?.choose(algorithm, id) {
            Chosen::Key(key) => Some(Ok(key)),
            Chosen::Refused(error) => Some(Err(error)),
            Chosen::Unknown => None,
        }
    }

    /// Waits for the set to be read, if it was not just now.
    async fn read_again(&self) {
        let mut readings = self.reading.subscribe();
        if is_recent(*readings.borrow_and_update()) {
            return;
        }
        self.wanted.notify_one();
        // a reading ends in time; it never begins when the task has ended
        let _ = timeout(LIMIT + Duration::from_secs(1), readings.changed()).await;
    }

    /// Reads the set whenever it is time to; ends at `stop`.
    pub(super) async fn run(&self, stop: CancellationToken) {
        let mut retry = FIRST_RETRY;
        let mut next = Instant::now();
        if self.keys.load().is_some() {
            next += self.refresh;
        }
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep_until(next) => {}
                () = self.wanted.notified() => if is_recent(*self.reading.borrow()) {
                    continue;
                }
            }
            let result = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                result = self.read() => result,
            };
            let now = Instant::now();
            self.metrics.fetched(result);
            self.reading.send_replace(Some(Reading { at: now, result }));
            if result == Fetch::Taken {
                (next, retry) = (now + self.refresh, FIRST_RETRY);
            } else {
                (next, retry) = (now + retry.min(self.refresh), (retry * 2).min(LAST_RETRY));
            }
        }
    }

    async fn read(&self) -> Fetch {
        let kept = self.keys.load().as_ref().map_or(0, |keys| keys.len());
        let fetched = match timeout(LIMIT, self.server.fetch()).await {
            Ok(fetched) => fetched,
            Err(_) => Err(format!("took longer than {LIMIT:?}")),
        };
        match fetched.map(|bytes| KeySet::read(&bytes, &self.algorithms)) {
            Ok(Ok(keys)) => {
                tracing::debug!(place = self.place, keys = keys.len(), "read the keys of tokens");
                self.keys.store(Some(Arc::new(keys)));
                Fetch::Taken
            }
            Ok(Err(why)) => {
                tracing::warn!(place = self.place, kept, "what was read for keys of tokens {why}");
                Fetch::Refused
            }
            Err(why) => {
                tracing::warn!(place = self.place, kept, why, "the keys of tokens cannot be read");
                Fetch::Failed
            }
        }
    }
}

fn is_recent(reading: Option<Reading>) -> bool {
    reading.is_some_and(|last| last.at.elapsed() < AGAIN)
}

/// A URL without user, password and query.
fn shown(url: &str) -> String {
    let before_query = url.split(['?', '#']).next().unwrap_or_default();
    match before_query.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => before_query.to_owned(),
    }
}

/// A JWKS in a file.
struct File(PathBuf);

#[async_trait]
impl KeyServer for File {
    /// Small and rare, so it is read on this thread.
    async fn fetch(&self) -> Result<Bytes, String> {
        let length = std::fs::metadata(&self.0).map_err(|error| error.to_string())?.len();
        if length > MAX_SET as u64 {
            return Err(super::NoKey::TooLarge.to_string());
        }
        std::fs::read(&self.0).map(Bytes::from).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_secrets() {
        for (url, place) in [
            ("https://id.example/jwks.json", "https://id.example/jwks.json"),
            ("https://ann:s3cret@id.example:8443/a@b?key=s3cret#x", "https://id.example:8443/a@b"),
            ("http://u:p@h", "http://h"),
        ] {
            assert_eq!(shown(url), place);
        }
    }
}
