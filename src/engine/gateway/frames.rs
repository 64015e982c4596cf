//! A frame's way: authenticate, deduplicate, decide, record, answer.

use super::{Gateway, is_to_be_told};
use crate::engine::acknowledge::{Released, Waiting, Window};
use crate::engine::authenticate::{Arrived, arrive};
use crate::engine::claimed::brought;
use crate::engine::decide::{Moment, decide};
use crate::engine::deduplicate::{Fresh, Heard, deduplicate};
use crate::engine::event::{Detail, EventId, Kind};
use crate::engine::journal::Haste;
use crate::engine::lorawan::DownlinkBytes;
use crate::engine::mutant::{Mutant, planted};
use crate::engine::notice::{Notice, Refusal};
use crate::engine::pendant::{Latest, Supervision};
use crate::engine::record::{Hearing, Record, record};
use crate::engine::seam::LinkId;
use crate::engine::time::{Now, Wall};
use pendant_protocol::{Instruction, PendantId};

impl Gateway {
    pub(super) fn frame(&mut self, bytes: &[u8], hearing: Hearing, now: Now) {
        if planted(Mutant::RefuseWhileUnset) && now.wall == Wall::Unset {
            return;
        }
        let members = std::mem::take(&mut self.members);
        let link = self.settings.links.get(usize::from(hearing.link.0));
        let brought = brought(link.map(|link| link.speech).unwrap_or_default(), bytes);
        match arrive(brought, &members, &self.states, now.wall) {
            Err(why) => self.refuse(hearing.link, why),
            Ok(Arrived::Joining(joining)) => self.joins(joining, hearing, now),
            Ok(Arrived::JoinedAgain(pendant, event)) => {
                self.joins_again(pendant, event, &hearing, now);
            }
            Ok(Arrived::Message(authentic)) => {
                let pendant = authentic.pendant();
                let windows = self.windows(authentic.way(), &hearing);
                match deduplicate(authentic, &self.states[pendant], now.mono) {
                    Heard::Fresh(fresh) => self.fresh(fresh, windows, hearing, now),
                    Heard::Again(event, reply) => {
                        let answer = reply.zip(windows);
                        self.again(pendant, event, answer, hearing, now);
                    }
                    Heard::Used | Heard::TooOld => self.stale(pendant, hearing.link, now),
                }
            }
        }
        self.members = members;
    }

    pub(super) fn fresh(
        &mut self,
        fresh: Fresh<'_>,
        windows: Option<[Window; 2]>,
        hearing: Hearing,
        now: Now,
    ) {
        let pendant = fresh.authentic().pendant();
        let moment = Moment { now, age: self.age.at(now) };
        let before = &self.states[pendant];
        let supervision = before.supervision;
        let restored = (supervision != Supervision::Heard).then(|| fresh.authentic().event(1));
        let instruction = self.instructions.get(&pendant).copied().unwrap_or(Instruction::None);
        let policy = self.settings.policies.of(pendant);
        let decision = decide(fresh, before, policy, instruction, moment);
        if decision.answer.instruction == instruction {
            self.instructions.remove(&pendant);
        }
        let number = self.next_number(decision.kind.lane());
        let salt = if planted(Mutant::RepeatSalt) { 7 } else { self.chance.salt() };
        let mut record = record(decision, hearing, (self.boot, number), self.settings.slot, salt);
        self.supervise(&mut record, supervision, restored, now);
        #[cfg(feature = "leaks")]
        let told = (record.event.clone(), record.reply.clone());
        self.take_record(pendant, record, windows, &hearing, now);
        self.air_heard(pendant, now);
        #[cfg(feature = "leaks")]
        if let (event, Some(reply)) = told {
            self.leak(&event, reply, now);
        }
    }

    /// Keeps what a frame said, and answers it when that is safe.
    pub(super) fn take_record(
        &mut self,
        pendant: PendantId,
        mut record: Record,
        windows: Option<[Window; 2]>,
        hearing: &Hearing,
        now: Now,
    ) {
        let (event, link, ended) = (record.event.id, hearing.link, hearing.received.mono);
        record.state.latest = Some(Latest { event, link, ended });
        let haste = self.haste(pendant, &record, now);
        let lsn = self.keep_with_state(&record.event, pendant, &record.state, haste, now);
        self.put_state(pendant, record.state);
        if let Some((reply, windows)) = record.reply.zip(windows) {
            // One that only listens may be followed by one that answers.
            self.custody.take(Waiting {
                pendant,
                joins: record.event.kind == Kind::Joined,
                receivers: self.receivers(hearing),
                ended,
                windows,
                reply,
                event,
                lsn,
            });
        }
        self.notice(Notice::Heard { link, pendant });
    }

    /// Heartbeats that are never answered wait for others, so that one sync serves
    /// several: not those of a pendant that may call covertly, whose call must cost the
    /// disk what its heartbeat does (P5), and nothing that changes more than the window.
    fn haste(&self, pendant: PendantId, record: &Record, now: Now) -> Haste {
        let hidden = self.settings.policies.of(pendant).panic_is_covert;
        let device = self.settings.devices.get(&pendant);
        let idle = record.reply.is_none()
            && matches!(record.event.kind, Kind::Heartbeat | Kind::TrackPoint)
            && record.state.supervision == self.states[pendant].supervision
            && !self.volatile.contains(&pendant)
            && !device.is_some_and(|device| device.calls_covertly(hidden));
        if idle { Haste::Unhurried(now.mono) } else { Haste::AtOnce }
    }

    /// The same bytes again: answered again, but not recorded again.
    pub(super) fn again(
        &mut self,
        pendant: PendantId,
        event: EventId,
        answer: Option<(DownlinkBytes, [Window; 2])>,
        hearing: Hearing,
        now: Now,
    ) {
        if self.is_heard_beside(pendant, event, &hearing) {
            return;
        }
        let (link, ended) = (hearing.link, hearing.received.mono);
        self.notice(Notice::HeardAgain { link, pendant });
        let Some((reply, windows)) = answer.filter(|_| self.acknowledges(link)) else { return };
        let receivers = self.receivers(&hearing);
        #[cfg(feature = "leaks")]
        if self.leaking.ignores(&reply) {
            return;
        }
        if let Some(state) = self.states.get_mut(pendant) {
            state.latest = Some(Latest { event, link, ended });
        }
        let waiting =
            Waiting { pendant, joins: false, receivers, ended, windows, reply, event, lsn: None };
        if self.custody.postpone(&waiting) {
            return;
        }
        let released = match self.receipted.get(&event) {
            Some(receipted) => Released::again_by_centre(waiting, *receipted),
            None if self.volatile.contains(&pendant) => Err(waiting),
            None => {
                let lsn = self.journal.state_at(pendant);
                Released::again(Waiting { lsn, ..waiting }, self.journal.durable())
            }
        };
        match released {
            Ok(released) => self.transmit(released, now),
            Err(waiting) => self.custody.take(waiting),
        }
    }

    /// A used counter under other bytes, or one below the window: a pendant that
    /// lost its memory, or a replay.
    pub(super) fn stale(&mut self, pendant: PendantId, link: LinkId, now: Now) {
        self.refuse(link, Refusal::Replayed);
        let Some(state) = self.states.get_mut(pendant) else { return };
        if is_to_be_told(state.stale_told, now) {
            state.stale_told = Some(now.mono);
            self.tell(Kind::CounterStale, Detail::Pendant(pendant.get()), now);
        }
    }
}
