//! Where log lines go: systemd's journal where there is one, else standard error;
//! and from which level on, which can be changed for a while.

use super::journald::Journald;
use super::message_ids;
use crate::config::{Log, LogLevel, LogTarget};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Longest time for another level, seconds: nobody wants a forgotten debug log.
pub const OTHER_LEVEL_S_MAX: u64 = 24 * 3600;

/// Another level for a while, or the configured one again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogOrder {
    /// Which; the configured one if left out.
    #[serde(default)]
    pub level: Option<LogLevel>,
    /// For so many seconds, at most [`OTHER_LEVEL_S_MAX`].
    pub seconds: u64,
}

/// The level in force.
#[derive(Debug)]
pub struct LogSwitch {
    configured: LogLevel,
    level: LogLevel,
    until: Option<Instant>,
    /// `None`: another log was begun before, as in tests.
    handle: Option<reload::Handle<Targets, Registry>>,
}

/// Starts logging.
#[must_use]
pub fn start(log: Log) -> LogSwitch {
    let (ours, handle) = reload::Layer::new(targets(log.level));
    let journald = match log.target {
        LogTarget::Stderr => None,
        LogTarget::Auto if std::env::var_os("JOURNAL_STREAM").is_none() => None,
        LogTarget::Auto | LogTarget::Journald => Journald::open().ok(),
    };
    let stderr = journald.is_none().then(|| {
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        lines.fmt_fields(WithoutIds).with_target(false)
    });
    let begun = tracing_subscriber::registry().with(ours).with(journald).with(stderr).try_init();
    let handle = begun.is_ok().then_some(handle);
    LogSwitch { configured: log.level, level: log.level, until: None, handle }
}

/// Libraries log packets and payloads, which are not theirs to show.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_target("pendant_gateway", level)
        .with_target("pendant_hal", level)
        .with_default(LevelFilter::OFF)
}

impl LogSwitch {
    /// Carries an order out, and says what holds now.
    pub fn order(&mut self, order: LogOrder) -> Value {
        if !(1..=OTHER_LEVEL_S_MAX).contains(&order.seconds) {
            return json!({ "error": format!("seconds is 1 to {OTHER_LEVEL_S_MAX}") });
        }
        let level = order.level.unwrap_or(self.configured);
        if let Err(error) = self.set(level) {
            return json!({ "error": format!("the level of the log stays: {error}") });
        }
        let other = level != self.configured;
        self.until = other.then(|| Instant::now() + Duration::from_secs(order.seconds));
        self.json()
    }

    /// When the configured level returns.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.until
    }

    /// Returns to the configured level if it is time.
    pub fn turn(&mut self) {
        if self.until.is_none_or(|until| until > Instant::now()) {
            return;
        }
        self.until = None;
        // It can fail only where nothing is logged.
        drop(self.set(self.configured));
    }

    /// For `status`.
    #[must_use]
    pub fn json(&self) -> Value {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        json!({
            "level": self.level.as_str(),
            "configured": self.configured.as_str(),
            "returns_in_s": left.map(|left| left.as_secs()),
        })
    }

    fn set(&mut self, level: LogLevel) -> Result<(), reload::Error> {
        if level == self.level {
            return Ok(());
        }
        if let Some(handle) = &self.handle {
            handle.reload(targets(level))?;
        }
        self.level = level;
        let level = level.as_str();
        // At `error` and `warn` it would not be seen: the command says it as well.
        tracing::info!(level, "log level changed");
        Ok(())
    }
}

/// Lines for people, without the numbers by which programs know them.
struct WithoutIds;

impl<'w> FormatFields<'w> for WithoutIds {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> std::fmt::Result {
        let mut visitor = DefaultVisitor::new(writer, true);
        fields.record(&mut Filter(&mut visitor));
        visitor.finish()
    }
}

struct Filter<'v, 'w>(&'v mut DefaultVisitor<'w>);

impl Visit for Filter<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() != message_ids::FIELD {
            self.0.record_debug(field, value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != message_ids::FIELD {
            self.0.record_str(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn libraries_are_silent_at_every_level() {
        for level in LogLevel::ALL {
            let targets = targets(level);
            assert!(targets.would_enable("pendant_gateway::shell::daemon", &Level::ERROR));
            assert!(targets.would_enable("pendant_hal::radio", &Level::ERROR));
            for library in ["rumqttc", "rustls", "sled", "tokio", "pendant"] {
                assert!(!targets.would_enable(library, &Level::ERROR), "{library} at {level:?}");
            }
        }
    }

    /// Another log may be in force in this process: the switch keeps count all the same.
    #[tokio::test(start_paused = true)]
    async fn another_level_holds_for_its_time_and_the_configured_one_returns() {
        let configured = LogLevel::Info;
        let mut log = LogSwitch { configured, level: configured, until: None, handle: None };
        for seconds in [0, OTHER_LEVEL_S_MAX + 1] {
            let said = log.order(LogOrder { level: Some(LogLevel::Debug), seconds });
            assert!(said["error"].is_string() && log.deadline().is_none(), "{said}");
        }
        let said = log.order(LogOrder { level: Some(LogLevel::Debug), seconds: 60 });
        assert_eq!(said, json!({ "level": "debug", "configured": "info", "returns_in_s": 60 }));
        tokio::time::advance(Duration::from_secs(59)).await;
        log.turn();
        assert_eq!(log.json()["returns_in_s"], 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        log.turn();
        let returned = json!({ "level": "info", "configured": "info", "returns_in_s": null });
        assert_eq!(log.json(), returned);
        log.order(LogOrder { level: Some(LogLevel::Error), seconds: 60 });
        assert_eq!(log.order(LogOrder { level: None, seconds: 60 }), returned);
    }
}
