//! What must hold for all frames, not only for the vectors of the document.

use pendant_protocol::{
    Battery, Body, DownlinkMessage, EnrolmentKey, FRAME_BYTES, Forged, Instruction, Message,
    Outcome, ParseError, PendantId, PendantIdError, PinDigits, PinError, SealedDownlink,
    SealedUplink, Slot, Status,
};
use proptest::prelude::*;

const SECRET: [u8; 16] = [0xA5; 16];

/// Every bit is flipped; some of them where Miri interprets, which takes a second for each.
const BITS_APART: usize = if cfg!(miri) { 43 } else { 1 };

fn key() -> EnrolmentKey {
    EnrolmentKey::from_bytes(SECRET)
}

prop_compose! {
    fn pendants()(number in 1..=0xFF_FFFFu32) -> PendantId {
        PendantId::new(number).expect("in range")
    }
}

prop_compose! {
    fn slots()(number in 0..=31u8) -> Slot {
        Slot::new(number).expect("in range")
    }
}

prop_compose! {
    fn statuses()(byte in 0..=0x7Fu8) -> Status {
        Status::from_byte(byte)
    }
}

fn bodies() -> impl Strategy<Value = Body> {
    let place = any::<u16>;
    prop_oneof![
        place().prop_map(|place| Body::Heartbeat { place }),
        (place(), place()).prop_map(|(minutes, place)| Body::SessionStart { minutes, place }),
        (place(), place()).prop_map(|(minutes, place)| Body::SessionExtend { minutes, place }),
        place().prop_map(|place| Body::CheckIn { place }),
        "[0-9]{4,8}".prop_map(|text| Body::Pin(PinDigits::from_digits(text).expect("a PIN"))),
        place().prop_map(|place| Body::DiscreetPanic { place }),
        place().prop_map(|place| Body::Panic { place }),
        place().prop_map(|place| Body::ManDown { place }),
        place().prop_map(|place| Body::Fall { place }),
        place().prop_map(|place| Body::Tamper { place }),
        place().prop_map(|place| Body::TamperRestored { place }),
        place().prop_map(|place| Body::CancelAlert { place }),
        place().prop_map(|place| Body::Test { place }),
        place().prop_map(|place| Body::LowBattery { place }),
        place().prop_map(|place| Body::BatteryRestored { place }),
        (16..=255u8, any::<[u8; 4]>()).prop_map(|(kind, args)| Body::Unknown { kind, args }),
    ]
}

prop_compose! {
    fn messages()(status in statuses(), echo: u16, body in bodies()) -> Message {
        Message { status, echo, body }
    }
}

prop_compose! {
    fn answers()(
        outcome in prop::sample::select(vec![
            Outcome::Noted,
            Outcome::SessionStarted,
            Outcome::SessionExtended,
            Outcome::CheckedIn,
            Outcome::Ended,
            Outcome::WrongPin,
            Outcome::NothingToEnd,
            Outcome::Refused,
        ]),
        instruction in prop::sample::select(vec![
            Instruction::None,
            Instruction::Remind,
            Instruction::Vibrate,
            Instruction::Led,
        ]),
        minutes_left: u16,
    ) -> DownlinkMessage {
        DownlinkMessage { outcome, instruction, minutes_left }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(frame) = SealedUplink::parse(&bytes) {
            prop_assert_eq!(frame.open(&key().uplink()), Err(Forged));
        }
        if let Ok(frame) = SealedDownlink::parse(&bytes) {
            let key = key().downlink(frame.slot());
            prop_assert_eq!(frame.open(&key, u32::from(frame.counter_low())), Err(Forged));
        }
    }

    #[test]
    fn any_24_bytes_after_a_good_first_one_are_refused(
        bytes in any::<[u8; FRAME_BYTES]>(),
        slot in slots(),
    ) {
        let mut up = bytes;
        up[0] = 0x40;
        if let Ok(frame) = SealedUplink::parse(&up) {
            prop_assert_eq!(frame.open(&key().uplink()), Err(Forged));
        }
        let mut down = bytes;
        down[0] = 0x60 | slot.get();
        if let Ok(frame) = SealedDownlink::parse(&down) {
            let counter = u32::from(frame.counter_low());
            prop_assert_eq!(frame.open(&key().downlink(slot), counter), Err(Forged));
        }
    }

    #[test]
    fn an_uplink_comes_back_as_sealed(
        message in messages(), pendant in pendants(), counter: u32,
    ) {
        let key = key().uplink();
        let frame = message.seal(&key, pendant, counter);
        let sealed = SealedUplink::parse(&frame).expect("a frame");
        prop_assert_eq!(sealed.pendant(), pendant);
        prop_assert_eq!(sealed.counter(), counter);
        prop_assert_eq!(sealed.open(&key), Ok(message));
    }

    #[test]
    fn a_downlink_comes_back_as_sealed(
        answer in answers(), slot in slots(), pendant in pendants(), counter: u32, salt: u16,
    ) {
        let key = key().downlink(slot);
        let frame = answer.seal(&key, slot, pendant, counter, salt);
        let sealed = SealedDownlink::parse(&frame).expect("a frame");
        prop_assert_eq!(sealed.slot(), slot);
        prop_assert_eq!(sealed.pendant(), pendant);
        prop_assert_eq!(u32::from(sealed.counter_low()), counter & 0xFFFF);
        prop_assert_eq!(sealed.salt(), salt);
        prop_assert_eq!(sealed.open(&key, counter), Ok(answer));
    }

    #[test]
    fn one_flipped_bit_anywhere_is_refused(
        message in messages(), answer in answers(), slot in slots(), pendant in pendants(),
        counter: u32, salt: u16,
    ) {
        let (up, down) = (key().uplink(), key().downlink(slot));
        for bit in (0..FRAME_BYTES * 8).step_by(BITS_APART) {
            let mut frame = message.seal(&up, pendant, counter);
            frame[bit / 8] ^= 1 << (bit % 8);
            let opened = SealedUplink::parse(&frame).map(|frame| frame.open(&up));
            prop_assert!(matches!(opened, Err(_) | Ok(Err(Forged))), "uplink, bit {}", bit);

            // The pendant opens with the key of the slot that the frame names.
            let mut frame = answer.seal(&down, slot, pendant, counter, salt);
            frame[bit / 8] ^= 1 << (bit % 8);
            let opened = SealedDownlink::parse(&frame)
                .map(|frame| frame.open(&key().downlink(frame.slot()), counter));
            // The counter's low bits are the pendant's to compare: the cipher takes
            // its own counter, and authenticates the header besides.
            prop_assert!(matches!(opened, Err(_) | Ok(Err(Forged))), "downlink, bit {}", bit);
        }
    }

    #[test]
    fn what_was_sealed_with_anything_else_is_refused(
        answer in answers(), message in messages(), pendant in pendants(), slot in slots(),
        other_slot in slots(), counter: u32, other_counter: u32, salt: u16,
    ) {
        prop_assume!(slot != other_slot && counter != other_counter);
        let other = EnrolmentKey::from_bytes([0x5A; 16]);
        let up = SealedUplink::parse(&message.seal(&key().uplink(), pendant, counter))
            .expect("a frame");
        prop_assert_eq!(up.open(&other.uplink()), Err(Forged));

        let down = SealedDownlink::parse(
            &answer.seal(&key().downlink(slot), slot, pendant, counter, salt),
        )
        .expect("a frame");
        prop_assert_eq!(down.open(&other.downlink(slot), counter), Err(Forged));
        prop_assert_eq!(down.open(&key().downlink(other_slot), counter), Err(Forged));
        prop_assert_eq!(down.open(&key().downlink(slot), other_counter), Err(Forged));
        // The low half alone does not do.
        let wrapped = counter.wrapping_add(0x1_0000);
        prop_assert_eq!(down.open(&key().downlink(slot), wrapped), Err(Forged));
    }

    /// A frame is no good under another pendant's number, counter, slot or salt.
    #[test]
    fn a_header_belongs_to_its_seal(
        answer in answers(), message in messages(), pendant in pendants(), other in pendants(),
        slot in slots(), other_slot in slots(), counter: u32, other_counter: u32,
        salt: u16, other_salt: u16,
    ) {
        let uplink_key = key().uplink();
        let genuine = message.seal(&uplink_key, pendant, counter);
        for header in [
            &message.seal(&uplink_key, other, counter)[..8],
            &message.seal(&uplink_key, pendant, other_counter)[..8],
        ] {
            let mut moved = genuine;
            moved[..8].copy_from_slice(header);
            if moved != genuine {
                let moved = SealedUplink::parse(&moved).expect("a frame");
                prop_assert_eq!(moved.open(&uplink_key), Err(Forged));
            }
        }
        let downlink_key = key().downlink(slot);
        let genuine = answer.seal(&downlink_key, slot, pendant, counter, salt);
        for header in [
            &answer.seal(&downlink_key, slot, other, counter, salt)[..8],
            &answer.seal(&downlink_key, slot, pendant, other_counter, salt)[..8],
            &answer.seal(&downlink_key, other_slot, pendant, counter, salt)[..8],
            &answer.seal(&downlink_key, slot, pendant, counter, other_salt)[..8],
        ] {
            let mut moved = genuine;
            moved[..8].copy_from_slice(header);
            if moved != genuine {
                let moved = SealedDownlink::parse(&moved).expect("a frame");
                prop_assert_eq!(moved.open(&downlink_key, counter), Err(Forged));
            }
        }
    }

    /// The type of a frame already fixes its length; what is left to see is the
    /// header, and it depends on pendant and counter alone.
    #[test]
    fn kinds_differ_in_nothing_that_can_be_seen(
        one in messages(), other in messages(), pendant in pendants(), counter: u32,
    ) {
        let key = key().uplink();
        let (one, other) = (one.seal(&key, pendant, counter), other.seal(&key, pendant, counter));
        prop_assert_eq!(one[..8].to_vec(), other[..8].to_vec());
        prop_assert_eq!(one.len(), other.len());
    }

    #[test]
    fn a_pin_has_one_packed_form(text in "[0-9]{4,8}", packed: [u8; 4]) {
        let digits = PinDigits::from_digits(&text).expect("a PIN");
        prop_assert_eq!(PinDigits::from_packed(digits.packed()), Some(digits));
        let hex: String = digits.packed().iter().map(|byte| format!("{byte:02x}")).collect();
        prop_assert_eq!(hex.trim_end_matches('f'), &text);
        if let Some(digits) = PinDigits::from_packed(packed) {
            prop_assert_eq!(digits.packed(), packed);
            let hex: String = packed.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(PinDigits::from_digits(hex.trim_end_matches('f')), Ok(digits));
        }
    }

    /// Another digit, and one more: nothing is left out of the comparison.
    #[test]
    fn other_digits_are_another_pin(text in "[0-9]{4,7}", place in 0..4usize) {
        let pin = |text: &str| PinDigits::from_digits(text).expect("a PIN");
        let mut other = text.clone().into_bytes();
        other[place] = if other[place] == b'9' { b'0' } else { other[place] + 1 };
        let other = String::from_utf8(other).expect("digits");
        prop_assert!(pin(&text) == pin(&text));
        prop_assert!(pin(&text) != pin(&other));
        let longer = text.clone() + "0";
        prop_assert!(pin(&text) != pin(&longer));
    }

    #[test]
    fn a_pendant_number_is_written_in_one_way(pendant in pendants(), text in "\\PC{0,8}") {
        let label = pendant.to_string();
        prop_assert_eq!(label.len(), 6);
        prop_assert_eq!(label.parse(), Ok(pendant));
        prop_assert_eq!(PendantId::new(pendant.get()), Some(pendant));
        if let Ok(parsed) = text.parse::<PendantId>() {
            prop_assert_eq!(parsed.to_string(), text.to_lowercase());
        }
    }
}

#[test]
fn every_status_byte_comes_back_but_for_its_reserved_bit() {
    for byte in 0..=255 {
        assert_eq!(Status::from_byte(byte).to_byte(), byte & 0x7F);
    }
}

#[test]
fn battery_in_percent() {
    let percent = |fourteenths| Battery::from_fourteenths(fourteenths)?.percent();
    assert_eq!([0, 1, 7, 14].map(percent), [Some(0), Some(7), Some(50), Some(100)]);
    assert_eq!(Battery::from_fourteenths(15), None);
    assert_eq!(Battery::UNKNOWN.percent(), None);
    assert_eq!(Battery::default(), Battery::UNKNOWN);
}

#[test]
fn only_four_to_eight_digits_are_a_pin() {
    for text in ["", "123", "123456789"] {
        assert_eq!(PinDigits::from_digits(text), Err(PinError::Length), "{text:?}");
    }
    for text in ["12a4", "12 34", "+1234", "\u{661}\u{662}\u{663}\u{664}", "1234\n"] {
        assert_eq!(PinDigits::from_digits(text), Err(PinError::NotADigit), "{text:?}");
    }
}

#[test]
fn only_six_hexadecimal_digits_are_a_pendant() {
    for text in ["", "12f", "0012f", "0000012f", "+0012f", "0x012f", " 0012f", "00012g"] {
        assert_eq!(text.parse::<PendantId>(), Err(PendantIdError::Digits), "{text:?}");
    }
    assert_eq!("000000".parse::<PendantId>(), Err(PendantIdError::Zero));
    assert_eq!("00012F".parse(), Ok(PendantId::new(0x12F).expect("in range")));
    assert_eq!(PendantId::new(0), None);
    assert_eq!(PendantId::new(0x100_0000), None);
    assert_eq!(Slot::new(32), None);
}

#[test]
fn a_direction_does_not_pass_for_the_other() {
    let pendant = PendantId::new(1).expect("in range");
    let slot = Slot::new(0).expect("in range");
    let message =
        Message { status: Status::default(), echo: 0, body: Body::Heartbeat { place: 0 } };
    let answer = DownlinkMessage {
        outcome: Outcome::Noted,
        instruction: Instruction::None,
        minutes_left: 0,
    };
    let up = message.seal(&key().uplink(), pendant, 1);
    let down = answer.seal(&key().downlink(slot), slot, pendant, 1, 1);
    assert_eq!(SealedDownlink::parse(&up), Err(ParseError::Direction));
    assert_eq!(SealedUplink::parse(&down), Err(ParseError::Direction));
}

/// Whoever reads a log is told which check failed.
#[test]
fn every_refusal_says_what_is_wrong() {
    let texts = [
        (Forged.to_string(), "authenticate"),
        (ParseError::Length.to_string(), "24 bytes"),
        (ParseError::Version.to_string(), "version"),
        (ParseError::Direction.to_string(), "direction"),
        (ParseError::Reserved.to_string(), "reserved"),
        (ParseError::Pendant.to_string(), "pendant number 0"),
        (PendantIdError::Digits.to_string(), "six hexadecimal digits"),
        (PendantIdError::Zero.to_string(), "000000"),
        (PinError::Length.to_string(), "4 to 8 digits"),
        (PinError::NotADigit.to_string(), "digits only"),
    ];
    for (text, holds) in texts {
        assert!(text.contains(holds), "{text:?} says nothing of {holds:?}");
    }
}

#[test]
fn a_message_is_printed_with_what_it_asks_for() {
    let start = Body::SessionStart { minutes: 90, place: 7 };
    assert_eq!(format!("{start:?}"), "SessionStart { minutes: 90, place: 7 }");
    let extend = Body::SessionExtend { minutes: 15, place: 0 };
    assert_eq!(format!("{extend:?}"), "SessionExtend { minutes: 15, place: 0 }");
    assert_eq!(format!("{:?}", Body::CheckIn { place: 7 }), "CheckIn { place: 7 }");
}

/// Keys and digits in decimal, hexadecimal and as text must all be absent.
#[test]
fn nothing_secret_is_printed() {
    let digits = PinDigits::from_digits("8642").expect("a PIN");
    let nearly = Message {
        status: Status::default(),
        echo: 0,
        body: Body::Unknown { kind: 5, args: [0x86, 0x4F, 0xFF, 0xFF] },
    };
    let slot = Slot::new(1).expect("in range");
    assert_eq!(format!("{:?}", key()), "EnrolmentKey(..)");
    assert_eq!(format!("{:?}", key().uplink()), "UplinkKey(..)");
    assert_eq!(format!("{:?}", key().downlink(slot)), "DownlinkKey(..)");
    assert_eq!(format!("{digits:?}"), "PinDigits(..)");
    assert_eq!(format!("{:?}", Body::Pin(digits)), "Pin { .. }");
    assert_eq!(format!("{:?}", nearly.body), "Unknown { kind: 5, .. }");
    let all = format!("{nearly:#?}");
    assert!(!all.contains("134") && !all.contains("86"), "{all}");
}
