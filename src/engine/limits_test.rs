//! The sizes that other code relies on: the longest record fits a frame of the
//! journal, the longest event fits the constant wire size, whatever the names.

use super::age::Age;
use super::air::Sign;
use super::certificate::{CertificateOf, Unfit};
use super::device::Position;
use super::event::{
    Authentication, Detail, EndedBoot, Event, EventIdKey, Freshness, FromPendant, GIVEN_UP_MAX,
    HeardFrame, Kind, Lane, Stamp, UNREADABLE_NAMED_MAX,
};
use super::journal::longest_record_bytes;
use super::lorawan::LoRaWanState;
use super::name::{NAME_BYTES_MAX, Name};
use super::payload::schema_test::belongs;
use super::payload::{EVENT_WIRE_BYTES, Voice};
use super::pendant::{Actual, Apparent, PendantState, PreAlarm, Reply, Session, Supervision};
use super::policy::{LISTEN_IN_BYTES_MAX, ListenIn, Policies, Policy, Response};
use super::seam::{BrokerId, LinkId, PublishId, Signal};
use super::settings::{Chance, DeliverySettings, LinkSettings, Settings};
use super::time::{Mono, Now, Wall, WallSource};
use pendant_protocol::{PendantId, Slot};
use std::collections::BTreeMap;

const WALL: Wall =
    Wall::Set { unix_ms: i64::MIN, uncertainty_ms: u32::MAX, source: WallSource::Unverified };

fn name() -> Name {
    Name::new(&"m".repeat(NAME_BYTES_MAX)).expect("the longest name")
}

/// The longest response: the procedure stands for a kind, or for all.
fn policy() -> Policy {
    let listen_in = format!("sip:{}", "h".repeat(LISTEN_IN_BYTES_MAX - 4));
    let response = Response {
        procedure_default: Some(name()),
        listen_in: Some(ListenIn::new(&listen_in).expect("the longest URI")),
        do_not_call: Kind::all().map(|kind| (kind, false)).collect(),
        ..Response::default()
    };
    Policy { response, ..Policy::default() }
}

pub(super) fn settings() -> Settings {
    Settings {
        site: name(),
        gateway: name(),
        slot: Slot::new(31).expect("a slot"),
        chance: Chance::Either,
        brokers: vec![name()],
        links: vec![LinkSettings { name: name(), acknowledges: true, speech: Default::default() }],
        lorawan: None,
        policies: Policies { site: policy(), ..Policies::default() },
        devices: BTreeMap::new(),
        delivery: DeliverySettings {
            receipts: true,
            receipt_wait_ms: 1,
            escalate_after_ms: 1,
            release_interval_ms: 1,
            drain_per_s_max: None,
        },
        centre: super::settings::CentreSettings { silence_ms: 60_000, keys: Default::default() },
        journal: super::journal::Limits { files_max: 8, files_reserved: 1 },
    }
}

fn event(kind: Kind, detail: Detail) -> Event {
    let key = EventIdKey::derive(&[0xFF; 16], &[]);
    Event {
        id: key.of_frame(0, u32::MAX, u8::MAX),
        kind,
        boot: u64::MAX,
        number: u64::MAX,
        received: Stamp { mono: Mono::from_us(u64::MAX), wall: WALL },
        from: Some(FromPendant {
            pendant: 0xFF_FFFF,
            enrolment: u64::MAX,
            wearer: name(),
            authentication: Authentication::LoRaWan,
            counter: u32::MAX,
            heard: Some(HeardFrame {
                link: LinkId(0),
                signal: Signal {
                    rssi_dbm: Some(i16::MIN),
                    snr_quarter_db: Some(i16::MIN + 1),
                    frequency_hz: Some(u32::MAX),
                    spreading_factor: Some(u8::MAX),
                    frequency_error_hz: Some(i32::MIN),
                },
                battery_percent: Some(100),
                place: u16::MAX,
                position: Some(Position {
                    latitude_e6: -89_999_999,
                    longitude_e6: -179_999_999,
                    accuracy_m: Some(u16::MAX),
                    age_s: Some(u16::MAX),
                }),
                temperature_decidegrees: Some(i16::MIN),
                freshness: Freshness::Unproven,
            }),
        }),
        detail,
    }
}

fn details() -> [Detail; 16] {
    [
        Detail::Session { minutes: u16::MAX, due_unix_ms: Some(i64::MIN) },
        Detail::Started { previous: Some(EndedBoot { boot: u64::MAX, last: [u64::MAX; 3] }) },
        Detail::Void {
            boot: u64::MAX,
            lane: Lane::Routine,
            first: u64::MAX,
            last: u64::MAX,
            count: u64::MAX,
        },
        Detail::Damage { slots: u64::MAX },
        Detail::Refused {
            broker: BrokerId(0),
            reason: u8::MAX,
            event: event(Kind::Test, Detail::None).id,
        },
        Detail::Broker(BrokerId(0)),
        Detail::Link(LinkId(0)),
        Detail::Pendant(0xFF_FFFF),
        Detail::Times(u32::MAX),
        Detail::Overdue { minutes: u16::MAX, due_unix_ms: Some(i64::MIN), late_ms: Some(u64::MAX) },
        Detail::Late { late_ms: u64::MAX },
        Detail::GivenUp { pendants: vec![(0xFF_FFFF, u32::MAX); GIVEN_UP_MAX] },
        Detail::Unreadable {
            enrolments: u32::MAX,
            pendants: vec![0xFF_FFFF; UNREADABLE_NAMED_MAX],
        },
        Detail::Air {
            link: Some(LinkId(0)),
            sign: Sign::Failures,
            noise_dbm: Some(i16::MIN),
            usual_dbm: Some(i16::MIN),
        },
        Detail::Certificate {
            broker: BrokerId(0),
            of: CertificateOf::Authority,
            ends_unix_s: i64::MIN,
            days_left: Some(u32::MAX),
        },
        Detail::Unfit {
            broker: BrokerId(0),
            of: CertificateOf::Authority,
            why: Unfit::BrokerUntrusted,
        },
    ]
}

/// Whether only the gateway says this, and of itself, so that nothing of a
/// pendant stands beside it.
fn is_of_the_gateway(detail: &Detail) -> bool {
    match detail {
        Detail::Started { .. }
        | Detail::Void { .. }
        | Detail::GivenUp { .. }
        | Detail::Unreadable { .. }
        | Detail::Damage { .. }
        | Detail::Refused { .. }
        | Detail::Link(_)
        | Detail::Air { .. }
        | Detail::Certificate { .. }
        | Detail::Unfit { .. }
        | Detail::Broker(_) => true,
        Detail::None
        | Detail::Session { .. }
        | Detail::Pendant(_)
        | Detail::Times(_)
        | Detail::Overdue { .. }
        | Detail::Late { .. } => false,
    }
}

fn state() -> PendantState {
    let age = Age::default().plus_ms(u64::MAX);
    let reply = Reply { counter: u32::MAX, tag: u64::MAX, frame: [0xFF; 24] };
    let mut state = PendantState::new(PendantId::new(0xFF_FFFF).expect("a number"), u64::MAX);
    state.highest = Some(u32::MAX);
    state.window = u64::MAX;
    state.remember(reply);
    state.remember(reply);
    state.salt = u16::MAX;
    state.apparent = Apparent {
        session: Some(Session {
            started: u32::MAX,
            minutes: u16::MAX,
            set_by: u32::MAX,
            due: age,
            due_unix_ms: Some(i64::MIN),
            overdue: true,
        }),
        pre_alarm: Some(PreAlarm { counter: u32::MAX, fall: true, fires: age }),
        alert: Some(u32::MAX),
        wrong_pins: u8::MAX,
    };
    state.actual = Actual { covert_incident: Some(u32::MAX), tracked: true };
    state.heard = age;
    state.supervision = Supervision::LostWithMany;
    state
}

#[test]
fn the_longest_record_fits_a_frame() {
    for (kind, detail) in Kind::all().flat_map(|kind| details().map(|detail| (kind, detail))) {
        let mut event = event(kind, detail);
        if is_of_the_gateway(&event.detail) {
            event.from = None;
        }
        if !belongs(&event) {
            continue;
        }
        // A pendant is native or speaks LoRaWAN: it has replies, or a session.
        let mut device = state();
        (device.replies, device.salt) = ([None; 2], 0);
        device.lorawan = LoRaWanState::longest();
        for state in [state(), device] {
            let used = longest_record_bytes(&event, &state);
            assert!(used <= 446, "{used} bytes");
        }
    }
}

#[test]
fn the_longest_event_fits_the_wire() {
    let settings = settings();
    let voice = Voice::new(&settings, 0);
    let now = Now {
        mono: Mono::ZERO,
        wall: Wall::Set { unix_ms: i64::MAX, uncertainty_ms: 0, source: WallSource::Ntp },
    };
    for (kind, detail) in Kind::all().flat_map(|kind| details().map(|detail| (kind, detail))) {
        let mut event = event(kind, detail);
        if is_of_the_gateway(&event.detail) {
            event.from = None;
        }
        if !belongs(&event) {
            continue;
        }
        // A time that can be printed is longer than one that cannot.
        match &mut event.detail {
            Detail::Session { due_unix_ms, .. } => *due_unix_ms = Some(0),
            Detail::Certificate { ends_unix_s, .. } => *ends_unix_s = 0,
            _ => {}
        }
        event.received.wall =
            Wall::Set { unix_ms: 0, uncertainty_ms: u32::MAX, source: WallSource::Unverified };
        let publish = voice.publish((PublishId(1), BrokerId(0)), &event, false, now);
        assert_eq!(publish.topic.len() + publish.payload.len(), EVENT_WIRE_BYTES);
        let text = String::from_utf8(publish.payload).expect("JSON is UTF-8");
        let spare = text.len() - text.trim_end().len();
        assert!(spare >= 32, "only {spare} bytes spare");
    }
}
