//! `survey`: how each pendant is heard, live from the running gateway.

use super::control_client::{Ask, ask};
use super::{Exit, Failure, print, print_json};
use crate::config::Config;
use serde_json::Value;
use std::io::IsTerminal;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Print JSON, one line each time
    #[arg(long)]
    json: bool,
    /// Ask again every so many seconds, until it is interrupted
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: Option<u64>,
}

/// To the beginning of the screen, and clear it (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) fn survey(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    // Nobody ever sends: what comes is the end of the wait.
    let (_never, wait) = channel::<()>();
    loop {
        let answer = ask(&config.control.socket, Ask::Survey).map_err(Failure::failed)?;
        if arguments.json {
            print_json(&answer)?;
        } else {
            let live = arguments.every.is_some() && std::io::stdout().is_terminal();
            print(&format!("{}{}", if live { CLEAR } else { "" }, table(&answer)))?;
        }
        let Some(seconds) = arguments.every else { return Ok(Exit::Done) };
        if wait.recv_timeout(Duration::from_secs(seconds)) != Err(RecvTimeoutError::Timeout) {
            return Ok(Exit::Done);
        }
    }
}

fn table(answer: &Value) -> String {
    let minutes = &answer["minutes"];
    let mut text = format!(
        "pendant  last heard  RSSI dBm  SNR dB  error Hz  frames in {minutes} min  lost  link\n"
    );
    let rows = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    for row in rows {
        let lost = row["lost_percent"].as_u64().map_or("-".to_owned(), |lost| format!("{lost} %"));
        // Names are checked, but a terminal obeys some bytes: nothing goes there raw.
        let link = row["link"].as_str().unwrap_or("removed").escape_debug().to_string();
        text += &format!(
            "{:7}  {:>10}  {:>8}  {:>6}  {:>8}  {:>width$}  {lost:>5}  {link}\n",
            row["pendant"].as_str().unwrap_or("?").escape_debug().to_string(),
            ago(row["last_heard_s"].as_u64()),
            number(&row["rssi_dbm"]),
            number(&row["snr_db"]),
            number(&row["frequency_error_hz"]),
            number(&row["frames"]),
            width = "frames in  min".len() + minutes.to_string().len(),
        );
    }
    if rows.is_empty() {
        text += "No pendant was heard since the gateway was started.\n";
    }
    text
}

fn number(value: &Value) -> String {
    if value.is_number() { value.to_string() } else { "-".to_owned() }
}

fn ago(seconds: Option<u64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s @ 0..=119) => format!("{s} s"),
        Some(s @ 120..=7199) => format!("{} min", s / 60),
        Some(s) => format!("{} h", s / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_become_a_table() {
        let answer = json!({ "minutes": 15, "rows": [
            { "pendant": "00012f", "link": "roof", "last_heard_s": 7, "rssi_dbm": -101,
              "snr_db": -3.25, "frequency_error_hz": -1250, "frames": 12, "lost_percent": 8 },
            { "pendant": "000130", "link": null, "last_heard_s": 7200, "rssi_dbm": null,
              "snr_db": null, "frequency_error_hz": null, "frames": 0, "lost_percent": null },
        ]});
        assert_eq!(
            table(&answer),
            "pendant  last heard  RSSI dBm  SNR dB  error Hz  frames in 15 min  lost  link\n\
             00012f          7 s      -101   -3.25     -1250                12    8 %  roof\n\
             000130          2 h         -       -         -                 0      -  removed\n"
        );
        assert!(table(&json!({ "minutes": 15, "rows": [] })).contains("No pendant was heard"));
    }
}
