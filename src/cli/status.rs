//! `status`: how the running gateway is, on one screen: a verdict, what needs
//! somebody and what to do, then a line for each part.

mod outline;
mod screen;
#[cfg(test)]
mod tests;

use super::control_client::{Ask, ask};
use super::{Exit, Failure, print, print_json};
use crate::config::Config;
use crate::engine::time::Wall;
use crate::health::troubles;
use crate::shell::clock::Clock;
use serde_json::Value;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Print JSON: all that the gateway says
    #[arg(long)]
    json: bool,
    /// All that the gateway says, counters too, one thing a line
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// End with code 1 if something needs somebody now
    #[arg(long)]
    check: bool,
}

pub(super) fn status(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let answer = ask(&config.control.socket, Ask::Status).map_err(Failure::failed)?;
    if arguments.json {
        print_json(&answer)?;
    } else {
        print(&if arguments.all { everything(&answer) } else { one_screen(&answer) })?;
    }
    let needs_somebody = || troubles(&answer, unix_s()).iter().any(|trouble| trouble.is_urgent);
    Ok(if arguments.check && needs_somebody() { Exit::Failed } else { Exit::Done })
}

/// What an installer reads.
pub(super) fn one_screen(answer: &Value) -> String {
    screen::screen(answer, unix_s())
}

/// All members, as indented lines.
pub(super) fn everything(answer: &Value) -> String {
    outline::outline(answer)
}

/// Zero on a machine whose clock was never set: nothing has ended then.
fn unix_s() -> i64 {
    match Clock::start().now().wall {
        Wall::Set { unix_ms, .. } => unix_ms / 1000,
        Wall::Unset => 0,
    }
}
