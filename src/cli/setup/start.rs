//! Starts the gateway, waits for the broker, and sends the first test alarm.

use crate::cli::check::service::{UNIT, is_installed};
use crate::cli::control_client::{Ask, ControlError, ask};
use crate::cli::machine::Machine;
use crate::cli::test_alarm::{Outcome, look_at, send, until};
use crate::cli::{Failure, tell};
use crate::config::{Config, DEFAULT_PATH};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use tokio::time::Instant;

/// For the daemon to answer on its control socket.
const START_WAIT: Duration = Duration::from_secs(20);
/// For a broker to be connected.
const BROKER_WAIT: Duration = Duration::from_secs(30);
/// For the centre's receipt.
const RECEIPT_WAIT: Duration = Duration::from_secs(20);
const ASK_EVERY: Duration = Duration::from_millis(200);

/// How far it came.
pub(super) enum Ending {
    /// Nothing here starts it; or one runs that nothing here starts anew.
    NotStarted { runs: bool },
    /// It runs, and no broker is connected: what to look at.
    NoBroker(String),
    /// A test alarm was sent.
    Tested(Outcome),
}

/// `renewed`: the running gateway may go on as it is.
pub(super) fn start_and_test(
    path: &Path,
    config: &Config,
    renewed: bool,
) -> Result<Ending, Failure> {
    let socket = &config.control.socket;
    let runs = ask(socket, Ask::Status).is_ok();
    if path == Path::new(DEFAULT_PATH) && is_installed(&Machine::this()) {
        systemctl(&["enable", UNIT])?;
        if !(runs && renewed) {
            tell("Starting the gateway ...");
            systemctl(&["restart", UNIT])?;
        }
    } else if !(runs && renewed) {
        return Ok(Ending::NotStarted { runs });
    }
    tell("Waiting for the broker ...");
    await_answer(socket).map_err(Failure::failed)?;
    let connected = |status: &Value| {
        let brokers = status["brokers"].as_array().map(Vec::as_slice).unwrap_or_default();
        brokers.iter().any(|broker| broker["connected"] == true)
    };
    let status = until(socket, BROKER_WAIT, connected).map_err(Failure::failed)?;
    if !connected(&status) {
        return Ok(Ending::NoBroker(look_at(&status)));
    }
    tell("Sending a test alarm ...");
    send(socket, RECEIPT_WAIT).map(Ending::Tested).map_err(Failure::failed)
}

fn systemctl(words: &[&str]) -> Result<(), Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::failed(format!(
            "systemctl {}: {why}; `journalctl -u pendant-gateway -n 20` says more",
            words.join(" ")
        ))
    };
    let output = Command::new("systemctl").args(words).output().map_err(|error| failed(&error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(&String::from_utf8_lossy(&output.stderr).trim().escape_debug()))
}

/// A gateway that is being started does not listen yet.
fn await_answer(socket: &Path) -> Result<(), ControlError> {
    // Nobody ever sends: what comes is the end of the wait.
    let (_never, pause) = channel::<()>();
    let give_up = Instant::now() + START_WAIT;
    loop {
        match ask(socket, Ask::Status) {
            Err(ControlError::NotRunning(_)) if Instant::now() < give_up => {}
            other => return other.map(drop),
        }
        if pause.recv_timeout(ASK_EVERY) != Err(RecvTimeoutError::Timeout) {
            return Ok(());
        }
    }
}
