//! TLS for those without a balancer that ends it: on the public listener, on
//! the internal one, and between nodes.
//!
//! An [`Endpoint`] is made for each listener that has a certificate; it takes
//! accepted streams through the handshake, for nodes also those that they
//! opened to others, and takes changed files up ([`Endpoint::run`]). After the
//! handshake HTTP is read from the stream that it answers. Once that has become
//! a WebSocket, the session writes to a [`Stream`]: the socket itself, or one
//! with TLS upon it, with the same calls that never wait.
//!
//! Invariants:
//! - Without TLS a [`Stream`] is its socket, and costs what that costs.
//! - TLS holds back at most one write's worth of what it was given, and says so
//!   ([`Stream::try_flush`]): until that has left, the stream is not flushed.
//! - What has been decrypted is ready to be read, whatever the socket says.
//! - A connection keeps the certificate that it began with. Files that cannot
//!   be used never replace those that can.
//!
//! Failures: files that cannot be used are a [`TlsError`], which names the key
//! of the configuration; a handshake that fails, or takes longer than
//! [`HANDSHAKE_TIMEOUT`], closes its stream, and is counted.

mod endpoint;
mod error;
mod files;
mod metrics;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use endpoint::{ClientStream, Endpoint, HANDSHAKE_TIMEOUT, ServerStream};
pub use error::TlsError;
pub use files::{Authorities, Identity, Settings, Versions, authorities, provider, system_authorities};
pub use metrics::{Side, TlsMetrics};
pub use stream::{Stream, TlsStream};
