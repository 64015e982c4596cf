//! What comes before what: shown, durable, receipted.

use super::*;
use crate::broker::{Broker, BrokerSettings};
use crate::centre::{EVENT_WIRE_BYTES, Since};
use crate::pki::{Leaf, Pki};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use std::cell::RefCell;
use std::rc::Rc;
use tokio::time::timeout;

/// Far beyond what anything here takes; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps what was shown.
#[derive(Clone, Default)]
struct Seen(Rc<RefCell<Vec<String>>>);

impl Show for Seen {
    fn tell(&mut self, told: &Told, _: &Desk, _: UnixMs) {
        self.0.borrow_mut().extend(told.lines());
    }

    fn flush(&mut self, _: &Desk, _: UnixMs) -> io::Result<Vec<u64>> {
        Ok(Vec::new())
    }

    fn tick(&mut self, _: &Desk, _: UnixMs) {}
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

fn publish(pki: &Pki, port: u16) {
    let identity = pki.issue(&Leaf::client("gate-1")).expect("a certificate");
    let tls = pki.client_config(&identity).expect("TLS");
    let mut options = MqttOptions::new("gate-1", "localhost", port);
    options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)));
    let (requests, mut events) = AsyncClient::new(options, 10);
    tokio::spawn(async move { while events.poll().await.is_ok() {} });
    let topic = "lonework/v1/plant/gate-1/event/urgent";
    let payload = json!({
        "specversion": "1.0", "id": "0190a1b2-c3d4-8e5f-9a0b-000000000001",
        "source": "/lonework/plant/gate-1", "type": "lonework.v1.duress",
        "data": { "lane": "urgent", "kind": "duress", "covert": true, "boot": "00000000000000ff",
            "number": 1, "pendant": "00012f" },
    });
    let length = EVENT_WIRE_BYTES - topic.len();
    let payload = format!("{:<length$}", payload.to_string());
    requests.try_publish(topic, QoS::AtLeastOnce, false, payload).expect("room");
}

#[tokio::test]
async fn an_event_is_shown_first_and_receipted_only_when_it_is_durable() {
    let pki = Pki::new().expect("an authority");
    let server = pki.issue(&Leaf::server()).expect("a certificate");
    let tls = pki.server_config(&server).expect("TLS");
    let broker = Broker::start(BrokerSettings::new(tls)).await.expect("a broker");
    let identity = pki.issue(&Leaf::client("centre")).expect("a certificate");
    let tls = pki.client_config(&identity).expect("TLS");
    let receipts = || {
        let is_receipt = |it: &&crate::broker::Seen| it.topic.ends_with("/receipt");
        broker.seen().iter().filter(is_receipt).count()
    };
    let (store, synced, is_asked) = Store::by_hand();
    let opened = Opened { store, desk: Desk::new(Since::Start), notes: Vec::new() };
    let settings = Settings {
        centre: CentreSettings::new("localhost", broker.port(), "centre", tls),
        opened: Some(opened),
        operator: "nora".into(),
        grace: Duration::from_secs(30),
    };
    let (_lines_in, mut lines) = mpsc::channel(1);
    let (seen, (stop, stopped)) = (Seen::default(), tokio::sync::oneshot::channel::<()>());
    let mut show = seen.clone();
    let shows = |text: &str| seen.0.borrow().iter().any(|line| line.contains(text));
    let story = async {
        until("connected", || shows("-- connected")).await;
        publish(&pki, broker.port());
        until("shown", || shows("DURESS")).await;
        until("a sync is asked for", &is_asked).await;
        assert_eq!(receipts(), 0);
        synced.send(Err(io::Error::other("the disk is full"))).expect("it goes on");
        until("the failure is told", || shows("THE STATE CANNOT BE WRITTEN")).await;
        until("a snapshot is asked for", &is_asked).await;
        assert_eq!(receipts(), 0);
        synced.send(Ok(0)).expect("it goes on");
        until("the end of the failure is told", || shows("can be written again")).await;
        until("receipted", || receipts() == 1).await;
        drop(stop);
    };
    let stopped = async { drop(stopped.await) };
    let (ended, ()) = tokio::join!(run(settings, &mut lines, &mut show, stopped), story);
    assert_eq!(ended.expect("it ran"), []);
}

#[test]
fn an_unset_clock_goes_on_from_the_newest_time_that_the_desk_knows() {
    let mut desk = Desk::new(Since::Start);
    let known_ms = NEVER_SET_BEFORE_MS + 90_000;
    let state = br#"{"state":"online","boot":"00000000000000ff"}"#;
    desk.hear(known_ms, "lonework/v1/s/g/state", state, false);
    assert_eq!(desk.gateways().map(|(_, it)| it.heard_ms).max(), Some(known_ms));
    let start = |wall_ms| Clock::new(wall_ms, &desk).wall_ms;
    assert_eq!(start(17_000), known_ms, "1970 would put every due time off");
    assert_eq!(start(NEVER_SET_BEFORE_MS + 5), NEVER_SET_BEFORE_MS + 5, "set, so it counts");
    assert_eq!(start(known_ms + 5), known_ms + 5);
}

#[test]
fn the_clock_never_steps_back() {
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    let mut clock = Clock { wall_ms: 1_000_000, read: start };
    assert_eq!(clock.at(1_001_000, start + second), 1_001_000);
    // Put forward by an hour, and back: a page that is drawn by it would stand for an hour.
    assert_eq!(clock.at(4_602_000, start + 2 * second), 4_602_000);
    assert_eq!(clock.at(1_003_000, start + 3 * second), 4_603_000);
    assert_eq!(clock.at(1_004_000, start + 4 * second), 4_604_000);
    assert_eq!(clock.at(5_000_000, start + 5 * second), 5_000_000);
}
