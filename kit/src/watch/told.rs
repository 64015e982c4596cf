//! What the desk tells, as a line for people or as JSON for programs.

#[path = "words.rs"]
mod words;

pub use words::{ask_line, gateway_line, incident_line, incident_lines};

use super::acts::Act;
use super::desk::Asked;
use super::flow::LeftOut;
use super::incident::{Change, Due, Stage, UnixMs};
use super::people::unix_ms;
use super::text::{clean, clean_line};
use crate::centre::{Answer, Ask, CommandResult, Data, Event, Flaw, Malformed, Missing, is_name};
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::time::{Duration, SystemTime};
use words::{act_line, answer_lines, event_lines, overdue_lines, span, stage_lines};

/// How late an event is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delay {
    /// From the event to here, ms, as well as the clocks can tell.
    pub here_ms: Option<u64>,
    /// Of that at the gateway, ms.
    pub at_gateway_ms: Option<u64>,
    /// What the gateway's clock is worth: `ntp`, `unverified`, `unset`.
    pub clock: String,
    /// By how much it may be wrong, ms.
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
    /// The wearer of an overdue session did something since at another gateway.
    Elsewhere {
        /// Which incident.
        incident: u64,
        /// What it did, and where.
        act: Act,
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

impl Delay {
    /// How late an event is, and how well that is known.
    #[must_use]
    pub fn of(at_ms: UnixMs, heard_there_ms: UnixMs, event: &Event) -> Self {
        let clock = event.data.more.get("clock");
        let source = clock.and_then(|it| it.get("source")?.as_str()).unwrap_or("unset");
        let is_told = event.time.as_deref().and_then(unix_ms).is_some();
        let is_known = (source == "ntp" && is_told) || event.data.delay_ms.is_some();
        Self {
            here_ms: is_known.then(|| at_ms.saturating_sub(heard_there_ms)),
            at_gateway_ms: event.data.delay_ms,
            clock: if is_name(source) { source.to_owned() } else { "?".to_owned() },
            uncertainty_ms: clock.and_then(|it| it.get("uncertainty_ms")?.as_u64()),
        }
    }

    fn line(&self) -> String {
        let here = self.here_ms.map_or("age unknown".to_owned(), |ms| format!("{} old", span(ms)));
        let clock = match (self.clock.as_str(), self.uncertainty_ms) {
            ("unset", _) => "clock not set".to_owned(),
            (source, Some(ms)) => format!("{source} ±{}", span(ms)),
            (source, None) => source.to_owned(),
        };
        format!("{here}, {clock}")
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
            Self::Elsewhere { act, .. } => Some(((&act.gateway).into(), true)),
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
            Self::Elsewhere { incident, act } => {
                vec![format!("   [{incident}] {}", act_line(act))]
            }
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
            | Self::Elsewhere { .. }
            | Self::Stage { .. }
            | Self::Shown { .. } => String::new(),
        }
    }

    /// For programs, as one line.
    #[must_use]
    pub fn json(&self) -> String {
        let Self::Event { event, again, flaws, change, delay } = self else {
            return self.value().to_string();
        };
        // Twenty thousand a second: not by way of a `Value`.
        let line = EventLine::new(event, *again, flaws, *change, delay);
        serde_json::to_string(&line).expect("events have texts as keys")
    }

    /// The same, to be looked into.
    #[must_use]
    pub fn value(&self) -> Value {
        match self {
            Self::Up { session_kept } => json!({ "news": "up", "session_kept": session_kept }),
            Self::Down(reason) => json!({ "news": "down", "reason": reason }),
            Self::Deaf { gateway } => with_gateway("deaf", gateway),
            Self::Event { event, again, flaws, change, delay } => {
                json!(EventLine::new(event, *again, flaws, *change, delay))
            }
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
            Self::Elsewhere { incident, act } => json!({
                "news": "heard_elsewhere", "incident": incident, "gateway": act.gateway,
                "kind": act.kind, "counter": act.counter, "at": rfc3339(act.at_ms),
            }),
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

/// An event, for programs.
#[derive(Serialize)]
struct EventLine<'a> {
    news: &'static str,
    again: bool,
    flaws: Vec<&'static str>,
    site: &'a str,
    gateway: &'a str,
    id: &'a str,
    time: Option<&'a str>,
    wire_bytes: usize,
    incident: Option<u64>,
    change: Option<&'static str>,
    delay: &'a Delay,
    data: &'a Data,
}

impl<'a> EventLine<'a> {
    fn new(
        event: &'a Event,
        again: bool,
        flaws: &[Flaw],
        change: Option<Change>,
        delay: &'a Delay,
    ) -> Self {
        Self {
            news: "event",
            again,
            flaws: flaw_words(flaws),
            site: &event.site,
            gateway: &event.gateway,
            id: &event.id,
            time: event.time.as_deref(),
            wire_bytes: event.wire_bytes,
            incident: change.and_then(Change::number),
            change: change_word(change),
            delay,
            data: &event.data,
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
