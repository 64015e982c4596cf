//! Packets of an Ebyte E22 in transparent mode whose register REG3 has bit 7 set: after
//! each packet that it received it writes one byte with the signal strength.
//!
//! What the module writes has no boundaries of its own, so frames stand in COBS between
//! zeros, as pendants send them: `00 COBS 00`, and then the byte. It may be anything, also
//! zero. After a whole packet the next byte is taken for it, unless it comes so late that
//! it must be another's. Everywhere else a single byte between zeros is one whose packet
//! was lost: no COBS of a frame is so short. So whatever is lost, the next zero ends the
//! search, and a lost strength costs nothing but itself.

use super::cobs::{self, Packet};
use bytes::{Buf, BytesMut};
use std::time::Duration;
use tokio::time::Instant;

/// The byte follows at once, but a USB adapter may hold it back for its latency of 16 ms,
/// and a busy gateway reads late.
const STRENGTH_WAIT: Duration = Duration::from_millis(50);

/// What the module wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A packet, and when its last byte was read.
    Packet {
        /// The decoded bytes, at least one.
        bytes: Vec<u8>,
        /// Signal strength, dBm; `None` if the byte was zero or did not come.
        rssi_dbm: Option<i16>,
        /// When the delimiter at its end was read.
        ended: Instant,
    },
    /// Not COBS.
    Bad,
    /// More than [`cobs::ENCODED_BYTES_MAX`] bytes; told once when the limit is passed.
    Oversize,
}

/// Finds packets in a stream.
#[derive(Clone, Debug, Default)]
pub struct Finder {
    packets: cobs::Finder,
    /// A packet that waits for its strength.
    held: Option<(Vec<u8>, Instant)>,
}

impl Finder {
    /// When [`Self::release`] has something to do.
    pub fn held_until(&self) -> Option<Instant> {
        self.held.as_ref().map(|(_, ended)| *ended + STRENGTH_WAIT)
    }

    /// The packet whose strength did not come in time.
    pub fn release(&mut self, now: Instant) -> Option<Heard> {
        self.held_until().filter(|until| *until <= now)?;
        let (bytes, ended) = self.held.take()?;
        Some(Heard::Packet { bytes, rssi_dbm: None, ended })
    }

    /// Takes the next packet off the front of `buffer`, or `None` if it needs more bytes;
    /// then at most [`cobs::ENCODED_BYTES_MAX`] bytes are left in it.
    pub fn next(&mut self, buffer: &mut BytesMut, now: Instant) -> Option<Heard> {
        loop {
            if let Some(late) = self.release(now) {
                return Some(late);
            }
            if self.held.is_some() && buffer.is_empty() {
                return None;
            }
            if let Some((bytes, ended)) = self.held.take() {
                let rssi_dbm = strength_dbm(buffer.get_u8());
                return Some(Heard::Packet { bytes, rssi_dbm, ended });
            }
            match self.packets.next(buffer)? {
                Packet::Whole(bytes) => self.held = Some((bytes, now)),
                // The strength of a packet that was lost.
                Packet::Bad(1) => {}
                Packet::Bad(_) => return Some(Heard::Bad),
                Packet::Oversize => return Some(Heard::Oversize),
            }
        }
    }
}

/// The module's manual: dBm = -(256 - byte). Zero would be -256 dBm, which is no signal.
fn strength_dbm(byte: u8) -> Option<i16> {
    (byte != 0).then(|| i16::from(byte) - 256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the module writes of a packet.
    fn written(frame: &[u8], strength: u8) -> Vec<u8> {
        [cobs::encode(frame), vec![strength]].concat()
    }

    /// All that is found, with the strength but without the time.
    fn found(stream: &[u8], step: usize) -> Vec<(Vec<u8>, Option<i16>)> {
        let now = Instant::now();
        let mut finder = Finder::default();
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        let mut take = |heard| match heard {
            Heard::Packet { bytes, rssi_dbm, .. } => found.push((bytes, rssi_dbm)),
            Heard::Bad | Heard::Oversize => {}
        };
        for piece in stream.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(heard) = finder.next(&mut buffer, now) {
                take(heard);
            }
            assert!(buffer.len() <= cobs::ENCODED_BYTES_MAX);
        }
        finder.release(now + STRENGTH_WAIT).into_iter().for_each(take);
        found
    }

    #[test]
    fn the_byte_after_a_packet_is_its_strength_whatever_it_is() {
        for (byte, rssi_dbm) in [(0x01, Some(-255)), (0x9F, Some(-97)), (0xFF, Some(-1)), (0, None)]
        {
            let stream = [written(&[0x41; 24], byte), written(&[0x42; 24], 0xA0)].concat();
            for step in [1, 2, 27, 100] {
                let expected = [(vec![0x41; 24], rssi_dbm), (vec![0x42; 24], Some(-96))];
                assert_eq!(found(&stream, step), expected, "{byte:02x}, {step}");
            }
        }
    }

    /// Each byte of the first of three packets is lost once, and once doubled.
    #[test]
    fn a_byte_that_is_lost_costs_its_own_packet_at_most() {
        for strength in [0x00, 0x9F] {
            let first = written(&[0x41; 24], strength);
            let others = [written(&[0x42; 24], strength), written(&[0x43; 24], strength)].concat();
            let rssi_dbm = strength_dbm(strength);
            let expected = [(vec![0x42; 24], rssi_dbm), (vec![0x43; 24], rssi_dbm)];
            for place in 0..first.len() {
                for byte in [&[][..], &[first[place]; 2]] {
                    let stream = [&first[..place], byte, &first[place + 1..], &others[..]].concat();
                    let found = found(&stream, 7);
                    assert!(found.ends_with(&expected), "{place}: {found:02x?}");
                }
            }
        }
    }

    #[test]
    fn a_packet_whose_strength_does_not_come_is_not_held_for_long() {
        let now = Instant::now();
        let mut finder = Finder::default();
        let mut buffer = BytesMut::from(&cobs::encode(&[0x41; 24])[..]);
        assert_eq!(finder.next(&mut buffer, now), None);
        assert_eq!(finder.held_until(), Some(now + STRENGTH_WAIT));
        assert_eq!(finder.release(now + STRENGTH_WAIT / 2), None);
        let packet =
            |byte, rssi_dbm, ended| Some(Heard::Packet { bytes: vec![byte; 24], rssi_dbm, ended });
        // What comes later is no strength of it.
        let later = now + STRENGTH_WAIT * 2;
        buffer.extend_from_slice(&[0x9F]);
        buffer.extend_from_slice(&written(&[0x42; 24], 0xA0));
        assert_eq!(finder.next(&mut buffer, later), packet(0x41, None, now));
        assert_eq!(finder.next(&mut buffer, later), packet(0x42, Some(-96), later));
        assert_eq!(finder.held_until(), None);
    }

    proptest! {
        #[test]
        fn rubbish_costs_at_most_the_packet_after_it(
            rubbish in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..700),
            strengths: [u8; 2],
            step in 1usize..600,
        ) {
            let packets = [written(&[0x41; 24], strengths[0]), written(&[0x42; 24], strengths[1])];
            let found = found(&[rubbish, packets.concat()].concat(), step);
            let last = (vec![0x42; 24], strength_dbm(strengths[1]));
            prop_assert_eq!(found.last(), Some(&last));
        }

        #[test]
        fn how_the_bytes_are_cut_does_not_matter(
            stream in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..2000),
            step in 1usize..400,
        ) {
            prop_assert_eq!(found(&stream, step), found(&stream, 2000));
        }
    }
}
