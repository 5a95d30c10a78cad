//! The command line: `carillon serve | check-config | config-docs | publish | probe | token`.
//!
//! Called by `main`, calls [`crate::config`] and `crate::app`. Exit codes: 0 when the command did what it was asked,
//! 1 when it could not (the reason is on stderr), 2 when the command line itself is wrong (clap).
//! Apart from log lines, stdout carries only the result of a command, so that it can be piped.

mod check;
mod probe;
mod publish;
mod serve;
mod tls;
mod token;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

/// Realtime notification gateway for stock Socket.IO clients.
///
/// Clients connect with an unmodified socket.io-client to the public listener; backends publish by HTTP to the internal
/// one. A client that lost its connection comes back and has missed nothing.
#[derive(Debug, Parser)]
#[command(name = "carillon", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT
    ///
    /// Logs go to stdout; the line `ready` names both addresses. On SIGTERM the gateway reports unready, closes its
    /// connections spread over `drain.spread`, and exits with 0.
    Serve(ConfigFile),
    /// Report everything that is wrong with the configuration
    ///
    /// Reads the file and the environment as `serve` does, and starts nothing. Prints every problem and exits with 1,
    /// or prints a summary and exits with 0.
    CheckConfig(ConfigFile),
    /// Print the reference of all configuration keys, as Markdown
    ConfigDocs,
    /// Publish one event through the internal API of a running gateway
    Publish(Box<publish::Publish>),
    /// Ask the gateway on this machine whether it is ready (`/readyz`), or alive (`/healthz`)
    ///
    /// Reads where its internal listener is from the same file and environment as `serve`. Prints what it says, and exits with
    /// 0, or with 1 and the reason.
    Probe(probe::Probe),
    /// Make an API key for the internal API, or a client's token (`token jwt`)
    ///
    /// Prints the key, which is shown only now, and the lines that admit it, for the configuration file.
    Token(token::Token),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigFile {
    /// TOML file; without one the defaults hold. Every key can be overridden by environment variables such as
    /// CARILLON_PUBLIC__LISTEN (see `config-docs`)
    #[arg(long, value_name = "FILE", env = "CARILLON_CONFIG")]
    config: Option<PathBuf>,
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(file) => serve::run(file),
        Command::CheckConfig(file) => check::run(file),
        Command::ConfigDocs => print(&crate::config::markdown()).map_err(Into::into),
        Command::Publish(publish) => publish::run(&publish),
        Command::Probe(probe) => probe::run(&probe),
        Command::Token(token) => token::run(token),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be told to when stderr is gone as well.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes to stdout. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_parse() {
        for (line, good) in [
            ("serve", true),
            ("serve --config a.toml", true),
            ("check-config --config a.toml", true),
            ("config-docs", true),
            ("token --name backend --scope publish --scope read", true),
            ("token --name backend --scope everything", false),
            ("token --scope publish", false),
            ("token", false),
            ("token jwt --secret s --user ann", true),
            ("token jwt --user ann", false),
            ("token --name backend --scope publish jwt --secret s --user ann", false),
            ("publish --all --event e 1 word", true),
            ("publish --room a --room b --user u --socket s --event e", true),
            ("publish --event e", false),
            ("publish --all --room a --event e", false),
            ("publish --all", false),
            ("publish --all --event e --ack-timeout 2s", true),
            ("publish --all --event e --ack-timeout 2s --volatile", false),
            ("publish --all --event e --ack-timeout 0s", false),
            ("probe", true),
            ("probe /healthz --config a.toml", true),
            ("probe readyz", false),
            ("", false),
        ] {
            let words = std::iter::once("carillon").chain(line.split_whitespace());
            assert_eq!(Cli::try_parse_from(words).is_ok(), good, "{line}");
        }
    }
}
