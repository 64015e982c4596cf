//! What the clear part of frames says, read without the engine's help, as
//! `docs/journal.md` describes it.

use std::collections::BTreeMap;

pub(super) type Image = BTreeMap<u32, Vec<u8>>;
pub(super) const SECTOR: usize = 512;
pub(super) const SLOTS: u64 = 2048;

/// A whole frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) position: u64,
    pub(super) durable_mark: u64,
    /// Below it the log is void.
    pub(super) tail: u64,
    pub(super) boot: u64,
}

/// The frame in a sector, if it is whole and stands at its index.
pub(super) fn frame(index: u64, sector: &[u8]) -> Option<Frame> {
    let word = |at: usize| u64::from_le_bytes(sector[at..at + 8].try_into().expect("8 bytes"));
    let position = word(8);
    let seed = crc32c::crc32c(&(position / SLOTS).to_le_bytes());
    let sum = crc32c::crc32c_append(seed, &sector[4..]).to_le_bytes();
    let whole = sector[4] == 4 && sector[..4] == sum && position % SLOTS == index && position > 0;
    whole.then(|| Frame { position, durable_mark: word(16), tail: word(32), boot: word(40) })
}

/// Every whole frame of an image and the file in which it stands.
pub(super) fn frames(image: &Image) -> impl Iterator<Item = (u32, Frame)> + '_ {
    image.iter().flat_map(|(file, bytes)| {
        let sectors = (0..).zip(bytes.chunks_exact(SECTOR));
        sectors.filter_map(|(index, sector)| Some((*file, frame(index, sector)?)))
    })
}

/// The segment that a file holds: the newest of which it has a whole frame.
pub(super) fn segment_of(bytes: &[u8]) -> Option<u64> {
    let sectors = (0..).zip(bytes.chunks_exact(SECTOR));
    sectors.filter_map(|(index, sector)| Some(frame(index, sector)?.position / SLOTS)).max()
}
