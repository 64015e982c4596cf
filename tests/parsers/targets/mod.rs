//! What is asked of each parser of bytes from outside, whatever the bytes: a property,
//! and not only that it does not panic. Used twice: by `fuzz/targets/`, which look for
//! bytes that break it (`tests/fuzz`), and by `tests/parsers/main.rs`, which gives each
//! the bytes that were found before.

mod air;
mod centre;
mod store;
mod streams;
mod texts;

pub(crate) use air::{gwmp, lorawan, native_frames, payloads};
pub(crate) use centre::{commands, dc09_answers, gateway_events, receipts};
pub(crate) use store::{journal, store_values};
pub(crate) use streams::{at_lines, cobs, radio_hints};
pub(crate) use texts::{configuration, control};

/// A key that no bytes of a corpus were ever made with: what opens under it is a break.
const NOBODYS: [u8; 16] = *b"of nobody at all";

/// The key of the documents' vectors and of the corpora's genuine frames.
const KNOWN: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// The first byte, and the rest.
fn first(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}
