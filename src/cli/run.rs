//! `run`: the daemon.

use crate::config::Config;
use crate::shell::{daemon, log};
use std::process::ExitCode;

/// Runs the gateway until it is told to stop.
pub(super) fn run(config: Config) -> ExitCode {
    let log = log::start(config.log);
    use_small_pages();
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

/// Where the kernel gives 2 MiB wherever a byte is used (Debian does), stacks and what the
/// history's database sets aside but does not use took 20 MiB (docs/performance.md).
fn use_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "transparent huge pages stay as the kernel has them");
    }
}
