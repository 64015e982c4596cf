//! Which event is offered to which broker, and when. An event is released by
//! the centre's receipt (or, without receipts, by a success PUBACK), by nothing
//! else; everything else only decides when it is offered again.
//!
//! A fresh event is offered at once, whatever its lane: to the first broker that
//! is there, and to the next as well while that one is not well. The backlog
//! follows in a small window (`window`), at a bounded rate (`pace`): urgent, then
//! trouble, then routine, each in the order of reception.

mod apart;
mod backlog;
mod brokers;
mod line;
mod pace;
mod receipts;
#[cfg(test)]
mod tests;
mod window;

use super::event::{Event, EventId, Lane, Telling};
use super::journal::{Journal, Lsn};
use super::payload::Voice;
use super::seam::{BROKERS_MAX, BrokerId, Publish, PublishId};
use super::settings::DeliverySettings;
use super::time::{Mono, Now};
use apart::Apart;
use backlog::Backlog;
pub use line::OFFERS_MAX;
use line::{Brokers, Line, UNHEARD_PAUSE_MS};
use pace::Pace;
use pendant_protocol::PendantId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most events that may wait for a receipt before the backlog pauses.
const AWAITING_DRAIN_MAX: usize = 512;
/// Most events that may wait for a receipt at all; beyond it the oldest goes
/// back to the backlog.
const AWAITING_MAX: usize = 2048;
/// Events that were offered and went back to the backlog of which a receipt is known
/// for what it is.
const GIVEN_BACK_MAX: usize = 256;
/// Most events kept in memory because the journal has no room.
const UNJOURNALLED_MAX: usize = 256;
/// Releases that are journalled without waiting for the interval.
const RELEASE_BATCH: usize = 512;
/// MQTT 5 reason code: no matching subscribers.
const NO_SUBSCRIBERS: u8 = 0x10;

/// Where an event is kept.
#[derive(Clone, Debug)]
enum Place {
    /// In the journal.
    Journal(Lsn),
    /// Only here: the journal had no room.
    Memory(Box<Event>),
}

/// An event on its way: offered, or taken and waiting for its receipt.
struct Sent {
    place: Place,
    /// It is offered out of the backlog.
    replayed: bool,
    /// What was read of it, while no broker has answered.
    read: Option<Box<Event>>,
    /// Where an offer of it is open.
    open: Brokers,
    /// Who took it.
    taken: Brokers,
    /// Until when its receipt is waited for, once a broker has taken it.
    until: Option<Mono>,
}

impl Sent {
    /// Where it stands in the journal, unless it is only here.
    fn lsn(&self) -> Option<Lsn> {
        match self.place {
            Place::Journal(lsn) => Some(lsn),
            Place::Memory(_) => None,
        }
    }
}

/// The centre has an event. Made from a receipt and nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receipted {
    event: EventId,
}

impl Receipted {
    #[cfg(test)]
    pub(super) fn of(event: EventId) -> Self {
        Self { event }
    }

    pub(super) fn event(self) -> EventId {
        self.event
    }
}

/// What delivery has to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeliveryNews {
    /// A broker refused an event.
    Refused { broker: BrokerId, reason: u8, event: EventId },
    /// The centre does not receipt what it gets through a broker, or does again.
    Centre { broker: BrokerId, heard: bool },
    /// An event that only memory held was given up.
    Dropped(Box<Event>),
}

/// The way of events to the centre.
pub(super) struct Delivery {
    settings: DeliverySettings,
    lines: Vec<Line>,
    pace: Pace,
    publishes: u64,
    sent: BTreeMap<Telling, Sent>,
    /// How many of those were taken and wait for their receipt.
    awaiting: usize,
    /// When the wait for a receipt is over; when it has become too long for the
    /// broker to be relied on. Entries of events that are done pass by.
    deadlines: VecDeque<(Mono, Telling)>,
    escalations: VecDeque<(Mono, Telling)>,
    backlog: Backlog,
    given_back: VecDeque<(Telling, Lsn)>,
    /// The gateway's own test alarm, as long as it was never given back.
    followed: Option<Telling>,
    memory: VecDeque<Event>,
    /// Something of a lane stands in memory only, here or in an open offer.
    homeless: [bool; 3],
    /// A broker refused one of those in memory, or hung up on it: to that broker none of
    /// them before this moment.
    memory_after: [Option<Mono>; BROKERS_MAX],
    apart: Apart,
    to_release: BTreeSet<Lsn>,
    release_at: Mono,
    /// The backlog waits for its pace alone.
    paced: bool,
    news: VecDeque<DeliveryNews>,
}

impl Delivery {
    pub(super) fn new(settings: DeliverySettings, brokers: usize, now: Mono) -> Self {
        Self {
            settings,
            lines: (0..brokers).map(|_| Line::new()).collect(),
            pace: Pace::new(settings.drain_per_s_max),
            publishes: 0,
            sent: BTreeMap::new(),
            awaiting: 0,
            deadlines: VecDeque::new(),
            escalations: VecDeque::new(),
            backlog: Backlog::default(),
            given_back: VecDeque::new(),
            followed: None,
            memory: VecDeque::new(),
            homeless: [false; 3],
            memory_after: [None; BROKERS_MAX],
            apart: Apart::default(),
            to_release: BTreeSet::new(),
            release_at: now.plus_ms(settings.release_interval_ms),
            paced: false,
            news: VecDeque::new(),
        }
    }

    pub(super) fn poll_news(&mut self) -> Option<DeliveryNews> {
        self.news.pop_front()
    }

    /// Whether any broker is connected.
    pub(super) fn any_up(&self) -> bool {
        !self.up().is_empty()
    }

    fn up(&self) -> Brokers {
        self.those(|line| line.up)
    }

    /// The brokers to which the lines are such.
    fn those(&self, are_such: impl Fn(&Line) -> bool) -> Brokers {
        let lines = BrokerId::all().zip(&self.lines);
        lines.filter(|(_, line)| are_such(line)).map(|(broker, _)| broker).collect()
    }

    /// Whether the centre receipts through some broker that is there, as far as
    /// is known.
    pub(super) fn centre_heard(&self) -> bool {
        self.lines.iter().any(|line| !line.mute)
    }

    /// Whether a fresh event would be offered now, and not only kept.
    pub(super) fn takes_fresh(&self) -> bool {
        !self.carriers().is_empty()
    }

    /// This event was offered fresh. Until it goes back to the backlog, if it does, it
    /// is followed.
    pub(super) fn follow(&mut self, event: Telling) {
        self.followed = Some(event);
    }

    /// Whether this event is followed, still or until it was done.
    pub(super) fn follows(&self, event: Telling) -> bool {
        self.followed == Some(event)
    }

    /// A fresh event: offered now wherever the live stream goes, kept otherwise.
    pub(super) fn offer_fresh(
        &mut self,
        event: &Event,
        lsn: Option<Lsn>,
        voice: &Voice,
        now: Now,
        publish: impl FnMut(Publish),
    ) {
        let place = match lsn {
            Some(lsn) => Place::Journal(lsn),
            None => {
                self.remain_homeless(event.kind.lane());
                Place::Memory(Box::new(event.clone()))
            }
        };
        let carriers = self.carriers();
        if carriers.is_empty() {
            self.keep(place);
        } else {
            self.offer(event, place, carriers, false, voice, now, publish);
        }
    }

    /// Where a fresh event goes: down to the first broker that can be relied on.
    fn carriers(&self) -> Brokers {
        let mut carriers = Brokers::default();
        for (broker, line) in BrokerId::all().zip(&self.lines) {
            if line.takes_fresh() {
                carriers.insert(broker);
                if line.is_well() {
                    break;
                }
            }
        }
        carriers
    }

    /// Events read from the journal for the backlog.
    pub(super) fn backlog(&mut self, events: Vec<(Lsn, Event)>, end: Lsn) {
        let up = self.up();
        self.backlog.take_read(events, end, |lsn| self.apart.is_apart_from(lsn, up));
    }

    /// A frame that the disk does not give now: later.
    pub(super) fn unreadable(&mut self, lsn: Lsn, now: Mono) {
        self.backlog.unreadable(lsn);
        for broker in BrokerId::all().take(self.lines.len()) {
            self.set_apart(lsn, broker, true, now);
        }
    }

    /// Events of these lanes that only memory holds. Each may be handed to `settle`.
    pub(super) fn homeless(&mut self, lanes: impl Fn(Lane) -> bool) -> Vec<Event> {
        if self.homeless == [false; 3] {
            return Vec::new();
        }
        let mut asked = [false; 3];
        for lane in Lane::ALL.into_iter().filter(|lane| lanes(*lane)) {
            asked[lane as usize] = std::mem::take(&mut self.homeless[lane as usize]);
        }
        self.only_here().filter(|event| asked[event.kind.lane() as usize]).cloned().collect()
    }

    fn only_here(&self) -> impl Iterator<Item = &Event> {
        let open = self.sent.values().filter_map(|sent| match &sent.place {
            Place::Memory(event) => Some(&**event),
            Place::Journal(_) => None,
        });
        open.chain(&self.memory)
    }

    /// Events of a pendant that only memory holds.
    pub(super) fn only_here_of(&self, pendant: PendantId) -> impl Iterator<Item = &Event> {
        let of_pendant = move |event: &&Event| {
            event.from.as_ref().is_some_and(|from| from.pendant == pendant.get())
        };
        self.only_here().filter(of_pendant)
    }

    /// Whether a covert alarm of a pendant waits for its receipt.
    pub(super) fn has_covert_alarm_of(&self, pendant: PendantId, journal: &Journal) -> bool {
        let mut journalled = journal.covert_alarms_of(pendant);
        journalled.any(|lsn| !self.to_release.contains(&lsn))
            || self.only_here_of(pendant).any(|event| event.kind.alarms_covertly())
    }

    /// There are still events of a lane without a place in the journal.
    pub(super) fn remain_homeless(&mut self, lane: Lane) {
        self.homeless[lane as usize] = true;
    }

    /// The journal has taken an event that only memory held.
    pub(super) fn settle(&mut self, event: Telling, lsn: Lsn) {
        self.memory.retain(|held| held.telling() != event);
        match self.sent.get_mut(&event) {
            Some(sent) => {
                sent.place = Place::Journal(lsn);
                self.backlog.claim(lsn);
            }
            None => self.backlog.give_back(lsn),
        }
    }

    /// Frames have other positions.
    pub(super) fn moved(&mut self, moved: &BTreeMap<Lsn, Lsn>) {
        let to = |lsn: Lsn| moved.get(&lsn).copied().unwrap_or(lsn);
        self.backlog.moved(moved);
        for (_, lsn) in &mut self.given_back {
            *lsn = to(*lsn);
        }
        self.to_release = self.to_release.iter().copied().map(to).collect();
        self.apart.moved(to);
        for sent in self.sent.values_mut() {
            if let Place::Journal(lsn) = &mut sent.place {
                *lsn = to(*lsn);
            }
        }
    }

    /// When something becomes due by itself.
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        let up = self.any_up();
        let receipts = [self.deadlines.front(), self.escalations.front()];
        let receipts = receipts.into_iter().flatten().map(|(until, _)| *until).filter(|_| up);
        let release = (!self.to_release.is_empty()).then_some(self.release_at);
        let apart = self.apart.next_due().filter(|_| up);
        let memory = BrokerId::all().zip(&self.lines).filter(|(_, line)| line.up);
        let memory = memory.filter_map(|(broker, _)| self.memory_after[broker.index()]).min();
        let memory = memory.filter(|_| !self.memory.is_empty());
        let pace = self.paced.then(|| self.pace.opens());
        let pauses = self.lines.iter().filter_map(Line::paused_until);
        [release, apart, memory, pace].into_iter().flatten().chain(receipts).chain(pauses).min()
    }

    /// What has become due: receipts that did not come, releases, refused events.
    pub(super) fn handle_time(&mut self, journal: &mut Journal, now: Mono) {
        if self.any_up() {
            self.handle_receipts(now);
        }
        self.lines.iter_mut().for_each(|line| line.handle_time(now));
        for after in &mut self.memory_after {
            after.take_if(|after| *after <= now);
        }
        while let Some(lsn) = self.apart.take_due(now) {
            self.backlog.look_again_from(lsn);
        }
        if now >= self.release_at || self.to_release.len() >= RELEASE_BATCH {
            self.release_at = now.plus_ms(self.settings.release_interval_ms);
            self.release_all(journal);
        }
    }

    /// Journals every release at once.
    pub(super) fn release_all(&mut self, journal: &mut Journal) {
        let released = std::mem::take(&mut self.to_release);
        journal.release(&released);
        for lsn in &released {
            self.backlog.forget(*lsn);
            self.apart.forget(*lsn);
        }
    }

    /// The next offer out of the backlog, or `None` while nothing may go.
    pub(super) fn poll(
        &mut self,
        journal: &mut Journal,
        voice: &Voice,
        now: Now,
    ) -> Option<Publish> {
        self.paced = false;
        loop {
            let Some(first) = self.drains() else {
                self.pace.rest();
                return None;
            };
            let up = self.up();
            let waits = |lsn| self.apart.is_apart_from(lsn, up);
            self.backlog.fetch(journal, waits);
            let memory_to = self.memory_to(first, now.mono);
            let waits = self.backlog.has_ready() || memory_to.is_some();
            if waits || self.backlog.is_reading() {
                self.pace.wake(now.mono);
            } else {
                self.pace.rest();
            }
            if !waits {
                return None;
            }
            let open = self.lines[first.index()].admits_backlog(now.mono)
                && self.awaiting < AWAITING_DRAIN_MAX;
            if !open {
                return None;
            }
            if !self.pace.may_go(now.mono) {
                self.paced = true;
                return None;
            }
            if let Some((broker, event)) =
                memory_to.and_then(|to| Some((to, self.memory.pop_front()?)))
            {
                let place = Place::Memory(Box::new(event.clone()));
                return self.offer_old(&event, place, broker, voice, now);
            }
            let (lsn, event) = self.backlog.pop()?;
            if !journal.is_live(lsn) {
                self.backlog.forget(lsn);
            } else if self.to_release.contains(&lsn) {
                // Its receipt came meanwhile.
            } else if self.sent.contains_key(&event.telling()) {
                // Cleaning had copied it when the power went: one copy is enough.
                self.to_release.insert(lsn);
            } else if let Some(broker) = self.drain_to(lsn, first, now.mono) {
                return self.offer_old(&event, Place::Journal(lsn), broker, voice, now);
            }
        }
    }

    /// The broker to which the backlog goes.
    fn drains(&self) -> Option<BrokerId> {
        let taking = || BrokerId::all().zip(&self.lines).filter(|(_, line)| line.takes_backlog());
        let well = taking().find(|(_, line)| line.is_well());
        well.or_else(|| taking().next()).map(|(broker, _)| broker)
    }

    /// Where an event of the backlog goes. What the first broker refused may go
    /// to another; it waits if that has no room now.
    fn drain_to(&mut self, lsn: Lsn, first: BrokerId, now: Mono) -> Option<BrokerId> {
        if !self.apart.is_apart(lsn, first) {
            return Some(first);
        }
        let others = || {
            let lines = BrokerId::all().zip(&self.lines);
            lines.filter(|(broker, line)| line.up && !self.apart.is_apart(lsn, *broker))
        };
        let other = self.with_room(now, |broker| !self.apart.is_apart(lsn, broker));
        if other.is_none() {
            // None that is there may be asked for it again in the same moment.
            let full: Brokers = others().map(|(broker, _)| broker).collect();
            for broker in full.iter() {
                self.apart.wait(lsn, broker, now, UNHEARD_PAUSE_MS);
            }
            self.backlog.give_back(lsn);
        }
        other
    }

    /// Where an event goes that only memory holds, if one may go now. What the first broker
    /// refused may go to another.
    fn memory_to(&self, first: BrokerId, now: Mono) -> Option<BrokerId> {
        let may =
            |broker: BrokerId| self.memory_after[broker.index()].is_none_or(|after| after <= now);
        let to = if may(first) { Some(first) } else { self.with_room(now, may) };
        to.filter(|_| !self.memory.is_empty())
    }

    /// The first of these brokers to which an event may go that is not fresh.
    fn with_room(&self, now: Mono, may: impl Fn(BrokerId) -> bool) -> Option<BrokerId> {
        let admits = |line: &Line| line.takes_fresh() && line.admits_backlog(now);
        let mut lines = BrokerId::all().zip(&self.lines);
        lines.find(|(broker, line)| may(*broker) && admits(line)).map(|(broker, _)| broker)
    }

    fn offer_old(
        &mut self,
        event: &Event,
        place: Place,
        broker: BrokerId,
        voice: &Voice,
        now: Now,
    ) -> Option<Publish> {
        self.pace.spend();
        let mut offered = None;
        let to = Brokers::from_iter([broker]);
        self.offer(event, place, to, true, voice, now, |publish| offered = Some(publish));
        offered
    }

    /// Offers an event to all of these; at least one.
    #[expect(clippy::too_many_arguments, reason = "each is one plain thing")]
    fn offer(
        &mut self,
        event: &Event,
        place: Place,
        to: Brokers,
        replayed: bool,
        voice: &Voice,
        now: Now,
        mut publish: impl FnMut(Publish),
    ) {
        let at = match place {
            Place::Journal(lsn) => Some(lsn),
            Place::Memory(_) => None,
        };
        if let Some(lsn) = at {
            self.backlog.claim(lsn);
        }
        let taken = Brokers::default();
        let read = (replayed && at.is_some()).then(|| Box::new(event.clone()));
        let sent = Sent { place, replayed, read, open: to, taken, until: None };
        let telling = event.telling();
        if let Some(before) = self.sent.insert(telling, sent) {
            self.awaiting -= usize::from(before.until.is_some());
            match before.place {
                // A crash in the middle of cleaning leaves an event twice. One is enough.
                Place::Journal(twin) if at.is_some_and(|lsn| lsn != twin) => {
                    self.to_release.insert(twin);
                }
                _ => {}
            }
        }
        for broker in to.iter() {
            self.publishes += 1;
            let id = PublishId(self.publishes);
            self.lines[broker.index()].offered(id, telling, now.mono);
            publish(voice.publish((id, broker), event, replayed, now));
        }
    }

    /// Nothing more is to be done with an event.
    fn done(&mut self, event: Telling) {
        if let Some(Place::Journal(lsn)) = self.take(event) {
            self.to_release.insert(lsn);
        }
    }

    /// The wait until this moment is over.
    fn await_no_more(&mut self, event: Telling, until: Mono) {
        let sent = self.sent.get_mut(&event).filter(|sent| sent.until == Some(until));
        if sent.is_some() {
            self.give_back(event);
        }
    }

    /// An event goes back to the backlog.
    fn give_back(&mut self, event: Telling) {
        let Some(place) = self.take(event) else { return };
        self.followed.take_if(|followed| *followed == event);
        if let Place::Journal(lsn) = place {
            if self.given_back.len() >= GIVEN_BACK_MAX {
                self.given_back.pop_front();
            }
            self.given_back.push_back((event, lsn));
        }
        self.keep(place);
    }

    fn take(&mut self, event: Telling) -> Option<Place> {
        let sent = self.sent.remove(&event)?;
        self.awaiting -= usize::from(sent.until.is_some());
        Some(sent.place)
    }

    fn keep(&mut self, place: Place) {
        match place {
            Place::Journal(lsn) => self.backlog.give_back(lsn),
            Place::Memory(event) => self.remember(*event),
        }
    }

    fn set_apart(&mut self, lsn: Lsn, broker: BrokerId, replayed: bool, now: Mono) {
        if let Some(oldest) = self.apart.set(lsn, broker, replayed, now) {
            self.backlog.look_again_from(oldest);
        }
    }

    fn remember(&mut self, event: Event) {
        self.memory.push_back(event);
        if self.memory.len() > UNJOURNALLED_MAX {
            let dropped = self.memory.pop_front().map(Box::new);
            self.news.extend(dropped.map(DeliveryNews::Dropped));
        }
    }
}
