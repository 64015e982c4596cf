//! How the pendant is, one byte in every uplink.
//!
//! Bits 0 to 3: battery in fourteenths of its capacity, 15 unknown. Bit 4: case
//! open. Bit 5: charging. Bit 6: moving. Bit 7: sent as zero, ignored when received.

/// How the pendant is at the moment of sending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What is left in the battery.
    pub battery: Battery,
    /// The case is open.
    pub case_open: bool,
    /// It hangs on a charger.
    pub charging: bool,
    /// It has moved since the last frame.
    pub moving: bool,
}

impl Status {
    /// Reads the byte. Every byte means something.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self {
            battery: Battery(byte & 0x0F),
            case_open: byte & 1 << 4 != 0,
            charging: byte & 1 << 5 != 0,
            moving: byte & 1 << 6 != 0,
        }
    }

    /// The byte as sent.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.battery.0
            | (self.case_open as u8) << 4
            | (self.charging as u8) << 5
            | (self.moving as u8) << 6
    }
}

/// What is left in the battery, in fourteenths, or unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Battery(u8);

impl Battery {
    /// The pendant does not know.
    pub const UNKNOWN: Self = Self(15);

    /// A charge of `fourteenths` of the capacity, if it lies in `0..=14`.
    #[must_use]
    pub const fn from_fourteenths(fourteenths: u8) -> Option<Self> {
        if fourteenths <= 14 { Some(Self(fourteenths)) } else { None }
    }

    /// The charge in fourteenths, `0..=14`, if known.
    #[must_use]
    pub const fn fourteenths(self) -> Option<u8> {
        if self.0 <= 14 { Some(self.0) } else { None }
    }

    /// The charge in percent, rounded down, if known.
    #[must_use]
    pub fn percent(self) -> Option<u8> {
        self.fourteenths().map(|fourteenths| (u16::from(fourteenths) * 100 / 14) as u8)
    }
}

impl Default for Battery {
    fn default() -> Self {
        Self::UNKNOWN
    }
}
