//! A client's WebSocket on one side, its session's node on the other.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use rand::RngExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::tls::Stream;

use super::metrics::Carried;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// The way to a session's node, for as long as the client's WebSocket lives.
/// It holds two sockets, and bytes only while one of them takes none.
pub struct Tunnel {
    pub(super) owner: Stream,
    /// What came from the owner already.
    pub(super) ahead: BytesMut,
    pub(super) leave: Leave,
    pub(super) carried: Carried,
}

impl Tunnel {
    /// Copies both ways until either side ends or `stop` is told. `ahead`:
    /// what came from the client already.
    pub async fn carry(self, client: Stream, ahead: BytesMut, stop: CancellationToken) {
        let Tunnel { owner, ahead: from_owner, leave, carried } = self;
        let ended = async {
            tokio::select! {
                ended = copy(&client, &owner, ahead) => ended,
                ended = copy(&owner, &client, from_owner) => ended,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = leave.told() => {}
            // how it ended is the client's affair, or its session's: the other side sees the end of the stream
            _ = ended => {}
        }
        client.say_end();
        owner.say_end();
        drop(carried);
    }
}

/// When carried WebSockets are to end, so that clients go elsewhere.
#[derive(Clone)]
pub(super) struct Leave(pub(super) watch::Receiver<Option<Duration>>);

impl Leave {
    /// Returns at a random time within what was told.
    async fn told(mut self) {
        let spread = self.0.wait_for(Option::is_some).await.map(|spread| spread.unwrap_or_default());
        // without anybody left to tell there is nothing to wait for
        let spread = spread.unwrap_or_default();
        tokio::time::sleep(spread.mul_f64(rand::rng().random_range(0.0..1.0))).await;
    }
}

/// Copies until `from` ends. At rest it holds no buffer.
async fn copy(from: &Stream, to: &Stream, mut waiting: BytesMut) -> io::Result<()> {
    loop {
        to.write_all(&waiting).await?;
        waiting = BytesMut::new();
        from.readable().await?;
        match pass(from, to, &mut waiting) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads once and writes what is taken at once; the rest waits. Answers how
/// much was read.
fn pass(from: &Stream, to: &Stream, waiting: &mut BytesMut) -> io::Result<usize> {
    let mut chunk = [0; CHUNK];
    let count = from.try_read(&mut chunk)?;
    let written = match to.try_write(&chunk[..count]) {
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    waiting.extend_from_slice(&chunk[written..count]);
    Ok(count)
}
