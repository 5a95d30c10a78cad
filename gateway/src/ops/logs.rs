//! Log lines on stdout: which (`log.level`), and in which form (`log.format`).
//!
//! Called once, by `serve`, before anything else runs. With `json` each line is one object with `timestamp`, `level`,
//! `target`, the event's `message` and its other fields side by side; so an event must not have fields of these names.
//! Enclosing spans are under `span` and `spans`.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, filter::ParseError, fmt::MakeWriter, util::SubscriberInitExt};

use crate::config::{Log, LogFormat};

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// `log.level` is not a filter; a validated configuration has none such.
    #[error("log.level is not a filter: {0}")]
    Filter(#[from] ParseError),
    /// Logging was started before in this process.
    #[error("logging was started twice")]
    Twice,
}

/// Starts logging for the whole process.
///
/// # Errors
///
/// When the level is not a filter, or logging was started before.
pub fn start(log: &Log) -> Result<(), LogsError> {
    let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = subscriber(log, io::stdout, colours)?;
    subscriber.try_init().map_err(|_| LogsError::Twice)
}

/// Lines as configured, into `writer`.
fn subscriber<W>(log: &Log, writer: W, colours: bool) -> Result<Box<dyn Subscriber + Send + Sync>, LogsError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(&log.level)?;
    let lines = tracing_subscriber::fmt().with_writer(writer).with_env_filter(filter);
    Ok(match log.format {
        LogFormat::Text => Box::new(lines.with_ansi(colours).finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(level: &str, format: LogFormat, log: impl FnOnce()) -> Vec<String> {
        let captured = Captured::default();
        let writer = captured.clone();
        let settings = Log { level: level.to_owned(), format };
        let subscriber = subscriber(&settings, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn json_has_the_fields_of_the_event_at_its_top_level() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 34567));
        let lines = lines("info", LogFormat::Json, || {
            tracing::info!(public = %address, internal = %address, "ready");
            tracing::debug!("hidden");
        });
        let [line] = lines.as_slice() else {
            panic!("{lines:?}");
        };
        assert!(
            line.contains(r#""message":"ready","public":"127.0.0.1:34567","internal":"127.0.0.1:34567""#),
            "{line}"
        );
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn text_is_filtered_and_plain() {
        let lines = lines("warn", LogFormat::Text, || {
            tracing::warn!(count = 3, "shown");
            tracing::info!("hidden");
        });
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("WARN") && lines[0].contains("shown count=3"), "{lines:?}");
    }
}
