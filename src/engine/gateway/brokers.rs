//! The brokers: what they say, and what is told of them.

use super::{Gateway, RECEIPTED_MAX};
use crate::engine::event::{Detail, Kind, Telling};
use crate::engine::notice::Notice;
use crate::engine::payload::parse_receipt;
use crate::engine::seam::{BrokerId, BrokerInput};
use crate::engine::time::{Mono, Now};

/// How long a broker may be away before that is told, ms: a hiccup is none.
const LOST_AFTER_MS: u64 = 60_000;

/// Whether a broker has been away for too long.
#[derive(Clone, Copy, Debug)]
pub(super) struct BrokerWatch {
    /// When it counts as lost; `None` while it is there, or when that was told.
    lost_at: Option<Mono>,
    told: bool,
}

impl BrokerWatch {
    /// Not connected yet.
    pub(super) fn new(now: Mono) -> Self {
        Self { lost_at: Some(now.plus_ms(LOST_AFTER_MS)), told: false }
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.lost_at
    }

    /// It is there. True if its absence was told, so that its return must be.
    fn up(&mut self) -> bool {
        self.lost_at = None;
        std::mem::take(&mut self.told)
    }

    fn down(&mut self, now: Mono) {
        self.lost_at = Some(now.plus_ms(LOST_AFTER_MS));
    }

    /// True if it is to be told now.
    fn handle_time(&mut self, now: Mono) -> bool {
        let lost = self.lost_at.take_if(|at| *at <= now).is_some();
        self.told |= lost;
        lost
    }
}

impl Gateway {
    pub(super) fn broker(&mut self, broker: BrokerId, news: BrokerInput, now: Now) {
        match news {
            BrokerInput::Up { in_flight_max } => {
                self.delivery.broker_up(broker, in_flight_max, now.mono);
                self.broker_came_or_went(broker, true, now);
            }
            BrokerInput::Down => {
                self.delivery.broker_down(broker, now.mono);
                self.broker_came_or_went(broker, false, now);
            }
            BrokerInput::Taken(publish) => {
                if let Some(done) = self.delivery.taken(broker, publish, now.mono) {
                    self.reached(done, now);
                }
            }
            BrokerInput::Refused { publish, reason } => {
                self.delivery.refused(broker, publish, reason, now.mono);
            }
            BrokerInput::Receipt(payload) => match parse_receipt(&payload) {
                None => self.notice(Notice::ReceiptUnreadable),
                Some(event) => self.receipt(broker, event, now),
            },
            BrokerInput::CentreMessage(payload) => self.centre_message(broker, &payload, now),
            BrokerInput::Certificate { of, ends_unix_s } => {
                self.certificate_in_use(broker, of, ends_unix_s, now);
            }
            BrokerInput::CertificateRefused { of, why } => {
                self.tell(Kind::CertificateRefused, Detail::Unfit { broker, of, why }, now);
            }
            BrokerInput::CertificateAccepted => {
                self.tell(Kind::CertificateAccepted, Detail::Broker(broker), now);
            }
        }
    }

    fn broker_came_or_went(&mut self, broker: BrokerId, up: bool, now: Now) {
        self.notice(Notice::Broker { broker, up });
        self.silence.broker(self.delivery.any_up(), now.mono);
        let Some(watch) = self.brokers.get_mut(broker.index()) else { return };
        if !up {
            watch.down(now.mono);
        } else if watch.up() {
            self.tell(Kind::BrokerBack, Detail::Broker(broker), now);
        }
    }

    pub(super) fn handle_brokers(&mut self, now: Now) {
        for broker in BrokerId::all() {
            let watch = self.brokers.get_mut(broker.index());
            if watch.is_some_and(|watch| watch.handle_time(now.mono)) {
                self.tell(Kind::BrokerLost, Detail::Broker(broker), now);
            }
        }
    }

    fn receipt(&mut self, broker: BrokerId, event: Telling, now: Now) {
        let Some(receipted) = self.delivery.receipted(broker, event) else { return };
        self.reached(event, now);
        self.custody.receipted(receipted);
        self.release_receipted(now);
    }

    /// What the centre has is answered, as far as the journal cannot vouch for it.
    pub(super) fn release_receipted(&mut self, now: Now) {
        for (released, word) in self.custody.assured_by_centre(self.journal.has_failed()) {
            self.receipted.insert(word.event(), word);
            if self.receipted.len() > RECEIPTED_MAX {
                self.receipted.pop_first();
            }
            self.transmit(released, now);
        }
    }
}
