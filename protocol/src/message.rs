//! What a pendant says: the 8 bytes that are sealed in every uplink.
//!
//! ```text
//! byte  0      1        2..4   4..8
//!       kind   status   echo   arguments: minutes u16, place u16, or a PIN
//! ```
//!
//! Integers are little-endian. Kinds without minutes send zero there, and a
//! receiver ignores what stands there: a panic with a stray bit is still a panic.
//! `place` is the number of the location beacon heard last, 0 for none.

use crate::cipher::TextBytes;
use crate::pin::PinDigits;
use crate::status::Status;
use core::fmt;

/// One message: what happened, how the pendant is, and what it heard last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// How the pendant is.
    pub status: Status,
    /// The salt of the last genuine downlink that the pendant heard, 0 for none.
    /// It proves that the frame was made after that downlink.
    pub echo: u16,
    /// What happened.
    pub body: Body,
}

/// What happened. The printed form tells the kind, which may be covert: it
/// belongs in no log. It does not tell digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Kind 1. Nothing: the pendant is there.
    Heartbeat {
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Kind 2. The wearer begins to work alone, and will end or extend in time.
    SessionStart {
        /// How long, from now.
        minutes: u16,
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Kind 3. The wearer needs longer.
    SessionExtend {
        /// How much longer than was set so far.
        minutes: u16,
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Kind 4. The wearer says that all is well.
    CheckIn {
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Kind 5. The wearer entered digits. Which PIN they are, the gateway knows.
    Pin(PinDigits),
    /// Kind 6. The hidden press that asks for help unnoticed.
    DiscreetPanic {
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Kind 7. The open press that asks for help.
    Panic {
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Kind 8. The wearer has not moved for too long.
    ManDown {
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Kind 9. The wearer fell.
    Fall {
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Kind 10. The case was opened or the strap cut.
    Tamper {
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Kind 11. The case is closed and the strap whole again.
    TamperRestored {
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Kind 12. The wearer takes back an alarm that a sensor raised, within the
    /// time that the pendant allows for it.
    CancelAlert {
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Kind 13. The test button.
    Test {
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Kind 14. The battery has fallen below the pendant's threshold.
    LowBattery {
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Kind 15. The battery is above the threshold again.
    BatteryRestored {
        /// Location beacon, 0 for none.
        place: u16,
    },
    /// Genuine, but of a kind that this version does not know, or a PIN that is
    /// none. Only so does `open` give it; to seal it with a known kind gives that
    /// kind on the other side.
    Unknown {
        /// The kind's number as sent.
        kind: u8,
        /// The argument bytes as sent.
        args: [u8; 4],
    },
}

impl Body {
    /// The kind's number on the air.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.kind_and_name().0
    }

    /// The location beacon heard last, 0 for none; a PIN entry has no room for it.
    #[must_use]
    pub const fn place(&self) -> u16 {
        match *self {
            Self::Heartbeat { place }
            | Self::SessionStart { place, .. }
            | Self::SessionExtend { place, .. }
            | Self::CheckIn { place }
            | Self::DiscreetPanic { place }
            | Self::Panic { place }
            | Self::ManDown { place }
            | Self::Fall { place }
            | Self::Tamper { place }
            | Self::TamperRestored { place }
            | Self::CancelAlert { place }
            | Self::Test { place }
            | Self::LowBattery { place }
            | Self::BatteryRestored { place } => place,
            Self::Pin(_) | Self::Unknown { .. } => 0,
        }
    }

    const fn kind_and_name(&self) -> (u8, &'static str) {
        match self {
            Self::Heartbeat { .. } => (1, "Heartbeat"),
            Self::SessionStart { .. } => (2, "SessionStart"),
            Self::SessionExtend { .. } => (3, "SessionExtend"),
            Self::CheckIn { .. } => (4, "CheckIn"),
            Self::Pin(_) => (5, "Pin"),
            Self::DiscreetPanic { .. } => (6, "DiscreetPanic"),
            Self::Panic { .. } => (7, "Panic"),
            Self::ManDown { .. } => (8, "ManDown"),
            Self::Fall { .. } => (9, "Fall"),
            Self::Tamper { .. } => (10, "Tamper"),
            Self::TamperRestored { .. } => (11, "TamperRestored"),
            Self::CancelAlert { .. } => (12, "CancelAlert"),
            Self::Test { .. } => (13, "Test"),
            Self::LowBattery { .. } => (14, "LowBattery"),
            Self::BatteryRestored { .. } => (15, "BatteryRestored"),
            Self::Unknown { kind, .. } => (*kind, "Unknown"),
        }
    }

    fn args(&self) -> [u8; 4] {
        let minutes = match *self {
            Self::Pin(digits) => return digits.packed(),
            Self::Unknown { args, .. } => return args,
            Self::SessionStart { minutes, .. } | Self::SessionExtend { minutes, .. } => minutes,
            _ => 0,
        };
        let [minutes_low, minutes_high] = minutes.to_le_bytes();
        let [place_low, place_high] = self.place().to_le_bytes();
        [minutes_low, minutes_high, place_low, place_high]
    }

    fn from_parts(kind: u8, args: [u8; 4]) -> Self {
        let minutes = u16::from_le_bytes([args[0], args[1]]);
        let place = u16::from_le_bytes([args[2], args[3]]);
        match kind {
            1 => Self::Heartbeat { place },
            2 => Self::SessionStart { minutes, place },
            3 => Self::SessionExtend { minutes, place },
            4 => Self::CheckIn { place },
            5 => PinDigits::from_packed(args).map_or(Self::Unknown { kind, args }, Self::Pin),
            6 => Self::DiscreetPanic { place },
            7 => Self::Panic { place },
            8 => Self::ManDown { place },
            9 => Self::Fall { place },
            10 => Self::Tamper { place },
            11 => Self::TamperRestored { place },
            12 => Self::CancelAlert { place },
            13 => Self::Test { place },
            14 => Self::LowBattery { place },
            15 => Self::BatteryRestored { place },
            _ => Self::Unknown { kind, args },
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printed = f.debug_struct(self.kind_and_name().1);
        match self {
            // A PIN with one nibble wrong is still nearly a PIN.
            Self::Unknown { kind, .. } => printed.field("kind", kind).finish_non_exhaustive(),
            Self::Pin(_) => printed.finish_non_exhaustive(),
            Self::SessionStart { minutes, place } | Self::SessionExtend { minutes, place } => {
                printed.field("minutes", minutes).field("place", place).finish()
            }
            _ => printed.field("place", &self.place()).finish(),
        }
    }
}

impl Message {
    pub(crate) fn to_text(self) -> TextBytes {
        let [echo_low, echo_high] = self.echo.to_le_bytes();
        let [a, b, c, d] = self.body.args();
        [self.body.kind(), self.status.to_byte(), echo_low, echo_high, a, b, c, d]
    }

    pub(crate) fn from_text(&[kind, status, echo_low, echo_high, a, b, c, d]: &TextBytes) -> Self {
        Self {
            status: Status::from_byte(status),
            echo: u16::from_le_bytes([echo_low, echo_high]),
            body: Body::from_parts(kind, [a, b, c, d]),
        }
    }
}
