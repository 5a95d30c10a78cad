//! From files to what rustls works with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::error::{Flaw, TlsError};

/// The one protocol that is spoken over TLS here.
const ALPN: &[u8] = b"http/1.1";

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
const NEW: &[&SupportedProtocolVersion] = &[&TLS13];

/// Where the certificates of one listener are, and what they are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// Callers must show a certificate of an authority in it.
    pub client_ca_file: Option<PathBuf>,
    /// Whom this side trusts where it is the one who calls; `None`: it never
    /// calls.
    pub peers: Option<Authorities>,
    /// Whose name the certificates there must carry; `None`: the host's that is
    /// called.
    pub peers_name: Option<ServerName<'static>>,
    pub versions: Versions,
    /// Time between two looks at the files.
    pub reload: Duration,
}

/// Versions of TLS that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    From12,
    From13,
}

/// Whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorities {
    /// Those of the operating system.
    System,
    /// Those in this file; with the key of the configuration that named it.
    File(&'static str, PathBuf),
}

/// The bytes of the files, as they were read at one time.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
    peers_ca: Option<Vec<u8>>,
}

/// What is made of the files.
pub(super) struct Made {
    pub(super) server: Arc<ServerConfig>,
    /// Where this side also calls.
    pub(super) client: Option<Arc<ClientConfig>>,
    /// Why clients will refuse the certificate.
    pub(super) doubt: Option<CertificateError>,
}

/// A certificate with its chain, and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Settings {
    /// Whether the files that it names can be used.
    ///
    /// # Errors
    /// The first flaw found.
    pub fn check(&self) -> Result<(), TlsError> {
        let named = |authorities: &Authorities| *authorities != Authorities::System;
        let named = Settings { peers: self.peers.clone().filter(named), ..self.clone() };
        named.make(&named.read()?).map(drop)
    }

    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        let peers_ca = match &self.peers {
            Some(Authorities::File(key, path)) => Some(read(key, path)?),
            Some(Authorities::System) | None => None,
        };
        Ok(Contents {
            cert: read("cert_file", &self.cert_file)?,
            key: read("key_file", &self.key_file)?,
            client_ca: self.client_ca_file.as_ref().map(|path| read("client_ca_file", path)).transpose()?,
            peers_ca,
        })
    }

    pub(super) fn make(&self, contents: &Contents) -> Result<Made, TlsError> {
        let identity = Identity::parse((&self.cert_file, &contents.cert), (&self.key_file, &contents.key))?;
        Ok(Made {
            server: Arc::new(self.server(&identity, contents)?),
            client: self.client(&identity, contents)?.map(Arc::new),
            doubt: identity.doubt(),
        })
    }

    fn server(&self, identity: &Identity, contents: &Contents) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(self.versions()).map_err(|error| self.unusable(error))?;
        let builder = match self.verifier(contents)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let Identity { chain, key } = identity.copy();
        let mut config = builder.with_single_cert(chain, key).map_err(|error| self.unusable(error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // of this process, and of these files: who may no longer call does not come in by an old session
        config.ticketer = ring::Ticketer::new().map_err(|error| self.unusable(error))?;
        Ok(config)
    }

    /// Of callers' certificates.
    fn verifier(&self, contents: &Contents) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let Some((path, pem)) = self.client_ca_file.as_ref().zip(contents.client_ca.as_ref()) else { return Ok(None) };
        let bad = |error: VerifierBuilderError| {
            TlsError::new("client_ca_file", path, Flaw::BadAuthorities(error.to_string()))
        };
        let roots = Arc::new(roots("client_ca_file", path, pem)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
        verifier.map(Some).map_err(bad)
    }

    fn client(&self, identity: &Identity, contents: &Contents) -> Result<Option<ClientConfig>, TlsError> {
        let roots = match (&self.peers, &contents.peers_ca) {
            (None, _) => return Ok(None),
            (Some(Authorities::File(key, path)), Some(pem)) => roots(key, path, pem)?,
            (Some(_), _) => {
                let mut roots = RootCertStore::empty();
                // some of a system's are of no use to anybody
                roots.add_parsable_certificates(system_authorities());
                roots
            }
        };
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(self.versions()).map_err(|error| self.unusable(error))?;
        let Identity { chain, key } = identity.copy();
        let builder = builder.with_root_certificates(roots);
        let mut config = builder.with_client_auth_cert(chain, key).map_err(|error| self.unusable(error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Some(config))
    }

    fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        match self.versions {
            Versions::From12 => BOTH,
            Versions::From13 => NEW,
        }
    }

    fn unusable(&self, error: rustls::Error) -> TlsError {
        TlsError::new("cert_file", &self.cert_file, Flaw::BadCertificate(error))
    }
}

impl Identity {
    /// # Errors
    /// When the files cannot be used, or not together.
    pub fn read(cert_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        let (cert, key) = (read("cert_file", cert_file)?, read("key_file", key_file)?);
        Self::parse((cert_file, &cert), (key_file, &key))
    }

    fn parse((cert_file, cert): (&Path, &[u8]), (key_file, key): (&Path, &[u8])) -> Result<Self, TlsError> {
        let chain = certificates("cert_file", cert_file, cert)?;
        let bad_key = |flaw| TlsError::new("key_file", key_file, flaw);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => bad_key(Flaw::NoKey),
            error => bad_key(Flaw::NotPem(error)),
        })?;
        let identity = Identity { chain, key };
        let Identity { chain, key } = identity.copy();
        let signing = provider().key_provider.load_private_key(key).map_err(|error| bad_key(Flaw::BadKey(error)))?;
        match CertifiedKey::new(chain, signing).keys_match() {
            Ok(()) => Ok(identity),
            Err(rustls::Error::InconsistentKeys(_)) => Err(bad_key(Flaw::OtherKey)),
            Err(error) => Err(TlsError::new("cert_file", cert_file, Flaw::BadCertificate(error))),
        }
    }

    fn copy(&self) -> Self {
        Identity { chain: self.chain.clone(), key: self.key.clone_key() }
    }

    /// Why a client would refuse it, whomever it trusts: expired, not valid
    /// yet, not for servers.
    fn doubt(&self) -> Option<CertificateError> {
        let nobody = RootCertStore::empty();
        let algorithms = provider().signature_verification_algorithms.all;
        let certificate = self.chain.first().map(ParsedCertificate::try_from)?.ok()?;
        // judged before the question who issued it, which here is nobody known
        match verify_server_cert_signed_by_trust_anchor(&certificate, &nobody, &[], UnixTime::now(), algorithms) {
            Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) | Ok(()) => None,
            Err(rustls::Error::InvalidCertificate(error)) => Some(error),
            Err(_) => None,
        }
    }
}

/// The cryptography that is used everywhere.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificates of authorities in a file, which this key of the
/// configuration names.
///
/// # Errors
/// When it cannot be read, or none is in it.
pub fn authorities(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates(key, path, &read(key, path)?)
}

/// The certificates of the authorities that the operating system trusts.
pub fn system_authorities() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::new(key, path, Flaw::Unreadable(error)))
}

fn certificates(key: &'static str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| TlsError::new(key, path, Flaw::NotPem(error)))?;
    if found.is_empty() {
        return Err(TlsError::new(key, path, Flaw::NoCertificate));
    }
    Ok(found)
}

fn roots(key: &'static str, path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, path, pem)? {
        roots.add(certificate).map_err(|error| TlsError::new(key, path, Flaw::BadCertificate(error)))?;
    }
    Ok(roots)
}
