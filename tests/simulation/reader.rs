//! A second reader of the journal, written from `docs/journal.md`: it says which
//! presses a sector holds. It shares no code with the engine.

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a pendant said, by its number and its frame's counter.
pub type Press = (u32, u32);

/// One event as the journal has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub press: Press,
    pub boot: u64,
    pub number: u64,
}

/// One frame of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub position: u64,
    pub durable_mark: u64,
    /// Its event, if a pendant's frame led to it.
    pub event: Option<Kept>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "fields that stand before those that are asked for")]
struct Event {
    id: [u8; 16],
    kind: u32,
    boot: u64,
    number: u64,
    mono: u64,
    wall: Wall,
    from: Option<From>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "fields that stand before those that are asked for")]
enum Wall {
    Unset,
    Set { unix_ms: i64, uncertainty_ms: u32, source: u32 },
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "fields that stand before those that are asked for")]
struct From {
    pendant: u32,
    enrolment: u64,
    wearer: String,
    authentication: u32,
    counter: u32,
    /// Only a frame has a receiver; a timer has none.
    heard: Option<u8>,
}

pub struct Reader {
    key: [u8; 32],
    ciphers: BTreeMap<u64, ChaCha20Poly1305>,
}

fn number(sector: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(sector[at..at + 8].try_into().expect("8 bytes"))
}

impl Reader {
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, ciphers: BTreeMap::new() }
    }

    /// Reads a sector; `None` if it holds no whole frame.
    pub fn frame(&mut self, index: usize, sector: &[u8; 512]) -> Option<Frame> {
        let position = number(sector, 8);
        let crc =
            crc32c::crc32c_append(crc32c::crc32c(&(position / 2048).to_le_bytes()), &sector[4..]);
        let whole = sector[4] == 4
            && sector[..4] == crc.to_le_bytes()
            && position % 2048 == index as u64
            && position != 0;
        whole.then(|| Frame {
            position,
            durable_mark: number(sector, 16),
            event: self.event(position, sector),
        })
    }

    fn event(&mut self, position: u64, sector: &[u8; 512]) -> Option<Kept> {
        let boot = number(sector, 32 + 8);
        let key = &self.key;
        let cipher = self.ciphers.entry(boot).or_insert_with(|| {
            let mut info = b"lonework/1 journal ".to_vec();
            info.extend(boot.to_le_bytes());
            let mut okm = [0; 32];
            hkdf::Hkdf::<sha2::Sha256>::new(None, key).expand(&info, &mut okm).expect("32 bytes");
            ChaCha20Poly1305::new_from_slice(&okm).expect("32 bytes")
        });
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&position.to_le_bytes());
        let mut text: [u8; 448] = sector[48..496].try_into().expect("448 bytes");
        let tag: [u8; 16] = sector[496..].try_into().expect("16 bytes");
        cipher
            .decrypt_inout_detached(
                &nonce.into(),
                &sector[4..48],
                (&mut text[..]).into(),
                &tag.into(),
            )
            .ok()?;
        let (record, rest) = postcard::take_from_bytes::<u32>(&text[2..]).ok()?;
        if record != 1 {
            return None;
        }
        let (event, _) = postcard::take_from_bytes::<Event>(rest).ok()?;
        let from = event.from.filter(|from| from.heard.is_some())?;
        Some(Kept { press: (from.pendant, from.counter), boot: event.boot, number: event.number })
    }
}
