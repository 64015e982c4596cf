//! LoRaWAN devices that ask for a session.

use super::Gateway;
use crate::engine::acknowledge::{NATIVE_WINDOWS, Window, windows_of};
use crate::engine::authenticate::{Joining, Way};
use crate::engine::event::{EventId, Kind};
use crate::engine::record::{Hearing, record_join};
use crate::engine::time::Now;
use pendant_protocol::PendantId;

/// Receive windows of class A (RP002-1.0.4, section 2: the same in every region), ms.
const DATA_MS: [u16; 2] = [1_000, 2_000];
/// Those of a join.
const JOIN_MS: [u16; 2] = [5_000, 6_000];

impl Gateway {
    /// When a frame's sender listens, and to what; `None` if that is not known.
    pub(super) fn windows(&self, way: &Way<'_>, hearing: &Hearing) -> Option<[Window; 2]> {
        match way {
            Way::Native { .. } => Some(NATIVE_WINDOWS),
            Way::LoRaWan { .. } => self.lorawan_windows(DATA_MS, hearing),
            Way::Claimed { .. } => None,
        }
    }

    fn lorawan_windows(&self, [ms, or_ms]: [u16; 2], hearing: &Hearing) -> Option<[Window; 2]> {
        let waves = self.settings.lorawan?.windows(&hearing.signal)?;
        Some(windows_of(waves, ms, or_ms))
    }

    /// A device that may have a session: its record bears the nonces, and the answer
    /// leaves when they are safe (P1).
    pub(super) fn joins(&mut self, joining: Joining<'_>, hearing: Hearing, now: Now) {
        let Some(plan) = self.settings.lorawan else { return };
        let pendant = joining.member.pendant;
        if self.states.get_mut(pendant).is_some_and(|state| !state.may_join(now.mono)) {
            return self.stale(pendant, hearing.link, now);
        }
        let number = self.next_number(Kind::Joined.lane());
        let life = self.chance.number() as u32;
        let before = &self.states[pendant];
        let record = record_join(joining, before, hearing, (self.boot, number), (plan, life));
        let windows = self.lorawan_windows(JOIN_MS, &hearing);
        self.take_record(pendant, record, windows, &hearing, now);
    }

    /// The same request through another receiver; else a replay, or a device whose
    /// nonces do not change.
    pub(super) fn joins_again(
        &mut self,
        pendant: PendantId,
        event: Option<EventId>,
        hearing: &Hearing,
        now: Now,
    ) {
        if !event.is_some_and(|event| self.is_heard_beside(pendant, event, hearing)) {
            self.stale(pendant, hearing.link, now);
        }
    }
}
