//! Messages of an Inovonics EchoStream serial receiver, such as the EN6040.
//!
//! **Experimental**: after what integrators have published, not after the maker's document,
//! and not tried with a receiver. A message is
//!
//! ```text
//! 72 · length · originator[4] · first_hop[4] · traces[4 each] · hops · class · type
//! · STAT1 · STAT0 · level · margin · checksum
//! ```
//!
//! at 9600 baud. The length counts all but the checksum, which is the sum of all before it
//! modulo 256. The receiver wants each message acknowledged, and repeats it otherwise. There
//! is no authentication: what comes out of here is a hint that somebody pressed a button.

use bytes::{Buf, BytesMut};
use std::time::Duration;
use tokio::time::Instant;

/// Taken: an acknowledgement, in a message of its own.
pub const ACKNOWLEDGE: &[u8] = b"\x06\x02\x08";

/// Not understood.
pub const REFUSE: &[u8] = b"\x15";

/// Bytes of a reception: [`Message::to_bytes`].
pub const MESSAGE_BYTES: usize = 15;

const START: u8 = 0x72;
/// Start, length and the two numbers before the traces.
const FRONT: usize = 10;
/// What stands behind the traces, without the checksum.
const BACK: usize = 7;
const TRACE: usize = 4;

/// At 9600 baud the longest message takes 270 ms.
const WHOLE_WITHIN: Duration = Duration::from_millis(600);

/// A message of a transmitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The transmitter's number.
    pub originator: [u8; 4],
    /// Who heard it first: a repeater's number, or the receiver's.
    pub first_hop: [u8; 4],
    /// Repeaters on the way.
    pub hops: u8,
    /// What kind of device it is: 0x62 for pendants and other end points.
    pub class: u8,
    /// Which of its class.
    pub kind: u8,
    /// Alarm inputs, in bits 0 to 3.
    pub stat1: u8,
    /// Reset in bit 3, tamper in bit 5, low battery in bit 6.
    pub stat0: u8,
    /// How loud the receiver heard it, in a unit of its own.
    pub level: u8,
    /// How far that was above the noise, in the same unit.
    pub margin: u8,
}

impl Message {
    /// The bytes of a reception:
    /// `originator[4] · first_hop[4] · hops · class · type · STAT1 · STAT0 · level · margin`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { hops, class, kind, stat1, stat0, level, margin, .. } = *self;
        let back = [hops, class, kind, stat1, stat0, level, margin];
        [&self.originator[..], &self.first_hop, &back].concat()
    }

    /// Reads a message without its checksum, of a length that one can have.
    fn read(message: &[u8]) -> Option<Self> {
        let (&originator, rest) = message.get(2..)?.split_first_chunk()?;
        let (&first_hop, rest) = rest.split_first_chunk()?;
        let &[hops, class, kind, stat1, stat0, level, margin] = rest.last_chunk::<BACK>()?;
        Some(Self { originator, first_hop, hops, class, kind, stat1, stat0, level, margin })
    }
}

/// What the receiver said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Message),
    /// What begins as one and is none: a wrong checksum, or not whole in time.
    Bad,
}

/// Finds messages in a stream.
#[derive(Clone, Debug, Default)]
pub struct Finder {
    /// The front of the buffer has begun as a message that is not whole.
    begun: Option<Instant>,
}

impl Finder {
    /// When a message that has begun is given up, if it is not whole by then.
    pub fn overdue(&self) -> Option<Instant> {
        Some(self.begun? + WHOLE_WITHIN)
    }

    /// Takes the next message off the front of `buffer`, or `None` if it needs more bytes;
    /// then less than one message is left in it. What turns out to be none is searched again
    /// from behind its first byte: a good one may have begun within.
    pub fn next(&mut self, buffer: &mut BytesMut, now: Instant) -> Option<Heard> {
        loop {
            let start = buffer.iter().position(|&byte| byte == START);
            buffer.advance(start.unwrap_or(buffer.len()));
            let length = usize::from(*buffer.get(1)?);
            if !(length >= FRONT + BACK && (length - FRONT - BACK) % TRACE == 0) {
                // No message: the byte means something else. Too common to be counted.
                buffer.advance(1);
                continue;
            }
            let Some(&checksum) = buffer.get(length) else {
                if now < *self.begun.get_or_insert(now) + WHOLE_WITHIN {
                    return None;
                }
                self.begun = None;
                buffer.advance(1);
                return Some(Heard::Bad);
            };
            self.begun = None;
            let message = Message::read(&buffer[..length]);
            let sum = buffer[..length].iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
            return Some(match message.filter(|_| sum == checksum) {
                Some(message) => {
                    buffer.advance(length + 1);
                    Heard::Message(message)
                }
                None => {
                    buffer.advance(1);
                    Heard::Bad
                }
            });
        }
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::*;
    use crate::sim::echostream::written;
    use proptest::prelude::*;

    /// A press of an end point that was heard without a repeater.
    const PRESS: Message = Message {
        originator: [0xB2, 0x01, 0x02, 0x03],
        first_hop: [0xB2, 0x72, 0x11, 0x06],
        hops: 1,
        class: 0x62,
        kind: 0x01,
        stat1: 0x01,
        stat0: 0x40,
        level: 0x2C,
        margin: 0x1F,
    };

    fn heard(stream: &[u8], step: usize) -> Vec<Heard> {
        let now = Instant::now();
        let mut finder = Finder::default();
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        for piece in stream.chunks(step) {
            buffer.extend_from_slice(piece);
            found.extend(std::iter::from_fn(|| finder.next(&mut buffer, now)));
            assert!(buffer.len() <= usize::from(u8::MAX));
        }
        while let Some(overdue) = finder.overdue() {
            found.extend(std::iter::from_fn(|| finder.next(&mut buffer, overdue)));
        }
        found
    }

    #[test]
    fn a_press_is_read_from_its_bytes() {
        let stream = b"\x72\x11\xB2\x01\x02\x03\xB2\x72\x11\x06\x01\x62\x01\x01\x40\x2C\x1F\x66";
        for step in [1, 5, 100] {
            assert_eq!(heard(stream, step), [Heard::Message(PRESS)]);
        }
        assert_eq!(written(&PRESS, &[]), stream);
        let bytes = PRESS.to_bytes();
        assert_eq!(bytes, b"\xB2\x01\x02\x03\xB2\x72\x11\x06\x01\x62\x01\x01\x40\x2C\x1F");
        assert_eq!(bytes.len(), MESSAGE_BYTES);
    }

    #[test]
    fn the_numbers_of_repeaters_on_the_way_are_passed_over() {
        for repeaters in 0..=59 {
            let stream = written(&PRESS, &vec![[0x72, 0x11, 0, 0]; repeaters]);
            assert_eq!(heard(&stream, 64), [Heard::Message(PRESS)], "{repeaters}");
        }
    }

    #[test]
    fn a_byte_that_is_lost_or_changed_costs_its_own_message() {
        let first = written(&Message { stat1: 2, ..PRESS }, &[[1; 4]]);
        let next = written(&PRESS, &[]);
        for place in 0..first.len() {
            for byte in [&[][..], &[first[place] ^ 1]] {
                let stream = [&first[..place], byte, &first[place + 1..], &next].concat();
                let found = heard(&stream, 7);
                assert_eq!(found.last(), Some(&Heard::Message(PRESS)), "{place}: {found:?}");
                let messages = found.iter().filter(|it| matches!(it, Heard::Message(_))).count();
                assert_eq!(messages, 1, "{place}: {found:?}");
            }
        }
    }

    proptest! {
        /// One byte of checksum is little: once in some hundred thousand the rubbish is a
        /// message itself.
        #[test]
        fn rubbish_never_hides_the_message_after_it(rubbish: Vec<u8>, step in 1usize..300) {
            let found = heard(&[rubbish, written(&PRESS, &[])].concat(), step);
            let is_lie = |it: &Heard| matches!(it, Heard::Message(message) if *message != PRESS);
            prop_assume!(!found.iter().any(is_lie));
            prop_assert_eq!(found.last(), Some(&Heard::Message(PRESS)));
        }

        #[test]
        fn any_bytes_are_survived(
            stream in prop::collection::vec(prop_oneof![Just(0x72u8), Just(0x11), any::<u8>()], 0..2000),
            step in 1usize..400,
        ) {
            prop_assert!(heard(&stream, step).len() <= stream.len());
        }
    }
}
