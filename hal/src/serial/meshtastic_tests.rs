use super::*;
use crate::sim::meshtastic::{FromRadio, framed};
use proptest::prelude::*;

fn messages(stream: &[u8], step: usize) -> Vec<Message> {
    let now = Instant::now();
    let mut finder = Finder::default();
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for piece in stream.chunks(step) {
        buffer.extend_from_slice(piece);
        while let Some(message) = finder.next(&mut buffer, now) {
            found.push(message);
        }
        assert!(buffer.len() < HEAD_BYTES + MESSAGE_BYTES_MAX);
    }
    found
}

fn alert() -> Packet {
    Packet {
        from: 0xA1B2_C3D4,
        id: 7,
        port: 11,
        payload: b"help".to_vec(),
        rssi_dbm: Some(-97),
        snr_quarter_db: Some(-10),
    }
}

/// Written by hand after mesh.proto, so that reader and twin cannot share a mistake.
#[test]
fn an_alert_is_read_from_its_bytes() {
    let data = b"\x08\x0B\x12\x04help";
    let packet = [
        &b"\x0D\xD4\xC3\xB2\xA1\x15\xFF\xFF\xFF\xFF\x22\x08"[..],
        data,
        b"\x35\x07\0\0\0\x3D\x01\x02\x03\x04\x45\0\0\x20\xC0\x48\x03",
        b"\x60\x9F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
    ]
    .concat();
    let from_radio = [&[0x08, 0x01, 0x12, packet.len() as u8], &packet[..]].concat();
    let stream = [&[0x94, 0xC3, 0, from_radio.len() as u8], &from_radio[..]].concat();
    for step in [1, 3, 100] {
        assert_eq!(messages(&stream, step), [Message::Packet(alert())]);
    }
    assert_eq!(alert().to_bytes(), b"\xD4\xC3\xB2\xA1\x07\0\0\0\x0B\0help");
}

#[test]
fn what_else_the_radio_says_is_told_apart() {
    let unknown = |port| FromRadio::Packet(Packet { port, ..alert() });
    for (said, expected) in [
        (FromRadio::Packet(alert()), Message::Packet(alert())),
        (unknown(1), Message::Other),
        (FromRadio::Encrypted { from: 1, id: 2 }, Message::Encrypted),
        (FromRadio::ConfigComplete(69_420), Message::Answered),
        (FromRadio::ConfigComplete(69_421), Message::Other),
        (FromRadio::Rebooted, Message::Started),
        (FromRadio::Log("DEBUG | ready".into()), Message::Other),
    ] {
        assert_eq!(messages(&framed(&said.to_bytes()), 5), [expected], "{said:?}");
    }
    // Text between the messages, and a start that is none.
    let stream = [b"INFO  | \x94 boot\r\n\x94", &framed(&FromRadio::Rebooted.to_bytes())[..]];
    assert_eq!(messages(&stream.concat(), 1), [Message::Started]);
}

#[test]
fn what_is_asked_is_a_message_to_the_radio() {
    let start = ASK.iter().position(|byte| *byte == START[0]).expect("a head");
    let (head, message) = ASK[start..].split_at(HEAD_BYTES);
    assert_eq!(head, [0x94, 0xC3, 0, message.len() as u8]);
    // ToRadio.want_config_id.
    assert_eq!(fields(message).collect::<Vec<_>>(), [Ok((3, Value::Varint(ASKED)))]);
}

#[test]
fn a_length_that_cannot_be_costs_only_itself() {
    let alert = framed(&FromRadio::Packet(alert()).to_bytes());
    let stream = [&[0x94, 0xC3, 0x02, 0x01][..], &alert].concat();
    let [Message::Oversize, Message::Packet(_)] = &messages(&stream, 4)[..] else {
        panic!("{:?}", messages(&stream, 4));
    };
    // The longest.
    let longest = framed(&[0; MESSAGE_BYTES_MAX]);
    assert_eq!(messages(&longest, 9).len(), 1);
}

#[test]
fn a_payload_that_no_packet_has_is_refused() {
    let packet = |bytes| Packet { payload: vec![1; bytes], ..alert() };
    let said = |bytes| FromRadio::Packet(packet(bytes)).to_bytes();
    let longest = packet(PAYLOAD_BYTES_MAX);
    assert!(longest.to_bytes().len() <= crate::link::FRAME_BYTES_MAX);
    assert_eq!(messages(&framed(&said(PAYLOAD_BYTES_MAX)), 50), [Message::Packet(longest)]);
    assert_eq!(messages(&framed(&said(PAYLOAD_BYTES_MAX + 1)), 50), [Message::Bad]);
}

#[test]
fn numbers_that_no_receiver_measures_are_left_out() {
    assert_eq!([quarters(f32::NAN), quarters(1e30), quarters(-0.2)], [None, None, Some(-1)]);
    assert_eq!([level_dbm(0), level_dbm(i64::MIN), level_dbm(-40)], [None, None, Some(-40)]);
}

proptest! {
    #[test]
    fn any_bytes_are_survived_and_how_they_are_cut_does_not_matter(
        pieces in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            Just(vec![0x94, 0xC3, 0, 12]),
            Just(framed(&FromRadio::Packet(alert()).to_bytes())),
        ], 0..20),
        step in 1usize..300,
    ) {
        let stream = pieces.concat();
        prop_assert_eq!(messages(&stream, step), messages(&stream, 4096));
    }

    /// A false start hides what follows no longer than a message may take.
    #[test]
    fn rubbish_never_hides_the_message_after_it(rubbish: Vec<u8>) {
        let now = Instant::now();
        let mut finder = Finder::default();
        let stream = [rubbish, framed(&FromRadio::Packet(alert()).to_bytes())].concat();
        let mut buffer = BytesMut::from(&stream[..]);
        let mut found = Vec::new();
        for late in 0..=stream.len() as u32 {
            let now = now + late * WHOLE_WITHIN;
            found.extend(std::iter::from_fn(|| finder.next(&mut buffer, now)));
        }
        prop_assert_eq!(found.last(), Some(&Message::Packet(alert())));
        prop_assert_eq!(finder.overdue(), None);
    }
}

/// A byte that is lost on the line costs its message, not the next one.
#[test]
fn a_byte_that_is_lost_costs_its_own_message() {
    let first = framed(&FromRadio::Packet(Packet { id: 1, ..alert() }).to_bytes());
    let next = framed(&FromRadio::Packet(alert()).to_bytes());
    for lost in 0..first.len() {
        let stream = [&first[..lost], &first[lost + 1..], &next].concat();
        let mut finder = Finder::default();
        let mut buffer = BytesMut::from(&stream[..]);
        let now = Instant::now();
        let mut found: Vec<Message> =
            std::iter::from_fn(|| finder.next(&mut buffer, now)).collect();
        while let Some(overdue) = finder.overdue() {
            found.extend(std::iter::from_fn(|| finder.next(&mut buffer, overdue)));
        }
        assert_eq!(found.last(), Some(&Message::Packet(alert())), "{lost}: {found:?}");
    }
}
