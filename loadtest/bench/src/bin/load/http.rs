//! A blocking HTTP/1.1 client over one keep-alive connection, as small as the publish API needs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct HttpClient {
    stream: TcpStream,
    host: String,
    request: Vec<u8>,
    response: Vec<u8>,
}

impl HttpClient {
    pub(crate) fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { stream, host: address.to_owned(), request: Vec::new(), response: Vec::new() })
    }

    /// Posts JSON; returns the body of a 200, anything else is an error.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> Result<&str> {
        self.request.clear();
        write!(
            self.request,
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        )?;
        self.stream.write_all(&self.request)?;
        self.response.clear();
        let mut chunk = [0; 64 * 1024];
        loop {
            if let Some((start, end)) = whole(&self.response)? {
                let body = std::str::from_utf8(&self.response[start..end])?;
                if !self.response.starts_with(b"HTTP/1.1 200") {
                    bail!("{}", String::from_utf8_lossy(&self.response[..end.min(500)]));
                }
                return Ok(body);
            }
            match self.stream.read(&mut chunk).context("no answer to a publish")? {
                0 => bail!("the publish API closed the connection"),
                length => self.response.extend_from_slice(&chunk[..length]),
            }
        }
    }
}

/// Where the body is, once the response is complete.
fn whole(response: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(head) = response.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&response[..head])?;
    let length: usize = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .context("an answer of the publish API has no Content-Length")?;
    let start = head + 4;
    Ok((response.len() >= start + length).then_some((start, start + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_whole_with_its_last_byte() {
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(whole(response).unwrap(), Some((38, 40)));
        assert_eq!(whole(&response[..39]).unwrap(), None);
        assert!(whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
