//! Frames of pendants that nobody vouches for: what a Meshtastic radio or an Inovonics
//! receiver tells on its serial port. They have a number, and no code that proves it.
//! Links that bring such frames are off unless a site asks for them, every event of
//! such a pendant says `authentication: none`, and none of them starts, extends,
//! cancels or ends anything (`deduplicate.rs`).

/// What pendants speak on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speech {
    /// Frames of the native protocol, and of LoRaWAN.
    #[default]
    LoRa,
    /// Packets of a mesh: sender u32, packet u32, port u16, payload; little-endian.
    Meshtastic,
    /// Messages of 15 bytes: originator, first hop, hops, class, type, two bytes of
    /// status, level, margin.
    EchoStream,
}

impl Speech {
    /// Whether what comes so could be anybody's.
    #[must_use]
    pub const fn is_unvouched(self) -> bool {
        !matches!(self, Self::LoRa)
    }
}

/// What a frame claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim<'b> {
    /// The device's number, as it says.
    pub(super) number: u32,
    /// Tells a repetition from another frame, as far as anything does.
    pub(super) tag: u64,
    pub(super) port: u8,
    pub(super) payload: &'b [u8],
}

/// Meshtastic's port for frames of one's own: a native frame through a mesh.
const PRIVATE_PORT: u16 = 256;

/// What a link brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brought<'b> {
    /// A frame that has its own proof.
    Frame(&'b [u8]),
    Claim(Claim<'b>),
}

/// Takes a link's frame apart; `None` if it is none of that link's.
pub(super) fn brought(speech: Speech, bytes: &[u8]) -> Option<Brought<'_>> {
    match speech {
        Speech::LoRa => Some(Brought::Frame(bytes)),
        Speech::Meshtastic => meshtastic(bytes),
        Speech::EchoStream => echostream(bytes).map(Brought::Claim),
    }
}

fn meshtastic(bytes: &[u8]) -> Option<Brought<'_>> {
    let (head, payload) = bytes.split_first_chunk::<10>()?;
    let [a, b, c, d, e, f, g, h, port @ ..] = *head;
    let port = u16::from_le_bytes(port);
    if port == PRIVATE_PORT {
        return Some(Brought::Frame(payload));
    }
    Some(Brought::Claim(Claim {
        number: u32::from_le_bytes([a, b, c, d]),
        tag: u32::from_le_bytes([e, f, g, h]).into(),
        port: u8::try_from(port).ok()?,
        payload,
    }))
}

fn echostream(bytes: &[u8]) -> Option<Claim<'_>> {
    let message: &[u8; 15] = bytes.try_into().ok()?;
    let [a, b, c, d, ..] = *message;
    // Class to STAT0: repeaters and levels differ from copy to copy.
    let status = &message[9..13];
    let tag = u32::from_le_bytes(status.try_into().expect("four bytes")).into();
    Some(Claim { number: u32::from_be_bytes([a, b, c, d]), tag, port: 0, payload: status })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mesh_s_packet_is_a_claim_or_carries_a_frame_with_its_own_proof() {
        let packet = |port: u16, payload: &[u8]| {
            [
                &0x1234_ABCD_u32.to_le_bytes()[..],
                &77_u32.to_le_bytes(),
                &port.to_le_bytes(),
                payload,
            ]
            .concat()
        };
        let claim = Claim { number: 0x1234_ABCD, tag: 77, port: 11, payload: b"help" };
        let bytes = packet(11, b"help");
        assert_eq!(brought(Speech::Meshtastic, &bytes), Some(Brought::Claim(claim)));
        let bytes = packet(256, b"native");
        assert_eq!(brought(Speech::Meshtastic, &bytes), Some(Brought::Frame(b"native")));
        assert_eq!(brought(Speech::Meshtastic, &bytes[..9]), None);
        assert_eq!(brought(Speech::Meshtastic, &packet(300, b"")), None);
        assert_eq!(brought(Speech::LoRa, b"any"), Some(Brought::Frame(b"any")));
    }

    #[test]
    fn copies_by_two_repeaters_claim_the_same() {
        let message = |hop: u8, level: u8, stat1: u8| {
            [0, 1, 2, 3, 9, 9, 9, hop, hop, 0x62, 0x01, stat1, 0x08, level, 3]
        };
        let one = message(1, 80, 1);
        let claim = Claim { number: 0x0001_0203, tag: 0x0801_0162, port: 0, payload: &one[9..13] };
        assert_eq!(brought(Speech::EchoStream, &one), Some(Brought::Claim(claim)));
        let tag = |bytes: &[u8]| match brought(Speech::EchoStream, bytes) {
            Some(Brought::Claim(claim)) => claim.tag,
            other => panic!("{other:?}"),
        };
        assert_eq!(tag(&one), tag(&message(2, 30, 1)));
        assert_ne!(tag(&one), tag(&message(1, 80, 2)));
        assert_eq!(brought(Speech::EchoStream, &one[..14]), None);
    }

    #[test]
    fn only_frames_of_lora_have_their_own_proof() {
        assert!(!Speech::LoRa.is_unvouched());
        assert!(Speech::Meshtastic.is_unvouched() && Speech::EchoStream.is_unvouched());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for speech in [Speech::LoRa, Speech::Meshtastic, Speech::EchoStream] {
                let _ = brought(speech, &bytes);
            }
        }
    }
}
