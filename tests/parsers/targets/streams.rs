//! Bytes of serial receivers.

use super::first;
use bytes::BytesMut;
use pendant_hal::FRAME_BYTES_MAX;
use pendant_hal::serial::{cobs, e22, echostream, envelope::Envelope, meshtastic, rak, rylr998};
use std::time::Duration;
use tokio::time::Instant;

/// All that `next` finds if the stream comes in pieces of so many bytes. What it leaves in
/// the buffer is bounded, whatever comes, and it finds no more than there are bytes.
fn found<T>(
    stream: &[u8],
    piece_bytes: usize,
    left_max: usize,
    mut next: impl FnMut(&mut BytesMut) -> Option<T>,
) -> Vec<T> {
    let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
    for piece in stream.chunks(piece_bytes) {
        buffer.extend_from_slice(piece);
        found.extend(std::iter::from_fn(|| next(&mut buffer)));
        assert!(buffer.len() <= left_max, "{} bytes are left", buffer.len());
        assert!(found.len() <= stream.len(), "more is found than came");
    }
    found
}

/// The first byte is the length of the pieces in which the others come.
fn pieces(data: &[u8]) -> (usize, &[u8]) {
    let (length, stream) = first(data);
    (usize::from(length).max(1), stream)
}

/// Packets in COBS, bare, in envelopes, and through an E22.
pub(crate) fn cobs(data: &[u8]) {
    let (piece, stream) = pieces(data);
    let packets = |piece| {
        let mut finder = cobs::Finder::default();
        found(stream, piece, cobs::ENCODED_BYTES_MAX, |buffer| finder.next(buffer))
    };
    let whole = packets(stream.len().max(1));
    assert_eq!(packets(piece), whole, "pieces change what is heard");
    for packet in whole {
        let cobs::Packet::Whole(bytes) = packet else { continue };
        assert!((1..cobs::ENCODED_BYTES_MAX).contains(&bytes.len()));
        let mut wire = BytesMut::from(&cobs::encode(&bytes)[..]);
        let again = cobs::Finder::default().next(&mut wire);
        assert_eq!(again, Some(cobs::Packet::Whole(bytes.clone())));
        if let Some(envelope) = Envelope::parse(&bytes) {
            assert_eq!(envelope.to_bytes(), bytes, "an envelope is read in one way");
        }
    }
    through_e22(stream, piece);
}

fn through_e22(stream: &[u8], piece: usize) {
    let now = Instant::now();
    let heard = |piece| {
        let mut finder = e22::Finder::default();
        found(stream, piece, cobs::ENCODED_BYTES_MAX, |buffer| finder.next(buffer, now))
    };
    for packet in heard(piece) {
        let e22::Heard::Packet { bytes, rssi_dbm, .. } = packet else { continue };
        assert!((1..cobs::ENCODED_BYTES_MAX).contains(&bytes.len()));
        assert!(rssi_dbm.is_none_or(|dbm| (-255..0).contains(&dbm)));
    }
    assert_eq!(heard(piece), heard(stream.len().max(1)), "pieces change what is heard");
}

/// Lines of AT modules: RYLR998 and RAK.
pub(crate) fn at_lines(data: &[u8]) {
    let (piece, stream) = pieces(data);
    let rylr = |piece| {
        let mut finder = rylr998::Finder::default();
        found(stream, piece, rylr998::LINE_BYTES_MAX, |buffer| finder.next(buffer))
    };
    for line in rylr(piece) {
        let rylr998::Line::Received { frame, .. } = line else { continue };
        let command = rylr998::send_command(&frame).expect("what came fits");
        assert!(!frame.is_empty() && command.len() <= rylr998::LINE_BYTES_MAX);
    }
    assert_eq!(rylr(piece), rylr(stream.len().max(1)), "pieces change what is heard");
    let rak = |piece| {
        let mut finder = rak::Finder::default();
        found(stream, piece, rak::LINE_BYTES_MAX, |buffer| finder.next(buffer))
    };
    for line in rak(piece) {
        match line {
            rak::Line::Received { frame, .. } => {
                assert!((1..=FRAME_BYTES_MAX).contains(&frame.len()));
            }
            rak::Line::Refused(words) => assert!(words.chars().count() <= 40),
            _ => {}
        }
    }
    assert_eq!(rak(piece), rak(stream.len().max(1)), "pieces change what is heard");
}

/// What nobody vouches for: Meshtastic and EchoStream.
pub(crate) fn radio_hints(data: &[u8]) {
    let (piece, stream) = pieces(data);
    let now = Instant::now();
    let later = now + Duration::from_secs(5);
    let mesh = |piece| {
        let mut finder = meshtastic::Finder::default();
        let left_max = meshtastic::MESSAGE_BYTES_MAX + 4;
        let mut told = found(stream, piece, left_max, |buffer| finder.next(buffer, now));
        // What is not whole in time is given up, and then nothing is waited for.
        told.retain(|message| *message != meshtastic::Message::Other);
        told
    };
    let told = mesh(piece);
    assert_eq!(told, mesh(stream.len().max(1)), "pieces change what is heard");
    for message in told {
        let meshtastic::Message::Packet(packet) = message else { continue };
        assert!(packet.payload.len() <= meshtastic::PAYLOAD_BYTES_MAX);
        assert!(meshtastic::PORTS.contains(&packet.port));
        assert!(packet.to_bytes().len() <= FRAME_BYTES_MAX, "it fits a link");
        assert!(packet.rssi_dbm.is_none_or(|dbm| (-200..=50).contains(&dbm)));
    }
    let echo = |piece| {
        let mut finder = echostream::Finder::default();
        found(stream, piece, usize::from(u8::MAX), |buffer| finder.next(buffer, now))
    };
    let told = echo(piece);
    assert_eq!(told, echo(stream.len().max(1)), "pieces change what is heard");
    for message in told {
        let echostream::Heard::Message(message) = message else { continue };
        assert_eq!(message.to_bytes().len(), echostream::MESSAGE_BYTES);
    }
    given_up(stream, now, later);
}

/// What is not whole in time is given up: afterwards nothing is waited for.
fn given_up(stream: &[u8], now: Instant, later: Instant) {
    let (mut mesh, mut buffer) = (meshtastic::Finder::default(), BytesMut::from(stream));
    while mesh.next(&mut buffer, now).is_some() {}
    let mut rounds = 0;
    while mesh.overdue().is_some() {
        while mesh.next(&mut buffer, later).is_some() {}
        rounds += 1;
        assert!(rounds <= stream.len(), "something is waited for without end");
        if mesh.overdue().is_some_and(|overdue| overdue > later) {
            break;
        }
    }
    let (mut echo, mut buffer) = (echostream::Finder::default(), BytesMut::from(stream));
    while echo.next(&mut buffer, now).is_some() {}
    if echo.overdue().is_some() {
        assert_eq!(echo.next(&mut buffer, later), Some(echostream::Heard::Bad));
    }
}
