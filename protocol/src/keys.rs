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

    /// The key of everything that the pendant sends. Costs some microseconds:
    /// derive once, not at every frame.
    #[must_use]
    pub fn uplink(&self) -> UplinkKey {
        UplinkKey(self.derive(&[b"lonework/1 uplink"]))
    }

    /// The key of everything that the gateway in `slot` sends to the pendant.
    /// Costs some microseconds: derive once, not at every frame.
    #[must_use]
    pub fn downlink(&self, slot: Slot) -> DownlinkKey {
        DownlinkKey(self.derive(&[b"lonework/1 downlink", &[slot.get()]]))
    }

    fn derive(&self, info: &[&[u8]]) -> KeyBytes {
        let mut key = KeyBytes::default();
        Hkdf::<Sha256>::new(None, &self.0)
            .expand_multi_info(info, &mut key)
            .expect("16 bytes are within HKDF's limit");
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
