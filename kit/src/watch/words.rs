//! What is told, in words.

use super::{Delay, Why, rfc3339};
use crate::centre::{Answer, Ask, COVERT_ADVICE, Event, Flaw};
use crate::watch::acts::Act;
use crate::watch::desk::{Desk, Gateway};
use crate::watch::incident::{Change, Due, Incident, Sighting, Stage, Step, TrackPoint, UnixMs};
use crate::watch::text::{clean, clean_line};

/// A length of time, as coarse as it is long.
pub(super) fn span(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..120_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

pub(super) fn event_lines(
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

pub(super) fn answer_lines(gateway: &str, answer: &Answer, flaws: &[Flaw]) -> Vec<String> {
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

pub(super) fn overdue_lines(due: &Due, change: Change, why: Why, at_ms: UnixMs) -> Vec<String> {
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

pub(super) fn stage_lines(incident: u64, stage: &Stage, hint: Option<&Ask>) -> Vec<String> {
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
    let there: Vec<&str> = incident.acts.iter().map(|act| act.gateway.as_str()).collect();
    let there =
        if there.is_empty() { String::new() } else { format!(", since at {}", there.join(" ")) };
    let pin = if incident.safe_pin_ms.is_some() { ", safe PIN since" } else { "" };
    let closed = if incident.closed_at_gateway_ms.is_some() { ", closed at gateway" } else { "" };
    format!(
        "{mark} [{}] {}{more}{covert} - {}, {}, {} ago{stage}{there}{pin}{closed}",
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
    lines.extend(incident.acts.iter().map(|act| format!("   {}", act_line(act))));
    for alarm in &incident.alarms {
        let time = alarm.time.as_deref().unwrap_or("(no clock)");
        let counter = alarm.counter.map_or(String::new(), |it| format!(", counter {it}"));
        let by = if alarm.by_desk { ", raised by this desk" } else { "" };
        lines.push(format!("   alarm {time} {}{counter}{by}", clean(&alarm.kind)));
        for seen in &alarm.sightings {
            let differs = !seen.kind.is_empty() && seen.kind != alarm.kind;
            let says = if differs {
                format!(", takes it for {}", clean(&seen.kind))
            } else {
                String::new()
            };
            lines.push(format!("      heard by {}{says}", seen_line(seen)));
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

/// What a wearer did elsewhere.
pub(super) fn act_line(act: &Act) -> String {
    let (gateway, kind) = (&act.gateway, act.kind.replace('_', " "));
    let (at, counter) = (rfc3339(act.at_ms), act.counter);
    format!(
        "but {gateway} says: {kind} {at} (counter {counter}); the wearer may be there, and the \
         session is still open where it began"
    )
}

fn seen_line(seen: &Sighting) -> String {
    let link = seen.link.as_ref().map_or(String::new(), |link| format!(" {link}"));
    let rssi = seen.rssi_dbm.map_or(String::new(), |dbm| format!(" {dbm} dBm"));
    let snr = seen.snr_db.map_or(String::new(), |db| format!(" SNR {db} dB"));
    format!("{}{link}{rssi}{snr}", seen.gateway)
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
