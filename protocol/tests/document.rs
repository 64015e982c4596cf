//! `docs/protocol.md` against the crate: every row of its tables of numbers and
//! every test vector. Firmware is written from that document alone, so it may
//! not say anything else than the code does.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use hkdf::Hkdf;
use pendant_protocol::{
    Body, DownlinkMessage, EnrolmentKey, FrameBytes, Instruction, Message, Outcome, PendantId,
    PinDigits, SealedDownlink, SealedUplink, Slot, Status,
};
use sha2::Sha256;
use std::collections::{BTreeMap, BTreeSet};

const DOCUMENT: &str = include_str!("../../docs/protocol.md");

const OUTCOMES: [Outcome; 8] = [
    Outcome::Noted,
    Outcome::SessionStarted,
    Outcome::SessionExtended,
    Outcome::CheckedIn,
    Outcome::Ended,
    Outcome::WrongPin,
    Outcome::NothingToEnd,
    Outcome::Refused,
];

const INSTRUCTIONS: [Instruction; 4] =
    [Instruction::None, Instruction::Remind, Instruction::Vibrate, Instruction::Led];

/// The lines under a heading, up to the next one.
fn section(heading: &str) -> impl Iterator<Item = &'static str> {
    let mut lines = DOCUMENT.lines();
    assert!(lines.any(|line| line == heading), "no heading {heading:?}");
    lines.take_while(|line| !line.starts_with('#'))
}

/// The rows of the table under a heading, without its head.
fn table<const COLUMNS: usize>(heading: &str) -> Vec<[&'static str; COLUMNS]> {
    let rows: Vec<_> = section(heading)
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells: Vec<_> = line
                .trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect();
            cells.try_into().unwrap_or_else(|_| panic!("not {COLUMNS} columns: {line}"))
        })
        .collect();
    assert!(!rows.is_empty(), "no table under {heading:?}");
    rows
}

fn number<N: TryFrom<u64>>(decimal: &str) -> N {
    let value: u64 = decimal.parse().unwrap_or_else(|_| panic!("no number: {decimal:?}"));
    N::try_from(value).unwrap_or_else(|_| panic!("too large: {decimal}"))
}

fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len() % 2 == 0, "half a byte: {hex}");
    (0..hex.len())
        .step_by(2)
        .map(|at| {
            u8::from_str_radix(&hex[at..at + 2], 16).unwrap_or_else(|_| panic!("no hex: {hex}"))
        })
        .collect()
}

fn array<const N: usize>(hex: &str) -> [u8; N] {
    bytes(hex).try_into().unwrap_or_else(|_| panic!("not {N} bytes: {hex}"))
}

fn pendant(label: &str) -> PendantId {
    label.parse().unwrap_or_else(|error| panic!("{label}: {error}"))
}

fn slot(decimal: &str) -> Slot {
    Slot::new(number(decimal)).unwrap_or_else(|| panic!("no slot: {decimal}"))
}

fn keys() -> BTreeMap<&'static str, &'static str> {
    table::<2>("### Vectors: keys").into_iter().map(|[name, value]| (name, value)).collect()
}

fn enrolment_key() -> EnrolmentKey {
    EnrolmentKey::from_bytes(array(keys()["enrolment key"]))
}

/// "minutes 90, place 7" -> 90 under "minutes", "7" under "place".
fn fields(arguments: &'static str) -> BTreeMap<&'static str, &'static str> {
    arguments
        .split(", ")
        .map(|field| field.split_once(' ').unwrap_or_else(|| panic!("no field: {field}")))
        .collect()
}

fn body(name: &str, arguments: &'static str) -> Body {
    let fields = fields(arguments);
    let place = fields.get("place").map_or(0, |place| number(place));
    let minutes = fields.get("minutes").map_or(0, |minutes| number(minutes));
    match name {
        "Heartbeat" => Body::Heartbeat { place },
        "SessionStart" => Body::SessionStart { minutes, place },
        "SessionExtend" => Body::SessionExtend { minutes, place },
        "CheckIn" => Body::CheckIn { place },
        "Pin" => Body::Pin(PinDigits::from_digits(fields["digits"]).expect("a PIN")),
        "DiscreetPanic" => Body::DiscreetPanic { place },
        "Panic" => Body::Panic { place },
        "ManDown" => Body::ManDown { place },
        "Fall" => Body::Fall { place },
        "Tamper" => Body::Tamper { place },
        "TamperRestored" => Body::TamperRestored { place },
        "CancelAlert" => Body::CancelAlert { place },
        "Test" => Body::Test { place },
        "LowBattery" => Body::LowBattery { place },
        "BatteryRestored" => Body::BatteryRestored { place },
        "Unknown" => {
            Body::Unknown { kind: number(fields["kind"]), args: array(fields["arguments"]) }
        }
        _ => panic!("no kind: {name}"),
    }
}

/// What `frame` holds under one of the document's keys, read with the bare block
/// cipher as section 5 describes it.
fn text_of(key: &str, direction: u8, counter: u32, slot: u8, frame: &FrameBytes) -> String {
    let mut block = [0; 16];
    block[0] = 1;
    block[1] = direction;
    block[2..5].copy_from_slice(&frame[1..4]);
    block[5..9].copy_from_slice(&counter.to_le_bytes());
    if direction == 1 {
        block[9] = slot;
        block[10..12].copy_from_slice(&frame[6..8]);
    }
    block[15] = 1;
    let stream = encrypt(&array(keys()[key]), block);
    frame[8..16].iter().zip(stream).map(|(sealed, key)| format!("{:02x}", sealed ^ key)).collect()
}

fn named<T: Copy + std::fmt::Debug>(all: &[T], name: &str) -> T {
    *all.iter()
        .find(|value| format!("{value:?}") == name)
        .unwrap_or_else(|| panic!("no such value: {name}"))
}

#[test]
fn kinds() {
    let rows = table::<4>("### Kinds");
    for [kind, name, arguments, _] in &rows {
        let example = match *arguments {
            "place" => "place 1",
            "minutes, place" => "minutes 1, place 1",
            "digits" => "digits 1234",
            other => panic!("no such arguments: {other}"),
        };
        let body = body(name, example);
        assert_eq!(body.kind(), number::<u8>(kind), "{name}");
        assert!(format!("{body:?}").starts_with(name), "{name}");
    }
    let numbers: Vec<u8> = rows.iter().map(|[kind, ..]| number(kind)).collect();
    assert_eq!(numbers, (1..=15).collect::<Vec<_>>());
}

#[test]
fn outcomes_and_instructions() {
    let outcomes: Vec<_> =
        table::<3>("### Outcomes").iter().map(|[n, name, _]| (number(n), *name)).collect();
    let expected: Vec<_> = OUTCOMES.iter().map(|o| (*o as u8, format!("{o:?}"))).collect();
    assert!(outcomes.iter().copied().eq(expected.iter().map(|(n, name)| (*n, name.as_str()))));

    let instructions: Vec<_> =
        table::<3>("### Instructions").iter().map(|[n, name, _]| (number(n), *name)).collect();
    let expected: Vec<_> = INSTRUCTIONS.iter().map(|i| (*i as u8, format!("{i:?}"))).collect();
    assert!(instructions.iter().copied().eq(expected.iter().map(|(n, name)| (*n, name.as_str()))));
}

#[test]
fn uplinks() {
    let key = enrolment_key().uplink();
    let mut kinds_seen = BTreeSet::new();
    for row in table::<8>("### Vectors: uplinks") {
        let [label, counter, name, arguments, status, echo, text, frame] = row;
        let (pendant, counter) = (pendant(label), number(counter));
        let message = Message {
            status: Status::from_byte(array::<1>(status)[0]),
            echo: number(echo),
            body: body(name, arguments),
        };
        let frame: FrameBytes = array(frame);
        assert_eq!(message.seal(&key, pendant, counter), frame, "{row:?}");
        assert_eq!(text_of("uplink key", 0, counter, 0, &frame), text, "{row:?}");

        let sealed = SealedUplink::parse(&frame).expect("a frame");
        assert_eq!((sealed.pendant(), sealed.counter()), (pendant, counter), "{row:?}");
        assert_eq!(sealed.bytes(), &frame);
        assert_eq!(sealed.tag().to_le_bytes(), frame[16..], "{row:?}");
        assert_eq!(sealed.open(&key), Ok(message), "{row:?}");
        kinds_seen.insert(message.body.kind());
    }
    assert!((1..=15).all(|kind| kinds_seen.contains(&kind)), "a kind has no vector");
}

#[test]
fn uplinks_that_only_a_receiver_meets() {
    let key = enrolment_key().uplink();
    for row in table::<6>("### Vectors: uplinks that only a receiver meets") {
        let [label, counter, text, frame, name, arguments] = row;
        let frame: FrameBytes = array(frame);
        assert_eq!(text_of("uplink key", 0, number(counter), 0, &frame), text, "{row:?}");
        let sealed = SealedUplink::parse(&frame).expect("a frame");
        assert_eq!((sealed.pendant(), sealed.counter()), (pendant(label), number(counter)));
        let opened = sealed.open(&key).expect("genuine");
        assert_eq!(opened.body, body(name, arguments), "{row:?}");
    }
}

#[test]
fn downlinks() {
    let (mut outcomes_seen, mut instructions_seen) = (BTreeSet::new(), BTreeSet::new());
    for row in table::<9>("### Vectors: downlinks") {
        let [slot_number, label, counter, salt, outcome, instruction, minutes_left, text, frame] =
            row;
        let (slot, pendant) = (slot(slot_number), pendant(label));
        let (counter, salt) = (number::<u32>(counter), number(salt));
        let key = enrolment_key().downlink(slot);
        let message = DownlinkMessage {
            outcome: named(&OUTCOMES, outcome),
            instruction: named(&INSTRUCTIONS, instruction),
            minutes_left: number(minutes_left),
        };
        let frame: FrameBytes = array(frame);
        assert_eq!(message.seal(&key, slot, pendant, counter, salt), frame, "{row:?}");
        let key_name = format!("downlink key, slot {slot_number}");
        assert_eq!(text_of(&key_name, 1, counter, slot.get(), &frame), text, "{row:?}");

        let sealed = SealedDownlink::parse(&frame).expect("a frame");
        assert_eq!((sealed.slot(), sealed.pendant(), sealed.salt()), (slot, pendant, salt));
        assert_eq!(u32::from(sealed.counter_low()), counter & 0xFFFF, "{row:?}");
        assert_eq!(sealed.open(&key, counter), Ok(message), "{row:?}");
        outcomes_seen.insert(outcome);
        instructions_seen.insert(instruction);
    }
    assert_eq!(outcomes_seen.len(), OUTCOMES.len(), "an outcome has no vector");
    assert_eq!(instructions_seen.len(), INSTRUCTIONS.len(), "an instruction has no vector");
}

#[test]
fn downlinks_of_a_later_version() {
    for row in table::<9>("### Vectors: downlinks of a later version") {
        let [slot_number, label, counter, salt, text, frame, outcome, instruction, minutes_left] =
            row;
        let (slot, counter) = (slot(slot_number), number(counter));
        let frame: FrameBytes = array(frame);
        let key_name = format!("downlink key, slot {slot_number}");
        assert_eq!(text_of(&key_name, 1, counter, slot.get(), &frame), text, "{row:?}");

        let expected = DownlinkMessage {
            outcome: named(&OUTCOMES, outcome),
            instruction: named(&INSTRUCTIONS, instruction),
            minutes_left: number(minutes_left),
        };
        let sealed = SealedDownlink::parse(&frame).expect("a frame");
        assert_eq!((sealed.pendant(), sealed.salt()), (pendant(label), number(salt)), "{row:?}");
        assert_eq!(sealed.open(&enrolment_key().downlink(slot), counter), Ok(expected), "{row:?}");
    }
}

#[test]
fn key_derivation() {
    let keys = keys();
    let enrolment: [u8; 16] = array(keys["enrolment key"]);
    let (prk, hkdf) = Hkdf::<Sha256>::extract(None, &enrolment);
    assert_eq!(prk[..], array::<32>(keys["HKDF PRK"]));
    for (name, value) in keys.iter().filter(|(name, _)| name.contains("link")) {
        let mut info = b"lonework/1 uplink".to_vec();
        if let Some(slot) = name.strip_prefix("downlink key, slot ") {
            info = [b"lonework/1 downlink".as_slice(), &[number(slot)]].concat();
        }
        let mut key = [0; 16];
        hkdf.expand(&info, &mut key).expect("short enough");
        assert_eq!(key, array(value), "{name}");
    }
}

#[test]
fn no_uplinks() {
    for [hex, reason] in table::<2>("### Vectors: no uplinks") {
        let error = SealedUplink::parse(&bytes(hex)).expect_err(hex);
        assert_eq!(format!("{error:?}"), reason, "{hex}");
    }
}

fn encrypt(key: &[u8; 16], block: [u8; 16]) -> [u8; 16] {
    let mut block = block.into();
    Aes128::new(key.into()).encrypt_block(&mut block);
    block.into()
}

fn xor<const N: usize>(a: [u8; N], b: [u8; N]) -> [u8; N] {
    std::array::from_fn(|at| a[at] ^ b[at])
}

/// Goes the document's steps with the bare block cipher, and comes to the frame
/// that the crate seals.
#[test]
fn worked_example() {
    let steps: BTreeMap<_, _> = section("### Vectors: worked example")
        .skip_while(|line| !line.starts_with("```"))
        .skip(1)
        .take_while(|line| !line.starts_with("```"))
        .map(|line| line.split_once(' ').expect("name and value"))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let step = |name: &str| array::<16>(steps[name]);
    let joined = |parts: &[&str]| array::<16>(&parts.concat());
    let first_half = |block: [u8; 16]| -> [u8; 8] { std::array::from_fn(|at| block[at]) };
    let (header, nonce, text) = (steps["header"], steps["nonce"], steps["text"]);

    assert_eq!(steps["key"], keys()["uplink key"]);
    assert_eq!(step("B0"), joined(&["59", nonce, "0008"]));
    assert_eq!(step("B1"), joined(&["0008", header, "000000000000"]));
    assert_eq!(step("B2"), joined(&[text, "0000000000000000"]));
    assert_eq!(step("A0"), joined(&["01", nonce, "0000"]));
    assert_eq!(step("A1"), joined(&["01", nonce, "0001"]));

    let key = step("key");
    assert_eq!(step("X1"), encrypt(&key, step("B0")));
    assert_eq!(step("X2"), encrypt(&key, xor(step("X1"), step("B1"))));
    assert_eq!(step("X3"), encrypt(&key, xor(step("X2"), step("B2"))));
    assert_eq!(step("S0"), encrypt(&key, step("A0")));
    assert_eq!(step("S1"), encrypt(&key, step("A1")));
    assert_eq!(array::<8>(steps["sealed"]), xor(array(text), first_half(step("S1"))));
    assert_eq!(array::<8>(steps["tag"]), xor(first_half(step("X3")), first_half(step("S0"))));
    assert_eq!(steps["frame"], [header, steps["sealed"], steps["tag"]].concat());
    assert!(table::<8>("### Vectors: uplinks").iter().any(|row| row[7] == steps["frame"]));
}

/// Semtech AN1200.13, section 4: 125 kHz, coding rate 4/5, preamble 8, explicit
/// header, CRC on, low data rate optimisation from SF11.
fn air_time_us(spreading_factor: u64, payload_bytes: u64) -> u64 {
    let optimised = if spreading_factor >= 11 { 2 } else { 0 };
    let bits = 8 * payload_bytes + 28 + 16 - 4 * spreading_factor;
    let groups = bits.div_ceil(4 * (spreading_factor - optimised));
    let symbol_us = 8 << spreading_factor;
    let preamble_quarters = 49;
    (preamble_quarters + 4 * (8 + 5 * groups)) * symbol_us / 4
}

#[test]
fn air_times() {
    for row in table::<5>("### Air time") {
        let spreading_factor = number(row[0].trim_start_matches("SF"));
        let milliseconds = |cell: &str| number::<u64>(cell.trim_end_matches(" ms"));
        let rounded = |us: u64| (us + 500) / 1000;
        let frame_us = air_time_us(spreading_factor, 24);
        assert_eq!(milliseconds(row[2]), rounded(frame_us), "{row:?}");
        assert_eq!(milliseconds(row[3]), rounded(air_time_us(spreading_factor, 32)), "{row:?}");
        assert_eq!(number::<u64>(row[4]), 36_000_000 / frame_us, "{row:?}");
    }
}
