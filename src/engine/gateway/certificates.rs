//! The certificates of the lines to the brokers: what is told of them.

use super::Gateway;
use crate::engine::certificate::{CertificateOf, Expiry, Nearness};
use crate::engine::event::{Detail, Kind};
use crate::engine::notice::Notice;
use crate::engine::seam::BrokerId;
use crate::engine::time::{Now, Wall};

impl Gateway {
    /// The certificate of a broker's line whose end is nearest, of those whose end
    /// was told; may be shown on site.
    #[must_use]
    pub fn ending_certificate(&self, broker: BrokerId) -> Option<Expiry> {
        self.certificates.nearest(broker)
    }

    pub(super) fn certificate_in_use(
        &mut self,
        broker: BrokerId,
        of: CertificateOf,
        ends_unix_s: i64,
        now: Now,
    ) {
        if let Some(renewed) = self.certificates.in_use(broker, of, ends_unix_s, now.mono) {
            self.tell_expiry(renewed, now);
        }
    }

    pub(super) fn handle_certificates(&mut self, now: Now) {
        for expiry in self.certificates.handle_time(now) {
            self.tell_expiry(expiry, now);
        }
    }

    fn tell_expiry(&mut self, expiry: Expiry, now: Now) {
        self.notice(Notice::Certificate(expiry));
        let Expiry { broker, of, ends_unix_s, near } = expiry;
        let kind = match near {
            Nearness::Far => Kind::CertificateRenewed,
            Nearness::Ended => Kind::CertificateEnded,
            Nearness::Month | Nearness::Week | Nearness::Day => Kind::CertificateEnding,
        };
        let days_left = match now.wall {
            Wall::Unset => None,
            Wall::Set { unix_ms, .. } => {
                let left_s = ends_unix_s.saturating_sub(unix_ms.div_euclid(1000));
                Some(u32::try_from((left_s / 86_400).max(0)).unwrap_or(u32::MAX))
            }
        };
        self.tell(kind, Detail::Certificate { broker, of, ends_unix_s, days_left }, now);
    }
}
