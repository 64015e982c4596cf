//! Which acknowledgement answers which offer.
//!
//! The MQTT library gives no token for a publish. It takes requests in order and
//! reports each packet id in that order, so a queue of what was requested, moved
//! into a map when its id is reported, tells whose PUBACK this is. It holds for
//! one connection only and dies with it.

use crate::engine::seam::PublishId;
use std::collections::{BTreeMap, VecDeque};

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
    sent: BTreeMap<u16, Offer>,
}

impl Correlation {
    /// The library was handed this.
    pub(super) fn requested(&mut self, offer: Offer) {
        self.requested.push_back(offer);
    }

    /// The library gave the oldest request this packet id.
    pub(super) fn sent(&mut self, packet_id: u16) {
        if let Some(offer) = self.requested.pop_front() {
            self.sent.insert(packet_id, offer);
        }
    }

    /// The broker answered; `None` for an id that nobody waits for.
    pub(super) fn answered(&mut self, packet_id: u16) -> Option<Offer> {
        self.sent.remove(&packet_id)
    }

    /// How many offers are open.
    pub(super) fn open(&self) -> usize {
        self.requested.len() + self.sent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_find_their_offers_in_any_order_and_strangers_find_none() {
        let offer = |n| Offer::Event(PublishId(n));
        let mut correlation = Correlation::default();
        for n in 0..3 {
            correlation.requested(offer(n));
        }
        assert_eq!(correlation.answered(1), None, "nothing is on the wire yet");
        for packet_id in [1, 2, 3] {
            correlation.sent(packet_id);
        }
        correlation.sent(4);
        assert_eq!(correlation.open(), 3, "an id without a request is no offer");
        assert_eq!(correlation.answered(3), Some(offer(2)));
        assert_eq!(correlation.answered(3), None, "an answer counts once");
        assert_eq!(correlation.answered(4), None);
        assert_eq!(correlation.answered(1), Some(offer(0)));
        assert_eq!(correlation.answered(2), Some(offer(1)));
        assert_eq!(correlation.open(), 0);
    }

    #[test]
    fn a_packet_id_used_again_means_the_later_offer() {
        let mut correlation = Correlation::default();
        correlation.requested(Offer::State);
        correlation.sent(1);
        assert_eq!(correlation.answered(1), Some(Offer::State));
        correlation.requested(Offer::Event(PublishId(9)));
        correlation.sent(1);
        assert_eq!(correlation.answered(1), Some(Offer::Event(PublishId(9))));
    }
}
