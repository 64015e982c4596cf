//! The gateway's own lines of systemd's journal.
//!
//! Only lines of the running gateway are taken, and of systemd about it. What commands
//! and a refused start print can repeat lines of the configuration, which say what
//! pendants' signs mean.

use super::plain;
use super::surroundings::run;
use serde_json::Value;
use std::time::{Duration, UNIX_EPOCH};

/// As many lines as help, and can be sent.
const LINES_MAX: &str = "1000";
/// Where the lines come from: the modules whose words are those of [`crate::shell`].
const TARGETS: [&str; 2] = ["pendant_gateway::shell", "pendant_hal"];
/// Fields that follow the words: docs/operation.md explains them.
const FIELDS: [&str; 16] = [
    "LINK",
    "BROKER",
    "PENDANT",
    "UP",
    "FAULT",
    "SIGN",
    "WHAT",
    "COUNT",
    "REASON",
    "FRAMES",
    "ERROR",
    "PENDANTS",
    "BACKLOG",
    "DAMAGED_FRAMES",
    "LEVEL",
    "VERSION",
];

pub(super) fn log() -> String {
    let words =
        ["-u", "pendant-gateway", "-n", LINES_MAX, "--no-pager", "-o", "json", "--output-fields"];
    let fields = ["MESSAGE", "PRIORITY", "TARGET", "SYSLOG_IDENTIFIER", "_PID"];
    let fields = [&fields[..], &FIELDS].concat().join(",");
    match run("journalctl", &[&words[..], &[&fields]].concat()) {
        Ok(lines) => taken(&lines),
        Err(fault) => fault,
    }
}

/// The lines that may be shown, and how many others there are.
fn taken(lines: &str) -> String {
    let mut text = String::new();
    let mut others = 0;
    for line in lines.lines() {
        match serde_json::from_str(line).ok().as_ref().and_then(entry) {
            Some(line) => text += &(line + "\n"),
            None => others += 1,
        }
    }
    if others > 0 {
        text += &format!("and {others} lines of other origin: journalctl -u pendant-gateway\n");
    }
    text
}

fn entry(entry: &Value) -> Option<String> {
    let field = |name: &str| entry[name].as_str();
    let target = field("TARGET").unwrap_or_default();
    let is_ours = TARGETS.iter().any(|ours| {
        target.strip_prefix(ours).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    });
    let is_systemd = field("SYSLOG_IDENTIFIER") == Some("systemd") && field("_PID") == Some("1");
    if !is_ours && !is_systemd {
        return None;
    }
    let us = field("__REALTIME_TIMESTAMP").and_then(|us| us.parse().ok()).unwrap_or_default();
    let time = UNIX_EPOCH.checked_add(Duration::from_micros(us)).unwrap_or(UNIX_EPOCH);
    let grade = match field("PRIORITY") {
        Some("0" | "1" | "2" | "3") => "error",
        Some("4") => "warn ",
        Some("7") => "debug",
        _ => "info ",
    };
    let mut line = format!("{} {grade} ", humantime::format_rfc3339_millis(time));
    line += field("MESSAGE")?;
    for name in FIELDS {
        if let Some(value) = field(name).filter(|_| is_ours) {
            line += &format!(" {}={value}", name.to_ascii_lowercase());
        }
    }
    Some(plain(&line).replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_running_gateways_own_lines_are_taken() {
        let line = |more: Value| {
            let mut line = json!({ "__REALTIME_TIMESTAMP": "1800000000123456", "PRIORITY": "4" });
            let all = line.as_object_mut().expect("members");
            all.extend(more.as_object().expect("members").clone());
            line.to_string()
        };
        let lines = [
            line(
                json!({ "TARGET": "pendant_gateway::shell::telling", "MESSAGE": "broker\u{1b} gone",
                "BROKER": "broker-1", "SECRET": "hunter2" }),
            ),
            line(json!({ "TARGET": "pendant_hal::radio", "MESSAGE": "a\nb" })),
            line(json!({ "SYSLOG_IDENTIFIER": "systemd", "_PID": "1", "MESSAGE": "Started." })),
            // None of these is the gateway's, whatever it says of itself.
            line(json!({ "TARGET": "pendant_gateway::cli::run", "MESSAGE": "hunter2" })),
            line(json!({ "TARGET": "pendant_gateway::shelley", "MESSAGE": "hunter2" })),
            line(json!({ "SYSLOG_IDENTIFIER": "systemd", "_PID": "77", "MESSAGE": "hunter2" })),
            line(json!({ "_TRANSPORT": "stdout", "MESSAGE": "triggers.x = \"hunter2\"" })),
            line(json!({ "TARGET": "pendant_hal", "MESSAGE": [104, 117] })),
            "hunter2, no JSON".to_owned(),
        ];
        assert_eq!(
            taken(&lines.join("\n")),
            "2027-01-15T08:00:00.123Z warn  broker  gone broker=broker-1\n\
             2027-01-15T08:00:00.123Z warn  a b\n\
             2027-01-15T08:00:00.123Z warn  Started.\n\
             and 6 lines of other origin: journalctl -u pendant-gateway\n"
        );
    }
}
