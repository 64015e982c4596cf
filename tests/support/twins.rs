//! Twins (P5): any history is lived through twice, differing only in what must
//! not show, and all that anyone on site could record is compared.
//!
//! Histories are generated from a seed: `SEED=n` replays the n-th, and
//! `HISTORIES=n` asks for another number of them than the ordinary one.

use super::hunt::{hunt as hunt_seeds, seeds as seeds_asked};
use super::pendant::*;
use super::rig::centre::Centre;
use super::rig::{Answer, Rig, SiteTrace};
use pendant_gateway::engine::journal::Limits;
use pendant_gateway::engine::policy::Policy;
use pendant_gateway::engine::seam::{BrokerId, DiskFault, Input, LinkId, Publish, TransmitOutcome};
use pendant_gateway::engine::{Status, TestRefusal};
use pendant_protocol::{Body, DownlinkMessage, FrameBytes, SealedDownlink};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::num::NonZeroU32;
use std::ops::Range;

const PENDANTS: u32 = 2;
/// Both windows of an answer are over after this.
const ANSWERED_MS: u64 = 2_500;
/// Longer than any pause after which something is offered again.
const HEALED_MS: u64 = 300_000;
/// Three of the centre's intervals, as by default.
const CENTRE_SILENCE_MS: u64 = 60_000;

/// In what the twins differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// The safe PIN, or the duress PIN.
    Pins,
    /// A heartbeat, or a discreet panic in its place.
    Discreet,
    /// A heartbeat, or an open panic where the site has decided that it is covert.
    Hidden,
    /// A wrong PIN, of which the centre is told, or which alarms it.
    Wrong,
}

impl Pair {
    /// Whether what the twins differ in is as urgent in both lives.
    fn is_of_one_lane(self) -> bool {
        matches!(self, Self::Pins | Self::Wrong)
    }

    fn said(self, covert: bool) -> Body {
        match (self, covert) {
            (Self::Pins, false) => pin(SAFE),
            (Self::Pins, true) => pin(DURESS),
            (Self::Discreet | Self::Hidden, false) => HEARTBEAT,
            (Self::Discreet, true) => DISCREET,
            (Self::Hidden, true) => PANIC,
            (Self::Wrong, _) => pin(WRONG),
        }
    }
}

/// What a pendant says.
#[derive(Clone, Copy, Debug)]
pub enum Say {
    /// The same in both histories.
    Same(Body),
    /// What the twins differ in.
    Twin,
}

/// How a frame is heard.
#[derive(Clone, Copy, Debug)]
pub enum Heard {
    By(u8),
    /// By both receivers at once.
    Twice,
    /// Jammed. It may be heard later, by [`Step::Repeat`].
    Never,
}

/// How a site is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plant {
    /// There is a second broker.
    pub second: bool,
    /// The disk has no room at the first start.
    pub full: bool,
    /// Open panics are covert, man-downs alarm at once, pendants are missed soon.
    pub brisk: bool,
    /// The journal may not grow.
    pub small: bool,
    /// The backlog goes as fast as the line takes it.
    pub unpaced: bool,
    /// The brokers' word is enough.
    pub hasty: bool,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// Stands first, if at all.
    Plant(Plant),
    /// The connection to this broker breaks.
    Drop(u8),
    /// The second broker goes or returns.
    Second(bool),
    /// The centre's message comes through this broker from now on.
    Through(u8),
    /// A receiver goes or returns.
    Link(u8, bool),
    /// What became of an answer.
    Sent(u8, TransmitOutcome),
    /// The gateway is stopped in order, and started again.
    Stop,
    /// This pendant's enrolment ends, or begins again as it was.
    Enrolled(usize, bool),
    /// The first broker does this with offers.
    Answer(fn(&Publish) -> Answer),
    /// Somebody presses so often.
    Flood(usize, u16),
    Say(usize, Say, Heard),
    /// The pendant's n-th last frame is heard again.
    Repeat(usize, usize),
    Wait(u64),
    Broker(bool),
    /// The broker refuses everything with this code, or takes it again.
    Refusal(Option<u8>),
    /// The centre receipts.
    Centre(bool),
    /// The centre reacts otherwise from now on.
    Mood(u64),
    Clock(bool),
    Restart,
    /// The power goes; the bits say which sectors reached the medium.
    PowerCut(u64),
    SlowDisk(u64),
    DiskFault(Option<DiskFault>),
    /// Somebody on site asks for a test alarm of the gateway itself.
    OwnTest,
}

/// One thing that somebody on site can know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Site(SiteTrace),
    /// What the pendant with this number shows.
    Shown(u32, DownlinkMessage),
    Status(Option<Status>),
    /// Whether there may be a test alarm, and which channels look jammed.
    May(Option<(Result<(), TestRefusal>, [bool; 2])>),
    /// What a start says of what it found: backlog, damage.
    Found(u64, u64),
}

/// Where two histories part, as seen on site.
#[derive(Clone, Debug)]
pub struct Difference {
    pub steps: Vec<Step>,
    pub line: usize,
    pub plain: Option<Line>,
    pub covert: Option<Line>,
}

/// One life of a site, and what was seen of it.
struct Player<'p> {
    pair: Pair,
    rig: Rig,
    pendants: Vec<Pendant>,
    said: Vec<Vec<FrameBytes>>,
    prepare: &'p dyn Fn(&mut Rig),
    lines: Vec<Line>,
    seen: usize,
    opened: usize,
    /// The store has failed.
    failed: bool,
    /// Line from which on something came out of the backlog after that.
    drained: Option<usize>,
}

impl<'p> Player<'p> {
    fn new(pair: Pair, covert: bool, plant: Plant, prepare: &'p dyn Fn(&mut Rig)) -> Self {
        let pendants: Vec<Pendant> = (1..=PENDANTS).map(Pendant::new).collect();
        let mut rig = Rig::off(&pendants.iter().collect::<Vec<_>>());
        rig.settings.centre.silence_ms = CENTRE_SILENCE_MS;
        rig.settings.delivery.drain_per_s_max = NonZeroU32::new(200).filter(|_| !plant.unpaced);
        rig.settings.delivery.receipts = !plant.hasty;
        if plant.second {
            rig.add_broker("second");
        }
        if plant.full {
            rig.disk.fault = Some(DiskFault::Full);
        }
        if plant.brisk {
            rig.settings.policies.site = Policy {
                panic_is_covert: true,
                pre_alarm_ms: 0,
                grace_ms: 1_000,
                wrong_pins_to_alarm: 1,
                heartbeat_interval_ms: 20_000,
                heartbeats_missed_max: 2,
                ..Policy::default()
            };
        }
        let policy = &mut rig.settings.policies.site;
        policy.panic_is_covert |= pair == Pair::Hidden;
        if pair == Pair::Wrong {
            policy.wrong_pins_to_alarm = if covert { 2 } else { u8::MAX };
        }
        if plant.small {
            rig.settings.journal = Limits { files_max: 4, files_reserved: 4 };
        }
        rig.centre = Some(Centre::default());
        rig.start();
        prepare(&mut rig);
        rig.run_ms(200);
        let said = vec![Vec::new(); pendants.len()];
        let mut player = Self {
            pair,
            rig,
            pendants,
            said,
            prepare,
            lines: Vec::new(),
            seen: 0,
            opened: 0,
            failed: plant.full,
            drained: None,
        };
        for who in 0..player.pendants.len() {
            player.say(who, HEARTBEAT, Heard::By(0));
        }
        player
    }

    fn play(mut self, steps: &[Step], covert: bool) -> Life {
        for step in steps {
            if matches!(step, Step::Plant(_)) {
                continue;
            }
            self.failed |= matches!(step, Step::DiskFault(Some(_)));
            self.step(step, covert);
            self.look();
        }
        self.rig.brokers[0].answer = |_| Answer::Take;
        self.rig.disk.fault = None;
        for broker in 0..self.rig.brokers.len() {
            self.rig.brokers[broker].centre_there = true;
            self.rig.back(BrokerId(broker as u8));
        }
        self.rig.run_ms(HEALED_MS);
        self.look();
        Life { lines: self.lines, drained: self.drained, rig: self.rig }
    }

    fn step(&mut self, step: &Step, covert: bool) {
        let rig = &mut self.rig;
        match step {
            Step::Say(who, Say::Same(body), heard) => self.say(*who, *body, *heard),
            Step::Say(who, Say::Twin, heard) => self.say(*who, self.pair.said(covert), *heard),
            Step::Repeat(who, back) => {
                let said = &self.said[*who];
                let frame = said[said.len() - 1 - back % said.len()];
                self.hear(*who, &frame, Heard::By(0));
            }
            Step::Wait(ms) => rig.run_ms(*ms),
            Step::Broker(true) => rig.broker_back(),
            Step::Broker(false) => rig.broker_away(),
            Step::Refusal(None) => rig.brokers[0].answer = |_| Answer::Take,
            Step::Answer(answer) => rig.brokers[0].answer = *answer,
            Step::Refusal(Some(0x10)) => rig.brokers[0].answer = |_| Answer::Refuse(0x10),
            Step::Refusal(Some(_)) => rig.brokers[0].answer = |_| Answer::Refuse(0x97),
            Step::Centre(there) => rig.brokers[0].centre_there = *there,
            Step::Mood(mood) => rig.centre.as_mut().expect("there is one").mood = *mood,
            Step::Clock(set) => rig.wall_set = *set,
            Step::Plant(_) => {}
            Step::Drop(n) => rig.drop_connection(BrokerId(n % rig.brokers.len() as u8)),
            Step::Second(_) if rig.brokers.len() < 2 => {}
            Step::Second(true) => rig.back(BrokerId(1)),
            Step::Second(false) => rig.away(BrokerId(1)),
            Step::Through(n) => rig.centre_through = BrokerId(n % rig.brokers.len() as u8),
            Step::Link(n, up) => rig.input(Input::Link { link: LinkId(*n), up: *up }),
            Step::Sent(n, outcome) => {
                rig.input(Input::TransmitDone { link: LinkId(*n), outcome: *outcome });
            }
            Step::Stop => {
                rig.input(Input::Shutdown);
                rig.run_ms(3_000);
                rig.crash();
                self.start();
            }
            Step::Enrolled(who, there) => {
                let pendant = &self.pendants[*who];
                rig.centre.as_mut().expect("there is one").leave_alone(pendant.id);
                if *there {
                    rig.keyring.insert(pendant.enrolment());
                } else {
                    rig.keyring.remove(pendant.id);
                }
                let keyring = rig.keyring.clone();
                rig.input(Input::Keyring(keyring));
            }
            Step::Flood(who, presses) => {
                for _ in 0..*presses {
                    let frame = self.pendants[*who].say(start(30));
                    self.rig.frame(0, &frame);
                    self.rig.run_ms(1);
                }
            }
            Step::Restart => {
                rig.crash();
                self.start();
            }
            Step::PowerCut(sectors) => {
                rig.power_cut(|sector| sectors >> (sector % 64) & 1 == 1);
                self.start();
            }
            Step::SlowDisk(us) => rig.disk.commit_us = *us,
            Step::DiskFault(fault) => rig.disk.fault = *fault,
            Step::OwnTest => rig.input(Input::Test),
        }
    }

    fn start(&mut self) {
        self.rig.start();
        (self.prepare)(&mut self.rig);
        if let Some(report) = &self.rig.report {
            self.lines.push(Line::Found(report.backlog, report.damaged));
        }
        self.rig.run_ms(50);
    }

    fn say(&mut self, who: usize, body: Body, heard: Heard) {
        let frame = self.pendants[who].say(body);
        self.said[who].push(frame);
        self.hear(who, &frame, heard);
    }

    fn hear(&mut self, who: usize, frame: &FrameBytes, heard: Heard) {
        match heard {
            Heard::By(link) => self.rig.frame(link, frame),
            Heard::Twice => {
                self.rig.frame(0, frame);
                self.rig.frame(1, frame);
            }
            Heard::Never => return,
        }
        self.rig.run_ms(ANSWERED_MS);
        self.rig.answer_to(&mut self.pendants[who]);
    }

    /// Notes what there was to be seen since the last look.
    fn look(&mut self) {
        let replay = self.rig.replays.iter().find(|at| **at >= self.seen);
        if let Some(at) = replay.filter(|_| self.failed && self.drained.is_none()) {
            let seen = self.rig.site[self.seen..*at].iter().filter(|trace| self.is_seen(trace));
            self.drained = Some(self.lines.len() + seen.count());
        }
        let new = self.rig.site[self.seen..].iter().filter(|trace| self.is_seen(trace));
        let new: Vec<Line> = new.cloned().map(Line::Site).collect();
        self.lines.extend(new);
        self.seen = self.rig.site.len();
        let new = &self.rig.downlinks[self.opened..];
        let shown: Vec<Line> = new.iter().map(|downlink| self.shown(&downlink.frame)).collect();
        self.lines.extend(shown);
        self.opened = self.rig.downlinks.len();
        let gateway = self.rig.gateway.as_ref();
        self.lines.push(Line::Status(gateway.map(|gateway| gateway.status())));
        self.lines.push(Line::May(gateway.map(|gateway| {
            let jammed = [0, 1].map(|link| gateway.suspects_jamming(LinkId(link)));
            (gateway.may_test(self.rig.now()), jammed)
        })));
    }

    /// Where a discreet panic stands among heartbeats in the backlog decides which
    /// stretch is read when (docs/sniffer.md, "What can be told").
    fn is_seen(&self, trace: &SiteTrace) -> bool {
        self.pair.is_of_one_lane() || !matches!(trace, SiteTrace::Read { .. })
    }

    fn shown(&self, frame: &[u8]) -> Line {
        let downlink = SealedDownlink::parse(frame).expect("a downlink");
        let known = self.pendants.iter().find(|pendant| pendant.id == downlink.pendant());
        // Histories are too short for counters above 16 bits.
        let key = known.expect("one of ours").key.downlink(downlink.slot());
        let message = downlink.open(&key, downlink.counter_low().into()).expect("genuine");
        Line::Shown(downlink.pendant().get(), message)
    }
}

/// What came of a history: what was seen of it, and the rig for more questions.
pub struct Life {
    pub lines: Vec<Line>,
    pub drained: Option<usize>,
    pub rig: Rig,
}

/// Both lives of a history; `prepare` is called after every start of a gateway.
pub fn live(pair: Pair, steps: &[Step], prepare: &dyn Fn(&mut Rig)) -> [Life; 2] {
    let plant = match steps.first() {
        Some(Step::Plant(plant)) => *plant,
        _ => Plant::default(),
    };
    [false, true].map(|covert| Player::new(pair, covert, plant, prepare).play(steps, covert))
}

/// Where the lives of a history part. With a store that fails, answers wait for the
/// centre's receipts, and of a backlog those come lane by lane: a discreet panic and
/// a heartbeat are compared until then (docs/sniffer.md, "What can be told").
pub fn compare(pair: Pair, steps: &[Step], prepare: &dyn Fn(&mut Rig)) -> Option<Difference> {
    let [plain, covert] = live(pair, steps, prepare);
    let end = match pair {
        _ if pair.is_of_one_lane() => None,
        _ => plain.drained.into_iter().chain(covert.drained).min(),
    };
    let end = end.unwrap_or(plain.lines.len().max(covert.lines.len()));
    let line = (0..end).find(|line| plain.lines.get(*line) != covert.lines.get(*line))?;
    let [plain, covert] = [plain, covert].map(|life| life.lines.get(line).cloned());
    Some(Difference { steps: steps.to_vec(), line, plain, covert })
}

/// Asserts that a history shows nothing, and gives both rigs.
pub fn assert_twins(pair: Pair, steps: &[Step]) -> [Rig; 2] {
    if let Some(difference) = compare(pair, steps, &|_| {}) {
        panic!("the site can tell: {difference:#?}");
    }
    live(pair, steps, &|_| {}).map(|life| life.rig)
}

/// The history that a seed stands for. Every other one for a discreet panic is
/// without outages, and so is compared to its end. In the others there is one broker, and it
/// does not hang up on what it gets: to which of two an event goes, and what a slow disk
/// must give a second time, is a matter of lanes (docs/sniffer.md, "What can be told"). So is
/// the moment of an event without a rate, as long as what it waits for is read.
pub fn history(pair: Pair, seed: u64) -> Box<dyn ValueTree<Value = Vec<Step>>> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let chance = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let outages = u32::from(pair.is_of_one_lane() || seed % 2 == 0);
    let steps = steps(outages, outages == 0 || pair.is_of_one_lane());
    steps.new_tree(&mut TestRunner::new_with_rng(Config::default(), chance)).expect("a history")
}

/// Looks at histories until one shows a difference, with all processors. Gives
/// the lowest seed that was found to show one.
pub fn hunt(
    pair: Pair,
    seeds: Range<u64>,
    prepare: &(dyn Fn(&mut Rig) + Sync),
) -> Option<(u64, Difference)> {
    hunt_seeds(seeds, |seed| compare(pair, &history(pair, seed).current(), prepare))
}

/// Asserts that generated histories show nothing: `count` of them, or what the
/// environment asks for. A history that does is made as short as it can be.
pub fn assert_histories(pair: Pair, count: u64) {
    let seeds = seeds_asked("HISTORIES", count);
    let Some((seed, mut difference)) = hunt(pair, seeds, &|_| {}) else { return };
    let mut tree = history(pair, seed);
    let mut simpler = tree.simplify();
    while simpler {
        match compare(pair, &tree.current(), &|_| {}) {
            Some(found) => {
                difference = found;
                simpler = tree.simplify();
            }
            None => simpler = tree.complicate(),
        }
    }
    panic!("{pair:?}, SEED={seed}: the site can tell: {difference:#?}");
}

/// Histories; `outages` is how often something fails, `all` whether there may also be a
/// second broker, and one that hangs up.
fn steps(outages: u32, all: bool) -> BoxedStrategy<Vec<Step>> {
    let who = 0..PENDANTS as usize;
    // Once it counts as hanging, answers wait for receipts, and so for lanes.
    let slowest_us = if all && outages > 0 { 20_000_000 } else { 1_800_000u64 };
    let heard = prop_oneof![
        8 => Just(Heard::By(0)),
        1 => Just(Heard::By(1)),
        1 => Just(Heard::Twice),
        1 => Just(Heard::Never),
    ];
    let say = prop_oneof![3 => body().prop_map(Say::Same), 2 => Just(Say::Twin)];
    let step = prop_oneof![
        12 => (who.clone(), say, heard).prop_map(|(who, say, heard)| Step::Say(who, say, heard)),
        2 => (who.clone(), 0..4usize).prop_map(|(who, back)| Step::Repeat(who, back)),
        3 => (1..200_000u64).prop_map(Step::Wait),
        2 => any::<u64>().prop_map(Step::Mood),
        2 => Just(Step::OwnTest),
        1 => any::<bool>().prop_map(Step::Clock),
        1 => (100..slowest_us).prop_map(Step::SlowDisk),
        1 => (0..2u8, any::<bool>()).prop_map(|(link, up)| Step::Link(link, up)),
        1 => sent(),
        1 => (200_000..20_000_000u64).prop_map(Step::Wait),
        1 => (0..2u8).prop_map(Step::Through),
    ];
    let enrolled = (who, any::<bool>()).prop_map(|(who, there)| Step::Enrolled(who, there));
    let step = prop_oneof![27 => step, 1 => enrolled];
    let step = match outages {
        0 => step.boxed(),
        _ => prop_oneof![35 => step, 5 * outages => outage(all)].boxed(),
    };
    let steps = prop::collection::vec(step, 1..30);
    (plant(outages, all), steps)
        .prop_map(|(plant, mut steps)| {
            steps.insert(0, Step::Plant(plant));
            steps
        })
        .boxed()
}

/// How a site is set up; `all` is whether it may have two brokers, and drain without a rate.
fn plant(outages: u32, all: bool) -> impl Strategy<Value = Plant> {
    let rare = || prop::bool::weighted(if outages > 0 { 0.2 } else { 0.0 });
    let even = any::<bool>;
    let second = even().prop_map(move |both| both && all);
    (second, rare(), even(), even(), rare(), rare()).prop_map(
        move |(second, full, brisk, small, unpaced, hasty)| Plant {
            second,
            full,
            brisk,
            small,
            unpaced: unpaced && all,
            hasty,
        },
    )
}

fn sent() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        Just(TransmitOutcome::Sent),
        Just(TransmitOutcome::Failed),
        Just(TransmitOutcome::NoAirtime),
    ];
    (0..2u8, outcome).prop_map(|(link, outcome)| Step::Sent(link, outcome))
}

fn outage(all: bool) -> BoxedStrategy<Step> {
    let hangs_up = prop_oneof![
        Just(Step::Answer(|_| Answer::Silence)),
        Just(Step::Answer(|_| Answer::Close)),
        Just(Step::Answer(|_| Answer::RefuseAndClose(0x97))),
    ];
    let other = prop_oneof![
        1 => any::<bool>().prop_map(Step::Broker),
        1 => any::<bool>().prop_map(Step::Second),
        1 => (0..2u8).prop_map(Step::Drop),
        1 => Just(Step::Stop),
        1 => prop::option::of(prop_oneof![Just(0x10), Just(0x97)]).prop_map(Step::Refusal),
        1 => any::<bool>().prop_map(Step::Centre),
        1 => prop_oneof![Just(Step::Restart), any::<u64>().prop_map(Step::PowerCut)],
        1 => prop_oneof![
            2 => Just(None),
            1 => Just(Some(DiskFault::Io)),
            1 => Just(Some(DiskFault::Full)),
        ]
        .prop_map(Step::DiskFault),
    ];
    if all { prop_oneof![8 => other, 1 => hangs_up].boxed() } else { other.boxed() }
}

/// Anything that a pendant can say; a covert thing may be said in both lives.
fn body() -> impl Strategy<Value = Body> {
    let place = 0..3u16;
    prop_oneof![
        4 => Just(HEARTBEAT),
        1 => Just(PANIC),
        1 => Just(DISCREET),
        3 => (0..120u16).prop_map(start),
        1 => (0..30u16).prop_map(|minutes| Body::SessionExtend { minutes, place: 4 }),
        1 => Just(Body::CheckIn { place: 0 }),
        1 => prop_oneof![Just(WRONG), Just(SAFE), Just(DURESS)].prop_map(pin),
        1 => Just(Body::Test { place: 0 }),
        1 => Just(Body::ManDown { place: 9 }),
        1 => place.clone().prop_map(|place| Body::Fall { place }),
        1 => place.clone().prop_map(|place| Body::Tamper { place }),
        1 => place.clone().prop_map(|place| Body::CancelAlert { place }),
        1 => place.prop_map(|place| Body::LowBattery { place }),
    ]
}
