//! The `carillon` binary: parse the command line and run the command.

use std::process::ExitCode;

fn main() -> ExitCode {
    carillon_gateway::cli::run()
}
