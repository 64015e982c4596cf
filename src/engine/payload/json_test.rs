//! Every payload is byte for byte what serde makes of the structure declared here:
//! the contract of `docs/mqtt.md` once more, told by another hand.

use super::*;
use crate::engine::air::Sign;
use crate::engine::certificate::{CertificateOf, Unfit};
use crate::engine::device::Position;
use crate::engine::event::{
    Authentication, EndedBoot, EventId, EventIdKey, GIVEN_UP_MAX, HeardFrame, Stamp,
    UNREADABLE_NAMED_MAX,
};
use crate::engine::policy::Policy;
use crate::engine::seam::{BrokerId, LinkId, Signal};
use crate::engine::time::{Mono, WallSource};
use pendant_protocol::PendantId;
use proptest::prelude::*;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

fn any_name() -> impl Strategy<Value = Name> {
    "[a-zA-Z0-9._-]{1,32}".prop_map(|text| Name::new(&text).expect("a name"))
}

fn any_id() -> impl Strategy<Value = EventId> {
    let key = EventIdKey::derive(&[7; 16], &[]);
    any::<u32>().prop_map(move |counter| key.of_frame(0, counter, 0))
}

/// Small and great alike.
pub(super) fn any_number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(number, shift)| number >> shift)
}

/// Times that can be printed, and some that cannot.
fn any_unix_ms() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0..253_402_300_800_000i64, 1 => any::<i64>()]
}

pub(super) fn any_wall() -> impl Strategy<Value = Wall> {
    let source = prop_oneof![Just(WallSource::Ntp), Just(WallSource::Unverified)];
    let set =
        (any_unix_ms(), any::<u32>(), source).prop_map(|(unix_ms, uncertainty_ms, source)| {
            Wall::Set { unix_ms, uncertainty_ms, source }
        });
    prop_oneof![1 => Just(Wall::Unset), 4 => set]
}

fn any_from() -> impl Strategy<Value = FromPendant> {
    let levels = (any::<Option<i16>>(), any::<Option<i16>>());
    let signal = (levels, any::<Option<u32>>(), any::<Option<u8>>(), any::<Option<i32>>());
    let signal = signal.prop_map(|(levels, frequency_hz, spreading_factor, error_hz)| Signal {
        rssi_dbm: levels.0,
        snr_quarter_db: levels.1,
        frequency_hz,
        spreading_factor,
        frequency_error_hz: error_hz,
    });
    let freshness = prop_oneof![Just(Freshness::Proven), Just(Freshness::Unproven)];
    let place = prop_oneof![Just(0), any::<u16>()];
    let reported =
        (prop::option::of(0..=100u8), prop::option::of(any_position()), any::<Option<i16>>());
    let heard = (0..3u8, signal, reported, place, freshness);
    let heard = heard.prop_map(|(link, signal, reported, place, freshness)| HeardFrame {
        link: LinkId(link),
        signal,
        battery_percent: reported.0,
        place,
        position: reported.1,
        temperature_decidegrees: reported.2,
        freshness,
    });
    let authentication = prop_oneof![
        Just(Authentication::Native),
        Just(Authentication::LoRaWan),
        Just(Authentication::None)
    ];
    let who = (1..0x100_0000u32, any::<u64>(), any_name(), authentication);
    (who, any::<u32>(), prop::option::of(heard)).prop_map(
        |((pendant, enrolment, wearer, authentication), counter, heard)| FromPendant {
            pendant,
            enrolment,
            wearer,
            authentication,
            counter,
            heard,
        },
    )
}

fn any_position() -> impl Strategy<Value = Position> {
    let metres = prop::option::of(any::<u16>());
    (any::<i32>(), any::<i32>(), metres.clone(), metres).prop_map(
        |(latitude_e6, longitude_e6, accuracy_m, age_s)| Position {
            latitude_e6,
            longitude_e6,
            accuracy_m,
            age_s,
        },
    )
}

fn any_detail() -> impl Strategy<Value = Detail> {
    let n = any_number;
    let lane = (0..3usize).prop_map(|lane| Lane::ALL[lane]);
    let due = || prop::option::of(any_unix_ms());
    let sign = prop_oneof![Just(Sign::Noise), Just(Sign::Failures), Just(Sign::Loss)];
    let of = || {
        use CertificateOf as Of;
        prop_oneof![Just(Of::Gateway), Just(Of::Authority), Just(Of::Broker)]
    };
    let ended = (n(), n(), n(), n()).prop_map(|(boot, urgent, trouble, routine)| EndedBoot {
        boot,
        last: [urgent, trouble, routine],
    });
    prop_oneof![
        Just(Detail::None),
        (any::<u16>(), due())
            .prop_map(|(minutes, due_unix_ms)| Detail::Session { minutes, due_unix_ms }),
        prop::option::of(ended).prop_map(|previous| Detail::Started { previous }),
        (n(), lane, n(), n(), n()).prop_map(|(boot, lane, first, last, count)| Detail::Void {
            boot,
            lane,
            first,
            last,
            count
        }),
        n().prop_map(|slots| Detail::Damage { slots }),
        (0..3u8, any::<u8>(), any_id()).prop_map(|(broker, reason, event)| Detail::Refused {
            broker: BrokerId(broker),
            reason,
            event,
        }),
        (0..3u8).prop_map(|link| Detail::Link(LinkId(link))),
        (0..3u8).prop_map(|broker| Detail::Broker(BrokerId(broker))),
        any::<u32>().prop_map(Detail::Pendant),
        any::<u32>().prop_map(Detail::Times),
        (any::<u16>(), due(), prop::option::of(n())).prop_map(|(minutes, due_unix_ms, late_ms)| {
            Detail::Overdue { minutes, due_unix_ms, late_ms }
        }),
        n().prop_map(|late_ms| Detail::Late { late_ms }),
        (prop::option::of(0..3u8), sign, any::<Option<i16>>(), any::<Option<i16>>()).prop_map(
            |(link, sign, noise_dbm, usual_dbm)| Detail::Air {
                link: link.map(LinkId),
                sign,
                noise_dbm,
                usual_dbm,
            }
        ),
        (0..3u8, of(), any_unix_ms(), any::<Option<u32>>()).prop_map(
            |(broker, of, ends, days_left)| Detail::Certificate {
                broker: BrokerId(broker),
                of,
                ends_unix_s: ends / 1000,
                days_left,
            }
        ),
        (0..3u8, of(), prop::sample::select(&Unfit::ALL[..]))
            .prop_map(|(broker, of, why)| Detail::Unfit { broker: BrokerId(broker), of, why }),
        prop::collection::vec((1..0x100_0000u32, any::<u32>()), 0..=GIVEN_UP_MAX)
            .prop_map(|pendants| Detail::GivenUp { pendants }),
        (any::<u32>(), prop::collection::vec(1..0x100_0000u32, 0..=UNREADABLE_NAMED_MAX))
            .prop_map(|(enrolments, pendants)| Detail::Unreadable { enrolments, pendants }),
    ]
}

pub(super) fn any_event() -> impl Strategy<Value = Event> {
    let kinds: Vec<Kind> = Kind::all().collect();
    let kind = prop::sample::select(kinds);
    let received =
        (any_number(), any_wall()).prop_map(|(us, wall)| Stamp { mono: Mono::from_us(us), wall });
    let boot = prop_oneof![Just(BOOT), any::<u64>()];
    (any_id(), kind, boot, any_number(), received, prop::option::of(any_from()), any_detail())
        .prop_map(|(id, kind, boot, number, received, from, detail)| Event {
            id,
            kind,
            boot,
            number,
            received,
            from,
            detail,
        })
}

const BOOT: Boot = 0x0123_4567_89AB_CDEF;

pub(super) fn voice() -> Voice {
    let listen_in = ListenIn::new("sips:1042@[2001:db8::1]:5061;transport=tls").expect("a URI");
    let name = |text: &str| Name::new(text).expect("a name");
    let mut policies = Policies::default();
    policies.site.response.procedure_default = Some(name("call-first"));
    policies.site.response.listen_in = Some(listen_in);
    policies.site.response.do_not_call.insert(Kind::Panic, true);
    // As without an entry in the configuration.
    policies.pendants.insert(PendantId::new(1).expect("a number"), Policy::default());
    Voice {
        topics: Lane::ALL.map(|lane| format!("t/{}", lane.as_str())),
        source: "/lonework/ward-3/gw1".to_owned(),
        links: vec!["lora".to_owned(), "serial.2".to_owned()],
        brokers: vec!["centre".to_owned(), "second_one".to_owned()],
        policies,
        boot: BOOT,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_payload_says_what_is_declared(
        event in any_event(),
        of_first in any::<bool>(),
        replayed in any::<bool>(),
        now_us in any_number(),
        wall in any_wall(),
    ) {
        let mut event = event;
        if let Some(from) = event.from.as_mut().filter(|_| of_first) {
            from.pendant = 1;
        }
        let voice = voice();
        let now = Now { mono: Mono::from_us(now_us), wall };
        let written = Json::of(0, |json| voice.envelope(json, &event, replayed, now));
        let declared = serde_json::to_vec(&voice.declared(&event, replayed, now));
        prop_assert_eq!(
            String::from_utf8(written).expect("UTF-8"),
            String::from_utf8(declared.expect("JSON")).expect("UTF-8")
        );
    }
}

impl Voice {
    fn declared<'e>(&'e self, event: &'e Event, replayed: bool, now: Now) -> Envelope<'e> {
        let lane = event.kind.lane();
        let same_boot = event.boot == self.boot;
        let wall = match event.received.wall {
            // The clock was set later in the same boot: reckon back.
            Wall::Unset if same_boot => now.wall_at(event.received.mono),
            known => known,
        };
        Envelope {
            specversion: "1.0",
            id: Text(event.id),
            source: &self.source,
            kind: Type(event.kind),
            subject: event.from.as_ref().map(|from| Text(Subject(from.pendant))),
            time: time_text(wall),
            datacontenttype: "application/json",
            data: Data {
                lane: lane.as_str(),
                kind: event.kind.as_str(),
                covert: event.kind.covert(),
                test: matches!(event.kind, Kind::Test | Kind::GatewayTest),
                boot: Text(Hex64(event.boot)),
                room: lane.as_str(),
                number: event.number,
                clock: clock(wall),
                mono_ms: event.received.mono.us() / 1000,
                replayed,
                delay_ms: delay_ms(event, same_boot, now),
                codes: event.kind.codes().map(|codes| (codes.sia, codes.contact_id)),
                pendant: event.from.as_ref().map(|from| self.pendant_data(from)),
                response: self.response_data(event),
                detail: DetailData::of(&event.detail, self),
            },
        }
    }

    /// What the operator needs at once, as it is decided now: an event out of
    /// the backlog is answered by today's procedure.
    fn response_data(&self, event: &Event) -> Option<ResponseData<'_>> {
        let pendant = event.from.as_ref()?.pendant_id()?;
        let response = &self.policies.of(pendant).response;
        (event.kind.lane() == Lane::Urgent).then(|| ResponseData {
            procedure: response.procedure(event.kind).map(Name::as_str),
            listen_in: response.listen_in.as_ref().map(ListenIn::as_str),
            do_not_call: response.do_not_call(event.kind),
        })
    }

    fn pendant_data<'e>(&'e self, from: &'e FromPendant) -> PendantData<'e> {
        PendantData {
            pendant: Text(PendantNumber(from.pendant)),
            enrolment: Text(Hex64(from.enrolment)),
            wearer: from.wearer.as_str(),
            counter: from.counter,
            authentication: from.authentication.as_str(),
            heard: from.heard.as_ref().map(|heard| self.heard_data(heard)),
        }
    }

    fn heard_data(&self, heard: &HeardFrame) -> HeardData<'_> {
        HeardData {
            fresh: heard.freshness == Freshness::Proven,
            battery_percent: heard.battery_percent,
            place: (heard.place != 0).then_some(heard.place),
            position: heard.position.map(|position| PositionData {
                latitude: decimal(f64::from(position.latitude_e6) / 1e6, 6),
                longitude: decimal(f64::from(position.longitude_e6) / 1e6, 6),
                accuracy_m: position.accuracy_m,
                age_s: position.age_s,
            }),
            temperature_c: heard
                .temperature_decidegrees
                .map(|tenths| decimal(f64::from(tenths) / 10.0, 1)),
            link: name_of(&self.links, heard.link.0),
            rssi_dbm: heard.signal.rssi_dbm,
            snr_db: heard.signal.snr_quarter_db.map(|quarters| f32::from(quarters) / 4.0),
            frequency_hz: heard.signal.frequency_hz,
            spreading_factor: heard.signal.spreading_factor,
            frequency_error_hz: heard.signal.frequency_error_hz,
        }
    }
}

#[derive(Serialize)]
struct Envelope<'e> {
    specversion: &'static str,
    id: Text<EventId>,
    source: &'e str,
    #[serde(rename = "type")]
    kind: Type,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Text<Subject>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    datacontenttype: &'static str,
    data: Data<'e>,
}

#[derive(Serialize)]
struct Data<'e> {
    lane: &'static str,
    kind: &'static str,
    covert: bool,
    test: bool,
    boot: Text<Hex64>,
    room: &'static str,
    number: u64,
    clock: ClockData,
    mono_ms: u64,
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    codes: Option<(&'static str, u16)>,
    #[serde(flatten)]
    pendant: Option<PendantData<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResponseData<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<DetailData<'e>>,
}

#[derive(Serialize)]
struct ClockData {
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uncertainty_ms: Option<u32>,
}

#[derive(Serialize)]
struct PendantData<'e> {
    pendant: Text<PendantNumber>,
    enrolment: Text<Hex64>,
    wearer: &'e str,
    counter: u32,
    authentication: &'static str,
    #[serde(flatten)]
    heard: Option<HeardData<'e>>,
}

#[derive(Serialize)]
struct HeardData<'e> {
    fresh: bool,
    battery_percent: Option<u8>,
    place: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<PositionData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature_c: Option<Box<RawValue>>,
    link: &'e str,
    rssi_dbm: Option<i16>,
    snr_db: Option<f32>,
    frequency_hz: Option<u32>,
    spreading_factor: Option<u8>,
    frequency_error_hz: Option<i32>,
}

#[derive(Serialize)]
struct PositionData {
    latitude: Box<RawValue>,
    longitude: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy_m: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u16>,
}

fn decimal(number: f64, places: usize) -> Box<RawValue> {
    RawValue::from_string(format!("{number:.places$}")).expect("a number")
}

#[derive(Serialize)]
struct ResponseData<'e> {
    procedure: Option<&'e str>,
    listen_in: Option<&'e str>,
    do_not_call: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum DetailData<'e> {
    Session {
        minutes: u16,
        due: Option<String>,
    },
    Previous {
        boot: Text<Hex64>,
        last_urgent: u64,
        last_trouble: u64,
        last_routine: u64,
    },
    Void {
        boot: Text<Hex64>,
        room: &'static str,
        first: u64,
        last: u64,
        count: u64,
    },
    Damage {
        frames: u64,
    },
    Refused {
        broker: &'e str,
        reason: u8,
        event: Text<EventId>,
    },
    Link(&'e str),
    Broker(&'e str),
    Pendant(Text<PendantNumber>),
    Times(u32),
    Overdue {
        minutes: u16,
        due: Option<String>,
        late_ms: Option<u64>,
    },
    Late {
        late_ms: u64,
    },
    Air {
        link: Option<&'e str>,
        sign: &'static str,
        noise_dbm: Option<i16>,
        usual_dbm: Option<i16>,
    },
    Certificate {
        broker: &'e str,
        of: &'static str,
        ends: Option<String>,
        days_left: Option<u32>,
    },
    Unfit {
        broker: &'e str,
        of: &'static str,
        why: &'static str,
    },
    GivenUp(GivenUp<'e>),
    Unreadable {
        enrolments: u32,
        pendants: Vec<Text<PendantNumber>>,
    },
}

/// An object: number of the pendant, how many of its events.
struct GivenUp<'e>(&'e [(u32, u32)]);

impl Serialize for GivenUp<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.0.iter().map(|(pendant, count)| (Text(PendantNumber(*pendant)), count));
        serializer.collect_map(pairs)
    }
}

impl<'e> DetailData<'e> {
    fn of(detail: &'e Detail, voice: &'e Voice) -> Option<Self> {
        Some(match *detail {
            Detail::None | Detail::Started { previous: None } => return None,
            Detail::Session { minutes, due_unix_ms } => {
                Self::Session { minutes, due: due_unix_ms.and_then(rfc3339) }
            }
            Detail::Started { previous: Some(ended) } => Self::Previous {
                boot: Text(Hex64(ended.boot)),
                last_urgent: ended.last[Lane::Urgent as usize],
                last_trouble: ended.last[Lane::Trouble as usize],
                last_routine: ended.last[Lane::Routine as usize],
            },
            Detail::Void { boot, lane, first, last, count } => {
                Self::Void { boot: Text(Hex64(boot)), room: lane.as_str(), first, last, count }
            }
            Detail::Damage { slots } => Self::Damage { frames: slots },
            Detail::Refused { broker, reason, event } => {
                let broker = name_of(&voice.brokers, broker.0);
                Self::Refused { broker, reason, event: Text(event) }
            }
            Detail::Link(link) => Self::Link(name_of(&voice.links, link.0)),
            Detail::Broker(broker) => Self::Broker(name_of(&voice.brokers, broker.0)),
            Detail::Pendant(pendant) => Self::Pendant(Text(PendantNumber(pendant))),
            Detail::Times(times) => Self::Times(times),
            Detail::Overdue { minutes, due_unix_ms, late_ms } => {
                Self::Overdue { minutes, due: due_unix_ms.and_then(rfc3339), late_ms }
            }
            Detail::Late { late_ms } => Self::Late { late_ms },
            Detail::Air { link, sign, noise_dbm, usual_dbm } => {
                let link = link.map(|link| name_of(&voice.links, link.0));
                Self::Air { link, sign: sign.as_str(), noise_dbm, usual_dbm }
            }
            Detail::Certificate { broker, of, ends_unix_s, days_left } => Self::Certificate {
                broker: name_of(&voice.brokers, broker.0),
                of: of.as_str(),
                ends: rfc3339(ends_unix_s.saturating_mul(1000)),
                days_left,
            },
            Detail::Unfit { broker, of, why } => Self::Unfit {
                broker: name_of(&voice.brokers, broker.0),
                of: of.as_str(),
                why: why.as_str(),
            },
            Detail::GivenUp { ref pendants } => Self::GivenUp(GivenUp(pendants)),
            Detail::Unreadable { enrolments, ref pendants } => Self::Unreadable {
                enrolments,
                pendants: pendants.iter().map(|pendant| Text(PendantNumber(*pendant))).collect(),
            },
        })
    }
}

fn clock(wall: Wall) -> ClockData {
    match wall {
        Wall::Unset => ClockData { source: "unset", uncertainty_ms: None },
        Wall::Set { uncertainty_ms, source, .. } => {
            ClockData { source: source.as_str(), uncertainty_ms: Some(uncertainty_ms) }
        }
    }
}

fn time_text(wall: Wall) -> Option<String> {
    match wall {
        Wall::Unset => None,
        Wall::Set { unix_ms, .. } => rfc3339(unix_ms),
    }
}

/// RFC 3339 with milliseconds; `None` outside the years 1970 to 9999.
fn rfc3339(unix_ms: i64) -> Option<String> {
    const YEAR_10000_MS: u64 = 253_402_300_800_000;
    let ms = u64::try_from(unix_ms).ok().filter(|ms| *ms < YEAR_10000_MS)?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    Some(humantime::format_rfc3339_millis(time).to_string())
}

/// Serialises by `Display`, without a string in between.
struct Text<T>(T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Type(Kind);

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("lonework.v1.{}", self.0.as_str()))
    }
}

struct Hex64(u64);

impl std::fmt::Display for Hex64 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

struct PendantNumber(u32);

impl std::fmt::Display for PendantNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:06x}", self.0)
    }
}

struct Subject(u32);

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pendant/{:06x}", self.0)
    }
}
