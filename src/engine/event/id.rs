//! The names by which events are known: keyed hashes of what makes them one.

use super::{Boot, Kind, Lane};
use hmac::block_api::HmacCore;
use hmac::digest::array::Array;
use hmac::digest::block_api::{Buffer, FixedOutputCore};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt::{self, Write};
use zeroize::Zeroizing;

const HEX: [u8; 16] = *b"0123456789abcdef";

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

    /// The canonical text form, in ASCII.
    pub(in crate::engine) fn text(&self) -> [u8; 36] {
        let mut text = [b'-'; 36];
        let mut at = 0;
        for byte in self.0 {
            if matches!(at, 8 | 13 | 18 | 23) {
                at += 1;
            }
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 0xF)];
            at += 2;
        }
        text
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().iter().try_for_each(|c| f.write_char(char::from(*c)))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Key from which one enrolment's event ids are made. Every gateway that has
/// the enrolment derives the same, so one press has one id wherever it is heard.
/// Kept as HMAC holds it, so that an id costs two compressions and not four; what
/// it holds is wiped when it is dropped (feature `zeroize` of `sha2`).
#[derive(Clone)]
pub(in crate::engine) struct EventIdKey(HmacCore<Sha256>);

impl fmt::Debug for EventIdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventIdKey(..)")
    }
}

impl EventIdKey {
    /// From a key that the pendant shares, and what tells its lives apart.
    pub(in crate::engine) fn derive(key: &[u8; 16], life: &[u8]) -> Self {
        let mut okm = Zeroizing::new([0u8; 32]);
        hkdf::Hkdf::<Sha256>::new(Some(life), key)
            .expand(b"lonework/1 event id", okm.as_mut_slice())
            .expect("32 bytes are within HKDF's limit");
        let keyed = HmacCore::new_from_slice(okm.as_slice());
        Self(keyed.expect("HMAC takes a key of any length"))
    }

    /// The id of the `ordinal`-th thing that the frame with `counter` said. `life` tells
    /// apart what has the same counter: a LoRaWAN session that a lost store had, too.
    pub(in crate::engine) fn of_frame(&self, life: u32, counter: u32, ordinal: u8) -> EventId {
        self.hash(b'f', life, counter, ordinal)
    }

    /// The id of what a timer says that the frame with `counter` set.
    pub(in crate::engine) fn of_timer(&self, life: u32, counter: u32, kind: Kind) -> EventId {
        self.hash(b't', life, counter, kind as u8)
    }

    /// The id of a join that was answered with this JoinNonce.
    pub(in crate::engine) fn of_join(&self, join_nonce: u32) -> EventId {
        self.hash(b'j', 0, join_nonce, 0)
    }

    fn hash(&self, what: u8, life: u32, counter: u32, last: u8) -> EventId {
        let mut text = [0u8; 10];
        text[0] = what;
        text[1..5].copy_from_slice(&counter.to_le_bytes());
        text[5] = last;
        text[6..].copy_from_slice(&life.to_le_bytes());
        let text = if life == 0 { &text[..6] } else { &text[..] };
        let mut hash = Array::default();
        self.0.clone().finalize_fixed_core(&mut Buffer::<HmacCore<Sha256>>::new(text), &mut hash);
        EventId::from_hash(&hash)
    }
}

/// The id of something that the gateway itself has to say: unique by (boot,
/// lane, number), and not to be guessed from them.
pub(in crate::engine) fn gateway_event_id(
    secret: &[u8; 32],
    boot: Boot,
    lane: Lane,
    number: u64,
) -> EventId {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(b"g");
    mac.update(&boot.to_le_bytes());
    mac.update(&[lane as u8]);
    mac.update(&number.to_le_bytes());
    EventId::from_hash(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_keyed_hash_of_what_was_said() {
        let enrolment = [9; 16];
        let mut key = [0; 32];
        let hkdf = hkdf::Hkdf::<Sha256>::new(None, &enrolment);
        hkdf.expand(b"lonework/1 event id", &mut key).expect("a key");
        let hash = |text: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
            mac.update(text);
            EventId::from_hash(&mac.finalize().into_bytes())
        };
        let ids = EventIdKey::derive(&enrolment, &[]);
        assert_eq!(ids.of_frame(9, 0x0403_0201, 5), hash(b"f\x01\x02\x03\x04\x05\x09\0\0\0"));
        let timer = [b't', 7, 0, 0, 0, Kind::Duress as u8];
        assert_eq!(ids.of_frame(0, 0x0403_0201, 5), hash(b"f\x01\x02\x03\x04\x05"));
        assert_eq!(ids.of_timer(0, 7, Kind::Duress), hash(&timer));
    }

    #[test]
    fn the_text_is_the_canonical_one() {
        let id = EventId(std::array::from_fn(|place| place as u8 * 17));
        assert_eq!(id.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(EventId::parse(&id.to_string()), Some(id));
    }
}
