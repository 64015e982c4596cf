//! Where log lines go: systemd's journal where there is one, else standard error.

use crate::config::{Log, LogLevel, LogTarget};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging.
pub fn start(log: Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Libraries log packets and payloads, which are not theirs to show.
    let ours = Targets::new()
        .with_target("pendant_gateway", level)
        .with_target("pendant_hal", level)
        .with_default(LevelFilter::OFF);
    let journald = match log.target {
        LogTarget::Stderr => None,
        LogTarget::Auto if std::env::var_os("JOURNAL_STREAM").is_none() => None,
        LogTarget::Auto | LogTarget::Journald => tracing_journald::layer().ok(),
    };
    let stderr = journald.is_none().then(|| {
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false)
    });
    // A second start in one process, as in tests, leaves the first in place.
    drop(tracing_subscriber::registry().with(ours).with(journald).with(stderr).try_init());
}
