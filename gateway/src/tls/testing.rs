//! Certificates for tests, in a folder that goes with them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::Registry;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::ServerName;
use rustls_pki_types::pem::PemObject as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::{ClientStream, Endpoint, Settings, Side, Stream, TlsMetrics, Versions, provider};

/// An authority, and files below a folder of its own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("carillon-tls-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), folder }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Certificate and key (PEM) for this host.
    pub(crate) fn certificate(&self, host: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Writes `cert.pem` and `key.pem`, anew each time.
    pub(crate) fn issue(&self, host: &str) {
        let (cert, key) = self.certificate(host, |_| {});
        self.write("cert.pem", &cert);
        self.write("key.pem", &key);
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            cert_file: self.file("cert.pem"),
            key_file: self.file("key.pem"),
            client_ca_file: None,
            peers: None,
            peers_name: None,
            versions: Versions::From12,
            reload: Duration::from_secs(1),
        }
    }

    /// With a certificate for 127.0.0.1.
    pub(crate) fn endpoint(&self, change: impl FnOnce(&mut Settings)) -> Arc<Endpoint> {
        self.issue("127.0.0.1");
        let mut settings = self.settings();
        change(&mut settings);
        let metrics = TlsMetrics::register(&Registry::new()).unwrap();
        Arc::new(Endpoint::load(Side::Internal, settings, metrics).unwrap())
    }

    /// Trusts this authority.
    pub(crate) fn connector(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(rustls_pki_types::CertificateDer::from_pem_file(self.file("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
        TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

pub(crate) fn localhost() -> ServerName<'static> {
    ServerName::try_from("127.0.0.1").unwrap()
}

/// Two ends of a connection.
pub(crate) async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// The same after the handshake; the client is rustls's own.
pub(crate) async fn pair(versions: &[&'static SupportedProtocolVersion]) -> (ClientStream, Stream) {
    let authority = Authority::new();
    let endpoint = authority.endpoint(|_| {});
    let (client, server) = sockets().await;
    let connector = authority.connector(versions);
    let (client, server) = tokio::join!(connector.connect(localhost(), client), endpoint.accept(server));
    (client.unwrap(), server.unwrap().into())
}
