//! An event as the centre reads it: by the contract, not by the gateway's code,
//! so that a gateway that leaves the contract is found out.

use pendant_gateway::engine::payload::parse_boot;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// Bytes of topic and payload of every event. What differs from it could tell
/// a listener on the line what happened.
pub const EVENT_WIRE_BYTES: usize = 1408;

/// Largest payload that is read. Whatever the contract knows is smaller.
pub(super) const PAYLOAD_BYTES_MAX: usize = 4096;

/// Longest name of a site, gateway or key, as in the contract.
const NAME_BYTES_MAX: usize = 32;

/// Longest of the texts by which events are told apart: kinds, boots, pendants, wearers.
const WORD_BYTES_MAX: usize = 64;

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name for ever: a UUID.
    pub id: String,
    /// The site, from the topic.
    pub site: String,
    /// The gateway, from the topic.
    pub gateway: String,
    /// When it happened (RFC 3339), if the gateway's clock was set.
    pub time: Option<String>,
    /// The part that every event has.
    pub data: Data,
    /// Bytes of topic and payload.
    pub wire_bytes: usize,
}

/// What stands in `data`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Data {
    /// The lane.
    pub lane: String,
    /// What happened.
    pub kind: String,
    /// Nobody on site may learn of it.
    pub covert: bool,
    /// The gateway's boot.
    pub boot: String,
    /// Dense within (boot, lane), from 1.
    pub number: u64,
    /// The pendant, unless the gateway speaks of itself.
    pub pendant: Option<String>,
    /// Who wore it then.
    pub wearer: Option<String>,
    /// The frame's counter.
    pub counter: Option<u32>,
    /// It was sent from the store, not live.
    pub replayed: bool,
    /// From the event to its sending, ms, if a clock can tell.
    pub delay_ms: Option<u64>,
    /// What only this kind says.
    pub detail: Option<Detail>,
    /// All else.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// The details that say which numbers to expect; others are not read here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// How the gateway's boot before this one ended.
    Previous {
        /// That boot.
        boot: String,
        /// Its last number in the urgent lane, 0 none.
        last_urgent: u64,
        /// Its last number in the trouble lane, 0 none.
        last_trouble: u64,
        /// Its last number in the routine lane, 0 none.
        last_routine: u64,
    },
    /// Numbers that will never come, or have come already.
    Void {
        /// Of which boot.
        boot: String,
        /// Of which lane.
        room: String,
        /// The first.
        first: u64,
        /// The last.
        last: u64,
        /// How many of them are lost.
        count: u64,
    },
    /// Anything else.
    #[serde(untagged)]
    Other(Value),
}

/// Why a message is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The topic is none of an event's.
    Topic,
    /// The payload has so many bytes: too many to be read.
    Size(usize),
    /// The payload is no JSON of an event; says why.
    Payload(String),
    /// The id is no UUID.
    Id,
    /// The payload claims another lane than the topic.
    Lane,
    /// The payload claims another gateway than the topic.
    Source,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic => f.write_str("its topic is none of an event"),
            Self::Size(bytes) => write!(f, "its payload has {bytes} bytes, which is not read"),
            Self::Payload(why) => write!(f, "its payload is no event: {why}"),
            Self::Id => f.write_str("its id is no UUID"),
            Self::Lane => f.write_str("its payload claims another lane than its topic"),
            Self::Source => f.write_str("its payload claims another gateway than its topic"),
        }
    }
}

#[derive(Deserialize)]
struct CloudEvent {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    time: Option<String>,
    data: Data,
}

/// What a topic of the contract is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic<'a> {
    /// The site.
    pub site: &'a str,
    /// The gateway.
    pub gateway: &'a str,
    /// `event/{lane}`, `state`, ….
    pub rest: &'a str,
}

impl<'a> Topic<'a> {
    /// Reads `lonework/v1/{site}/{gateway}/{rest}`.
    #[must_use]
    pub fn parse(topic: &'a str) -> Option<Self> {
        let mut parts = topic.strip_prefix("lonework/v1/")?.splitn(3, '/');
        let (site, gateway, rest) = (parts.next()?, parts.next()?, parts.next()?);
        (is_name(site) && is_name(gateway)).then_some(Self { site, gateway, rest })
    }
}

impl Event {
    /// What is sent on the gateway's receipt topic when the event is durable here. It
    /// names the boot as well: another may have told the same under another number.
    #[must_use]
    pub fn receipt(&self) -> String {
        format!(r#"{{"received":"{}","boot":"{}"}}"#, self.id, self.data.boot)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(topic: &str, payload: &[u8]) -> Result<Self, Malformed> {
        let parsed = Topic::parse(topic).ok_or(Malformed::Topic)?;
        let lane = parsed.rest.strip_prefix("event/").ok_or(Malformed::Topic)?;
        let event: CloudEvent = read(payload)?;
        if !is_uuid(&event.id) {
            return Err(Malformed::Id);
        }
        if event.data.lane != lane {
            return Err(Malformed::Lane);
        }
        if event.source != format!("/lonework/{}/{}", parsed.site, parsed.gateway) {
            return Err(Malformed::Source);
        }
        if event.specversion != "1.0" {
            return Err(Malformed::Payload("specversion is not 1.0".into()));
        }
        if event.kind != format!("lonework.v1.{}", event.data.kind) {
            return Err(Malformed::Payload("type and data.kind differ".into()));
        }
        if !event.data.is_sound() {
            return Err(Malformed::Payload("a name in it is none".into()));
        }
        Ok(Self {
            id: event.id,
            site: parsed.site.into(),
            gateway: parsed.gateway.into(),
            time: event.time,
            data: event.data,
            wire_bytes: topic.len() + payload.len(),
        })
    }
}

impl Data {
    /// What is remembered, compared and put into receipts has the form of the contract;
    /// else a rogue gateway could fill our memory with one message.
    fn is_sound(&self) -> bool {
        let is_word = |word: &str| {
            (1..=WORD_BYTES_MAX).contains(&word.len())
                && word.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
        };
        // A receipt that names it otherwise would be none to the gateway.
        let is_boot = |boot: &str| parse_boot(boot).is_some();
        let details = match &self.detail {
            Some(Detail::Previous { boot, .. }) => is_boot(boot),
            Some(Detail::Void { boot, room, .. }) => is_boot(boot) && is_word(room),
            Some(Detail::Other(_)) | None => true,
        };
        is_word(&self.kind)
            && is_word(&self.lane)
            && is_boot(&self.boot)
            && self.pendant.as_deref().is_none_or(is_word)
            && self.wearer.as_ref().is_none_or(|wearer| wearer.len() <= WORD_BYTES_MAX)
            && details
    }
}

/// Reads JSON of bounded size.
pub(super) fn read<T: serde::de::DeserializeOwned>(payload: &[u8]) -> Result<T, Malformed> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Malformed::Size(payload.len()));
    }
    let text = std::str::from_utf8(payload)
        .map_err(|_| Malformed::Payload("it is no text in UTF-8".into()))?;
    serde_json::from_str(text).map_err(|error| {
        // It may quote what it did not like.
        Malformed::Payload(error.to_string().chars().take(200).collect())
    })
}

/// What may stand in topics and name keys.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c))
}

/// Lower-case text form of RFC 9562, section 4.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "lonework/v1/plant/gate-1/event/urgent";

    fn payload() -> Value {
        serde_json::json!({
            "specversion": "1.0",
            "id": "0190a1b2-c3d4-8e5f-9a0b-1c2d3e4f5061",
            "source": "/lonework/plant/gate-1",
            "type": "lonework.v1.duress",
            "subject": "pendant/00012f",
            "time": "2026-01-02T03:04:05.678Z",
            "datacontenttype": "application/json",
            "data": {
                "lane": "urgent", "kind": "duress", "covert": true, "boot": "00000000000000ff", "number": 12,
                "pendant": "00012f", "wearer": "alice", "counter": 5, "extra": [1]
            }
        })
    }

    #[test]
    fn an_event_of_the_contract_is_read_with_its_padding() {
        let text = format!("{}{}", payload(), " ".repeat(100));
        let event = Event::parse(TOPIC, text.as_bytes()).expect("an event");
        assert_eq!((event.site.as_str(), event.gateway.as_str()), ("plant", "gate-1"));
        assert_eq!((event.data.kind.as_str(), event.data.number), ("duress", 12));
        assert!(event.data.covert && !event.data.replayed);
        assert_eq!(event.wire_bytes, TOPIC.len() + text.len());
        assert_eq!(event.data.more.len(), 1);
    }

    #[test]
    fn every_field_is_read_once_and_what_may_lack_may_be_null() {
        let full = serde_json::json!({
            "lane": "urgent", "kind": "duress", "covert": true, "boot": "00000000000000ff", "number": 12,
            "pendant": "00012f", "wearer": "alice", "counter": 5, "replayed": true,
            "delay_ms": 7, "detail": {"times": 3}, "clock": {"source": "ntp"}, "place": 7
        });
        let data: Data = serde_json::from_value(full.clone()).expect("data");
        assert_eq!(serde_json::to_value(&data).expect("JSON"), full);
        for name in ["pendant", "wearer", "counter", "delay_ms", "detail"] {
            let mut value = full.clone();
            value[name] = Value::Null;
            serde_json::from_value::<Data>(value).expect(name);
        }
        for (name, value) in full.as_object().expect("an object") {
            let mut lacking = full.clone();
            lacking.as_object_mut().expect("an object").remove(name);
            let is_needed = ["lane", "kind", "covert", "boot", "number"].contains(&name.as_str());
            assert_eq!(serde_json::from_value::<Data>(lacking).is_err(), is_needed, "{name}");
            // Others might read the other value.
            let twice = full.to_string().replacen('{', &format!("{{{}:{value},", json(name)), 1);
            let is_known = !["clock", "place"].contains(&name.as_str());
            assert_eq!(serde_json::from_str::<Data>(&twice).is_err(), is_known, "{name}");
        }
        assert!(serde_json::from_str::<Data>("[1]").is_err());
    }

    fn json(text: &str) -> String {
        Value::from(text).to_string()
    }

    #[test]
    fn what_leaves_the_contract_is_told() {
        let with = |path: &str, value: Value| {
            let mut payload = payload();
            *payload.pointer_mut(path).expect("a field") = value;
            Event::parse(TOPIC, payload.to_string().as_bytes())
        };
        assert_eq!(with("/id", "x".into()), Err(Malformed::Id));
        assert_eq!(with("/data/lane", "routine".into()), Err(Malformed::Lane));
        assert_eq!(with("/source", "/lonework/plant/gate-2".into()), Err(Malformed::Source));
        for (path, value) in [
            ("/specversion", Value::from("0.3")),
            ("/type", "lonework.v1.panic".into()),
            ("/data/number", "12".into()),
            ("/data/boot", "\u{1b}[2J".into()),
            ("/data/boot", "00ff".into()),
            ("/data/boot", "0cover t789abcdef".into()),
            ("/data/pendant", "0".repeat(65).into()),
            ("/data/wearer", "w".repeat(65).into()),
            ("/data", Value::Null),
        ] {
            assert!(matches!(with(path, value), Err(Malformed::Payload(_))), "{path}");
        }
        for topic in [
            "lonework/v1//g/event/urgent",
            "lonework/v1/s/g\u{9b}/event/urgent",
            "lonework/v1/s/g/state",
            "x",
            "",
        ] {
            assert_eq!(Event::parse(topic, b"{}"), Err(Malformed::Topic));
        }
        assert!(matches!(Event::parse(TOPIC, &[0xFF; 900]), Err(Malformed::Payload(_))));
        assert_eq!(Event::parse(TOPIC, &[b' '; 4097]), Err(Malformed::Size(4097)));
    }
}
