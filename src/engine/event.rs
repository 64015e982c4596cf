//! What the centre is told: events, their lanes, their identity.

mod id;

use super::air::Sign;
use super::certificate::{CertificateOf, Unfit};
use super::device::Position;
use super::keyring::EnrolmentId;
use super::name::Name;
use super::seam::{BrokerId, LinkId, Signal};
use super::time::{Mono, Wall};
pub use id::EventId;
pub(super) use id::{EventIdKey, gateway_event_id};
use pendant_protocol::PendantId;
use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};

/// Random number of one run of the daemon (P8).
pub type Boot = u64;

/// Order of the backlog and of what is shed, and nothing else (DESIGN 3): a
/// fresh event of any lane takes the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// What a person does, or what concerns a person's safety.
    Urgent,
    /// What is wrong with the equipment.
    Trouble,
    /// Heartbeats and the like.
    Routine,
}

impl Lane {
    /// All lanes, gravest first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Trouble, Self::Routine];

    /// The lane's name in topics and payloads. Each lane is also a numbering
    /// room: numbers are dense within (boot, lane).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Trouble => "trouble",
            Self::Routine => "routine",
        }
    }
}

/// When something was received, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Steady time of the boot in which it was received.
    pub mono: Mono,
    /// Wall time, as far as it was known then.
    pub wall: Wall,
}

/// What happened, in the centre's words. The covert ones exist only here, in
/// sealed journal frames and in the payload for the centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the field's terms; docs/mqtt.md explains each")]
pub enum Kind {
    SessionStarted,
    SessionExtended,
    CheckedIn,
    SessionEnded,
    /// The safe PIN, though nothing was running.
    SafePin,
    Duress,
    WrongPin,
    WrongPinRepeated,
    DiscreetPanic,
    Panic,
    ManDown,
    Fall,
    Tamper,
    TamperRestored,
    AlertCancelled,
    Test,
    LowBattery,
    BatteryRestored,
    /// A session's due time and its grace are over.
    Overdue,
    /// A man-down or fall that the wearer may still cancel.
    PreAlarm,
    /// A pendant has not been heard for too long.
    SupervisionLost,
    SupervisionRestored,
    /// Many pendants fell silent at once: jamming, or a dead receiver.
    ReceptionSuspect,
    ReceptionRestored,
    Heartbeat,
    TrackPoint,
    /// Authentic, but of a kind that this gateway does not know.
    UnknownMessage,
    /// Authentic, but older than what was heard already: it changed nothing.
    LateRequest,
    GatewayStarted,
    GatewayStopping,
    LinkUp,
    LinkDown,
    JournalFailed,
    JournalRestored,
    JournalDamage,
    EventsShed,
    /// The disk gives the journal no more room; what is reserved is there.
    StoreTight,
    StoreRoomy,
    BrokerRefused,
    CentreSilent,
    CentreHeard,
    /// The centre's message of every 20 s does not come any more, or comes again.
    CentreLost,
    CentreBack,
    /// Authentic frames with counters far below the window: a pendant has lost
    /// its memory and must be enrolled anew, or somebody replays.
    CounterStale,
    /// A broker has not been connected for a while, or is again.
    BrokerLost,
    BrokerBack,
    /// The clock is set since now: with this event's two times those stamps of the
    /// boot that were told as unset can be put right.
    ClockSet,
    /// The air looks jammed, or does no more.
    JammingSuspected,
    JammingOver,
    /// A link may not transmit: the airtime that its region allows is spent.
    AirtimeSpent,
    /// A LoRaWAN pendant was given a session: it was switched on, or begins anew.
    Joined,
    /// A certificate ends in 30, 7 or 1 days; it has ended; a later one is in use.
    CertificateEnding,
    CertificateEnded,
    CertificateRenewed,
    /// New files for TLS cannot be used, and the former stay in use; they are good now.
    CertificateRefused,
    CertificateAccepted,
    /// Somebody on site tries the way to the centre. Of no pendant.
    GatewayTest,
    /// Enrolments that are there and cannot be read: those pendants are not heard.
    EnrolmentUnreadable,
}

/// Codes of the two formats that alarm receivers take (no conformance claimed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmCodes {
    /// Two letters of the SIA format (ANSI/SIA DC-03).
    pub sia: &'static str,
    /// Three digits of Ademco Contact ID (SIA DC-05).
    pub contact_id: u16,
}

impl Kind {
    /// All kinds, in the order in which they are declared.
    pub fn all() -> impl Iterator<Item = Self> {
        use serde::de::value::{Error, U32Deserializer};
        // Serde knows them by their places, so that no list has to be kept.
        (0u32..).map_while(|place| {
            let place: U32Deserializer<Error> = place.into_deserializer();
            Self::deserialize(place).ok()
        })
    }

    /// The lane, which is also the numbering room.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self {
            Self::SessionStarted
            | Self::SessionExtended
            | Self::CheckedIn
            | Self::SessionEnded
            | Self::SafePin
            | Self::Duress
            | Self::WrongPin
            | Self::WrongPinRepeated
            | Self::DiscreetPanic
            | Self::Panic
            | Self::ManDown
            | Self::Fall
            | Self::AlertCancelled
            | Self::Overdue
            | Self::PreAlarm
            | Self::Test
            | Self::UnknownMessage
            | Self::LateRequest
            | Self::GatewayTest => Lane::Urgent,
            Self::Heartbeat | Self::TrackPoint | Self::Joined => Lane::Routine,
            Self::Tamper
            | Self::TamperRestored
            | Self::SupervisionLost
            | Self::SupervisionRestored
            | Self::ReceptionSuspect
            | Self::ReceptionRestored
            | Self::LowBattery
            | Self::BatteryRestored
            | Self::GatewayStarted
            | Self::GatewayStopping
            | Self::LinkUp
            | Self::LinkDown
            | Self::JournalFailed
            | Self::JournalRestored
            | Self::JournalDamage
            | Self::EventsShed
            | Self::StoreTight
            | Self::StoreRoomy
            | Self::BrokerRefused
            | Self::CentreSilent
            | Self::CentreHeard
            | Self::CentreLost
            | Self::CentreBack
            | Self::CounterStale
            | Self::BrokerLost
            | Self::BrokerBack
            | Self::ClockSet
            | Self::JammingSuspected
            | Self::JammingOver
            | Self::AirtimeSpent
            | Self::CertificateEnding
            | Self::CertificateEnded
            | Self::CertificateRenewed
            | Self::CertificateRefused
            | Self::CertificateAccepted
            | Self::EnrolmentUnreadable => Lane::Trouble,
        }
    }

    /// Whether an operator is told what the site wants done: urgent, and of a pendant.
    #[must_use]
    pub fn has_response(self) -> bool {
        self.lane() == Lane::Urgent && self != Self::GatewayTest
    }

    /// Whether it opens a covert incident, or alarms anew in one.
    #[must_use]
    pub const fn alarms_covertly(self) -> bool {
        matches!(self, Self::Duress | Self::DiscreetPanic | Self::WrongPinRepeated)
    }

    /// Whether nobody on site may learn of it.
    #[must_use]
    pub const fn covert(self) -> bool {
        matches!(
            self,
            Self::Duress | Self::DiscreetPanic | Self::TrackPoint | Self::WrongPinRepeated
        )
    }

    /// The name in `type` and `data.kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SessionStarted => "session_started",
            Self::SessionExtended => "session_extended",
            Self::CheckedIn => "checked_in",
            Self::SessionEnded => "session_ended",
            Self::SafePin => "safe_pin",
            Self::Duress => "duress",
            Self::WrongPin => "wrong_pin",
            Self::WrongPinRepeated => "wrong_pin_repeated",
            Self::DiscreetPanic => "discreet_panic",
            Self::Panic => "panic",
            Self::ManDown => "man_down",
            Self::Fall => "fall",
            Self::Tamper => "tamper",
            Self::TamperRestored => "tamper_restored",
            Self::AlertCancelled => "alert_cancelled",
            Self::Test => "test",
            Self::Overdue => "overdue",
            Self::PreAlarm => "pre_alarm",
            Self::SupervisionLost => "supervision_lost",
            Self::SupervisionRestored => "supervision_restored",
            Self::ReceptionSuspect => "reception_suspect",
            Self::ReceptionRestored => "reception_restored",
            Self::LowBattery => "low_battery",
            Self::BatteryRestored => "battery_restored",
            Self::Heartbeat => "heartbeat",
            Self::TrackPoint => "track_point",
            Self::UnknownMessage => "unknown_message",
            Self::LateRequest => "late_request",
            Self::GatewayStarted => "gateway_started",
            Self::GatewayStopping => "gateway_stopping",
            Self::LinkUp => "link_up",
            Self::LinkDown => "link_down",
            Self::JournalFailed => "journal_failed",
            Self::JournalRestored => "journal_restored",
            Self::JournalDamage => "journal_damage",
            Self::EventsShed => "events_shed",
            Self::StoreTight => "store_tight",
            Self::StoreRoomy => "store_roomy",
            Self::BrokerRefused => "broker_refused",
            Self::CentreSilent => "centre_silent",
            Self::CentreHeard => "centre_heard",
            Self::CentreLost => "centre_lost",
            Self::CentreBack => "centre_back",
            Self::CounterStale => "counter_stale",
            Self::BrokerLost => "broker_lost",
            Self::BrokerBack => "broker_back",
            Self::ClockSet => "clock_set",
            Self::JammingSuspected => "jamming_suspected",
            Self::JammingOver => "jamming_over",
            Self::AirtimeSpent => "airtime_spent",
            Self::Joined => "joined",
            Self::CertificateEnding => "certificate_ending",
            Self::CertificateEnded => "certificate_ended",
            Self::CertificateRenewed => "certificate_renewed",
            Self::CertificateRefused => "certificate_refused",
            Self::CertificateAccepted => "certificate_accepted",
            Self::GatewayTest => "gateway_test",
            Self::EnrolmentUnreadable => "enrolment_unreadable",
        }
    }

    /// The alarm codes that receivers of today understand, where one fits.
    #[must_use]
    pub const fn codes(self) -> Option<AlarmCodes> {
        let (sia, contact_id) = match self {
            Self::Duress | Self::WrongPinRepeated => ("HA", 121),
            Self::DiscreetPanic => ("HA", 122),
            Self::Panic => ("PA", 120),
            Self::ManDown | Self::Fall => ("MA", 101),
            Self::SessionEnded | Self::AlertCancelled => ("PR", 406),
            Self::Tamper => ("TA", 383),
            Self::TamperRestored => ("TR", 383),
            Self::LowBattery => ("XT", 384),
            Self::BatteryRestored => ("XR", 384),
            Self::Test | Self::GatewayTest => ("RX", 601),
            Self::Overdue => ("NA", 102),
            Self::SupervisionLost => ("UY", 381),
            Self::SupervisionRestored => ("UJ", 381),
            Self::CentreLost | Self::BrokerLost => ("YC", 354),
            Self::CentreBack | Self::BrokerBack => ("YK", 354),
            Self::ReceptionSuspect | Self::JammingSuspected => ("XQ", 344),
            Self::ReceptionRestored | Self::JammingOver => ("XH", 344),
            _ => return None,
        };
        Some(AlarmCodes { sia, contact_id })
    }
}

/// How sure it is that a frame was sent just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Freshness {
    /// It echoes the salt of our last downlink.
    Proven,
    /// Authentic and never heard before, but it might have been held back.
    Unproven,
}

/// What vouches for what a pendant says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authentication {
    /// A native pendant's tag of 64 bits.
    Native,
    /// LoRaWAN's integrity code of 32 bits.
    LoRaWan,
    /// Nothing: whoever has a transmitter can say it.
    None,
}

impl Authentication {
    /// The name in payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "aes-ccm-64",
            Self::LoRaWan => "lorawan-cmac-32",
            Self::None => "none",
        }
    }
}

/// What a pendant's frame adds to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromPendant {
    /// The pendant's number.
    pub pendant: u32,
    /// Which enrolment of it.
    pub enrolment: EnrolmentId,
    /// Who wore it at that moment.
    pub wearer: Name,
    /// What vouches for what it says.
    pub authentication: Authentication,
    /// The frame's counter; of a timer's event that of the frame that set it, of a
    /// join its JoinNonce.
    pub counter: u32,
    /// How the frame was heard; `None` when a timer speaks.
    pub heard: Option<HeardFrame>,
}

/// What only a frame tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardFrame {
    /// The receiver that heard it first.
    pub link: LinkId,
    /// How it was heard.
    pub signal: Signal,
    /// Battery, percent of full, if the pendant knows it.
    pub battery_percent: Option<u8>,
    /// Location beacon, 0 none.
    pub place: u16,
    /// Where the pendant says that it is.
    pub position: Option<Position>,
    /// Temperature in or at the pendant, tenths of a degree Celsius.
    pub temperature_decidegrees: Option<i16>,
    /// Whether it can be an old frame.
    pub freshness: Freshness,
}

impl FromPendant {
    /// The pendant's number as the protocol's type.
    #[must_use]
    pub fn pendant_id(&self) -> Option<PendantId> {
        PendantId::new(self.pendant)
    }
}

/// What only some kinds of event say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Detail {
    /// Nothing more.
    None,
    /// A session's length and end.
    Session {
        /// Minutes asked for.
        minutes: u16,
        /// When it falls due, ms since 1970, if the clock was set.
        due_unix_ms: Option<i64>,
    },
    /// The gateway started; the numbers of the boot before end here (P8).
    Started {
        /// The boot before, if the journal knows one.
        previous: Option<EndedBoot>,
    },
    /// Numbers that will never be heard of.
    Void {
        /// Of which boot.
        boot: Boot,
        /// In which room.
        lane: Lane,
        /// First number of the range.
        first: u64,
        /// Last number of the range.
        last: u64,
        /// How many in the range are lost; what else is in it was delivered.
        count: u64,
    },
    /// How much of the journal could not be read.
    Damage {
        /// Frames of 512 bytes.
        slots: u64,
    },
    /// A refused publish.
    Refused {
        /// By which broker.
        broker: BrokerId,
        /// MQTT 5 reason code.
        reason: u8,
        /// The event that was refused.
        event: EventId,
    },
    /// Which link.
    Link(LinkId),
    /// Which broker.
    Broker(BrokerId),
    /// Which pendant, where the gateway speaks of one.
    Pendant(u32),
    /// How often it happened in a row.
    Times(u32),
    /// A session that fell due.
    Overdue {
        /// Minutes asked for.
        minutes: u16,
        /// When it fell due, ms since 1970, if the clock was set.
        due_unix_ms: Option<i64>,
        /// How late the alarm is, if the gateway was off when it was due, ms.
        late_ms: Option<u64>,
    },
    /// An alarm that the gateway gives late because it was off when it was due.
    Late {
        /// How late, ms.
        late_ms: u64,
    },
    /// How many events of which pendants were given up for room; 0 for those that
    /// lost none of what was looked at.
    GivenUp {
        /// Pendants and counts, at most [`GIVEN_UP_MAX`].
        pendants: Vec<(u32, u32)>,
    },
    /// Why the air looks jammed, or did.
    Air {
        /// Whose channel; `None`: many pendants are silent together.
        link: Option<LinkId>,
        /// What was seen first.
        sign: Sign,
        /// The channel's level when it is told, dBm, if it was measured.
        noise_dbm: Option<i16>,
        /// Its usual level, dBm, if it is known.
        usual_dbm: Option<i16>,
    },
    /// A certificate of a broker's line.
    Certificate {
        /// Which line.
        broker: BrokerId,
        /// Whose.
        of: CertificateOf,
        /// Its last second, counted from 1970.
        ends_unix_s: i64,
        /// Whole days until then; `None` if the clock was not set.
        days_left: Option<u32>,
    },
    /// Files for TLS that are not taken into use.
    Unfit {
        /// For which line.
        broker: BrokerId,
        /// Whose certificate it is about.
        of: CertificateOf,
        /// Why.
        why: Unfit,
    },
    /// Enrolments that cannot be read.
    Unreadable {
        /// How many.
        enrolments: u32,
        /// The first of them by number, at most [`UNREADABLE_NAMED_MAX`].
        pendants: Vec<u32>,
    },
}

/// Most pendants in one [`Detail::Unreadable`]: who has more looks at the gateway.
pub const UNREADABLE_NAMED_MAX: usize = 12;

/// Most pendants in one [`Detail::GivenUp`]: as many as fit a frame.
pub const GIVEN_UP_MAX: usize = 12;

/// How the boot before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedBoot {
    /// Its number.
    pub boot: Boot,
    /// The last durable number in each lane, in the order of `Lane::ALL`; 0 none.
    pub last: [u64; 3],
}

/// One thing that the centre is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its name for ever.
    pub id: EventId,
    /// What happened.
    pub kind: Kind,
    /// The boot that numbered it.
    pub boot: Boot,
    /// Its number, dense within (boot, lane), from 1.
    pub number: u64,
    /// When it was received.
    pub received: Stamp,
    /// The pendant's part; `None` for what the gateway says of itself.
    pub from: Option<FromPendant>,
    /// What only this kind says.
    pub detail: Detail,
}

impl Event {
    /// What the centre's receipt of it names.
    #[must_use]
    pub fn telling(&self) -> Telling {
        Telling { id: self.id, boot: self.boot }
    }

    /// Whose covert incident it opens, or alarms anew in.
    pub(super) fn covert_alarm_of(&self) -> Option<u32> {
        self.from.as_ref().filter(|_| self.kind.alarms_covertly()).map(|from| from.pendant)
    }
}

/// An event as one boot told it. What a boot told and could not keep, the next one
/// tells again, with the same id under a number of its own; a receipt means one of
/// them, so that no number is let go whose event the centre knows by another (P8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Telling {
    /// The event.
    pub id: EventId,
    /// The boot that numbered it.
    pub boot: Boot,
}

#[cfg(test)]
mod tests;
