//! The centre against the embedded broker, and a gateway played by the test.

use pendant_kit::broker::{Broker, BrokerSettings, Seen};
use pendant_kit::centre::{Centre, CentreSettings, EVENT_WIRE_BYTES, Flaw, Heard, News};
use pendant_kit::pki::{Leaf, Pki};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use std::time::Duration;
use tokio::time::timeout;

/// Far beyond what anything here takes; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const BASE: &str = "lonework/v1/plant/gate-1";

struct Rig {
    pki: Pki,
    broker: Broker,
}

impl Rig {
    async fn new() -> Self {
        let pki = Pki::new().expect("an authority");
        let server = pki.issue(&Leaf::server()).expect("a certificate");
        let tls = pki.server_config(&server).expect("TLS");
        let broker = Broker::start(BrokerSettings::new(tls)).await.expect("a broker");
        Self { pki, broker }
    }

    fn settings(&self) -> CentreSettings {
        let identity = self.pki.issue(&Leaf::client("centre")).expect("a certificate");
        let tls = self.pki.client_config(&identity).expect("TLS");
        CentreSettings::new("localhost", self.broker.port(), "centre", tls)
    }

    async fn centre(&self) -> (Centre, bool) {
        let mut centre = Centre::start(self.settings());
        loop {
            match next(&mut centre).await {
                News::Up { session_kept } => return (centre, session_kept),
                News::Down(_) => {}
                news => panic!("{news:?} before it is up"),
            }
        }
    }

    async fn gateway(&self) -> Gateway {
        let identity = self.pki.issue(&Leaf::client("gate-1")).expect("a certificate");
        let tls = self.pki.client_config(&identity).expect("TLS");
        let mut options = MqttOptions::new("gate-1", "localhost", self.broker.port());
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)));
        let (requests, events) = AsyncClient::new(options, 100);
        Gateway { requests, events }
    }

    /// The receipts that the broker took, as soon as there are so many.
    async fn receipts(&self, count: usize) -> Vec<Seen> {
        let taken = self.broker.wait(|view| {
            let receipts = view.seen().filter(|seen| seen.topic.ends_with("/receipt"));
            let receipts: Vec<Seen> = receipts.cloned().collect();
            (receipts.len() >= count).then_some(receipts)
        });
        timeout(PATIENCE, taken).await.expect("receipts in time")
    }
}

async fn next(centre: &mut Centre) -> News {
    timeout(PATIENCE, centre.next()).await.expect("news in time").expect("the centre is there")
}

struct Gateway {
    requests: AsyncClient,
    events: EventLoop,
}

impl Gateway {
    async fn publish(&mut self, topic: &str, payload: String) {
        self.requests.publish(topic, QoS::AtLeastOnce, false, payload).await.expect("room");
        let acknowledged = async {
            loop {
                let event = self.events.poll().await.expect("a connection that lasts");
                if matches!(event, Event::Incoming(Packet::PubAck(_))) {
                    return;
                }
            }
        };
        timeout(PATIENCE, acknowledged).await.expect("an acknowledgement in time");
    }

    async fn event(&mut self, lane: &str, kind: &str, number: u64) {
        let topic = format!("{BASE}/event/{lane}");
        let payload = event(lane, kind, number);
        let padding = " ".repeat(EVENT_WIRE_BYTES - topic.len() - payload.len());
        self.publish(&topic, payload + &padding).await;
    }
}

fn event(lane: &str, kind: &str, number: u64) -> String {
    let lane_digit = if lane == "urgent" { 1 } else { 2 };
    serde_json::json!({
        "specversion": "1.0",
        "id": format!("0190a1b2-c3d4-8e5f-9a0b-{lane_digit:04x}{number:08x}"),
        "source": "/lonework/plant/gate-1",
        "type": format!("lonework.v1.{kind}"),
        "data": {
            "lane": lane, "kind": kind, "covert": kind == "duress", "boot": "00000000000000ff",
            "number": number, "pendant": "00012f", "wearer": "alice",
        }
    })
    .to_string()
}

#[test]
fn the_gateway_pads_to_the_size_that_the_centre_expects() {
    assert_eq!(EVENT_WIRE_BYTES, pendant_gateway::engine::payload::EVENT_WIRE_BYTES);
}

#[tokio::test]
async fn every_event_gets_the_same_receipt_also_when_it_comes_again() {
    let rig = Rig::new().await;
    let (mut centre, session_kept) = rig.centre().await;
    assert!(!session_kept);
    let mut gateway = rig.gateway().await;
    for (lane, kind, number) in
        [("urgent", "duress", 1), ("routine", "heartbeat", 1), ("urgent", "duress", 1)]
    {
        gateway.event(lane, kind, number).await;
    }
    let mut heard = Vec::new();
    for _ in 0..3 {
        match next(&mut centre).await {
            News::Heard(Heard::Event { event, again, flaws, .. }) => {
                assert_eq!(flaws, []);
                heard.push((event.data.kind, again));
            }
            news => panic!("{news:?}"),
        }
    }
    let heard: Vec<_> = heard.iter().map(|(kind, again)| (kind.as_str(), *again)).collect();
    assert_eq!(heard, [("duress", false), ("heartbeat", false), ("duress", true)]);
    let receipts = rig.receipts(3).await;
    assert!(receipts.iter().all(|receipt| receipt.size() == receipts[0].size()));
    assert_eq!(
        receipts[0].payload,
        r#"{"received":"0190a1b2-c3d4-8e5f-9a0b-000100000001","boot":"00000000000000ff"}"#
            .as_bytes()
    );
    assert_eq!(receipts[0].topic, format!("{BASE}/receipt"));
}

#[tokio::test]
async fn planted_gaps_are_found_until_they_are_filled() {
    let rig = Rig::new().await;
    let (mut centre, _) = rig.centre().await;
    let mut gateway = rig.gateway().await;
    for number in [1, 2, 4, 7] {
        gateway.event("urgent", "panic", number).await;
        timeout(PATIENCE, centre.next_event()).await.expect("in time").expect("an event");
    }
    let missing: Vec<String> = centre.missing().iter().map(ToString::to_string).collect();
    let series = "plant/gate-1 boot 00000000000000ff urgent";
    assert_eq!(missing, [format!("{series}: number 3"), format!("{series}: numbers 5 to 6")]);
    for number in [5, 3, 6] {
        gateway.event("urgent", "panic", number).await;
        timeout(PATIENCE, centre.next_event()).await.expect("in time").expect("an event");
    }
    assert_eq!(centre.missing(), []);
}

#[tokio::test]
async fn nothing_is_missed_while_away_and_nothing_while_the_broker_is() {
    let mut rig = Rig::new().await;
    let (centre, _) = rig.centre().await;
    centre.stop().await;
    let mut gateway = rig.gateway().await;
    gateway.event("urgent", "panic", 1).await;
    let (mut centre, session_kept) = rig.centre().await;
    assert!(session_kept);
    let event = timeout(PATIENCE, centre.next_event()).await.expect("in time").expect("an event");
    assert_eq!(event.data.number, 1);

    rig.broker.stop().await;
    assert!(matches!(next(&mut centre).await, News::Down(_)));
    rig.broker.resume().await.expect("the same port");
    while !matches!(next(&mut centre).await, News::Up { session_kept: true }) {}
    let mut gateway = rig.gateway().await;
    gateway.event("urgent", "panic", 2).await;
    let event = timeout(PATIENCE, centre.next_event()).await.expect("in time").expect("an event");
    assert_eq!(event.data.number, 2);
    rig.receipts(2).await;
}

#[tokio::test]
async fn a_gateway_that_leaves_the_contract_is_told_and_hides_nothing() {
    let rig = Rig::new().await;
    let (mut centre, _) = rig.centre().await;
    let mut gateway = rig.gateway().await;
    let topic = format!("{BASE}/event/urgent");
    gateway.publish(&topic, "{".repeat(50_000)).await;
    assert!(matches!(next(&mut centre).await, News::Heard(Heard::Malformed { .. })));
    gateway.publish(&topic, event("urgent", "test", 1)).await;
    match next(&mut centre).await {
        News::Heard(Heard::Event { flaws, .. }) => assert_eq!(flaws, [Flaw::Size]),
        news => panic!("{news:?}"),
    }
    // The same id with another meaning is no repetition.
    gateway.event("urgent", "duress", 1).await;
    match next(&mut centre).await {
        News::Heard(Heard::Event { again, flaws, .. }) => {
            assert_eq!((again, flaws), (false, vec![Flaw::NumberTwice]));
        }
        news => panic!("{news:?}"),
    }
    gateway.publish(&format!("{BASE}/state"), r#"{"online":true}   "#.into()).await;
    match next(&mut centre).await {
        News::Heard(Heard::State { text, .. }) => assert_eq!(text, r#"{"online":true}"#),
        news => panic!("{news:?}"),
    }
    rig.receipts(2).await;
}

#[tokio::test]
async fn a_refusal_says_why() {
    let rig = Rig::new().await;
    let other = Pki::new().expect("an authority");
    let identity = other.issue(&Leaf::client("centre")).expect("a certificate");
    let tls = other.client_config(&identity).expect("TLS");
    let mut centre = Centre::start(CentreSettings { tls, ..rig.settings() });
    match next(&mut centre).await {
        News::Down(reason) => assert!(reason.contains("invalid peer certificate"), "{reason}"),
        news => panic!("{news:?}"),
    }
}
