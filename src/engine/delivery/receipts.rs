//! Receipts: what they release, what they say of the broker through which they
//! come, and what follows when they stay away.

use super::{Delivery, DeliveryNews, Line, Receipted};
use crate::engine::event::Telling;
use crate::engine::seam::BrokerId;
use crate::engine::time::Mono;
use std::collections::VecDeque;

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
