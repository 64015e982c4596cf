//! What the radios report of their channels and who is heard, and what is told of it.

use super::Gateway;
use crate::engine::air::{AirNews, AirReport, Rate};
use crate::engine::event::{Detail, Kind};
use crate::engine::notice::Notice;
use crate::engine::pendant::Supervision;
use crate::engine::seam::LinkId;
use crate::engine::time::Now;
use pendant_protocol::PendantId;

impl Gateway {
    /// Whether a radio's channel looks jammed now; may be shown on site.
    #[must_use]
    pub fn suspects_jamming(&self, link: LinkId) -> bool {
        self.air.suspects(link)
    }

    pub(super) fn air_reported(&mut self, link: LinkId, report: AirReport, now: Now) {
        let news = self.air.report(now.mono, link, report);
        self.tell_air(news, now);
    }

    /// Heard for the first time, whatever the frame says.
    pub(super) fn air_heard(&mut self, pendant: PendantId, now: Now) {
        if self.settings.policies.of(pendant).heartbeat_interval_ms > 0 {
            let news = self.air.heard(now.mono, pendant);
            self.tell_air(news, now);
        }
    }

    pub(super) fn handle_air(&mut self, now: Now) {
        let (states, policies) = (&self.states, &self.settings.policies);
        let news = self.air.handle_time(now.mono, || {
            let heard = states.iter().filter(|(_, state)| {
                state.highest.is_some() && state.supervision == Supervision::Heard
            });
            Rate::of(heard.map(|(pendant, _)| policies.of(pendant).heartbeat_interval_ms))
        });
        self.tell_air(news, now);
    }

    fn tell_air(&mut self, news: Option<AirNews>, now: Now) {
        let Some(AirNews { link, sign, suspected, noise_dbm, usual_dbm }) = news else { return };
        self.notice(Notice::Jamming { link, sign, suspected });
        let kind = if suspected { Kind::JammingSuspected } else { Kind::JammingOver };
        self.tell(kind, Detail::Air { link, sign, noise_dbm, usual_dbm }, now);
    }
}
