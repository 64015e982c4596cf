//! A frame from a pendant, before and at the proof that it is genuine.

use crate::cipher::{self, Forged};
use crate::frame::{self, Direction, FrameBytes, ParseError};
use crate::identity::PendantId;
use crate::keys::UplinkKey;
use crate::message::Message;

/// An uplink of the right form. What it claims (pendant, counter) is not yet
/// known to be true: only [`open`](Self::open) proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedUplink {
    bytes: FrameBytes,
    pendant: PendantId,
}

impl SealedUplink {
    /// Reads the header. Takes any bytes and never panics.
    ///
    /// # Errors
    /// The first thing that is wrong, see [`ParseError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let (bytes, _, pendant) = frame::parse(bytes, Direction::Up)?;
        Ok(Self { bytes, pendant })
    }

    /// The pendant that the frame claims to come from.
    #[must_use]
    pub const fn pendant(&self) -> PendantId {
        self.pendant
    }

    /// The counter that the frame claims.
    #[must_use]
    pub const fn counter(&self) -> u32 {
        let [_, _, _, _, a, b, c, d, ..] = self.bytes;
        u32::from_le_bytes([a, b, c, d])
    }

    /// The frame as received.
    #[must_use]
    pub const fn bytes(&self) -> &FrameBytes {
        &self.bytes
    }

    /// The tag as a number (little-endian). Two genuine frames with the same
    /// pendant, counter and tag are the same frame, sent twice.
    #[must_use]
    pub fn tag(&self) -> u64 {
        cipher::tag(&self.bytes)
    }

    /// Proves that the frame comes from the holder of `key` and reads it. Says
    /// nothing about replay: compare the counter with those already taken.
    ///
    /// # Errors
    /// [`Forged`] if the tag does not fit.
    pub fn open(&self, key: &UplinkKey) -> Result<Message, Forged> {
        let nonce = cipher::uplink_nonce(self.pendant, self.counter());
        let text = cipher::open(&key.0, &nonce, &self.bytes)?;
        Ok(Message::from_text(&text))
    }
}

impl Message {
    /// The frame that says this. Under one key a counter must never be used for
    /// two different messages: that would give both away.
    #[must_use]
    pub fn seal(&self, key: &UplinkKey, pendant: PendantId, counter: u32) -> FrameBytes {
        let mut header = [0; frame::HEADER_BYTES];
        header[..4].copy_from_slice(&frame::opening(Direction::Up, 0, pendant));
        header[4..].copy_from_slice(&counter.to_le_bytes());
        cipher::seal(&key.0, &cipher::uplink_nonce(pendant, counter), header, self.to_text())
    }
}
