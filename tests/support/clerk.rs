//! A centre that books what it hears and receipts only then, so that brokers may
//! be killed under it and the books still hold all that was receipted.

use crate::ledger::{Acknowledged, Counts, Ledger};
use crate::mosquitto::{Authority, VALID};
use crate::site::SOON;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Receipts that may wait to be sent.
const RECEIPTS_MAX: usize = 4096;

/// The books of one centre, however many brokers it listens at.
#[derive(Clone, Default)]
pub struct Books(Arc<Mutex<Ledger>>);

impl Books {
    /// Listens at one broker, until it is dropped.
    pub fn listen(&self, port: u16, authority: &Authority) -> Clerk {
        let who = authority.issue("clerk", &[], VALID);
        let tls = authority.client_tls(&who);
        let mut options = MqttOptions::new("clerk", "localhost", port);
        options
            .set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)))
            .set_clean_start(false)
            .set_session_expiry_interval(Some(600))
            .set_keep_alive(Duration::from_secs(5));
        let (client, events) = AsyncClient::new(options, RECEIPTS_MAX);
        Clerk(tokio::spawn(listen(client, events, Arc::clone(&self.0))))
    }

    pub fn counts(&self) -> Counts {
        self.0.lock().expect("no clerk panics").counts()
    }

    /// Different events of a kind that came.
    pub fn count_of(&self, kind: &str) -> usize {
        self.0.lock().expect("no clerk panics").count_of(kind)
    }

    /// Waits until nothing is wrong any more; what is, if that does not come.
    pub async fn judge(&self, acknowledged: &BTreeSet<Acknowledged>) -> Vec<String> {
        let give_up = Instant::now() + SOON;
        loop {
            let wrong = self.0.lock().expect("no clerk panics").judge(acknowledged);
            if wrong.is_empty() || Instant::now() > give_up {
                return wrong;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

pub struct Clerk(JoinHandle<()>);

impl Drop for Clerk {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(client: AsyncClient, mut events: EventLoop, books: Arc<Mutex<Ledger>>) {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                let all = "lonework/v1/+/+/event/+";
                client.try_subscribe(all, QoS::AtLeastOnce).expect("there is room");
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => book(&client, &publish, &books),
            Ok(_) => {}
            // The broker is away; the next poll dials.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

fn book(client: &AsyncClient, publish: &Publish, books: &Mutex<Ledger>) {
    let topic = String::from_utf8_lossy(&publish.topic);
    let payload = String::from_utf8_lossy(&publish.payload);
    books.lock().expect("no clerk panics").hear(&topic, &payload);
    let event: serde_json::Value = serde_json::from_str(&payload).expect("JSON");
    let Some((gateway, _)) = topic.split_once("/event/") else { return };
    let (id, boot) = (&event["id"], &event["data"]["boot"]);
    let receipt = format!(r#"{{"received":{id},"boot":{boot}}}"#);
    // Without room the event comes again.
    drop(client.try_publish(format!("{gateway}/receipt"), QoS::AtLeastOnce, false, receipt));
}
