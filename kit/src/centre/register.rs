//! What the centre knows of what it heard: which events it has, and which
//! numbers are missing.

use super::command::{ANSWER_WIRE_BYTES, Answer};
use super::event::{Detail, EVENT_WIRE_BYTES, Event, Malformed, Topic};
use super::ledger::{Ledger, Missing, Series, Since};
use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Events that are remembered to know them again: at 48 bytes each, 48 MiB. A
/// gateway offers an event again only until it is receipted.
const KNOWN_MAX: usize = 1_000_000;

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

/// All that was heard.
#[derive(Clone, Debug)]
pub struct Register {
    ledger: Ledger,
    /// By id and kind: an event that bears a known id and says something else
    /// is no repetition, and must not be hidden by one.
    known: BTreeSet<(u128, u64)>,
    oldest: VecDeque<(u128, u64)>,
}

impl Register {
    /// Nothing heard yet.
    #[must_use]
    pub fn new(since: Since) -> Self {
        Self { ledger: Ledger::new(since), known: BTreeSet::new(), oldest: VecDeque::new() }
    }

    /// Judges a message.
    pub fn hear(&mut self, topic: &str, payload: &[u8], retained: bool) -> Heard {
        let heard = match Topic::parse(topic) {
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
        heard.unwrap_or_else(|why| Heard::Malformed { topic: topic.into(), why })
    }

    fn hear_event(&mut self, event: Event) -> Heard {
        let series = series_of(&event, &event.data.boot, &event.data.lane);
        let new_number = self.ledger.account(&series, event.data.number, event.data.number);
        self.apply(&event);
        let again = !self.remember(&event);
        let mut flaws = Vec::new();
        if event.wire_bytes != EVENT_WIRE_BYTES {
            flaws.push(Flaw::Size);
        }
        if !new_number && !again {
            flaws.push(Flaw::NumberTwice);
        }
        Heard::Event { event: Box::new(event), again, flaws }
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
        let digits: String = event.id.chars().filter(|c| *c != '-').collect();
        let id = u128::from_str_radix(&digits, 16).expect("a parsed event's id is a UUID");
        let mut hasher = DefaultHasher::new();
        (&event.data.kind, event.data.covert, &event.data.pendant).hash(&mut hasher);
        let key = (id, hasher.finish());
        if !self.known.insert(key) {
            return false;
        }
        self.oldest.push_back(key);
        if self.oldest.len() > KNOWN_MAX {
            if let Some(oldest) = self.oldest.pop_front() {
                self.known.remove(&oldest);
            }
        }
        true
    }
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
                "lane": "trouble", "kind": "gateway_started", "covert": false, "boot": "02",
                "number": number, "delay_ms": null, "detail": detail,
            }
        });
        let topic = "lonework/v1/s/g/event/trouble";
        let heard = register.hear(topic, payload.to_string().as_bytes(), false);
        assert!(matches!(heard, Heard::Event { again: false, .. }), "{heard:?}");
    }

    #[test]
    fn what_the_gateway_declares_about_numbers_counts() {
        let mut register = Register::new(Since::Start);
        let missing = |register: &Register| -> Vec<String> {
            register.missing().iter().map(ToString::to_string).collect()
        };
        let ended = json!({"boot": "01", "last_urgent": 3, "last_trouble": 0, "last_routine": 9});
        hear(&mut register, 1, json!({ "previous": ended }));
        let expected =
            ["s/g boot 01 routine: numbers 1 to 9", "s/g boot 01 urgent: numbers 1 to 3"];
        assert_eq!(missing(&register), expected);
        let shed = json!({"boot": "01", "room": "routine", "first": 1, "last": 9, "count": 4});
        hear(&mut register, 2, json!({ "void": shed }));
        hear(&mut register, 3, json!({ "times": 4 }));
        assert_eq!(missing(&register), expected[1..]);
    }
}
