//! What the desk tells, as a line for people or as JSON for programs.

use super::desk::{Asked, Desk, Gateway};
use super::flow::LeftOut;
use super::incident::{Change, Due, Incident, Stage, Step, TrackPoint, UnixMs};
use super::text::{clean, clean_line};
use crate::centre::{Answer, Ask, COVERT_ADVICE, CommandResult, Event, Flaw, Malformed, Missing};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::time::{Duration, SystemTime};

/// How late an event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// From the event to here, as well as the clocks can tell.
    pub here_ms: Option<u64>,
    /// Of that at the gateway.
    pub at_gateway_ms: Option<u64>,
    /// What the gateway's clock is worth: `ntp`, `unverified`, `unset`.
    pub clock: String,
    /// By how much it may be wrong.
    pub uncertainty_ms: Option<u64>,
}

/// Why the desk raised an alarm by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The gateway's state says that it is away.
    Offline,
    /// Nothing came of it.
    Silent {
        /// For so long.
        silent_ms: u64,
    },
    /// We are not connected.
    NoBroker,
    /// It is there, and has told neither of an end nor of an alarm.
    NotTold,
}

/// What is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Connected.
    Up {
        /// The broker had kept what we missed.
        session_kept: bool,
    },
    /// Not connected, and why.
    Down(String),
    /// A gateway that is online does not answer.
    Deaf {
        /// Site and gateway.
        gateway: String,
    },
    /// An event.
    Event {
        /// It.
        event: Box<Event>,
        /// It came before.
        again: bool,
        /// What is wrong with it.
        flaws: Vec<Flaw>,
        /// What it did to incidents.
        change: Option<Change>,
        /// How late it is.
        delay: Delay,
    },
    /// A gateway's state.
    State {
        /// Site and gateway.
        gateway: String,
        /// As it came.
        text: String,
        /// It was another before.
        is_news: bool,
    },
    /// An answer, mostly that there was nothing to answer.
    Answer {
        /// Site and gateway.
        gateway: String,
        /// It.
        answer: Answer,
        /// What is wrong with it.
        flaws: Vec<Flaw>,
    },
    /// What became of a command.
    Result {
        /// Its id.
        id: String,
        /// It.
        asked: Asked,
        /// What became of it.
        result: CommandResult,
    },
    /// No message of the contract.
    Malformed {
        /// Site and gateway, if its topic names them.
        gateway: String,
        /// Where it came.
        topic: String,
        /// Why.
        why: Malformed,
    },
    /// A session is overdue, and this desk says so.
    Overdue {
        /// Whose.
        due: Due,
        /// In which incident.
        change: Change,
        /// Why here.
        why: Why,
        /// Now.
        at_ms: UnixMs,
    },
    /// An operator's stage.
    Stage {
        /// Of this incident.
        incident: u64,
        /// It.
        stage: Stage,
        /// What the gateway would have to be asked, if it holds the incident still.
        hint: Option<Ask>,
    },
    /// A command was taken.
    Asked {
        /// Its id.
        id: String,
        /// It.
        asked: Asked,
    },
    /// A line of an operator was not.
    Refused {
        /// Why.
        why: String,
    },
    /// Numbers are missing.
    Missing(Missing),
    /// None is any more.
    NothingMissing,
    /// Lines that were left out.
    LeftOut(LeftOut),
    /// Something about this desk itself.
    Note(String),
    /// What an operator asked to see: its name, lines, and JSON.
    Shown {
        /// What.
        what: &'static str,
        /// For people.
        lines: Vec<String>,
        /// For programs.
        value: Value,
    },
}

/// A time in words.
#[must_use]
pub fn rfc3339(at_ms: UnixMs) -> String {
    // The last millisecond of the year 9999.
    let at_ms = at_ms.min(253_402_300_799_999);
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(at_ms);
    humantime::format_rfc3339_millis(time).to_string()
}

/// A length of time, as coarse as it is long.
fn span(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..120_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

impl Delay {
    fn line(&self) -> String {
        let here = self.here_ms.map_or("age unknown".to_owned(), |ms| format!("{} old", span(ms)));
        let clock = match (self.clock.as_str(), self.uncertainty_ms) {
            ("unset", _) => "clock not set".to_owned(),
            (source, Some(ms)) => format!("{source} ±{}", span(ms)),
            (source, None) => source.to_owned(),
        };
        format!("{here}, {clock}")
    }

    fn value(&self) -> Value {
        json!({ "here_ms": self.here_ms, "at_gateway_ms": self.at_gateway_ms,
            "clock": self.clock, "uncertainty_ms": self.uncertainty_ms })
    }
}

impl Why {
    fn line(self) -> String {
        match self {
            Self::Offline => "the gateway is offline".to_owned(),
            Self::Silent { silent_ms } => format!("the gateway is silent for {}", span(silent_ms)),
            Self::NoBroker => "no connection to the broker".to_owned(),
            Self::NotTold => "the gateway is there and has not told of it".to_owned(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Silent { .. } => "silent",
            Self::NoBroker => "no_broker",
            Self::NotTold => "not_told",
        }
    }
}

impl Told {
    /// The gateway whose doing it is, and whether it is an alarm. `None`: not a gateway's.
    #[must_use]
    pub fn of_gateway(&self) -> Option<(Cow<'_, str>, bool)> {
        match self {
            Self::Event { event, change, .. } => {
                let is_alarm = matches!(
                    change,
                    Some(Change::Opened(_) | Change::Added(_) | Change::Confirmed(_))
                );
                Some((event.gateway_path().into(), is_alarm))
            }
            Self::State { gateway, .. }
            | Self::Answer { gateway, .. }
            | Self::Malformed { gateway, .. } => Some((gateway.into(), false)),
            Self::Overdue { due, .. } => Some(((&due.gateway).into(), true)),
            Self::Missing(missing) => Some(((&missing.series.gateway).into(), false)),
            _ => None,
        }
    }

    /// For people; none if there is nothing that they need.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = match self {
            Self::Event { event, again, flaws, change, delay } => {
                event_lines(event, *again, flaws, *change, delay)
            }
            Self::Answer { gateway, answer, flaws } => answer_lines(gateway, answer, flaws),
            Self::Shown { lines, .. } => return lines.clone(),
            Self::State { is_news: false, .. } => Vec::new(),
            Self::Overdue { due, change, why, at_ms } => overdue_lines(due, *change, *why, *at_ms),
            Self::Stage { incident, stage, hint } => stage_lines(*incident, stage, hint.as_ref()),
            other => vec![other.line()],
        };
        for line in &mut lines {
            *line = clean_line(line);
        }
        lines
    }

    fn line(&self) -> String {
        match self {
            Self::Up { session_kept: true } => "-- connected; nothing was missed".into(),
            Self::Up { session_kept: false } => {
                "-- connected; the broker had kept nothing for us".into()
            }
            Self::Down(reason) => format!("-- NOT CONNECTED: {reason}"),
            Self::Deaf { gateway } => {
                format!("-- NO ANSWER from {gateway}: commands may not arrive there")
            }
            Self::State { gateway, text, .. } => format!("-- {gateway} {}", clean(text)),
            Self::Result { asked, result, .. } => {
                let reasons = [&result.reason, &result.first].into_iter().flatten();
                let words: Vec<String> =
                    [&result.result].into_iter().chain(reasons).map(|it| clean(it)).collect();
                format!(
                    "-- {} answers {} to {}, asked by {}",
                    asked.gateway,
                    words.join(" "),
                    ask_line(&asked.ask),
                    asked.operator
                )
            }
            Self::Asked { asked, .. } => {
                format!("-- {} will be asked: {}", asked.gateway, ask_line(&asked.ask))
            }
            Self::Malformed { topic, why, .. } => {
                format!("-- WRONG: a message on {}: {}", clean(topic), clean(&why.to_string()))
            }
            Self::Refused { why } => format!("-- not done: {why}"),
            Self::Missing(missing) => format!("-- MISSING {missing}"),
            Self::NothingMissing => "-- nothing is missing any more".into(),
            Self::LeftOut(left_out) => {
                let LeftOut { gateway, lines, alarms } = left_out;
                let gateway = if gateway.is_empty() { "further gateways" } else { gateway };
                format!(
                    "-- TOO MUCH from {gateway}: {lines} lines left out, {alarms} of them alarms; incidents lists them"
                )
            }
            Self::Note(text) => format!("-- {text}"),
            Self::Event { .. }
            | Self::Answer { .. }
            | Self::Overdue { .. }
            | Self::Stage { .. }
            | Self::Shown { .. } => String::new(),
        }
    }

    /// For programs.
    #[must_use]
    pub fn value(&self) -> Value {
        match self {
            Self::Up { session_kept } => json!({ "news": "up", "session_kept": session_kept }),
            Self::Down(reason) => json!({ "news": "down", "reason": reason }),
            Self::Deaf { gateway } => with_gateway("deaf", gateway),
            Self::Event { event, again, flaws, change, delay } => json!({
                "news": "event", "again": again, "flaws": flaw_words(flaws),
                "site": event.site, "gateway": event.gateway, "id": event.id, "time": event.time,
                "wire_bytes": event.wire_bytes, "data": event.data, "delay": delay.value(),
                "incident": change.and_then(Change::number), "change": change_word(*change),
            }),
            Self::State { gateway, text, is_news } => {
                let mut value = with_gateway("state", gateway);
                let state =
                    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
                (value["state"], value["is_news"]) = (state, json!(is_news));
                value
            }
            Self::Answer { gateway, answer, flaws } => {
                let mut value = with_gateway("answer", gateway);
                (value["answer"], value["flaws"]) = (json!(answer), json!(flaw_words(flaws)));
                value
            }
            Self::Result { id, asked, result } => {
                let mut value = with_gateway("result", &asked.gateway);
                (value["id"], value["command"]) = (json!(id), json!(asked.ask));
                (value["operator"], value["result"]) = (json!(asked.operator), json!(result));
                value
            }
            Self::Asked { id, asked } => {
                let mut value = with_gateway("asked", &asked.gateway);
                (value["id"], value["command"]) = (json!(id), json!(asked.ask));
                value["operator"] = json!(asked.operator);
                value
            }
            Self::Malformed { topic, why, .. } => {
                json!({ "news": "malformed", "topic": topic, "why": why.to_string() })
            }
            Self::Overdue { due, change, why, at_ms } => {
                let mut value = with_gateway("overdue", &due.gateway);
                (value["pendant"], value["wearer"]) = (json!(due.pendant), json!(due.wearer));
                (value["enrolment"], value["counter"]) = (json!(due.enrolment), json!(due.counter));
                (value["due"], value["at"]) = (json!(rfc3339(due.due_ms)), json!(rfc3339(*at_ms)));
                (value["incident"], value["why"]) = (json!(change.number()), json!(why.word()));
                value["change"] = json!(change_word(Some(*change)));
                value
            }
            Self::Stage { incident, stage, .. } => json!({
                "news": "stage", "incident": incident, "stage": stage.step.word(),
                "operator": stage.operator, "at": rfc3339(stage.at_ms), "note": stage.note,
            }),
            Self::Refused { why } => json!({ "news": "refused", "why": why }),
            Self::Missing(missing) => missing_value(missing),
            Self::NothingMissing => json!({ "news": "nothing_missing" }),
            Self::LeftOut(it) => json!({ "news": "left_out", "gateway": it.gateway,
                "lines": it.lines, "alarms": it.alarms }),
            Self::Note(text) => json!({ "news": "note", "text": text }),
            Self::Shown { what, value, .. } => json!({ "news": what, what.to_owned(): value }),
        }
    }
}

/// Names its site and gateway apart.
fn with_gateway(news: &str, path: &str) -> Value {
    let (site, gateway) = path.split_once('/').unwrap_or((path, ""));
    json!({ "news": news, "site": site, "gateway": gateway })
}

fn flaw_words(flaws: &[Flaw]) -> Vec<&'static str> {
    let word = |flaw: &Flaw| match flaw {
        Flaw::Size => "size",
        Flaw::NumberTwice => "number_twice",
    };
    flaws.iter().map(word).collect()
}

fn change_word(change: Option<Change>) -> Option<&'static str> {
    change.map(|change| match change {
        Change::Opened(_) => "opened",
        Change::Added(_) => "added",
        Change::Confirmed(_) => "confirmed",
        Change::Seen(_) => "seen",
        Change::Tracked(_) => "tracked",
        Change::NoRoom => "no_room",
    })
}

fn missing_value(missing: &Missing) -> Value {
    let series = &missing.series;
    json!({ "news": "missing", "gateway": series.gateway, "boot": series.boot,
        "lane": series.lane, "first": missing.first, "last": missing.last })
}

fn event_lines(
    event: &Event,
    again: bool,
    flaws: &[Flaw],
    change: Option<Change>,
    delay: &Delay,
) -> Vec<String> {
    let mut lines = Vec::new();
    let delay = delay.line();
    match change {
        Some(Change::Seen(number)) => {
            lines.push(format!(
                "   [{number}] {} heard it too: {}",
                event.gateway_path(),
                clean(&event.headline())
            ));
        }
        _ if again => {}
        Some(Change::Confirmed(number)) => {
            lines.push(format!(
                "   [{number}] {} tells it itself now: {}",
                event.gateway_path(),
                clean_line(&event.line())
            ));
        }
        _ => {
            let number = change.and_then(Change::number).map(|it| format!(" [{it}]"));
            lines.push(format!(
                "{}{}, {delay}",
                clean_line(&event.line()),
                number.unwrap_or_default()
            ));
            if change == Some(Change::NoRoom) {
                lines.push("   too many incidents of this gateway are open: close some".to_owned());
            }
            let is_alarm = matches!(change, Some(Change::Opened(_) | Change::Added(_)));
            if event.data.covert && (is_alarm || event.is_alarm()) {
                lines.push(format!("   {COVERT_ADVICE}"));
            }
        }
    }
    let at = format!("{} #{}", event.gateway_path(), event.data.number);
    for flaw in flaws {
        lines.push(match flaw {
            Flaw::Size => format!("-- WRONG: {at} has {} bytes on the wire", event.wire_bytes),
            Flaw::NumberTwice => format!("-- WRONG: {at} bears a number that was taken"),
        });
    }
    lines
}

fn answer_lines(gateway: &str, answer: &Answer, flaws: &[Flaw]) -> Vec<String> {
    let refused = answer.refused.as_ref();
    let mut lines: Vec<String> = refused
        .map(|why| format!("-- {gateway} refuses our message: {}", clean(why)))
        .into_iter()
        .collect();
    if !flaws.is_empty() {
        lines.push(format!("-- WRONG: an answer of {gateway} has {} bytes", answer.wire_bytes));
    }
    lines
}

fn overdue_lines(due: &Due, change: Change, why: Why, at_ms: UnixMs) -> Vec<String> {
    let number = change.number().map_or(String::new(), |number| format!(" [{number}]"));
    let wearer = due.wearer.as_deref().unwrap_or("pendant");
    if let Change::Seen(_) = change {
        return vec![format!("   {number} overdue at {} too: {}", due.gateway, why.line())];
    }
    vec![format!(
        "!! {} urgent  OVERDUE - {} ({}), {}{number}, due {}; raised by this desk: {}",
        rfc3339(at_ms),
        clean(wearer),
        due.pendant,
        due.gateway,
        rfc3339(due.due_ms),
        why.line(),
    )]
}

fn stage_lines(incident: u64, stage: &Stage, hint: Option<&Ask>) -> Vec<String> {
    let note = stage.note.as_ref().map_or(String::new(), |note| format!(": {note}"));
    let (step, operator) = (stage.step.word(), &stage.operator);
    let mut lines = vec![format!("   [{incident}] {step} by {operator}{note}")];
    if let (Step::Closed, Some(ask)) = (stage.step, hint) {
        lines.push(format!(
            "   its gateway holds it open still; to close it there: {}",
            ask_line(ask)
        ));
    }
    lines
}

/// A command as an operator enters it.
#[must_use]
pub fn ask_line(ask: &Ask) -> String {
    match ask {
        Ask::Close { pendant, incident } => format!("close {pendant} {incident}"),
        Ask::Track { pendant, on } => format!("track {pendant} {}", if *on { "on" } else { "off" }),
        Ask::Listen { pendant } => format!("listen {pendant}"),
        Ask::Vibrate { pendant } => format!("vibrate {pendant}"),
        Ask::Led { pendant } => format!("led {pendant}"),
        Ask::Rebind { pendant, wearer } => format!("rebind {pendant} {wearer}"),
        Ask::Revoke { pendant } => format!("revoke {pendant}"),
        Ask::Ping => "ping".to_owned(),
    }
}

/// One line of an incident.
#[must_use]
pub fn incident_line(incident: &Incident, at_ms: UnixMs) -> String {
    let gravest = incident.gravest();
    let mark = if incident.waits() { "!!" } else { "  " };
    let more = incident.alarms.len() as u64 + incident.alarms_left_out - 1;
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    let covert = if incident.is_covert() { " COVERT" } else { "" };
    let stage = incident
        .stages
        .last()
        .map_or(String::new(), |stage| format!(", {} by {}", stage.step.word(), stage.operator));
    let pin = if incident.safe_pin_ms.is_some() { ", safe PIN since" } else { "" };
    let closed = if incident.closed_at_gateway_ms.is_some() { ", closed at gateway" } else { "" };
    format!(
        "{mark} [{}] {}{more}{covert} - {}, {}, {} ago{stage}{pin}{closed}",
        incident.number,
        clean(&gravest.kind.replace('_', " ").to_uppercase()),
        incident.who(),
        incident.gateways.join(" "),
        span(at_ms.saturating_sub(gravest.heard_ms)),
    )
}

/// An incident in full.
#[must_use]
pub fn incident_lines(incident: &Incident, at_ms: UnixMs) -> Vec<String> {
    let mut lines = vec![incident_line(incident, at_ms)];
    if incident.is_covert() {
        lines.push(format!("   {COVERT_ADVICE}"));
    }
    for alarm in &incident.alarms {
        let time = alarm.time.as_deref().unwrap_or("(no clock)");
        let counter = alarm.counter.map_or(String::new(), |it| format!(", counter {it}"));
        let by = if alarm.by_desk { ", raised by this desk" } else { "" };
        lines.push(format!("   alarm {time} {}{counter}{by}", clean(&alarm.kind)));
        for seen in &alarm.sightings {
            lines.push(format!("      heard by {}", seen_line(seen)));
        }
    }
    if incident.alarms_left_out > 0 {
        lines.push(format!("   {} further alarms are not kept", incident.alarms_left_out));
    }
    for stage in &incident.stages {
        let note = stage.note.as_ref().map_or(String::new(), |note| format!(": {note}"));
        let at = rfc3339(stage.at_ms);
        lines.push(format!("   {at} {} by {}{note}", stage.step.word(), stage.operator));
    }
    lines.extend(incident.track.iter().rev().map(|point| point_line("track", point)));
    lines.extend(incident.elsewhere.iter().rev().map(|point| point_line("elsewhere", point)));
    lines
}

fn seen_line(seen: &super::incident::Sighting) -> String {
    let link = seen.link.as_ref().map_or(String::new(), |link| format!(" {link}"));
    let rssi = seen.rssi_dbm.map_or(String::new(), |dbm| format!(" {dbm} dBm"));
    format!("{}{link}{rssi}", seen.gateway)
}

fn point_line(word: &str, point: &TrackPoint) -> String {
    let time = point.time.clone().unwrap_or_else(|| rfc3339(point.heard_ms));
    let position = point
        .position
        .map_or(String::new(), |(latitude, longitude)| format!(" {latitude:.5} {longitude:.5}"));
    let place = point.place.map_or(String::new(), |place| format!(" place {place}"));
    format!("   {word} {time} {}{position}{place}", seen_line(&point.seen))
}

/// One line of a gateway.
#[must_use]
pub fn gateway_line(desk: &Desk, name: &str, gateway: &Gateway, at_ms: UnixMs) -> String {
    let state = match gateway.online {
        Some(true) => "online",
        Some(false) => "OFFLINE",
        None => "no state",
    };
    let (given_up, left_out) = (desk.given_up(name), desk.incidents().left_out(name));
    let mut line = format!(
        "   {name} {state}, heard {} ago, {} events",
        span(at_ms.saturating_sub(gateway.heard_ms)),
        gateway.events
    );
    for (count, what) in [
        (gateway.malformed, "wrong messages"),
        (given_up, "missing numbers given up"),
        (left_out, "alarms without an incident of their own"),
    ] {
        if count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    line
}
