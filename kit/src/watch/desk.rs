//! An operator's desk as a pure machine: messages, orders and the time in; what to tell,
//! what to receipt, what to keep out.
//!
//! It knows no clock, socket or file. What changed it and has to outlive it is a
//! [`Record`]: the same records in the same order give the same desk.

use super::acts::Act;
use super::heard::enrolment;
use super::incident::{Change, Due, Incidents, Stage, Step, UnixMs};
use super::people::{People, heard_there_ms};
use super::told::{Delay, Told, Why};
use crate::centre::{
    Answer, Ask, CommandResult, Event, Flaw, GATEWAYS_MAX, Heard, Malformed, Missing, Register,
    Since,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A gateway of which nothing came for so long counts as gone: it answers every 20 s.
const SILENT_MS: u64 = 90_000;
/// A gateway that is there is given so long after the grace to tell of an overdue session
/// by itself.
const OWN_ALARM_MS: u64 = 60_000;
/// So long after a connection what waited at the broker is read before anything is
/// raised; without a connection it is waited for so long.
const SETTLED_MS: u64 = 10_000;
const NO_BROKER_MS: u64 = 60_000;
/// Commands to one gateway without an answer.
const ASKED_MAX: usize = 64;

/// How it stands with the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Connected and subscribed.
    pub connected: bool,
    /// Since when that is so.
    pub since_ms: UnixMs,
}

/// What is known of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Gateway {
    /// What its state says; absent if it has none yet.
    pub online: Option<bool>,
    /// Its boot.
    pub boot: Option<String>,
    /// When anything of it came last.
    pub heard_ms: UnixMs,
    /// Events of it.
    pub events: u64,
    /// Messages of it that were none of the contract.
    pub malformed: u64,
}

/// A command without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Asked {
    /// Which gateway.
    pub gateway: String,
    /// What.
    pub ask: Ask,
    /// By whom.
    pub operator: String,
    /// When.
    pub at_ms: UnixMs,
}

/// What changes a desk for good.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A message.
    Message {
        /// Where.
        topic: String,
        /// What.
        payload: String,
    },
    /// An operator's stage.
    Stage {
        /// Of which incident.
        incident: u64,
        /// It.
        stage: Stage,
    },
    /// A command.
    Asked {
        /// Its id.
        id: String,
        /// It.
        asked: Asked,
    },
    /// The desk raised an overdue alarm.
    Overdue(Due),
}

/// What came of a message.
#[derive(Debug)]
pub struct Outcome {
    /// What to tell.
    pub told: Vec<Told>,
    /// Topic and payload of the receipt.
    pub receipt: Option<(String, String)>,
    /// It changed what has to outlive this process.
    pub keep: bool,
    /// What is to be asked of gateways because of it, in the next regular message.
    pub asks: Vec<(String, Ask)>,
}

/// All that the desk knows.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Desk {
    register: Register,
    gateways: BTreeMap<String, Gateway>,
    incidents: Incidents,
    people: People,
    asked: BTreeMap<String, Asked>,
}

impl Desk {
    /// Nothing heard yet.
    #[must_use]
    pub fn new(since: Since) -> Self {
        Self {
            register: Register::new(since),
            gateways: BTreeMap::new(),
            incidents: Incidents::default(),
            people: People::default(),
            asked: BTreeMap::new(),
        }
    }

    /// Does again what was recorded.
    pub fn apply(&mut self, at_ms: UnixMs, record: Record) {
        match record {
            Record::Message { topic, payload } => {
                self.hear(at_ms, &topic, payload.as_bytes(), false);
            }
            Record::Stage { incident, stage } => {
                self.incidents.stage(incident, stage);
            }
            Record::Asked { id, asked } => self.ask(id, asked),
            Record::Overdue(due) => {
                self.raise(at_ms, &due);
            }
        }
    }

    /// Takes a message.
    pub fn hear(&mut self, at_ms: UnixMs, topic: &str, payload: &[u8], retained: bool) -> Outcome {
        let mut outcome =
            Outcome { told: Vec::new(), receipt: None, keep: false, asks: Vec::new() };
        match self.register.hear(topic, payload, retained) {
            Heard::Event { event, again, is_new_number, flaws } => {
                self.event(at_ms, event, (again, is_new_number), flaws, &mut outcome);
            }
            Heard::State { site, gateway, text, .. } => {
                self.state(at_ms, format!("{site}/{gateway}"), text, &mut outcome);
            }
            Heard::Answer { site, gateway, answer, flaws } => {
                let gateway = format!("{site}/{gateway}");
                self.answer(at_ms, gateway, answer, flaws, &mut outcome);
            }
            Heard::Malformed { topic, why } => self.malformed(topic, why, &mut outcome),
        }
        outcome
    }

    fn event(
        &mut self,
        at_ms: UnixMs,
        event: Box<Event>,
        (again, is_new_number): (bool, bool),
        flaws: Vec<Flaw>,
        outcome: &mut Outcome,
    ) {
        let path = event.gateway_path();
        if let Some(gateway) = self.gateway(&path) {
            gateway.heard_ms = at_ms;
            gateway.events += 1;
        }
        outcome.receipt = Some((format!("lonework/v1/{path}/receipt"), event.receipt()));
        outcome.keep = is_new_number || !again;
        let mut change = None;
        if outcome.keep {
            self.people.hear(at_ms, &event);
            change = self.incidents.hear(at_ms, &event);
        }
        if event.data.kind == "gateway_started" && !again {
            outcome.asks = self.follow_again(&path, &event.data.boot);
        }
        let elsewhere = if outcome.keep { self.elsewhere(at_ms, &event) } else { Vec::new() };
        let delay = Delay::of(at_ms, heard_there_ms(at_ms, &event), &event);
        outcome.told.push(Told::Event { event, again, flaws, change, delay });
        outcome.told.extend(elsewhere);
    }

    /// What is to be told of sessions that are overdue at one gateway, and of what their
    /// wearers did at another.
    fn elsewhere(&mut self, at_ms: UnixMs, event: &Event) -> Vec<Told> {
        let Some(pendant) = &event.data.pendant else { return Vec::new() };
        let enrolment = enrolment(event);
        match (Act::of(at_ms, event), event.data.counter) {
            (Some(act), _) => self.acts(pendant, &enrolment, vec![act]),
            (None, Some(counter)) if event.data.kind == "overdue" => {
                let (of, gateway) = ((pendant.as_str(), enrolment.as_str()), event.gateway_path());
                let acts = self.people.acts_elsewhere(of, &gateway, counter);
                self.acts(pendant, &enrolment, acts)
            }
            _ => Vec::new(),
        }
    }

    fn acts(&mut self, pendant: &str, enrolment: &str, acts: Vec<Act>) -> Vec<Told> {
        let mut told = Vec::new();
        for act in acts {
            let incidents = self.incidents.acts(pendant, enrolment, &act);
            told.extend(
                incidents
                    .into_iter()
                    .map(|incident| Told::Elsewhere { incident, act: act.clone() }),
            );
        }
        told
    }

    /// A gateway that lost power with a failed journal may not know of a covert incident
    /// of which it told in another boot.
    fn follow_again(&self, gateway: &str, boot: &str) -> Vec<(String, Ask)> {
        let of_gateway = self.incidents.open().filter(|it| it.gateways[0] == gateway);
        let covert = of_gateway.filter(|it| it.is_covert() && !it.pendant.is_empty());
        let covert =
            covert.filter(|it| it.alarms.iter().all(|it| it.boot.as_deref() != Some(boot)));
        covert
            .map(|it| (gateway.to_owned(), Ask::Track { pendant: it.pendant.clone(), on: true }))
            .take(ASKED_MAX)
            .collect()
    }

    fn state(&mut self, at_ms: UnixMs, path: String, text: String, outcome: &mut Outcome) {
        #[derive(Deserialize)]
        struct State {
            state: String,
            boot: String,
        }
        let Ok(State { state, boot }) = serde_json::from_str(&text) else {
            let why = Malformed::Payload("it is no state".into());
            return self.malformed(format!("lonework/v1/{path}/state"), why, outcome);
        };
        if let Some(gateway) = self.gateway(&path) {
            let online = Some(state == "online");
            let boot = Some(boot.chars().take(32).collect());
            outcome.keep = (gateway.online, &gateway.boot) != (online, &boot);
            (gateway.online, gateway.boot) = (online, boot);
            gateway.heard_ms = at_ms;
        }
        outcome.told.push(Told::State { gateway: path, text, is_news: outcome.keep });
    }

    fn answer(
        &mut self,
        at_ms: UnixMs,
        path: String,
        answer: Answer,
        flaws: Vec<Flaw>,
        outcome: &mut Outcome,
    ) {
        if let Some(gateway) = self.gateway(&path) {
            gateway.heard_ms = at_ms;
        }
        for result in &answer.results {
            let Some(id) = &result.id else { continue };
            if self.asked.get(id).is_none_or(|asked| asked.gateway != path) {
                continue;
            }
            let asked = self.asked.remove(id).expect("it was just looked at");
            self.carried_out(at_ms, &asked, result);
            outcome.keep = true;
            outcome.told.push(Told::Result { id: id.clone(), asked, result: result.clone() });
        }
        outcome.told.push(Told::Answer { gateway: path, answer, flaws });
    }

    fn carried_out(&mut self, at_ms: UnixMs, asked: &Asked, result: &CommandResult) {
        let first = result.first.as_ref().filter(|_| result.result == "refused");
        if !matches!(first.unwrap_or(&result.result).as_str(), "done" | "accepted") {
            return;
        }
        match &asked.ask {
            Ask::Close { pendant, incident } => {
                self.incidents.closed_at_gateway(at_ms, &asked.gateway, pendant, *incident);
            }
            Ask::Revoke { pendant } => self.people.revoked(&asked.gateway, pendant),
            _ => {}
        }
    }

    fn malformed(&mut self, topic: String, why: Malformed, outcome: &mut Outcome) {
        let path = crate::centre::Topic::parse(&topic)
            .map(|it| format!("{}/{}", it.site, it.gateway))
            .unwrap_or_default();
        if let Some(gateway) = self.gateways.get_mut(&path) {
            gateway.malformed += 1;
        }
        outcome.told.push(Told::Malformed { gateway: path, topic, why });
    }

    fn gateway(&mut self, path: &str) -> Option<&mut Gateway> {
        let is_known = self.gateways.contains_key(path);
        if !is_known && self.gateways.len() < GATEWAYS_MAX {
            self.gateways.insert(path.to_owned(), Gateway::default());
        }
        self.gateways.get_mut(path)
    }

    /// Sessions whose overdue alarm is to be raised here now; `grace_ms` is the gateways'.
    #[must_use]
    pub fn due(&self, at_ms: UnixMs, link: Link, grace_ms: u64) -> Vec<Due> {
        let settled_ms = if link.connected { SETTLED_MS } else { NO_BROKER_MS };
        if at_ms < link.since_ms.saturating_add(settled_ms) {
            return Vec::new();
        }
        self.people.due(at_ms, |gateway| {
            let is_there = link.connected && self.gone(at_ms, gateway).is_none();
            grace_ms + if is_there { OWN_ALARM_MS } else { 0 }
        })
    }

    fn gone(&self, at_ms: UnixMs, gateway: &str) -> Option<Why> {
        let known = self.gateways.get(gateway);
        if known.is_some_and(|it| it.online == Some(false)) {
            return Some(Why::Offline);
        }
        let silent_ms = at_ms.saturating_sub(known.map_or(0, |it| it.heard_ms));
        (silent_ms >= SILENT_MS).then_some(Why::Silent { silent_ms })
    }

    /// Why this alarm is raised here.
    #[must_use]
    pub fn why(&self, at_ms: UnixMs, link: Link, due: &Due) -> Why {
        if !link.connected {
            return Why::NoBroker;
        }
        self.gone(at_ms, &due.gateway).unwrap_or(Why::NotTold)
    }

    /// Raises an overdue alarm. Told besides: what its wearer did since at other gateways.
    pub fn raise(&mut self, at_ms: UnixMs, due: &Due) -> (Change, Vec<Told>) {
        self.people.raised(due);
        let change = self.incidents.raise(at_ms, due);
        let of = (due.pendant.as_str(), due.enrolment.as_str());
        let acts = self.people.acts_elsewhere(of, &due.gateway, due.counter);
        (change, self.acts(&due.pendant, &due.enrolment, acts))
    }

    /// An operator did something about an incident; false if there is none of this number.
    pub fn stage(&mut self, incident: u64, stage: Stage) -> bool {
        self.incidents.stage(incident, stage)
    }

    /// Whether an operator's console has shown an incident.
    #[must_use]
    pub fn is_displayed(&self, incident: u64) -> bool {
        let stages = self.incidents.get(incident).map(|it| it.stages.as_slice());
        stages.unwrap_or_default().iter().any(|it| it.step == Step::Displayed)
    }

    /// Which gateways a command goes to.
    ///
    /// # Errors
    /// Says why to none.
    pub fn targets(&self, gateway: Option<&str>, ask: &Ask) -> Result<Vec<String>, String> {
        if let Ask::Vibrate { pendant } | Ask::Led { pendant } = ask {
            if self.incidents.of_pendant(pendant).any(super::incident::Incident::is_covert) {
                return Err("its covert incident is open: nothing may move in its hand".into());
            }
        }
        let targets = match (gateway, ask.pendant()) {
            (Some(gateway), _) => vec![gateway.to_owned()],
            (None, Some(pendant)) => self.gateways_of(pendant)?,
            (None, None) => return Err("which gateway? put @SITE/GATEWAY before it".into()),
        };
        for target in &targets {
            if !self.gateways.contains_key(target) {
                return Err(format!("nothing was heard of {target}; gateways lists who is there"));
            }
            let waiting = self.asked.values().filter(|it| it.gateway == *target).count();
            if waiting >= ASKED_MAX {
                return Err(format!("{waiting} commands wait for {target}: it does not answer"));
            }
        }
        Ok(targets)
    }

    fn gateways_of(&self, pendant: &str) -> Result<Vec<String>, String> {
        let mut told = self.people.gateways_of(pendant);
        let mut incidents = self.incidents.of_pendant(pendant);
        if let (Some(incident), None) = (incidents.next(), incidents.next()) {
            return Ok(incident.gateways.clone());
        }
        told.truncate(8);
        match told.len() {
            0 => Err(format!("no gateway told of {pendant}; put @SITE/GATEWAY before it")),
            1 => Ok(told),
            _ => Err(format!("{} told of {pendant}; put @SITE/GATEWAY before it", told.join(", "))),
        }
    }

    /// A command waits for its answer from now on.
    pub fn ask(&mut self, id: String, asked: Asked) {
        self.asked.insert(id, asked);
    }

    /// Commands without an answer, by id.
    pub fn asked(&self) -> impl Iterator<Item = (&String, &Asked)> {
        self.asked.iter()
    }

    /// Gateways, by site and name.
    pub fn gateways(&self) -> impl Iterator<Item = (&String, &Gateway)> {
        self.gateways.iter()
    }

    /// Incidents.
    #[must_use]
    pub fn incidents(&self) -> &Incidents {
        &self.incidents
    }

    /// Who wears what.
    #[must_use]
    pub fn people(&self) -> &People {
        &self.people
    }

    /// Numbers that are missing.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        self.register.missing()
    }

    /// How many numbers of a gateway are not waited for any more.
    #[must_use]
    pub fn given_up(&self, gateway: &str) -> u64 {
        self.register.given_up(gateway)
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
