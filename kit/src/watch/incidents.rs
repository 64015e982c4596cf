//! All incidents of the desk, and what an event does to them.

use super::{Alarm, Change, Due, Incident, Sighting, Stage, Step, UnixMs, gravity};
use crate::centre::{Event, GATEWAYS_MAX};
use crate::watch::acts::{self, Act};
use crate::watch::heard::{enrolment, sighting, track_point};
use crate::watch::quiet::Quiet;
use crate::watch::text::clean;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Open incidents of one gateway.
pub const OF_GATEWAY_MAX: usize = 256;
/// Points at which a pendant was heard, the newest.
const TRACK_MAX: usize = 128;
/// Stages of one incident, the newest.
const STAGES_MAX: usize = 32;
/// Closed incidents that can still be shown.
const CLOSED_MAX: usize = 64;
/// Gateways that heard one alarm, and that belong to one incident.
const GATEWAYS_OF_INCIDENT_MAX: usize = 8;

/// Pendant, enrolment, gateway.
type Key = (String, String, String);

/// All incidents.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Incidents {
    open: BTreeMap<u64, Incident>,
    closed: VecDeque<Incident>,
    last: u64,
    /// Alarms that opened nothing, by gateway.
    left_out: BTreeMap<String, u64>,
    quiet: Quiet,
    by_key: BTreeMap<Key, u64>,
    by_id: BTreeMap<String, u64>,
    of_gateway: BTreeMap<String, usize>,
}

#[derive(Deserialize, Serialize)]
struct Stored {
    open: Vec<Incident>,
    closed: VecDeque<Incident>,
    last: u64,
    left_out: BTreeMap<String, u64>,
    #[serde(default)]
    quiet: Quiet,
}

impl From<Stored> for Incidents {
    fn from(Stored { open, closed, last, left_out, quiet }: Stored) -> Self {
        let mut incidents = Self { closed, last, left_out, quiet, ..Self::default() };
        for incident in open {
            incidents.index(&incident);
            incidents.open.insert(incident.number, incident);
        }
        incidents
    }
}

impl From<Incidents> for Stored {
    fn from(Incidents { open, closed, last, left_out, quiet, .. }: Incidents) -> Self {
        Self { open: open.into_values().collect(), closed, last, left_out, quiet }
    }
}

fn push<T>(ring: &mut VecDeque<T>, item: T, max: usize) {
    if ring.len() >= max {
        ring.pop_front();
    }
    ring.push_back(item);
}

impl Incidents {
    /// Open ones, by number.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.open.values()
    }

    /// One, also if it was closed not long ago.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Incident> {
        let closed = || self.closed.iter().find(|it| it.number == number);
        self.open.get(&number).or_else(closed)
    }

    /// Open ones of a pendant.
    pub fn of_pendant<'a>(&'a self, pendant: &'a str) -> impl Iterator<Item = &'a Incident> {
        let from = (pendant.to_owned(), String::new(), String::new());
        let of = self.by_key.range(from..).take_while(move |(key, _)| key.0 == pendant);
        let numbers: std::collections::BTreeSet<u64> = of.map(|(_, number)| *number).collect();
        numbers.into_iter().filter_map(|number| self.open.get(&number))
    }

    /// How many alarms of a gateway opened nothing.
    #[must_use]
    pub fn left_out(&self, gateway: &str) -> u64 {
        self.left_out.get(gateway).copied().unwrap_or(0)
    }

    /// Takes an event that was not heard before, or that another gateway tells as well.
    pub fn hear(&mut self, at_ms: UnixMs, event: &Event) -> Option<Change> {
        let gateway = event.gateway_path();
        let pendant = event.data.pendant.clone().unwrap_or_default();
        let key = (pendant, enrolment(event), gateway);
        let point = track_point(at_ms, &key.2, event);
        let change = self.alarm(at_ms, event, &key);
        let number = change.and_then(Change::number).or_else(|| self.by_key.get(&key).copied());
        if let Some(incident) = number.and_then(|number| self.open.get_mut(&number)) {
            if let Some(point) = point {
                push(&mut incident.track, point, TRACK_MAX);
            }
            // What another takes for the alarm itself is no end that followed it.
            let is_alarm = change.is_some();
            if event.data.kind == "session_ended" && !is_alarm {
                incident.safe_pin_ms = Some(at_ms);
            }
            return change.or(Some(Change::Tracked(incident.number)));
        }
        if let Some(point) = point.filter(|_| change.is_none() && !key.0.is_empty()) {
            let numbers: Vec<u64> = self.of_pendant(&key.0).map(|it| it.number).collect();
            for number in numbers {
                let incident = self.open.get_mut(&number).filter(|it| it.enrolment == key.1);
                incident
                    .into_iter()
                    .for_each(|it| push(&mut it.elsewhere, point.clone(), TRACK_MAX));
            }
        }
        change
    }

    fn alarm(&mut self, at_ms: UnixMs, event: &Event, key: &Key) -> Option<Change> {
        let gravity = gravity(&event.data.lane, &event.data.kind, event.data.covert);
        // Under a known id, but of another pendant, it is no repetition.
        let is_same = |number: &u64| {
            self.open.get(number).is_some_and(|it| it.pendant == key.0 && it.enrolment == key.1)
        };
        if let Some(number) = self.by_id.get(&event.id).copied().filter(is_same) {
            return self.seen(at_ms, number, gravity, event, key);
        }
        if gravity == 0 {
            self.quiet.hear(event, &key.1, sighting(&key.2, event));
            return None;
        }
        if let Some(number) = self.confirm(event, key) {
            return Some(Change::Confirmed(number));
        }
        if let Some(known) = self.of_closed(event, gravity, key) {
            return Some(known);
        }
        let alarm = Alarm {
            id: Some(event.id.clone()),
            kind: event.data.kind.clone(),
            covert: event.data.covert,
            gravity,
            counter: event.data.counter,
            boot: Some(event.data.boot.clone()),
            time: event.time.as_deref().map(clean),
            heard_ms: at_ms,
            by_desk: false,
            sightings: vec![sighting(&key.2, event)],
        };
        let others = self.quiet.of(&event.id, &key.0, &key.1).filter(|it| it.gateway != key.2);
        let others: Vec<Sighting> = others.take(GATEWAYS_OF_INCIDENT_MAX - 1).cloned().collect();
        let change = self.open_or_add(at_ms, key, event.data.wearer.as_deref(), alarm);
        if let Some(number) = change.number() {
            others.into_iter().for_each(|it| self.joins(number, &event.id, it));
        }
        Some(change)
    }

    /// Another gateway told this alarm too, or what it took it for.
    fn joins(&mut self, number: u64, id: &str, seen: Sighting) {
        let Some(incident) = self.open.get_mut(&number) else { return };
        let gateway = seen.gateway.clone();
        let alarm = incident.alarms.iter_mut().find(|it| it.id.as_deref() == Some(id));
        if let Some(alarm) = alarm {
            let is_known = alarm.sightings.iter().any(|it| it.gateway == gateway);
            if !is_known && alarm.sightings.len() < GATEWAYS_OF_INCIDENT_MAX {
                alarm.sightings.push(seen);
            }
        }
        let has_room = incident.gateways.len() < GATEWAYS_OF_INCIDENT_MAX;
        if !incident.gateways.contains(&gateway) && has_room {
            incident.gateways.push(gateway.clone());
            let key = (incident.pendant.clone(), incident.enrolment.clone(), gateway);
            self.by_key.entry(key).or_insert(number);
        }
    }

    /// The same id again: by another gateway, or with another meaning.
    fn seen(
        &mut self,
        at_ms: UnixMs,
        number: u64,
        gravity: u8,
        event: &Event,
        key: &Key,
    ) -> Option<Change> {
        self.joins(number, &event.id, sighting(&key.2, event));
        let incident = self.open.get_mut(&number)?;
        let alarm = incident.alarms.iter_mut().find(|it| it.id.as_ref() == Some(&event.id))?;
        let is_graver = gravity > alarm.gravity;
        if is_graver {
            (alarm.kind, alarm.gravity) = (event.data.kind.clone(), gravity);
            alarm.covert = event.data.covert;
            // Who accepted it accepted less than this.
            alarm.heard_ms = at_ms.max(alarm.heard_ms + 1);
        }
        // What one of them calls covert is not to be told on site.
        alarm.covert |= event.data.covert;
        Some(if is_graver { Change::Added(number) } else { Change::Seen(number) })
    }

    /// A gateway's own overdue alarm, where the desk had raised it.
    fn confirm(&mut self, event: &Event, key: &Key) -> Option<u64> {
        if event.data.kind != "overdue" {
            return None;
        }
        let number = self.raised(&key.0, &key.1, event.data.counter?)?;
        let incident = self.open.get_mut(&number)?;
        let is_raised = |it: &&mut Alarm| it.by_desk && it.counter == event.data.counter;
        let alarm = incident.alarms.iter_mut().find(is_raised)?;
        alarm.id.get_or_insert_with(|| event.id.clone());
        alarm.time = event.time.as_deref().map(clean);
        alarm.sightings.push(sighting(&key.2, event));
        alarm.sightings.truncate(GATEWAYS_OF_INCIDENT_MAX);
        self.by_id.insert(event.id.clone(), number);
        Some(number)
    }

    /// An alarm that an operator has closed, told late: by a second gateway, or by the
    /// gateway for which the desk had raised it. Nobody is called for twice, unless it is
    /// graver than what was closed.
    fn of_closed(&self, event: &Event, gravity: u8, key: &Key) -> Option<Change> {
        let of_wearer = |it: &&Incident| it.pendant == key.0 && it.enrolment == key.1;
        let closed = || self.closed.iter().rev().filter(of_wearer);
        let is_known = |it: &Alarm| {
            it.id.as_ref() == Some(&event.id)
                && it.gravity >= gravity
                && it.covert >= event.data.covert
        };
        if let Some(it) = closed().find(|it| it.alarms.iter().any(is_known)) {
            return Some(Change::Seen(it.number));
        }
        let counter = event.data.counter.filter(|_| event.data.kind == "overdue")?;
        let is_raised = |it: &Alarm| it.by_desk && it.counter == Some(counter);
        let raised = closed().find(|it| it.alarms.iter().any(is_raised))?;
        Some(Change::Confirmed(raised.number))
    }

    /// The incident in which the desk has raised this.
    fn raised(&self, pendant: &str, enrolment: &str, counter: u32) -> Option<u64> {
        let is_it = |it: &&Incident| {
            let mut alarms = it.alarms.iter();
            let is_raised = |it: &Alarm| it.by_desk && it.counter == Some(counter);
            it.enrolment == enrolment && alarms.any(is_raised)
        };
        self.of_pendant(pendant).find(is_it).map(|it| it.number)
    }

    /// The desk raises an overdue alarm for a gateway that did not.
    pub fn raise(&mut self, at_ms: UnixMs, due: &Due) -> Change {
        let key = (due.pendant.clone(), due.enrolment.clone(), due.gateway.clone());
        let sighting = Sighting {
            gateway: due.gateway.clone(),
            link: None,
            rssi_dbm: None,
            snr_db: None,
            kind: "overdue".to_owned(),
        };
        if let Some(number) = self.raised(&due.pendant, &due.enrolment, due.counter) {
            let incident = self.open.get_mut(&number).expect("it was just found");
            let alarm = incident.alarms.iter_mut().find(|it| it.counter == Some(due.counter));
            if let Some(alarm) = alarm.filter(|it| it.sightings.len() < GATEWAYS_OF_INCIDENT_MAX) {
                alarm.sightings.push(sighting);
            }
            return Change::Seen(number);
        }
        let alarm = Alarm {
            id: None,
            kind: "overdue".to_owned(),
            covert: false,
            gravity: gravity("urgent", "overdue", false),
            counter: Some(due.counter),
            boot: None,
            time: None,
            heard_ms: at_ms,
            by_desk: true,
            sightings: vec![sighting],
        };
        self.open_or_add(at_ms, &key, due.wearer.as_deref(), alarm)
    }

    /// A wearer did something at a gateway for whose session an alarm waits at another;
    /// gives the incidents of which that is news.
    pub fn acts(&mut self, pendant: &str, enrolment: &str, act: &Act) -> Vec<u64> {
        let numbers: Vec<u64> = self.of_pendant(pendant).map(|it| it.number).collect();
        let mut news = Vec::new();
        for number in numbers {
            let Some(incident) = self.open.get_mut(&number) else { continue };
            let is_later = incident.overdue().is_some_and(|overdue| overdue < act.counter);
            if incident.enrolment == enrolment
                && incident.overdue_at(&act.gateway).is_none()
                && is_later
                && acts::add(&mut incident.acts, act.clone())
            {
                news.push(number);
            }
        }
        news
    }

    fn open_or_add(
        &mut self,
        at_ms: UnixMs,
        key: &Key,
        wearer: Option<&str>,
        alarm: Alarm,
    ) -> Change {
        if let Some(number) = self.by_key.get(key).copied() {
            let incident = self.open.get_mut(&number).expect("what is indexed is open");
            if let Some(id) = &alarm.id {
                self.by_id.entry(id.clone()).or_insert(number);
            }
            incident.safe_pin_ms = None;
            incident.closed_at_gateway_ms = None;
            if let Some(id) = incident.add(alarm).and_then(|it| it.id) {
                if self.by_id.get(&id) == Some(&number) {
                    self.by_id.remove(&id);
                }
            }
            return Change::Added(number);
        }
        if !self.make_room(&key.2, alarm.gravity) {
            self.leave_out(&key.2);
            return Change::NoRoom;
        }
        self.last += 1;
        let incident = Incident {
            number: self.last,
            gateways: vec![key.2.clone()],
            pendant: key.0.clone(),
            enrolment: key.1.clone(),
            wearer: wearer.map(clean),
            opened_ms: at_ms,
            alarms: vec![alarm],
            alarms_left_out: 0,
            track: VecDeque::new(),
            elsewhere: VecDeque::new(),
            acts: Vec::new(),
            stages: Vec::new(),
            safe_pin_ms: None,
            closed_at_gateway_ms: None,
        };
        self.index(&incident);
        self.open.insert(incident.number, incident);
        Change::Opened(self.last)
    }

    /// What more gateways there are than can be known share one place.
    fn slot(&self, gateway: &str) -> String {
        let is_known = self.of_gateway.contains_key(gateway);
        let is_full = self.of_gateway.len() >= GATEWAYS_MAX;
        if is_full && !is_known { String::new() } else { gateway.to_owned() }
    }

    /// Whether one more of this weight has room at this gateway. A lighter one of the same
    /// gateway makes way.
    fn make_room(&mut self, gateway: &str, gravity: u8) -> bool {
        let slot = self.slot(gateway);
        if self.of_gateway.get(&slot).copied().unwrap_or(0) < OF_GATEWAY_MAX {
            return true;
        }
        let of_gateway = self.open.values().filter(|it| it.gateways[0] == gateway);
        let lightest = of_gateway.min_by_key(|it| it.lightest());
        let Some(lightest) = lightest.filter(|it| it.lightest() < gravity) else { return false };
        let number = lightest.number;
        self.remove(number);
        self.leave_out(gateway);
        true
    }

    fn leave_out(&mut self, gateway: &str) {
        if self.left_out.len() < GATEWAYS_MAX || self.left_out.contains_key(gateway) {
            *self.left_out.entry(gateway.to_owned()).or_default() += 1;
        }
    }

    fn index(&mut self, incident: &Incident) {
        let number = incident.number;
        for gateway in &incident.gateways {
            let Incident { pendant, enrolment, .. } = incident;
            let key = (pendant.clone(), enrolment.clone(), gateway.clone());
            self.by_key.entry(key).or_insert(number);
        }
        for id in incident.alarms.iter().filter_map(|alarm| alarm.id.clone()) {
            self.by_id.entry(id).or_insert(number);
        }
        let slot = self.slot(&incident.gateways[0]);
        *self.of_gateway.entry(slot).or_default() += 1;
    }

    fn remove(&mut self, number: u64) -> Option<Incident> {
        let incident = self.open.remove(&number)?;
        for gateway in &incident.gateways {
            let Incident { pendant, enrolment, .. } = &incident;
            let key = (pendant.clone(), enrolment.clone(), gateway.clone());
            if self.by_key.get(&key) == Some(&number) {
                self.by_key.remove(&key);
            }
        }
        self.by_id.retain(|_, of| *of != number);
        let gateway = &incident.gateways[0];
        let slot = if self.of_gateway.contains_key(gateway) { gateway.as_str() } else { "" };
        if let Some(count) = self.of_gateway.get_mut(slot) {
            *count -= 1;
            if *count == 0 {
                self.of_gateway.remove(slot);
            }
        }
        Some(incident)
    }

    /// An operator did something about one; false if there is none of this number.
    pub fn stage(&mut self, number: u64, stage: Stage) -> bool {
        let Some(incident) = self.open.get_mut(&number) else { return false };
        let is_closed = stage.step == Step::Closed;
        if incident.stages.len() >= STAGES_MAX {
            incident.stages.remove(0);
        }
        incident.stages.push(stage);
        if is_closed {
            let closed = self.remove(number);
            closed.into_iter().for_each(|it| push(&mut self.closed, it, CLOSED_MAX));
        }
        true
    }

    /// A gateway has carried out `close`.
    pub fn closed_at_gateway(&mut self, at_ms: UnixMs, gateway: &str, pendant: &str, counter: u32) {
        let numbers: Vec<u64> = self.of_pendant(pendant).map(|it| it.number).collect();
        for number in numbers {
            let incident = self.open.get_mut(&number).expect("it was just found");
            if incident.closing() == Some(counter)
                && incident.gateways.iter().any(|it| it == gateway)
            {
                incident.closed_at_gateway_ms = Some(at_ms);
            }
        }
    }
}
