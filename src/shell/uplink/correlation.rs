//! Which acknowledgement answers which offer.
//!
//! The MQTT library gives no token for a publish. It takes requests in order and
//! reports each packet id in that order, so a queue of what was requested, moved
//! into a map when its id is reported, tells whose PUBACK this is. It holds for
//! one connection only and dies with it.

use crate::engine::seam::PublishId;
use std::collections::{BTreeMap, VecDeque};
use tokio::time::Instant;

/// What was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// The gateway's own state: nobody waits for its answer.
    State,
    /// An answer to the centre: nobody waits for its answer.
    Answer,
    /// An event.
    Event(PublishId),
}

/// The open offers of one connection.
#[derive(Debug, Default)]
pub(super) struct Correlation {
    requested: VecDeque<Offer>,
    /// With the place of each in the order of requests.
    sent: BTreeMap<u16, (u64, Offer)>,
    places: u64,
    first_since: Option<Instant>,
}

impl Correlation {
    /// The library was handed this.
    pub(super) fn requested(&mut self, offer: Offer, now: Instant) {
        self.first_since.get_or_insert(now);
        self.requested.push_back(offer);
    }

    /// The library gave the oldest request this packet id.
    pub(super) fn sent(&mut self, packet_id: u16) {
        if let Some(offer) = self.requested.pop_front() {
            self.places += 1;
            self.sent.insert(packet_id, (self.places, offer));
        }
    }

    /// The broker answered; `None` for an id that nobody waits for.
    pub(super) fn answered(&mut self, packet_id: u16, now: Instant) -> Option<Offer> {
        let (place, offer) = self.sent.remove(&packet_id)?;
        if self.sent.values().all(|(other, _)| *other > place) {
            self.first_since = (self.open() > 0).then_some(now);
        }
        Some(offer)
    }

    /// Since when the offer that has been open for longest is the first to be answered:
    /// a broker that answers others is still to answer that one.
    pub(super) fn first_since(&self) -> Option<Instant> {
        self.first_since
    }

    /// How many offers are open.
    pub(super) fn open(&self) -> usize {
        self.requested.len() + self.sent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn answers_find_their_offers_in_any_order_and_strangers_find_none() {
        let offer = |n| Offer::Event(PublishId(n));
        let (mut correlation, now) = (Correlation::default(), Instant::now());
        for n in 0..3 {
            correlation.requested(offer(n), now);
        }
        assert_eq!(correlation.answered(1, now), None, "nothing is on the wire yet");
        for packet_id in [1, 2, 3] {
            correlation.sent(packet_id);
        }
        correlation.sent(4);
        assert_eq!(correlation.open(), 3, "an id without a request is no offer");
        assert_eq!(correlation.answered(3, now), Some(offer(2)));
        assert_eq!(correlation.answered(3, now), None, "an answer counts once");
        assert_eq!(correlation.answered(4, now), None);
        assert_eq!(correlation.answered(1, now), Some(offer(0)));
        assert_eq!(correlation.answered(2, now), Some(offer(1)));
        assert_eq!(correlation.open(), 0);
    }

    #[test]
    fn a_packet_id_used_again_means_the_later_offer() {
        let (mut correlation, now) = (Correlation::default(), Instant::now());
        correlation.requested(Offer::State, now);
        correlation.sent(1);
        assert_eq!(correlation.answered(1, now), Some(Offer::State));
        correlation.requested(Offer::Event(PublishId(9)), now);
        correlation.sent(1);
        assert_eq!(correlation.answered(1, now), Some(Offer::Event(PublishId(9))));
    }

    #[test]
    fn answers_to_others_do_not_prolong_the_wait_for_the_first() {
        let begun = Instant::now();
        let at = |s| begun + Duration::from_secs(s);
        let mut correlation = Correlation::default();
        assert_eq!(correlation.first_since(), None);
        for (packet_id, s) in [(1, 0), (2, 1), (3, 2), (4, 3)] {
            correlation.requested(Offer::Answer, at(s));
            correlation.sent(packet_id);
        }
        correlation.requested(Offer::Answer, at(4));
        for (packet_id, s, since) in [(2, 5, 0), (3, 6, 0), (1, 7, 7), (4, 8, 8)] {
            correlation.answered(packet_id, at(s));
            assert_eq!(correlation.first_since(), Some(at(since)), "after {packet_id}");
        }
        correlation.sent(5);
        correlation.answered(5, at(9));
        assert_eq!(correlation.first_since(), None, "nothing is open");
    }
}
