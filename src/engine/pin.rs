//! PINs: kept as keyed hashes, always compared against both, in constant time.

use hmac::{Hmac, KeyInit, Mac};
use pendant_protocol::PinDigits;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// What an entered PIN turned out to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// The wearer's real PIN.
    Safe,
    /// The PIN that is entered under force.
    Duress,
    /// Neither.
    Wrong,
}

/// Both PINs of one enrolment, as HMAC-SHA-256 under a key of their own, cut to
/// 128 bits. Says nothing of itself when printed.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct PinVerifier {
    key: [u8; 32],
    safe: [u8; 16],
    duress: [u8; 16],
}

impl std::fmt::Debug for PinVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PinVerifier(..)")
    }
}

impl PinVerifier {
    /// Hashes both PINs under `key` (random, one an enrolment). Whether they
    /// are far enough apart is `enroll`'s to check, while it has the digits.
    #[must_use]
    pub fn new(key: [u8; 32], safe: PinDigits, duress: PinDigits) -> Self {
        Self { safe: hash(&key, safe), duress: hash(&key, duress), key }
    }

    /// Says which PIN was entered. Both are compared whatever the first
    /// comparison gives, and the answer is selected, not branched to.
    #[must_use]
    pub fn judge(&self, entered: PinDigits) -> Entered {
        let entered = hash(&self.key, entered);
        let safe = entered.ct_eq(&self.safe);
        let duress = entered.ct_eq(&self.duress);
        let mut code = 0u8;
        code.conditional_assign(&1, safe);
        code.conditional_assign(&2, duress);
        match code {
            1 => Entered::Safe,
            2 => Entered::Duress,
            _ => Entered::Wrong,
        }
    }
}

fn hash(key: &[u8; 32], digits: PinDigits) -> [u8; 16] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(&digits.packed());
    let full: [u8; 32] = mac.finalize().into_bytes().into();
    full[..16].try_into().expect("16 of 32 bytes")
}
