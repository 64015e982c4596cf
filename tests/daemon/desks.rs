//! The examples of `docs/brokers` for mosquitto, and several operators' desks that share
//! one subscription there (MQTT 5, `$share`).

use crate::brokers::press;
use crate::end_to_end::World;
use crate::mosquitto::{Authority, Mosquitto, VALID, free_port};
use crate::pendant::*;
use crate::rights::{Rights, example};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const SHARED: &str = "$share/desks/lonework/v1/+/+/event/+";

#[tokio::test]
async fn the_example_for_mosquitto_keeps_gateways_apart() {
    let authority = Authority::new("site authority");
    let server = authority.issue("server", &["localhost", "127.0.0.1"], VALID);
    let [gateway, neighbour, centre] =
        ["gw1", "gw2", "centre"].map(|name| authority.issue(name, &[], VALID));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = folder.path().join("acl");
    std::fs::write(&rules, example("mosquitto.acl", &[])).expect("written");
    let display = |path: &std::path::Path| path.display().to_string();
    let port = free_port();
    let text = example(
        "mosquitto.conf",
        &[
            (
                "listener 8883",
                &format!("user root\nlog_dest stderr\nlog_type all\nlistener {port} 127.0.0.1"),
            ),
            ("/etc/mosquitto/tls/ca.pem", &display(&authority.file())),
            ("/etc/mosquitto/tls/server.pem", &display(&server.certificate)),
            ("/etc/mosquitto/tls/server.key", &display(&server.key)),
            ("/etc/mosquitto/lonework.acl", &display(&rules)),
            ("/var/lib/mosquitto/", &format!("{}/", display(folder.path()))),
        ],
    );
    let _broker = Mosquitto::start_with(port, &authority, &text).await.expect("a free port");
    for version in ["5", "311"] {
        let (authority, gateway, centre) = (&authority, &gateway, &centre);
        let (forger, victim) = ((&neighbour, "gw2"), "gw1");
        Rights { version, port, authority, gateway, centre, forger, victim }.judge().await;
    }
}

/// What a desk does with an event.
#[derive(Clone, Copy, PartialEq)]
enum Habit {
    /// Receipts it, then acknowledges it to the broker.
    Works,
    /// Neither: it hangs.
    Hangs,
}

/// A desk that shares the subscription. Its task aborted, it is dead.
struct Desk {
    had: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Desk {
    async fn start(world: &World, name: &str, habit: Habit) -> Self {
        let who = world.authority.issue(name, &[], VALID);
        let tls = world.authority.client_tls(&who);
        let mut options = MqttOptions::new(name, "localhost", world.site.broker.port);
        options
            .set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)))
            .set_keep_alive(Duration::from_secs(5))
            .set_manual_acks(true);
        let (client, mut events) = AsyncClient::new(options, 256);
        let had = Arc::new(Mutex::new(Vec::new()));
        let (subscribed, up) = oneshot::channel();
        let mut subscribed = Some(subscribed);
        let book = Arc::clone(&had);
        client.try_subscribe(SHARED, QoS::AtLeastOnce).expect("there is room");
        let task = tokio::spawn(async move {
            loop {
                match events.poll().await.expect("the broker stays") {
                    Event::Incoming(Packet::SubAck(_)) => {
                        subscribed.take().expect("once").send(()).expect("it waits");
                    }
                    Event::Incoming(Packet::Publish(publish)) => {
                        let (id, topic, receipt) = receipt(&publish);
                        book.lock().expect("no desk panics").push(id);
                        if habit == Habit::Works {
                            let qos = QoS::AtLeastOnce;
                            client.try_publish(topic, qos, false, receipt).expect("room");
                            client.try_ack(&publish).expect("room");
                        }
                    }
                    _ => {}
                }
            }
        });
        up.await.expect("subscribed");
        Self { had, task }
    }

    fn had(&self) -> Vec<String> {
        self.had.lock().expect("no desk panics").clone()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The event's id, and the receipt for it.
fn receipt(publish: &Publish) -> (String, String, String) {
    let topic = String::from_utf8_lossy(&publish.topic);
    let event: serde_json::Value = serde_json::from_slice(&publish.payload).expect("JSON");
    let (gateway, _) = topic.split_once("/event/").expect("a topic of events");
    let (id, boot) = (&event["id"], &event["data"]["boot"]);
    let receipt = format!(r#"{{"received":{id},"boot":{boot}}}"#);
    (id.as_str().expect("an id").to_owned(), format!("{gateway}/receipt"), receipt)
}

fn set(ids: &[String]) -> BTreeSet<&String> {
    ids.iter().collect()
}

#[tokio::test]
async fn desks_that_share_a_subscription_get_each_event_once_between_them() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let desks = [
        Desk::start(&world, "desk-1", Habit::Works).await,
        Desk::start(&world, "desk-2", Habit::Works).await,
        Desk::start(&world, "desk-3", Habit::Works).await,
    ];
    world.site.start().await;
    world.site.until("connected", |s| s["brokers"][0]["connected"] == true).await;
    for _ in 0..6 {
        press(&mut wire, &mut pendant).await;
    }
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    let all: Vec<String> = desks.iter().flat_map(Desk::had).collect();
    assert_eq!(set(&all).len(), all.len(), "each event went to one desk: {all:?}");
    assert!(all.len() > 6, "presses, and what the gateway says of itself");
    // That is why no desk can prove by the numbers that nothing is missing.
    assert!(desks.iter().all(|desk| desk.had().len() < all.len()), "each saw only a part");
}

#[tokio::test]
async fn what_a_desk_had_when_it_died_goes_to_another() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let hanging = Desk::start(&world, "desk-1", Habit::Hangs).await;
    world.site.start().await;
    world.site.until("connected", |s| s["brokers"][0]["connected"] == true).await;
    press(&mut wire, &mut pendant).await;
    let working = Desk::start(&world, "desk-2", Habit::Works).await;
    press(&mut wire, &mut pendant).await;
    world.site.until("it has some", |_| !hanging.had().is_empty()).await;
    let stuck = hanging.had();
    drop(hanging);
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    let had = working.had();
    assert!(set(&had).is_superset(&set(&stuck)), "{stuck:?} are all in {had:?}");
}
