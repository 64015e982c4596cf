//! Frames as they may stand on a medium, whoever wrote them: for whoever checks the
//! reading of them.

use super::slot::{BootCipher, Header, Plain, RECORD_BYTES, Record, seal};
use super::{JournalKey, Lsn};
use crate::engine::event::Boot;

/// The clear part of a frame; any numbers, also such as no gateway writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clear {
    /// Its position in the log.
    pub lsn: u64,
    /// Every position below was durable.
    pub durable_before: u64,
    /// The position at which the segment before ended.
    pub previous_end: u64,
    /// Every position below is void.
    pub tail: u64,
    /// Who wrote it.
    pub boot: Boot,
    /// Number of the file in which the log goes on, below 2^24 - 1.
    pub next_file: Option<u32>,
}

/// The 512 bytes of a frame whose checksum and seal are right, with the record's bytes as
/// far as they fit.
#[must_use]
pub fn sealed(key: &JournalKey, clear: &Clear, record: &[u8]) -> Vec<u8> {
    let header = Header {
        lsn: Lsn(clear.lsn),
        durable_before: Lsn(clear.durable_before),
        previous_end: Lsn(clear.previous_end),
        tail: Lsn(clear.tail),
        boot: clear.boot,
        next_file: clear.next_file,
    };
    let mut bytes = [0; RECORD_BYTES];
    let used = record.len().min(RECORD_BYTES);
    bytes[..used].copy_from_slice(&record[..used]);
    let mut out = Vec::new();
    seal(&BootCipher::new(key, clear.boot), &header, &Plain(Box::new(bytes)), &mut out);
    out
}

/// Reads a record's text and writes it again; `None` if it is none.
#[must_use]
pub fn rewritten(text: &[u8]) -> Option<Vec<u8>> {
    let record: Record = postcard::from_bytes(text).ok()?;
    Some(postcard::to_stdvec(&record).expect("memory takes all"))
}

#[cfg(test)]
pub(super) mod card;
#[cfg(test)]
mod tests;
