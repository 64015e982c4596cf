//! What the log and the metrics may learn. A closed list of apparent facts: a
//! variant that a covert fact could select does not exist (P5).

use super::air::Sign;
use super::certificate::Expiry;
use super::event::Lane;
use super::seam::{BrokerId, DiskFault, LinkId};
use pendant_protocol::PendantId;

/// One fact for the log and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An authentic, new frame. Every kind says the same.
    Heard {
        /// Through which link.
        link: LinkId,
        /// From which pendant.
        pendant: PendantId,
    },
    /// A frame that had been heard before came again.
    HeardAgain {
        /// Through which link.
        link: LinkId,
        /// From which pendant.
        pendant: PendantId,
    },
    /// Another receiver heard the same transmission.
    HeardBeside {
        /// Which receiver.
        link: LinkId,
        /// From which pendant.
        pendant: PendantId,
    },
    /// A frame was refused; nothing changed.
    FrameRefused {
        /// Through which link.
        link: LinkId,
        /// Why.
        why: Refusal,
    },
    /// An acknowledgement could not leave in time: the pendant will repeat.
    AcknowledgementLate {
        /// For which pendant.
        pendant: PendantId,
    },
    /// A downlink could not be sent.
    TransmitFailed,
    /// A link came or went.
    Link {
        /// Which.
        link: LinkId,
        /// Whether it can be used.
        up: bool,
    },
    /// The air looks jammed, or does no more.
    Jamming {
        /// Whose channel; `None`: many pendants are silent together.
        link: Option<LinkId>,
        /// What was seen first.
        sign: Sign,
        /// Whether it is suspected now.
        suspected: bool,
    },
    /// A broker came or went.
    Broker {
        /// Which.
        broker: BrokerId,
        /// Whether it is connected.
        up: bool,
    },
    /// A certificate's end has come nearer, or (`Far`) a later one has replaced it.
    Certificate(Expiry),
    /// A broker refused an event, or nobody subscribes to it; it is kept.
    BrokerRefused {
        /// Which.
        broker: BrokerId,
        /// MQTT 5 reason code.
        reason: u8,
    },
    /// A message on the receipt topic that is no receipt.
    ReceiptUnreadable,
    /// The centre has not receipted for the configured time what it should have
    /// got through a broker, or does again.
    Centre {
        /// Through which broker.
        broker: BrokerId,
        /// Whether it receipts.
        heard: bool,
    },
    /// The centre's regular message does not come, or comes again.
    CentreMessages {
        /// Whether they come.
        come: bool,
    },
    /// The journal cannot be written; nothing is acknowledged on its word.
    JournalFailed {
        /// What the disk said.
        fault: DiskFault,
    },
    /// The journal can be written again.
    JournalRestored,
    /// The disk gives the journal no more room, or does again. What is reserved
    /// for urgent events is there.
    JournalTight {
        /// Whether it is tight.
        tight: bool,
    },
    /// The journal has no room for an event: it goes out live, unacknowledged.
    JournalOverflow,
    /// A part of the journal could not be read back.
    JournalDamage {
        /// Frames of 512 bytes.
        slots: u64,
    },
    /// Routine events were given up for room.
    Shed {
        /// Of which lane.
        lane: Lane,
        /// How many.
        count: u64,
    },
}

/// Why a frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Not a frame of this protocol: wrong length, version, direction or reserved bits.
    Malformed,
    /// No such pendant is enrolled here.
    UnknownPendant,
    /// The tag does not fit the key: forged, damaged, or another enrolment.
    Forged,
    /// Authentic, but its counter was used by another frame or is too old.
    Replayed,
}

impl Refusal {
    /// All reasons, for counters.
    pub const ALL: [Self; 4] =
        [Self::Malformed, Self::UnknownPendant, Self::Forged, Self::Replayed];

    /// The metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownPendant => "unknown_pendant",
            Self::Forged => "forged",
            Self::Replayed => "replayed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_the_label_by_which_refusals_are_counted() {
        let labels = Refusal::ALL.map(Refusal::as_str);
        assert_eq!(labels, ["malformed", "unknown_pendant", "forged", "replayed"]);
    }
}
