//! Why a connection ends, and what follows from it.

/// Alone decides what the client is told and under which label it is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Close {
    /// The client closed the transport, or it broke.
    Client,
    /// No pong in time.
    Heartbeat,
    /// The outbound queue passed its bound.
    SlowConsumer,
    /// A packet that no client may send.
    BadProtocol,
    /// A message or payload over the bound.
    TooLarge,
    /// No namespace was joined in time.
    ConnectTimeout,
    /// The client came back on another connection.
    Replaced,
    /// What the client should have got cannot be shown to be complete.
    Lost,
    /// The adapter did not answer in time.
    Unavailable,
    /// The backend disconnected it.
    Backend,
    /// Its token has ended.
    AuthExpired,
    /// Its token was revoked.
    Revoked,
    /// The node is going away.
    Draining,
    /// This node has more than its part of the connections.
    Rebalanced,
}

impl Close {
    pub const ALL: [Close; 14] = [
        Close::Client,
        Close::Heartbeat,
        Close::SlowConsumer,
        Close::BadProtocol,
        Close::TooLarge,
        Close::ConnectTimeout,
        Close::Replaced,
        Close::Lost,
        Close::Unavailable,
        Close::Backend,
        Close::AuthExpired,
        Close::Revoked,
        Close::Draining,
        Close::Rebalanced,
    ];

    /// Metric label and log field.
    pub fn label(self) -> &'static str {
        match self {
            Close::Client => "client",
            Close::Heartbeat => "heartbeat",
            Close::SlowConsumer => "slow_consumer",
            Close::BadProtocol => "bad_protocol",
            Close::TooLarge => "too_large",
            Close::ConnectTimeout => "connect_timeout",
            Close::Replaced => "replaced",
            Close::Lost => "lost",
            Close::Unavailable => "unavailable",
            Close::Backend => "backend",
            Close::AuthExpired => "auth_expired",
            Close::Revoked => "revoked",
            Close::Draining => "draining",
            Close::Rebalanced => "rebalanced",
        }
    }

    /// Status code of the WebSocket close frame (RFC 6455, 7.4.1).
    pub fn websocket_status(self) -> u16 {
        match self {
            Close::Client | Close::Backend => 1000,
            Close::Draining | Close::Rebalanced => 1001,
            Close::BadProtocol => 1002,
            Close::TooLarge => 1009,
            Close::SlowConsumer
            | Close::ConnectTimeout
            | Close::Heartbeat
            | Close::Replaced
            | Close::AuthExpired
            | Close::Revoked => 1008,
            Close::Lost => 1011,
            Close::Unavailable => 1013,
        }
    }
}
