//! What the journal and the delivery report, and what follows from it.

use super::{Gateway, is_to_be_told};
use crate::engine::decide::timers::unfire;
use crate::engine::delivery::DeliveryNews;
use crate::engine::event::{
    Detail, Event, EventId, FromPendant, GIVEN_UP_MAX, Kind, Lane, UNREADABLE_NAMED_MAX,
};
use crate::engine::journal::recover::Recovered;
use crate::engine::journal::{Haste, News, Shed};
use crate::engine::keyring::Keyring;
use crate::engine::notice::Notice;
use crate::engine::pendant::PendantState;
use crate::engine::time::Now;
use pendant_protocol::PendantId;
use std::collections::VecDeque;

impl Gateway {
    pub(super) fn say_start(&mut self, now: Now) {
        // A journal that cannot even begin keeps nobody from being told.
        while self.has_room_to_say() || self.journal.has_failed() {
            let Some((kind, detail)) = self.to_tell.pop_front() else { return };
            self.tell(kind, detail, now);
        }
    }

    /// Whose enrolment cannot be read any more is as unprotected as who was revoked, and
    /// nobody meant it.
    pub(super) fn say_unreadable(&mut self, keyring: &Keyring) {
        let news: Vec<u32> = keyring
            .unreadable()
            .difference(&self.unreadable)
            .map(|pendant| pendant.get())
            .collect();
        self.unreadable.clone_from(keyring.unreadable());
        if let Ok(enrolments @ 1..) = u32::try_from(news.len()) {
            let pendants = news.into_iter().take(UNREADABLE_NAMED_MAX).collect();
            let detail = Detail::Unreadable { enrolments, pendants };
            self.to_tell.push_back((Kind::EnrolmentUnreadable, detail));
        }
    }

    /// Damage is told before cleaning makes the file free in which it is: the next start
    /// does not find it any more.
    fn has_room_to_say(&self) -> bool {
        let damage = self.to_tell.iter().any(|(kind, _)| *kind == Kind::JournalDamage);
        self.journal.has_room() || damage && self.journal.has_room_for_lane(Lane::Urgent)
    }

    /// Events that found no room go into the journal as soon as there is some, and
    /// then their pendants are answered on its word.
    pub(super) fn house_homeless(&mut self) {
        let homeless = self.delivery.homeless(|lane| self.journal.has_room_for_lane(lane));
        for event in homeless {
            let (id, lane) = (event.id, event.kind.lane());
            let pendant = event.from.as_ref().and_then(FromPendant::pendant_id);
            let volatile = pendant.filter(|pendant| self.volatile.contains(pendant));
            let state = volatile.and_then(|pendant| self.states.get(pendant));
            let less = volatile
                .zip(state)
                .and_then(|(pendant, state)| self.withhold(pendant, state, Some(id)));
            let Ok(lsn) = self.journal.append_event(&event, less.as_ref().or(state), Haste::AtOnce)
            else {
                self.delivery.remain_homeless(lane);
                continue;
            };
            self.delivery.settle(event.telling(), lsn);
            self.custody.settle(id, lsn);
            if let Some(pendant) = volatile.filter(|_| less.is_none()) {
                self.state_is_kept(pendant, lsn);
            }
        }
    }

    /// A pendant's state as it may become durable, if not all of it may: without what
    /// came of events that only memory holds, the one `beside` which it is written
    /// excepted. A state that is durable says that its events are, and a repetition
    /// would be answered on its word.
    pub(super) fn withhold(
        &self,
        pendant: PendantId,
        state: &PendantState,
        beside: Option<EventId>,
    ) -> Option<PendantState> {
        // Of others everything is in the journal.
        if !self.volatile.contains(&pendant) {
            return None;
        }
        let mut less: Option<PendantState> = None;
        for event in self.delivery.only_here_of(pendant).filter(|event| Some(event.id) != beside) {
            let state = less.get_or_insert_with(|| state.clone());
            let Some(from) = &event.from else { continue };
            if from.heard.is_none() || event.kind == Kind::SupervisionRestored {
                let told = Now { mono: event.received.mono, wall: event.received.wall };
                unfire(state, event.kind, from.counter, self.age.at(told));
            } else if event.kind == Kind::Joined {
                state.lorawan.unjoin(from.counter);
            } else {
                state.unsay(from.counter);
            }
        }
        less
    }

    pub(super) fn say_dropped(&mut self, now: Now) {
        if !self.journal.has_room() || self.journal.has_failed() {
            return;
        }
        for lane in Lane::ALL {
            if let Some(shed) = self.dropped[lane as usize].take() {
                self.tell(Kind::EventsShed, void(&shed), now);
            }
        }
    }

    pub(super) fn journal_news(&mut self, news: News, now: Now) {
        match news {
            News::Durable(durable) => {
                for released in self.custody.assured_by_journal(durable) {
                    self.transmit(released, now);
                }
                self.release_answers(durable);
            }
            News::Backlog(events, end) => self.delivery.backlog(events, end),
            News::Moved(moved) => {
                let moved = moved.into_iter().collect();
                self.delivery.moved(&moved);
                self.custody.moved(&moved);
                for (lsn, _) in &mut self.answers {
                    *lsn = moved.get(lsn).copied().unwrap_or(*lsn);
                }
            }
            News::Failed(fault) => {
                self.notice(Notice::JournalFailed { fault });
                // What was being synced the centre may have had for long.
                self.release_receipted(now);
                self.tell(Kind::JournalFailed, Detail::None, now);
            }
            News::Restored => {
                self.notice(Notice::JournalRestored);
                self.tell(Kind::JournalRestored, Detail::None, now);
            }
            News::Shed(ranges, pendants) => {
                for shed in ranges {
                    self.notice(Notice::Shed { lane: shed.lane, count: shed.count });
                    self.tell(Kind::EventsShed, void(&shed), now);
                }
                for pendants in pendants.chunks(GIVEN_UP_MAX) {
                    let detail = Detail::GivenUp { pendants: pendants.to_vec() };
                    self.tell(Kind::EventsShed, detail, now);
                }
            }
            News::Tight(tight) => {
                self.notice(Notice::JournalTight { tight });
                let kind = if tight { Kind::StoreTight } else { Kind::StoreRoomy };
                self.tell(kind, Detail::None, now);
            }
            News::Unreadable(lsn) => self.delivery.unreadable(lsn, now.mono),
            News::AgeGoes => self.tick(now),
            News::Damaged(slots) => {
                self.notice(Notice::JournalDamage { slots });
                self.tell(Kind::JournalDamage, Detail::Damage { slots }, now);
            }
        }
    }

    pub(super) fn delivery_news(&mut self, news: DeliveryNews, now: Now) {
        match news {
            DeliveryNews::Refused { broker, reason, event } => {
                self.notice(Notice::BrokerRefused { broker, reason });
                let told = self.refusal_told.get(&(broker, reason)).copied();
                if is_to_be_told(told, now) {
                    self.refusal_told.insert((broker, reason), now.mono);
                    let detail = Detail::Refused { broker, reason, event };
                    self.tell(Kind::BrokerRefused, detail, now);
                }
            }
            DeliveryNews::Centre { broker, heard } => {
                self.notice(Notice::Centre { broker, heard });
                let kind = if heard { Kind::CentreHeard } else { Kind::CentreSilent };
                self.tell(kind, Detail::Broker(broker), now);
            }
            DeliveryNews::Dropped(event) => {
                let Event { id, boot, kind, number, ref from, .. } = *event;
                let lane = kind.lane();
                self.custody.give_up(id);
                let said = |from: &&FromPendant| from.heard.is_some() && kind != Kind::Joined;
                if let Some(from) = from.as_ref().filter(said) {
                    let state = from.pendant_id().and_then(|pendant| self.states.get_mut(pendant));
                    // Nobody is answered for it later either.
                    state.into_iter().for_each(|state| state.forget_reply(from.counter));
                }
                self.notice(Notice::JournalOverflow);
                let dropped = &mut self.dropped[lane as usize];
                let range = dropped.get_or_insert(Shed {
                    boot,
                    lane,
                    first: number,
                    last: number,
                    count: 0,
                });
                range.first = range.first.min(number);
                range.last = range.last.max(number);
                range.count += 1;
            }
        }
    }

    /// States that must move on, and states that found no room before.
    pub(super) fn carry_states(&mut self) {
        for pendant in self.journal.states_to_carry() {
            self.carry_state(pendant);
        }
        // What is withheld comes with its event.
        let is_whole = |pendant: &PendantId| {
            let state = self.states.get(*pendant);
            state.is_some_and(|state| self.withhold(*pendant, state, None).is_none())
        };
        let whole: Vec<PendantId> = self.volatile.iter().copied().filter(is_whole).collect();
        for pendant in whole {
            self.carry_state(pendant);
        }
    }

    /// Writes a pendant's state, without what is withheld, if there is room.
    pub(super) fn carry_state(&mut self, pendant: PendantId) {
        let Some(state) = self.states.get(pendant) else { return };
        let less = self.withhold(pendant, state, None);
        if self.journal.carry_state(pendant, less.as_ref().unwrap_or(state)) && less.is_none() {
            let lsn = self.journal.state_at(pendant).expect("it was just written");
            self.state_is_kept(pendant, lsn);
        }
    }
}

/// What the centre must hear first of this boot.
pub(super) fn start_news(found: &Recovered) -> VecDeque<(Kind, Detail)> {
    let mut news =
        VecDeque::from([(Kind::GatewayStarted, Detail::Started { previous: found.previous })]);
    if found.damaged > 0 {
        news.push_back((Kind::JournalDamage, Detail::Damage { slots: found.damaged }));
    }
    news.extend(found.voids.iter().map(|shed| (Kind::JournalDamage, void(shed))));
    news
}

fn void(shed: &Shed) -> Detail {
    Detail::Void {
        boot: shed.boot,
        lane: shed.lane,
        first: shed.first,
        last: shed.last,
        count: shed.count,
    }
}

#[cfg(test)]
mod tests;
