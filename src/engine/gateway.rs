//! The gateway as one state machine: `handle` one input, then `poll_output`
//! until there is none.

mod air;
mod answers;
mod brokers;
mod certificates;
mod frames;
mod joins;
#[cfg(feature = "leaks")]
pub mod leak;
mod links;
mod news;
mod orders;
mod own_test;
#[cfg(test)]
mod tests;
mod timers;

use super::acknowledge::Custody;
use super::age::{Age, AgeClock};
use super::air::AirWatch;
use super::by_pendant::ByPendant;
use super::certificate::CertificateWatch;
use super::chance::{Chance, Seed};
use super::command::{CentreSilence, Commands};
use super::delivery::{Delivery, Receipted};
use super::downlinks::Downlinks;
use super::event::{
    Boot, Detail, EndedBoot, Event, EventId, Kind, Lane, Stamp, Telling, gateway_event_id,
};
use super::journal::recover::{RecoverError, Replay};
use super::journal::{Haste, Journal, Lsn, Shed};
use super::keyring::{Keyring, Member, Members};
use super::lamp::Lamps;
use super::mutant::{Mutant, planted};
use super::notice::{Notice, Refusal};
use super::payload::{Voice, topic_base};
use super::pendant::{Departed, PendantState, Supervision};
use super::record::Hearing;
use super::seam::{Answer, BrokerId, Input, LinkId, Output};
use super::settings::Settings;
use super::time::{Mono, Now, Wall};
use brokers::BrokerWatch;
use links::LinkWatch;
use news::start_news;
use own_test::OwnTest;
pub use own_test::{LastTest, TestFate, TestRefusal};
use pendant_protocol::{Instruction, PendantId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use timers::Timers;

/// Events remembered as being in the centre's custody.
const RECEIPTED_MAX: usize = 256;
/// Stale counters and refusals of one kind are told at most this often, ms.
const TELL_AGAIN_MS: u64 = 3_600_000;

/// What recovery found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// This boot.
    pub boot: Boot,
    /// The boot before, if the journal knows one.
    pub previous: Option<EndedBoot>,
    /// Events still to be delivered.
    pub backlog: u64,
    /// Frames that could not be read back.
    pub damaged: u64,
}

/// What anyone on site may ask. Counts only: no lane, no kind, no event (P5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// This boot.
    pub boot: Boot,
    /// Enrolled pendants.
    pub pendants: usize,
    /// Events that the centre has not receipted yet.
    pub backlog: u64,
    /// Whether any broker is connected.
    pub broker_up: bool,
    /// Whether the centre receipts.
    pub centre_heard: bool,
    /// Whether the centre's regular message comes.
    pub centre_messages: bool,
    /// Whether the journal can be written.
    pub journal_works: bool,
    /// Links in the configuration.
    pub links: usize,
    /// Those of them that can be used.
    pub links_up: usize,
    /// Many pendants fell silent together, and less than half of them are back.
    pub reception_suspect: bool,
    /// A channel looks jammed, or many pendants are silent together since shortly.
    pub jamming_suspected: bool,
    /// The newest test alarm of the gateway itself, in this boot.
    pub last_test: Option<LastTest>,
}

/// The engine.
pub struct Gateway {
    settings: Settings,
    voice: Voice,
    boot: Boot,
    secret: [u8; 32],
    members: Members,
    states: ByPendant<PendantState>,
    departed: Departed,
    age: AgeClock,
    /// Something of this boot was stamped while the clock was not set.
    stamped_unset: bool,
    timers: Timers,
    commands: Commands,
    silence: CentreSilence,
    /// Answers to the centre that wait for their sync.
    answers: VecDeque<(Lsn, Answer)>,
    /// What pendants are to do, with their next first-time acknowledgement.
    instructions: BTreeMap<PendantId, Instruction>,
    /// Pendants whose newest state the journal had no room for.
    volatile: BTreeSet<PendantId>,
    /// Events whose custody is the centre's, for repetitions of their frames.
    receipted: BTreeMap<EventId, Receipted>,
    chance: Chance,
    journal: Journal,
    delivery: Delivery,
    custody: Custody,
    downlinks: Downlinks,
    numbers: [u64; 3],
    transmits: u64,
    links: BTreeMap<LinkId, LinkWatch>,
    airtime_told: BTreeMap<LinkId, Mono>,
    air: AirWatch,
    refusal_told: BTreeMap<(BrokerId, u8), Mono>,
    brokers: Vec<BrokerWatch>,
    certificates: CertificateWatch,
    /// What memory had to give up, until there is room to tell it.
    dropped: [Option<Shed>; 3],
    /// What the start, or a change of the keyring, has to tell, until the journal has room
    /// for it.
    to_tell: VecDeque<(Kind, Detail)>,
    /// Whose enrolment cannot be read, as the centre was told.
    unreadable: BTreeSet<PendantId>,
    own_test: Option<OwnTest>,
    stopping: bool,
    outputs: VecDeque<Output>,
    #[cfg(feature = "leaks")]
    leaking: leak::Leaking,
}

impl Gateway {
    /// Takes up where the journal ends.
    ///
    /// # Errors
    /// The journal is foreign: nothing was changed.
    pub fn recover(
        settings: Settings,
        keyring: &Keyring,
        seed: Seed,
        now: Now,
        replay: Replay,
    ) -> Result<(Self, RecoveryReport), RecoverError> {
        let mut chance = Chance::new(seed);
        let boot = if planted(Mutant::RepeatBoot) { 7 } else { chance.number() };
        let mut secret = [0; 32];
        for word in secret.chunks_exact_mut(8) {
            word.copy_from_slice(&chance.number().to_le_bytes());
        }
        let found = replay.finish(boot, settings.journal)?;
        let report = RecoveryReport {
            boot,
            previous: found.previous,
            backlog: found.journal.live(),
            damaged: found.damaged,
        };
        let to_tell = start_news(&found);
        let mut gateway = Self {
            voice: Voice::new(&settings, boot),
            boot,
            secret,
            members: Members::default(),
            age: AgeClock::resume(found.tick, latest_age(&found.states), now),
            stamped_unset: false,
            timers: Timers::new(now.mono),
            commands: Commands::new(
                &topic_base(&settings),
                boot,
                settings.centre.keys.clone(),
                found.answered,
            ),
            silence: CentreSilence::new(settings.centre.silence_ms),
            answers: VecDeque::new(),
            instructions: BTreeMap::new(),
            states: found.states.into_iter().collect(),
            departed: Departed::default(),
            volatile: BTreeSet::new(),
            receipted: BTreeMap::new(),
            dropped: [None; 3],
            chance,
            journal: found.journal,
            delivery: Delivery::new(settings.delivery, settings.brokers.len(), now.mono),
            custody: Custody::default(),
            downlinks: Downlinks::default(),
            numbers: [0; 3],
            transmits: 0,
            links: BTreeMap::new(),
            airtime_told: BTreeMap::new(),
            air: AirWatch::default(),
            refusal_told: BTreeMap::new(),
            brokers: settings.brokers.iter().map(|_| BrokerWatch::new(now.mono)).collect(),
            certificates: CertificateWatch::default(),
            to_tell,
            unreadable: BTreeSet::new(),
            own_test: None,
            stopping: false,
            outputs: VecDeque::new(),
            #[cfg(feature = "leaks")]
            leaking: leak::Leaking::default(),
            settings,
        };
        gateway.listen_from(now);
        gateway.take_keyring(keyring, now);
        if report.damaged > 0 {
            gateway.notice(Notice::JournalDamage { slots: report.damaged });
        }
        gateway.pump(now);
        Ok((gateway, report))
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Timer => {}
            Input::Frame { link, ended, signal, bytes } => {
                let received = Stamp { mono: ended, wall: now.wall_at(ended) };
                self.frame(&bytes, Hearing { link, signal, received }, now);
            }
            Input::Link { link, up } => self.link(link, up, now),
            Input::Air { link, report } => self.air_reported(link, report, now),
            Input::Disk(done) => {
                self.journal.handle(done, now.mono);
                // What is to be released may stand elsewhere now: that must be known first.
                self.say_start(now);
                self.take_journal_news(now);
            }
            Input::Broker(broker, news) => self.broker(broker, news, now),
            Input::TransmitDone { link, outcome } => self.transmit_done(link, outcome, now),
            Input::Keyring(keyring) => self.take_keyring(&keyring, now),
            Input::Test => self.test(now),
            Input::Shutdown => {
                self.stopping = true;
                self.tick(now);
                self.tell(Kind::GatewayStopping, Detail::None, now);
                self.delivery.release_all(&mut self.journal);
            }
        }
        self.handle_timers(now);
        self.hand_over_due(now);
        self.handle_silence(now);
        self.handle_brokers(now);
        self.handle_links(now);
        self.handle_certificates(now);
        self.handle_air(now);
        self.delivery.handle_time(&mut self.journal, now.mono);
        self.pump(now);
    }

    /// The next thing to do, until there is nothing more.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        #[cfg(feature = "leaks")]
        let output = output.map(|output| self.leaking.output(output));
        output
    }

    /// When `Input::Timer` is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        let parts = [
            self.delivery.next_deadline(),
            self.journal.next_deadline(),
            self.next_timer(),
            self.silence.next_deadline(),
            self.downlinks.next_deadline(),
            self.brokers.iter().filter_map(BrokerWatch::next_deadline).min(),
            self.links.values().filter_map(LinkWatch::next_deadline).min(),
            self.air.next_deadline(),
            self.certificates.next_deadline(),
        ];
        parts.into_iter().flatten().min()
    }

    /// What may be shown on site.
    #[must_use]
    pub fn status(&self) -> Status {
        let backlog = self.journal.live();
        #[cfg(feature = "leaks")]
        let backlog = backlog + self.leaking.backlog();
        Status {
            boot: self.boot,
            pendants: self.members.len(),
            backlog,
            broker_up: self.delivery.any_up(),
            centre_heard: self.delivery.centre_heard(),
            centre_messages: !self.silence.is_lost(),
            journal_works: !self.journal.has_failed(),
            links: self.settings.links.len(),
            links_up: self.links.values().filter(|watch| watch.up).count(),
            reception_suspect: self.timers.is_reception_suspect(),
            jamming_suspected: self.air.is_suspected(),
            last_test: self.last_test(),
        }
    }

    /// What the lamps show.
    #[must_use]
    pub fn lamps(&self) -> Lamps {
        let lamps = Lamps::of(&self.status());
        #[cfg(feature = "leaks")]
        let lamps = self.leaking.lamps(lamps);
        lamps
    }

    fn take_keyring(&mut self, keyring: &Keyring, now: Now) {
        self.members = keyring.members(&self.settings, self.boot);
        let members = &self.members;
        let mut known: BTreeMap<PendantId, PendantState> =
            std::mem::take(&mut self.states).into_iter().collect();
        let goes = |pendant: PendantId, state: &PendantState| {
            members.get(pendant).is_none_or(|member| member.enrolment != state.enrolment)
        };
        let missing = |state: &PendantState| state.supervision == Supervision::LostWithMany;
        let were_missing = known.values().any(missing);
        let gone: Vec<PendantId> =
            known.iter().filter(|(id, state)| goes(**id, state)).map(|(id, _)| *id).collect();
        for pendant in gone {
            if let Some(state) = known.remove(&pendant) {
                self.departed.add(state);
            }
            self.timers.forget(pendant);
            self.instructions.remove(&pendant);
            self.volatile.remove(&pendant);
            self.journal.drop_state(pendant);
        }
        let (departed, age) = (&mut self.departed, self.age.at(now));
        let state = |(pendant, member): (PendantId, &Member)| {
            let known = known.remove(&pendant);
            (pendant, known.unwrap_or_else(|| departed.enrol(pendant, member.enrolment, age)))
        };
        self.states = members.iter().map(state).collect();
        if were_missing && !self.states.values().any(missing) {
            // Whoever could have shown that reception is back will not be heard any more.
            self.timers.nobody_is_missing();
            self.to_tell.push_back((Kind::ReceptionRestored, Detail::None));
        }
        let timed = self.states.iter().filter(|_| !planted(Mutant::ForgetTimers));
        for (pendant, state) in timed {
            self.timers.set(pendant, state, &self.settings.policies);
        }
        self.say_unreadable(keyring);
    }

    /// A pendant's state has changed.
    fn put_state(&mut self, pendant: PendantId, state: PendantState) {
        self.timers.set(pendant, &state, &self.settings.policies);
        self.states.insert(pendant, state);
    }

    /// Something that the gateway has to say of itself.
    fn tell(&mut self, kind: Kind, detail: Detail, now: Now) {
        self.tell_as(kind, detail, now);
    }

    /// The same; says under which name.
    fn tell_as(&mut self, kind: Kind, detail: Detail, now: Now) -> Telling {
        let lane = kind.lane();
        let number = self.next_number(lane);
        let event = Event {
            id: gateway_event_id(&self.secret, self.boot, lane, number),
            kind,
            boot: self.boot,
            number,
            received: Stamp { mono: now.mono, wall: now.wall },
            from: None,
            detail,
        };
        self.keep(&event, None, Haste::AtOnce, now);
        event.telling()
    }

    /// Records an event of a pendant with the state that it left.
    fn keep_with_state(
        &mut self,
        event: &Event,
        pendant: PendantId,
        state: &PendantState,
        haste: Haste,
        now: Now,
    ) -> Option<Lsn> {
        let less = self.withhold(pendant, state, None);
        let lsn = self.keep(event, Some(less.as_ref().unwrap_or(state)), haste, now);
        match lsn {
            Some(lsn) if less.is_none() => self.state_is_kept(pendant, lsn),
            _ => drop(self.volatile.insert(pendant)),
        }
        lsn
    }

    /// The whole newest state of a pendant has a place in the journal: with it, what waited
    /// for a place is answered, be its own events delivered long since.
    fn state_is_kept(&mut self, pendant: PendantId, lsn: Lsn) {
        self.volatile.remove(&pendant);
        self.custody.settle_state(pendant, lsn);
    }

    /// Records an event and offers it at once, beside the sync and not after it.
    fn keep(
        &mut self,
        event: &Event,
        state: Option<&PendantState>,
        haste: Haste,
        now: Now,
    ) -> Option<Lsn> {
        self.stamped_unset |= event.received.wall == Wall::Unset;
        let lsn = self.journal.append_event(event, state, haste).ok();
        if lsn.is_none() {
            self.notice(Notice::JournalOverflow);
        }
        let outputs = &mut self.outputs;
        let publish = |publish| outputs.push_back(Output::Publish(publish));
        self.delivery.offer_fresh(event, lsn, &self.voice, now, publish);
        lsn
    }

    /// Moves everything on that can move, until nothing does.
    fn pump(&mut self, now: Now) {
        loop {
            self.say_start(now);
            // First what memory gave up: no state that is kept from here on may speak of it.
            self.take_delivery_news(now);
            self.house_homeless();
            self.say_dropped(now);
            self.take_journal_news(now);
            self.take_delivery_news(now);
            self.carry_states();
            let publish = self.delivery.poll(&mut self.journal, &self.voice, now);
            let operation = self.journal.poll_operation(now.mono);
            if publish.is_none() && operation.is_none() && !self.journal.has_news() {
                break;
            }
            self.outputs.extend(operation.map(Output::Disk));
            self.outputs.extend(publish.map(Output::Publish));
        }
        if self.stopping && self.journal.is_settled() {
            self.stopping = false;
            self.outputs.push_back(Output::Stopped);
        }
    }

    fn take_journal_news(&mut self, now: Now) {
        while let Some(news) = self.journal.poll_news() {
            self.journal_news(news, now);
        }
    }

    fn take_delivery_news(&mut self, now: Now) {
        while let Some(news) = self.delivery.poll_news() {
            self.delivery_news(news, now);
        }
    }

    fn next_number(&mut self, lane: Lane) -> u64 {
        self.numbers[lane as usize] += 1;
        self.numbers[lane as usize]
    }

    fn refuse(&mut self, link: LinkId, why: Refusal) {
        self.notice(Notice::FrameRefused { link, why });
    }

    fn notice(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Tell(notice));
    }
}

/// Whether it is time for what is told at most once an hour.
fn is_to_be_told(told: Option<Mono>, now: Now) -> bool {
    told.is_none_or(|told| now.mono.ms_since(told) >= TELL_AGAIN_MS)
}

/// The latest age that any state bears.
fn latest_age(states: &BTreeMap<PendantId, PendantState>) -> Age {
    states.values().map(|state| state.heard).max().unwrap_or_default()
}
