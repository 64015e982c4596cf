//! What the radios report of their channels, and what is told of it.

use super::Gateway;
use crate::engine::air::{AirNews, AirReport, AirWatch};
use crate::engine::event::{Detail, Kind};
use crate::engine::notice::Notice;
use crate::engine::seam::LinkId;
use crate::engine::time::Now;

impl Gateway {
    /// Whether a radio's channel looks jammed now; may be shown on site.
    #[must_use]
    pub fn suspects_jamming(&self, link: LinkId) -> bool {
        self.air.get(&link).is_some_and(AirWatch::is_suspected)
    }

    pub(super) fn air(&mut self, link: LinkId, report: AirReport, now: Now) {
        let watch = self.air.entry(link).or_default();
        let usual_dbm = watch.usual_dbm();
        match watch.take(now.mono, report) {
            None => {}
            Some(AirNews::Suspected(sign)) => {
                self.notice(Notice::Jamming { link, sign: Some(sign) });
                let noise_dbm = report.noise_dbm;
                let detail = Detail::Air { link, sign, noise_dbm, usual_dbm };
                self.tell(Kind::JammingSuspected, detail, now);
            }
            Some(AirNews::Over) => {
                self.notice(Notice::Jamming { link, sign: None });
                self.tell(Kind::JammingOver, Detail::Link(link), now);
            }
        }
    }
}
