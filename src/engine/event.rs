//! What the centre is told: events, their lanes, their identity.





use hmac::{Hmac, KeyInit, Mac};
use pendant_protocol::EnrolmentKey;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

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

/// The name by which an event is known for ever (P3): a version 8 UUID (RFC 9562).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId([u8; 16]);

impl EventId {
    /// From 16 bytes of a keyed hash; six bits become version and variant.
    fn from_hash(hash: &[u8]) -> Self {
        let mut bytes: [u8; 16] = hash[..16].try_into().expect("HMAC-SHA-256 gives 32 bytes");
        bytes[6] = (bytes[6] & 0x0F) | 0x80;
        bytes[8] = (bytes[8] & 0x3F) | 0x80;
        Self(bytes)
    }

    /// Reads the canonical text form (RFC 9562 section 4).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 36 {
            return None;
        }
        let mut bytes = [0u8; 16];
        let mut nibbles = 0;
        for (place, &c) in text.iter().enumerate() {
            if matches!(place, 8 | 13 | 18 | 23) {
                if c != b'-' {
                    return None;
                }
                continue;
            }
            let nibble = char::from(c).to_digit(16)?;
            bytes[nibbles / 2] = (bytes[nibbles / 2] << 4) | u8::try_from(nibble).ok()?;
            nibbles += 1;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Key from which one enrolment's event ids are made. Every gateway that has
/// the enrolment derives the same, so one press has one id wherever it is heard.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct EventIdKey([u8; 32]);

impl fmt::Debug for EventIdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventIdKey(..)")
    }
}

impl EventIdKey {
    pub(super) fn derive(key: &EnrolmentKey) -> Self {
        let mut okm = [0u8; 32];
        hkdf::Hkdf::<Sha256>::new(None, key.as_bytes())
            .expand(b"lonework/1 event id", &mut okm)
            .expect("32 bytes are within HKDF's limit");
        Self(okm)
    }

    /// The id of the `ordinal`-th thing that the frame with `counter` said.
    pub(super) fn of_frame(&self, counter: u32, ordinal: u8) -> EventId {
        let mut text = [0u8; 6];
        text[0] = b'f';
        text[1..5].copy_from_slice(&counter.to_le_bytes());
        text[5] = ordinal;
        self.hash(&text)
    }

    fn hash(&self, text: &[u8]) -> EventId {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(text);
        EventId::from_hash(&mac.finalize().into_bytes())
    }
}
