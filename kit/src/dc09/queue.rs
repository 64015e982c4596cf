//! What waits for the receiver, in which order, and which receipts are due.
//!
//! An event is receipted when the receiver has it. So that receipts do not tell events
//! apart (P5), those that are not sent wait as well, until the receiver has answered to
//! anything that was sent after they came, and all leave at the bridge's tick.

use super::message::Message;
use super::state::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Events that wait; a gateway keeps what is not taken, and offers it again.
const WAITING_MAX: usize = 4096;
/// Events of one gateway that wait, so that one cannot take the room of the others.
const WAITING_OF_GATEWAY_MAX: usize = 1024;
/// Receipts that wait for an answer of the receiver to anything.
const UNSENT_MAX: usize = 65_536;
/// First and longest time for which an event that the receiver does not answer, while
/// it answers else, lets others pass.
const APART_MIN: Duration = Duration::from_secs(5);
const APART_MAX: Duration = Duration::from_secs(600);

/// An event as one boot of one gateway told it: what a receipt names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Telling {
    pub(super) topic: String,
    pub(super) receipt: String,
    /// Site and gateway.
    pub(super) gateway: String,
}

/// Urgent before others, then in order of coming.
type Place = (bool, u64);

#[derive(Debug)]
struct Waiting {
    key: Key,
    message: Message,
    tellings: BTreeSet<Telling>,
    apart_until: Option<Instant>,
    apart_for: Duration,
}

/// All that waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<Place, Waiting>,
    places: BTreeMap<Key, Place>,
    unsent: BTreeMap<Telling, u64>,
    due: BTreeSet<Telling>,
    came: u64,
}

impl Queue {
    /// Events that wait for the receiver.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many came so far: a message sent now vouches for those.
    pub(super) fn came(&self) -> u64 {
        self.came
    }

    /// An event that is to be sent. Gives the gateway that keeps an event for want of
    /// room: this one, or for an urgent one the newest of the others, which was let go.
    pub(super) fn push(
        &mut self,
        key: Key,
        urgent: bool,
        message: Message,
        telling: Telling,
    ) -> Option<String> {
        if let Some(waiting) = self.places.get(&key).and_then(|it| self.waiting.get_mut(it)) {
            waiting.tellings.insert(telling);
            return None;
        }
        let of_gateway = |it: &Waiting| it.tellings.iter().any(|it| it.gateway == telling.gateway);
        let is_gateway_full =
            self.waiting.values().filter(|it| of_gateway(it)).count() >= WAITING_OF_GATEWAY_MAX;
        let mut keeps = None;
        if is_gateway_full || self.waiting.len() >= WAITING_MAX {
            let gives_way = |(place, waiting): &(&Place, &Waiting)| {
                place.0 && (!is_gateway_full || of_gateway(waiting))
            };
            let newest = self.waiting.iter().rev().find(gives_way).map(|(place, _)| *place);
            let Some(let_go) = newest.filter(|_| urgent).and_then(|it| self.waiting.remove(&it))
            else {
                return Some(telling.gateway);
            };
            self.places.remove(&let_go.key);
            keeps = let_go.tellings.into_iter().next().map(|it| it.gateway);
        }
        self.came += 1;
        let place = (!urgent, self.came);
        self.places.insert(key.clone(), place);
        let (tellings, apart_for) = (BTreeSet::from([telling]), APART_MIN);
        let waiting = Waiting { key, message, tellings, apart_until: None, apart_for };
        self.waiting.insert(place, waiting);
        keeps
    }

    /// An event that is not sent, or that the receiver has already.
    pub(super) fn push_unsent(&mut self, telling: Telling) {
        if self.unsent.len() < UNSENT_MAX {
            self.came += 1;
            let came = self.came;
            self.unsent.entry(telling).or_insert(came);
        }
    }

    /// The event that is to be sent next.
    pub(super) fn next(&self, now: Instant) -> Option<(Key, Message)> {
        let is_due = |it: &&Waiting| it.apart_until.is_none_or(|until| until <= now);
        self.waiting.values().find(is_due).map(|it| (it.key.clone(), it.message.clone()))
    }

    /// Whether a receipt waits for an answer to anything.
    pub(super) fn asks(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// The receiver has it, or has refused it.
    pub(super) fn done(&mut self, key: &Key) {
        let waiting = self.places.remove(key).and_then(|place| self.waiting.remove(&place));
        self.due.extend(waiting.into_iter().flat_map(|it| it.tellings));
    }

    /// The receiver answered to something that was sent when so many had come.
    pub(super) fn vouched(&mut self, came: u64) {
        let vouched = self.unsent.iter().filter(|(_, at)| **at <= came);
        let vouched: Vec<Telling> = vouched.map(|(telling, _)| telling.clone()).collect();
        for telling in vouched {
            self.unsent.remove(&telling);
            self.due.insert(telling);
        }
    }

    /// The receiver does not answer to this one, and does to others: they pass.
    pub(super) fn set_apart(&mut self, key: &Key, now: Instant) {
        if let Some(waiting) = self.places.get(key).and_then(|it| self.waiting.get_mut(it)) {
            waiting.apart_until = Some(now + waiting.apart_for);
            waiting.apart_for = (waiting.apart_for * 2).min(APART_MAX);
        }
    }

    /// The receipts that are due.
    pub(super) fn take_due(&mut self) -> BTreeSet<Telling> {
        std::mem::take(&mut self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        Key { id: number.to_string(), kind: "panic".into() }
    }

    fn telling(number: usize, gateway: &str) -> Telling {
        let receipt = number.to_string();
        Telling { topic: format!("{gateway}/receipt"), receipt, gateway: gateway.into() }
    }

    fn push(queue: &mut Queue, number: usize, urgent: bool, gateway: &str) -> bool {
        let message = Message::null("123");
        let keeps = queue.push(key(number), urgent, message, telling(number, gateway));
        keeps.as_deref() != Some(gateway)
    }

    fn next(queue: &Queue, now: Instant) -> Option<String> {
        queue.next(now).map(|(key, _)| key.id)
    }

    #[test]
    fn urgent_goes_first_and_else_what_came_first() {
        let mut queue = Queue::default();
        for (number, urgent) in [(1, false), (2, true), (3, false), (4, true)] {
            assert!(push(&mut queue, number, urgent, "g"));
        }
        let mut order = Vec::new();
        while let Some((key, _)) = queue.next(Instant::now()) {
            queue.done(&key);
            order.push(key.id);
        }
        assert_eq!(order, ["2", "4", "1", "3"]);
        assert_eq!((queue.len(), queue.take_due().len()), (0, 4));
        assert!(queue.take_due().is_empty());
    }

    #[test]
    fn one_press_that_two_gateways_tell_is_sent_once_and_receipted_to_both() {
        let mut queue = Queue::default();
        for gateway in ["g", "h", "g"] {
            assert!(push(&mut queue, 1, true, gateway));
        }
        assert_eq!(queue.len(), 1);
        queue.done(&key(1));
        let due: Vec<String> = queue.take_due().into_iter().map(|it| it.gateway).collect();
        assert_eq!(due, ["g", "h"]);
    }

    #[test]
    fn what_is_not_sent_is_receipted_after_an_answer_to_what_was_sent_later() {
        let mut queue = Queue::default();
        queue.push_unsent(telling(1, "g"));
        let came = queue.came();
        queue.push_unsent(telling(2, "g"));
        // Offered again, it waits no longer than it did.
        queue.push_unsent(telling(1, "g"));
        assert!(queue.take_due().is_empty() && queue.asks());
        queue.vouched(came);
        assert_eq!(queue.take_due(), BTreeSet::from([telling(1, "g")]));
        queue.vouched(queue.came());
        assert_eq!(queue.take_due(), BTreeSet::from([telling(2, "g")]));
        assert!(!queue.asks());
    }

    #[test]
    fn what_is_set_apart_lets_others_pass_and_comes_again_ever_later() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        push(&mut queue, 1, true, "g");
        push(&mut queue, 2, true, "g");
        queue.set_apart(&key(1), now);
        assert_eq!(next(&queue, now).as_deref(), Some("2"));
        queue.done(&key(2));
        assert_eq!(next(&queue, now), None);
        let later = now + APART_MIN;
        assert_eq!(next(&queue, later).as_deref(), Some("1"));
        queue.set_apart(&key(1), later);
        assert_eq!(next(&queue, later + APART_MIN), None);
        assert_eq!(next(&queue, later + 2 * APART_MIN).as_deref(), Some("1"));
    }

    #[test]
    fn one_gateway_cannot_take_the_room_of_the_others() {
        let mut queue = Queue::default();
        let taken = (0..2000).filter(|number| push(&mut queue, *number, true, "rogue")).count();
        assert_eq!(taken, WAITING_OF_GATEWAY_MAX);
        assert!(push(&mut queue, 9000, true, "g"));
    }

    /// Pushes one that is not urgent, for as long as there is room.
    fn fill(queue: &mut Queue, from: usize, gateway: &str) {
        let mut numbers = from..;
        while numbers.next().is_some_and(|number| push(queue, number, false, gateway)) {}
    }

    #[test]
    fn a_press_finds_room_among_what_is_not_urgent_and_waits() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        push(&mut queue, 1, false, "h");
        fill(&mut queue, 10, "g");
        let message = Message::null("123");
        let keeps = queue.push(key(9000), true, message.clone(), telling(9000, "g"));
        assert_eq!(keeps.as_deref(), Some("g"), "its newest trouble is offered again");
        assert_eq!(next(&queue, now).as_deref(), Some("9000"));
        assert_eq!(queue.len(), WAITING_OF_GATEWAY_MAX + 1, "the room has a bound");
        for (from, gateway) in [(10_000, "a"), (20_000, "b"), (30_000, "c"), (40_000, "d")] {
            fill(&mut queue, from, gateway);
        }
        assert_eq!(queue.len(), WAITING_MAX);
        let keeps = queue.push(key(9001), true, message, telling(9001, "new"));
        assert_eq!(keeps.as_deref(), Some("c"), "the newest of all makes room");
        queue.done(&key(9000));
        assert_eq!(next(&queue, now).as_deref(), Some("9001"));
        queue.done(&key(9001));
        assert_eq!(next(&queue, now).as_deref(), Some("1"), "the oldest keep their places");
        assert_eq!(queue.places.len(), queue.len());
    }
}
