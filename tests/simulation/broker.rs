//! Brokers and the monitoring centre behind them, with all that they do wrong.

use super::blame::Promise;
use super::centre::Event;
use super::chance::Chance;
use super::swarm::Fault;
use super::world::{Due, World};
use pendant_gateway::engine::OFFERS_MAX;
use pendant_gateway::engine::command::CENTRE_WIRE_BYTES;
use pendant_gateway::engine::seam::{BrokerId, BrokerInput, Input, Publish, PublishId};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// MQTT 5 reason codes of section 3.4.2.1.
const NO_SUBSCRIBERS: u8 = 0x10;
const REFUSALS: [u8; 5] = [0x80, 0x83, 0x87, 0x97, 0x99];
/// The shell gives a connection up without a PUBACK for so long.
const PUBACK_WAIT_MS: u64 = 30_000;

/// What a broker says on a connection.
pub enum FromBroker {
    Taken(PublishId),
    Refused(PublishId, u8),
}

/// One broker, as seen from the gateway.
#[derive(Default)]
pub struct Broker {
    pub connected: bool,
    pub connection: u32,
    open: BTreeSet<u64>,
    /// Receipts that its session holds for the gateway.
    waiting: Vec<Receipt>,
    /// Connections in a row that ended with offers open and none taken.
    fruitless: u32,
    /// Two of them came in a row: the gateway may be looking for the cause.
    suspicious: bool,
    taken: bool,
}

impl Broker {
    /// The connection is gone.
    pub fn lose(&mut self) {
        self.connected = false;
        self.open.clear();
        self.fruitless = 0;
        self.suspicious = false;
    }

    /// Whether a fresh event finds a slot: not while one by one is tried which
    /// event makes the broker hang up.
    pub fn takes_fresh(&self) -> bool {
        self.connected && self.open.len() < OFFERS_MAX && !self.suspicious
    }
}

/// The monitoring centre.
pub struct Centre {
    chance: Chance,
    /// Of the gateway's boot, the number of the last message.
    message: u64,
    commands: u64,
    /// Covert incidents that it knows: pendant, counter.
    incidents: Vec<(u32, u32)>,
    /// Commands that were sent, to be sent again.
    sent: Vec<Value>,
}

/// A receipt under way, and which event it is for.
#[derive(Clone)]
pub struct Receipt {
    event: String,
    text: String,
}

impl Receipt {
    fn of(event: &Event) -> Self {
        let text = format!(r#"{{"received":"{}","boot":"{}"}}"#, event.id, event.data.boot);
        Self { event: event.id.clone(), text }
    }
}

impl Centre {
    pub fn new(seed: u64) -> Self {
        Self {
            chance: Chance::of(seed, "centre"),
            message: 0,
            commands: 0,
            incidents: Vec::new(),
            sent: Vec::new(),
        }
    }
}

/// News of a broker as the engine takes it.
fn news(broker: usize, news: BrokerInput) -> Input {
    Input::Broker(BrokerId(u8::try_from(broker).expect("few")), news)
}

impl World {
    pub fn connect(&mut self, broker: usize) {
        if self.process.is_none() || self.brokers[broker].connected {
            return;
        }
        if self.strikes_broker(Fault::BrokerAway, broker) {
            let wait_ms = self.centre.chance.within(500..15_000);
            self.later_ms(wait_ms, Due::Connect(broker));
            return;
        }
        let lost = self.centre.chance.hits(self.rate(Fault::LostSession));
        let in_flight_max = self.centre.chance.pick(&[20, 100]);
        let there = &mut self.brokers[broker];
        there.connected = true;
        there.connection += 1;
        there.open.clear();
        there.taken = false;
        let waiting = std::mem::take(&mut there.waiting);
        self.trace.note(self.now_us, ("connect", broker), || format!("broker {broker} is up"));
        self.input(news(broker, BrokerInput::Up { in_flight_max }), None);
        for receipt in waiting.into_iter().filter(|_| !lost) {
            self.receipt(broker, receipt);
        }
    }

    pub fn drop_connection(&mut self, broker: usize, connection: u32) {
        let there = &mut self.brokers[broker];
        if !there.connected || there.connection != connection {
            return;
        }
        if !there.open.is_empty() && !there.taken {
            there.fruitless += 1;
            there.suspicious |= there.fruitless >= 2;
        }
        there.connected = false;
        there.open.clear();
        self.trace.note(self.now_us, ("drop", broker), || format!("broker {broker} is down"));
        self.input(news(broker, BrokerInput::Down), None);
        let wait_ms = self.centre.chance.within(500..10_000);
        self.later_ms(wait_ms, Due::Connect(broker));
    }

    pub fn publish(&mut self, publish: Publish) {
        let broker = publish.broker.index();
        self.trace.note(self.now_us, &publish.payload, || {
            let event = Event::read(&publish.payload);
            let kind = event.data.kind.as_str();
            format!("offers {kind} {:?} to {broker}: {}", event.press(), publish.id.0)
        });
        let there = &mut self.brokers[broker];
        if !there.connected || !there.open.insert(publish.id.0) {
            let wrong = "an offer to a broker that is not there, or a number twice";
            self.judge.blame(self.now_us, Promise::Sound, wrong);
            return;
        }
        let connection = there.connection;
        let wait_us = self.centre.chance.within(300..50_000);
        self.later_us(wait_us, Due::Offer(broker, connection, publish));
    }

    pub fn offered(&mut self, broker: usize, connection: u32, publish: Publish) {
        let there = &self.brokers[broker];
        let current = there.connected && there.connection == connection;
        if !current || !there.open.contains(&publish.id.0) {
            return;
        }
        if self.strikes_broker(Fault::Stall, broker) {
            self.later_ms(PUBACK_WAIT_MS, Due::Drop(broker, connection));
        } else if self.is_poison(&publish) {
            if self.swarm.seed % 2 == 0 {
                self.refuse(broker, connection, publish.id, 0x87);
            }
            self.later_us(200, Due::Drop(broker, connection));
        } else if self.strikes_broker(Fault::NobodySubscribes, broker) {
            self.refuse(broker, connection, publish.id, NO_SUBSCRIBERS);
        } else if self.strikes_broker(Fault::Refusal, broker) {
            let reason = self.centre.chance.pick(&REFUSALS);
            self.refuse(broker, connection, publish.id, reason);
        } else if self.centre.chance.hits(self.rate(Fault::ConnectionDrops)) {
            self.drop_connection(broker, connection);
        } else {
            self.take(broker, connection, publish);
        }
    }

    fn is_poison(&self, publish: &Publish) -> bool {
        let rate = self.rate(Fault::Poison);
        let id = Event::read(&publish.payload).id;
        rate > 0 && Chance::of(self.swarm.seed, &id).hits(rate)
    }

    fn refuse(&mut self, broker: usize, connection: u32, id: PublishId, reason: u8) {
        let wait_us = self.centre.chance.within(100..2_000);
        self.later_us(
            wait_us,
            Due::FromBroker(broker, connection, FromBroker::Refused(id, reason)),
        );
    }

    fn take(&mut self, broker: usize, connection: u32, publish: Publish) {
        let (id, payload) = (publish.id, publish.payload);
        // Without receipts the broker's word counts, so it must be good.
        let keeps = !self.swarm.receipts || !self.centre.chance.hits(self.rate(Fault::LostSession));
        let wait_us = self.centre.chance.within(200..30_000);
        if keeps {
            self.later_us(wait_us, Due::CentreGets(broker, payload));
        }
        if self.centre.chance.hits(self.rate(Fault::LostPuback)) {
            self.later_ms(PUBACK_WAIT_MS, Due::Drop(broker, connection));
            return;
        }
        let twice = self.centre.chance.hits(self.rate(Fault::DuplicatePuback));
        for _ in 0..1 + u32::from(twice) {
            let wait_us = self.centre.chance.within(200..20_000);
            self.later_us(wait_us, Due::FromBroker(broker, connection, FromBroker::Taken(id)));
        }
        if self.centre.chance.hits(self.rate(Fault::UnknownPuback)) {
            let unknown = PublishId(self.centre.chance.next());
            self.later_us(100, Due::FromBroker(broker, connection, FromBroker::Taken(unknown)));
        }
    }

    pub fn broker_says(&mut self, broker: usize, connection: u32, said: FromBroker) {
        let there = &mut self.brokers[broker];
        if !there.connected || there.connection != connection {
            return;
        }
        let said = match said {
            FromBroker::Taken(id) => {
                if there.open.remove(&id.0) {
                    there.taken = true;
                    there.fruitless = 0;
                }
                BrokerInput::Taken(id)
            }
            FromBroker::Refused(publish, reason) => {
                there.open.remove(&publish.0);
                self.judge.refused(self.now_us, reason);
                BrokerInput::Refused { publish, reason }
            }
        };
        self.trace.note(self.now_us, format!("{said:?}"), || format!("broker {broker}: {said:?}"));
        self.input(news(broker, said), None);
    }

    pub fn centre_gets(&mut self, broker: usize, payload: &[u8]) {
        // Every fourth seed is enough of the contract, and costs a sixteenth of the time.
        let strictly = self.swarm.seed % 4 == 0;
        let event = if strictly { Event::read_strictly(payload) } else { Event::read(payload) };
        self.trace.note(self.now_us, payload, || {
            let Event { data, id, .. } = &event;
            format!(
                "centre gets {} {:?} {}/{} {id}",
                data.kind,
                event.press(),
                data.lane,
                data.number
            )
        });
        if event.data.covert && event.data.kind != "track_point" {
            self.centre.incidents.extend(event.press());
        }
        self.judge.centre_got(self.now_us, &event);
        if self.strikes_broker(Fault::SilentCentre, broker) || !self.swarm.receipts {
            return;
        }
        let late = self.centre.chance.hits(self.rate(Fault::LateReceipts));
        let longest_us = if late { 90_000_000 } else { 300_000 };
        let twice = self.centre.chance.hits(self.rate(Fault::DuplicateReceipts));
        for _ in 0..1 + u32::from(twice) {
            let wait_us = self.centre.chance.within(1_000..longest_us);
            self.later_us(wait_us, Due::Receipt(broker, Receipt::of(&event)));
        }
    }

    pub fn receipt(&mut self, broker: usize, receipt: Receipt) {
        if !self.brokers[broker].connected {
            self.brokers[broker].waiting.push(receipt);
            return;
        }
        self.judge.receipted(&receipt.event);
        self.trace.note(self.now_us, &receipt.text, || receipt.text.clone());
        self.input(news(broker, BrokerInput::Receipt(receipt.text.into_bytes())), None);
    }

    /// The centre's regular message, with or without commands.
    pub fn centre_message(&mut self) {
        self.later_ms(20_000, Due::CentreMessage);
        let (Some(process), false) = (&self.process, self.is_on(Fault::NoMessages)) else { return };
        let boot = process.boot;
        let connected = |broker: &usize| self.brokers[*broker].connected;
        let Some(broker) = (0..self.brokers.len()).rfind(connected) else { return };
        let commands = self.commands();
        self.centre.message += 1;
        let base = format!("lonework/v1/{}/{}", self.settings.site, self.settings.gateway);
        let message = json!({
            "message": format!("0190a1b2-c3d4-7e5f-8a0b-{:012x}", self.centre.message),
            "boot": format!("{boot:016x}"),
            "number": self.centre.message,
            "commands": commands,
        });
        let mut payload = message.to_string().into_bytes();
        payload.resize(CENTRE_WIRE_BYTES - base.len() - "/command".len(), b' ');
        self.trace.note(self.now_us, &payload, || format!("centre: {commands:?}"));
        self.input(news(broker, BrokerInput::CentreMessage(payload)), None);
    }

    fn commands(&mut self) -> Vec<Value> {
        let centre = &mut self.centre;
        if self.healed || centre.chance.below(3) != 0 {
            return Vec::new();
        }
        if centre.chance.below(8) == 0 && !centre.sent.is_empty() {
            let again = centre.chance.place(centre.sent.len());
            let again = centre.sent[again].clone();
            self.judge.commanded(self.now_us, &again);
            return vec![again];
        }
        centre.commands += 1;
        let id = format!("0190a1b2-c3d4-7e5f-8a0c-{:012x}", centre.commands);
        let number = centre.chance.within(1..u64::from(self.swarm.pendants) + 1);
        let pendant = format!("{number:06x}");
        let command = match centre.chance.below(5) {
            0 => json!({"id": id, "kind": "vibrate", "pendant": pendant}),
            1 => {
                let on = centre.chance.below(2) == 0;
                json!({"id": id, "kind": "track", "pendant": pendant, "on": on})
            }
            2 => json!({"id": id, "kind": "ping"}),
            _ if centre.incidents.is_empty() => {
                json!({"id": id, "kind": "listen", "pendant": pendant})
            }
            _ => {
                let (pendant, incident) = centre.chance.pick(&centre.incidents);
                let pendant = format!("{pendant:06x}");
                json!({"id": id, "kind": "close", "pendant": pendant, "incident": incident})
            }
        };
        centre.sent.push(command.clone());
        self.judge.commanded(self.now_us, &command);
        vec![command]
    }
}
