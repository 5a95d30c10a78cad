//! Handshakes with the certificate of the day.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::uri::Authority;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_util::sync::CancellationToken;

use super::error::TlsError;
use super::files::{Contents, Made, Settings};
use super::metrics::{Handshake, Reload, Side, TlsMetrics};

/// How long a client may take for its part of the handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What HTTP is read from after a caller's handshake.
pub type ServerStream = server::TlsStream<TcpStream>;

/// The same where this side has called.
pub type ClientStream = client::TlsStream<TcpStream>;

/// A listener's TLS.
pub struct Endpoint {
    side: Side,
    settings: Settings,
    /// The files as they were last looked at, whether they could be used or
    /// not; `None`: they could not even be read.
    seen: Mutex<Option<Contents>>,
    made: ArcSwap<Made>,
    pub(super) metrics: TlsMetrics,
}

impl Endpoint {
    /// # Errors
    /// When the files cannot be used.
    pub fn load(side: Side, settings: Settings, metrics: TlsMetrics) -> Result<Self, TlsError> {
        let contents = settings.read()?;
        let made = settings.make(&contents)?;
        warn_of(side, &made);
        Ok(Endpoint { side, settings, seen: Mutex::new(Some(contents)), made: ArcSwap::from_pointee(made), metrics })
    }

    /// The handshake with a caller; `None` when it fails, and the stream is
    /// closed.
    pub async fn accept(&self, stream: TcpStream) -> Option<ServerStream> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.made.load().server));
        let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
        let (outcome, stream) = match shaken {
            Ok(Ok(stream)) => (Handshake::Completed, Some(stream)),
            Ok(Err(error)) => {
                tracing::debug!(listener = self.side.label(), %error, "a TLS handshake failed");
                (Handshake::Failed, None)
            }
            Err(_) => (Handshake::TimedOut, None),
        };
        self.metrics.shaken(self.side, outcome);
        stream
    }

    /// The handshake with who was called at this address (host and port): its
    /// certificate must be for that host, or for the name that all have.
    ///
    /// # Errors
    /// When it fails; of the kind `InvalidData` where TLS itself is the reason.
    pub async fn connect(&self, stream: TcpStream, address: &str) -> io::Result<ClientStream> {
        let client = self.made.load().client.clone();
        let connector = TlsConnector::from(client.ok_or(io::ErrorKind::Unsupported)?);
        let name = self.settings.peers_name.clone().or_else(|| name_of(address)).ok_or(io::ErrorKind::InvalidInput)?;
        connector.connect(name, stream).await
    }

    /// Takes changed files up, until `stop`. Connections keep what they have.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.settings.reload) => self.look(),
            }
        }
    }

    /// Looks at the files once. A few kilobytes are compared, which finds
    /// changes by whatever means: written over, renamed, a link set elsewhere.
    pub(super) fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, made) = match self.settings.read() {
            Ok(contents) if seen.as_ref() == Some(&contents) => return,
            Ok(contents) => {
                let made = self.settings.make(&contents);
                (Some(contents), made)
            }
            Err(_) if seen.is_none() => return,
            Err(error) => (None, Err(error)),
        };
        *seen = now;
        let listener = self.side.label();
        let outcome = match made {
            Ok(made) => {
                warn_of(self.side, &made);
                self.made.store(Arc::new(made));
                tracing::info!(listener, "new certificate files are in use");
                Reload::Taken
            }
            Err(error) => {
                tracing::warn!(listener, %error, "changed certificate files cannot be used; the old ones stay");
                Reload::Refused
            }
        };
        self.metrics.reloaded(self.side, outcome);
    }
}

fn warn_of(side: Side, made: &Made) {
    if let Some(doubt) = &made.doubt {
        let listener = side.label();
        tracing::warn!(listener, reason = %doubt, "clients will refuse the certificate");
    }
}

/// The host, without the brackets of an IPv6 address.
fn name_of(address: &str) -> Option<ServerName<'static>> {
    let authority: Authority = address.parse().ok()?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_for_the_host_of_an_address() {
        for (address, name) in [
            ("node-1.internal:9100", Some("node-1.internal")),
            ("10.0.0.5:9100", Some("10.0.0.5")),
            ("[::1]:9100", Some("::1")),
            ("node_1:9100", Some("node_1")),
            ("", None),
            ("a b:1", None),
        ] {
            assert_eq!(name_of(address).map(|name| name.to_str().into_owned()).as_deref(), name, "{address}");
        }
    }
}
