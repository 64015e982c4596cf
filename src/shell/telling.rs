//! Notices become counters and log lines. Lines of one kind are limited, so that
//! a jammer cannot fill the log; the counters count all.

use super::certificate_words;
use super::message_ids;
use crate::engine::certificate::{Expiry, Nearness};
use crate::engine::notice::{Notice, Refusal};
use crate::engine::seam::BrokerId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Lines of one kind at most this often.
const SAME_LINE_EVERY: Duration = Duration::from_secs(60);

/// Counters since the start; what `status` shows. No counter is of a lane or a
/// kind of event (P5).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Authentic frames, repetitions not counted.
    pub frames_heard: u64,
    /// Repetitions.
    pub frames_heard_again: u64,
    /// Transmissions that another receiver had heard before.
    pub frames_heard_beside: u64,
    /// Refused frames by reason.
    pub frames_refused: BTreeMap<&'static str, u64>,
    /// Acknowledgements that came too late for both windows.
    pub acknowledgements_late: u64,
    /// Downlinks that a link could not send.
    pub transmissions_failed: u64,
    /// Offers that the broker refused.
    pub publishes_refused: u64,
    /// Messages on the receipt topic that were none.
    pub receipts_unreadable: u64,
    /// Times that the journal could not be written.
    pub journal_failures: u64,
    /// Events for which the journal had no room.
    pub journal_overflows: u64,
    /// Journal frames that could not be read back.
    pub journal_frames_damaged: u64,
    /// Events given up for room.
    pub events_shed: u64,
    /// What links dropped, by kind.
    pub link_drops: BTreeMap<&'static str, u64>,
}

/// Turns notices into lines and counts.
#[derive(Debug)]
pub struct Teller {
    /// The counts.
    pub counters: Counters,
    links: Vec<String>,
    brokers: Vec<String>,
    said: BTreeMap<&'static str, Instant>,
}

impl Teller {
    /// A teller that knows the names of links and brokers.
    #[must_use]
    pub fn new(links: Vec<String>, brokers: Vec<String>) -> Self {
        let frames_refused = Refusal::ALL.iter().map(|why| (why.as_str(), 0)).collect();
        let counters = Counters { frames_refused, ..Counters::default() };
        Self { counters, links, brokers, said: BTreeMap::new() }
    }

    /// The links' names.
    #[must_use]
    pub fn links(&self) -> &[String] {
        &self.links
    }

    /// Counts and logs one notice.
    pub fn tell(&mut self, notice: Notice) {
        let counters = &mut self.counters;
        match notice {
            Notice::Heard { link, pendant } => {
                counters.frames_heard += 1;
                tracing::debug!(link = self.link_name(link.0), %pendant, "frame heard");
            }
            Notice::HeardAgain { link, pendant } => {
                counters.frames_heard_again += 1;
                tracing::debug!(link = self.link_name(link.0), %pendant, "frame heard again");
            }
            Notice::HeardBeside { link, pendant } => {
                counters.frames_heard_beside += 1;
                tracing::debug!(link = self.link_name(link.0), %pendant, "frame heard beside");
            }
            Notice::FrameRefused { link, why } => self.refused(link.0, why),
            Notice::AcknowledgementLate { pendant } => {
                counters.acknowledgements_late += 1;
                tracing::warn!(%pendant, "too late to acknowledge; the pendant will repeat");
            }
            Notice::TransmitFailed => {
                counters.transmissions_failed += 1;
                if self.may_say("transmit") {
                    tracing::warn!("a downlink could not be sent; the pendant will repeat");
                }
            }
            Notice::Link { link, up } => {
                let (message_id, link) = (message_ids::LINK, self.link_name(link.0));
                tracing::info!(message_id, link, up, "link");
            }
            Notice::Jamming { link, sign, suspected: true } => tracing::warn!(
                message_id = message_ids::JAMMING,
                link = link.map(|link| self.link_name(link.0)),
                sign = sign.as_str(),
                "jamming suspected; the centre is told"
            ),
            Notice::Jamming { link, sign, suspected: false } => tracing::info!(
                link = link.map(|link| self.link_name(link.0)),
                sign = sign.as_str(),
                "jamming no longer suspected"
            ),
            Notice::Broker { broker, up } => self.broker(broker, up),
            Notice::Centre { broker, heard } => self.centre(broker, heard),
            Notice::CentreMessages { come } => centre_messages(come),
            Notice::Certificate(expiry) => self.certificate(expiry),
            Notice::BrokerRefused { broker, reason } => self.publish_refused(broker, reason),
            Notice::ReceiptUnreadable => {
                counters.receipts_unreadable += 1;
                if self.may_say("receipt") {
                    tracing::warn!("a message on the receipt topic is no receipt; ignored");
                }
            }
            Notice::JournalFailed { .. }
            | Notice::JournalRestored
            | Notice::JournalOverflow
            | Notice::JournalTight { .. }
            | Notice::JournalDamage { .. }
            | Notice::Shed { .. } => self.journal(notice),
        }
    }

    /// Counts what a link dropped.
    pub fn dropped(&mut self, link: u8, what: &'static str, count: u32) {
        *self.counters.link_drops.entry(what).or_default() += u64::from(count);
        if self.may_say(what) {
            tracing::warn!(link = self.link_name(link), what, count, "dropped by the link");
        }
    }

    fn refused(&mut self, link: u8, why: Refusal) {
        *self.counters.frames_refused.entry(why.as_str()).or_default() += 1;
        if self.may_say(why.as_str()) {
            let link = self.link_name(link);
            match why {
                Refusal::Malformed => tracing::info!(link, "not a frame of ours; ignored"),
                Refusal::UnknownPendant => {
                    tracing::warn!(link, "frame of a pendant that is not enrolled; ignored");
                }
                Refusal::Forged => tracing::warn!(
                    link,
                    "frame with a wrong key; ignored. If a pendant of yours is not heard, \
                     enroll it again with --replace"
                ),
                Refusal::Replayed => tracing::warn!(link, "old frame replayed; ignored"),
            }
        }
    }

    fn broker(&self, broker: BrokerId, up: bool) {
        let broker = self.broker_name(broker);
        if up {
            tracing::info!(message_id = message_ids::BROKER_CONNECTED, broker, "broker connected");
        } else {
            let message_id = message_ids::BROKER_GONE;
            tracing::warn!(message_id, broker, "broker gone; events are kept");
        }
    }

    fn centre(&self, broker: BrokerId, heard: bool) {
        let broker = self.broker_name(broker);
        if heard {
            tracing::info!(broker, "the centre receipts again");
        } else {
            tracing::warn!(
                message_id = message_ids::CENTRE_SILENT,
                broker,
                "the centre does not receipt; events are kept, offered again, and go to the next \
                 broker as well if there is one"
            );
        }
    }

    fn certificate(&self, expiry: Expiry) {
        let (broker, text) = (self.broker_name(expiry.broker), certificate_words::words(expiry));
        match expiry.near {
            Nearness::Far => tracing::info!(broker, "{text}"),
            Nearness::Ended => tracing::error!(broker, "{text}"),
            _ => tracing::warn!(broker, "{text}"),
        }
    }

    fn publish_refused(&mut self, broker: BrokerId, reason: u8) {
        self.counters.publishes_refused += 1;
        match reason {
            0x10 if self.may_say("nobody") => tracing::warn!(
                broker = self.broker_name(broker),
                "nobody subscribes at the broker: events are kept. Is the centre running?"
            ),
            0x87 if self.may_say("not authorised") => tracing::error!(
                broker = self.broker_name(broker),
                "the broker does not authorise our topic; events are kept. \
                 Ask the centre to allow lonework/v1/<site>/<gateway>/# for this certificate"
            ),
            0x10 | 0x87 => {}
            _ if self.may_say("publish") => {
                let broker = self.broker_name(broker);
                tracing::error!(broker, reason, "the broker refuses events; they are kept");
            }
            _ => {}
        }
    }

    fn journal(&mut self, notice: Notice) {
        let counters = &mut self.counters;
        match notice {
            Notice::JournalFailed { fault } => {
                counters.journal_failures += 1;
                tracing::error!(
                    message_id = message_ids::JOURNAL_FAILED,
                    ?fault,
                    "the journal cannot be written: events go out live, and pendants are \
                     acknowledged only on the centre's word. Full: free some room; anything \
                     else: replace the medium"
                );
            }
            Notice::JournalRestored => tracing::info!("the journal can be written again"),
            Notice::JournalTight { tight: true } => tracing::error!(
                message_id = message_ids::JOURNAL_FULL,
                "the disk gives the journal no more room: routine events will be given up, \
                 urgent ones have room reserved. Free some space on the disk"
            ),
            Notice::JournalTight { tight: false } => {
                tracing::info!("the disk gives the journal room again");
            }
            Notice::JournalOverflow => {
                counters.journal_overflows += 1;
                if self.may_say("overflow") {
                    let message_id = message_ids::JOURNAL_FULL;
                    tracing::error!(
                        message_id,
                        "the journal has no room: events go out unacknowledged"
                    );
                }
            }
            Notice::JournalDamage { slots } => {
                counters.journal_frames_damaged += slots;
                let message_id = message_ids::JOURNAL_DAMAGED;
                tracing::error!(
                    message_id,
                    frames = slots,
                    "the journal is damaged; the centre is told"
                );
            }
            Notice::Shed { count, .. } => {
                counters.events_shed += count;
                tracing::warn!(count, "old events given up for room; the centre is told");
            }
            _ => {}
        }
    }

    fn may_say(&mut self, line: &'static str) -> bool {
        let now = Instant::now();
        let quiet = self.said.get(line).is_none_or(|said| now - *said >= SAME_LINE_EVERY);
        if quiet {
            self.said.insert(line, now);
        }
        quiet
    }

    fn broker_name(&self, broker: BrokerId) -> &str {
        self.brokers.get(broker.index()).map_or("?", String::as_str)
    }

    fn link_name(&self, link: u8) -> &str {
        self.links.get(usize::from(link)).map_or("?", String::as_str)
    }
}

fn centre_messages(come: bool) {
    if come {
        tracing::info!("the centre's regular messages come again");
    } else {
        tracing::warn!(
            message_id = message_ids::CENTRE_MESSAGES_MISSING,
            "the centre's regular message does not come: is the centre running, and may it \
             publish to lonework/v1/<site>/<gateway>/command?"
        );
    }
}
