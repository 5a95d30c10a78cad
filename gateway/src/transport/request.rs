//! What a request asks of Engine.IO.

use form_urlencoded::parse;

use crate::protocol::Format;
use crate::protocol::engine::{TransportKind, Version};
use crate::protocol::legacy::Form;
use crate::protocol::legacy::jsonp::Callback;

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
    /// Of an old client that reads text only.
    pub(super) base64: bool,
    /// Of an old client that polls by scripts.
    pub(super) callback: Option<Callback>,
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
                "b64" => parameters.base64 = !value.is_empty(),
                "j" => parameters.callback = Callback::parse(&value),
                _ => {}
            }
        }
        parameters
    }

    /// Whether the request is of an old client.
    pub(super) fn are_legacy(&self) -> bool {
        self.version.is_some_and(Version::is_legacy)
    }

    /// In which a client that opens a connection reads packets.
    pub(super) fn format(&self, transport: TransportKind) -> Format {
        match (self.are_legacy(), transport) {
            (false, TransportKind::WebSocket) => Format::JsonWebSocket,
            (false, TransportKind::Polling) => Format::JsonPolling,
            (true, TransportKind::WebSocket) => Format::Legacy(Form::WebSocket),
            (true, TransportKind::Polling) if self.base64 || self.callback.is_some() => {
                Format::Legacy(Form::TextPayload)
            }
            (true, TransportKind::Polling) => Format::Legacy(Form::BinaryPayload),
        }
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
            ..Parameters::default()
        };
        assert_eq!(Parameters::parse("EIO=4&transport=polling&t=x1&sid=a%20b&x=y"), expected);
        assert!(!expected.are_legacy() && expected.format(TransportKind::Polling) == Format::JsonPolling);
        let unknown = Parameters::parse("EIO=9&transport=carrier-pigeon");
        assert_eq!(unknown, Parameters::default());
    }

    #[test]
    fn old_clients_say_what_they_read() {
        for (query, transport, form) in [
            ("EIO=3&transport=polling", TransportKind::Polling, Form::BinaryPayload),
            ("EIO=2&transport=polling&b64=1", TransportKind::Polling, Form::TextPayload),
            ("EIO=3&transport=polling&j=0", TransportKind::Polling, Form::TextPayload),
            ("EIO=3&transport=websocket&b64=1", TransportKind::WebSocket, Form::WebSocket),
        ] {
            assert_eq!(Parameters::parse(query).format(transport), Format::Legacy(form), "{query}");
        }
        assert_eq!(Parameters::parse("j=alert()").callback, None);
    }
}
