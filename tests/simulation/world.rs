//! The world: virtual time, everything that is to happen, and the gateway's
//! process, which may die between any two of its outputs.
//!
//! The parts that act are in `air`, `broker` and `disk`; what is right is the
//! judge's to say.

use super::air::Air;
use super::blame::Promise;
use super::broker::{Broker, Centre, FromBroker, Receipt};
use super::chance::Chance;
use super::disk::Disk;
use super::judge::Judge;
use super::reader::Press;
use super::swarm::{Fault, Swarm};
use super::trace::Trace;
use crate::rig::{self, EPOCH_MS};
use pendant_gateway::engine::event::Kind;
use pendant_gateway::engine::journal::recover::{Replay, Survey};
use pendant_gateway::engine::journal::{JournalKey, Limits};
use pendant_gateway::engine::keyring::Keyring;
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::notice::Notice;
use pendant_gateway::engine::seam::{
    BrokerInput, DiskDone, DiskOp, Input, LinkId, Output, Publish,
};
use pendant_gateway::engine::settings::Settings;
use pendant_gateway::engine::time::{Mono, Now, Wall, WallSource};
use pendant_gateway::engine::{Gateway, Seed};
use pendant_protocol::FrameBytes;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

pub const STORE_KEY: [u8; 32] = [7; 32];
/// Three of the centre's intervals.
const SILENCE_MS: u64 = 60_000;
/// More happenings than in any seed in which nobody is busy with nothing.
const HAPPENINGS_MAX: u64 = 200_000;
/// Most starts of the gateway in the safety phase.
const LIVES_MAX: u32 = 16;

/// Something that is to happen.
pub enum Due {
    /// The gateway's program starts.
    Start,
    /// A disk operation of that life ends.
    Disk(u32, DiskOp),
    /// A fault that comes and goes changes.
    Spell(Fault),
    /// A wearer does something.
    Press(usize),
    /// A pendant's frame has left it.
    Sent(usize, FrameBytes),
    /// A receiver heard something; its last byte then.
    Heard(LinkId, Vec<u8>, u64),
    /// A downlink has ended.
    Downlink(FrameBytes),
    Adversary,
    Connect(usize),
    Drop(usize, u32),
    Offer(usize, u32, Publish),
    FromBroker(usize, u32, FromBroker),
    CentreGets(usize, Vec<u8>),
    Receipt(usize, Receipt),
    CentreMessage,
}

/// A running gateway.
pub struct Process {
    pub gateway: Gateway,
    pub boot: u64,
    pub began_us: u64,
    pub life: u32,
}

pub struct World {
    pub swarm: Swarm,
    pub now_us: u64,
    due: BTreeMap<(u64, u64), Due>,
    order: u64,
    pub active: BTreeSet<Fault>,
    /// Which brokers are struck, a bit each.
    struck: u64,
    pub healed: bool,
    pub disk: Disk,
    disk_free_us: u64,
    pub process: Option<Process>,
    pub lives: u32,
    pub settings: Settings,
    pub keyring: Keyring,
    pub air: Air,
    pub brokers: Vec<Broker>,
    pub centre: Centre,
    pub judge: Judge,
    pub trace: Trace,
    happenings: u64,
    fate: Chance,
    spells: Chance,
    /// How far the wall clock is off; `None` while it is unset.
    wall_off_ms: Option<i64>,
}

fn settings(swarm: &Swarm) -> Settings {
    let name = |text: &str| Name::new(text).expect("a valid name");
    let mut settings = rig::settings();
    settings.links.truncate(1);
    let link = settings.links[0].clone();
    settings.links.resize(usize::from(swarm.receivers), link);
    settings.brokers = (0..swarm.brokers).map(|n| name(&format!("broker-{n}"))).collect();
    settings.policies.site.grace_ms = swarm.grace_ms;
    settings.policies.site.heartbeat_interval_ms = swarm.heartbeat_interval_ms;
    settings.delivery.receipts = swarm.receipts;
    settings.delivery.drain_per_s_max = NonZeroU32::new(swarm.drain_per_s);
    settings.delivery.receipt_wait_ms = 20_000;
    settings.delivery.escalate_after_ms = 10_000;
    settings.centre.silence_ms = SILENCE_MS;
    settings.journal = Limits { files_max: swarm.files_max, files_reserved: swarm.files_reserved };
    settings
}

impl World {
    pub fn new(swarm: Swarm, trace: Trace) -> Self {
        let seed = swarm.seed;
        let air = Air::new(&swarm);
        let mut keyring = Keyring::new();
        for wearer in &air.wearers {
            keyring.insert(wearer.enrolment());
        }
        let mut world = Self {
            now_us: 0,
            due: BTreeMap::new(),
            order: 0,
            active: BTreeSet::new(),
            struck: 1,
            healed: false,
            disk: Disk::new(seed),
            disk_free_us: 0,
            process: None,
            lives: 0,
            settings: settings(&swarm),
            keyring,
            air,
            brokers: (0..swarm.brokers).map(|_| Broker::default()).collect(),
            centre: Centre::new(seed),
            judge: Judge::new(&swarm, SILENCE_MS),
            trace,
            happenings: 0,
            fate: Chance::of(seed, "fate"),
            spells: Chance::of(seed, "spells"),
            wall_off_ms: Some(0),
            swarm,
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        for fault in Fault::ALL.into_iter().filter(|fault| fault.is_spell()) {
            if self.swarm.has(fault) {
                let wait_ms =
                    if self.spells.below(3) == 0 { 1 } else { self.spells.around(60_000) };
                self.later_ms(wait_ms, Due::Spell(fault));
            }
        }
        for wearer in 0..self.air.wearers.len() {
            let wait_ms = self.air.next_press_ms();
            self.later_ms(wait_ms, Due::Press(wearer));
        }
        self.judge.clock(0, self.wall_off_ms);
        self.later_ms(2, Due::Start);
        self.later_ms(5_000, Due::Adversary);
        self.later_ms(20_000, Due::CentreMessage);
    }

    pub fn later_us(&mut self, us: u64, due: Due) {
        self.order += 1;
        self.due.insert((self.now_us + us, self.order), due);
    }

    pub fn later_ms(&mut self, ms: u64, due: Due) {
        self.later_us(ms * 1000, due);
    }

    /// How often a fault strikes now.
    pub fn rate(&self, fault: Fault) -> u64 {
        if self.healed { 0 } else { self.swarm.rate(fault) }
    }

    pub fn is_on(&self, fault: Fault) -> bool {
        self.active.contains(&fault)
    }

    /// A fault of brokers strikes some of them.
    pub fn strikes_broker(&self, fault: Fault, broker: usize) -> bool {
        self.is_on(fault) && self.struck & (1 << broker) != 0
    }

    /// Lets everything happen until then, or until something was found wrong.
    pub fn run_until(&mut self, end_us: u64) {
        while self.judge.is_content() {
            let timer = self.process.as_ref().and_then(|process| {
                let mono = process.gateway.next_deadline()?;
                Some((process.began_us + mono.us()).max(self.now_us))
            });
            let pendant = self.air.next_deadline_us().map(|at| at.max(self.now_us));
            let due = self.due.keys().next().map(|(at, _)| *at);
            let at = [timer, pendant, due].into_iter().flatten().min().unwrap_or(u64::MAX);
            if at > end_us {
                self.now_us = end_us;
                return;
            }
            self.now_us = at;
            if due == Some(at) {
                let (_, due) = self.due.pop_first().expect("it has a first");
                self.happen(due);
            } else if pendant == Some(at) {
                self.pendant_timers();
            } else {
                self.input(Input::Timer, None);
            }
            self.happenings += 1;
            if self.happenings > HAPPENINGS_MAX {
                let busy = format!("it is busy and gets nowhere: {timer:?} {pendant:?} {due:?}");
                self.judge.blame(self.now_us, Promise::Sound, busy);
            }
        }
    }

    /// Everything that was wrong ends.
    pub fn heal(&mut self) {
        self.healed = true;
        self.active.clear();
        self.set_clock(Some(0));
        self.trace.note(self.now_us, "heal", || "everything is healed".into());
        if self.process.is_none() {
            self.later_ms(2_000, Due::Start);
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Start => self.start(),
            Due::Disk(life, operation) => self.disk_done(life, &operation),
            Due::Spell(fault) => self.spell(fault),
            Due::Press(wearer) => self.press(wearer),
            Due::Sent(wearer, frame) => self.sent(wearer, &frame),
            Due::Heard(link, bytes, ended_us) => self.heard(link, bytes, ended_us),
            Due::Downlink(frame) => self.downlink(&frame),
            Due::Adversary => self.adversary(),
            Due::Connect(broker) => self.connect(broker),
            Due::Drop(broker, connection) => self.drop_connection(broker, connection),
            Due::Offer(broker, connection, publish) => self.offered(broker, connection, publish),
            Due::FromBroker(broker, connection, news) => {
                self.broker_says(broker, connection, news);
            }
            Due::CentreGets(broker, payload) => self.centre_gets(broker, &payload),
            Due::Receipt(broker, receipt) => self.receipt(broker, receipt),
            Due::CentreMessage => self.centre_message(),
        }
    }

    fn spell(&mut self, fault: Fault) {
        if self.healed {
            return;
        }
        let begins = self.active.insert(fault);
        if !begins {
            self.active.remove(&fault);
        }
        self.trace.note(self.now_us, (fault, begins), || {
            format!("{fault:?} {}", if begins { "begins" } else { "ends" })
        });
        match fault {
            Fault::ClockUnset | Fault::ClockSteps => {
                let unset = self.is_on(Fault::ClockUnset);
                let off_ms = if self.is_on(Fault::ClockSteps) {
                    let day_ms = 86_400_000;
                    let off_ms = i64::try_from(self.spells.below(2 * day_ms)).expect("two days");
                    off_ms - i64::try_from(day_ms).expect("a day")
                } else {
                    0
                };
                self.set_clock((!unset).then_some(off_ms));
            }
            Fault::BrokerAway if begins => {
                self.struck = self.spells.within(1..1 << self.brokers.len());
                let struck = |broker: &usize| self.struck & (1 << *broker) != 0;
                for broker in (0..self.brokers.len()).filter(struck).collect::<Vec<_>>() {
                    self.drop_connection(broker, self.brokers[broker].connection);
                }
            }
            _ => {}
        }
        let mean_ms = if begins { 20_000 } else { 90_000 };
        let wait_ms = self.spells.around(mean_ms);
        self.later_ms(wait_ms, Due::Spell(fault));
    }

    fn set_clock(&mut self, off_ms: Option<i64>) {
        self.wall_off_ms = off_ms;
        self.judge.clock(self.now_us, off_ms);
    }

    pub fn now(&self, began_us: u64) -> Now {
        let wall = match self.wall_off_ms {
            None => Wall::Unset,
            Some(off_ms) => Wall::Set {
                unix_ms: EPOCH_MS + off_ms + i64::try_from(self.now_us / 1000).expect("short"),
                uncertainty_ms: if off_ms == 0 { 50 } else { 86_400_000 },
                source: if off_ms == 0 { WallSource::Ntp } else { WallSource::Unverified },
            },
        };
        Now { mono: Mono::from_us(self.now_us - began_us), wall }
    }

    fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        for (place, sector) in self.disk.settle() {
            self.judge.synced(place, &sector, false);
        }
        let files = self.disk.files();
        let mut survey = Survey::new();
        for (file, bytes) in &files {
            survey.file(*file, bytes);
        }
        let recovered = survey.plan().and_then(|plan| {
            let mut replay = Replay::new(plan, JournalKey::from_bytes(STORE_KEY));
            for file in replay.order() {
                if let Some((_, bytes)) = files.iter().find(|(number, _)| *number == file) {
                    replay.file(file, bytes);
                }
            }
            let mut seed = [0; 32];
            seed.fill_with(|| self.fate.next().to_le_bytes()[0]);
            seed[0] ^= self.swarm.draws;
            let now = self.now(self.now_us);
            Gateway::recover(self.settings.clone(), &self.keyring, Seed(seed), now, replay)
        });
        let (gateway, report) = match recovered {
            Ok(recovered) => recovered,
            Err(error) => {
                self.judge.blame(self.now_us, Promise::NoLoss, format!("no start: {error}"));
                return;
            }
        };
        self.lives += 1;
        self.trace.note(self.now_us, ("start", report.boot, report.backlog), || {
            format!("start {}: {report:?}", self.lives)
        });
        self.judge.began(self.now_us, report.boot, report.damaged);
        self.process =
            Some(Process { gateway, boot: report.boot, began_us: self.now_us, life: self.lives });
        self.drain(None);
        for link in 0..self.swarm.receivers {
            self.input(Input::Link { link: LinkId(link), up: true }, None);
        }
        for broker in 0..self.brokers.len() {
            let wait_ms = self.fate.within(5..500);
            self.later_ms(wait_ms, Due::Connect(broker));
        }
    }

    /// Hands the gateway an input and carries out what comes of it. `about` is
    /// the press that a frame bears.
    pub fn input(&mut self, input: Input, about: Option<Press>) {
        let Some(process) = &self.process else { return };
        let now = self.now(process.began_us);
        match &input {
            Input::Broker(broker, BrokerInput::Up { .. }) => {
                self.judge.line(self.now_us, usize::from(broker.0), true);
            }
            Input::Broker(broker, BrokerInput::Down) => {
                self.judge.line(self.now_us, usize::from(broker.0), false);
            }
            Input::Broker(_, BrokerInput::CentreMessage(_)) => self.judge.message(self.now_us),
            _ => {}
        }
        let process = self.process.as_mut().expect("just seen");
        process.gateway.handle(now, input);
        self.drain(about);
    }

    fn drain(&mut self, about: Option<Press>) {
        let Some(process) = &mut self.process else { return };
        let outputs: Vec<Output> = std::iter::from_fn(|| process.gateway.poll_output()).collect();
        if let Some(press) = about {
            self.judge_priority(press, &outputs);
        }
        let dies_after = self.dies_within(outputs.len());
        for (n, output) in outputs.into_iter().enumerate() {
            if dies_after == Some(n) {
                break;
            }
            self.carry_out(output);
        }
        if dies_after.is_some() {
            self.die();
        }
    }

    /// Whether the process dies now, and after how many of its outputs.
    fn dies_within(&mut self, outputs: usize) -> Option<usize> {
        let rate = self.rate(Fault::Kill) + self.rate(Fault::PowerCut);
        (self.lives < LIVES_MAX && self.fate.hits(rate)).then(|| self.fate.place(outputs + 1))
    }

    fn die(&mut self) {
        let Some(process) = self.process.take() else { return };
        let under_way = self.due.values().find_map(|due| match due {
            Due::Disk(life, operation) if *life == process.life => Some(operation.clone()),
            _ => None,
        });
        let (kills, cuts) = (self.rate(Fault::Kill), self.rate(Fault::PowerCut));
        let cut = self.fate.below(kills + cuts) < cuts;
        self.trace.note(self.now_us, ("die", cut), || {
            format!("{} (life {})", if cut { "the power is cut" } else { "killed" }, process.life)
        });
        if cut {
            for (place, sector) in self.disk.cut(under_way.as_ref()) {
                self.judge.synced(place, &sector, false);
            }
        } else {
            self.disk.kill(under_way.as_ref());
        }
        self.due.retain(|_, due| !matches!(due, Due::Disk(..)));
        self.disk_free_us = 0;
        for broker in &mut self.brokers {
            broker.lose();
        }
        self.judge.ended(self.now_us);
        if self.fate.hits(self.rate(Fault::DamageAtRest)) {
            let hit = self.disk.damage();
            self.trace.note(self.now_us, &hit, || format!("damage at rest: {hit:?}"));
            self.judge.damaged(&hit);
        }
        let off_ms = match (cut, self.fate.below(4)) {
            (false, _) => self.fate.within(100..10_000),
            (true, 0) => self.fate.within(10_000..600_000),
            (true, _) => self.fate.within(1_000..30_000),
        };
        self.later_ms(off_ms, Due::Start);
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Disk(operation) => {
                let slow = self.is_on(Fault::SlowDisk);
                let begins = self.disk_free_us.max(self.now_us);
                self.disk_free_us = begins + self.disk.duration_us(&operation, slow);
                let life = self.lives;
                self.later_us(self.disk_free_us - self.now_us, Due::Disk(life, operation));
            }
            Output::Publish(publish) => self.publish(publish),
            Output::Transmit(transmit) => {
                let began_us = self.process.as_ref().map_or(0, |process| process.began_us);
                let at_us = (began_us + transmit.at.us()).max(self.now_us);
                let frame = transmit.frame.try_into().expect("a native downlink");
                self.transmit(at_us, frame);
            }
            Output::Answer(answer) => {
                self.trace.note(self.now_us, &answer.payload, || "answers the centre".into());
            }
            Output::Enrol(_) | Output::Stopped => {}
            Output::Tell(notice) => self.told(notice),
        }
    }

    fn told(&mut self, notice: Notice) {
        if !matches!(
            notice,
            Notice::Heard { .. } | Notice::HeardAgain { .. } | Notice::HeardBeside { .. }
        ) {
            self.trace.note(self.now_us, format!("{notice:?}"), || format!("tells {notice:?}"));
        }
        self.judge.told(self.now_us, notice);
    }

    fn disk_done(&mut self, life: u32, operation: &DiskOp) {
        if self.process.as_ref().is_none_or(|process| process.life != life) {
            return;
        }
        let carried = self.disk.carry_out(operation, &self.active);
        let failed = matches!(carried.done, DiskDone::Failed(..));
        for (place, sector) in &carried.synced {
            self.judge.synced(*place, sector, !failed);
        }
        self.trace.note(self.now_us, (failed, carried.synced.len()), || match operation {
            DiskOp::Commit { file, offset, bytes, .. } => {
                let (from, count) = (offset / 512, bytes.len() / 512);
                format!("commit of {count} at {file}:{from}{}", if failed { " FAILED" } else { "" })
            }
            DiskOp::Allocate { file, .. } => format!("file {file}, failed: {failed}"),
            DiskOp::Read { file, offset, bytes, .. } => {
                let (from, count) = (offset / 512, bytes / 512);
                format!("read of {count} at {file}:{from}{}", if failed { " FAILED" } else { "" })
            }
        });
        let commit_failed = failed && matches!(operation, DiskOp::Commit { .. });
        self.input(Input::Disk(carried.done), None);
        if let Some(process) = self.process.as_ref().filter(|_| commit_failed) {
            self.judge.commit_failed(self.now_us, process.gateway.status().journal_works);
        }
    }

    /// P7: a fresh frame's event is offered in the same moment, whatever waits.
    fn judge_priority(&mut self, press: Press, outputs: &[Output]) {
        let fresh = outputs.iter().any(|o| matches!(o, Output::Tell(Notice::Heard { .. })));
        self.judge.handled(self.now_us, press, fresh);
        let may = self.brokers.iter().any(Broker::takes_fresh);
        if !fresh || !may {
            return;
        }
        let offered = outputs.iter().any(|output| match output {
            Output::Publish(publish) => super::centre::is_about(&publish.payload, press),
            _ => false,
        });
        if !offered {
            self.judge.blame(
                self.now_us,
                Promise::UrgentFirst,
                format!("{press:?} was heard and not offered at once"),
            );
        }
    }

    /// Events that the gateway says are still to be delivered.
    pub fn backlog(&self) -> u64 {
        self.process.as_ref().map_or(u64::MAX, |process| process.gateway.status().backlog)
    }
}

/// Kinds that a timer gives, and no frame.
pub fn is_of_timer(kind: &str) -> bool {
    [Kind::Overdue, Kind::ManDown, Kind::Fall, Kind::SupervisionLost, Kind::SupervisionRestored]
        .iter()
        .any(|timer| timer.as_str() == kind)
}
