//! What surrounds a frame between a gateway and a receiver that keeps the time.
//!
//! A serial cable, a USB hub and a scheduler delay bytes by milliseconds; the
//! receiver stands next to the antenna and knows better. All integers are
//! little-endian. The first byte is below 0x40, a bare frame's never is, so
//! neither is ever taken for the other.

/// Value of `rssi_dbm` in [`Rx`] for "not measured".
pub const RSSI_UNKNOWN: i16 = i16::MIN;
/// Value of `snr_quarter_db` in [`Rx`] for "not measured".
pub const SNR_UNKNOWN: i8 = i8::MIN;

const RX: u8 = 0x01;
const TX: u8 = 0x02;
const DONE: u8 = 0x03;
const RX_HEAD: usize = 8;
const TX_HEAD: usize = 9;
const DONE_BYTES: usize = 6;

/// Receiver to gateway: a frame was heard.
/// `01 · age_us u32 · rssi_dbm i16 · snr_quarter_db i8 · frame`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rx {
    /// From the end of the frame's last symbol to the first byte of this packet
    /// on the wire, microseconds.
    pub age_us: u32,
    /// Signal strength, dBm, or [`RSSI_UNKNOWN`].
    pub rssi_dbm: i16,
    /// Signal-to-noise ratio, quarters of a decibel, or [`SNR_UNKNOWN`].
    pub snr_quarter_db: i8,
    /// The frame, 1 to 255 bytes.
    pub frame: Vec<u8>,
}

/// Gateway to receiver: send a frame after a delay.
/// `02 · ticket u32 · delay_us u32 · frame`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tx {
    /// Comes back in [`Done`].
    pub ticket: u32,
    /// From the first byte of this packet on the wire to the frame's first
    /// symbol, microseconds.
    pub delay_us: u32,
    /// The frame, 1 to 255 bytes.
    pub frame: Vec<u8>,
}

/// Receiver to gateway: what became of a [`Tx`]. `03 · ticket u32 · result u8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The ticket of the [`Tx`].
    pub ticket: u32,
    /// 0: it left at its time; anything else: it did not.
    pub result: u8,
}

/// A packet of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// A frame was heard.
    Rx(Rx),
    /// Send a frame.
    Tx(Tx),
    /// What became of it.
    Done(Done),
}

impl Envelope {
    /// Reads a packet; `None` for an unknown type or a wrong length.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let framed = |head: usize| (head + 1..=head + 255).contains(&packet.len());
        match *packet.first()? {
            RX if framed(RX_HEAD) => Some(Self::Rx(Rx {
                age_us: word(packet, 1),
                rssi_dbm: i16::from_le_bytes([packet[5], packet[6]]),
                snr_quarter_db: i8::from_le_bytes([packet[7]]),
                frame: packet[RX_HEAD..].to_vec(),
            })),
            TX if framed(TX_HEAD) => Some(Self::Tx(Tx {
                ticket: word(packet, 1),
                delay_us: word(packet, 5),
                frame: packet[TX_HEAD..].to_vec(),
            })),
            DONE if packet.len() == DONE_BYTES => {
                Some(Self::Done(Done { ticket: word(packet, 1), result: packet[5] }))
            }
            _ => None,
        }
    }

    /// The bytes of the packet, before COBS.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Rx(rx) => [
                &[RX][..],
                &rx.age_us.to_le_bytes(),
                &rx.rssi_dbm.to_le_bytes(),
                &rx.snr_quarter_db.to_le_bytes(),
                &rx.frame,
            ]
            .concat(),
            Self::Tx(tx) => {
                [&[TX][..], &tx.ticket.to_le_bytes(), &tx.delay_us.to_le_bytes(), &tx.frame]
                    .concat()
            }
            Self::Done(done) => [&[DONE][..], &done.ticket.to_le_bytes(), &[done.result]].concat(),
        }
    }
}

/// The caller has checked that the packet reaches that far.
fn word(packet: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let rx = Envelope::Rx(Rx {
            age_us: 1_500,
            rssi_dbm: -97,
            snr_quarter_db: -10,
            frame: vec![0x41, 0x42],
        });
        assert_eq!(rx.to_bytes(), b"\x01\xDC\x05\0\0\x9F\xFF\xF6\x41\x42");
        let tx = Envelope::Tx(Tx { ticket: 7, delay_us: 100_000, frame: vec![0x61] });
        assert_eq!(tx.to_bytes(), b"\x02\x07\0\0\0\xA0\x86\x01\0\x61");
        let done = Envelope::Done(Done { ticket: 7, result: 0 });
        assert_eq!(done.to_bytes(), b"\x03\x07\0\0\0\0");
    }

    #[test]
    fn wrong_lengths_and_types_are_refused() {
        let longest = [&[RX; RX_HEAD][..], &[0; 255]].concat();
        assert!(Envelope::parse(&longest).is_some());
        let longer = [&longest[..], &[0]].concat();
        for packet in [&[][..], &[RX; 8], &[TX; 9], &[DONE; 5], &[DONE; 7], &[0x41; 24], &longer] {
            assert_eq!(Envelope::parse(packet), None, "{packet:02x?}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_is_what_was_written(packet in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(envelope) = Envelope::parse(&packet) {
                prop_assert_eq!(envelope.to_bytes(), packet);
            }
        }

        #[test]
        fn a_known_type_byte_parses_by_length(kind in 1u8..=3, rest in prop::collection::vec(any::<u8>(), 0..270)) {
            let packet = [&[kind][..], &rest].concat();
            let expected = match kind {
                RX => (9..=263).contains(&packet.len()),
                TX => (10..=264).contains(&packet.len()),
                _ => packet.len() == DONE_BYTES,
            };
            prop_assert_eq!(Envelope::parse(&packet).is_some(), expected);
        }
    }
}
