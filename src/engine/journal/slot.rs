//! One frame of the journal: 512 bytes, one sector, so that a cut or a bad
//! sector hits whole frames and no frame's length depends on what it holds.
//!
//! ```text
//!   0  4  CRC-32C of bytes 4..512, seeded with the segment's id
//!   4  1  format version, 4
//!   5  3  number of the file in which the log goes on after this segment, plus one; 0: unknown
//!   8  8  position (LSN): segment id * 2048 + index in the segment
//!  16  8  every LSN below this one was durable when this frame was written
//!  24  8  where the segment before ended
//!  32  8  tail: every LSN below this one is void
//!  40  8  boot
//!  48 448 sealed: record length u16, record (postcard), zeros
//! 496 16  ChaCha20-Poly1305 tag (RFC 8439); bytes 4..48 are associated data
//! ```
//! Integers are little-endian. The key is derived from the store's key and the
//! boot; the nonce is the LSN, which a boot never writes twice. Why this cipher:
//! `docs/decisions/0023-the-journal-is-sealed-with-chacha20.md`.

use super::Lsn;
use crate::engine::age::Tick;
use crate::engine::command::Answered;
use crate::engine::event::{Boot, EndedBoot, Event};
use crate::engine::pendant::{Change, PendantState};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a frame: one sector of the media in use.
pub const SLOT_BYTES: usize = 512;
/// Frames in a segment.
pub const SLOTS_PER_SEGMENT: u64 = 2048;
/// Bytes of a segment file: 1 MiB.
pub const SEGMENT_BYTES: u32 = (SLOT_BYTES as u32) * (SLOTS_PER_SEGMENT as u32);
/// Bytes of a record with its padding.
pub(super) const RECORD_BYTES: usize = 448;
/// Most runs in one `Released` record: 24 of at most 15 bytes fit a frame.
pub(super) const RUNS_MAX: usize = 24;

const VERSION: u8 = 4;
/// More segments than any medium lives to see: 2^40 of 1 MiB. Positions beyond are no
/// gateway's, and could not be reckoned with.
const SEGMENTS_MAX: u64 = 1 << 40;
const HEADER_BYTES: usize = 48;
const KEY_BYTES: usize = 32;

/// One frame as it stands on the medium.
pub(super) type Slot = [u8; SLOT_BYTES];

/// What every boot's key is derived from; itself derived from the store's key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct JournalKey([u8; 32]);

impl JournalKey {
    /// Takes the key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// One boot's key, derived by HKDF-SHA-256 (RFC 5869).
    fn of_boot(&self, boot: Boot) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut purpose = *b"lonework/1 journal 00000000";
        purpose[19..].copy_from_slice(&boot.to_le_bytes());
        let mut key = Zeroizing::new([0u8; KEY_BYTES]);
        hkdf::Hkdf::<Sha256>::new(None, &self.0)
            .expand(&purpose, &mut key[..])
            .expect("32 bytes are within HKDF's limit");
        key
    }
}

impl std::fmt::Debug for JournalKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JournalKey(..)")
    }
}

/// What one boot seals its frames with.
pub(super) struct BootCipher(LessSafeKey);

impl BootCipher {
    pub(super) fn new(store: &JournalKey, boot: Boot) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &store.of_boot(boot)[..]);
        Self(LessSafeKey::new(key.expect("ChaCha20-Poly1305 takes 32 bytes")))
    }
}

/// A run of consecutive positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) count: u32,
}

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record<E = Box<Event>, S = Box<PendantState>> {
    /// First frame of every segment.
    Opened(Opened),
    /// An event with the state that it left.
    Event(E, Option<S>),
    /// A pendant's state, carried forward before its segment is recycled.
    State(S),
    /// Events that need no keeping any more.
    Released(Vec<Run>),
    /// The gateway's age, every minute.
    Tick(Tick),
    /// The commands that were let through of late, at every message of the centre.
    Answered(Answered),
    /// What the centre changed, at every message of it, also when that is nothing.
    Ordered(Vec<Change>),
}

/// A record to be written, of an event and a state that stand elsewhere.
pub(super) type Written<'r> = Record<&'r Event, &'r PendantState>;

/// What a segment's first frame tells, so that numbers go on although every
/// event was recycled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Opened {
    /// The last numbers given in this boot, in the order of `Lane::ALL`.
    pub(super) last: [u64; 3],
    /// How the boot before ended.
    pub(super) previous: Option<EndedBoot>,
}

/// A record in plain, ready to be sealed under whichever position it gets.
#[derive(Clone)]
pub(super) struct Plain(pub(super) Box<[u8; RECORD_BYTES]>);

impl Plain {
    pub(super) fn new(record: &Written<'_>) -> Self {
        let mut bytes = Box::new([0u8; RECORD_BYTES]);
        let used = postcard::to_slice(record, &mut bytes[2..])
            .expect("the longest record fits a frame, which a test shows")
            .len();
        let used = u16::try_from(used).expect("a record is shorter than 448 bytes");
        bytes[..2].copy_from_slice(&used.to_le_bytes());
        Self(bytes)
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        usize::from(u16::from_le_bytes([self.0[0], self.0[1]]))
    }

    pub(super) fn record(&self) -> Option<Record> {
        record_in(&self.0[..])
    }
}

fn record_in(plain: &[u8]) -> Option<Record> {
    let used = usize::from(u16::from_le_bytes([plain[0], plain[1]]));
    postcard::from_bytes(plain.get(2..2 + used)?).ok()
}

/// The clear part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) lsn: Lsn,
    pub(super) durable_before: Lsn,
    pub(super) previous_end: Lsn,
    pub(super) tail: Lsn,
    pub(super) boot: Boot,
    /// The file in which the log will go on after this segment.
    pub(super) next_file: Option<u32>,
}

impl Header {
    /// Reads a frame's header if the frame is whole and stands at `index`.
    pub(super) fn read(slot: &Slot, index: u64) -> Option<Self> {
        let word = |at: usize| {
            u64::from_le_bytes(slot[at..at + 8].try_into().expect("8 bytes of the header"))
        };
        let lsn = Lsn(word(8));
        let crc = u32::from_le_bytes(slot[..4].try_into().expect("4 bytes of the header"));
        let whole = slot[4] == VERSION && lsn.index() == index && crc == checksum(slot, lsn);
        let header = Self {
            lsn,
            durable_before: Lsn(word(16)),
            previous_end: Lsn(word(24)),
            tail: Lsn(word(32)),
            boot: word(40),
            next_file: u32::from_le_bytes([slot[5], slot[6], slot[7], 0]).checked_sub(1),
        };
        (whole && header.is_possible()).then_some(header)
    }

    /// Whether a gateway may have written it. The checksum is no seal: anybody who can
    /// write to the medium can compute it, and must not keep the gateway from starting.
    fn is_possible(&self) -> bool {
        let segment = self.lsn.segment();
        segment < SEGMENTS_MAX
            && self.durable_before <= self.lsn
            && self.tail <= self.lsn
            && self.previous_end <= Lsn::first_of(segment)
    }
}

/// Whether a frame is whole but of a version that this build cannot read.
pub(super) fn is_of_other_version(slot: &Slot) -> bool {
    let lsn = Lsn(u64::from_le_bytes(slot[8..16].try_into().expect("8 bytes of the header")));
    let crc = u32::from_le_bytes(slot[..4].try_into().expect("4 bytes of the header"));
    slot[4] != VERSION && lsn.0 != 0 && crc == checksum(slot, lsn)
}

fn checksum(slot: &Slot, lsn: Lsn) -> u32 {
    let seed = crc32c::crc32c(&lsn.segment().to_le_bytes());
    crc32c::crc32c_append(seed, &slot[4..])
}

fn nonce(lsn: Lsn) -> Nonce {
    let mut nonce = [0u8; NONCE_LEN];
    nonce[..8].copy_from_slice(&lsn.0.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// Seals a record into a frame at the end of `out`.
pub(super) fn seal(cipher: &BootCipher, header: &Header, plain: &Plain, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + SLOT_BYTES, 0);
    let slot: &mut Slot = (&mut out[start..]).try_into().expect("the bytes of one frame");
    slot[4] = VERSION;
    let next_file = header.next_file.map_or(0, |file| file + 1).to_le_bytes();
    slot[5..8].copy_from_slice(&next_file[..3]);
    slot[8..16].copy_from_slice(&header.lsn.0.to_le_bytes());
    slot[16..24].copy_from_slice(&header.durable_before.0.to_le_bytes());
    slot[24..32].copy_from_slice(&header.previous_end.0.to_le_bytes());
    slot[32..40].copy_from_slice(&header.tail.0.to_le_bytes());
    slot[40..48].copy_from_slice(&header.boot.to_le_bytes());
    slot[HEADER_BYTES..HEADER_BYTES + RECORD_BYTES].copy_from_slice(&plain.0[..]);
    let (head, body) = slot.split_at_mut(HEADER_BYTES);
    let (text, tag) = body.split_at_mut(RECORD_BYTES);
    let sealed = cipher
        .0
        .seal_in_place_separate_tag(nonce(header.lsn), Aad::from(&head[4..]), text)
        .expect("448 bytes are within the cipher's limit");
    tag.copy_from_slice(sealed.as_ref());
    let crc = checksum(slot, header.lsn);
    slot[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Opens a whole frame; `None` if it was sealed with another key or altered.
pub(super) fn open(cipher: &BootCipher, header: &Header, slot: &Slot) -> Option<Record> {
    let (head, body) = slot.split_at(HEADER_BYTES);
    let mut text = [0u8; SLOT_BYTES - HEADER_BYTES];
    text.copy_from_slice(body);
    let plain = cipher.0.open_in_place(nonce(header.lsn), Aad::from(&head[4..]), &mut text).ok()?;
    record_in(plain)
}

#[cfg(test)]
mod tests;
