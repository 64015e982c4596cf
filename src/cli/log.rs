//! `log`: another level of the running gateway's log, for a while.

use super::control_client::{Ask, ask};
use super::{Exit, Failure, print, print_json};
use crate::config::{Config, LogLevel};
use crate::shell::log::{LogOrder, OTHER_LEVEL_S_MAX};
use serde_json::Value;
use std::time::Duration;

const FOR_DEFAULT: &str = "15min";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// error, warn, info, debug or trace; if left out, the level that holds is shown
    #[arg(long, value_parser = parse_level)]
    level: Option<LogLevel>,
    /// How long, at most a day; then the configured level holds again
    #[arg(long = "for", value_name = "TIME", default_value = FOR_DEFAULT, value_parser = parse_time)]
    time: Duration,
    /// The configured level again, now
    #[arg(long, conflicts_with_all = ["level", "time"])]
    reset: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn log(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let order = LogOrder { level: arguments.level, seconds: arguments.time.as_secs() };
    let question = match arguments.level.is_some() || arguments.reset {
        true => Ask::Log(order),
        false => Ask::Status,
    };
    let answer = ask(&config.control.socket, question).map_err(Failure::failed)?;
    let level = if matches!(question, Ask::Status) { &answer["log"] } else { &answer };
    if arguments.json {
        print_json(level)?;
    } else {
        print(&words(level))?;
    }
    Ok(Exit::Done)
}

fn words(level: &Value) -> String {
    let text = |key: &str| level[key].as_str().unwrap_or("?").escape_debug().to_string();
    match level["returns_in_s"].as_u64() {
        Some(s) => format!(
            "{} for {}, then {} again\n",
            text("level"),
            humantime::format_duration(Duration::from_secs(s)),
            text("configured")
        ),
        None => format!("{}\n", text("level")),
    }
}

fn parse_level(text: &str) -> Result<LogLevel, String> {
    let level = LogLevel::ALL.into_iter().find(|level| level.as_str() == text);
    level.ok_or_else(|| format!("one of: {}", LogLevel::ALL.map(LogLevel::as_str).join(", ")))
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match (1..=OTHER_LEVEL_S_MAX).contains(&time.as_secs()) {
        true => Ok(time),
        false => Err("one second to one day, as 10min".to_owned()),
    }
}
