use super::*;
use proptest::prelude::*;

const VERSIONS: [MqttVersion; 2] = [MqttVersion::V5, MqttVersion::V311];

fn publish(payload: Vec<u8>) -> Outgoing {
    Outgoing::Publish { pkid: 7, topic: "a/b".into(), payload: payload.into(), expiry_s: None }
}

/// A message as a broker sends it, and then an acknowledgement.
fn said(version: MqttVersion, payload: Vec<u8>) -> BytesMut {
    let mut bytes = BytesMut::new();
    version.write(publish(payload), &mut bytes).expect("said");
    version.write(Outgoing::PubAck(9), &mut bytes).expect("said");
    bytes
}

/// What is read if the bytes come in pieces of this length.
fn read(version: MqttVersion, bytes: &[u8], piece: usize) -> Vec<Incoming> {
    let (mut reader, mut input, mut read) = (Reader::new(version), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        input.extend_from_slice(piece);
        while let Some(incoming) = reader.next(&mut input).expect("MQTT") {
            read.push(incoming);
        }
    }
    assert!(input.is_empty());
    read
}

#[test]
fn both_versions_read_what_they_write_in_pieces_of_any_size() {
    for version in VERSIONS {
        let bytes = said(version, vec![b'x'; 300]);
        for piece in [1, 2, 3, 100, 1000] {
            let read = read(version, &bytes, piece);
            let Some((Incoming::Publish(message), rest)) = read.split_first() else {
                panic!("{version:?}: {read:?}");
            };
            assert_eq!((&message.topic[..], message.payload.len()), (&b"a/b"[..], 300));
            assert_eq!((message.pkid, message.retain), (Some(7), false));
            assert_eq!(rest, [Incoming::PubAck(9)]);
        }
    }
}

#[test]
fn of_what_is_too_large_by_3_1_1_the_beginning_is_read_and_what_follows_too() {
    for bytes in [BEGINNING_BYTES - 7, BEGINNING_BYTES - 6, 200_000, 3_000_000] {
        for piece in [1000, 65_536, usize::MAX] {
            let read = read(MqttVersion::V311, &said(MqttVersion::V311, vec![b'x'; bytes]), piece);
            let Some((Incoming::Publish(message), rest)) = read.split_first() else {
                panic!("{bytes}: {read:?}");
            };
            assert_eq!((&message.topic[..], message.pkid), (&b"a/b"[..], Some(7)));
            assert_eq!(message.payload.len(), bytes.min(BEGINNING_BYTES - 7));
            assert_eq!(rest, [Incoming::PubAck(9)], "what follows it is read");
        }
    }
}

#[test]
fn a_refusal_and_an_end_say_why() {
    let end = |version, bytes: &[u8]| match &read(version, bytes, 100)[..] {
        [Incoming::End(why)] => why.clone(),
        other => panic!("{other:?}"),
    };
    assert!(end(MqttVersion::V5, &[0x20, 3, 0, 0x87, 0]).contains("NotAuthorized"));
    assert!(end(MqttVersion::V311, &[0x20, 2, 0, 5]).contains("NotAuthorized"));
    assert!(end(MqttVersion::V5, &[0x90, 4, 0, 1, 0, 0x87]).contains("refuses to subscribe"));
    assert!(end(MqttVersion::V311, &[0x90, 3, 0, 1, 0x80]).contains("refuses to subscribe"));
    assert!(end(MqttVersion::V311, &[0x90, 3, 0, 1, 0]).contains("refuses"), "QoS 0 is too little");
    assert!(end(MqttVersion::V5, &[0xE0, 0]).contains("ends it"));
    assert!(end(MqttVersion::V5, &[0xE0, 2, 0x8B, 0]).contains("ServerShuttingDown"));
}

proptest! {
    #[test]
    fn no_bytes_of_a_broker_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for version in VERSIONS {
            let (mut reader, mut input) = (Reader::new(version), BytesMut::from(&bytes[..]));
            while let Ok(Some(_)) = reader.next(&mut input) {}
        }
    }
}
