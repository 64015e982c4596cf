use super::card::at;
use super::*;
use crate::engine::journal::medium_test::{BOOT, key};
use crate::engine::journal::slot::{Written, open};

fn clear() -> Clear {
    Clear {
        lsn: at(9, 6).0,
        durable_before: at(9, 4).0,
        previous_end: at(8, 3).0,
        tail: at(2, 1).0,
        boot: BOOT,
        next_file: Some(5),
    }
}

#[test]
fn a_frame_that_was_made_is_read_as_it_was_told() {
    let record = Plain::new(&Written::Released(Vec::new()));
    let frame = sealed(&key(), &clear(), &record.0[..]);
    let slot = frame.as_slice().try_into().expect("one frame");
    let header = Header::read(slot, 6).expect("a whole frame");
    let said = Clear {
        lsn: header.lsn.0,
        durable_before: header.durable_before.0,
        previous_end: header.previous_end.0,
        tail: header.tail.0,
        boot: header.boot,
        next_file: header.next_file,
    };
    assert_eq!(said, clear());
    let opened = open(&BootCipher::new(&key(), BOOT), &header, slot);
    assert_eq!(opened, Some(Record::Released(Vec::new())));
    // Of what is longer than a record, as much as fits.
    assert_eq!(sealed(&key(), &clear(), &[1; 500]), sealed(&key(), &clear(), &[1; RECORD_BYTES]));
}

#[test]
fn a_record_is_written_as_it_was_read_and_nothing_else_is() {
    let plain = Plain::new(&Written::Released(Vec::new()));
    let text = &plain.0[2..2 + plain.used()];
    assert_eq!(rewritten(text).as_deref(), Some(text));
    assert_eq!(rewritten(&[0xFF]), None);
}
