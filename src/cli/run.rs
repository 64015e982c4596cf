//! `run`: the daemon.

use crate::config::Config;
use std::process::ExitCode;

/// Runs the gateway until it is told to stop.
#[must_use]
pub(super) fn run(_config: Config) -> ExitCode {
    eprintln!("pendant-gateway: this build cannot run yet");
    ExitCode::FAILURE
}
