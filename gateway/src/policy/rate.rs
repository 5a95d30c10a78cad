//! How much may be sent: token buckets.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hashbrown::HashMap;

use crate::config::ClientLimits;

/// So much per second, and so much at once; `None`: any amount.
type Limit = Option<Flow>;

/// How a bucket fills.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Flow {
    per_second: f64,
    burst: f64,
}

/// The limits on events and bytes of one sender.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Limits {
    events: Limit,
    bytes: Limit,
}

/// How much clients of a namespace may send.
#[derive(Debug)]
pub struct RateLimits {
    connection: Option<Limits>,
    user: Option<Limits>,
    users: Mutex<Users>,
}

/// What one connection has sent lately.
#[derive(Debug)]
pub struct Rate {
    limits: Limits,
    events: Level,
    bytes: Level,
}

/// Over which limit something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    #[error("too many events of this connection")]
    ConnectionEvents,
    #[error("too many bytes of this connection")]
    ConnectionBytes,
    #[error("too many events of this user")]
    UserEvents,
    #[error("too many bytes of this user")]
    UserBytes,
}

/// How much is missing in a bucket.
#[derive(Debug, Clone, Copy)]
struct Level {
    missing: f64,
    at: Instant,
}

#[derive(Debug, Default)]
struct Users {
    rates: HashMap<Box<str>, Rate, foldhash::fast::RandomState>,
    /// So many are looked through when it is reached.
    sweep_at: usize,
}

/// Users known before those that have sent nothing lately are forgotten.
const MIN_SWEEP: usize = 1024;

impl Level {
    fn full(now: Instant) -> Self {
        Level { missing: 0.0, at: now }
    }

    fn refill(&mut self, flow: Flow, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.missing = (self.missing - elapsed * flow.per_second).max(0.0);
        self.at = now;
    }

    /// Whether so much is there; more than a burst passes when nothing is missing.
    fn has(&mut self, limit: Limit, amount: f64, now: Instant) -> bool {
        let Some(flow) = limit else { return true };
        self.refill(flow, now);
        self.missing <= 0.0 || self.missing + amount <= flow.burst
    }
}

impl Rate {
    fn new(limits: Limits, now: Instant) -> Self {
        Rate { limits, events: Level::full(now), bytes: Level::full(now) }
    }

    /// Takes an event, if both buckets have it.
    fn take(&mut self, bytes: f64, now: Instant) -> Result<(), Kind> {
        if !self.events.has(self.limits.events, 1.0, now) {
            return Err(Kind::Events);
        }
        if !self.bytes.has(self.limits.bytes, bytes, now) {
            return Err(Kind::Bytes);
        }
        self.events.missing += 1.0;
        self.bytes.missing += bytes;
        Ok(())
    }

    fn is_full(&mut self, now: Instant) -> bool {
        let Limits { events, bytes } = self.limits;
        let full = |level: &mut Level, limit: Limit| {
            limit.is_none_or(|flow| {
                level.refill(flow, now);
                level.missing <= 0.0
            })
        };
        full(&mut self.events, events) && full(&mut self.bytes, bytes)
    }
}

enum Kind {
    Events,
    Bytes,
}

impl Limits {
    fn new(events: (u32, u32), bytes: (usize, usize)) -> Option<Self> {
        let flow = |(per_second, burst): (f64, f64)| {
            (per_second > 0.0).then_some(Flow { per_second, burst: if burst > 0.0 { burst } else { per_second } })
        };
        #[expect(clippy::cast_precision_loss, reason = "a limit need not be exact beyond 2^52 bytes")]
        let bytes = flow((bytes.0 as f64, bytes.1 as f64));
        let events = flow((events.0.into(), events.1.into()));
        (events.is_some() || bytes.is_some()).then_some(Limits { events, bytes })
    }
}

impl RateLimits {
    #[must_use]
    pub fn new(limits: &ClientLimits) -> Self {
        RateLimits {
            connection: Limits::new(
                (limits.events_per_second, limits.event_burst),
                (limits.bytes_per_second, limits.byte_burst),
            ),
            user: Limits::new(
                (limits.user_events_per_second, limits.user_event_burst),
                (limits.user_bytes_per_second, limits.user_byte_burst),
            ),
            users: Mutex::default(),
        }
    }

    /// What a new connection is counted by; `None` where it is not.
    pub fn connection(&self, now: Instant) -> Option<Rate> {
        self.connection.map(|limits| Rate::new(limits, now))
    }

    /// Takes an event of so many bytes.
    ///
    /// # Errors
    /// When it is over a limit; then it is not counted.
    pub fn take(
        &self,
        connection: Option<&mut Rate>,
        user: Option<&str>,
        bytes: usize,
        now: Instant,
    ) -> Result<(), Excess> {
        let bytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        if let Some(rate) = connection {
            rate.take(bytes, now).map_err(|kind| match kind {
                Kind::Events => Excess::ConnectionEvents,
                Kind::Bytes => Excess::ConnectionBytes,
            })?;
        }
        let (Some(limits), Some(user)) = (self.user, user) else { return Ok(()) };
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.take(user, limits, bytes, now).map_err(|kind| match kind {
            Kind::Events => Excess::UserEvents,
            Kind::Bytes => Excess::UserBytes,
        })
    }
}

impl Users {
    fn take(&mut self, user: &str, limits: Limits, bytes: f64, now: Instant) -> Result<(), Kind> {
        if let Some(rate) = self.rates.get_mut(user) {
            return rate.take(bytes, now);
        }
        if self.rates.len() >= self.sweep_at.max(MIN_SWEEP) {
            self.rates.retain(|_, rate| !rate.is_full(now));
            self.sweep_at = self.rates.len() * 2;
        }
        self.rates.entry(user.into()).or_insert_with(|| Rate::new(limits, now)).take(bytes, now)
    }
}

impl Excess {
    /// Stable name for acknowledgements and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Excess::ConnectionEvents | Excess::ConnectionBytes => "rate_limited",
            Excess::UserEvents | Excess::UserBytes => "user_rate_limited",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn events_and_bytes_are_limited_by_connection_and_user() {
        let limits = ClientLimits {
            events_per_second: 10,
            event_burst: 3,
            bytes_per_second: 1000,
            user_events_per_second: 5,
            ..ClientLimits::default()
        };
        let limits = RateLimits::new(&limits);
        let start = Instant::now();
        let (mut one, mut two) = (limits.connection(start).unwrap(), limits.connection(start).unwrap());
        let send =
            |rate: &mut Rate, bytes, ms| limits.take(Some(rate), Some("ann"), bytes, start + Duration::from_millis(ms));
        assert_eq!([0; 3].map(|at| send(&mut one, 10, at)), [Ok(()); 3]);
        assert_eq!(send(&mut one, 10, 0), Err(Excess::ConnectionEvents));
        assert_eq!(send(&mut one, 10, 101), Ok(()), "one is refilled in a tenth of a second");
        assert_eq!(send(&mut two, 990, 101), Ok(()));
        assert_eq!(send(&mut two, 990, 101), Err(Excess::ConnectionBytes));
        assert_eq!(send(&mut two, 5, 101), Err(Excess::UserEvents), "both connections are the user's");
        assert_eq!(send(&mut two, 5, 1400), Ok(()));
    }

    #[test]
    fn more_than_a_burst_passes_when_nothing_is_missing() {
        let limits = RateLimits::new(&ClientLimits { bytes_per_second: 100, ..ClientLimits::default() });
        let start = Instant::now();
        let mut rate = limits.connection(start).unwrap();
        assert_eq!(limits.take(Some(&mut rate), None, 1000, start), Ok(()));
        assert_eq!(limits.take(Some(&mut rate), None, 1, start), Err(Excess::ConnectionBytes));
        let later = start + Duration::from_secs(11);
        assert_eq!(limits.take(Some(&mut rate), None, 1, later), Ok(()));
    }

    #[test]
    fn users_that_send_no_more_are_forgotten() {
        let limits = RateLimits::new(&ClientLimits { user_events_per_second: 1, ..ClientLimits::default() });
        let start = Instant::now();
        for n in 0..20_000 {
            let now = start + Duration::from_millis(n * 10);
            assert_eq!(limits.take(None, Some(&format!("user {n}")), 1, now), Ok(()));
        }
        assert!(limits.users.lock().unwrap().rates.len() <= 2 * MIN_SWEEP);
    }

    #[test]
    fn without_limits_nothing_is_kept() {
        let limits = RateLimits::new(&ClientLimits::default());
        assert!(limits.connection(Instant::now()).is_none());
        assert_eq!(limits.take(None, Some("ann"), usize::MAX, Instant::now()), Ok(()));
        assert!(limits.users.lock().unwrap().rates.is_empty());
    }
}
