//! What goes over the wire: structured CloudEvents 1.0 JSON, padded with spaces
//! (RFC 8259 allows them after a text) so that topic and payload of every event
//! have one constant sum of lengths. The contract is in `docs/mqtt.md`.

use super::event::{Boot, Detail, Event, Freshness, FromPendant, HeardFrame, Kind, Lane};
use super::name::Name;
use super::policy::{ListenIn, Policies};
use super::seam::{BrokerId, Publish, PublishId};
use super::settings::Settings;
use super::time::{Now, Wall};
use serde::{Serialize, Serializer};
use std::time::{Duration, SystemTime};

/// Topic and payload of any event, bytes. The longest event has room in it,
/// and with MQTT's and TLS's headers it still fits one Ethernet frame.
pub const EVENT_WIRE_BYTES: usize = 1344;

/// The gateway's voice: topics and names that stand in every payload.
pub(super) struct Voice {
    topics: [String; 3],
    source: String,
    links: Vec<String>,
    brokers: Vec<String>,
    policies: Policies,
    boot: Boot,
}

impl Voice {
    pub(super) fn new(settings: &Settings, boot: Boot) -> Self {
        let base = topic_base(settings);
        Self {
            topics: Lane::ALL.map(|lane| format!("{base}/event/{}", lane.as_str())),
            source: format!("/lonework/{}/{}", settings.site, settings.gateway),
            links: settings.links.iter().map(|link| link.name.to_string()).collect(),
            brokers: settings.brokers.iter().map(Name::to_string).collect(),
            policies: settings.policies.clone(),
            boot,
        }
    }

    /// One offer of an event. `replayed`: it comes out of the backlog.
    pub(super) fn publish(
        &self,
        (id, broker): (PublishId, BrokerId),
        event: &Event,
        replayed: bool,
        now: Now,
    ) -> Publish {
        let lane = event.kind.lane();
        let topic = self.topics[lane as usize].clone();
        let length = EVENT_WIRE_BYTES - topic.len();
        let mut payload = Vec::with_capacity(length);
        serde_json::to_writer(&mut payload, &self.envelope(event, replayed, now))
            .expect("writing JSON to memory does not fail");
        assert!(payload.len() <= length, "an event outgrew the constant size");
        payload.resize(length, b' ');
        Publish { id, broker, lane, topic, payload }
    }

    fn envelope<'e>(&'e self, event: &'e Event, replayed: bool, now: Now) -> Envelope<'e> {
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
                test: event.kind == Kind::Test,
                boot: Text(Hex64(event.boot)),
                room: lane.as_str(),
                number: event.number,
                clock: clock(wall),
                mono_ms: event.received.mono.us() / 1000,
                replayed,
                delay_ms: delay_ms(event, same_boot, now),
                codes: event.kind.codes().map(|codes| (codes.sia, codes.contact_id)),
                pendant: event.from.as_ref().map(|from| self.pendant_data(from)),
                response: self.response(event),
                detail: DetailData::of(&event.detail, self),
            },
        }
    }

    /// What the operator needs at once, as it is decided now: an event out of
    /// the backlog is answered by today's procedure.
    fn response(&self, event: &Event) -> Option<ResponseData<'_>> {
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
            authentication: "aes-ccm-64",
            heard: from.heard.as_ref().map(|heard| self.heard_data(heard)),
        }
    }

    fn heard_data(&self, heard: &HeardFrame) -> HeardData<'_> {
        HeardData {
            fresh: heard.freshness == Freshness::Proven,
            battery_percent: heard.battery.map(|fourteenths| u16::from(fourteenths) * 100 / 14),
            place: (heard.place != 0).then_some(heard.place),
            link: name_of(&self.links, heard.link.0),
            rssi_dbm: heard.signal.rssi_dbm,
            snr_db: heard.signal.snr_quarter_db.map(|quarters| f32::from(quarters) / 4.0),
            frequency_hz: heard.signal.frequency_hz,
            spreading_factor: heard.signal.spreading_factor,
        }
    }
}

/// `lonework/v1/{site}/{gateway}`: every topic of the gateway begins with it.
#[must_use]
pub fn topic_base(settings: &Settings) -> String {
    format!("lonework/v1/{}/{}", settings.site, settings.gateway)
}

/// The event id in a message on the receipt topic: `{"received":"<uuid>"}`.
/// `None` if it is none.
pub(super) fn parse_receipt(payload: &[u8]) -> Option<super::event::EventId> {
    #[derive(serde::Deserialize)]
    struct Receipt<'t> {
        received: &'t str,
    }
    let receipt: Receipt<'_> = serde_json::from_slice(payload).ok()?;
    super::event::EventId::parse(receipt.received)
}

#[derive(Serialize)]
struct Envelope<'e> {
    specversion: &'static str,
    id: Text<super::event::EventId>,
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
    battery_percent: Option<u16>,
    place: Option<u16>,
    link: &'e str,
    rssi_dbm: Option<i16>,
    snr_db: Option<f32>,
    frequency_hz: Option<u32>,
    spreading_factor: Option<u8>,
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
    Session { minutes: u16, due: Option<String> },
    Previous { boot: Text<Hex64>, last_urgent: u64, last_trouble: u64, last_routine: u64 },
    Void { boot: Text<Hex64>, room: &'static str, first: u64, last: u64, count: u64 },
    Damage { frames: u64 },
    Refused { broker: &'e str, reason: u8, event: Text<super::event::EventId> },
    Link(&'e str),
    Broker(&'e str),
    Pendant(Text<PendantNumber>),
    Times(u32),
    Overdue { minutes: u16, due: Option<String>, late_ms: Option<u64> },
    Late { late_ms: u64 },
    Air { link: &'e str, sign: &'static str, noise_dbm: Option<i16>, usual_dbm: Option<i16> },
}

impl<'e> DetailData<'e> {
    fn of(detail: &Detail, voice: &'e Voice) -> Option<Self> {
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
                let link = name_of(&voice.links, link.0);
                Self::Air { link, sign: sign.as_str(), noise_dbm, usual_dbm }
            }
        })
    }
}

/// The name of the link or broker that stood at this place when it was told.
fn name_of(names: &[String], place: u8) -> &str {
    names.get(usize::from(place)).map_or("removed", String::as_str)
}

fn clock(wall: Wall) -> ClockData {
    match wall {
        Wall::Unset => ClockData { source: "unset", uncertainty_ms: None },
        Wall::Set { uncertainty_ms, source, .. } => {
            ClockData { source: source.as_str(), uncertainty_ms: Some(uncertainty_ms) }
        }
    }
}

/// How long the event has been on its way; `None` if no clock can tell.
fn delay_ms(event: &Event, same_boot: bool, now: Now) -> Option<u64> {
    if same_boot {
        return Some(now.mono.ms_since(event.received.mono));
    }
    match (event.received.wall, now.wall) {
        (Wall::Set { unix_ms: then, .. }, Wall::Set { unix_ms: now, .. }) => {
            u64::try_from(now.saturating_sub(then)).ok()
        }
        _ => None,
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
