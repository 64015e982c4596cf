//! One secret an enrolment, and the keys that each direction uses.
//!
//! The enrolment key is 16 random bytes that the pendant and its gateways share;
//! it encrypts nothing itself. Keys come from it by HKDF-SHA-256 (RFC 5869) with
//! an empty salt and an `info` text of their own, cut to 16 bytes:
//! `"lonework/1 uplink"`, and `"lonework/1 downlink"` followed by the slot's byte.
//! All of them are wiped when dropped and say nothing of themselves when printed.

use crate::identity::Slot;
use core::fmt;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub(crate) type KeyBytes = [u8; 16];

/// The secret that a pendant and its gateways share: 16 random bytes, made anew
/// at every enrolment.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct EnrolmentKey(KeyBytes);

impl EnrolmentKey {
    /// Takes the secret's bytes. They must come from a random source that is fit
    /// for keys, and never have belonged to another enrolment.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The secret's bytes, for storing them sealed and for deriving further keys.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The key of everything that the pendant sends. Costs eight SHA-256 compressions:
    /// derive once, not at every frame.
    #[must_use]
    pub fn uplink(&self) -> UplinkKey {
        UplinkKey(self.derive(&[b"lonework/1 uplink"]))
    }

    /// The key of everything that the gateway in `slot` sends to the pendant.
    /// Costs eight SHA-256 compressions: derive once, not at every frame.
    #[must_use]
    pub fn downlink(&self, slot: Slot) -> DownlinkKey {
        DownlinkKey(self.derive(&[b"lonework/1 downlink", &[slot.get()]]))
    }

    fn derive(&self, info: &[&[u8]]) -> KeyBytes {
        let mut key = KeyBytes::default();
        hkdf_sha256(&self.0, info, &mut key);
        key
    }
}

/// Seals and opens what one pendant sends. From [`EnrolmentKey::uplink`].
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct UplinkKey(pub(crate) KeyBytes);

/// Seals and opens what the gateway in one slot sends to one pendant. From
/// [`EnrolmentKey::downlink`].
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DownlinkKey(pub(crate) KeyBytes);

impl fmt::Debug for EnrolmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolmentKey(..)")
    }
}

impl fmt::Debug for UplinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UplinkKey(..)")
    }
}

impl fmt::Debug for DownlinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DownlinkKey(..)")
    }
}

fn hkdf_sha256(secret: &[u8], info: &[&[u8]], okm: &mut [u8]) {
    Hkdf::<Sha256>::new(None, secret)
        .expand_multi_info(info, okm)
        .expect("at most 42 bytes are asked for, HKDF gives 8160");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869, appendix A.3: SHA-256 with empty salt and info, as used here.
    #[test]
    fn derives_as_rfc_5869() {
        let mut okm = [0; 42];
        hkdf_sha256(&[0x0B; 22], &[], &mut okm);
        let expected = [
            0x8D, 0xA4, 0xE7, 0x75, 0xA5, 0x63, 0xC1, 0x8F, 0x71, 0x5F, 0x80, 0x2A, 0x06, 0x3C,
            0x5A, 0x31, 0xB8, 0xA1, 0x1F, 0x5C, 0x5E, 0xE1, 0x87, 0x9E, 0xC3, 0x45, 0x4E, 0x5F,
            0x3C, 0x73, 0x8D, 0x2D, 0x9D, 0x20, 0x13, 0x95, 0xFA, 0xA4, 0xB6, 0x1A, 0x96, 0xC8,
        ];
        assert_eq!(okm, expected);
    }

    #[test]
    fn joins_the_pieces_of_info() {
        let (mut whole, mut pieces) = ([0; 42], [0; 42]);
        hkdf_sha256(&[0x0B; 22], &[b"lonework/1 downlink\x07"], &mut whole);
        hkdf_sha256(&[0x0B; 22], &[b"lonework/1 downlink", &[7]], &mut pieces);
        assert_eq!(whole, pieces);
    }
}
