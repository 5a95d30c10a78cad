//! `carillon check-config`.

use std::{fmt::Write, path::Path};

use anyhow::{Result, anyhow};

use super::{ConfigFile, print};
use crate::auth;
use crate::config::{self, AuthMethod, Config, ConfigError, Namespace, ProcessEnvironment};

pub(super) fn run(file: ConfigFile) -> Result<()> {
    let file = file.config.as_deref();
    let problems: Vec<String> = match config::load(file, &ProcessEnvironment) {
        Ok(config) => match keys(&config) {
            Ok(warnings) => return Ok(print(&format!("{}{warnings}", summary(file, &config)))?),
            Err(problems) => problems,
        },
        Err(ConfigError::Invalid(problems)) => problems.0.iter().map(ToString::to_string).collect(),
        Err(error @ (ConfigError::Unreadable { .. } | ConfigError::Syntax { .. })) => return Err(error.into()),
    };
    for problem in &problems {
        print(&format!("{problem}\n"))?;
    }
    Err(match problems.len() {
        1 => anyhow!("1 problem"),
        count => anyhow!("{count} problems"),
    })
}

/// Reads the keys that tokens are verified with, as `serve` does; gives lines of warnings, or the problems.
fn keys(config: &Config) -> Result<String, Vec<String>> {
    let mut warnings: String = config.warnings().iter().map(|warning| format!("  warning: {warning}\n")).collect();
    let mut problems = Vec::new();
    let with_tokens = |(_, namespace): &(usize, &Namespace)| namespace.auth.method == AuthMethod::Jwt;
    for (n, namespace) in config.namespaces.iter().enumerate().filter(with_tokens) {
        match auth::check(&namespace.auth) {
            Ok(found) => {
                for (key, warning) in found {
                    // Writing to a string cannot fail.
                    let _ = writeln!(warnings, "  warning: namespaces[{n}].auth.{key} {warning}");
                }
            }
            Err(error) => problems.push(format!("namespaces[{n}].auth: {error}")),
        }
    }
    if problems.is_empty() { Ok(warnings) } else { Err(problems) }
}

fn summary(file: Option<&Path>, config: &Config) -> String {
    let from = file.map_or_else(|| "defaults and environment".to_owned(), |file| file.display().to_string());
    let keys = match config.internal.api_keys.len() {
        0 => "open to every caller that reaches it".to_owned(),
        1 => "1 API key".to_owned(),
        count => format!("{count} API keys"),
    };
    let mut text = format!("{from}: ok\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  public    {} at {}", config.public.listen, config.public.path);
    let _ = writeln!(text, "  internal  {}, {keys}", config.internal.listen);
    for namespace in config.effective_namespaces().iter() {
        let recovery = if namespace.recovery { "recovery" } else { "no recovery" };
        let rules = match namespace.events.len() {
            0 => "no client events".to_owned(),
            1 => "1 client event".to_owned(),
            count => format!("{count} client events"),
        };
        let _ = writeln!(text, "  namespace {}: {recovery}, {rules}", namespace.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Algorithm, Auth, Secret};

    fn with_jwt(auth: Auth) -> Config {
        let auth = Auth { method: AuthMethod::Jwt, ..auth };
        Config { namespaces: vec![Namespace { auth, ..Namespace::quiet("/") }], ..Config::default() }
    }

    #[test]
    fn keys_are_read_and_weak_ones_warned_of() {
        let secret = |text: &str| {
            with_jwt(Auth { algorithms: vec![Algorithm::HS256], secret: Secret(text.to_owned()), ..Auth::default() })
        };
        assert_eq!(keys(&secret(&"s".repeat(32))).unwrap(), "");
        assert_eq!(
            keys(&secret("short")).unwrap(),
            "  warning: namespaces[0].auth.secret is only 5 bytes long; 32 or more cannot be guessed\n"
        );
        let unusable = with_jwt(Auth {
            algorithms: vec![Algorithm::RS256],
            public_key_file: Some("/no/such.pem".into()),
            ..Auth::default()
        });
        let problems = keys(&unusable).unwrap_err();
        assert_eq!(problems, ["namespaces[0].auth: cannot read /no/such.pem: No such file or directory (os error 2)"]);
        assert_eq!(keys(&Config::default()).unwrap(), "");
    }

    #[test]
    fn summary_names_what_will_be_served() {
        let text = summary(None, &Config { demo: true, ..Config::default() });
        assert_eq!(
            text,
            "defaults and environment: ok\n  public    0.0.0.0:8080 at /socket.io/\n  internal  127.0.0.1:9100, open to \
             every caller that reaches it\n  namespace /: recovery, 3 client events\n"
        );
    }
}
