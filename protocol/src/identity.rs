//! Who speaks: a pendant by its number, a gateway by its slot.
//!
//! Both travel in clear, and both are claims until the frame has been opened.

use core::fmt;
use core::str::FromStr;

/// A pendant's number on the air: 24 bits, 0 excluded.
///
/// Shown and written as six lower-case hexadecimal digits, as on its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PendantId(u32);

impl PendantId {
    /// The number, if it lies in `1..=0xFF_FFFF`.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number >= 1 && number <= 0xFF_FFFF { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    pub(crate) const fn to_bytes(self) -> [u8; 3] {
        let [a, b, c, _] = self.0.to_le_bytes();
        [a, b, c]
    }

    pub(crate) const fn from_bytes([a, b, c]: [u8; 3]) -> Option<Self> {
        Self::new(u32::from_le_bytes([a, b, c, 0]))
    }
}

impl fmt::Display for PendantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}", self.0)
    }
}

impl FromStr for PendantId {
    type Err = PendantIdError;

    /// Takes exactly six hexadecimal digits, of either case.
    fn from_str(text: &str) -> Result<Self, PendantIdError> {
        // The digits are checked one by one because `from_str_radix` takes a sign.
        if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(PendantIdError::Digits);
        }
        let number = u32::from_str_radix(text, 16).map_err(|_| PendantIdError::Digits)?;
        Self::new(number).ok_or(PendantIdError::Zero)
    }
}

/// Why a text is no pendant number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendantIdError {
    /// It is not exactly six hexadecimal digits.
    Digits,
    /// Its value is 0, which no pendant has.
    Zero,
}

impl fmt::Display for PendantIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digits => "a pendant number is six hexadecimal digits, for example 00012f",
            Self::Zero => "no pendant has the number 000000",
        })
    }
}

impl core::error::Error for PendantIdError {}

/// A gateway's place in an enrolment: one of 32.
///
/// The downlink key is derived from it, so that two gateways never share one.
/// A slot belongs to one gateway for ever: the gateway that replaces it takes
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    /// The slot, if it lies in `0..=31`.
    #[must_use]
    pub const fn new(slot: u8) -> Option<Self> {
        if slot <= 31 { Some(Self(slot)) } else { None }
    }

    /// The slot's number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}
