//! The engine in a world of its own: virtual time, a disk, a broker and a centre
//! in memory, all deterministic. Scenarios say what happens and read what came
//! of it; nothing here decides what is right.

#[path = "centre.rs"]
pub mod centre;
#[path = "world.rs"]
mod world;

use super::pendant::Pendant;
use centre::Centre;
use pendant_gateway::engine::command::CENTRE_WIRE_BYTES;
use pendant_gateway::engine::journal::JournalKey;
use pendant_gateway::engine::journal::recover::{RecoverError, Replay, Survey};
use pendant_gateway::engine::keyring::Keyring;
use pendant_gateway::engine::lamp::Lamps;
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::notice::Notice;
use pendant_gateway::engine::seam::{
    BrokerId, BrokerInput, DiskDone, DiskOp, EnrolmentOrder, Input, LinkId, Output, Publish,
    PublishId, Signal, Transmit,
};
use pendant_gateway::engine::settings::Settings;
use pendant_gateway::engine::time::{Mono, Now, Wall, WallSource};
use pendant_gateway::engine::{Gateway, RecoveryReport, Seed};
use pendant_protocol::{Body, DownlinkMessage, Outcome};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use world::trace_of;
pub use world::*;

/// 2026-01-01T00:00:00Z.
pub const EPOCH_MS: i64 = 1_767_225_600_000;

#[derive(Clone, Debug)]
enum Due {
    Input(BrokerId, DueInput),
    Disk(DiskOp),
    Offer(Publish),
    Keyring(Keyring),
    Connect(BrokerId),
}

#[derive(Clone, Debug)]
enum DueInput {
    Taken(PublishId),
    Refused(PublishId, u8),
    Receipt(String),
}

/// MQTT 5's shortest answer to a QoS 1 publish.
const PUBACK_BYTES: usize = 4;

pub struct Rig {
    pub now_us: u64,
    pub settings: Settings,
    pub keyring: Keyring,
    pub disk: Disk,
    pub gateway: Option<Gateway>,
    pub report: Option<RecoveryReport>,
    /// In order of precedence. More than one only where a scenario adds them
    /// before the start.
    pub brokers: Vec<Broker>,
    pub wall_set: bool,
    /// How far the wall clock was stepped.
    pub wall_step_ms: i64,
    /// How long the centre takes to receipt an event, microseconds. It may not
    /// depend on what the event says (P5).
    pub receipt_us: fn(&Seen) -> u64,
    pub seen: Vec<Seen>,
    pub downlinks: Vec<Transmit>,
    pub notices: Vec<Notice>,
    /// The gateway's answers to the centre's messages.
    pub answers: Vec<(u64, Value, usize)>,
    /// Through which brokers they went.
    pub answered_through: Vec<BrokerId>,
    /// Through which broker the centre's message comes.
    pub centre_through: BrokerId,
    centre_number: u64,
    /// A centre that sends its message by itself.
    pub centre: Option<Centre>,
    centre_at_us: u64,
    pub site: Vec<SiteTrace>,
    pub lamps: Lamps,
    /// Places in `site` where something came out of the backlog.
    pub replays: Vec<usize>,
    due: BTreeMap<(u64, u64), Due>,
    order: u64,
    /// Seeds the next boot: no two lives of one journal may share it.
    pub boots: u8,
    /// The key under which the journal is sealed.
    pub journal_key: JournalKey,
    /// What carries the journal's operations out in place of `disk`.
    pub shell: Option<Box<dyn FnMut(DiskOp) -> DiskDone>>,
    boot_us: u64,
    pub stopped: bool,
}

/// How many cases a property is tried with: 20 times as many in the long mode.
pub fn cases(ordinary: u32) -> proptest::test_runner::Config {
    let long = std::env::var_os("LONG").is_some();
    proptest::test_runner::Config {
        cases: if long { ordinary * 20 } else { ordinary },
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    }
}

impl Rig {
    /// A running gateway with these pendants, connected, its start told.
    pub fn new(pendants: &[&Pendant]) -> Self {
        let mut rig = Self::off(pendants);
        rig.start();
        rig.run_ms(200);
        rig
    }

    pub fn off(pendants: &[&Pendant]) -> Self {
        let mut keyring = Keyring::new();
        for pendant in pendants {
            keyring.insert(pendant.enrolment());
        }
        Self {
            now_us: 0,
            settings: settings(),
            keyring,
            disk: Disk { commit_us: 200, ..Disk::default() },
            gateway: None,
            report: None,
            brokers: vec![Broker::new()],
            wall_set: true,
            wall_step_ms: 0,
            receipt_us: |_| 2_000,
            seen: Vec::new(),
            downlinks: Vec::new(),
            notices: Vec::new(),
            answers: Vec::new(),
            answered_through: Vec::new(),
            centre_through: BrokerId(0),
            centre_number: 0,
            centre: None,
            centre_at_us: centre::EVERY_US,
            site: Vec::new(),
            lamps: Lamps::DARK,
            replays: Vec::new(),
            due: BTreeMap::new(),
            order: 0,
            boots: 0,
            journal_key: JournalKey::from_bytes([7; 32]),
            shell: None,
            boot_us: 0,
            stopped: false,
        }
    }

    pub fn now(&self) -> Now {
        let wall = if self.wall_set {
            Wall::Set {
                unix_ms: EPOCH_MS
                    + self.wall_step_ms
                    + i64::try_from(self.now_us / 1000).expect("a short test"),
                uncertainty_ms: 50,
                source: WallSource::Ntp,
            }
        } else {
            Wall::Unset
        };
        Now { mono: self.mono(), wall }
    }

    fn mono(&self) -> Mono {
        Mono::from_us(self.now_us - self.boot_us)
    }

    pub fn try_start(&mut self) -> Result<(), RecoverError> {
        let mut survey = Survey::new();
        for (file, bytes) in &self.disk.files {
            survey.file(*file, bytes);
        }
        let mut replay = Replay::new(survey.plan()?, self.journal_key.clone());
        for file in replay.order() {
            replay.file(file, &self.disk.files[&file]);
        }
        self.boots += 1;
        self.boot_us = self.now_us;
        let seed = Seed([self.boots; 32]);
        let (gateway, report) =
            Gateway::recover(self.settings.clone(), &self.keyring, seed, self.now(), replay)?;
        self.gateway = Some(gateway);
        self.report = Some(report);
        self.drain();
        for broker in self.broker_ids() {
            self.connect_in(broker, 10_000);
        }
        Ok(())
    }

    pub fn start(&mut self) {
        self.try_start().expect("the journal is ours");
    }

    /// The process dies; what was not synced is gone.
    pub fn crash(&mut self) {
        self.gateway = None;
        self.due.clear();
        for broker in &mut self.brokers {
            broker.up = false;
            broker.offered.clear();
        }
    }

    /// The power goes: of the write that was under way any sectors may have
    /// reached the medium, in any order; `reached` says which.
    pub fn power_cut(&mut self, mut reached: impl FnMut(usize) -> bool) {
        for due in self.due.values() {
            if let Due::Disk(DiskOp::Commit { file, offset, bytes, .. }) = due {
                let medium = self.disk.files.get_mut(file).expect("allocated");
                for (sector, text) in bytes.chunks_exact(512).enumerate() {
                    let at = *offset as usize + sector * 512;
                    if reached(sector) {
                        medium[at..at + 512].copy_from_slice(text);
                    }
                }
            }
        }
        self.crash();
    }

    pub fn restart(&mut self) {
        self.crash();
        self.start();
    }

    pub fn frame(&mut self, link: u8, bytes: &[u8]) {
        self.frame_heard(link, bytes, -3);
    }

    /// A frame with this signal-to-noise ratio, dB.
    pub fn frame_heard(&mut self, link: u8, bytes: &[u8], snr_db: i16) {
        let signal = Signal {
            rssi_dbm: Some(-101),
            snr_quarter_db: Some(snr_db * 4),
            frequency_hz: Some(868_100_000),
            spreading_factor: Some(10),
            frequency_error_hz: Some(-1_250),
        };
        let ended = self.mono();
        self.input(Input::Frame { link: LinkId(link), ended, signal, bytes: bytes.to_vec() });
    }

    pub fn input(&mut self, input: Input) {
        let now = self.now();
        let Some(gateway) = &mut self.gateway else { return };
        gateway.handle(now, input);
        self.drain();
    }

    /// One more broker, of less precedence; before the start.
    pub fn add_broker(&mut self, name: &str) {
        assert!(self.gateway.is_none(), "the gateway has not learnt of it");
        self.brokers.push(Broker::new());
        self.settings.brokers.push(Name::new(name).expect("a valid name"));
    }

    fn broker_ids(&self) -> impl Iterator<Item = BrokerId> + use<> {
        BrokerId::all().take(self.brokers.len())
    }

    fn broker(&mut self, broker: BrokerId) -> &mut Broker {
        &mut self.brokers[broker.index()]
    }

    /// Cuts a broker's connection; it comes back if the broker is there.
    pub fn drop_connection(&mut self, broker: BrokerId) {
        if std::mem::take(&mut self.broker(broker).up) {
            self.broker(broker).offered.clear();
            self.input(Input::Broker(broker, BrokerInput::Down));
        }
        self.connect_in(broker, 500_000);
    }

    /// The first broker goes.
    pub fn broker_away(&mut self) {
        self.away(BrokerId(0));
    }

    /// The first broker returns.
    pub fn broker_back(&mut self) {
        self.back(BrokerId(0));
    }

    pub fn away(&mut self, broker: BrokerId) {
        self.broker(broker).there = false;
        self.drop_connection(broker);
    }

    pub fn back(&mut self, broker: BrokerId) {
        self.broker(broker).there = true;
        self.connect_in(broker, 1_000);
    }

    fn connect_in(&mut self, broker: BrokerId, us: u64) {
        if !self.due.values().any(|due| matches!(due, Due::Connect(of) if *of == broker)) {
            self.later(us, Due::Connect(broker));
        }
    }

    pub fn run_ms(&mut self, ms: u64) {
        let end = self.now_us + ms * 1000;
        loop {
            let timer = self
                .gateway
                .as_ref()
                .and_then(Gateway::next_deadline)
                .map(|mono| (self.boot_us + mono.us()).max(self.now_us));
            let next = self.due.keys().next().map(|(at, _)| *at);
            let message = self.centre.is_some().then_some(self.centre_at_us);
            let at = timer.into_iter().chain(next).chain(message).min().unwrap_or(u64::MAX);
            if at > end {
                self.now_us = end;
                return;
            }
            self.now_us = at;
            if message == Some(at) {
                self.centre_at_us += centre::EVERY_US;
                self.send_message();
            } else if next == Some(at) {
                let (_, due) = self.due.pop_first().expect("it has a first");
                self.happen(due);
            } else {
                self.site.push(SiteTrace::Wakes { at_us: at });
                self.input(Input::Timer);
                // A deadline that does not move would be a busy loop.
                let again = self.gateway.as_ref().and_then(Gateway::next_deadline);
                assert!(again.is_none_or(|mono| self.boot_us + mono.us() > self.now_us));
            }
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Disk(operation) => {
                let done = match &mut self.shell {
                    Some(shell) => shell(operation),
                    None => self.disk.carry_out(&operation),
                };
                self.input(Input::Disk(done));
            }
            Due::Input(broker, DueInput::Taken(id)) => {
                if self.broker(broker).offered.remove(&id.0) {
                    self.broker_says(broker, PUBACK_BYTES);
                    self.input(Input::Broker(broker, BrokerInput::Taken(id)));
                }
            }
            Due::Input(broker, DueInput::Refused(publish, reason)) => {
                if self.broker(broker).offered.remove(&publish.0) {
                    self.broker_says(broker, PUBACK_BYTES);
                    self.input(Input::Broker(broker, BrokerInput::Refused { publish, reason }));
                }
            }
            Due::Input(broker, DueInput::Receipt(receipt)) => {
                if self.broker(broker).up && self.broker(broker).centre_there {
                    self.broker_says(broker, receipt.len());
                    self.input(Input::Broker(broker, BrokerInput::Receipt(receipt.into_bytes())));
                }
            }
            Due::Keyring(keyring) => self.input(Input::Keyring(keyring)),
            Due::Offer(publish) => self.take_offer(&publish),
            Due::Connect(broker) => {
                if self.broker(broker).there && !self.broker(broker).up {
                    self.broker(broker).up = true;
                    self.input(Input::Broker(broker, BrokerInput::Up { in_flight_max: 100 }));
                }
            }
        }
    }

    fn broker_says(&mut self, broker: BrokerId, bytes: usize) {
        self.site.push(SiteTrace::FromBroker { at_us: self.now_us, broker, bytes });
    }

    fn take_offer(&mut self, publish: &Publish) {
        let broker = publish.broker;
        let line = self.broker(broker);
        if !line.up || !line.offered.contains(&publish.id.0) {
            return;
        }
        match (line.answer)(publish) {
            Answer::Take => {
                let json: Value = serde_json::from_slice(&publish.payload).expect("valid JSON");
                let (id, boot) = (&json["id"], &json["data"]["boot"]);
                let receipt = format!("{{\"received\":{id},\"boot\":{boot}}}");
                let seen = Seen {
                    at_us: self.now_us,
                    broker,
                    topic: publish.topic.clone(),
                    wire_bytes: publish.topic.len() + publish.payload.len(),
                    json,
                };
                self.later(500, Due::Input(broker, DueInput::Taken(publish.id)));
                if self.broker(broker).centre_there {
                    let us = (self.receipt_us)(&seen);
                    self.later(us, Due::Input(broker, DueInput::Receipt(receipt)));
                }
                self.seen.push(seen);
            }
            Answer::Refuse(reason) => {
                self.later(500, Due::Input(broker, DueInput::Refused(publish.id, reason)));
            }
            Answer::RefuseAndClose(reason) => {
                self.broker(broker).offered.remove(&publish.id.0);
                let refused = BrokerInput::Refused { publish: publish.id, reason };
                self.input(Input::Broker(broker, refused));
                self.drop_connection(broker);
            }
            Answer::Close => self.drop_connection(broker),
            Answer::Silence => {}
        }
    }

    fn later(&mut self, us: u64, due: Due) {
        self.order += 1;
        self.due.insert((self.now_us + us, self.order), due);
    }

    fn drain(&mut self) {
        let mut outputs = VecDeque::new();
        if let Some(gateway) = &mut self.gateway {
            outputs.extend(std::iter::from_fn(|| gateway.poll_output()));
        }
        let at_us = self.now_us;
        let lamps = self.gateway.as_ref().map_or(Lamps::DARK, Gateway::lamps);
        if self.lamps != lamps {
            self.lamps = lamps;
            self.site.push(SiteTrace::Lamps { at_us, lamps });
        }
        for output in outputs {
            match output {
                Output::Disk(operation) => {
                    if matches!(operation, DiskOp::Read { .. }) {
                        self.replays.push(self.site.len());
                    }
                    self.site.push(trace_of(&operation, at_us));
                    let us = self.disk.commit_us;
                    self.later(us, Due::Disk(operation));
                }
                Output::Publish(publish) => {
                    let bytes = publish.topic.len() + publish.payload.len();
                    if publish.payload.windows(15).any(|w| w == b"\"replayed\":true") {
                        self.replays.push(self.site.len());
                    }
                    self.site.push(SiteTrace::Uplink { at_us, broker: publish.broker, bytes });
                    let line = self.broker(publish.broker);
                    assert!(line.up, "offered to a broker that is not there");
                    assert!(line.offered.insert(publish.id.0), "an offer's number is new");
                    self.later(300, Due::Offer(publish));
                }
                Output::Transmit(transmit) => {
                    self.site.push(SiteTrace::Downlink {
                        at_us: self.boot_us + transmit.at.us(),
                        link: transmit.link.0,
                        bytes: transmit.frame.len(),
                        or_us: transmit.or.map(|later| self.boot_us + later.at.us()),
                        asked_us: at_us,
                    });
                    self.downlinks.push(transmit);
                }
                Output::Answer(answer) => {
                    let bytes = answer.topic.len() + answer.payload.len();
                    let json = serde_json::from_slice(&answer.payload).expect("valid JSON");
                    if let Some(centre) = &mut self.centre {
                        let line = &self.brokers[answer.broker.index()];
                        if line.up && line.centre_there {
                            centre.hear(&json);
                        }
                    }
                    self.answers.push((at_us, json, bytes));
                    self.answered_through.push(answer.broker);
                    self.site.push(SiteTrace::Uplink { at_us, broker: answer.broker, bytes });
                }
                Output::Enrol(order) => self.enrol(order),
                Output::Tell(notice) => {
                    self.site.push(SiteTrace::Notice { at_us, notice });
                    self.notices.push(notice);
                }
                Output::Stopped => self.stopped = true,
            }
        }
    }

    /// The keyring changes as ordered, and the gateway learns of it when it is written.
    fn enrol(&mut self, order: EnrolmentOrder) {
        self.site.push(SiteTrace::Enrol { at_us: self.now_us });
        match order {
            EnrolmentOrder::Revoke { pendant } => {
                self.keyring.remove(pendant);
            }
            EnrolmentOrder::Rebind { pendant, wearer } => {
                let mut enrolment = self.keyring.find(pendant).expect("enrolled").clone();
                enrolment.wearer = wearer;
                self.keyring.insert(enrolment);
            }
        }
        let keyring = self.keyring.clone();
        self.later(5_000, Due::Keyring(keyring));
    }

    /// What a pendant hears as the answer to its last frame, once it is there.
    pub fn answer_to(&mut self, pendant: &mut Pendant) -> Option<DownlinkMessage> {
        let counter = pendant.counter;
        self.downlinks.iter().rev().find_map(|t| pendant.hear(&t.frame, counter))
    }

    /// A frame is said, and its answer awaited in the first window.
    pub fn exchange(&mut self, pendant: &mut Pendant, body: Body) -> Option<Outcome> {
        self.exchange_in(pendant, body, 1_500)
    }

    /// The same with so long to answer.
    pub fn exchange_in(&mut self, pendant: &mut Pendant, body: Body, ms: u64) -> Option<Outcome> {
        let frame = pendant.say(body);
        self.frame(0, &frame);
        self.run_ms(ms);
        self.answer_to(pendant).map(|answer| answer.outcome)
    }

    /// The centre's message with these commands, and what the gateway answers.
    pub fn centre_says(&mut self, commands: Value) -> Value {
        self.centre_number += 1;
        let boot = self.report.expect("started").boot;
        let message = serde_json::json!({
            "message": "0190a1b2-c3d4-7e5f-8a0b-1c2d3e4f5061",
            "boot": format!("{boot:016x}"),
            "number": self.centre_number,
            "commands": commands,
        });
        let before = self.answers.len();
        self.bring(&message);
        self.run_ms(1_000);
        self.answers.get(before).map_or(Value::Null, |(_, answer, _)| answer.clone())
    }

    /// The message that the centre's clock asks for, if it can reach the gateway.
    fn send_message(&mut self) {
        let Some(centre) = &mut self.centre else { return };
        let line = &self.brokers[self.centre_through.index()];
        if line.up && line.centre_there {
            let message = centre.message(self.now_us, &self.seen);
            self.bring(&message);
        }
    }

    /// The broker brings a message of the centre.
    fn bring(&mut self, message: &Value) {
        let topic = format!("lonework/v1/{}/{}/command", self.settings.site, self.settings.gateway);
        let mut payload = message.to_string().into_bytes();
        payload.resize(CENTRE_WIRE_BYTES - topic.len(), b' ');
        self.broker_says(self.centre_through, payload.len());
        let message = BrokerInput::CentreMessage(payload);
        self.input(Input::Broker(self.centre_through, message));
    }

    pub fn kinds(&self) -> Vec<&str> {
        self.seen.iter().map(Seen::kind).collect()
    }

    /// Different events of a kind that the centre has.
    pub fn count(&self, kind: &str) -> usize {
        let ids: BTreeSet<&str> =
            self.seen.iter().filter(|seen| seen.kind() == kind).map(Seen::id).collect();
        ids.len()
    }

    /// How often events of a kind were offered and taken.
    pub fn told(&self, kind: &str) -> usize {
        self.seen.iter().filter(|seen| seen.kind() == kind).count()
    }

    pub fn backlog(&self) -> u64 {
        self.gateway.as_ref().map_or(0, |gateway| gateway.status().backlog)
    }

    /// Distinct numbers of each (boot, lane) that the centre has.
    pub fn numbers(&self) -> BTreeMap<(String, String), BTreeSet<u64>> {
        let mut numbers: BTreeMap<_, BTreeSet<u64>> = BTreeMap::new();
        for seen in &self.seen {
            let room = (seen.boot().to_owned(), seen.lane().to_owned());
            numbers.entry(room).or_default().insert(seen.number());
        }
        numbers
    }
}
