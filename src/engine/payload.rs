//! What goes over the wire: structured CloudEvents 1.0 JSON, padded with spaces
//! (RFC 8259 allows them after a text) so that topic and payload of every event
//! have one constant sum of lengths. The contract is in `docs/mqtt.md`.

mod json;
#[cfg(test)]
mod json_test;
#[cfg(test)]
pub(super) mod schema_test;
#[cfg(test)]
mod tests;

use super::event::{
    Boot, Detail, Event, EventId, Freshness, FromPendant, HeardFrame, Kind, Lane, Telling,
};
use super::name::Name;
use super::policy::{ListenIn, Policies};
use super::seam::{BrokerId, Publish, PublishId};
use super::settings::Settings;
use super::time::{Now, Wall};
use json::{Decimal, Json, Quarters, Text, Value};
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// Topic and payload of any event, bytes. The longest event has room in it,
/// and with MQTT's and TLS's headers it still fits one Ethernet frame.
pub const EVENT_WIRE_BYTES: usize = 1408;

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
        let mut payload = Json::of(length, |json| self.envelope(json, event, replayed, now));
        assert!(payload.len() <= length, "an event outgrew the constant size");
        payload.resize(length, b' ');
        Publish { id, broker, lane, topic, payload }
    }

    fn envelope(&self, json: &mut Json, event: &Event, replayed: bool, now: Now) {
        let lane = event.kind.lane();
        let same_boot = event.boot == self.boot;
        let wall = match event.received.wall {
            // The clock was set later in the same boot: reckon back.
            Wall::Unset if same_boot => now.wall_at(event.received.mono),
            known => known,
        };
        let from = event.from.as_ref();
        json.member("specversion", "1.0");
        json.member("id", event.id);
        json.member("source", &*self.source);
        json.member("type", joined("lonework.v1.", event.kind.as_str()));
        json.member_if_any("subject", from.map(|from| subject(from.pendant)));
        json.member_if_any("time", time(wall));
        json.member("datacontenttype", "application/json");
        json.object("data", |json| {
            json.member("lane", lane.as_str());
            json.member("kind", event.kind.as_str());
            json.member("covert", event.kind.covert());
            json.member("test", matches!(event.kind, Kind::Test | Kind::GatewayTest));
            json.member("boot", hex_64(event.boot));
            json.member("room", lane.as_str());
            json.member("number", event.number);
            json.object("clock", |json| clock(json, wall));
            json.member("mono_ms", event.received.mono.us() / 1000);
            json.member("replayed", replayed);
            json.member_if_any("delay_ms", delay_ms(event, same_boot, now));
            json.member_if_any("codes", event.kind.codes());
            if let Some(from) = from {
                self.pendant(json, from);
            }
            self.response(json, event);
            self.detail(json, &event.detail);
        });
    }

    /// What the operator needs at once, as it is decided now: an event out of
    /// the backlog is answered by today's procedure.
    fn response(&self, json: &mut Json, event: &Event) {
        let pendant = event.from.as_ref().and_then(FromPendant::pendant_id);
        let Some(pendant) = pendant.filter(|_| event.kind.lane() == Lane::Urgent) else { return };
        let response = &self.policies.of(pendant).response;
        json.object("response", |json| {
            json.member("procedure", response.procedure(event.kind).map(Name::as_str));
            json.member("listen_in", response.listen_in.as_ref().map(ListenIn::as_str));
            json.member("do_not_call", response.do_not_call(event.kind));
        });
    }

    fn pendant(&self, json: &mut Json, from: &FromPendant) {
        json.member("pendant", pendant_number(from.pendant));
        json.member("enrolment", hex_64(from.enrolment));
        json.member("wearer", from.wearer.as_str());
        json.member("counter", from.counter);
        json.member("authentication", from.authentication.as_str());
        if let Some(heard) = &from.heard {
            self.heard(json, heard);
        }
    }

    fn heard(&self, json: &mut Json, heard: &HeardFrame) {
        json.member("fresh", heard.freshness == Freshness::Proven);
        json.member("battery_percent", heard.battery_percent);
        json.member("place", (heard.place != 0).then_some(heard.place));
        if let Some(position) = heard.position {
            json.object("position", |json| {
                json.member("latitude", Decimal { digits: position.latitude_e6, places: 6 });
                json.member("longitude", Decimal { digits: position.longitude_e6, places: 6 });
                json.member_if_any("accuracy_m", position.accuracy_m);
                json.member_if_any("age_s", position.age_s);
            });
        }
        let celsius = |tenths: i16| Decimal { digits: tenths.into(), places: 1 };
        json.member_if_any("temperature_c", heard.temperature_decidegrees.map(celsius));
        json.member("link", name_of(&self.links, heard.link.0));
        json.member("rssi_dbm", heard.signal.rssi_dbm);
        json.member("snr_db", heard.signal.snr_quarter_db.map(Quarters));
        json.member("frequency_hz", heard.signal.frequency_hz);
        json.member("spreading_factor", heard.signal.spreading_factor);
        json.member("frequency_error_hz", heard.signal.frequency_error_hz);
    }

    /// What only some kinds say, under the name of what it is about.
    fn detail(&self, json: &mut Json, detail: &Detail) {
        if matches!(detail, Detail::None | Detail::Started { previous: None }) {
            return;
        }
        json.object("detail", |json| match *detail {
            Detail::None | Detail::Started { previous: None } => {}
            Detail::Session { minutes, due_unix_ms } => json.object("session", |json| {
                json.member("minutes", minutes);
                json.member("due", due_unix_ms.and_then(rfc3339));
            }),
            Detail::Started { previous: Some(ended) } => json.object("previous", |json| {
                json.member("boot", hex_64(ended.boot));
                json.member("last_urgent", ended.last[Lane::Urgent as usize]);
                json.member("last_trouble", ended.last[Lane::Trouble as usize]);
                json.member("last_routine", ended.last[Lane::Routine as usize]);
            }),
            Detail::Void { boot, lane, first, last, count } => json.object("void", |json| {
                json.member("boot", hex_64(boot));
                json.member("room", lane.as_str());
                json.member("first", first);
                json.member("last", last);
                json.member("count", count);
            }),
            Detail::Damage { slots } => json.object("damage", |json| json.member("frames", slots)),
            Detail::Refused { broker, reason, event } => json.object("refused", |json| {
                json.member("broker", name_of(&self.brokers, broker.0));
                json.member("reason", reason);
                json.member("event", event);
            }),
            Detail::Link(link) => json.member("link", name_of(&self.links, link.0)),
            Detail::Broker(broker) => json.member("broker", name_of(&self.brokers, broker.0)),
            Detail::Pendant(pendant) => json.member("pendant", pendant_number(pendant)),
            Detail::Times(times) => json.member("times", times),
            Detail::Overdue { minutes, due_unix_ms, late_ms } => json.object("overdue", |json| {
                json.member("minutes", minutes);
                json.member("due", due_unix_ms.and_then(rfc3339));
                json.member("late_ms", late_ms);
            }),
            Detail::Late { late_ms } => json.object("late", |json| json.member("late_ms", late_ms)),
            Detail::Air { link, sign, noise_dbm, usual_dbm } => json.object("air", |json| {
                json.member("link", link.map(|link| name_of(&self.links, link.0)));
                json.member("sign", sign.as_str());
                json.member("noise_dbm", noise_dbm);
                json.member("usual_dbm", usual_dbm);
            }),
            Detail::Certificate { broker, of, ends_unix_s, days_left } => {
                json.object("certificate", |json| {
                    json.member("broker", name_of(&self.brokers, broker.0));
                    json.member("of", of.as_str());
                    json.member("ends", rfc3339(ends_unix_s.saturating_mul(1000)));
                    json.member("days_left", days_left);
                });
            }
            Detail::Unfit { broker, of, why } => json.object("unfit", |json| {
                json.member("broker", name_of(&self.brokers, broker.0));
                json.member("of", of.as_str());
                json.member("why", why.as_str());
            }),
            Detail::Unreadable { enrolments, ref pendants } => json.object("unreadable", |json| {
                json.member("enrolments", enrolments);
                json.member("pendants", PendantNumbers(pendants));
            }),
            Detail::GivenUp { ref pendants } => json.object("given_up", |json| {
                for (pendant, count) in pendants {
                    json.member(&format!("{pendant:06x}"), *count);
                }
            }),
        });
    }
}

/// `lonework/v1/{site}/{gateway}`: every topic of the gateway begins with it.
#[must_use]
pub fn topic_base(settings: &Settings) -> String {
    format!("lonework/v1/{}/{}", settings.site, settings.gateway)
}

/// What a message on the receipt topic names:
/// `{"received":"<uuid>","boot":"<16 hexadecimal digits>"}`. `None` if it is none.
#[must_use]
pub fn parse_receipt(payload: &[u8]) -> Option<Telling> {
    #[derive(serde::Deserialize)]
    struct Receipt<'t> {
        received: &'t str,
        boot: &'t str,
    }
    let receipt: Receipt<'_> = serde_json::from_slice(payload).ok()?;
    Some(Telling { id: EventId::parse(receipt.received)?, boot: parse_boot(receipt.boot)? })
}

/// Reads a boot as events and receipts name it: 16 hexadecimal digits, of both cases.
#[must_use]
pub fn parse_boot(text: &str) -> Option<Boot> {
    let is_boot = text.len() == 16 && text.bytes().all(|c| c.is_ascii_hexdigit());
    is_boot.then(|| Boot::from_str_radix(text, 16).ok()).flatten()
}

/// The name of the link or broker that stood at this place when it was told.
fn name_of(names: &[String], place: u8) -> &str {
    names.get(usize::from(place)).map_or("removed", String::as_str)
}

fn clock(json: &mut Json, wall: Wall) {
    match wall {
        Wall::Unset => json.member("source", "unset"),
        Wall::Set { uncertainty_ms, source, .. } => {
            json.member("source", source.as_str());
            json.member("uncertainty_ms", uncertainty_ms);
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

fn time(wall: Wall) -> Option<impl Value> {
    match wall {
        Wall::Unset => None,
        Wall::Set { unix_ms, .. } => rfc3339(unix_ms),
    }
}

/// RFC 3339 with milliseconds; `None` outside the years 1970 to 9999.
fn rfc3339(unix_ms: i64) -> Option<impl Value> {
    const YEAR_10000_MS: u64 = 253_402_300_800_000;
    let ms = u64::try_from(unix_ms).ok().filter(|ms| *ms < YEAR_10000_MS)?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    Some(Text(move |json: &mut Json| {
        write!(json, "{}", humantime::format_rfc3339_millis(time)).expect("memory takes all");
    }))
}

fn joined(first: &'static str, second: &'static str) -> impl Value {
    Text(move |json: &mut Json| {
        json.put(first);
        json.put(second);
    })
}

fn subject(pendant: u32) -> impl Value {
    Text(move |json: &mut Json| {
        json.put("pendant/");
        json.hex(pendant.into(), 6);
    })
}

fn pendant_number(pendant: u32) -> impl Value {
    Text(move |json: &mut Json| json.hex(pendant.into(), 6))
}

/// Several of them.
struct PendantNumbers<'p>(&'p [u32]);

impl Value for PendantNumbers<'_> {
    fn write(self, json: &mut Json) {
        for (index, pendant) in self.0.iter().enumerate() {
            json.put(if index == 0 { "[" } else { "," });
            pendant_number(*pendant).write(json);
        }
        json.put(if self.0.is_empty() { "[]" } else { "]" });
    }
}

fn hex_64(number: u64) -> impl Value {
    Text(move |json: &mut Json| json.hex(number, 16))
}
