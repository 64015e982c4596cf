//! Who wears what, and when their sessions fall due: kept here as well, so that a gateway
//! that was destroyed still gives an overdue alarm.
//!
//! Due times are those of one gateway: only who told of a session can tell of its end, so
//! that a rogue gateway ends none of another's.

use super::acts::Act;
use super::heard::enrolment;
use super::incident::{Due, UnixMs};
use super::text::clean;
use crate::centre::{Detail, Event, GATEWAYS_MAX};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// Pendants of one gateway that are remembered.
const OF_GATEWAY_MAX: usize = 4096;
/// Longest session, minutes.
const MINUTES_MAX: u64 = 65_535;
const MINUTE_MS: u64 = 60_000;
/// Room is made no more often.
const SWEEP_MS: u64 = 10_000;

/// Somebody works alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Session {
    /// Counter of the frame that set the due time.
    set_by: u32,
    /// From when on its minutes count, by our clock.
    base_ms: UnixMs,
    /// When it falls due, by our clock.
    pub due_ms: UnixMs,
    /// The gateway or this desk has told that it is overdue.
    pub alarmed: bool,
}

/// A pendant at a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Person {
    /// Who wears it, by the newest event.
    pub wearer: Option<String>,
    /// When it was heard of last.
    pub heard_ms: UnixMs,
    /// Its battery, percent of full, if it says so.
    pub battery_percent: Option<u64>,
    /// The session that runs.
    pub session: Option<Session>,
    /// Counter of the newest frame that ended one.
    ended_by: Option<u32>,
    /// The newest session that was told or raised as overdue, by the counter that set its
    /// due time: what began it may come later.
    #[serde(default)]
    alarmed_by: Option<u32>,
    /// The newest that its wearer did for a session.
    #[serde(default)]
    act: Option<Act>,
}

/// Pendant and enrolment.
type Name = (String, String);

/// All pendants, by gateway.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct People {
    #[serde(serialize_with = "as_list", deserialize_with = "of_list")]
    all: BTreeMap<String, BTreeMap<Name, Person>>,
    /// When room was last made at a gateway: that looks at all of its pendants.
    #[serde(skip)]
    swept: BTreeMap<String, UnixMs>,
}

fn as_list<S: Serializer>(
    people: &BTreeMap<String, BTreeMap<Name, Person>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(people.iter().flat_map(|(gateway, of_gateway)| {
        of_gateway.iter().map(move |(name, person)| (gateway, name, person))
    }))
}

fn of_list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, BTreeMap<Name, Person>>, D::Error> {
    let mut people = BTreeMap::<String, BTreeMap<Name, Person>>::new();
    for (gateway, name, person) in Vec::<(String, Name, Person)>::deserialize(deserializer)? {
        people.entry(gateway).or_default().insert(name, person);
    }
    Ok(people)
}

/// When the gateway heard it, by our clock, as well as can be told.
pub(super) fn heard_there_ms(at_ms: UnixMs, event: &Event) -> UnixMs {
    let clock = event.data.more.get("clock").and_then(|it| it.get("source")?.as_str());
    let time = event.time.as_deref().and_then(unix_ms);
    match (clock, time, event.data.delay_ms) {
        // The future can only be a clock that is wrong.
        (Some("ntp"), Some(time), _) => time.min(at_ms),
        (_, _, Some(delay_ms)) => at_ms.saturating_sub(delay_ms),
        _ => at_ms,
    }
}

pub(super) fn unix_ms(text: &str) -> Option<UnixMs> {
    let time = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

impl Person {
    fn set(&mut self, at_ms: UnixMs, event: &Event) -> Option<()> {
        let Some(Detail::Other(detail)) = &event.data.detail else { return None };
        let session = detail.get("session")?;
        let counter = event.data.counter?;
        let is_old = |by: Option<u32>| by.is_some_and(|by| by >= counter);
        if is_old(self.session.map(|it| it.set_by)) || is_old(self.ended_by) {
            return None;
        }
        let length_ms = session.get("minutes")?.as_u64()?.min(MINUTES_MAX) * MINUTE_MS;
        let heard_ms = heard_there_ms(at_ms, event);
        let before = self.session.filter(|_| event.data.kind == "session_extended");
        // Both by the gateway's clock: their difference holds whatever that clock is worth.
        let due = session.get("due").and_then(|due| unix_ms(due.as_str()?));
        let left_ms = due
            .zip(event.time.as_deref().and_then(unix_ms))
            .map(|(due, time)| due.saturating_sub(time).min(length_ms));
        let due_ms = match (left_ms, before) {
            (Some(left_ms), _) => heard_ms + left_ms,
            (None, Some(before)) => before.base_ms + length_ms,
            (None, None) => heard_ms + length_ms,
        };
        self.session = Some(Session {
            set_by: counter,
            base_ms: before.map_or(heard_ms, |before| before.base_ms),
            due_ms,
            alarmed: self.alarmed_by >= Some(counter),
        });
        Some(())
    }

    fn ended(&mut self, counter: u32) {
        self.ended_by = self.ended_by.max(Some(counter));
        self.session = self.session.filter(|session| session.set_by > counter);
    }

    fn alarmed(&mut self, counter: u32) {
        self.alarmed_by = self.alarmed_by.max(Some(counter));
        if let Some(session) = self.session.as_mut().filter(|it| it.set_by == counter) {
            session.alarmed = true;
        }
    }
}

impl People {
    /// Learns from an event.
    pub fn hear(&mut self, at_ms: UnixMs, event: &Event) {
        let Some(person) = self.person(at_ms, event) else { return };
        person.heard_ms = person.heard_ms.max(at_ms);
        if let Some(wearer) = &event.data.wearer {
            person.wearer = Some(clean(wearer));
        }
        let battery = event.data.more.get("battery_percent").and_then(serde_json::Value::as_u64);
        person.battery_percent = battery.or(person.battery_percent);
        if let Some(act) = Act::of(at_ms, event) {
            let is_newer = person.act.as_ref().is_none_or(|known| known.counter < act.counter);
            person.act = if is_newer { Some(act) } else { person.act.take() };
        }
        match (event.data.kind.as_str(), event.data.counter) {
            ("session_started" | "session_extended" | "checked_in", _) => {
                // Without a length or a counter there is nothing to keep.
                let _ = person.set(at_ms, event);
            }
            ("session_ended" | "duress", Some(counter)) => person.ended(counter),
            ("overdue", Some(counter)) => person.alarmed(counter),
            _ => {}
        }
    }

    fn person(&mut self, at_ms: UnixMs, event: &Event) -> Option<&mut Person> {
        let pendant = event.data.pendant.clone()?;
        let enrolment = enrolment(event);
        let gateway = event.gateway_path();
        if self.all.len() >= GATEWAYS_MAX && !self.all.contains_key(&gateway) {
            return None;
        }
        let of_gateway = self.all.entry(gateway.clone()).or_default();
        let name = (pendant, enrolment);
        if of_gateway.len() >= OF_GATEWAY_MAX && !of_gateway.contains_key(&name) {
            let swept = self.swept.entry(gateway).or_default();
            if *swept + SWEEP_MS <= at_ms {
                *swept = at_ms;
                forget(of_gateway);
            }
        }
        let has_room = of_gateway.len() < OF_GATEWAY_MAX || of_gateway.contains_key(&name);
        has_room.then(|| of_gateway.entry(name).or_default())
    }

    /// Sessions of which no alarm was given, `wait_ms` after they fell due.
    pub fn due(&self, at_ms: UnixMs, wait_ms: impl Fn(&str) -> u64) -> Vec<Due> {
        let mut due = Vec::new();
        for (gateway, of_gateway) in &self.all {
            let wait_ms = wait_ms(gateway);
            for ((pendant, enrolment), person) in of_gateway {
                let Some(session) = person.session.filter(|it| !it.alarmed) else { continue };
                if session.due_ms.saturating_add(wait_ms) <= at_ms {
                    due.push(Due {
                        gateway: gateway.clone(),
                        pendant: pendant.clone(),
                        enrolment: enrolment.clone(),
                        counter: session.set_by,
                        wearer: person.wearer.clone(),
                        due_ms: session.due_ms,
                    });
                }
            }
        }
        due
    }

    /// What a wearer did for a session at other gateways than this, after this counter.
    pub fn acts_elsewhere(
        &self,
        (pendant, enrolment): (&str, &str),
        gateway: &str,
        counter: u32,
    ) -> Vec<Act> {
        let name = (pendant.to_owned(), enrolment.to_owned());
        let others = self.all.iter().filter(|(other, _)| *other != gateway);
        let acts = others.filter_map(|(_, it)| it.get(&name)?.act.clone());
        acts.filter(|act| act.counter > counter).collect()
    }

    /// The alarm was given here.
    pub fn raised(&mut self, due: &Due) {
        let name = (due.pendant.clone(), due.enrolment.clone());
        let of_gateway = self.all.get_mut(&due.gateway);
        if let Some(person) = of_gateway.and_then(|it| it.get_mut(&name)) {
            person.alarmed(due.counter);
        }
    }

    /// The gateway knows this pendant no more.
    pub fn revoked(&mut self, gateway: &str, pendant: &str) {
        if let Some(of_gateway) = self.all.get_mut(gateway) {
            of_gateway.retain(|(name, _), _| name != pendant);
        }
    }

    /// Gateways that told of a pendant.
    pub fn gateways_of(&self, pendant: &str) -> Vec<String> {
        let knows = |of_gateway: &BTreeMap<Name, Person>| {
            let from = (pendant.to_owned(), String::new());
            of_gateway.range(from..).next().is_some_and(|((name, _), _)| name == pendant)
        };
        self.all.iter().filter(|(_, it)| knows(it)).map(|(gateway, _)| gateway.clone()).collect()
    }

    /// Everybody: gateway, pendant, who.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, &Person)> {
        self.all.iter().flat_map(|(gateway, of_gateway)| {
            of_gateway
                .iter()
                .map(move |((pendant, _), it)| (gateway.as_str(), pendant.as_str(), it))
        })
    }
}

/// Forgets the eighth that was not heard of for longest, but nobody who works alone.
fn forget(of_gateway: &mut BTreeMap<Name, Person>) {
    let idle = of_gateway.iter().filter(|(_, it)| it.session.is_none());
    let mut heard: Vec<UnixMs> = idle.map(|(_, it)| it.heard_ms).collect();
    heard.sort_unstable();
    if let Some(until) = heard.get(OF_GATEWAY_MAX / 8).or(heard.last()).copied() {
        of_gateway.retain(|_, it| it.session.is_some() || it.heard_ms > until);
    }
}
