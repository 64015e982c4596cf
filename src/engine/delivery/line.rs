//! The line to one broker: what is open there, and how well it does.

use super::window::Window;
use crate::engine::event::Telling;
use crate::engine::seam::{BROKERS_MAX, BrokerId, PublishId};
use crate::engine::time::Mono;
use std::collections::VecDeque;

/// Most offers open at one broker, fresh ones included; the uplink's queue is longer.
pub const OFFERS_MAX: usize = 256;
/// Pause of the backlog after the broker said that nobody subscribes, ms.
pub(super) const UNHEARD_PAUSE_MS: u64 = 5_000;
/// Connections in a row that ended with offers open and none taken, after
/// which offers are made one by one to find the one that ends them.
const FRUITLESS_MAX: u32 = 2;
/// Offers taken one by one after which the suspicion is dropped.
const CLEARED_AFTER: u32 = 32;
/// Events of which a mute broker's receipts are awaited; one is enough.
const LATE_MAX: usize = 64;

/// A set of brokers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Brokers(u8);

const _: () = assert!(BROKERS_MAX <= 8, "a bit each");

impl Brokers {
    pub(super) fn insert(&mut self, broker: BrokerId) {
        self.0 |= 1 << broker.0;
    }

    pub(super) fn remove(&mut self, broker: BrokerId) {
        self.0 &= !(1 << broker.0);
    }

    pub(super) fn contains(self, broker: BrokerId) -> bool {
        self.0 & (1 << broker.0) != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn is_within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = BrokerId> {
        BrokerId::all().filter(move |broker| self.contains(*broker))
    }
}

impl FromIterator<BrokerId> for Brokers {
    fn from_iter<I: IntoIterator<Item = BrokerId>>(brokers: I) -> Self {
        let mut set = Self::default();
        brokers.into_iter().for_each(|broker| set.insert(broker));
        set
    }
}

/// One offer of one event.
#[derive(Clone, Copy, Debug)]
struct Offer {
    id: PublishId,
    event: Telling,
    sent: Mono,
    /// Offers that were open before it.
    before: usize,
}

/// What stands and falls with a connection, and what is known of the broker.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) up: bool,
    /// In the order in which they were made, which is that of their numbers.
    offers: VecDeque<Offer>,
    window: Window,
    /// The backlog waits: nobody subscribed a moment ago.
    paused_until: Option<Mono>,
    /// Nobody subscribes: one probe at a time until an offer is taken.
    unheard: bool,
    fruitless: u32,
    taken_since_up: u32,
    /// Some offer may be ending the connections: one at a time, to find it.
    one_by_one: bool,
    /// Events that it took stay without a receipt.
    pub(super) mute: bool,
    /// Released through another broker while this one was mute. A receipt through
    /// this one may still follow, and shows that it is mute no more.
    late: VecDeque<Telling>,
}

impl Line {
    pub(super) fn new() -> Self {
        Self {
            up: false,
            offers: VecDeque::new(),
            window: Window::new(u16::MAX, true, Mono::ZERO),
            paused_until: None,
            unheard: false,
            fruitless: 0,
            taken_since_up: 0,
            one_by_one: false,
            mute: false,
            late: VecDeque::new(),
        }
    }

    /// `paced`: the backlog has a rate.
    pub(super) fn connected(&mut self, in_flight_max: u16, paced: bool, now: Mono) {
        self.up = true;
        self.window = Window::new(in_flight_max, paced, now);
        self.taken_since_up = 0;
        self.paused_until = None;
    }

    /// The connection is gone, and so are its offers. With them comes an event
    /// that must be what ended it, if there was only that one.
    pub(super) fn lost(&mut self) -> (Vec<Telling>, Option<Telling>) {
        let was_up = std::mem::replace(&mut self.up, false);
        let events: Vec<Telling> = self.offers.drain(..).map(|offer| offer.event).collect();
        let mut culprit = None;
        if was_up && !events.is_empty() && self.taken_since_up == 0 {
            self.fruitless += 1;
            if let ([only], true) = (&events[..], self.one_by_one) {
                culprit = Some(*only);
            }
            self.one_by_one |= self.fruitless >= FRUITLESS_MAX;
        }
        (events, culprit)
    }

    /// Whether the live stream may rely on this broker alone.
    pub(super) fn is_well(&self) -> bool {
        self.up && !self.unheard && !self.one_by_one && !self.mute
    }

    /// Whether a fresh event may be offered.
    pub(super) fn takes_fresh(&self) -> bool {
        let most = if self.one_by_one { 1 } else { OFFERS_MAX };
        self.up && self.offers.len() < most
    }

    /// Whether the backlog may go here at all, now or when something came back.
    pub(super) fn takes_backlog(&self) -> bool {
        self.up && self.paused_until.is_none()
    }

    /// Whether one more event of the backlog may go now.
    pub(super) fn admits_backlog(&self, now: Mono) -> bool {
        let searching = self.one_by_one || self.unheard;
        self.takes_backlog()
            && if searching {
                self.offers.is_empty()
            } else {
                self.window.admits(self.offers.len(), now)
            }
    }

    pub(super) fn offered(&mut self, id: PublishId, event: Telling, now: Mono) {
        let before = self.offers.len();
        self.offers.push_back(Offer { id, event, sent: now, before });
    }

    fn take(&mut self, id: PublishId) -> Option<Offer> {
        let place = self.offers.binary_search_by_key(&id, |offer| offer.id).ok()?;
        self.offers.remove(place)
    }

    /// The broker took an offer: it is well.
    pub(super) fn taken(&mut self, id: PublishId, now: Mono) -> Option<Telling> {
        let offer = self.take(id)?;
        self.window.came_back(offer.sent, offer.before, now);
        self.fruitless = 0;
        self.paused_until = None;
        self.unheard = false;
        self.taken_since_up += 1;
        if self.taken_since_up >= CLEARED_AFTER {
            self.one_by_one = false;
        }
        Some(offer.event)
    }

    /// The broker refused an offer.
    pub(super) fn refused(&mut self, id: PublishId) -> Option<Telling> {
        self.take(id).map(|offer| offer.event)
    }

    /// An event that was offered here as well was released through another broker.
    pub(super) fn receipted_elsewhere(&mut self, event: Telling) {
        if self.mute {
            if self.late.len() >= LATE_MAX {
                self.late.pop_front();
            }
            self.late.push_back(event);
        }
    }

    /// Whether a receipt for an event that is released already shows that the
    /// centre hears through this broker again.
    pub(super) fn comes_late(&self, event: Telling) -> bool {
        self.late.contains(&event)
    }

    /// The centre hears through this broker. True if that is news.
    pub(super) fn heard(&mut self) -> bool {
        self.late.clear();
        std::mem::take(&mut self.mute)
    }

    /// Nobody subscribes there.
    pub(super) fn unheard(&mut self, now: Mono) {
        self.unheard = true;
        self.paused_until = Some(now.plus_ms(UNHEARD_PAUSE_MS));
    }

    pub(super) fn paused_until(&self) -> Option<Mono> {
        self.paused_until
    }

    pub(super) fn handle_time(&mut self, now: Mono) {
        self.paused_until.take_if(|until| *until <= now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::EventIdKey;

    fn event(counter: u32) -> Telling {
        Telling { id: EventIdKey::derive(&[1; 16], &[]).of_frame(0, counter, 0), boot: 1 }
    }

    /// A connection with so many offers, of which the first so many are taken; it is lost.
    fn connection(line: &mut Line, offers: u64, taken: u64) -> (Vec<Telling>, Option<Telling>) {
        line.connected(u16::MAX, true, Mono::ZERO);
        for n in 0..offers {
            line.offered(PublishId(n), event(n as u32), Mono::ZERO);
        }
        for n in 0..taken {
            line.taken(PublishId(n), Mono::ZERO);
        }
        line.lost()
    }

    #[test]
    fn what_ends_connections_is_found_one_by_one() {
        let mut line = Line::new();
        assert_eq!(connection(&mut line, 3, 0), (vec![event(0), event(1), event(2)], None));
        assert!(!line.one_by_one);
        // One lost connection may be anything; so may one with a single offer.
        assert_eq!(connection(&mut line, 1, 0).1, None);
        assert!(line.one_by_one);
        assert_eq!(connection(&mut line, 2, 0).1, None);
        assert_eq!(connection(&mut line, 1, 0), (vec![event(0)], Some(event(0))));
    }

    #[test]
    fn a_connection_that_was_of_use_or_never_was_raises_no_suspicion() {
        let mut line = Line::new();
        for _ in 0..5 {
            connection(&mut line, 3, 1);
            connection(&mut line, 0, 0);
            // It was lost already.
            line.offered(PublishId(0), event(0), Mono::ZERO);
            assert_eq!(line.lost(), (vec![event(0)], None));
        }
        assert!(!line.one_by_one);
    }

    #[test]
    fn a_broker_is_well_that_is_up_heard_trusted_and_not_mute() {
        let up = || {
            let mut line = Line::new();
            line.connected(u16::MAX, true, Mono::ZERO);
            line
        };
        assert!(up().is_well());
        assert!(!Line::new().is_well());
        let unwell: [fn(&mut Line); 3] = [
            |line| line.unheard(Mono::ZERO),
            |line| line.one_by_one = true,
            |line| line.mute = true,
        ];
        for make in unwell {
            let mut line = up();
            make(&mut line);
            assert!(!line.is_well());
        }
    }

    /// A connection on which the window has grown.
    fn quick() -> Line {
        let mut line = Line::new();
        line.connected(u16::MAX, true, Mono::ZERO);
        for n in 0..4 {
            line.offered(PublishId(n), event(n as u32), Mono::ZERO);
            line.taken(PublishId(n), Mono::ZERO);
        }
        line
    }

    #[test]
    fn fresh_events_are_taken_up_to_the_most_that_may_be_open() {
        let mut line = quick();
        for n in 0..OFFERS_MAX as u64 {
            assert!(line.takes_fresh(), "{n}");
            line.offered(PublishId(100 + n), event(0), Mono::ZERO);
        }
        assert!(!line.takes_fresh());
        let mut line = quick();
        line.one_by_one = true;
        assert!(line.takes_fresh());
        line.offered(PublishId(100), event(0), Mono::ZERO);
        assert!(!line.takes_fresh());
    }

    #[test]
    fn where_something_is_searched_for_the_backlog_goes_one_by_one() {
        let after_pause = Mono::ZERO.plus_ms(UNHEARD_PAUSE_MS);
        let admits = |make: fn(&mut Line)| {
            let mut line = quick();
            make(&mut line);
            line.handle_time(after_pause);
            let alone = line.admits_backlog(after_pause);
            line.offered(PublishId(100), event(0), after_pause);
            [alone, line.admits_backlog(after_pause)]
        };
        assert_eq!(admits(|_| {}), [true, true]);
        assert_eq!(admits(|line| line.unheard(Mono::ZERO)), [true, false]);
        assert_eq!(admits(|line| line.one_by_one = true), [true, false]);
    }

    #[test]
    fn the_backlog_pauses_where_nobody_subscribes() {
        let mut line = quick();
        assert_eq!(line.paused_until(), None);
        line.unheard(Mono::ZERO);
        let until = Mono::ZERO.plus_ms(UNHEARD_PAUSE_MS);
        line.handle_time(Mono::ZERO.plus_ms(UNHEARD_PAUSE_MS - 1));
        assert_eq!((line.paused_until(), line.takes_backlog()), (Some(until), false));
        line.handle_time(until);
        assert_eq!((line.paused_until(), line.takes_backlog()), (None, true));
    }

    #[test]
    fn suspicion_is_dropped_after_enough_were_taken_one_by_one() {
        let mut line = Line::new();
        line.connected(u16::MAX, true, Mono::ZERO);
        line.one_by_one = true;
        for n in 0..CLEARED_AFTER {
            assert!(line.one_by_one, "{n}");
            line.offered(PublishId(u64::from(n)), event(n), Mono::ZERO);
            line.taken(PublishId(u64::from(n)), Mono::ZERO);
        }
        assert!(!line.one_by_one);
    }

    #[test]
    fn receipts_are_known_for_late_ones_of_as_many_events_as_are_remembered() {
        let mut line = Line::new();
        line.receipted_elsewhere(event(0));
        assert!(!line.comes_late(event(0)), "it was not mute");
        line.mute = true;
        for n in 1..=LATE_MAX as u32 {
            assert!(!line.comes_late(event(n)), "{n}");
            line.receipted_elsewhere(event(n));
        }
        assert!((1..=LATE_MAX as u32).all(|n| line.comes_late(event(n))));
        line.receipted_elsewhere(event(1_000));
        let known = [1, 2, 1_000].map(|n| line.comes_late(event(n)));
        assert_eq!(known, [false, true, true], "the oldest makes room");
        assert!(line.heard());
        assert!(!line.comes_late(event(2)));
        assert!(!line.heard());
    }
}
