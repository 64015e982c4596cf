//! What the centre knows of what it heard: which events it has, and which
//! numbers are missing.

use super::command::GATEWAYS_MAX;
use super::command::{ANSWER_WIRE_BYTES, Answer};
use super::event::{Detail, EVENT_WIRE_BYTES, Event, Malformed, PAYLOAD_BYTES_MAX, Topic};
use super::ledger::{Ledger, Missing, Series, Since};
use ring::digest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Events that are remembered to know them again: at 48 bytes each, 12 MiB. A gateway
/// offers an event again only until it is receipted. With more, the gateway that has
/// the most forgets the older half of its own.
const KNOWN_MAX: usize = 1 << 18;
/// Of the topic of what is no message of the contract, so much is told.
const TOPIC_CHARS_MAX: usize = 120;

/// The lanes of the contract.
const LANES: [&str; 3] = ["urgent", "trouble", "routine"];

/// What an event's message shows to be wrong at its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Topic and payload have another length than [`EVENT_WIRE_BYTES`], or an answer's
    /// than [`ANSWER_WIRE_BYTES`].
    Size,
    /// Another event came with the same number.
    NumberTwice,
}

/// A message, judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// An event.
    Event {
        /// It.
        event: Box<Event>,
        /// It came before, from this gateway or another that heard the same press.
        again: bool,
        /// Its gateway had not told anything under its number.
        is_new_number: bool,
        /// What is wrong with it.
        flaws: Vec<Flaw>,
    },
    /// A gateway's state: its birth message or its last will.
    State {
        /// The site.
        site: String,
        /// The gateway.
        gateway: String,
        /// The payload.
        text: String,
        /// It stood at the broker before we came.
        retained: bool,
    },
    /// A gateway's answer to the centre's message.
    Answer {
        /// The site.
        site: String,
        /// The gateway.
        gateway: String,
        /// It.
        answer: Answer,
        /// What is wrong with it.
        flaws: Vec<Flaw>,
    },
    /// No message of the contract.
    Malformed {
        /// Where it came.
        topic: String,
        /// Why.
        why: Malformed,
    },
}

/// An event: its id, and what it says. An event that bears a known id and says something
/// else is no repetition, and must not be hidden by one.
type Key = (u128, u64);

/// All that was heard.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Register {
    ledger: Ledger,
    known: BTreeSet<Key>,
    /// By the gateway that told it first, oldest first.
    by_gateway: BTreeMap<String, VecDeque<Key>>,
    known_max: usize,
}

/// What is kept of it.
#[derive(Deserialize, Serialize)]
struct Stored {
    ledger: Ledger,
    by_gateway: BTreeMap<String, VecDeque<Key>>,
}

impl From<Stored> for Register {
    fn from(Stored { ledger, by_gateway }: Stored) -> Self {
        let known = by_gateway.values().flatten().copied().collect();
        Self { ledger, known, by_gateway, known_max: KNOWN_MAX }
    }
}

impl From<Register> for Stored {
    fn from(Register { ledger, by_gateway, .. }: Register) -> Self {
        Self { ledger, by_gateway }
    }
}

impl Register {
    /// Nothing heard yet.
    #[must_use]
    pub fn new(since: Since) -> Self {
        Stored { ledger: Ledger::new(since), by_gateway: BTreeMap::new() }.into()
    }

    /// Judges a message.
    pub fn hear(&mut self, topic: &str, payload: &[u8], retained: bool) -> Heard {
        let heard = match Topic::parse(topic) {
            _ if payload.len() > PAYLOAD_BYTES_MAX => Err(Malformed::Size(payload.len())),
            Some(Topic { site, gateway, rest: "state" }) => Ok(Heard::State {
                site: site.into(),
                gateway: gateway.into(),
                text: String::from_utf8_lossy(payload).trim_end().into(),
                retained,
            }),
            Some(Topic { site, gateway, rest: "answer" }) => {
                Answer::parse(topic, payload).map(|answer| Heard::Answer {
                    site: site.into(),
                    gateway: gateway.into(),
                    flaws: (answer.wire_bytes != ANSWER_WIRE_BYTES)
                        .then_some(Flaw::Size)
                        .into_iter()
                        .collect(),
                    answer,
                })
            }
            _ => Event::parse(topic, payload).map(|event| self.hear_event(event)),
        };
        heard.unwrap_or_else(|why| Heard::Malformed {
            topic: topic.chars().take(TOPIC_CHARS_MAX).collect(),
            why,
        })
    }

    fn hear_event(&mut self, event: Event) -> Heard {
        let series = series_of(&event, &event.data.boot, &event.data.lane);
        let is_new_number = self.ledger.account(&series, event.data.number, event.data.number);
        self.apply(&event);
        let again = !self.remember(&event);
        let mut flaws = Vec::new();
        if event.wire_bytes != EVENT_WIRE_BYTES {
            flaws.push(Flaw::Size);
        }
        if !is_new_number && !again {
            flaws.push(Flaw::NumberTwice);
        }
        Heard::Event { event: Box::new(event), again, is_new_number, flaws }
    }

    /// How many numbers of a gateway are not waited for any more.
    #[must_use]
    pub fn given_up(&self, gateway: &str) -> u64 {
        self.ledger.given_up(gateway)
    }

    /// What is missing now.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        self.ledger.missing().collect()
    }

    /// What the gateway declares about numbers.
    fn apply(&mut self, event: &Event) {
        if event.data.kind == "gateway_started" {
            for lane in LANES {
                self.ledger.begin(&series_of(event, &event.data.boot, lane));
            }
        }
        match &event.data.detail {
            Some(Detail::Previous { boot, last_urgent, last_trouble, last_routine }) => {
                let last = [last_urgent, last_trouble, last_routine];
                for (lane, last) in LANES.into_iter().zip(last) {
                    self.ledger.close(&series_of(event, boot, lane), *last);
                }
            }
            Some(Detail::Void { boot, room, first, last, .. }) => {
                self.ledger.account(&series_of(event, boot, room), *first, *last);
            }
            Some(Detail::Other(_)) | None => {}
        }
    }

    /// Says whether it was unknown.
    fn remember(&mut self, event: &Event) -> bool {
        let key = key_of(event);
        if !self.known.insert(key) {
            return false;
        }
        let gateway = format!("{}/{}", event.site, event.gateway);
        let is_one_too_many = self.by_gateway.len() >= GATEWAYS_MAX;
        // What more gateways there are share one place.
        let is_known = self.by_gateway.contains_key(&gateway);
        let place = if is_one_too_many && !is_known { String::new() } else { gateway };
        self.by_gateway.entry(place).or_default().push_back(key);
        if self.known.len() > self.known_max {
            self.forget();
        }
        true
    }

    fn forget(&mut self) {
        if let Some(most) = self.by_gateway.values_mut().max_by_key(|keys| keys.len()) {
            for key in most.drain(..most.len().div_ceil(2)) {
                self.known.remove(&key);
            }
        }
        self.by_gateway.retain(|_, keys| !keys.is_empty());
    }
}

fn key_of(event: &Event) -> Key {
    let digits = event.id.bytes().filter_map(|digit| char::from(digit).to_digit(16));
    let id = digits.fold(0, |id, digit| id << 4 | u128::from(digit));
    let covert = if event.data.covert { "covert" } else { "" };
    let pendant = event.data.pendant.as_deref().unwrap_or_default();
    let says = [&event.data.kind, " ", covert, " ", pendant].concat();
    let digest = digest::digest(&digest::SHA256, says.as_bytes());
    let (first, _) = digest.as_ref().split_first_chunk().expect("it has 32 bytes");
    (id, u64::from_be_bytes(*first))
}

fn series_of(event: &Event, boot: &str, lane: &str) -> Series {
    Series {
        gateway: format!("{}/{}", event.site, event.gateway),
        boot: boot.into(),
        lane: lane.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn hear(register: &mut Register, number: u64, detail: Value) {
        let payload = json!({
            "specversion": "1.0",
            "id": format!("0190a1b2-c3d4-8e5f-9a0b-{number:012x}"),
            "source": "/lonework/s/g",
            "type": "lonework.v1.gateway_started",
            "data": {
                "lane": "trouble", "kind": "gateway_started", "covert": false, "boot": "0000000000000002",
                "number": number, "delay_ms": null, "detail": detail,
            }
        });
        let topic = "lonework/v1/s/g/event/trouble";
        let heard = register.hear(topic, payload.to_string().as_bytes(), false);
        assert!(matches!(heard, Heard::Event { again: false, .. }), "{heard:?}");
    }

    fn event(gateway: &str, number: u64) -> Event {
        let payload = json!({
            "specversion": "1.0",
            "id": format!("0190a1b2-c3d4-8e5f-9a0b-{number:012x}"),
            "source": format!("/lonework/s/{gateway}"),
            "type": "lonework.v1.panic",
            "data": { "lane": "urgent", "kind": "panic", "covert": false, "boot": "0000000000000002",
                "number": number },
        });
        let topic = format!("lonework/v1/s/{gateway}/event/urgent");
        Event::parse(&topic, payload.to_string().as_bytes()).expect("an event")
    }

    #[test]
    fn a_gateway_that_floods_makes_nobody_else_s_events_forgotten() {
        let mut register = Register { known_max: 100, ..Register::new(Since::FirstHeard) };
        assert!(register.remember(&event("g", 1)));
        for number in 2..1000 {
            assert!(register.remember(&event("rogue", number)));
        }
        assert!(register.known.len() <= 100);
        assert!(!register.remember(&event("g", 1)), "it is known still");
        assert!(!register.remember(&event("rogue", 999)));
        let text = serde_json::to_string(&register).expect("JSON");
        let mut again: Register = serde_json::from_str(&text).expect("a register");
        assert!(!again.remember(&event("g", 1)) && again.known == register.known);
    }

    #[test]
    fn what_the_gateway_declares_about_numbers_counts() {
        let mut register = Register::new(Since::Start);
        let missing = |register: &Register| -> Vec<String> {
            register.missing().iter().map(ToString::to_string).collect()
        };
        let ended = json!({"boot": "0000000000000001", "last_urgent": 3, "last_trouble": 0, "last_routine": 9});
        hear(&mut register, 1, json!({ "previous": ended }));
        let expected = [
            "s/g boot 0000000000000001 routine: numbers 1 to 9",
            "s/g boot 0000000000000001 urgent: numbers 1 to 3",
        ];
        assert_eq!(missing(&register), expected);
        let shed = json!({"boot": "0000000000000001", "room": "routine", "first": 1, "last": 9, "count": 4});
        hear(&mut register, 2, json!({ "void": shed }));
        hear(&mut register, 3, json!({ "times": 4 }));
        assert_eq!(missing(&register), expected[1..]);
    }
}
