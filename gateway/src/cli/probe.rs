//! `carillon probe`: asks the gateway on this machine how it is, for whoever can run a command beside it but has no
//! certificate that it accepts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use ureq::tls::TlsConfig;

use super::{ConfigFile, print, tls};
use crate::config::{self, Internal, InternalTls, ProcessEnvironment};

/// Time for the gateway to answer. A probe that takes longer is as good as none.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Probe {
    /// What is asked: `/readyz`, or `/healthz`
    #[arg(default_value = "/readyz", value_parser = path)]
    path: String,
    #[command(flatten)]
    file: ConfigFile,
}

fn path(word: &str) -> Result<String, &'static str> {
    if word.starts_with('/') { Ok(word.to_owned()) } else { Err("must begin with /") }
}

pub(super) fn run(probe: &Probe) -> Result<()> {
    let internal = config::load_internal(probe.file.config.as_deref(), &ProcessEnvironment)?;
    let (status, text) = ask(&internal, &probe.path)?;
    ensure!(status == 200, "{status} {text}");
    Ok(print(&format!("{text}\n"))?)
}

/// Status and body of the answer.
fn ask(internal: &Internal, path: &str) -> Result<(u16, String)> {
    let secure = internal.tls.cert_file.is_some();
    let url = format!("http{}://{}{path}", if secure { "s" } else { "" }, reached(internal.listen)?);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(if secure { tls_config(&internal.tls)? } else { TlsConfig::default() })
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let mut answer = agent.get(&url).call().with_context(|| format!("no answer from {url}"))?;
    let text = answer.body_mut().read_to_string().with_context(|| format!("the answer from {url} broke off"))?;
    Ok((answer.status().as_u16(), text.trim_end().to_owned()))
}

/// Where this machine reaches what listens there.
fn reached(listen: SocketAddr) -> Result<SocketAddr> {
    if listen.port() == 0 {
        bail!("internal.listen has port 0: which one the gateway took is not known here");
    }
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, listen.port()))
}

/// Shows the node's own certificate, and does not look at whose name is in that of the other side: it is this machine,
/// and nothing secret is told.
fn tls_config(settings: &InternalTls) -> Result<TlsConfig> {
    let identity = match (&settings.client_ca_file, &settings.cert_file, &settings.key_file) {
        (Some(_), Some(cert), Some(key)) => {
            Some(tls::client_certificate(cert, key, |error| anyhow::anyhow!("internal.tls.{error}"))?)
        }
        _ => None,
    };
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(crate::tls::provider())
        .disable_verification(true)
        .client_cert(identity)
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_asked_at_home() {
        let at = |listen: &str| reached(listen.parse().unwrap()).map(|address| address.to_string());
        for (listen, asked) in [
            ("0.0.0.0:9100", "127.0.0.1:9100"),
            ("[::]:9100", "[::1]:9100"),
            ("127.0.0.1:9100", "127.0.0.1:9100"),
            ("10.0.0.5:9100", "10.0.0.5:9100"),
        ] {
            assert_eq!(at(listen).unwrap(), asked);
        }
        assert!(at("127.0.0.1:0").unwrap_err().to_string().contains("port 0"));
    }
}
