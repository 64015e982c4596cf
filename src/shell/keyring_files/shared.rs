//! Enrolments on their way to a second gateway, sealed for that one alone.
//! `docs/export.md` is the format, `docs/install.md` says how it is done.
//!
//! HPKE (RFC 9180), as for exports of the journal. The receiving key is derived from the
//! store's key, so that it needs no file of its own, and dies with the store.

use super::content::{Content, Sealed};
use crate::config::DownlinkRole;
use crate::engine::keyring::{Enrolment, Secrets};
use crate::engine::name::Name;
use crate::shell::hex;
use crate::shell::store_key::StoreKey;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use pendant_protocol::{PendantId, Slot};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::str::FromStr;
use zeroize::Zeroizing;

/// First bytes of the file.
const MAGIC: &[u8; 17] = b"lonework share 1\n";
/// The part of them that all versions have.
const ANY_VERSION: &[u8] = b"lonework share ";
/// What the seal is for.
const INFO: &[u8] = b"lonework/1 share";
/// What the receiving key is derived for.
const PURPOSE: &str = "lonework/1 share receiver";
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// Each enrolment takes as much, so that the file's length tells how many there are and
/// nothing else.
const BLOCK_BYTES: usize = 256;
/// Far more than a gateway serves.
const ENROLMENTS_MAX: usize = 4000;
/// Longest file, bytes.
pub const SHARED_BYTES_MAX: usize =
    MAGIC.len() + KEY_BYTES + (1 + ENROLMENTS_MAX) * BLOCK_BYTES + TAG_BYTES;
/// Of a receiving key's text.
const KEY_PREFIX: &str = "LWG1:";
const KEY_CHECK_BYTES: usize = 2;

type Suite = X25519HkdfSha256;

/// Which gateway shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its site.
    pub site: Name,
    /// Its name on it.
    pub gateway: Name,
    /// Its slot, which no other gateway with the same pendants may have.
    pub slot: Slot,
    /// In which window it answers.
    pub role: DownlinkRole,
}

/// [`Sender`], as it is written.
#[derive(Serialize, Deserialize)]
struct SenderContent {
    slot: u8,
    role: u8,
    site: Name,
    gateway: Name,
}

/// What was shared, opened.
#[derive(Debug)]
pub struct Shared {
    /// By which gateway.
    pub from: Sender,
    /// At least one, in order of pendant; each native.
    pub enrolments: Vec<Enrolment>,
}

/// Why nothing can be taken of a file. Each says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedError {
    /// Something else.
    NotShared,
    /// Another version's.
    Version,
    /// Longer or shorter than any.
    Length,
    /// Sealed for another key, or altered.
    Sealed,
    /// What was sealed is not what a gateway writes.
    Malformed(&'static str),
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotShared => f.write_str("not a file that `pendants share` wrote"),
            Self::Version => f.write_str(
                "written by another version of this program; install the same version on both gateways",
            ),
            Self::Length => f.write_str("cut off, or too long; copy the whole file again"),
            Self::Sealed => f.write_str(
                "sealed for another gateway, or altered; share again, with the key that \
                 `pendants key` prints on this gateway",
            ),
            Self::Malformed(what) => {
                write!(f, "not as a gateway writes it: {what}; share again")
            }
        }
    }
}

impl std::error::Error for SharedError {}

/// A code for people to compare: 80 bits, as `1234-5678-9ABC-DEF0-1234`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code([u8; 10]);

impl Code {
    /// The code of a whole file.
    #[must_use]
    pub fn of_file(bytes: &[u8]) -> Self {
        Self::of(b"lonework/1 share file", bytes)
    }

    fn of(purpose: &[u8], bytes: &[u8]) -> Self {
        let hash: [u8; 32] =
            Sha256::new().chain_update(purpose).chain_update(bytes).finalize().into();
        Self(hash[..10].try_into().expect("10 of 32 bytes"))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if at > 0 && at % 2 == 0 { "-" } else { "" };
            write!(f, "{dash}{byte:02X}")?;
        }
        Ok(())
    }
}

impl FromStr for Code {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: String = text.chars().filter(|sign| !matches!(sign, '-' | ' ')).collect();
        hex::decode(&digits).map(Self).ok_or("a code has 20 hexadecimal digits")
    }
}

/// The public key under which others seal enrolments for a gateway, with that gateway's
/// slot, so that one with the same slot is told before anything is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivingKey {
    key: <Suite as Kem>::PublicKey,
    slot: Slot,
}

impl ReceivingKey {
    /// The slot of the gateway that it belongs to.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// For people to compare, so that nobody's key takes another's place.
    #[must_use]
    pub fn fingerprint(&self) -> Code {
        Code::of(b"lonework/1 share key", &self.bytes())
    }

    fn bytes(&self) -> [u8; 1 + KEY_BYTES] {
        let mut bytes = [self.slot.get(); 1 + KEY_BYTES];
        bytes[1..].copy_from_slice(&self.key.to_bytes());
        bytes
    }
}

impl fmt::Display for ReceivingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KEY_PREFIX)?;
        let bytes = self.bytes();
        let check = slips(&bytes);
        bytes.iter().chain(&check).try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl FromStr for ReceivingKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().to_ascii_uppercase();
        let bytes: [u8; 1 + KEY_BYTES + KEY_CHECK_BYTES] = text
            .strip_prefix(KEY_PREFIX)
            .and_then(hex::decode)
            .ok_or("a receiving key is LWG1: and 70 digits, as `pendants key` prints it")?;
        let (bytes, check) = bytes.split_at(1 + KEY_BYTES);
        if check != slips(bytes) {
            return Err("a digit of the receiving key is wrong; copy it again");
        }
        let slot = Slot::new(bytes[0]).ok_or("a gateway's slot is at most 31")?;
        let key = <Suite as Kem>::PublicKey::from_bytes(&bytes[1..])
            .map_err(|_| "this receiving key is of no use")?;
        Ok(Self { key, slot })
    }
}

/// Finds slips of whoever copies a key. It proves nothing.
fn slips(bytes: &[u8]) -> [u8; KEY_CHECK_BYTES] {
    let code = Code::of(b"lonework/1 share slips", bytes);
    [code.0[0], code.0[1]]
}

/// The gateway that enrolments are sealed for.
pub struct Receiver {
    private: <Suite as Kem>::PrivateKey,
    /// What others need.
    pub key: ReceivingKey,
}

impl Receiver {
    /// The receiver of a store, in a slot.
    #[must_use]
    pub fn new(store_key: &StoreKey, slot: Slot) -> Self {
        let (private, key) = Suite::derive_keypair(&*store_key.derive::<KEY_BYTES>(PURPOSE));
        Self { private, key: ReceivingKey { key, slot } }
    }

    /// Opens what was sealed for this gateway.
    ///
    /// # Errors
    /// See [`SharedError`]. Then nothing of it was taken.
    pub fn open(&self, file: &[u8]) -> Result<Shared, SharedError> {
        let Some(sealed) = file.strip_prefix(MAGIC) else {
            let other = file.starts_with(ANY_VERSION);
            return Err(if other { SharedError::Version } else { SharedError::NotShared });
        };
        let (share, sealed) = sealed.split_first_chunk::<KEY_BYTES>().ok_or(SharedError::Length)?;
        let blocks = sealed.len().checked_sub(TAG_BYTES).ok_or(SharedError::Length)?;
        if blocks % BLOCK_BYTES != 0 || file.len() > SHARED_BYTES_MAX {
            return Err(SharedError::Length);
        }
        let share =
            <Suite as Kem>::EncappedKey::from_bytes(share).map_err(|_| SharedError::Sealed)?;
        let mut seal = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, Suite>(
            &OpModeR::Base,
            &self.private,
            &share,
            INFO,
        )
        .map_err(|_| SharedError::Sealed)?;
        let text = seal.open(sealed, MAGIC).map_err(|_| SharedError::Sealed)?;
        read(&Zeroizing::new(text))
    }
}

/// Seals native pendants' enrolments, in order of pendant, for one gateway.
///
/// # Errors
/// If there are too many, one is not native, or there are no random numbers.
pub fn seal(enrolments: &[Enrolment], from: &Sender, to: &ReceivingKey) -> io::Result<Vec<u8>> {
    let refused = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text);
    if enrolments.len() > ENROLMENTS_MAX {
        return Err(refused("more than 4000 pendants; share them in parts"));
    }
    let mut text = Zeroizing::new(Vec::with_capacity((1 + enrolments.len()) * BLOCK_BYTES));
    let sender = SenderContent {
        slot: from.slot.get(),
        role: from.role as u8,
        site: from.site.clone(),
        gateway: from.gateway.clone(),
    };
    put(&sender, &mut text);
    for enrolment in enrolments {
        if !matches!(enrolment.secrets, Secrets::Native { .. }) {
            return Err(refused("only native pendants can be shared"));
        }
        put(&Content::from(enrolment), &mut text);
    }
    let failed = |error: hpke::HpkeError| io::Error::other(format!("the receiving key: {error}"));
    let (share, mut seal) =
        hpke::setup_sender::<ChaCha20Poly1305, HkdfSha256, Suite>(&OpModeS::Base, &to.key, INFO)
            .map_err(failed)?;
    let sealed = seal.seal(&text, MAGIC).map_err(failed)?;
    Ok([&MAGIC[..], &share.to_bytes(), &sealed].concat())
}

/// Adds a block: length (2 bytes, little-endian), content, zeros.
fn put(content: &impl Serialize, text: &mut Vec<u8>) {
    let mut block = Zeroizing::new([0; BLOCK_BYTES]);
    let (head, body) = block.split_at_mut(2);
    let length = postcard::to_slice(content, body).expect("it is below 200 bytes").len();
    head.copy_from_slice(&u16::try_from(length).expect("shorter than a block").to_le_bytes());
    text.extend_from_slice(&*block);
}

/// Reads what was sealed.
///
/// # Errors
/// If it is not what [`seal`] writes: whoever knows the receiving key can seal anything.
pub fn read(text: &[u8]) -> Result<Shared, SharedError> {
    let mut blocks = text.chunks_exact(BLOCK_BYTES);
    if !blocks.remainder().is_empty() || text.len() > (1 + ENROLMENTS_MAX) * BLOCK_BYTES {
        return Err(SharedError::Length);
    }
    let from = blocks.next().and_then(content).and_then(sender);
    let from = from.ok_or(SharedError::Malformed("it does not say who shares"))?;
    let mut enrolments: Vec<Enrolment> = Vec::with_capacity(blocks.len());
    for block in blocks {
        let enrolment = content(block)
            .and_then(enrolment)
            .ok_or(SharedError::Malformed("a part of it is no enrolment of a native pendant"))?;
        if enrolments.last().is_some_and(|last| last.pendant >= enrolment.pendant) {
            return Err(SharedError::Malformed("its pendants are out of order"));
        }
        enrolments.push(enrolment);
    }
    if enrolments.is_empty() {
        return Err(SharedError::Malformed("there is no pendant in it"));
    }
    Ok(Shared { from, enrolments })
}

/// What stands in a block.
fn content(block: &[u8]) -> Option<&[u8]> {
    let (length, body) = block.split_first_chunk::<2>()?;
    let (content, zeros) = body.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    zeros.iter().all(|byte| *byte == 0).then_some(content)
}

fn sender(content: &[u8]) -> Option<Sender> {
    let (SenderContent { slot, role, site, gateway }, []) =
        postcard::take_from_bytes(content).ok()?
    else {
        return None;
    };
    let roles = [DownlinkRole::Only, DownlinkRole::Primary, DownlinkRole::Secondary];
    let role = roles.into_iter().find(|known| *known as u8 == role)?;
    Some(Sender { site, gateway, slot: Slot::new(slot)?, role })
}

fn enrolment(content: &[u8]) -> Option<Enrolment> {
    let (Content { pendant, id, wearer, secrets }, []) = postcard::take_from_bytes(content).ok()?
    else {
        return None;
    };
    let secrets = match secrets {
        Sealed::Native { .. } | Sealed::WithoutPins { .. } => secrets.into(),
        Sealed::LoRaWan(_) | Sealed::Claimed { .. } => return None,
    };
    let pendant = PendantId::new(pendant)?;
    (id != 0).then_some(Enrolment { pendant, id, wearer, secrets })
}

/// How two enrolments of one pendant stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// Nothing differs.
    Same,
    /// One enrolment; the wearer or the PINs are others.
    HandedOver,
    /// Two enrolments, with keys of their own.
    Other,
}

/// Compares two enrolments of one pendant.
#[must_use]
pub fn compare(one: &Enrolment, other: &Enrolment) -> Likeness {
    let written = |enrolment: &Enrolment| {
        let mut block = Zeroizing::new(Vec::with_capacity(BLOCK_BYTES));
        put(&Content::from(enrolment), &mut block);
        block
    };
    let key = |enrolment: &Enrolment| match &enrolment.secrets {
        Secrets::Native { key, .. } => Some(Zeroizing::new(*key.as_bytes())),
        Secrets::LoRaWan(_) | Secrets::Claimed { .. } => None,
    };
    if *written(one) == *written(other) {
        return Likeness::Same;
    }
    let one_key = key(one).is_some() && key(one) == key(other);
    if one_key && one.id == other.id { Likeness::HandedOver } else { Likeness::Other }
}

#[cfg(test)]
mod tests;
