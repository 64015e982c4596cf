//! A frame from a gateway: the answer to one uplink.
//!
//! The sealed 8 bytes: outcome 1, instruction 1, minutes left u16
//! (little-endian), zero 4. It says that what the pendant said is kept, never
//! that help is on its way, and never which PIN was entered.

use crate::cipher::{self, Forged, TextBytes};
use crate::frame::{self, Direction, FrameBytes, ParseError};
use crate::identity::{PendantId, Slot};
use crate::keys::DownlinkKey;

/// The answer to one uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownlinkMessage {
    /// What became of it, as the site may know it.
    pub outcome: Outcome,
    /// What the pendant shall do now.
    pub instruction: Instruction,
    /// Minutes left of the session, rounded up; 0 if none runs.
    pub minutes_left: u16,
}

/// What became of an uplink, as the site may know it: the same for the safe PIN
/// and the duress PIN, and for a heartbeat and a discreet panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// Kept; nothing more to show.
    Noted = 0,
    /// A session runs.
    SessionStarted = 1,
    /// The session runs longer.
    SessionExtended = 2,
    /// The check-in counts.
    CheckedIn = 3,
    /// The session or the alert has ended.
    Ended = 4,
    /// The digits are not the wearer's PIN.
    WrongPin = 5,
    /// The digits are the wearer's PIN, but there was no session and no alert to end.
    NothingToEnd = 6,
    /// Kept, but not acted on: no session to extend or to check in to, no minutes,
    /// or not provably the newest that the pendant has to say.
    Refused = 7,
}

impl Outcome {
    /// An outcome of a later version says at least that the message is kept.
    const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::SessionStarted,
            2 => Self::SessionExtended,
            3 => Self::CheckedIn,
            4 => Self::Ended,
            5 => Self::WrongPin,
            6 => Self::NothingToEnd,
            7 => Self::Refused,
            _ => Self::Noted,
        }
    }
}

/// What the pendant shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Instruction {
    /// Nothing.
    None = 0,
    /// Remind the wearer that the session is nearly over.
    Remind = 1,
    /// Vibrate once.
    Vibrate = 2,
    /// Light the lamp once.
    Led = 3,
}

impl Instruction {
    /// An instruction of a later version cannot be followed.
    const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Remind,
            2 => Self::Vibrate,
            3 => Self::Led,
            _ => Self::None,
        }
    }
}

impl DownlinkMessage {
    /// The frame that answers the uplink with `counter`. `salt` is random, not 0
    /// (the echo of 0 means that nothing was heard), and drawn anew for every
    /// different answer: under one key the same counter and salt must never seal
    /// two different messages. `key` must be the key of `slot`.
    #[must_use]
    pub fn seal(
        &self,
        key: &DownlinkKey,
        slot: Slot,
        pendant: PendantId,
        counter: u32,
        salt: u16,
    ) -> FrameBytes {
        let [counter_0, counter_1, ..] = counter.to_le_bytes();
        let [salt_low, salt_high] = salt.to_le_bytes();
        let mut header = [0; frame::HEADER_BYTES];
        header[..4].copy_from_slice(&frame::opening(Direction::Down, slot.get(), pendant));
        header[4..].copy_from_slice(&[counter_0, counter_1, salt_low, salt_high]);
        let nonce = cipher::downlink_nonce(pendant, counter, slot, salt);
        cipher::seal(&key.0, &nonce, header, self.to_text())
    }

    fn to_text(self) -> TextBytes {
        let [minutes_low, minutes_high] = self.minutes_left.to_le_bytes();
        [self.outcome as u8, self.instruction as u8, minutes_low, minutes_high, 0, 0, 0, 0]
    }

    /// Ignores the last four bytes, which a later version may use.
    fn from_text(&[outcome, instruction, minutes_low, minutes_high, ..]: &TextBytes) -> Self {
        Self {
            outcome: Outcome::from_byte(outcome),
            instruction: Instruction::from_byte(instruction),
            minutes_left: u16::from_le_bytes([minutes_low, minutes_high]),
        }
    }
}

/// A downlink of the right form. What it claims is not yet known to be true:
/// only [`open`](Self::open) proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedDownlink {
    bytes: FrameBytes,
    slot: Slot,
    pendant: PendantId,
}

impl SealedDownlink {
    /// Reads the header. Takes any bytes and never panics.
    ///
    /// # Errors
    /// The first thing that is wrong, see [`ParseError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let (bytes, low_bits, pendant) = frame::parse(bytes, Direction::Down)?;
        let slot = Slot::new(low_bits).ok_or(ParseError::Reserved)?;
        Ok(Self { bytes, slot, pendant })
    }

    /// The slot of the gateway that the frame claims to come from.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// The pendant that the frame is for.
    #[must_use]
    pub const fn pendant(&self) -> PendantId {
        self.pendant
    }

    /// The low half of the counter of the uplink that it answers.
    #[must_use]
    pub const fn counter_low(&self) -> u16 {
        let [_, _, _, _, a, b, ..] = self.bytes;
        u16::from_le_bytes([a, b])
    }

    /// The salt; what the pendant's next uplinks echo once the frame is opened.
    #[must_use]
    pub const fn salt(&self) -> u16 {
        let [_, _, _, _, _, _, a, b, ..] = self.bytes;
        u16::from_le_bytes([a, b])
    }

    /// Proves that the frame comes from the gateway in [`slot`](Self::slot) and
    /// answers the uplink with `counter` (all 32 bits, from the pendant's own
    /// memory), and reads it. `key` must be the key of that slot.
    ///
    /// # Errors
    /// [`Forged`] if the tag does not fit.
    pub fn open(&self, key: &DownlinkKey, counter: u32) -> Result<DownlinkMessage, Forged> {
        let nonce = cipher::downlink_nonce(self.pendant, counter, self.slot, self.salt());
        let text = cipher::open(&key.0, &nonce, &self.bytes)?;
        Ok(DownlinkMessage::from_text(&text))
    }
}
