//! The digits of an entered PIN: 4 to 8, packed into the four argument bytes.
//!
//! One digit a nibble, the first in the high nibble of byte 0; what is left over
//! at the end is 0xF. The pendant does not know which PIN is the wearer's safe
//! one and which the duress one: it sends digits, and nothing else of it differs.

use core::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

const DIGITS_MIN: usize = 4;
const DIGITS_MAX: usize = 8;

/// 4 to 8 digits. Says nothing of itself when printed, not even its length;
/// compared in constant time.
#[derive(Clone, Copy, Zeroize)]
pub struct PinDigits([u8; 4]);

impl PinDigits {
    /// Takes digits as ASCII text, a `str` or bytes: `"0407"`.
    ///
    /// # Errors
    /// [`PinError::NotADigit`] if there is anything but `0` to `9`, otherwise
    /// [`PinError::Length`] if there are not 4 to 8 of them.
    pub fn from_digits(digits: impl AsRef<[u8]>) -> Result<Self, PinError> {
        let digits = digits.as_ref();
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(PinError::NotADigit);
        }
        if !(DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) {
            return Err(PinError::Length);
        }
        let mut packed = [0xFF; 4];
        for (pair, byte) in digits.chunks(2).zip(&mut packed) {
            let low = pair.get(1).map_or(0xF, |digit| digit - b'0');
            *byte = (pair[0] - b'0') << 4 | low;
        }
        Ok(Self(packed))
    }

    /// The four bytes as sent. Different PINs have different bytes.
    #[must_use]
    pub const fn packed(&self) -> [u8; 4] {
        self.0
    }

    /// Reads the four bytes; `None` unless they are 4 to 8 digits followed by 0xF only.
    #[must_use]
    pub fn from_packed(packed: [u8; 4]) -> Option<Self> {
        // All ones beyond the digits, so that one PIN has one form only.
        let value = u32::from_be_bytes(packed);
        let unused_bits = value.trailing_ones() / 4 * 4;
        let digits = (32 - unused_bits) / 4;
        let all_decimal = (0..digits).all(|index| value >> (28 - 4 * index) & 0xF <= 9);
        (digits as usize >= DIGITS_MIN && all_decimal).then_some(Self(packed))
    }
}

impl PartialEq for PinDigits {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for PinDigits {}

impl fmt::Debug for PinDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinDigits(..)")
    }
}

/// Why a text is no PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinError {
    /// Fewer than 4 or more than 8 digits.
    Length,
    /// Something other than `0` to `9`.
    NotADigit,
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a PIN has 4 to 8 digits",
            Self::NotADigit => "a PIN has digits only",
        })
    }
}

impl core::error::Error for PinError {}
