//! AES-128-CCM over one frame: RFC 3610 with M = 8 (tag) and L = 2 (13-byte
//! nonce), named AES-CCM-16-64-128 in RFC 9053, section 4.2.
//!
//! Associated data: the header, bytes 0 to 7. Text: 8 bytes. Nonce:
//!
//! ```text
//! byte  0           1..4      4..8                 8      9..11   11..13
//!       direction   pendant   counter, all 32 bit  slot   salt    zero
//! ```
//!
//! Slot and salt are zero in uplinks. A nonce must never meet two texts under
//! one key: uplinks owe that to the counter, downlinks to (slot, counter, salt).
//! The tag is compared in constant time, by the `ccm` crate.

use crate::frame::{Direction, FRAME_BYTES, FrameBytes, HEADER_BYTES, SEALED_END, TEXT_BYTES};
use crate::identity::{PendantId, Slot};
use crate::keys::KeyBytes;
use aes::Aes128Enc;
use ccm::aead::AeadInOut;
use ccm::consts::{U8, U13};
use ccm::{Ccm, KeyInit};
use core::fmt;
use zeroize::Zeroizing;

/// CCM only ever encrypts blocks; the keys for the other way need not be made.
pub(crate) type Cipher = Ccm<Aes128Enc, U8, U13>;
pub(crate) type NonceBytes = [u8; 13];
pub(crate) type HeaderBytes = [u8; HEADER_BYTES];
pub(crate) type TextBytes = [u8; TEXT_BYTES];

/// The tag does not fit: another key, other bytes, or another counter, slot or
/// salt than the frame was sealed with. The text has not been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

impl fmt::Display for Forged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the frame does not authenticate")
    }
}

impl core::error::Error for Forged {}

pub(crate) fn uplink_nonce(pendant: PendantId, counter: u32) -> NonceBytes {
    nonce(Direction::Up, pendant, counter, 0, 0)
}

pub(crate) fn downlink_nonce(
    pendant: PendantId,
    counter: u32,
    slot: Slot,
    salt: u16,
) -> NonceBytes {
    nonce(Direction::Down, pendant, counter, slot.get(), salt)
}

fn nonce(
    direction: Direction,
    pendant: PendantId,
    counter: u32,
    slot: u8,
    salt: u16,
) -> NonceBytes {
    let mut nonce = NonceBytes::default();
    nonce[0] = direction as u8;
    nonce[1..4].copy_from_slice(&pendant.to_bytes());
    nonce[4..8].copy_from_slice(&counter.to_le_bytes());
    nonce[8] = slot;
    nonce[9..11].copy_from_slice(&salt.to_le_bytes());
    nonce
}

/// The whole frame: `header`, `text` encrypted, tag.
pub(crate) fn seal(
    key: &KeyBytes,
    nonce: &NonceBytes,
    header: HeaderBytes,
    text: TextBytes,
) -> FrameBytes {
    let mut frame = [0; FRAME_BYTES];
    let (sealed, tag) = frame[HEADER_BYTES..].split_at_mut(TEXT_BYTES);
    sealed.copy_from_slice(&text);
    let made = Cipher::new(key.into())
        .encrypt_inout_detached(nonce.into(), &header, sealed.into())
        .expect("8 bytes are within CCM's limit");
    tag.copy_from_slice(&made);
    frame[..HEADER_BYTES].copy_from_slice(&header);
    frame
}

/// The text of `frame`, if its tag fits.
pub(crate) fn open(
    key: &KeyBytes,
    nonce: &NonceBytes,
    frame: &FrameBytes,
) -> Result<Zeroizing<TextBytes>, Forged> {
    let (header, rest) = frame.split_at(HEADER_BYTES);
    let (sealed, tag) = rest.split_at(TEXT_BYTES);
    let mut text = Zeroizing::new(TextBytes::default());
    text.copy_from_slice(sealed);
    let tag = tag.try_into().map_err(|_| Forged)?;
    Cipher::new(key.into())
        .decrypt_inout_detached(nonce.into(), header, text.as_mut_slice().into(), tag)
        .map_err(|_| Forged)?;
    Ok(text)
}

/// The tag, its bytes read as a little-endian integer.
pub(crate) fn tag(frame: &FrameBytes) -> u64 {
    let mut tag = [0; 8];
    tag.copy_from_slice(&frame[SEALED_END..]);
    u64::from_le_bytes(tag)
}

#[cfg(test)]
mod tests;
