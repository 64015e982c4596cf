//! The seam between the pure engine and everything that does: one input, then
//! outputs until there are none.

use super::air::AirReport;
use super::certificate::{CertificateOf, Unfit};
use super::event::Lane;
use super::keyring::Keyring;
use super::name::Name;
use super::notice::Notice;
use super::time::Mono;
use pendant_protocol::PendantId;
use std::fmt;

/// Which link (serial port or radio): its place in the configuration.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct LinkId(pub u8);

/// Most brokers of one gateway.
pub const BROKERS_MAX: usize = 4;

/// Which broker: its place in the configuration, which is also its precedence.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct BrokerId(pub u8);

impl BrokerId {
    /// As many as there can be, in order of precedence.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).take(BROKERS_MAX).map(Self)
    }

    /// Its place among the brokers.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One offer of one event to a broker. A later offer of the same event has
/// another number, so a late answer can never be taken for the present one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId(pub u64);

/// One prepared downlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransmitId(pub u64);

/// What became of a downlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransmitOutcome {
    /// It left.
    Sent,
    /// It did not.
    Failed,
    /// It did not: the airtime that the region allows is spent.
    NoAirtime,
}

/// One disk operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskTicket(pub u64);

/// How a frame was heard. `None` where the receiver does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Signal {
    /// Received signal strength, dBm.
    pub rssi_dbm: Option<i16>,
    /// Signal-to-noise ratio in quarters of a decibel (the SX126x's unit).
    pub snr_quarter_db: Option<i16>,
    /// Carrier frequency, Hz.
    pub frequency_hz: Option<u32>,
    /// LoRa spreading factor, 5 to 12.
    pub spreading_factor: Option<u8>,
    /// How far the sender's carrier was off, Hz.
    pub frequency_error_hz: Option<i32>,
}

/// What happened outside.
#[derive(Debug)]
pub enum Input {
    /// `next_deadline` has come.
    Timer,
    /// A receiver heard something.
    Frame {
        /// Which receiver.
        link: LinkId,
        /// The end of the last symbol or byte.
        ended: Mono,
        /// How it was heard.
        signal: Signal,
        /// What was heard: any length, any content.
        bytes: Vec<u8>,
    },
    /// A link came up or went away.
    Link {
        /// Which link.
        link: LinkId,
        /// Whether it can be used.
        up: bool,
    },
    /// What a radio reports of its channel, about once a second.
    Air {
        /// Which radio.
        link: LinkId,
        /// What it reports.
        report: AirReport,
    },
    /// A disk operation ended.
    Disk(DiskDone),
    /// News from a broker's connection.
    Broker(BrokerId, BrokerInput),
    /// A downlink went out, or could not.
    TransmitDone {
        /// Through which link.
        link: LinkId,
        /// What became of it.
        outcome: TransmitOutcome,
    },
    /// Enrolments changed.
    Keyring(Keyring),
    /// Somebody on site asks for a test alarm of the gateway itself.
    Test,
    /// Say what is still to be said and stop.
    Shutdown,
}

/// How a disk operation ended.
#[derive(Debug)]
pub enum DiskDone {
    /// The bytes are on the medium: fdatasync returned.
    Committed(DiskTicket),
    /// The file exists, is zero from end to end, and both it and its name are
    /// on the medium.
    Allocated(DiskTicket),
    /// The bytes read.
    Read(DiskTicket, Vec<u8>),
    /// The operation failed.
    Failed(DiskTicket, DiskFault),
}

/// Why a disk operation failed, as far as it changes what the engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskFault {
    /// No space left.
    Full,
    /// The file system is read-only.
    ReadOnly,
    /// Any other error of the medium.
    Io,
    /// It neither writes nor says that it cannot. Found by the engine.
    Hangs,
}

/// News from a broker.
#[derive(Debug)]
pub enum BrokerInput {
    /// Connected, subscribed, ready for publishes.
    Up {
        /// Most publishes that the broker allows to be unacknowledged (MQTT 5's
        /// Receive Maximum); more would queue where nothing overtakes.
        in_flight_max: u16,
    },
    /// Gone. Every open offer is void.
    Down,
    /// The broker took an offer (PUBACK with a success code and a subscriber).
    Taken(PublishId),
    /// The broker refused an offer.
    Refused {
        /// Which offer.
        publish: PublishId,
        /// MQTT 5 reason code (section 3.4.2.1): 0x10 nobody subscribes, >= 0x80 refused.
        reason: u8,
    },
    /// The centre says `received`: payload of a message on the receipt topic.
    Receipt(Vec<u8>),
    /// Payload of a message on the command topic.
    CentreMessage(Vec<u8>),
    /// A certificate is in use on this line from now on.
    Certificate {
        /// Whose.
        of: CertificateOf,
        /// Its last second, counted from 1970.
        ends_unix_s: i64,
    },
    /// New files for TLS are not taken into use; the former ones stay, if there are any.
    CertificateRefused {
        /// Whose certificate it is about.
        of: CertificateOf,
        /// Why.
        why: Unfit,
    },
    /// What was refused is mended.
    CertificateAccepted,
}

/// What is to be done outside.
#[derive(Debug)]
pub enum Output {
    /// Do this on the journal's files, in the order given.
    Disk(DiskOp),
    /// Offer this to a broker.
    Publish(Publish),
    /// Send this to a pendant.
    Transmit(Transmit),
    /// Answer the centre's message. If it is lost, nothing is: the centre asks again.
    Answer(Answer),
    /// Change an enrolment, and hand in the keyring anew.
    Enrol(EnrolmentOrder),
    /// Tell the log and the metrics.
    Tell(Notice),
    /// Everything is said; stop now.
    Stopped,
}

/// What the centre wants changed of an enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrolmentOrder {
    /// Another wears the pendant from now on; the PINs stay.
    Rebind {
        /// Which pendant.
        pendant: PendantId,
        /// Who wears it.
        wearer: Name,
    },
    /// The enrolment ends.
    Revoke {
        /// Which pendant.
        pendant: PendantId,
    },
}

/// A disk operation on the journal's folder. File `n` is the n-th segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// Make a file of `bytes` zeros that is itself durable, name included.
    Allocate {
        /// Answers bear it.
        ticket: DiskTicket,
        /// Which file.
        file: u32,
        /// Its length, bytes.
        bytes: u32,
    },
    /// Write, then fdatasync; both, or it failed.
    Commit {
        /// Answers bear it.
        ticket: DiskTicket,
        /// Which file.
        file: u32,
        /// From which byte on; a multiple of 512.
        offset: u32,
        /// What; a multiple of 512 bytes.
        bytes: Vec<u8>,
    },
    /// Read.
    Read {
        /// Answers bear it.
        ticket: DiskTicket,
        /// Which file.
        file: u32,
        /// From which byte on.
        offset: u32,
        /// How many bytes.
        bytes: u32,
    },
}

/// One offer of one event.
#[derive(Clone, PartialEq, Eq)]
pub struct Publish {
    /// Names this offer.
    pub id: PublishId,
    /// To which broker.
    pub broker: BrokerId,
    /// Chooses the topic, and nothing else that the network could see.
    pub lane: Lane,
    /// MQTT topic.
    pub topic: String,
    /// CloudEvents JSON. Topic and payload have one constant sum of lengths.
    pub payload: Vec<u8>,
}

/// Says nothing of the event: whatever prints it, by mistake or for an error's sake, is read
/// on site.
impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("id", &self.id)
            .field("broker", &self.broker)
            .finish_non_exhaustive()
    }
}

/// The answer to one message of the centre.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Through which broker: the one from which the message came.
    pub broker: BrokerId,
    /// MQTT topic.
    pub topic: String,
    /// JSON. Topic and payload have one constant sum of lengths.
    pub payload: Vec<u8>,
}

/// Likewise: an answer tells what the centre asked for.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("broker", &self.broker).finish_non_exhaustive()
    }
}

/// How a downlink is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wave {
    /// As native pendants listen: the link knows.
    Native,
    /// As LoRaWAN devices listen: inverted IQ, no payload CRC, public sync word.
    LoRaWan {
        /// Carrier, Hz.
        frequency_hz: u32,
        /// 7 to 12.
        spreading_factor: u8,
        /// Hz.
        bandwidth_hz: u32,
    },
}

/// Another moment for a downlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Later {
    /// When its first symbol is to leave.
    pub at: Mono,
    /// How it is sent then.
    pub wave: Wave,
}

/// One downlink. Only a released acknowledgement can become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Names it.
    pub id: TransmitId,
    /// Through which link.
    pub link: LinkId,
    /// When its first symbol is to leave.
    pub at: Mono,
    /// How it is sent.
    pub wave: Wave,
    /// When instead, if the link is receiving another frame at that time.
    pub or: Option<Later>,
    /// What: 24 bytes natively, 12 and more in LoRaWAN.
    pub frame: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prints_an_offer_prints_nothing_of_its_event() {
        let publish = Publish {
            id: PublishId(7),
            broker: BrokerId(0),
            lane: Lane::Urgent,
            topic: "lonework/v1/a/b/event/urgent".into(),
            payload: b"duress".to_vec(),
        };
        assert_eq!(format!("{publish:?}"), "Publish { id: PublishId(7), broker: BrokerId(0), .. }");
        let topic = "lonework/v1/a/b/answer".into();
        let answer = Answer { broker: BrokerId(0), topic, payload: b"track".to_vec() };
        assert_eq!(format!("{answer:?}"), "Answer { broker: BrokerId(0), .. }");
    }
}
