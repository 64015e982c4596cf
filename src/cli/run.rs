//! `run`: the daemon.

use crate::config::Config;
use crate::shell::{daemon, log};
use std::process::ExitCode;

/// Runs the gateway until it is told to stop.
pub(super) fn run(config: Config) -> ExitCode {
    let log = log::start(config.log);
    for warning in &config.warnings {
        tracing::warn!("{}", warning.for_log());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => {
            runtime.block_on(daemon::run(config, log)).map_err(|error| error.to_string())
        }
        Err(error) => Err(format!("the runtime cannot start: {error}")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
