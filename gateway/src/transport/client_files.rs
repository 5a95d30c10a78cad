//! The client's scripts, served beside the protocol as the reference does.

use std::io;
use std::path::Path;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

use super::answer::{Answer, answer};

/// What the npm package `socket.io-client` builds for browsers.
const NAMES: [&str; 8] = [
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
];

/// Scripts read once, at start.
#[derive(Debug, Default)]
pub struct ClientFiles(Vec<File>);

#[derive(Debug)]
struct File {
    name: &'static str,
    body: Bytes,
    etag: HeaderValue,
}

impl ClientFiles {
    /// Those of the known scripts that the folder holds.
    ///
    /// # Errors
    /// When the folder holds none of them, or one cannot be read.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for name in NAMES {
            match std::fs::read(folder.join(name)) {
                Ok(body) => {
                    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&body)[..8]));
                    let etag = HeaderValue::from_str(&tag).map_err(io::Error::other)?;
                    files.push(File { name, body: body.into(), etag });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if files.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the folder holds no socket.io client script"));
        }
        Ok(ClientFiles(files))
    }

    /// The script of this name, or that the client has it already.
    pub(super) fn answer(&self, name: &str, headers: &HeaderMap) -> Option<Answer> {
        let file = self.0.iter().find(|file| file.name == name)?;
        let content_type = if name.ends_with(".map") {
            "application/json; charset=utf-8"
        } else {
            "application/javascript; charset=utf-8"
        };
        let mut found = if headers.get(IF_NONE_MATCH) == Some(&file.etag) {
            answer(StatusCode::NOT_MODIFIED, content_type, Bytes::new())
        } else {
            answer(StatusCode::OK, content_type, file.body.clone())
        };
        found.headers_mut().insert(ETAG, file.etag.clone());
        found.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=0"));
        Some(found)
    }
}
