//! The Redis that several nodes share: fresh for every measurement, on a free port of loopback, with the settings that
//! Carillon recommends, for the peers too.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::child::Leashed;

pub(crate) const PROGRAM: &str = "redis-server";
const CONFIG: &str = "../../deploy/redis/redis.conf";
const START_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Redis {
    process: Leashed,
    address: SocketAddr,
}

impl Redis {
    /// Starts it and waits until it answers.
    pub(crate) fn start() -> Result<Self> {
        // Redis cannot take a free port by itself; should another program be faster, the start fails.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let folder = std::env::current_exe()?.with_file_name("redis");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let folder = folder.to_str().context("the path of Redis' folder is not text")?;
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let command = [PROGRAM, CONFIG, "--bind", &host, "--port", &port, "--dir", folder].map(str::to_owned);
        let process = Leashed::start("redis", &command, &BTreeMap::new())?;
        let deadline = Instant::now() + START_TIMEOUT;
        while !answers(address) {
            if Instant::now() > deadline {
                bail!("Redis does not answer at {address}");
            }
            std::thread::sleep(PAUSE);
        }
        Ok(Self { process, address })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

fn answers(address: SocketAddr) -> bool {
    let ping = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, PAUSE)?;
        stream.set_read_timeout(Some(START_TIMEOUT))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG")
    };
    ping().unwrap_or(false)
}
