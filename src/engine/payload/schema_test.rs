//! `docs/schemas/event.json` against what the engine publishes: it takes each kind
//! with what belongs to it, and nothing else. The examples in the documents are
//! what the engine writes.

use super::json_test::{any_event, any_number, any_wall, voice};
use super::*;
use crate::engine::air::Sign;
use crate::engine::event::{Authentication, EndedBoot, EventIdKey, Stamp};
use crate::engine::seam::{LinkId, Signal};
use crate::engine::time::{Mono, WallSource};
use jsonschema::Validator;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const EVENT_JSON: &str = include_str!("../../../docs/schemas/event.json");
const RECEIPT_JSON: &str = include_str!("../../../docs/schemas/receipt.json");
const MQTT_MD: &str = include_str!("../../../docs/mqtt.md");
const CENTRE_MD: &str = include_str!("../../../docs/centre.md");
/// 2026-01-02T03:04:05.678Z
const UNIX_MS: i64 = 1_767_323_045_678;

fn schema() -> Value {
    serde_json::from_str(EVENT_JSON).expect("the schema is JSON")
}

fn validator(schema: &Value) -> Validator {
    let options = jsonschema::options().should_validate_formats(true);
    options.build(schema).expect("the schema is one of draft 2020-12")
}

/// Numbers and times that the generator makes and no gateway.
fn possible(mut event: Event) -> Event {
    event.number = event.number.max(1);
    if let Some(heard) = event.from.as_mut().and_then(|from| from.heard.as_mut()) {
        let factor = &mut heard.signal.spreading_factor;
        *factor = factor.map(|factor| 5 + factor % 8);
        if let Some(position) = &mut heard.position {
            position.latitude_e6 %= 90_000_001;
            position.longitude_e6 %= 180_000_001;
        }
    }
    match &mut event.detail {
        Detail::Void { first, last, .. } => (*first, *last) = ((*first).max(1), (*last).max(1)),
        Detail::Pendant(pendant) => *pendant &= 0xFF_FFFF,
        Detail::GivenUp { pendants } if pendants.is_empty() => pendants.push((1, 0)),
        Detail::Unreadable { enrolments, pendants } => {
            *enrolments = (*enrolments).max(1);
            if pendants.is_empty() {
                pendants.push(1);
            }
        }
        _ => {}
    }
    event
}

/// What the engine says of whom. Kinds are named one by one, so that a new one asks.
pub(in crate::engine) fn belongs(event: &Event) -> bool {
    use Kind as K;
    let (of_pendant, by_timer) = match event.kind {
        K::Overdue | K::SupervisionLost => (true, true),
        K::Tamper
        | K::TamperRestored
        | K::LowBattery
        | K::BatteryRestored
        | K::SupervisionRestored => (true, false),
        K::GatewayTest => (false, false),
        kind => (kind.lane() != Lane::Trouble, false),
    };
    let from_fits = match &event.from {
        None => !of_pendant,
        Some(from) => of_pendant && !(by_timer && from.heard.is_some()),
    };
    from_fits && detail_fits(event.kind, &event.detail)
}

fn detail_fits(kind: Kind, detail: &Detail) -> bool {
    use Kind as K;
    let nothing = matches!(detail, Detail::None | Detail::Started { previous: None });
    match kind {
        K::SessionStarted | K::SessionExtended | K::CheckedIn => {
            matches!(detail, Detail::Session { .. })
        }
        K::Overdue => matches!(detail, Detail::Overdue { .. }),
        K::ManDown | K::Fall => nothing || matches!(detail, Detail::Late { .. }),
        K::GatewayStarted => nothing || matches!(detail, Detail::Started { .. }),
        K::ReceptionSuspect => matches!(detail, Detail::Times(_)),
        K::LinkUp | K::LinkDown | K::AirtimeSpent => matches!(detail, Detail::Link(_)),
        K::JournalDamage => matches!(detail, Detail::Damage { .. } | Detail::Void { .. }),
        K::EventsShed => matches!(detail, Detail::Void { .. } | Detail::GivenUp { .. }),
        K::BrokerRefused => matches!(detail, Detail::Refused { .. }),
        K::CentreSilent
        | K::CentreHeard
        | K::BrokerLost
        | K::BrokerBack
        | K::CertificateAccepted => {
            matches!(detail, Detail::Broker(_))
        }
        K::CounterStale => matches!(detail, Detail::Pendant(_)),
        K::CertificateEnding | K::CertificateEnded | K::CertificateRenewed => {
            matches!(detail, Detail::Certificate { .. })
        }
        K::CertificateRefused => matches!(detail, Detail::Unfit { .. }),
        K::EnrolmentUnreadable => matches!(detail, Detail::Unreadable { .. }),
        K::JammingSuspected | K::JammingOver => matches!(detail, Detail::Air { .. }),
        K::SessionEnded
        | K::SafePin
        | K::Duress
        | K::WrongPin
        | K::WrongPinRepeated
        | K::DiscreetPanic
        | K::Panic
        | K::Tamper
        | K::TamperRestored
        | K::AlertCancelled
        | K::Test
        | K::LowBattery
        | K::BatteryRestored
        | K::PreAlarm
        | K::SupervisionLost
        | K::SupervisionRestored
        | K::ReceptionRestored
        | K::Heartbeat
        | K::Joined
        | K::TrackPoint
        | K::UnknownMessage
        | K::LateRequest
        | K::GatewayStopping
        | K::JournalFailed
        | K::JournalRestored
        | K::StoreTight
        | K::StoreRoomy
        | K::CentreLost
        | K::CentreBack
        | K::ClockSet
        | K::GatewayTest => nothing,
    }
}

fn published(event: &Event, replayed: bool, now: Now) -> Vec<u8> {
    voice().publish((PublishId(1), BrokerId(0)), event, replayed, now).payload
}

fn as_json(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).expect("JSON")
}

/// What is wrong with a payload, one fault a line; nothing if it is right.
fn faults(validator: &Validator, payload: &Value) -> String {
    let faults = validator.iter_errors(payload);
    faults.map(|fault| format!("{}: {fault}\n", fault.instance_path())).collect()
}

/// Every kind is made with every detail, heard and not: how many of them belong
/// together is what the table in `docs/mqtt.md` allows.
#[test]
fn the_schema_takes_what_the_engine_publishes_and_no_other_mixture() {
    let validator = validator(&schema());
    let mut runner = TestRunner::deterministic();
    let strategy = (any_event(), any::<bool>(), any_number(), any_wall());
    let mut taken = BTreeSet::new();
    for kind in Kind::all() {
        for _ in 0..300 {
            let made = strategy.new_tree(&mut runner).expect("an event").current();
            let (event, replayed, now_us, wall) = made;
            let event = possible(Event { kind, ..event });
            let now = Now { mono: Mono::from_us(now_us), wall };
            let payload = as_json(&published(&event, replayed, now));
            let valid = validator.is_valid(&payload);
            let why = if valid { String::new() } else { faults(&validator, &payload) };
            assert_eq!(valid, belongs(&event), "{event:?}\n{payload:#}\n{why}");
            if valid {
                taken.insert(kind);
            }
        }
    }
    let never: Vec<Kind> = Kind::all().filter(|kind| !taken.contains(kind)).collect();
    assert!(never.is_empty(), "no event of these was tried: {never:?}");
}

#[test]
fn the_schema_has_the_kinds_of_the_engine() {
    let schema = schema();
    let of_engine: Vec<&str> = Kind::all().map(Kind::as_str).collect();
    assert_eq!(schema["$defs"]["kind"]["enum"], json!(of_engine));
    let table = schema["$defs"]["kinds"]["oneOf"].as_array().expect("a list");
    let named = |one: &Value| one["properties"]["data"]["properties"]["kind"]["const"].clone();
    assert_eq!(table.iter().map(named).collect::<Value>(), json!(of_engine));
}

/// Each member of a payload taken out, each misspelt, each of another type.
/// A kind without a row would leave an operator at night with a word alone.
#[test]
fn an_operator_finds_what_to_do_for_every_urgent_kind() {
    let (_, rest) = CENTRE_MD.split_once("## What an operator does\n").expect("it stands there");
    let (rows, _) = rest.split_once("\n### ").expect("and ends");
    let first = |row: &str| row.split('|').nth(1).map(str::to_owned).unwrap_or_default();
    let named: String = rows.lines().filter(|line| line.starts_with('|')).map(first).collect();
    for kind in Kind::all().filter(|kind| kind.lane() == Lane::Urgent) {
        assert!(named.contains(&format!("`{}`", kind.as_str())), "{}", kind.as_str());
    }
}

#[test]
fn a_payload_with_a_member_too_many_too_few_or_of_another_type_is_refused() {
    // Absent or there, by other members that say so; or by the length of the way.
    const OPTIONAL: [&str; 2] = ["/time", "/data/delay_ms"];
    // The first boot of a store has none before it.
    const OF_A_START: &str = "/data/detail";
    let validator = validator(&schema());
    for payload in examples().map(|example| as_json(&example)) {
        assert!(validator.is_valid(&payload), "{}", faults(&validator, &payload));
        let mut paths = Vec::new();
        members(&payload, "", &mut paths);
        assert!(paths.len() > 15, "{paths:?}");
        for (of, name) in paths {
            let path = format!("{of}/{name}");
            let changed = |change: &dyn Fn(&mut Map<String, Value>)| {
                let mut payload = payload.clone();
                let object = payload.pointer_mut(&of).and_then(Value::as_object_mut);
                change(object.expect("an object"));
                validator.is_valid(&payload)
            };
            let without = changed(&|object| drop(object.remove(&name)));
            let started = payload["data"]["kind"] == "gateway_started";
            let may_miss = OPTIONAL.contains(&&*path) || (started && path == OF_A_START);
            assert_eq!(without, may_miss, "without {path}");
            assert!(!changed(&|object| drop(object.insert(name.clone(), json!([])))), "{path}");
            assert!(!changed(&|object| drop(object.insert("more".into(), json!(1)))), "{of}/more");
        }
    }
}

/// Every member of every object: where it stands, and its name.
fn members(value: &Value, at: &str, found: &mut Vec<(String, String)>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        found.push((at.to_owned(), name.clone()));
        members(value, &format!("{at}/{name}"), found);
    }
}

/// What stands in the documents, as the engine writes it.
#[test]
fn the_examples_in_the_documents_are_what_the_engine_writes() {
    let texts = examples().map(|payload| String::from_utf8(payload).expect("UTF-8"));
    let texts = texts.each_ref().map(|text| text.trim_end());
    let all = texts.map(|text| as_json(text.as_bytes()));
    assert_eq!(schema()["examples"], json!(all), "\"examples\": [{}]", texts.join(",\n"));
    let block = MQTT_MD.split("```json\n").nth(1).and_then(|rest| rest.split("\n```").next());
    let block = block.expect("an example in docs/mqtt.md").replace('\n', "");
    assert_eq!(block, texts[0], "the example in docs/mqtt.md");
}

/// The receipt of the first of them; and no other text is one.
#[test]
fn the_receipt_in_the_documents_is_taken() {
    let schema: Value = serde_json::from_str(RECEIPT_JSON).expect("the schema is JSON");
    let validator = validator(&schema);
    let [panic, ..] = examples().map(|example| as_json(&example));
    let example = &schema["examples"][0];
    let telling = parse_receipt(example.to_string().as_bytes()).expect("a receipt");
    assert_eq!(json!(telling.id.to_string()), panic["id"]);
    assert_eq!(json!(format!("{:016x}", telling.boot)), panic["data"]["boot"]);
    assert!(validator.is_valid(example));
    for (member, wrong) in [("received", json!("x")), ("boot", json!("1")), ("boot", json!(7))] {
        let mut receipt = example.clone();
        receipt[member] = wrong;
        assert!(!validator.is_valid(&receipt), "{receipt}");
        assert_eq!(parse_receipt(receipt.to_string().as_bytes()), None, "{receipt}");
    }
}

/// A hidden press, a session that fell due while the gateway was off, a restart,
/// and a jammed radio.
fn examples() -> [Vec<u8>; 4] {
    let wall = |unix_ms, source, uncertainty_ms| Wall::Set { unix_ms, uncertainty_ms, source };
    let ids = EventIdKey::derive(&[7; 16], &[]);
    let of = |kind: Kind, number: u32, from: Option<FromPendant>, detail: Detail| Event {
        id: from
            .as_ref()
            .map_or(ids.of_frame(0, number, 1), |from| ids.of_timer(0, from.counter, kind)),
        kind,
        boot: 0x0123_4567_89AB_CDEF,
        number: number.into(),
        received: Stamp {
            mono: Mono::from_us(61_250_000),
            wall: wall(UNIX_MS, WallSource::Ntp, 24),
        },
        from,
        detail,
    };
    let wearer = Name::new("nurse-7").expect("a name");
    let said = |counter, heard| FromPendant {
        pendant: 0x12F,
        enrolment: 0x5AFE_0000_0000_0001,
        wearer: wearer.clone(),
        authentication: Authentication::Native,
        counter,
        heard,
    };
    let heard = HeardFrame {
        link: LinkId(0),
        signal: Signal {
            rssi_dbm: Some(-107),
            snr_quarter_db: Some(-13),
            frequency_hz: Some(868_100_000),
            spreading_factor: Some(10),
            frequency_error_hz: Some(-1_240),
        },
        battery_percent: Some(85),
        place: 7,
        position: None,
        temperature_decidegrees: None,
        freshness: Freshness::Proven,
    };
    let due = Detail::Overdue {
        minutes: 30,
        due_unix_ms: Some(UNIX_MS - 900_000),
        late_ms: Some(600_000),
    };
    let previous = EndedBoot { boot: 0xFEDC_BA98_7654_3210, last: [12, 3, 240] };
    let air = Detail::Air {
        link: Some(LinkId(0)),
        sign: Sign::Noise,
        noise_dbm: Some(-78),
        usual_dbm: Some(-113),
    };
    let now = |ms: i64| Now {
        mono: Mono::from_us(61_250_000 + 1_000 * ms.unsigned_abs()),
        wall: wall(UNIX_MS + ms, WallSource::Ntp, 24),
    };
    let panic = Event {
        id: ids.of_frame(0, 4_711, 0),
        ..of(Kind::DiscreetPanic, 13, Some(said(4_711, Some(heard))), Detail::None)
    };
    let mut started =
        of(Kind::GatewayStarted, 1, None, Detail::Started { previous: Some(previous) });
    started.received.wall = Wall::Unset;
    let unset = Now { wall: Wall::Unset, ..now(2) };
    [
        published(&panic, false, now(3)),
        published(&of(Kind::Overdue, 1, Some(said(4_700, None)), due), true, now(45_000)),
        published(&started, false, unset),
        published(&of(Kind::JammingSuspected, 2, None, air), false, now(1)),
    ]
}
