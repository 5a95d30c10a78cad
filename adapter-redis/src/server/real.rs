//! A Redis server, by the crate `redis`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::aio::{AsyncPushSender, MultiplexedConnection, SendError};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, PushInfo, PushKind, RedisError, RedisResult, TlsCertificates, Value,
};

use super::{Commands, Inbox, Server, Subscriber};

/// Where Redis is, and how it is spoken to.
#[derive(Clone)]
pub struct Address {
    /// `redis://[user:password@]host:port/database`, or `rediss://`. With
    /// Sentinel its host and port are not used.
    pub url: String,
    /// URLs of sentinels; empty without.
    pub sentinels: Vec<String>,
    /// The master's name at the sentinels.
    pub master: String,
    /// PEM of certificate authorities; without, those of the system.
    pub authorities: Option<Vec<u8>>,
    /// PEM of the client's own certificate and key, where the server asks.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    pub connect_timeout: Duration,
    /// For each command; a connection that takes longer is given up.
    pub response_timeout: Duration,
}

impl Address {
    /// A server at a `redis://` or `rediss://` URL, with the system's
    /// authorities, which has 2 s to connect and for each answer.
    pub fn new(url: impl Into<String>) -> Self {
        let patience = Duration::from_secs(2);
        Address {
            url: url.into(),
            sentinels: Vec::new(),
            master: String::new(),
            authorities: None,
            identity: None,
            connect_timeout: patience,
            response_timeout: patience,
        }
    }
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadAddress(String);

impl From<RedisError> for BadAddress {
    fn from(error: RedisError) -> Self {
        BadAddress(error.to_string())
    }
}

/// See [`Server`].
pub struct RedisServer {
    address: Address,
    info: ConnectionInfo,
    sentinels: Vec<Client>,
}

impl RedisServer {
    /// # Errors
    /// When a URL or certificate cannot be read. Nothing is connected yet.
    pub fn new(address: Address) -> Result<Self, BadAddress> {
        let info = address.url.as_str().into_connection_info()?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_redis_settings(settings);
        let sentinels = address
            .sentinels
            .iter()
            .map(|url| client(&address, url.as_str().into_connection_info()?))
            .collect::<RedisResult<Vec<_>>>()?;
        if !sentinels.is_empty() && address.master.is_empty() {
            return Err(BadAddress("the name of the master is needed with sentinels".into()));
        }
        client(&address, info.clone())?;
        Ok(RedisServer { address, info, sentinels })
    }

    /// The server that is the master now.
    async fn client(&self) -> RedisResult<Client> {
        if self.sentinels.is_empty() {
            return client(&self.address, self.info.clone());
        }
        let mut last = RedisError::from((ErrorKind::Client, "no sentinel knows the master"));
        for sentinel in &self.sentinels {
            match self.master(sentinel).await {
                Ok((host, port)) => {
                    let addr = match self.info.addr() {
                        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
                        }
                        _ => ConnectionAddr::Tcp(host, port),
                    };
                    return client(&self.address, self.info.clone().set_addr(addr));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn master(&self, sentinel: &Client) -> RedisResult<(String, u16)> {
        let mut connection = sentinel.get_multiplexed_async_connection_with_config(&self.config()).await?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(&self.address.master);
        let found: Option<(String, u16)> = ask.query_async(&mut connection).await?;
        found.ok_or_else(|| RedisError::from((ErrorKind::Client, "the sentinel does not know the master")))
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.address.connect_timeout))
            .set_response_timeout(Some(self.address.response_timeout))
    }
}

fn client(address: &Address, info: ConnectionInfo) -> RedisResult<Client> {
    let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    if is_tls {
        // where the program has chosen another, that one serves
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    if !is_tls || (address.authorities.is_none() && address.identity.is_none()) {
        return Client::open(info);
    }
    let client_tls =
        address.identity.clone().map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
    Client::build_with_tls(info, TlsCertificates { client_tls, root_cert: address.authorities.clone() })
}

#[async_trait]
impl Server for RedisServer {
    async fn commands(&self) -> RedisResult<Arc<dyn Commands>> {
        let client = self.client().await?;
        let connection = client.get_multiplexed_async_connection_with_config(&self.config()).await?;
        Ok(Arc::new(RealCommands(connection)))
    }

    async fn subscriber(&self, inbox: Arc<Inbox>) -> RedisResult<Box<dyn Subscriber>> {
        let client = self.client().await?;
        let config = self.config().set_push_sender(ToInbox(inbox));
        Ok(Box::new(RealSubscriber(client.get_multiplexed_async_connection_with_config(&config).await?)))
    }
}

struct RealCommands(MultiplexedConnection);

#[async_trait]
impl Commands for RealCommands {
    async fn send(&self, command: Cmd) -> RedisResult<Value> {
        let mut connection = self.0.clone();
        connection.send_packed_command(&command).await?.extract_error()
    }
}

struct RealSubscriber(MultiplexedConnection);

#[async_trait]
impl Subscriber for RealSubscriber {
    async fn subscribe(&mut self, channels: &[String]) -> RedisResult<()> {
        self.0.subscribe(channels).await
    }

    async fn unsubscribe(&mut self, channels: &[String]) -> RedisResult<()> {
        self.0.unsubscribe(channels).await
    }

    async fn subscribe_patterns(&mut self, patterns: &[String]) -> RedisResult<()> {
        self.0.psubscribe(patterns).await
    }

    async fn unsubscribe_patterns(&mut self, patterns: &[String]) -> RedisResult<()> {
        self.0.punsubscribe(patterns).await
    }
}

/// Takes what the connection's task reads, without the crate's own queue,
/// which knows no bound.
struct ToInbox(Arc<Inbox>);

impl AsyncPushSender for ToInbox {
    fn send(&self, info: PushInfo) -> Result<(), SendError> {
        let record = match info.kind {
            PushKind::Message => info.data.into_iter().nth(1),
            PushKind::PMessage => info.data.into_iter().nth(2),
            PushKind::Disconnection => {
                self.0.end();
                None
            }
            _ => None,
        };
        if let Some(Value::BulkString(record)) = record {
            self.0.put(Bytes::from(record));
        }
        Ok(())
    }
}
