//! What may go wrong between nodes.

/// Why a request did not come back from the session's node with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// Nothing was sent.
    #[error("the directory of nodes is unavailable")]
    Unavailable,
    /// Nothing was sent: it is not in the directory, or does not listen.
    #[error("the node is gone")]
    Gone,
    /// It may have been carried out.
    #[error("no answer came back")]
    Lost,
    /// It was not carried out: the other node does not trust this one.
    #[error("the node does not accept this node's signature")]
    Untrusted,
    /// Nothing was sent: its query fills what a request line may hold.
    #[error("the request is too long to be forwarded")]
    TooLong,
    /// Nothing was sent: enough WebSockets of other nodes are carried here.
    #[error("too many forwarded WebSockets")]
    Limited,
}
