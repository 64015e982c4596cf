//! Which event is offered to the broker when. An event is released by the
//! centre's receipt (or, without receipts, by a success PUBACK), by nothing else;
//! everything else only decides when it is offered again.
//!
//! A fresh event is offered at once from slots of its own, whatever its lane.
//! The backlog follows in a window: urgent, then trouble, then routine.

use super::event::{Boot, Event, EventId, Lane};
use super::journal::{Journal, Lsn};
use super::payload::Voice;
use super::seam::{Publish, PublishId};
use super::settings::DeliverySettings;
use super::time::{Mono, Now};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most offers open at once, fresh ones included; the uplink's queue is longer.
pub const OFFERS_MAX: usize = 256;
/// Most offers of the backlog open at once. The rest is for fresh events.
const DRAIN_WINDOW: usize = 128;
/// Most events that may wait for a receipt before the backlog pauses.
const AWAITING_DRAIN_MAX: usize = 512;
/// Most events that may wait for a receipt at all; beyond it the oldest goes
/// back to the backlog.
const AWAITING_MAX: usize = 2048;
/// Most events kept in memory because the journal has no room.
const UNJOURNALLED_MAX: usize = 256;
/// Releases that are journalled without waiting for the interval.
const RELEASE_BATCH: usize = 512;
/// First and longest time that a refused event is set apart, ms.
const APART_MS: std::ops::RangeInclusive<u64> = 60_000..=3_600_000;
/// Most events set apart; beyond it the oldest is offered again early.
const APART_MAX: usize = 4096;
/// Pause of the backlog after the broker said that nobody subscribes, ms.
const UNHEARD_PAUSE_MS: u64 = 5_000;
/// Connections in a row that ended with offers open and none taken, after
/// which offers are made one by one to find the one that ends them.
const FRUITLESS_MAX: u32 = 2;
/// Offers taken one by one after which the suspicion is dropped.
const CLEARED_AFTER: u32 = 32;
/// MQTT 5 reason code: no matching subscribers.
const NO_SUBSCRIBERS: u8 = 0x10;

/// Where an event is kept.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In the journal.
    Journal(Lsn),
    /// Only here: the journal had no room.
    Memory(Box<Event>),
}

struct Offer {
    event: EventId,
    place: Place,
}

struct Awaiting {
    place: Place,
    until: Mono,
}

struct Apart {
    /// `None`: the wait is over, it may be offered again.
    until: Option<Mono>,
    wait_ms: u64,
}

/// The centre has an event. Made from a receipt and nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receipted {
    event: EventId,
}

impl Receipted {
    pub(super) fn event(self) -> EventId {
        self.event
    }
}

/// What delivery has to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryNews {
    /// The broker refused an event.
    Refused { reason: u8, event: EventId },
    /// The centre does not receipt, or does again.
    Centre { heard: bool },
    /// An event that only memory held was given up.
    Dropped { boot: Boot, lane: Lane, number: u64 },
}

/// The way of events to the centre.
pub(super) struct Delivery {
    settings: DeliverySettings,
    up: bool,
    drain_window: usize,
    publishes: u64,
    offers: BTreeMap<PublishId, Offer>,
    awaiting: BTreeMap<EventId, Awaiting>,
    deadlines: VecDeque<(Mono, EventId)>,
    /// Events that are being read, offered, awaited or released.
    claimed: BTreeSet<Lsn>,
    cursors: [Lsn; 3],
    /// The lane that is being read, and from where on.
    reading: Option<(Lane, Lsn)>,
    ready: VecDeque<(Lsn, Event)>,
    memory: VecDeque<Event>,
    /// Something stands in memory only, here or in an open offer.
    homeless: bool,
    /// The broker refused one of those in memory: not before this moment.
    memory_after: Option<Mono>,
    apart: BTreeMap<Lsn, Apart>,
    to_release: BTreeSet<Lsn>,
    release_at: Mono,
    paused_until: Option<Mono>,
    /// Nobody subscribes: one probe at a time until an offer is taken.
    unheard: bool,
    fruitless: u32,
    taken_since_up: u32,
    one_by_one: bool,
    silent: bool,
    news: VecDeque<DeliveryNews>,
}

impl Delivery {
    pub(super) fn new(settings: DeliverySettings, now: Mono) -> Self {
        Self {
            settings,
            up: false,
            drain_window: DRAIN_WINDOW,
            publishes: 0,
            offers: BTreeMap::new(),
            awaiting: BTreeMap::new(),
            deadlines: VecDeque::new(),
            claimed: BTreeSet::new(),
            cursors: [Lsn::default(); 3],
            reading: None,
            ready: VecDeque::new(),
            memory: VecDeque::new(),
            homeless: false,
            memory_after: None,
            apart: BTreeMap::new(),
            to_release: BTreeSet::new(),
            release_at: now.plus_ms(settings.release_interval_ms),
            paused_until: None,
            unheard: false,
            fruitless: 0,
            taken_since_up: 0,
            one_by_one: false,
            silent: false,
            news: VecDeque::new(),
        }
    }

    pub(super) fn poll_news(&mut self) -> Option<DeliveryNews> {
        self.news.pop_front()
    }

    /// A fresh event: offered now if the broker is there, kept otherwise.
    pub(super) fn offer_fresh(
        &mut self,
        event: &Event,
        lsn: Option<Lsn>,
        voice: &Voice,
        now: Now,
    ) -> Option<Publish> {
        let room =
            if self.one_by_one { self.offers.is_empty() } else { self.offers.len() < OFFERS_MAX };
        let place = match lsn {
            Some(lsn) => Place::Journal(lsn),
            None => {
                self.homeless = true;
                Place::Memory(Box::new(event.clone()))
            }
        };
        if self.up && room {
            return Some(self.offer(event, place, false, voice, now));
        }
        match place {
            Place::Memory(event) => self.remember(*event),
            Place::Journal(lsn) => self.unclaim(lsn),
        }
        None
    }

    /// The broker is there: everything that is not waiting for a receipt may go.
    pub(super) fn broker_up(&mut self, in_flight_max: u16, now: Mono) {
        self.up = true;
        // A quarter of what the broker allows is kept for fresh events.
        self.drain_window = DRAIN_WINDOW.min(usize::from(in_flight_max) * 3 / 4).max(1);
        self.taken_since_up = 0;
        self.paused_until = None;
        self.deadlines.clear();
        let until = now.plus_ms(self.settings.receipt_wait_ms);
        for (event, awaiting) in &mut self.awaiting {
            awaiting.until = until;
            self.deadlines.push_back((until, *event));
        }
    }

    /// The broker is gone: no open offer counts.
    pub(super) fn broker_down(&mut self, now: Mono) {
        let was_up = std::mem::replace(&mut self.up, false);
        let offers = std::mem::take(&mut self.offers);
        if was_up && !offers.is_empty() && self.taken_since_up == 0 {
            self.fruitless += 1;
            if self.one_by_one && offers.len() == 1 {
                if let Some(Offer { place: Place::Journal(lsn), .. }) = offers.values().next() {
                    self.set_apart(*lsn, now);
                }
            }
            self.one_by_one |= self.fruitless >= FRUITLESS_MAX;
        }
        for offer in offers.into_values() {
            self.give_back(offer.place);
        }
    }

    /// The broker took an offer.
    pub(super) fn taken(&mut self, publish: PublishId, now: Mono) {
        let Some(offer) = self.offers.remove(&publish) else { return };
        self.fruitless = 0;
        self.paused_until = None;
        self.unheard = false;
        self.taken_since_up += 1;
        if self.taken_since_up >= CLEARED_AFTER {
            self.one_by_one = false;
        }
        if !self.settings.receipts {
            self.done(offer.place);
            return;
        }
        let until = now.plus_ms(self.settings.receipt_wait_ms);
        self.awaiting.insert(offer.event, Awaiting { place: offer.place, until });
        self.deadlines.push_back((until, offer.event));
        while self.awaiting.len() > AWAITING_MAX {
            let Some((_, oldest)) = self.deadlines.pop_front() else { break };
            self.await_no_more(oldest);
        }
    }

    /// The broker refused an offer: the event is kept and tried again later,
    /// and stands in nobody's way.
    pub(super) fn refused(&mut self, publish: PublishId, reason: u8, now: Mono) {
        let Some(offer) = self.offers.remove(&publish) else { return };
        self.news.push_back(DeliveryNews::Refused { reason, event: offer.event });
        if reason == NO_SUBSCRIBERS {
            self.unheard = true;
            self.paused_until = Some(now.plus_ms(UNHEARD_PAUSE_MS));
        } else if let Place::Journal(lsn) = offer.place {
            self.set_apart(lsn, now);
        } else {
            self.memory_after = Some(now.plus_ms(*APART_MS.start()));
        }
        self.give_back(offer.place);
    }

    /// The centre has an event. `None` if that is not news.
    pub(super) fn receipted(&mut self, event: EventId) -> Option<Receipted> {
        let place = match self.awaiting.remove(&event) {
            Some(awaiting) => awaiting.place,
            None => {
                let publish = self
                    .offers
                    .iter()
                    .find(|(_, offer)| offer.event == event)
                    .map(|(id, _)| *id)?;
                self.offers.remove(&publish)?.place
            }
        };
        self.done(place);
        if std::mem::take(&mut self.silent) {
            self.news.push_back(DeliveryNews::Centre { heard: true });
        }
        Some(Receipted { event })
    }

    /// Events read from the journal for the backlog.
    pub(super) fn backlog(&mut self, events: Vec<(Lsn, Event)>, end: Lsn) {
        let Some((lane, from)) = self.reading.take() else { return };
        // Unless something before it was given back meanwhile.
        let cursor = &mut self.cursors[lane as usize];
        if *cursor == from {
            *cursor = end;
        }
        let later = std::mem::take(&mut self.ready);
        for (lsn, event) in events {
            if event.kind.lane() == lane && !self.is_taken_care_of(lsn) {
                self.claimed.insert(lsn);
                self.ready.push_back((lsn, event));
            }
        }
        // `fetch` reads only a lane graver than what is ready already.
        self.ready.extend(later);
    }

    /// A frame that the disk does not give now: later.
    pub(super) fn unreadable(&mut self, lsn: Lsn, now: Mono) {
        if let Some((lane, from)) = self.reading.take() {
            let cursor = &mut self.cursors[lane as usize];
            if *cursor == from {
                *cursor = Lsn(lsn.0 + 1);
            }
        }
        self.set_apart(lsn, now);
    }

    /// Events that only memory holds. Each may be handed to `settle`.
    pub(super) fn homeless(&mut self) -> Vec<Event> {
        if !std::mem::take(&mut self.homeless) {
            return Vec::new();
        }
        let offered = self.offers.values().map(|offer| &offer.place);
        let places = offered.chain(self.awaiting.values().map(|awaiting| &awaiting.place));
        let open = places.filter_map(|place| match place {
            Place::Memory(event) => Some(&**event),
            Place::Journal(_) => None,
        });
        open.chain(&self.memory).cloned().collect()
    }

    /// There are still events without a place in the journal.
    pub(super) fn remain_homeless(&mut self) {
        self.homeless = true;
    }

    /// The journal has taken an event that only memory held.
    pub(super) fn settle(&mut self, event: EventId, lsn: Lsn) {
        let offered = self.offers.values_mut().filter(|offer| offer.event == event);
        let places = (offered.map(|offer| &mut offer.place))
            .chain(self.awaiting.get_mut(&event).map(|awaiting| &mut awaiting.place));
        let mut open = false;
        for place in places {
            *place = Place::Journal(lsn);
            open = true;
        }
        self.memory.retain(|held| held.id != event);
        if open {
            self.claimed.insert(lsn);
        } else {
            self.unclaim(lsn);
        }
    }

    /// Frames have other positions.
    pub(super) fn moved(&mut self, moved: &BTreeMap<Lsn, Lsn>) {
        let to = |lsn: &Lsn| moved.get(lsn).copied().unwrap_or(*lsn);
        self.claimed = self.claimed.iter().map(to).collect();
        self.to_release = self.to_release.iter().map(to).collect();
        self.apart =
            std::mem::take(&mut self.apart).into_iter().map(|(l, a)| (to(&l), a)).collect();
        for (lsn, _) in &mut self.ready {
            *lsn = to(lsn);
        }
        let places = (self.offers.values_mut().map(|offer| &mut offer.place))
            .chain(self.awaiting.values_mut().map(|awaiting| &mut awaiting.place));
        for place in places {
            if let Place::Journal(lsn) = place {
                *lsn = to(lsn);
            }
        }
        for lsn in moved.values() {
            if !self.claimed.contains(lsn) {
                self.unclaim(*lsn);
            }
        }
    }

    /// When something becomes due by itself.
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        let receipt = self.deadlines.front().map(|(until, _)| *until).filter(|_| self.up);
        let release = (!self.to_release.is_empty()).then_some(self.release_at);
        let apart = self.apart.values().filter_map(|apart| apart.until).min().filter(|_| self.up);
        let memory = self.memory_after.filter(|_| self.up && !self.memory.is_empty());
        [receipt, release, apart, memory, self.paused_until].into_iter().flatten().min()
    }

    /// What has become due: receipts that did not come, releases, refused events.
    pub(super) fn handle_time(&mut self, journal: &mut Journal, now: Mono) {
        while self.up {
            let Some(&(until, event)) = self.deadlines.front() else { break };
            if until > now {
                break;
            }
            self.deadlines.pop_front();
            if self.awaiting.get(&event).is_some_and(|awaiting| awaiting.until == until) {
                self.await_no_more(event);
                if !std::mem::replace(&mut self.silent, true) {
                    self.news.push_back(DeliveryNews::Centre { heard: false });
                }
            }
        }
        self.paused_until.take_if(|until| *until <= now);
        self.memory_after.take_if(|after| *after <= now);
        let mut due = Vec::new();
        for (lsn, apart) in &mut self.apart {
            // The entry stays, so that the next refusal waits longer.
            if apart.until.take_if(|until| *until <= now).is_some() {
                due.push(*lsn);
            }
        }
        for lsn in due {
            self.unclaim(lsn);
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
            self.claimed.remove(lsn);
            self.apart.remove(lsn);
        }
    }

    /// The next offer out of the backlog, or `None` while nothing may go.
    pub(super) fn poll(
        &mut self,
        journal: &mut Journal,
        voice: &Voice,
        now: Now,
    ) -> Option<Publish> {
        loop {
            let window = if self.one_by_one || self.unheard { 1 } else { self.drain_window };
            let open = self.up
                && self.paused_until.is_none()
                && self.offers.len() < window
                && self.awaiting.len() < AWAITING_DRAIN_MAX;
            if !open {
                return None;
            }
            let may = self.memory_after.is_none_or(|after| after <= now.mono);
            if let Some(event) = may.then(|| self.memory.pop_front()).flatten() {
                let place = Place::Memory(Box::new(event.clone()));
                return Some(self.offer(&event, place, true, voice, now));
            }
            self.fetch(journal);
            let (lsn, event) = self.ready.pop_front()?;
            if journal.is_live(lsn) {
                return Some(self.offer(&event, Place::Journal(lsn), true, voice, now));
            }
            self.claimed.remove(&lsn);
        }
    }

    /// Has the next stretch of the gravest lane read, or takes it from memory.
    fn fetch(&mut self, journal: &mut Journal) {
        if self.reading.is_some() || self.ready.len() >= DRAIN_WINDOW {
            return;
        }
        for lane in Lane::ALL {
            if self.ready.front().is_some_and(|(_, event)| event.kind.lane() <= lane) {
                return;
            }
            let Some(lsn) = self.next_unclaimed(journal, lane) else { continue };
            self.cursors[lane as usize] = lsn;
            if journal.durable().covers(lsn) {
                self.reading = Some((lane, lsn));
                journal.read_backlog(lsn);
                return;
            }
            if let Some(event) = journal.open_event(lsn) {
                self.claimed.insert(lsn);
                self.ready.push_front((lsn, event));
                return;
            }
        }
    }

    /// The first event of a lane that is to be offered. What was passed over on
    /// the way is not looked at again: `unclaim` takes the cursor back.
    fn next_unclaimed(&mut self, journal: &Journal, lane: Lane) -> Option<Lsn> {
        let mut at = self.cursors[lane as usize];
        loop {
            let next = match lane {
                Lane::Urgent | Lane::Trouble => journal.indexed(lane, at).next(),
                Lane::Routine => journal.next_live(at),
            };
            self.cursors[lane as usize] = next.unwrap_or(at);
            let lsn = next?;
            let other_lane = lane == Lane::Routine && journal.is_indexed(lsn);
            if !other_lane && !self.is_taken_care_of(lsn) {
                return Some(lsn);
            }
            at = Lsn(lsn.0 + 1);
        }
    }

    fn is_taken_care_of(&self, lsn: Lsn) -> bool {
        self.claimed.contains(&lsn)
            || self.apart.get(&lsn).is_some_and(|apart| apart.until.is_some())
    }

    fn offer(
        &mut self,
        event: &Event,
        place: Place,
        replayed: bool,
        voice: &Voice,
        now: Now,
    ) -> Publish {
        self.publishes += 1;
        let id = PublishId(self.publishes);
        if let Place::Journal(lsn) = place {
            self.claimed.insert(lsn);
        }
        self.offers.insert(id, Offer { event: event.id, place });
        voice.publish(id, event, replayed, now)
    }

    fn done(&mut self, place: Place) {
        if let Place::Journal(lsn) = place {
            self.to_release.insert(lsn);
        }
    }

    fn await_no_more(&mut self, event: EventId) {
        if let Some(awaiting) = self.awaiting.remove(&event) {
            self.give_back(awaiting.place);
        }
    }

    fn give_back(&mut self, place: Place) {
        match place {
            Place::Journal(lsn) => self.unclaim(lsn),
            Place::Memory(event) => self.remember(*event),
        }
    }

    fn unclaim(&mut self, lsn: Lsn) {
        self.claimed.remove(&lsn);
        self.look_again_from(lsn);
    }

    fn look_again_from(&mut self, lsn: Lsn) {
        for cursor in &mut self.cursors {
            *cursor = (*cursor).min(lsn);
        }
    }

    fn set_apart(&mut self, lsn: Lsn, now: Mono) {
        let wait_ms = self
            .apart
            .get(&lsn)
            .map_or(*APART_MS.start(), |a| (a.wait_ms * 2).min(*APART_MS.end()));
        self.apart.insert(lsn, Apart { until: Some(now.plus_ms(wait_ms)), wait_ms });
        if self.apart.len() > APART_MAX {
            if let Some((oldest, _)) = self.apart.pop_first() {
                self.look_again_from(oldest);
            }
        }
    }

    fn remember(&mut self, event: Event) {
        self.memory.push_back(event);
        if self.memory.len() > UNJOURNALLED_MAX {
            if let Some(Event { boot, kind, number, .. }) = self.memory.pop_front() {
                self.news.push_back(DeliveryNews::Dropped { boot, lane: kind.lane(), number });
            }
        }
    }
}
