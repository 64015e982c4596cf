//! Packets on a byte stream: COBS between zero bytes.
//!
//! COBS keeps zero out of a packet at the cost of one byte in 254, so a zero
//! always is a boundary: after any rubbish the next zero ends the search. The
//! memory is bounded: what is longer than any packet is thrown away as it comes.

use bytes::{Buf, BytesMut};

/// Longest encoded packet, bytes without its delimiters. An envelope of the
/// longest frame takes 265.
pub const ENCODED_BYTES_MAX: usize = 320;

/// Ends every packet, and stands in none.
pub const DELIMITER: u8 = 0;

/// What came between two delimiters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// The decoded bytes, at least one.
    Whole(Vec<u8>),
    /// So many bytes that are not COBS.
    Bad(usize),
    /// More than [`ENCODED_BYTES_MAX`] bytes; told once when the limit is passed.
    Oversize,
}

/// Finds packets in a stream.
#[derive(Clone, Debug, Default)]
pub struct Finder {
    /// Bytes at the front of the buffer that are known to hold no delimiter.
    searched: usize,
    /// The packet is too long already: skip to the next delimiter.
    discarding: bool,
}

impl Finder {
    /// Takes the next packet off the front of `buffer`, or `None` if it needs
    /// more bytes; then at most [`ENCODED_BYTES_MAX`] bytes are left in it.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Option<Packet> {
        loop {
            let delimiter = buffer[self.searched..]
                .iter()
                .position(|&byte| byte == DELIMITER)
                .map(|place| self.searched + place);
            let end = delimiter.unwrap_or(buffer.len());
            if self.discarding {
                buffer.advance(end);
                self.searched = 0;
                delimiter?;
                self.discarding = false;
                continue;
            }
            if end > ENCODED_BYTES_MAX {
                self.discarding = true;
                return Some(Packet::Oversize);
            }
            self.searched = end;
            delimiter?;
            let encoded = buffer.split_to(end);
            buffer.advance(1);
            self.searched = 0;
            // Delimiters in a row are idle time, not packets.
            if !encoded.is_empty() {
                return Some(match ::cobs::decode_vec(&encoded) {
                    Ok(bytes) if !bytes.is_empty() => Packet::Whole(bytes),
                    _ => Packet::Bad(end),
                });
            }
        }
    }
}

/// A packet as it goes onto the wire. The delimiter in front ends whatever the
/// other side may have half read.
pub fn encode(packet: &[u8]) -> Vec<u8> {
    let mut wire = ::cobs::encode_vec(packet);
    wire.insert(0, DELIMITER);
    wire.push(DELIMITER);
    wire
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packets(stream: &[u8], step: usize) -> Vec<Packet> {
        let mut finder = Finder::default();
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        for piece in stream.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(packet) = finder.next(&mut buffer) {
                found.push(packet);
            }
            assert!(buffer.len() <= ENCODED_BYTES_MAX);
        }
        found
    }

    #[test]
    fn the_encoding_is_the_published_one() {
        // Cheshire and Baker, "Consistent Overhead Byte Stuffing", 1999, figure 3.
        let packet = *b"E\0\0\x2C\x4C\x79\0\0\x40\x06\x4F\x37";
        let encoded = b"\x02E\x01\x04\x2C\x4C\x79\x01\x05\x40\x06\x4F\x37";
        assert_eq!(encode(&packet)[1..14], encoded[..]);
        assert_eq!(packets(&encode(&packet), 3), [Packet::Whole(packet.into())]);
    }

    #[test]
    fn ten_megabytes_without_a_delimiter_are_one_count() {
        // Miri would take hours; there it is 80 KiB.
        const PIECES: usize = if cfg!(miri) { 20 } else { 10 * 1024 * 1024 / 4096 };
        let mut finder = Finder::default();
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        let mut largest = 0;
        for _ in 0..PIECES {
            buffer.extend_from_slice(&[0x55; 4096]);
            found.extend(std::iter::from_fn(|| finder.next(&mut buffer)));
            largest = largest.max(buffer.capacity());
        }
        assert_eq!(found, [Packet::Oversize]);
        assert!(largest <= 16 * 1024, "{largest} bytes were held");
        buffer.extend_from_slice(&encode(&[0x41, 7]));
        assert_eq!(finder.next(&mut buffer), Some(Packet::Whole(vec![0x41, 7])));
    }

    #[test]
    fn half_a_frame_costs_only_itself() {
        let mut stream = encode(&[0x41; 24])[..10].to_vec();
        stream.extend(encode(&[0x42; 24]));
        assert_eq!(packets(&stream, 1), [Packet::Bad(9), Packet::Whole(vec![0x42; 24])]);
    }

    #[test]
    fn the_limit_is_exact() {
        let stream = |n: usize| [vec![1; n], vec![0]].concat();
        // Bytes of 0x01 are COBS for zeros.
        let fits = packets(&stream(ENCODED_BYTES_MAX), 1000);
        assert_eq!(fits, [Packet::Whole(vec![0; ENCODED_BYTES_MAX - 1])]);
        assert_eq!(packets(&stream(ENCODED_BYTES_MAX + 1), 1000), [Packet::Oversize]);
    }

    proptest! {
        #[test]
        fn rubbish_never_hides_the_packet_after_it(
            rubbish: Vec<u8>,
            packet in prop::collection::vec(any::<u8>(), 1..=263),
            step in 1usize..600,
        ) {
            let stream = [rubbish, encode(&packet)].concat();
            prop_assert_eq!(packets(&stream, step).pop(), Some(Packet::Whole(packet)));
        }

        #[test]
        fn how_the_bytes_are_cut_does_not_matter(
            stream in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..2000),
            step in 1usize..400,
        ) {
            prop_assert_eq!(packets(&stream, step), packets(&stream, 2000));
        }
    }
}
