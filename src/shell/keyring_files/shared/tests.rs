use super::*;
use crate::engine::lorawan::{Activation, SecretKey};
use crate::engine::pin::{Entered, PinVerifier};
use pendant_protocol::{EnrolmentKey, PinDigits};
use std::collections::BTreeSet;

fn slot(number: u8) -> Slot {
    Slot::new(number).expect("a slot")
}

fn receiver(number: u8) -> Receiver {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let key = StoreKey::make(&folder.path().join("store.key")).expect("nothing there");
    Receiver::new(&key, slot(number))
}

fn digits(text: &str) -> PinDigits {
    PinDigits::from_digits(text).expect("digits")
}

fn enrolment(number: u32, pins: bool) -> Enrolment {
    let pins = pins.then(|| PinVerifier::new([7; 32], digits("2580"), digits("7391")));
    Enrolment {
        pendant: PendantId::new(number).expect("within the range"),
        id: 0x0123_4567_89ab_cdef,
        wearer: Name::new("m.okafor").expect("a name"),
        secrets: Secrets::Native { key: EnrolmentKey::from_bytes([0xA5; 16]), pins },
    }
}

fn from() -> Sender {
    Sender {
        site: Name::new("harbour").expect("a name"),
        gateway: Name::new("crane-2").expect("a name"),
        slot: slot(3),
        role: DownlinkRole::Secondary,
    }
}

fn sealed(to: &Receiver) -> Vec<u8> {
    seal(&[enrolment(1, true), enrolment(2, false)], &from(), &to.key).expect("native ones")
}

#[test]
fn what_was_sealed_opens_whole_at_the_one_gateway() {
    let receiver = receiver(4);
    let file = sealed(&receiver);
    assert_eq!(file.len(), 17 + 32 + 3 * 256 + 16, "as the document says");
    let shared = receiver.open(&file).expect("its own");
    assert_eq!(shared.from, from());
    let [one, two] = &shared.enrolments[..] else { panic!("{:?}", shared.enrolments) };
    assert_eq!(compare(one, &enrolment(1, true)), Likeness::Same);
    assert_eq!(compare(two, &enrolment(2, false)), Likeness::Same);
    let Secrets::Native { pins: Some(pins), .. } = &one.secrets else { panic!("{one:?}") };
    assert!(pins.judge(digits("2580")) == Entered::Safe);
    assert!(pins.judge(digits("7391")) == Entered::Duress);
    assert!(pins.judge(digits("2581")) == Entered::Wrong);
    assert_ne!(file, sealed(&receiver), "no two seals are alike");
    assert_eq!(self::receiver(4).open(&file).err(), Some(SharedError::Sealed));
}

#[test]
fn not_a_byte_may_be_altered_missing_or_too_many() {
    let receiver = receiver(4);
    let file = sealed(&receiver);
    for at in 0..file.len() {
        let mut other = file.clone();
        other[at] ^= 1;
        assert!(receiver.open(&other).is_err(), "byte {at}");
        assert!(receiver.open(&file[..at]).is_err(), "cut at {at}");
    }
    for more in [1, 256] {
        assert!(receiver.open(&[&file[..], &vec![0; more]].concat()).is_err());
    }
    assert_eq!(receiver.open(b"number,wearer\n").err(), Some(SharedError::NotShared));
    let newer = [b"lonework share 2\n", &file[17..]].concat();
    assert_eq!(receiver.open(&newer).err(), Some(SharedError::Version));
    // Whole blocks are missing: only the seal tells.
    let shorter = [&file[..17 + 32 + 256], &file[file.len() - 16..]].concat();
    assert_eq!(receiver.open(&shorter).err(), Some(SharedError::Sealed));
}

#[test]
fn what_somebody_else_sealed_is_held_against_the_format() {
    let text = |enrolments: &[Enrolment]| {
        let mut text = Vec::new();
        put(
            &SenderContent { slot: 3, role: 2, site: from().site, gateway: from().gateway },
            &mut text,
        );
        enrolments.iter().for_each(|one| put(&Content::from(one), &mut text));
        text
    };
    let good = text(&[enrolment(1, true), enrolment(2, false)]);
    assert_eq!(read(&good).expect("good").enrolments.len(), 2);
    let (mut bought, mut nobody) = (enrolment(3, false), enrolment(3, false));
    bought.secrets = Secrets::LoRaWan(Activation::Abp {
        dev_addr: 1,
        nwk_s_key: SecretKey::from_bytes([1; 16]),
        app_s_key: SecretKey::from_bytes([2; 16]),
    });
    nobody.id = 0;
    let claimed = Enrolment { secrets: Secrets::Claimed { number: 7 }, ..enrolment(3, false) };
    let (one, two) = (enrolment(1, true), enrolment(2, false));
    let wrong = [
        text(&[]),
        text(&[one.clone(), bought.clone()]),
        text(&[one.clone(), nobody]),
        text(&[one.clone(), claimed]),
        text(&[one.clone(), one.clone()]),
        text(&[two, one.clone()]),
        good[256..].to_vec(),
        Vec::new(),
    ];
    for text in wrong {
        assert!(matches!(read(&text), Err(SharedError::Malformed(_))), "{text:?}");
    }
    // A length beyond the block, something behind the content, a slot and a role too high.
    for (at, value) in [(257, 1), (511, 1), (2, 32), (3, 3)] {
        let mut text = good.clone();
        text[at] = value;
        assert!(matches!(read(&text), Err(SharedError::Malformed(_))), "byte {at}");
    }
    assert_eq!(read(&good[..good.len() - 1]).err(), Some(SharedError::Length));
    assert!(seal(&[one, bought], &from(), &receiver(4).key).is_err(), "nor are they written");
}

#[test]
fn the_longest_enrolment_fits_its_block() {
    let mut longest = enrolment(0xFF_FFFF, true);
    longest.wearer = Name::new(&"w".repeat(32)).expect("the longest");
    longest.id = u64::MAX;
    let receiver = receiver(4);
    let file = seal(&[longest.clone()], &from(), &receiver.key).expect("it fits");
    let shared = receiver.open(&file).expect("its own");
    assert_eq!(compare(&shared.enrolments[0], &longest), Likeness::Same);
    let many: Vec<_> = (1..=4001).map(|number| enrolment(number, true)).collect();
    assert!(seal(&many, &from(), &receiver.key).is_err());
    let file = seal(&many[..4000], &from(), &receiver.key).expect("as many as there may be");
    assert_eq!(file.len(), SHARED_BYTES_MAX);
    assert_eq!(receiver.open(&file).expect("its own").enrolments.len(), 4000);
}

#[test]
fn a_receiving_key_is_the_store_s() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let key = StoreKey::make(&folder.path().join("store.key")).expect("nothing there");
    let text = Receiver::new(&key, slot(5)).key.to_string();
    assert_eq!(text, Receiver::new(&key, slot(5)).key.to_string(), "for ever the same");
    assert!(text.starts_with("LWG1:05") && text.len() == 75, "{text}");
    let read: ReceivingKey = text.to_lowercase().parse().expect("its own");
    assert_eq!((read.slot(), read.to_string()), (slot(5), text.clone()));
    for wrong in ["", "LWG1:", &text[1..], &text[..74], &format!("{text}0")] {
        assert!(wrong.parse::<ReceivingKey>().is_err(), "{wrong}");
    }
    let other = receiver(5);
    assert_ne!(read.fingerprint(), other.key.fingerprint());
    let code = read.fingerprint();
    assert_eq!(code.to_string().len(), 24);
    assert_eq!(code.to_string().to_lowercase().parse(), Ok(code));
    assert_eq!(code.to_string().replace('-', "").parse(), Ok(code));
    assert!("1234".parse::<Code>().is_err());
}

/// Of one key, since one slip in 65,536 goes through.
#[test]
fn a_wrong_digit_of_a_receiving_key_is_found() {
    let key = <Suite as Kem>::PublicKey::from_bytes(&[9; KEY_BYTES]).expect("a point");
    let text = ReceivingKey { key, slot: slot(5) }.to_string();
    let mut told = BTreeSet::new();
    for at in 5..text.len() {
        let mut other = text.clone().into_bytes();
        other[at] = if other[at] == b'7' { b'8' } else { b'7' };
        let other = String::from_utf8(other).expect("digits");
        told.insert(other.parse::<ReceivingKey>().expect_err("a slip"));
    }
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn a_new_wearer_is_told_from_a_new_enrolment() {
    let one = enrolment(1, true);
    let wearer = Name::new("a.silva").expect("a name");
    assert_eq!(compare(&one, &Enrolment { wearer, ..one.clone() }), Likeness::HandedOver);
    assert_eq!(compare(&one, &enrolment(1, false)), Likeness::HandedOver);
    assert_eq!(compare(&one, &Enrolment { id: 7, ..one.clone() }), Likeness::Other);
    let key = EnrolmentKey::from_bytes([1; 16]);
    let secrets = Secrets::Native { key, pins: None };
    assert_eq!(compare(&one, &Enrolment { secrets, ..one.clone() }), Likeness::Other);
    let secrets = Secrets::Claimed { number: 1 };
    assert_eq!(compare(&one, &Enrolment { secrets, ..one.clone() }), Likeness::Other);
}
