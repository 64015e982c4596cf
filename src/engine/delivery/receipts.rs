//! Receipts: what they release, what they say of the broker through which they
//! come, and what follows when they stay away.

use super::{AWAITING_MAX, Delivery, DeliveryNews, Line, Receipted};
use crate::engine::event::Telling;
use crate::engine::seam::BrokerId;
use crate::engine::time::Mono;
use std::collections::{BTreeSet, VecDeque};

/// Most waits that are noted, of events that are done and others.
const WAITS_MAX: usize = 4 * AWAITING_MAX;

impl Delivery {
    /// The centre has an event, as told by one boot, and says so through this broker.
    /// `None` if that is not news.
    pub(in crate::engine) fn receipted(
        &mut self,
        broker: BrokerId,
        event: Telling,
    ) -> Option<Receipted> {
        let Some(sent) = self.sent.get(&event) else {
            let line = self.lines.get(broker.index());
            if line.is_some_and(|line| line.comes_late(event)) {
                self.hears_through(broker);
            }
            return self.receipted_late(event);
        };
        let hears = sent.taken.contains(broker) || sent.open.contains(broker);
        let others = sent.taken.iter().chain(sent.open.iter()).filter(|other| *other != broker);
        for other in others {
            if let Some(line) = self.lines.get_mut(other.index()) {
                line.receipted_elsewhere(event);
            }
        }
        if hears {
            self.hears_through(broker);
        }
        self.done(event);
        Some(Receipted { event: event.id })
    }

    /// A receipt often comes with the connection after the one on which its event was
    /// offered, and before that is offered again.
    fn receipted_late(&mut self, event: Telling) -> Option<Receipted> {
        let before = self.memory.len();
        self.memory.retain(|held| held.telling() != event);
        let at = self.given_back.iter().position(|(given, _)| *given == event);
        if let Some((_, lsn)) = at.and_then(|at| self.given_back.remove(at)) {
            self.backlog.claim(lsn);
            self.to_release.insert(lsn);
        } else if self.memory.len() == before {
            return None;
        }
        Some(Receipted { event: event.id })
    }

    fn hears_through(&mut self, broker: BrokerId) {
        let Some(line) = self.lines.get_mut(broker.index()) else { return };
        if line.heard() {
            self.news.push_back(DeliveryNews::Centre { broker, heard: true });
        }
    }

    pub(super) fn handle_receipts(&mut self, now: Mono) {
        while let Some((_, event)) = pop_due(&mut self.escalations, now) {
            self.escalate(event);
        }
        while let Some((until, event)) = pop_due(&mut self.deadlines, now) {
            self.await_no_more(event, until);
        }
    }

    /// Drops what is done out of what is waited for, when that is most of it. It would else
    /// stay until its time has come, and a receipt may be waited for for an hour.
    pub(super) fn drop_done(&mut self) {
        if self.deadlines.len().max(self.escalations.len()) <= WAITS_MAX {
            return;
        }
        let waits = |event: &Telling| self.sent.get(event).and_then(|sent| sent.until);
        self.deadlines.retain(|(until, event)| waits(event) == Some(*until));
        // One that is offered again and again has several, of which the first counts.
        let mut noted = BTreeSet::new();
        self.escalations.retain(|(_, event)| waits(event).is_some() && noted.insert(*event));
    }

    /// An event has waited too long: who took it is not relied on any more, and
    /// all that waits through such brokers alone is offered to another.
    fn escalate(&mut self, event: Telling) {
        let Some(sent) = self.sent.get(&event).filter(|sent| sent.until.is_some()) else {
            return;
        };
        let mut turned_mute = false;
        for broker in sent.taken.iter() {
            let Some(line) = self.lines.get_mut(broker.index()) else { continue };
            if line.up && !std::mem::replace(&mut line.mute, true) {
                turned_mute = true;
                self.news.push_back(DeliveryNews::Centre { broker, heard: false });
            }
        }
        if turned_mute && self.lines.iter().any(Line::is_well) {
            self.offer_elsewhere(|line| line.mute);
        }
    }
}

fn pop_due(queue: &mut VecDeque<(Mono, Telling)>, now: Mono) -> Option<(Mono, Telling)> {
    let due = queue.front().is_some_and(|(until, _)| *until <= now);
    if due { queue.pop_front() } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::{Brokers, Place, Sent};
    use super::*;
    use crate::engine::event::{Detail, Event, EventIdKey, Kind, Stamp};
    use crate::engine::journal::Lsn;
    use crate::engine::settings::DeliverySettings;
    use crate::engine::time::Wall;

    fn event(number: u64) -> Event {
        Event {
            id: EventIdKey::derive(&[1; 16], &[]).of_frame(0, number as u32, 0),
            kind: Kind::Panic,
            boot: 1,
            number,
            received: Stamp { mono: Mono::ZERO, wall: Wall::Unset },
            from: None,
            detail: Detail::None,
        }
    }

    fn delivery() -> Delivery {
        let settings = DeliverySettings {
            receipts: true,
            receipt_wait_ms: 1_000,
            escalate_after_ms: 1_000,
            release_interval_ms: 1_000,
            drain_per_s_max: None,
        };
        Delivery::new(settings, 1, Mono::ZERO)
    }

    /// An event of the journal that a broker took and whose receipt is waited for.
    fn wait_for(delivery: &mut Delivery, number: u64, broker: BrokerId) -> Telling {
        let mut taken = Brokers::default();
        taken.insert(broker);
        let sent = Sent {
            place: Place::Journal(Lsn(number)),
            replayed: false,
            read: None,
            open: Brokers::default(),
            taken,
            until: Some(Mono::ZERO),
        };
        let telling = event(number).telling();
        delivery.sent.insert(telling, sent);
        delivery.awaiting += 1;
        telling
    }

    /// Offered once more to the one broker that says nothing of it, it would be no safer.
    #[test]
    fn an_event_that_waits_too_long_is_given_back_only_where_another_broker_is_well() {
        for brokers in [1, 2] {
            let mut delivery = Delivery::new(delivery().settings, brokers, Mono::ZERO);
            for broker in BrokerId::all().take(brokers) {
                delivery.broker_up(broker, 8, Mono::ZERO);
            }
            let [first, second] = [1, 2].map(|n| wait_for(&mut delivery, n, BrokerId(0)));
            delivery.escalate(first);
            let waits = [first, second].map(|event| delivery.sent.contains_key(&event));
            assert_eq!(waits, [brokers == 1; 2], "{brokers} brokers");
            assert!(delivery.lines[0].mute, "the line is not relied on");
        }
    }

    /// Whether a receipt of an event is news.
    fn is_news(delivery: &mut Delivery, number: u64) -> bool {
        let receipted = delivery.receipted(BrokerId(0), event(number).telling());
        let named = receipted.map(Receipted::event);
        assert!(named.is_none_or(|id| id == event(number).id));
        named.is_some()
    }

    #[test]
    fn a_late_receipt_takes_its_event_out_of_memory_and_no_other() {
        let mut delivery = delivery();
        delivery.memory.extend([1, 2, 3].map(event));
        assert!(is_news(&mut delivery, 2));
        let numbers: Vec<u64> = delivery.memory.iter().map(|event| event.number).collect();
        assert_eq!(numbers, [1, 3]);
        assert!(![2, 4].into_iter().any(|n| is_news(&mut delivery, n)), "it is known, or not ours");
        assert_eq!(delivery.memory.len(), 2);
    }

    #[test]
    fn a_late_receipt_releases_its_event_from_the_journal_and_no_other() {
        let mut delivery = delivery();
        delivery.given_back.extend([1, 2, 3].map(|n| (event(n).telling(), Lsn(n * 10))));
        assert!(is_news(&mut delivery, 2));
        assert_eq!(delivery.to_release, BTreeSet::from([Lsn(20)]));
        assert!(![2, 4].into_iter().any(|n| is_news(&mut delivery, n)), "it is known, or not ours");
        assert_eq!(delivery.to_release, BTreeSet::from([Lsn(20)]));
        // Of another boot's telling of it this says nothing.
        let elsewhere = Telling { boot: 2, ..event(1).telling() };
        assert!(delivery.receipted(BrokerId(0), elsewhere).is_none());
    }
}
