//! What both directions share: 24 bytes of header, sealed message and tag.
//!
//! ```text
//! byte  0       1..4      4..8                       8..16            16..24
//!       flags   pendant   counter                    sealed message   tag     up
//!       flags   pendant   counter's low half, salt   sealed message   tag     down
//! ```
//!
//! Integers are little-endian. Flags: bits 7 and 6 the version, 1; bit 5 the
//! direction, 0 up and 1 down; bits 4 to 0 zero (up) or the gateway's slot (down).
//! The header, bytes 0 to 7, travels in clear and is authenticated by the tag.

use crate::identity::PendantId;
use core::fmt;

/// Bytes of every frame, of every kind, in both directions.
pub const FRAME_BYTES: usize = 24;

/// One frame as it is on the air.
pub type FrameBytes = [u8; FRAME_BYTES];

pub(crate) const HEADER_BYTES: usize = 8;
pub(crate) const TEXT_BYTES: usize = 8;
pub(crate) const SEALED_END: usize = HEADER_BYTES + TEXT_BYTES;

const VERSION: u8 = 1;
const LOW_BITS_MASK: u8 = 0b1_1111;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up = 0,
    Down = 1,
}

/// Why bytes are no frame of the kind that was looked for. None of these has
/// cost a cipher operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Not [`FRAME_BYTES`] long.
    Length,
    /// A version other than 1.
    Version,
    /// A downlink where an uplink was looked for, or the reverse.
    Direction,
    /// A bit that must be zero is set.
    Reserved,
    /// Pendant number 0.
    Pendant,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "not 24 bytes long",
            Self::Version => "not version 1 of the frame",
            Self::Direction => "a frame of the other direction",
            Self::Reserved => "a reserved bit is set",
            Self::Pendant => "pendant number 0",
        })
    }
}

impl core::error::Error for ParseError {}

/// The first four bytes: flags and pendant.
pub(crate) fn opening(direction: Direction, low_bits: u8, pendant: PendantId) -> [u8; 4] {
    debug_assert!(low_bits <= LOW_BITS_MASK);
    let [a, b, c] = pendant.to_bytes();
    [VERSION << 6 | (direction as u8) << 5 | low_bits, a, b, c]
}

/// A frame of the expected direction, with the low bits of its flags and its pendant.
pub(crate) fn parse(
    bytes: &[u8],
    direction: Direction,
) -> Result<(FrameBytes, u8, PendantId), ParseError> {
    let frame: FrameBytes = bytes.try_into().map_err(|_| ParseError::Length)?;
    let flags = frame[0];
    if flags >> 6 != VERSION {
        return Err(ParseError::Version);
    }
    if flags >> 5 & 1 != direction as u8 {
        return Err(ParseError::Direction);
    }
    let low_bits = flags & LOW_BITS_MASK;
    if direction == Direction::Up && low_bits != 0 {
        return Err(ParseError::Reserved);
    }
    let pendant =
        PendantId::from_bytes([frame[1], frame[2], frame[3]]).ok_or(ParseError::Pendant)?;
    Ok((frame, low_bits, pendant))
}
