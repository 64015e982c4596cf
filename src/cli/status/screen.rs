//! A status as text of 80 columns and, with the prompt, 24 lines. Pure.

use crate::cli::control_client::shown;
use crate::health::{Trouble, items, troubles};
use serde_json::Value;
use std::time::{Duration, UNIX_EPOCH};

const COLUMNS: usize = 80;
/// One is the prompt's.
const LINES: usize = 23;
/// A text that takes more is cut: `--all` has it whole.
const LINES_A_TEXT: usize = 2;
/// More receivers or brokers than this become one line.
const ONE_BY_ONE_MAX: usize = 4;
const LABEL: usize = 10;
const DAY_S: u64 = 86_400;

pub(super) fn screen(status: &Value, now_s: i64) -> String {
    let troubles = troubles(status, now_s);
    let parts = parts(status, now_s);
    let mut lines = vec![verdict(&troubles)];
    let room = LINES - parts.len() - lines.len();
    lines.extend(what_to_do(&troubles, room));
    lines.extend(parts);
    lines.join("\n") + "\n"
}

fn verdict(troubles: &[Trouble]) -> String {
    let urgent = troubles.iter().filter(|trouble| trouble.is_urgent).count();
    let later = troubles.len() - urgent;
    let count = |n: usize, verb: &str| match n {
        1 => format!("1 thing {verb}s"),
        n => format!("{n} things {verb}"),
    };
    match (urgent, later) {
        (0, 0) => "WELL: the receivers work, the centre answers".to_owned(),
        (0, later) => format!("WELL, but {} care soon", count(later, "need")),
        (urgent, 0) => format!("TROUBLE: {} you", count(urgent, "need")),
        (urgent, later) => {
            format!("TROUBLE: {} you, {later} more can wait a day", count(urgent, "need"))
        }
    }
}

/// As many as there is room for, each with its remedy; how many more there are.
fn what_to_do(troubles: &[Trouble], room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for (told, trouble) in troubles.iter().enumerate() {
        let mark = if trouble.is_urgent { "! " } else { "- " };
        let mut both = wrapped(mark, &shown(&trouble.what));
        both.extend(wrapped("  -> ", &shown(&trouble.remedy)));
        let is_last = told + 1 == troubles.len();
        if lines.len() + both.len() + usize::from(!is_last) > room {
            let more = troubles.len() - told;
            lines.push(format!("  and {more} more: pendant-gateway status --all"));
            break;
        }
        lines.extend(both);
    }
    lines
}

/// Words in lines of [`COLUMNS`], the later ones below the first one's text.
fn wrapped(mark: &str, text: &str) -> Vec<String> {
    let width = COLUMNS - mark.len();
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("one at least");
        let length = line.chars().count() + word.chars().count();
        if line.is_empty() {
            *line = word.to_owned();
        } else if length < width {
            *line += &format!(" {word}");
        } else {
            lines.push(word.to_owned());
        }
    }
    if lines.len() > LINES_A_TEXT {
        lines.truncate(LINES_A_TEXT);
        lines.last_mut().expect("not empty").push_str(" …");
    }
    let indent = " ".repeat(mark.len());
    let marks = std::iter::once(mark).chain(std::iter::repeat(indent.as_str()));
    marks.zip(&lines).map(|(mark, line)| cut(&format!("{mark}{line}"))).collect()
}

fn cut(line: &str) -> String {
    if line.chars().count() <= COLUMNS {
        return line.to_owned();
    }
    line.chars().take(COLUMNS - 1).collect::<String>() + "…"
}

/// A line for each part.
fn parts(status: &Value, now_s: i64) -> Vec<String> {
    let mut lines = Vec::new();
    let mut part = |label: &str, text: String| {
        lines.push(cut(&format!("{label:LABEL$}{text}")));
    };
    for (first, text) in labelled(links(status)) {
        part(if first { "receivers" } else { "" }, text);
    }
    for (first, text) in labelled(brokers(status, now_s)) {
        part(if first { "brokers" } else { "" }, text);
    }
    part("centre", centre(status));
    part("waiting", waiting(status));
    part("pendants", number(&status["pendants"]) + " enrolled");
    part("clock", clock(&status["clock"]));
    part("store", store(status));
    part("lamps", lamps(&status["lamps"]));
    if let Some(text) = status.get("last_test").map(last_test) {
        part("last test", text);
    }
    if let Some(text) = log(&status["log"]) {
        part("log", text);
    }
    part("running", running(status));
    lines
}

fn labelled(texts: Vec<String>) -> impl Iterator<Item = (bool, String)> {
    texts.into_iter().enumerate().map(|(n, text)| (n == 0, text))
}

fn links(status: &Value) -> Vec<String> {
    let all = items(status, "links");
    if all.len() > ONE_BY_ONE_MAX {
        let up = all.iter().filter(|link| link["up"] == true).count();
        return vec![format!("{up} of {} work", all.len())];
    }
    all.iter().map(link).collect()
}

fn name(part: &Value) -> String {
    shown(part["name"].as_str().unwrap_or("?"))
}

fn link(link: &Value) -> String {
    let mut text = format!("{}: {}", name(link), if link["up"] == true { "works" } else { "DOWN" });
    if let Some(noise_dbm) = link["noise_dbm"].as_i64() {
        text += &format!(", noise {noise_dbm} dBm");
    }
    let airtime = &link["airtime"];
    if let (Some(spent), Some(allowed @ 1..)) =
        (airtime["spent_ms"].as_u64(), airtime["allowed_ms_per_hour"].as_u64())
    {
        text += &format!(", airtime {} % of what is allowed", spent.saturating_mul(100) / allowed);
    }
    text
}

fn brokers(status: &Value, now_s: i64) -> Vec<String> {
    let broker = |broker: &Value| {
        let is_connected = broker["connected"] == true;
        let state = if is_connected { "connected" } else { "NOT CONNECTED" };
        let mut text = format!("{}: {state}", name(broker));
        if let Some(ends_s) = broker["certificate_ends_unix_s"].as_i64() {
            let days = (ends_s - now_s).div_euclid(86_400);
            text += &format!(", certificate good for {} days", days.max(0));
        }
        text
    };
    let all = items(status, "brokers");
    if all.len() > ONE_BY_ONE_MAX {
        let connected = all.iter().filter(|broker| broker["connected"] == true).count();
        return vec![format!("{connected} of {} connected", all.len())];
    }
    all.iter().map(broker).collect()
}

fn centre(status: &Value) -> String {
    let brokers = items(status, "brokers");
    if !brokers.is_empty() && brokers.iter().all(|broker| broker["connected"] == false) {
        return "cannot be reached: no broker is connected".to_owned();
    }
    let events = match &status["centre_heard"] {
        Value::Bool(true) => "answers events",
        Value::Bool(false) => "DOES NOT ANSWER events",
        _ => "not known",
    };
    let messages = match &status["centre_messages"] {
        Value::Bool(true) => ", sends its regular message",
        Value::Bool(false) => ", ITS REGULAR MESSAGE DOES NOT COME",
        _ => "",
    };
    format!("{events}{messages}")
}

fn waiting(status: &Value) -> String {
    match status["backlog"].as_u64() {
        Some(0) => "nothing: all has reached the centre".to_owned(),
        Some(1) => "1 event that the centre has not answered yet".to_owned(),
        Some(n) => format!("{n} events that the centre has not answered yet"),
        None => "not known".to_owned(),
    }
}

fn clock(clock: &Value) -> String {
    if clock["set"] != true {
        return "NOT SET".to_owned();
    }
    match clock["source"].as_str() {
        Some("ntp") => {
            let by = number(&clock["uncertainty_ms"]);
            format!("set by a time server, at most {by} ms off")
        }
        _ => "set, but nothing vouches for it".to_owned(),
    }
}

fn store(status: &Value) -> String {
    let state = if status["journal_works"] == false { "CANNOT BE WRITTEN" } else { "works" };
    // The last word of the start is its verdict.
    let start = items(status, "journal_at_start").last().and_then(Value::as_str);
    let start = start.map_or(String::new(), |start| format!("; at the start: {}", shown(start)));
    format!("{state}{start}")
}

fn lamps(lamps: &Value) -> String {
    let lamp = |name: &str| format!("{name} {}", shown(lamps[name].as_str().unwrap_or("?")));
    ["power", "network", "reception"].map(lamp).join(", ")
}

fn last_test(test: &Value) -> String {
    if test.is_null() {
        return "none since the start".to_owned();
    }
    let asked = test["asked_unix_s"].as_u64();
    let asked = asked.and_then(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s)));
    let when = asked.map_or("at an unknown time".to_owned(), |time| {
        humantime::format_rfc3339_seconds(time).to_string()
    });
    match (&test["reached_centre"], test["after_ms"].as_u64()) {
        (Value::Bool(true), Some(ms)) => format!("{when}: reached the centre after {ms} ms"),
        (Value::Bool(true), None) => format!("{when}: reached the centre"),
        _ => format!("{when}: NOT AT THE CENTRE"),
    }
}

/// Only while it is otherwise than the configuration says.
fn log(log: &Value) -> Option<String> {
    let ends_s = log["returns_in_s"].as_u64()?;
    let text = |key: &str| shown(log[key].as_str().unwrap_or("?"));
    Some(format!("{} for {}, then {} again", text("level"), duration(ends_s), text("configured")))
}

fn running(status: &Value) -> String {
    let since = status["uptime_s"].as_u64().map_or("?".to_owned(), duration);
    format!("for {since}, version {}", shown(status["version"].as_str().unwrap_or("?")))
}

fn duration(s: u64) -> String {
    match s {
        0..120 => format!("{s} s"),
        120..7200 => format!("{} min", s / 60),
        7200..172_800 => format!("{} h", s / 3600),
        _ => format!("{} days", s / DAY_S),
    }
}

fn number(value: &Value) -> String {
    value.as_u64().map_or("?".to_owned(), |number| number.to_string())
}
