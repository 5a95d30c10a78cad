//! Where in a trace something is, as it is carried between processes.
//!
//! Headers are those of W3C Trace Context; on the bus the two are one text, parted by a space.

use std::fmt;
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Of a `traceparent`, in bytes; a version above 0 may be longer.
const LENGTH: usize = 55;

/// Longest `tracestate` that is carried, in bytes: what everybody must be able to.
const MAX_STATE: usize = 512;

/// A span that others are below.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceContext(SpanContext);

impl TraceContext {
    pub(super) fn of(span: SpanContext) -> Self {
        TraceContext(span)
    }

    pub(super) fn span(&self) -> &SpanContext {
        &self.0
    }

    /// What a request carries; `None` where that is nothing, or nothing that can be understood.
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = parents.next()?.to_str().ok()?;
        if parents.next().is_some() {
            return None;
        }
        let states: Vec<&str> =
            headers.get_all(TRACESTATE).iter().map(HeaderValue::to_str).collect::<Result<_, _>>().unwrap_or_default();
        Self::read(parent.trim(), &states.join(","))
    }

    /// What a request is to carry.
    pub fn write_to(&self, headers: &mut HeaderMap) {
        if let Ok(parent) = HeaderValue::try_from(self.parent()) {
            headers.insert(TRACEPARENT, parent);
        }
        if let Some(state) = self.state().and_then(|state| HeaderValue::try_from(state).ok()) {
            headers.insert(TRACESTATE, state);
        }
    }

    /// Whether the one who made the span records it.
    pub fn is_sampled(&self) -> bool {
        self.0.is_sampled()
    }

    /// The trace, as random as its id: what part of all traces it is in, from 0 to below 1.
    pub(super) fn share(&self) -> f64 {
        let id = u128::from_be_bytes(self.0.trace_id().to_bytes()) as u64;
        (id >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn parent(&self) -> String {
        let flags = self.0.trace_flags() & TraceFlags::SAMPLED;
        format!("00-{}-{}-{flags:02x}", self.0.trace_id(), self.0.span_id())
    }

    fn state(&self) -> Option<String> {
        let state = self.0.trace_state().header();
        (!state.is_empty() && state.len() <= MAX_STATE).then_some(state)
    }

    /// Vendors' state that cannot be understood is left out.
    fn read(parent: &str, state: &str) -> Option<Self> {
        let bytes = parent.as_bytes();
        let hex = |at: std::ops::Range<usize>| {
            let digits = parent.get(at)?;
            digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).then_some(digits)
        };
        let dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        let whole = match hex(0..2)? {
            "ff" => false,
            "00" => bytes.len() == LENGTH,
            _ => matches!(bytes.get(LENGTH), None | Some(b'-')),
        };
        if !dashes || !whole {
            return None;
        }
        let trace = TraceId::from_hex(hex(3..35)?).ok()?;
        let span = SpanId::from_hex(hex(36..52)?).ok()?;
        let flags = TraceFlags::new(u8::from_str_radix(hex(53..55)?, 16).ok()?) & TraceFlags::SAMPLED;
        let state = Some(state).filter(|state| state.len() <= MAX_STATE).and_then(|state| state.parse().ok());
        let span = SpanContext::new(trace, span, flags, true, state.unwrap_or(TraceState::NONE));
        span.is_valid().then_some(TraceContext(span))
    }
}

/// As it is on the bus.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parent())?;
        self.state().map_or(Ok(()), |state| write!(f, " {state}"))
    }
}

/// The text is no context that is understood here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a trace context")]
pub struct BadTraceContext;

impl FromStr for TraceContext {
    type Err = BadTraceContext;

    fn from_str(text: &str) -> Result<Self, BadTraceContext> {
        let (parent, state) = text.split_once(' ').unwrap_or((text, ""));
        Self::read(parent, state).ok_or(BadTraceContext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn headers_of_the_standard_are_understood() {
        for (parent, sampled) in [
            (PARENT, Some(true)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", Some(false)),
            // other flags are left alone
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", Some(true)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02", Some(false)),
            // of the future
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some(true)),
            ("fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", Some(true)),
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more", None),
            // of no version
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("000-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("zz-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            // too short, too long
            ("", None),
            ("00", None),
            ("00-ab-cd-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01", None),
            // ids that are none
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None),
            // not lowercase hexadecimal
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A", None),
            ("00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e473ü-0f067aa0ba902b7-01", None),
        ] {
            let headers = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_bytes(parent.as_bytes()).unwrap())]);
            let read = TraceContext::of_headers(&headers);
            assert_eq!(read.as_ref().map(TraceContext::is_sampled), sampled, "{parent}");
            assert_eq!(parent.parse().ok(), read, "{parent}");
        }
        let mut twice = HeaderMap::new();
        assert_eq!(TraceContext::of_headers(&twice), None);
        twice.append(TRACEPARENT, HeaderValue::from_static(PARENT));
        twice.append(TRACEPARENT, HeaderValue::from_static(PARENT));
        assert_eq!(TraceContext::of_headers(&twice), None);
    }

    #[test]
    fn what_is_carried_on_is_what_came() {
        for (states, carried) in [
            (vec![], None),
            (vec!["vendor=1"], Some("vendor=1")),
            (vec!["vendor=1,other=a b"], Some("vendor=1,other=a b")),
            (vec!["vendor=1", "other=2"], Some("vendor=1,other=2")),
            (vec!["no state"], None),
            (vec![&*format!("long={}", "x".repeat(MAX_STATE))], None),
        ] {
            let mut headers = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_static(PARENT))]);
            for state in states {
                headers.append(TRACESTATE, HeaderValue::try_from(state).unwrap());
            }
            let context = TraceContext::of_headers(&headers).unwrap();
            let mut written = HeaderMap::new();
            context.write_to(&mut written);
            assert_eq!(written[TRACEPARENT], PARENT);
            assert_eq!(written.get(TRACESTATE).map(|state| state.to_str().unwrap()), carried);
            assert_eq!(context.to_string().parse(), Ok(context));
        }
    }

    #[test]
    fn a_trace_has_the_same_share_everywhere() {
        let share = |id: &str| {
            let context: TraceContext = format!("00-{id}-00f067aa0ba902b7-01").parse().unwrap();
            context.share()
        };
        assert_eq!(share("ffffffffffffffff0000000000000000"), 0.0);
        assert_eq!(share("00000000000000018000000000000000"), 0.5);
        assert!((0.999..1.0).contains(&share("0000000000000000ffffffffffffffff")));
    }
}
