//! `carillon check-config`.

use std::{fmt::Write, path::Path};

use anyhow::{Result, anyhow};

use super::{ConfigFile, print};
use crate::config::{self, Config, ConfigError, ProcessEnvironment};

pub(super) fn run(file: ConfigFile) -> Result<()> {
    let file = file.config.as_deref();
    match config::load(file, &ProcessEnvironment) {
        Ok(config) => Ok(print(&summary(file, &config))?),
        Err(error) => {
            let problems = error.problems();
            for problem in problems {
                print(&format!("{problem}\n"))?;
            }
            Err(match (&error, problems.len()) {
                (ConfigError::Invalid(_), 1) => anyhow!("1 problem"),
                (ConfigError::Invalid(_), count) => anyhow!("{count} problems"),
                (ConfigError::Unreadable { .. } | ConfigError::Syntax { .. }, _) => error.into(),
            })
        }
    }
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
