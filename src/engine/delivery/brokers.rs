//! What brokers do: they come, go, take and refuse.

use super::apart::APART_MS;
use super::line::Line;
use super::{AWAITING_MAX, Delivery, DeliveryNews, NO_SUBSCRIBERS};
use crate::engine::event::Telling;
use crate::engine::journal::Lsn;
use crate::engine::mutant::{Mutant, planted};
use crate::engine::seam::{BrokerId, PublishId};
use crate::engine::time::Mono;

impl Delivery {
    /// A broker is there: everything that is not waiting for a receipt may go.
    pub(in crate::engine) fn broker_up(&mut self, broker: BrokerId, in_flight_max: u16, now: Mono) {
        let alone = !self.any_up();
        let paced = self.settings.drain_per_s_max.is_some();
        let Some(line) = self.lines.get_mut(broker.index()) else { return };
        line.connected(in_flight_max, paced, now);
        if let Some(first) = self.apart.first() {
            // What another broker refused may go to this one.
            self.backlog.look_again_from(first);
        }
        if alone {
            // No receipt could come meanwhile.
            self.wait_anew(now);
        }
        self.offer_elsewhere(|line| !line.up);
    }

    fn wait_anew(&mut self, now: Mono) {
        self.deadlines.clear();
        self.escalations.clear();
        let until = now.plus_ms(self.settings.receipt_wait_ms);
        let escalate = now.plus_ms(self.settings.escalate_after_ms);
        for (event, sent) in self.sent.iter_mut().filter(|(_, sent)| sent.until.is_some()) {
            sent.until = Some(until);
            self.deadlines.push_back((until, *event));
            self.escalations.push_back((escalate, *event));
        }
    }

    /// A broker is gone: none of its open offers counts. What it alone had taken
    /// is offered elsewhere at once: nobody knows whether it passed it on.
    pub(in crate::engine) fn broker_down(&mut self, broker: BrokerId, now: Mono) {
        let Some(line) = self.lines.get_mut(broker.index()) else { return };
        let (events, culprit) = line.lost();
        let culprit = culprit.and_then(|event| self.sent.get(&event));
        if let Some((lsn, replayed)) = culprit.map(|sent| (sent.lsn(), sent.replayed)) {
            self.not_there(lsn, broker, replayed, now);
        }
        for event in events.into_iter().filter(|_| !planted(Mutant::LoseOpenOffers)) {
            self.offer_ended(event, broker);
        }
        if self.any_up() {
            self.offer_elsewhere(|line| !line.up);
        }
    }

    /// An offer at a broker came to nothing.
    fn offer_ended(&mut self, event: Telling, broker: BrokerId) {
        let Some(sent) = self.sent.get_mut(&event) else { return };
        sent.open.remove(broker);
        if sent.open.is_empty() && sent.until.is_none() {
            self.give_back(event);
        }
    }

    /// Gives back what waits for receipts only through lines of this kind.
    pub(super) fn offer_elsewhere(&mut self, of_kind: impl Fn(&Line) -> bool) {
        let through = self.those(of_kind);
        let stranded: Vec<Telling> = (self.sent.iter())
            .filter(|(_, sent)| {
                sent.until.is_some() && sent.open.is_empty() && sent.taken.is_within(through)
            })
            .map(|(event, _)| *event)
            .collect();
        for event in stranded {
            self.give_back(event);
        }
    }

    /// A broker took an offer. Gives the event if that is all that is waited for.
    pub(in crate::engine) fn taken(
        &mut self,
        broker: BrokerId,
        publish: PublishId,
        now: Mono,
    ) -> Option<Telling> {
        let line = self.lines.get_mut(broker.index());
        let event = line.and_then(|line| line.taken(publish, now))?;
        let sent = self.sent.get_mut(&event)?;
        sent.open.remove(broker);
        sent.taken.insert(broker);
        sent.read = None;
        if sent.replayed {
            self.apart.taken_again(broker);
        }
        if !self.settings.receipts || planted(Mutant::ReleaseOnPuback) {
            self.done(event);
            return Some(event);
        }
        if sent.until.is_none() {
            let until = now.plus_ms(self.settings.receipt_wait_ms);
            sent.until = Some(until);
            self.awaiting += 1;
            self.deadlines.push_back((until, event));
            self.escalations.push_back((now.plus_ms(self.settings.escalate_after_ms), event));
            self.drop_done();
        }
        while self.awaiting > AWAITING_MAX {
            let Some((until, oldest)) = self.deadlines.pop_front() else { break };
            self.await_no_more(oldest, until);
        }
        None
    }

    /// A broker refused an offer: the event is kept, goes to the next broker if
    /// there is one, is tried again here later, and stands in nobody's way.
    pub(in crate::engine) fn refused(
        &mut self,
        broker: BrokerId,
        publish: PublishId,
        reason: u8,
        now: Mono,
    ) {
        let Some(line) = self.lines.get_mut(broker.index()) else { return };
        let Some(event) = line.refused(publish) else { return };
        self.news.push_back(DeliveryNews::Refused { broker, reason, event: event.id });
        let unheard = planted(Mutant::UnheardIsDelivered) && reason == NO_SUBSCRIBERS;
        if unheard || (planted(Mutant::DropRefused) && reason != NO_SUBSCRIBERS) {
            self.done(event);
            return;
        }
        if reason == NO_SUBSCRIBERS {
            line.unheard(now);
        }
        // Its receipt may have come meanwhile, through another broker.
        let Some(sent) = self.sent.get_mut(&event) else { return };
        let (lsn, replayed) = (sent.lsn(), sent.replayed);
        if reason == NO_SUBSCRIBERS {
            let read = sent.read.take();
            self.offer_ended(event, broker);
            if let (Some(lsn), Some(read), false) = (lsn, read, self.sent.contains_key(&event)) {
                self.backlog.put_back(lsn, *read);
            }
            return;
        }
        self.not_there(lsn, broker, replayed, now);
        self.offer_ended(event, broker);
    }

    /// A broker does not take an event: to that one it goes later again.
    fn not_there(&mut self, lsn: Option<Lsn>, broker: BrokerId, replayed: bool, now: Mono) {
        match lsn {
            Some(lsn) => self.set_apart(lsn, broker, replayed, now),
            None => self.memory_after[broker.index()] = Some(now.plus_ms(*APART_MS.start())),
        }
    }
}
