//! Answers on their way from their release to a link.

use super::{Gateway, is_to_be_told};
use crate::engine::acknowledge::{Released, Windows};
use crate::engine::downlinks::{Ear, Receivers};
use crate::engine::event::{Detail, EventId, Kind};
use crate::engine::notice::Notice;
use crate::engine::record::Hearing;
use crate::engine::seam::{LinkId, Output, TransmitId, TransmitOutcome};
use crate::engine::time::Now;
use pendant_protocol::PendantId;

impl Gateway {
    /// Who may answer a frame, as far as it has been heard.
    pub(super) fn receivers(&self, hearing: &Hearing) -> Receivers {
        let mut receivers = Receivers::default();
        if self.acknowledges(hearing.link) {
            receivers.add(ear(hearing));
        }
        receivers
    }

    /// Whether another receiver heard a transmission that has been judged already; then it
    /// may answer as well.
    pub(super) fn is_heard_beside(
        &mut self,
        pendant: PendantId,
        event: EventId,
        hearing: &Hearing,
    ) -> bool {
        let (link, ended) = (hearing.link, hearing.received.mono);
        let latest = self.states.get(pendant).and_then(|state| state.latest);
        if !latest.is_some_and(|latest| latest.is_heard_beside(event, link, ended)) {
            return false;
        }
        self.notice(Notice::HeardBeside { link, pendant });
        if self.acknowledges(link) {
            self.custody.heard_too(event, ear(hearing));
            self.downlinks.heard_too(event, ear(hearing));
        }
        true
    }

    /// A released answer goes to its link: at once where there is but one, else
    /// shortly before its time.
    pub(super) fn transmit(&mut self, released: Released, now: Now) {
        let Some(windows) = released.windows(self.settings.chance, now.mono) else {
            // What only receivers heard that may not answer is late for nobody.
            if released.is_wanted() {
                self.notice(Notice::AcknowledgementLate { pendant: released.pendant() });
            }
            return;
        };
        let ready = match self.settings.links.len() {
            0 | 1 => Some((released, windows)),
            _ => self.downlinks.hold(released, windows, now.mono),
        };
        if let Some((released, windows)) = ready {
            self.hand_over(released, windows);
        }
    }

    pub(super) fn hand_over_due(&mut self, now: Now) {
        while let Some((released, windows)) = self.downlinks.take_due(now.mono) {
            self.hand_over(released, windows);
        }
    }

    fn hand_over(&mut self, released: Released, windows: Windows) {
        self.transmits += 1;
        let id = TransmitId(self.transmits);
        let links = &self.links;
        // Of a link that never said anything it is not known that it is down.
        let is_up = |link| links.get(&link).is_none_or(|watch| watch.up);
        // Nobody but receivers that only listen: nobody answers.
        self.outputs.extend(released.transmit(id, windows, is_up).map(Output::Transmit));
    }

    /// What became of an answer. That the air's law keeps answers back is told once an
    /// hour for each link: pendants repeat, and repeat in vain.
    pub(super) fn transmit_done(&mut self, link: LinkId, outcome: TransmitOutcome, now: Now) {
        if outcome != TransmitOutcome::Sent {
            self.notice(Notice::TransmitFailed);
        }
        let told = self.airtime_told.get(&link).copied();
        if outcome == TransmitOutcome::NoAirtime && is_to_be_told(told, now) {
            self.airtime_told.insert(link, now.mono);
            self.tell(Kind::AirtimeSpent, Detail::Link(link), now);
        }
    }

    pub(super) fn acknowledges(&self, link: LinkId) -> bool {
        self.settings.links.get(usize::from(link.0)).is_some_and(|link| link.acknowledges)
    }
}

fn ear(hearing: &Hearing) -> Ear {
    Ear { link: hearing.link, signal: hearing.signal, ended: hearing.received.mono }
}
