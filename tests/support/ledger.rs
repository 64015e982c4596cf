//! The centre's books, kept by nobody who shares code with the gateway or with
//! the kit's centre: they read JSON as `docs/mqtt.md` describes it, and judge
//! what was acknowledged on site against what arrived.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of topic and payload of every event (`docs/mqtt.md`).
const WIRE_BYTES: usize = 1408;

const LANES: [&str; 3] = ["urgent", "trouble", "routine"];

/// Something that a pendant was answered for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acknowledged {
    /// As events write it: 6 hexadecimal digits.
    pub pendant: String,
    pub counter: u64,
    /// Of a LoRaWAN pendant only this much of its counter is the frame's: its sessions begin
    /// at multiples of 65,536.
    pub modulus: u64,
    /// What it may be told as.
    pub kinds: &'static [&'static str],
}

/// Where an event stands in the gateway's own numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    boot: String,
    lane: String,
    number: u64,
}

/// What makes two messages the same event: the pendant, its enrolment, the
/// counter and the kind; of the gateway's own, where it stands.
type Identity = (String, String, u64, String);

#[derive(Debug, Default)]
pub struct Ledger {
    messages: u64,
    ids: BTreeMap<Identity, String>,
    identities: BTreeMap<String, Identity>,
    places: BTreeMap<String, BTreeSet<Place>>,
    by_place: BTreeMap<Place, String>,
    void: BTreeMap<(String, String), Vec<(u64, u64)>>,
    /// By boot: the last durable number of each lane, as the next boot says.
    ended: BTreeMap<String, [u64; 3]>,
    begun: Vec<String>,
    wrong: Vec<String>,
}

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub messages: u64,
    pub events: usize,
    /// Boots whose end was told by a later one.
    pub boots_ended: usize,
    pub boots_begun: usize,
}

impl Ledger {
    /// Books one message.
    pub fn hear(&mut self, topic: &str, payload: &str) {
        self.messages += 1;
        if let Err(why) = self.book(topic, payload) {
            self.wrong.push(format!("{why}: {topic} {}", payload.trim_end()));
        }
    }

    fn book(&mut self, topic: &str, payload: &str) -> Result<(), &'static str> {
        if topic.len() + payload.len() != WIRE_BYTES {
            return Err("another size");
        }
        let json: Value = serde_json::from_str(payload).map_err(|_| "no JSON")?;
        let data = &json["data"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let id = text(&json["id"]).ok_or("no id")?;
        let kind = text(&data["kind"]).ok_or("no kind")?;
        let place = Place {
            boot: text(&data["boot"]).ok_or("no boot")?,
            lane: text(&data["lane"]).ok_or("no lane")?,
            number: data["number"].as_u64().ok_or("no number")?,
        };
        if !topic.ends_with(&format!("/event/{}", place.lane)) {
            return Err("another lane than its topic");
        }
        let identity = match text(&data["pendant"]) {
            Some(pendant) => {
                let enrolment = text(&data["enrolment"]).ok_or("no enrolment")?;
                (pendant, enrolment, data["counter"].as_u64().ok_or("no counter")?, kind.clone())
            }
            None => (place.boot.clone(), place.lane.clone(), place.number, kind.clone()),
        };
        self.declared(&kind, &place.boot, &data["detail"])?;
        let known = self.ids.entry(identity.clone()).or_insert_with(|| id.clone());
        if *known != id {
            return Err("one press has two ids");
        }
        let known = self.identities.entry(id.clone()).or_insert_with(|| identity.clone());
        if *known != identity {
            return Err("one id names two presses");
        }
        let known = self.by_place.entry(place.clone()).or_insert_with(|| id.clone());
        if *known != id {
            return Err("one number names two events");
        }
        self.places.entry(id).or_default().insert(place);
        Ok(())
    }

    /// What an event says about numbers.
    fn declared(&mut self, kind: &str, boot: &str, detail: &Value) -> Result<(), &'static str> {
        if kind == "gateway_started" && !self.begun.iter().any(|known| known == boot) {
            self.begun.push(boot.to_owned());
        }
        let name = |value: &Value| value.as_str().map(str::to_owned);
        let number = |value: &Value| value.as_u64().ok_or("no number in a declaration");
        let previous = &detail["previous"];
        if let Some(ended) = name(&previous["boot"]) {
            let mut last = [0; 3];
            for (last, lane) in last.iter_mut().zip(LANES) {
                *last = number(&previous[format!("last_{lane}")])?;
            }
            if *self.ended.entry(ended).or_insert(last) != last {
                return Err("the end of a boot was told in two ways");
            }
        }
        let void = &detail["void"];
        if let (Some(boot), Some(room)) = (name(&void["boot"]), name(&void["room"])) {
            let range = (number(&void["first"])?, number(&void["last"])?);
            self.void.entry((boot, room)).or_default().push(range);
        }
        Ok(())
    }

    /// All that is wrong now. Empty once everything that must come has come.
    pub fn judge(&self, acknowledged: &BTreeSet<Acknowledged>) -> Vec<String> {
        let mut wrong = self.wrong.clone();
        wrong.extend(
            acknowledged
                .iter()
                .filter(|press| !self.has(press))
                .map(|press| format!("acknowledged, and not here as a durable event: {press:?}")),
        );
        let newest = self.newest();
        for boot in self.ended.keys().chain(newest) {
            for (index, lane) in LANES.iter().enumerate() {
                let last = match self.ended.get(boot) {
                    Some(last) => last[index],
                    None => self.highest(boot, lane),
                };
                let missing: Vec<u64> =
                    (1..=last).filter(|number| !self.accounted(boot, lane, *number)).collect();
                if !missing.is_empty() {
                    wrong.push(format!("boot {boot}, {lane}, up to {last}: no {missing:?}"));
                }
            }
        }
        wrong
    }

    pub fn counts(&self) -> Counts {
        Counts {
            messages: self.messages,
            events: self.places.len(),
            boots_ended: self.ended.len(),
            boots_begun: self.begun.len(),
        }
    }

    /// Different events of a kind.
    pub fn count_of(&self, kind: &str) -> usize {
        self.ids.keys().filter(|(.., known)| known == kind).count()
    }

    /// The boot that nothing has ended yet.
    fn newest(&self) -> Option<&String> {
        self.begun.iter().rev().find(|boot| !self.ended.contains_key(*boot))
    }

    /// What was acknowledged stands among the durable numbers of its boot.
    fn has(&self, press: &Acknowledged) -> bool {
        let range = (press.pendant.clone(), String::new(), 0, String::new())..;
        self.ids
            .range(range)
            .take_while(|((pendant, ..), _)| *pendant == press.pendant)
            .filter(|((_, _, counter, kind), _)| {
                *counter % press.modulus == press.counter && press.kinds.contains(&kind.as_str())
            })
            .filter_map(|(_, id)| self.places.get(id))
            .flatten()
            .any(|place| self.is_durable(place))
    }

    fn is_durable(&self, place: &Place) -> bool {
        let Some(lane) = LANES.iter().position(|lane| *lane == place.lane) else { return false };
        match self.ended.get(&place.boot) {
            Some(last) => place.number <= last[lane],
            None => self.newest() == Some(&place.boot),
        }
    }

    fn highest(&self, boot: &str, lane: &str) -> u64 {
        let places = self.by_place.keys();
        let here = places.filter(|place| place.boot == boot && place.lane == lane);
        here.map(|place| place.number).max().unwrap_or(0)
    }

    fn accounted(&self, boot: &str, lane: &str, number: u64) -> bool {
        let place = Place { boot: boot.to_owned(), lane: lane.to_owned(), number };
        let void = self.void.get(&(boot.to_owned(), lane.to_owned()));
        self.by_place.contains_key(&place)
            || void.is_some_and(|ranges| {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&number))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A message as a gateway sends it; `change` spoils it.
    fn message(lane: &str, number: u64, change: impl FnOnce(&mut Value)) -> (String, String) {
        let topic = format!("lonework/v1/s/g/event/{lane}");
        let mut json = json!({
            "id": format!("id-{lane}-{number}"),
            "data": {
                "lane": lane, "kind": "panic", "boot": "b1", "number": number,
                "pendant": "000001", "enrolment": "e1", "counter": number,
            }
        });
        change(&mut json);
        let payload =
            format!("{json:<width$}", json = json.to_string(), width = WIRE_BYTES - topic.len());
        (topic, payload)
    }

    fn started(number: u64, boot: &str, previous: Value) -> (String, String) {
        message("trouble", number, |json| {
            json["id"] = format!("start-{boot}").into();
            json["data"] = json!({
                "lane": "trouble", "kind": "gateway_started", "boot": boot, "number": number,
                "detail": previous,
            });
        })
    }

    fn acknowledged(counters: &[u64]) -> BTreeSet<Acknowledged> {
        let press = |counter: &u64| Acknowledged {
            pendant: "000001".into(),
            counter: *counter,
            modulus: 1 << 32,
            kinds: &["panic"],
        };
        counters.iter().map(press).collect()
    }

    /// Boot 1 with three presses, then boot 2, which tells of it.
    fn books(leave_out: Option<u64>, last_urgent: u64) -> Ledger {
        let mut ledger = Ledger::default();
        let (topic, payload) = started(1, "b1", Value::Null);
        ledger.hear(&topic, &payload);
        for number in (1..=3).filter(|number| Some(*number) != leave_out) {
            let (topic, payload) = message("urgent", number, |_| ());
            ledger.hear(&topic, &payload);
        }
        let previous =
            json!({"boot": "b1", "last_urgent": last_urgent, "last_trouble": 1, "last_routine": 0});
        let (topic, payload) = started(1, "b2", json!({ "previous": previous }));
        ledger.hear(&topic, &payload);
        ledger
    }

    #[test]
    fn whole_books_are_in_order_and_messages_may_come_again() {
        let mut ledger = books(None, 3);
        let (topic, payload) = message("urgent", 2, |_| ());
        ledger.hear(&topic, &payload);
        assert_eq!(ledger.judge(&acknowledged(&[1, 2, 3])), Vec::<String>::new());
        let counts = Counts { messages: 6, events: 5, boots_ended: 1, boots_begun: 2 };
        assert_eq!(ledger.counts(), counts);
    }

    #[test]
    fn planted_faults_are_found() {
        let finds = |ledger: &Ledger, acks: &[u64], what: &str| {
            let wrong = ledger.judge(&acknowledged(acks));
            assert!(wrong.iter().any(|line| line.contains(what)), "{what}: {wrong:?}");
        };
        finds(&books(None, 3), &[4], "acknowledged, and not here");
        finds(&books(None, 2), &[3], "acknowledged, and not here");
        finds(&books(Some(2), 3), &[1], "no [2]");
        finds(&books(None, 5), &[1], "no [4, 5]");
        let spoilt = |change: fn(&mut Value), what: &str| {
            let mut ledger = books(None, 3);
            let (topic, payload) = message("urgent", 3, change);
            ledger.hear(&topic, &payload);
            finds(&ledger, &[], what);
        };
        spoilt(|json| json["id"] = "other".into(), "one press has two ids");
        spoilt(|json| json["data"]["counter"] = 9.into(), "one id names two presses");
        spoilt(|json| json["data"]["lane"] = "routine".into(), "another lane");
        let other = |json: &mut Value| {
            json["id"] = "other".into();
            json["data"]["counter"] = 9.into();
        };
        spoilt(other, "one number names two events");
    }

    #[test]
    fn what_is_declared_void_is_not_missing() {
        let mut ledger = books(Some(2), 3);
        let (topic, payload) = message("trouble", 2, |json| {
            json["id"] = "void".into();
            json["data"] = json!({
                "lane": "trouble", "kind": "events_shed", "boot": "b2", "number": 2,
                "detail": {"void": {"boot": "b1", "room": "urgent", "first": 2, "last": 2, "count": 1}},
            });
        });
        ledger.hear(&topic, &payload);
        assert_eq!(ledger.judge(&acknowledged(&[1, 3])), Vec::<String>::new());
    }
}
