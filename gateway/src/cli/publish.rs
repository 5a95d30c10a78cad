//! `carillon publish`: one event through the internal API of a running gateway.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use ureq::tls::TlsConfig;

use super::{print, tls::Tls};

/// Time for the gateway to answer, acknowledgements apart. It answers before its own deadline, so this is generous.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("target").required(true).multiple(true),
    after_long_help = "Examples:\n  carillon publish --room news --event update '{\"id\":1}' hello\n  \
                       carillon publish --all --event ping --ack-timeout 2s"
)]
pub(super) struct Publish {
    /// Address of the gateway's internal listener
    #[arg(long, value_name = "URL", env = "CARILLON_URL", default_value = "http://127.0.0.1:9100")]
    url: String,
    /// API key with the scope "publish"; better given by the environment, where other users do not see it
    #[arg(long, value_name = "KEY", env = "CARILLON_API_KEY", hide_env_values = true)]
    key: Option<String>,
    #[command(flatten)]
    tls: Tls,
    /// Namespace
    #[arg(long, default_value = "/")]
    namespace: String,
    /// To the sockets in this room; repeat for several
    #[arg(long = "room", value_name = "ROOM", group = "target")]
    rooms: Vec<String>,
    /// To the sockets of this user; repeat for several
    #[arg(long = "user", value_name = "USER", group = "target")]
    users: Vec<String>,
    /// To the socket with this id; repeat for several
    #[arg(long = "socket", value_name = "ID", group = "target")]
    sockets: Vec<String>,
    /// To every socket of the namespace
    #[arg(long, group = "target", conflicts_with_all = ["rooms", "users", "sockets"])]
    all: bool,
    /// Name of the event
    #[arg(long, value_name = "NAME")]
    event: String,
    /// Arguments of the event, each as JSON; a word that is not JSON is taken as a string
    ///
    /// `1` is a number and `'"1"'` a string; `hello` is the string "hello". Binary arguments are written as
    /// `'{"$binary":"<base64>"}'`. After `--` arguments may begin with `-`.
    #[arg(value_name = "ARG", value_parser = argument, allow_negative_numbers = true)]
    args: Vec<Value>,
    /// Only to who is connected now: neither logged nor replayed
    #[arg(long)]
    volatile: bool,
    /// Publishing again under the same key within ten minutes has no second effect
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Ask every receiver for an acknowledgement, and wait so long for them ("500ms", "2s")
    #[arg(long, value_name = "TIME", value_parser = timeout, conflicts_with = "volatile")]
    ack_timeout: Option<Duration>,
}

fn argument(word: &str) -> Result<Value, std::convert::Infallible> {
    Ok(serde_json::from_str(word).unwrap_or_else(|_| Value::from(word)))
}

fn timeout(word: &str) -> Result<Duration, String> {
    match humantime::parse_duration(word) {
        Ok(time) if time.as_millis() > 0 => Ok(time),
        Ok(_) => Err("at least 1ms".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn run(publish: &Publish) -> Result<()> {
    let answer = publish.send()?;
    Ok(print(&format!("{answer}\n"))?)
}

impl Publish {
    fn body(&self) -> Value {
        let target = if self.all {
            json!("all")
        } else {
            json!({ "rooms": self.rooms, "users": self.users, "sockets": self.sockets })
        };
        let mut body = json!({
            "namespace": self.namespace,
            "target": target,
            "event": self.event,
            "args": self.args,
            "volatile": self.volatile,
        });
        if let Some(time) = self.ack_timeout {
            body["ack"] = json!({ "timeout_ms": u64::try_from(time.as_millis()).unwrap_or(u64::MAX) });
        }
        body
    }

    /// The body of the answer, when the gateway accepted.
    fn send(&self) -> Result<String> {
        let secure = self.url.starts_with("https://");
        if !secure && !self.url.starts_with("http://") {
            bail!("--url must begin with http:// or https://, got {}", self.url);
        }
        let url = format!("{}/v1/publish", self.url.trim_end_matches('/'));
        // No proxy from the environment and no redirect: the API key goes to the given address only.
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .tls_config(if secure { self.tls.config()? } else { TlsConfig::default() })
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(PATIENCE.saturating_add(self.ack_timeout.unwrap_or_default())))
            .build()
            .into();
        let mut request = agent.post(&url).header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if let Some(key) = &self.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let mut response = request.send(self.body().to_string()).with_context(|| format!("no answer from {url}"))?;
        let status = response.status();
        let text = response.body_mut().read_to_string().with_context(|| format!("the answer from {url} broke off"))?;
        if status != 200 {
            bail!("the gateway refused: {}", refusal(status.as_u16(), &text));
        }
        Ok(text.trim_end().to_owned())
    }
}

/// What a refusal says, from `{"error":{"code","message"}}` if it is one of ours.
fn refusal(status: u16, text: &str) -> String {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    match (body["error"]["code"].as_str(), body["error"]["message"].as_str()) {
        (Some(code), Some(message)) => format!("{status} {code}: {message}"),
        (Some(code), None) => format!("{status} {code}"),
        (None, _) => format!("{status} {}", text.chars().take(200).collect::<String>().trim()).trim().to_owned(),
    }
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
