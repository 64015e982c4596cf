//! Frames against a second reckoning of them, written from `docs/journal.md`, and the
//! borders of what counts as one.

use super::*;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use hmac::{Hmac, Mac};

const KEY: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";

/// Of the seventh frame of segment 9, each number another in every byte.
fn header() -> Header {
    Header {
        lsn: Lsn(9 * 2048 + 6),
        durable_before: Lsn(0x1234),
        previous_end: Lsn(0x2345),
        tail: Lsn(0x0789),
        boot: 0xF1E2_D3C4_B5A6_9788,
        next_file: Some(0x0C_0B_0A),
    }
}

fn plain() -> Plain {
    Plain(Box::new(std::array::from_fn(|at| (at * 7 + at / 256) as u8)))
}

fn sealed(header: &Header) -> Slot {
    let mut out = vec![0xEE; 3];
    seal(&BootCipher::new(&JournalKey(KEY), header.boot), header, &plain(), &mut out);
    assert_eq!(out[..3], [0xEE; 3], "what stood before stays");
    out[3..].try_into().expect("one frame")
}

/// CRC-32C, bit by bit.
fn crc_32c(bytes: impl IntoIterator<Item = u8>) -> u32 {
    !bytes.into_iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 * (crc & 1)))
    })
}

/// A frame with the checksum that belongs to what it says now.
fn checked(mut slot: Slot) -> Slot {
    let position = u64::from_le_bytes(slot[8..16].try_into().expect("8 bytes"));
    let crc = crc_32c((position / 2048).to_le_bytes().into_iter().chain(slot[4..].to_vec()));
    slot[..4].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn hmac_sha_256(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// The frame as the documents have it.
fn reckoned(header: &Header) -> Slot {
    let mut slot = [0; 512];
    slot[4] = 4;
    slot[5..8].copy_from_slice(&[0x0B, 0x0B, 0x0C]);
    slot[8..16].copy_from_slice(&[0x06, 0x48, 0, 0, 0, 0, 0, 0]);
    slot[16..18].copy_from_slice(&[0x34, 0x12]);
    slot[24..26].copy_from_slice(&[0x45, 0x23]);
    slot[32..34].copy_from_slice(&[0x89, 0x07]);
    slot[40..48].copy_from_slice(&[0x88, 0x97, 0xA6, 0xB5, 0xC4, 0xD3, 0xE2, 0xF1]);
    // RFC 5869: what is extracted without salt, and the first block of what is expanded.
    let extracted = hmac_sha_256(&[0; 32], &KEY);
    let info = [&b"lonework/1 journal "[..], &slot[40..48], &[1]].concat();
    let cipher = ChaCha20Poly1305::new(&hmac_sha_256(&extracted, &info).into());
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&header.lsn.0.to_le_bytes());
    let mut text = *plain().0;
    let tag = cipher
        .encrypt_inout_detached(&nonce.into(), &slot[4..48], (&mut text[..]).into())
        .expect("448 bytes");
    slot[48..496].copy_from_slice(&text);
    slot[496..].copy_from_slice(&tag);
    checked(slot)
}

#[test]
fn a_frame_has_the_bytes_that_the_documents_say() {
    assert_eq!(crc_32c(*b"123456789"), 0xE306_9283, "the check value of CRC-32C");
    let (sealed, reckoned) = (sealed(&header()), reckoned(&header()));
    for part in [0..4, 4..5, 5..8, 8..16, 16..24, 24..32, 32..40, 40..48, 48..496, 496..512] {
        assert_eq!(sealed[part.clone()], reckoned[part.clone()], "bytes {part:?}");
    }
}

#[test]
fn another_boot_and_another_store_have_keys_of_their_own() {
    let key = |store: [u8; 32], boot| *JournalKey(store).of_boot(boot);
    assert_ne!(key(KEY, 1), key(KEY, 2));
    assert_ne!(key(KEY, 1), key([0; 32], 1));
    assert_eq!(format!("{:?}", JournalKey(KEY)), "JournalKey(..)");
}

#[test]
fn a_frame_opens_as_it_was_sealed_and_no_other_way() {
    let runs: Vec<Run> = (1..=24).map(|n| Run { first: u64::MAX / n, count: u32::MAX }).collect();
    // Of more than half a frame, and the shortest that there is.
    for record in [Written::Released(runs), Written::Released(Vec::new())] {
        let (header, plain) = (header(), Plain::new(&record));
        let expected = match record {
            Written::Released(runs) => Some(Record::Released(runs)),
            _ => None,
        };
        assert_eq!(plain.record(), expected);
        let cipher = BootCipher::new(&JournalKey(KEY), header.boot);
        let mut out = Vec::new();
        seal(&cipher, &header, &plain, &mut out);
        let slot: Slot = out.try_into().expect("one frame");
        assert_eq!(open(&cipher, &header, &slot), expected);
        let elsewhere = Header { lsn: header.lsn.next(), ..header };
        assert_eq!(open(&cipher, &elsewhere, &slot), None);
        let other = BootCipher::new(&JournalKey(KEY), header.boot + 1);
        assert_eq!(open(&other, &header, &slot), None);
        for at in 4..SLOT_BYTES {
            let mut altered = slot;
            altered[at] ^= 1;
            assert_eq!(open(&cipher, &header, &altered), None, "byte {at}");
        }
    }
}

#[test]
fn a_record_is_as_long_as_it_says() {
    let written = Plain::new(&Written::Released(vec![Run { first: 5, count: 1 }]));
    let said = |used: u16| {
        let mut plain = written.clone();
        plain.0[..2].copy_from_slice(&used.to_le_bytes());
        plain.record()
    };
    let whole = said(written.used() as u16);
    assert!(whole.is_some());
    assert_eq!(said(written.used() as u16 - 1), None);
    // Zeros behind a record are none of it; what is beyond the frame is not there.
    assert_eq!([said(446), said(447), said(u16::MAX)], [whole, None, None]);
}

#[test]
fn a_header_is_read_of_a_whole_frame_at_its_place() {
    let (slot, index) = (sealed(&header()), 6);
    assert_eq!(Header::read(&slot, index), Some(header()));
    assert_eq!([0, 5, 7].map(|other| Header::read(&slot, other)), [None; 3]);
    assert_eq!(Header::read(&[0; SLOT_BYTES], 0), None);
    for at in 0..SLOT_BYTES {
        let mut flipped = slot;
        flipped[at] ^= 0x10;
        assert_eq!(Header::read(&flipped, index), None, "byte {at}");
        assert!(!is_of_other_version(&flipped), "byte {at}");
    }
    for next_file in [None, Some(0), Some(0xFF_FFFE)] {
        let header = Header { next_file, ..header() };
        assert_eq!(Header::read(&sealed(&header), index), Some(header));
    }
}

#[test]
fn a_header_that_no_gateway_writes_is_none() {
    let here = header();
    let first = Lsn::first_of(9);
    let last_segment = Lsn::first_of((1 << 40) - 1);
    let possible = [
        here,
        Header { durable_before: here.lsn, ..here },
        Header { tail: here.lsn, ..here },
        Header { previous_end: first, ..here },
        Header { lsn: Lsn(last_segment.0 + 6), ..here },
        Header { lsn: first, durable_before: first, tail: first, previous_end: first, ..here },
    ];
    for header in possible {
        let read = Header::read(&sealed(&header), header.lsn.index());
        assert_eq!(read, Some(header));
    }
    let impossible = [
        Header { durable_before: here.lsn.next(), ..here },
        Header { tail: here.lsn.next(), ..here },
        Header { previous_end: first.next(), ..here },
        Header { lsn: Lsn(Lsn::first_of(1 << 40).0 + 6), ..here },
        Header { lsn: Lsn(u64::MAX), ..here },
    ];
    for header in impossible {
        assert_eq!(Header::read(&sealed(&header), header.lsn.index()), None, "{header:?}");
    }
}

#[test]
fn a_whole_frame_of_another_version_is_told_from_garbage() {
    let ours = sealed(&header());
    assert!(!is_of_other_version(&ours));
    for version in [0, 3, 5, 255] {
        let mut other = ours;
        other[4] = version;
        assert!(!is_of_other_version(&other), "the checksum is of version 4");
        let mut other = checked(other);
        assert!(is_of_other_version(&other));
        assert_eq!(Header::read(&other, 6), None);
        other[0] ^= 1;
        assert!(!is_of_other_version(&other));
    }
    // No version has a frame at position 0; a file that is all zeros has no version.
    let zeros = [0; SLOT_BYTES];
    assert!(![zeros, checked(zeros)].iter().any(is_of_other_version));
}
