//! The gateway's timers: which pendant is due next, what it then has to tell, and
//! who fell silent together.

use super::Gateway;
use crate::engine::age::{Age, TICK_MS, Tick};
use crate::engine::by_pendant::ByPendant;
use crate::engine::decide::timers::{Fired, fire, is_silent, next_alarm, next_due, put_off};
use crate::engine::event::{Detail, Event, EventId, FromPendant, Kind, Stamp};
use crate::engine::journal::Haste;
use crate::engine::pendant::{PendantState, Supervision};
use crate::engine::policy::Policies;
use crate::engine::record::Record;
use crate::engine::time::{Mono, Now, Wall};
use pendant_protocol::PendantId;
use std::collections::BTreeSet;

/// Pendants that fall silent within this time of each other are counted together, ms.
const TOGETHER_MS: u64 = 30_000;
/// How soon the age is journalled again if there was no room for it, ms.
const TICK_AGAIN_MS: u64 = 1_000;
/// Fewest pendants that make a suspicion, and the least share of those supervised.
const MANY: usize = 5;
const MANY_SHARE: usize = 4;

/// What is due when, at the earliest: nearly every frame puts off only when its
/// pendant will have been silent for too long, and that is reckoned again when
/// the moment that is noted has come, not at every frame.
pub(super) struct Timers {
    due: BTreeSet<(Age, PendantId)>,
    of: ByPendant<Age>,
    /// Silent, but not told yet: others may fall silent with them.
    silent: BTreeSet<PendantId>,
    silent_until: Option<Mono>,
    /// How many fell silent together last.
    group: usize,
    pub(super) tick_at: Mono,
}

impl Timers {
    pub(super) fn new(now: Mono) -> Self {
        Self {
            due: BTreeSet::new(),
            of: ByPendant::default(),
            silent: BTreeSet::new(),
            silent_until: None,
            group: 0,
            tick_at: now,
        }
    }

    /// Reckons anew what is next for a pendant.
    pub(super) fn set(&mut self, pendant: PendantId, state: &PendantState, policies: &Policies) {
        self.silent.remove(&pendant);
        let due = next_due(state, policies.of(pendant));
        let noted = self.of.get(pendant).copied();
        if noted.zip(due).is_some_and(|(noted, due)| noted <= due) {
            return;
        }
        self.forget(pendant);
        self.note(pendant, due);
    }

    fn note(&mut self, pendant: PendantId, due: Option<Age>) {
        if let Some(age) = due {
            self.due.insert((age, pendant));
            self.of.insert(pendant, age);
        }
    }

    pub(super) fn forget(&mut self, pendant: PendantId) {
        if let Some(age) = self.of.remove(pendant) {
            self.due.remove(&(age, pendant));
        }
        self.silent.remove(&pendant);
    }

    /// Many fell silent together, and less than half of them are back.
    pub(super) fn is_reception_suspect(&self) -> bool {
        self.group > 0
    }

    /// None of those that fell silent together is missing any more.
    pub(super) fn nobody_is_missing(&mut self) {
        self.group = 0;
    }

    /// A silent pendant waits for its companions; its alarms do not.
    fn hold_back(&mut self, pendant: PendantId, alarm: Option<Age>, now: Mono) {
        self.forget(pendant);
        self.note(pendant, alarm);
        self.silent.insert(pendant);
        self.silent_until.get_or_insert(now.plus_ms(TOGETHER_MS));
    }
}

impl Gateway {
    /// Everything that has become due by now.
    pub(super) fn handle_timers(&mut self, now: Now) {
        let off_ms = self.age.take_wall(now);
        if off_ms > 0 {
            self.put_off(off_ms);
        }
        if now.wall != Wall::Unset && std::mem::take(&mut self.stamped_unset) {
            self.tell(Kind::ClockSet, Detail::None, now);
        }
        if self.timers.tick_at <= now.mono {
            self.tick(now);
        }
        let age = self.age.at(now);
        while let Some(&(due, pendant)) = self.timers.due.first() {
            if due > age {
                break;
            }
            self.pendant_due(pendant, age, now);
        }
        if self.timers.silent_until.is_some_and(|until| until <= now.mono) {
            self.timers.silent_until = None;
            self.tell_silent(now);
        }
    }

    /// It turns out that the gateway was off for longer than it knew when it began:
    /// that time counts for what was set before, not for what was set since.
    fn put_off(&mut self, off_ms: u64) {
        let pendants: Vec<PendantId> = self.states.iter().map(|(pendant, _)| pendant).collect();
        for pendant in pendants {
            let Some(mut state) = self.states.get(pendant).cloned() else { continue };
            if put_off(&mut state, off_ms) {
                self.volatile.insert(pendant);
            }
            self.put_state(pendant, state);
        }
    }

    /// Nobody was heard while the gateway was off, so silence counts from its start.
    pub(super) fn listen_from(&mut self, now: Now) {
        let age = self.age.at(now);
        for state in self.states.values_mut() {
            state.heard = age;
            state.highest_before = state.highest;
        }
    }

    /// Journals the age, so that timers run on after a restart.
    pub(super) fn tick(&mut self, now: Now) {
        let kept = self.journal.append_tick(Tick { age: self.age.at(now), wall: now.wall });
        let wait_ms = if kept { TICK_MS } else { TICK_AGAIN_MS };
        self.timers.tick_at = now.mono.plus_ms(wait_ms);
    }

    pub(super) fn next_timer(&self) -> Option<Mono> {
        let due =
            self.timers.due.first().map(|(age, _)| Mono::ZERO.plus_ms(self.age.mono_ms_of(*age)));
        [due, self.timers.silent_until, Some(self.timers.tick_at)].into_iter().flatten().min()
    }

    fn pendant_due(&mut self, pendant: PendantId, age: Age, now: Now) {
        let Some(state) = self.states.get(pendant) else {
            self.timers.forget(pendant);
            return;
        };
        let policy = self.settings.policies.of(pendant);
        if let Some(fired) = fire(state, policy, age) {
            let id = self.timer_id(pendant, fired.counter, fired.kind);
            self.tell_of(pendant, id, fired, now);
        } else if is_silent(state, policy, age) {
            let alarm = next_alarm(state, policy);
            self.timers.hold_back(pendant, alarm, now.mono);
        } else {
            self.timers.forget(pendant);
            self.timers.set(pendant, state, &self.settings.policies);
        }
    }

    /// Tells what a timer or the lack of frames says of a pendant, in one record
    /// with the state that it leaves.
    fn tell_of(&mut self, pendant: PendantId, id: EventId, fired: Fired, now: Now) {
        let Some(member) = self.members.get(pendant) else { return };
        let from = FromPendant {
            pendant: pendant.get(),
            enrolment: member.enrolment,
            wearer: member.wearer.clone(),
            authentication: member.authentication(),
            counter: fired.counter,
            heard: None,
        };
        let event = Event {
            id,
            kind: fired.kind,
            boot: self.boot,
            number: self.next_number(fired.kind.lane()),
            received: Stamp { mono: now.mono, wall: now.wall },
            from: Some(from),
            detail: fired.detail,
        };
        self.keep_with_state(&event, pendant, &fired.state, Haste::AtOnce, now);
        self.put_state(pendant, fired.state);
    }

    fn timer_id(&self, pendant: PendantId, counter: u32, kind: Kind) -> EventId {
        let life = self.states[pendant].lorawan.life();
        self.members[pendant].event_id.of_timer(life, counter, kind)
    }

    /// Silent pendants are told one by one, unless they are so many that the
    /// receiver or the air must be at fault: then they are one suspicion.
    fn tell_silent(&mut self, now: Now) {
        let silent = std::mem::take(&mut self.timers.silent);
        let supervised = self.states.values().filter(|state| state.highest.is_some()).count();
        let many = silent.len() >= MANY && silent.len() * MANY_SHARE >= supervised;
        for pendant in &silent {
            let Some(mut state) = self.states.get(*pendant).cloned() else { continue };
            // Whoever was silent for so long may have been jammed; what was held
            // back meanwhile must not end anything (P4).
            state.doubt();
            if many {
                state.supervision = Supervision::LostWithMany;
                self.put_state(*pendant, state);
                self.volatile.insert(*pendant);
                continue;
            }
            state.supervision = Supervision::Lost;
            let counter = state.highest.unwrap_or(0);
            let kind = Kind::SupervisionLost;
            let id = self.timer_id(*pendant, counter, kind);
            self.tell_of(*pendant, id, Fired { state, kind, detail: Detail::None, counter }, now);
        }
        if many {
            self.timers.group = silent.len();
            let count = u32::try_from(silent.len()).unwrap_or(u32::MAX);
            self.tell(Kind::ReceptionSuspect, Detail::Times(count), now);
        }
    }

    /// A frame was heard, of a pendant that was silent if `restored` is what tells
    /// its return. Only one that proves its freshness restores supervision.
    pub(super) fn supervise(
        &mut self,
        record: &mut Record,
        before: Supervision,
        restored: Option<EventId>,
        now: Now,
    ) {
        let Some(restored) = restored.filter(|_| record.shows_life()) else {
            record.state.supervision = before;
            return;
        };
        record.state.supervision = Supervision::Heard;
        match before {
            Supervision::LostWithMany => self.reception_returns(now),
            _ => self.tell_restored(record, restored, now),
        }
    }

    fn tell_restored(&mut self, record: &Record, id: EventId, now: Now) {
        let kind = Kind::SupervisionRestored;
        let event = Event {
            id,
            kind,
            boot: self.boot,
            number: self.next_number(kind.lane()),
            received: record.event.received,
            from: record.event.from.clone(),
            detail: Detail::None,
        };
        if self.keep(&event, None, Haste::AtOnce, now).is_none() {
            self.volatile.extend(PendantId::new(record.state.pendant));
        }
    }

    /// When half of those that fell silent together are back, the suspicion is
    /// over; who is still silent then gets his own time again.
    fn reception_returns(&mut self, now: Now) {
        let age = self.age.at(now);
        let with_many = |state: &PendantState| state.supervision == Supervision::LostWithMany;
        let missing: Vec<PendantId> =
            self.states.iter().filter(|(_, state)| with_many(state)).map(|(id, _)| id).collect();
        // The one that was just heard is still counted as missing.
        self.timers.group = self.timers.group.max(missing.len());
        if (missing.len().saturating_sub(1)) * 2 > self.timers.group {
            return;
        }
        self.timers.group = 0;
        for pendant in missing {
            let Some(mut state) = self.states.get(pendant).cloned() else { continue };
            state.supervision = Supervision::Heard;
            state.heard = age;
            self.put_state(pendant, state);
            self.volatile.insert(pendant);
        }
        self.tell(Kind::ReceptionRestored, Detail::None, now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fresh, now};
    use super::*;
    use crate::engine::journal::medium_test::state;
    use crate::engine::keyring::{Enrolment, Keyring, Secrets};
    use crate::engine::name::Name;
    use crate::engine::pendant::Session;

    /// A gateway with so many pendants that were heard.
    fn supervised(count: u32) -> Gateway {
        let (mut gateway, mut keyring) = (fresh(), Keyring::new());
        let wearer = Name::new("nurse-7").expect("a name");
        for n in 1..=count {
            let (pendant, wearer) = (PendantId::new(n).expect("a number"), wearer.clone());
            let secrets = Secrets::Claimed { number: n };
            keyring.insert(Enrolment { pendant, id: 7, wearer, secrets });
        }
        gateway.take_keyring(&keyring, now(0));
        gateway.states.values_mut().for_each(|state| state.highest = Some(5));
        gateway
    }

    #[test]
    fn a_fourth_of_all_that_fall_silent_together_are_one_suspicion_if_they_are_five() {
        let suspected = |silent: usize, of: u32| {
            let mut gateway = supervised(of);
            let pendants: Vec<PendantId> = gateway.states.iter().map(|(id, _)| id).collect();
            gateway.timers.silent.extend(&pendants[..silent]);
            gateway.tell_silent(now(0));
            let group = gateway.timers.group;
            assert_eq!(gateway.timers.is_reception_suspect(), group > 0);
            assert!(group == 0 || group == silent);
            gateway.status().reception_suspect
        };
        let cases = [(5, 20), (5, 21), (4, 4), (5, 5), (6, 24), (6, 25)];
        let suspected = cases.map(|(silent, of)| suspected(silent, of));
        assert_eq!(suspected, [true, false, false, true, true, false]);
    }

    #[test]
    fn reception_is_back_when_half_of_those_that_fell_silent_are() {
        let is_back = |missing: usize| {
            let mut gateway = supervised(20);
            gateway.timers.group = 6;
            for state in gateway.states.values_mut().take(missing) {
                state.supervision = Supervision::LostWithMany;
            }
            gateway.reception_returns(now(0));
            let still = gateway.states.values().filter(|s| s.supervision != Supervision::Heard);
            assert_eq!(still.count(), if gateway.timers.group > 0 { missing } else { 0 });
            gateway.timers.group == 0
        };
        // The one that was just heard is among them.
        assert_eq!([6, 5, 4, 3].map(is_back), [false, false, true, true]);
    }

    /// It was off for longer than it knew: what was set since runs on from now.
    #[test]
    fn what_was_set_since_the_start_is_put_off_by_the_time_that_was_not_known() {
        let mut gateway = supervised(1);
        let pendant = PendantId::new(1).expect("a number");
        let due = gateway.age.at(now(0)).plus_ms(60_000);
        let session =
            Session { started: 6, set_by: 6, minutes: 1, due, due_unix_ms: None, overdue: false };
        let mut state = PendantState { highest_before: Some(5), ..state(1) };
        state.apparent.session = Some(session);
        gateway.put_state(pendant, state);
        gateway.put_off(9_000);
        let session = gateway.states.get(pendant).and_then(|state| state.apparent.session);
        assert_eq!(session.map(|session| session.due), Some(due.plus_ms(9_000)));
        assert!(gateway.volatile.contains(&pendant));
    }
}
