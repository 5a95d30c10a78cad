//! The `carillon` binary: parse the command line and run the command.

use std::process::ExitCode;

/// A message is made of small pieces on one thread that others free minutes
/// later; the system's allocator spends a fifth of a publish on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    carillon_gateway::cli::run()
}
