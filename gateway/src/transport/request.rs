//! What a request asks of Engine.IO.

use form_urlencoded::parse;

use crate::protocol::engine::{TransportKind, Version};

/// The parameters of the protocol in a query.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// `None`: absent or unknown.
    pub(super) transport: Option<TransportKind>,
    /// `None`: absent or not served.
    pub(super) version: Option<Version>,
    pub(super) sid: Option<String>,
    /// New with each polling request of a client.
    pub(super) t: Option<String>,
}

impl Parameters {
    pub(super) fn parse(query: &str) -> Self {
        let mut parameters = Parameters::default();
        for (name, value) in parse(query.as_bytes()) {
            match &*name {
                "transport" => {
                    parameters.transport = match &*value {
                        "polling" => Some(TransportKind::Polling),
                        "websocket" => Some(TransportKind::WebSocket),
                        _ => None,
                    };
                }
                "EIO" => parameters.version = Version::from_query(&value),
                "sid" => parameters.sid = Some(value.into_owned()),
                "t" => parameters.t = Some(value.into_owned()),
                _ => {}
            }
        }
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let expected = Parameters {
            transport: Some(TransportKind::Polling),
            version: Some(Version::V4),
            sid: Some("a b".into()),
            t: Some("x1".into()),
        };
        assert_eq!(Parameters::parse("EIO=4&transport=polling&t=x1&sid=a%20b&x=y"), expected);
        let unknown = Parameters::parse("EIO=9&transport=carrier-pigeon");
        assert_eq!(unknown, Parameters::default());
    }
}
