//! `test`: a test alarm of the gateway itself, from here to the centre and back.

use super::control_client::{Ask, ControlError, ask, shown};
use super::{Exit, Failure, print, print_json};
use crate::config::Config;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use tokio::time::Instant;

/// How often the gateway is asked whether the receipt has come.
const ASK_EVERY: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long to wait for the centre's receipt
    #[arg(long, value_name = "SECONDS", default_value_t = 20,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    wait: u64,
}

pub(super) fn test(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let wait = Duration::from_secs(arguments.wait);
    let outcome = send(&config.control.socket, wait).map_err(Failure::failed)?;
    if arguments.json {
        print_json(&outcome.json())?;
    } else {
        print(&format!("{}\n", outcome.words(config.delivery.receipts)))?;
    }
    Ok(if outcome.after_ms.is_some() { Exit::Done } else { Exit::Failed })
}

/// What became of a test alarm.
pub(super) struct Outcome {
    /// So long after it was asked for the centre had it; `None`: it has not.
    pub(super) after_ms: Option<u64>,
    waited: Duration,
    /// As the gateway was when the wait was over.
    status: Value,
}

/// Asks the running gateway for one and waits for the centre's receipt.
pub(super) fn send(socket: &Path, wait: Duration) -> Result<Outcome, ControlError> {
    let refused = |status: &Value| status["counters"]["publishes_refused"].as_u64().unwrap_or(0);
    let refused_before = refused(&ask(socket, Ask::Status)?);
    let number = ask(socket, Ask::Test)?["number"].clone();
    let mut outcome = Outcome { after_ms: None, waited: wait, status: Value::Null };
    outcome.status = until(socket, wait, |status| {
        let test = &status["last_test"];
        // Another one took its place, or it is not on its way any more.
        test["number"] != number || test["on_its_way"] != true
    })?;
    // What was refused before says nothing of this one.
    outcome.status["counters"]["publishes_refused"] =
        json!(refused(&outcome.status).saturating_sub(refused_before));
    let test = &outcome.status["last_test"];
    if test["number"] == number {
        outcome.after_ms = test["after_ms"].as_u64();
    }
    Ok(outcome)
}

/// The gateway's status, as soon as it is as wanted, or as it is at the end of the wait.
pub(super) fn until(
    socket: &Path,
    wait: Duration,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value, ControlError> {
    // Nobody ever sends: what comes is the end of the wait.
    let (_never, pause) = channel::<()>();
    let give_up = Instant::now() + wait;
    loop {
        let status = ask(socket, Ask::Status)?;
        let over = Instant::now() >= give_up;
        if wanted(&status)
            || over
            || pause.recv_timeout(ASK_EVERY) != Err(RecvTimeoutError::Timeout)
        {
            return Ok(status);
        }
    }
}

impl Outcome {
    pub(super) fn json(&self) -> Value {
        let reached = self.after_ms.is_some();
        json!({
            "reached_centre": reached,
            "after_ms": self.after_ms,
            "look_at": if reached { Value::Null } else { json!(look_at(&self.status)) },
        })
    }

    pub(super) fn words(&self, receipts: bool) -> String {
        match (self.after_ms, receipts) {
            (Some(ms), true) => {
                format!("The test alarm reached the centre after {ms} ms: its receipt is here.")
            }
            (Some(ms), false) => format!(
                "A broker took the test alarm after {ms} ms. Whether the centre has it is not known: \
                 receipts = false."
            ),
            (None, _) if self.status["last_test"]["on_its_way"] == true => format!(
                "The test alarm did not reach the centre within {} s.\n  -> {}",
                self.waited.as_secs(),
                look_at(&self.status)
            ),
            (None, _) => format!(
                "The test alarm did not reach the centre at once. It is kept and sent again.\n  -> {}",
                look_at(&self.status)
            ),
        }
    }
}

/// What to look at, by what the gateway shows of itself.
pub(super) fn look_at(status: &Value) -> String {
    let brokers = status["brokers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let connected = brokers.iter().any(|broker| broker["connected"] == true);
    let fault = brokers.iter().find_map(|broker| broker["fault"].as_str());
    if let Some(fault) = fault.filter(|_| !connected) {
        // A terminal obeys some of what a broker's words could hold.
        return shown(fault);
    }
    if !connected {
        return "no broker is connected: `pendant-gateway check` tries the way to each".to_owned();
    }
    if status["counters"]["publishes_refused"].as_u64().unwrap_or(0) > 0 {
        return "the broker refuses events, or nobody subscribes there: is the centre running, and \
                may this gateway publish (`journalctl -u pendant-gateway`)?"
            .to_owned();
    }
    "the broker has it, but the centre sends no receipt: ask the centre whether it runs, subscribes, \
     and may publish receipts"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_look_at_follows_what_the_gateway_shows() {
        let status = |connected: bool, fault: Value, refused: u64| {
            json!({
                "brokers": [{ "connected": connected, "fault": fault }],
                "counters": { "publishes_refused": refused },
            })
        };
        for (status, words) in [
            (status(false, json!("the name\u{1b}"), 0), "the name\\u{1b}"),
            (status(false, Value::Null, 0), "no broker is connected"),
            (status(true, Value::Null, 3), "nobody subscribes there"),
            (status(true, Value::Null, 0), "the centre sends no receipt"),
        ] {
            assert!(look_at(&status).contains(words), "{status}: {}", look_at(&status));
        }
    }

    #[test]
    fn the_outcome_says_what_is_known_and_no_more() {
        let outcome = |after_ms| Outcome {
            after_ms,
            waited: Duration::from_secs(20),
            status: json!({ "last_test": { "on_its_way": true } }),
        };
        assert!(outcome(Some(84)).words(true).contains("reached the centre after 84 ms"));
        assert!(outcome(Some(84)).words(false).contains("not known"));
        assert!(outcome(None).words(true).contains("within 20 s"));
        assert_eq!(outcome(Some(84)).json()["look_at"], Value::Null);
    }
}
