//! `watch` at a real broker, by MQTT 5 and by MQTT 3.1.1: of what a rogue gateway sends
//! nothing ends the desk, or hides what another gateway tells; and the smallest window is
//! enough.

#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../../tests/support/mosquitto.rs"]
mod mosquitto;

use mosquitto::{Authority, Identity, Mosquitto, VALID};
use pendant_kit::centre::EVENT_WIRE_BYTES;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Far beyond what anything here takes; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);
const ROGUE: &str = "lonework/v1/plant/gate-9/event/urgent";
const HONEST: &str = "lonework/v1/plant/gate-1/event/urgent";

/// What the gateway of this topic tells of a pendant.
fn event(topic: &str, number: u64, change: impl Fn(&mut Value)) -> String {
    let gateway = topic.split('/').nth(3).expect("a gateway");
    let mut payload = json!({
        "specversion": "1.0",
        "id": format!("0190a1b2-c3d4-8e5f-9a0b-{number:012x}"),
        "source": format!("/lonework/plant/{gateway}"),
        "type": "lonework.v1.duress",
        "data": {
            "lane": "urgent", "kind": "duress", "covert": true, "boot": "00000000000000ff",
            "number": number, "pendant": "00012f", "wearer": "alice",
        }
    });
    change(&mut payload);
    let payload = payload.to_string();
    let padding = EVENT_WIRE_BYTES.saturating_sub(topic.len() + payload.len());
    payload + &" ".repeat(padding)
}

/// An alarm of the same boot, id and number as the honest one's, with this changed.
fn forged(change: impl Fn(&mut Value)) -> Vec<u8> {
    event(ROGUE, 1, change).into_bytes()
}

/// All that it tries: where, and what.
fn attempts() -> Vec<(String, Vec<u8>)> {
    let mut attempts = Vec::new();
    let mut add = |topic: &str, payload: Vec<u8>| attempts.push((topic.to_owned(), payload));
    // Malformed.
    add(ROGUE, Vec::new());
    add(ROGUE, b"{".to_vec());
    add(ROGUE, vec![0xFF; 900]);
    add(ROGUE, b"[".repeat(4000));
    add(ROGUE, forged(|_| ())[..200].to_vec());
    add(&ROGUE.replace("event/urgent", "state"), vec![b'x'; 500]);
    add(&ROGUE.replace("event/urgent", "answer"), vec![0; 1300]);
    add(&ROGUE.replace("gate-9", &"g".repeat(60_000)), forged(|_| ()));
    // Too large: around what is read, and around what a packet may have.
    let header = 1 + 3 + 2 + ROGUE.len() + 2;
    for limit in [4096, 64 * 1024 - header, 72 * 1024 - header] {
        for bytes in limit - 3..=limit + 3 {
            add(ROGUE, vec![b'{'; bytes]);
        }
    }
    add(ROGUE, vec![b'{'; 3_000_000]);
    // Forged: as another gateway, with another's id, boot and numbers.
    add(ROGUE, forged(|it| it["source"] = json!("/lonework/plant/gate-1")));
    add(ROGUE, forged(|it| it["id"] = json!("0190a1b2-c3d4-8e5f-9a0b-0000000000ff")));
    add(ROGUE, forged(|it| it["data"]["number"] = json!(u64::MAX)));
    add(ROGUE, forged(|it| it["data"]["pendant"] = json!("0003ff")));
    add(ROGUE, forged(|it| it["data"]["covert"] = json!(false)));
    add(
        ROGUE,
        forged(|it| {
            (it["type"], it["data"]["kind"]) =
                (json!("lonework.v1.session_ended"), json!("session_ended"));
        }),
    );
    add(
        ROGUE,
        forged(|it| {
            it["data"]["detail"] = json!({"void":
        {"boot": "00000000000000ff", "room": "urgent", "first": 1, "last": 9_000_000, "count": 9}})
        }),
    );
    attempts
}

struct Rig {
    authority: Authority,
    broker: Mosquitto,
    folder: tempfile::TempDir,
}

impl Rig {
    async fn new(window: u16) -> Self {
        let authority = Authority::new("test authority");
        let server = authority.issue("server", &["localhost", "127.0.0.1"], VALID);
        let settings = format!(
            "log_type none\nlog_type information\nallow_anonymous true\nset_tcp_nodelay true\n\
             max_inflight_messages {window}\n"
        );
        let broker = Mosquitto::start(&authority, &server, &settings).await;
        Self { authority, broker, folder: tempfile::tempdir().expect("a folder") }
    }

    fn identity(&self, name: &str) -> Identity {
        self.authority.issue(name, &[], VALID)
    }

    fn desk(&self, version: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
        let who = self.identity("desk");
        let mut child = Command::new(env!("CARGO_BIN_EXE_pendant-kit"))
            .args(["watch", "--json", "--from-start", "--host", "localhost", "--mqtt", version])
            .args(["--client-id", "desk", "--port", &self.broker.port.to_string(), "--ca"])
            .arg(self.authority.file())
            .arg("--certificate")
            .arg(&who.certificate)
            .arg("--key")
            .arg(&who.key)
            .arg("--state")
            .arg(self.folder.path().join("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the tool starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        (child, lines)
    }

    fn client(&self, name: &str) -> (AsyncClient, EventLoop) {
        let who = self.identity(name);
        let tls = self.authority.client_tls(&who);
        let mut options = MqttOptions::new(name, "localhost", self.broker.port);
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)));
        AsyncClient::new(options, 100)
    }
}

/// Publishes all of it, and waits until the broker has it.
async fn publish((requests, events): &mut (AsyncClient, EventLoop), all: &[(String, Vec<u8>)]) {
    for (topic, payload) in all {
        requests.publish(topic, QoS::AtLeastOnce, false, payload.clone()).await.expect("room");
        while !matches!(events.poll().await.expect("a broker"), Event::Incoming(Packet::PubAck(_)))
        {
        }
    }
}

async fn subscribe((requests, events): &mut (AsyncClient, EventLoop), topic: String) {
    requests.subscribe(topic, QoS::AtLeastOnce).await.expect("room");
    while !matches!(events.poll().await.expect("a broker"), Event::Incoming(Packet::SubAck(_))) {}
}

async fn news(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = timeout(PATIENCE, lines.next_line()).await.expect("a line in time");
    serde_json::from_str(&line.expect("text").expect("more lines")).expect("a JSON object")
}

/// What the desk tells until another gateway's alarm, which is shown as one and receipted.
async fn until_the_honest_alarm(
    rig: &Rig,
    lines: &mut Lines<BufReader<ChildStdout>>,
    number: u64,
) -> Vec<Value> {
    let mut honest = rig.client("gate-1");
    let receipts = HONEST.replace("event/urgent", "receipt");
    honest.0.subscribe(receipts, QoS::AtLeastOnce).await.expect("room");
    while !matches!(honest.1.poll().await.expect("a broker"), Event::Incoming(Packet::SubAck(_))) {}
    publish(&mut honest, &[(HONEST.to_owned(), event(HONEST, number, |_| ()).into_bytes())]).await;
    let mut told = Vec::new();
    let shown = loop {
        let news = news(lines).await;
        assert_ne!(news["news"], "down", "the rogue ends no connection: {news}");
        if news["news"] == "event" && news["gateway"] == "gate-1" {
            break news;
        }
        told.push(news);
    };
    assert_eq!(shown["data"]["kind"], "duress");
    // Whatever the rogue told before under its id, an operator has an open incident of it.
    assert!(shown["incident"].is_u64(), "{shown}");
    let receipt = async {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) =
                honest.1.poll().await.expect("a broker")
            {
                return publish.payload;
            }
        }
    };
    let receipt = timeout(PATIENCE, receipt).await.expect("a receipt in time");
    let receipt: Value = serde_json::from_slice(&receipt).expect("JSON");
    assert_eq!(receipt["received"], shown["id"]);
    told
}

async fn rogue_by(version: &str) {
    let rig = Rig::new(20).await;
    let (mut child, mut lines) = rig.desk(version);
    assert_eq!(news(&mut lines).await, json!({ "news": "up", "session_kept": false }));
    let all = attempts();
    let mut rogue = rig.client("gate-9");
    // Each by itself first, so that none hides behind another.
    publish(&mut rogue, &all).await;
    let told = until_the_honest_alarm(&rig, &mut lines, 1).await;
    let count = |news: &str| told.iter().filter(|it| it["news"] == news).count();
    let wrong = all.len() - 6;
    if version == "5" {
        // The broker is told what is too large for the desk, and keeps that.
        let withheld = all.iter().filter(|(topic, it)| topic.len() + it.len() > 65_000).count();
        assert!((wrong - withheld..wrong).contains(&count("malformed")), "{told:?}");
    } else {
        assert_eq!(count("malformed"), wrong, "{told:?}");
    }
    assert_eq!(count("event"), 6, "{told:?}");
    // Also while the desk is away, and it comes back to all of them at once.
    child.kill().await.expect("killed");
    publish(&mut rogue, &all).await;
    (child, lines) = rig.desk(version);
    loop {
        if news(&mut lines).await == json!({ "news": "up", "session_kept": true }) {
            break;
        }
    }
    until_the_honest_alarm(&rig, &mut lines, 2).await;
    assert!(child.try_wait().expect("a child").is_none(), "it goes on");
}

#[tokio::test]
async fn a_rogue_ends_no_desk_and_hides_no_alarm_by_mqtt_5() {
    rogue_by("5").await;
}

#[tokio::test]
async fn a_rogue_ends_no_desk_and_hides_no_alarm_by_mqtt_3_1_1() {
    rogue_by("3.1.1").await;
}

/// Nothing waits for ever if only one event and one receipt may be open.
async fn window_of_one_by(version: &str) {
    const COUNT: u64 = 100;
    let rig = Rig::new(1).await;
    let (child, mut lines) = rig.desk(version);
    assert_eq!(news(&mut lines).await, json!({ "news": "up", "session_kept": false }));
    drop((child, lines));
    let mut honest = rig.client("gate-1");
    let events = (1..=COUNT).map(|number| event(HONEST, number, |_| ()).into_bytes());
    let all: Vec<_> = events.map(|payload| (HONEST.to_owned(), payload)).collect();
    publish(&mut honest, &all).await;
    subscribe(&mut honest, HONEST.replace("event/urgent", "receipt")).await;
    let (_child, mut lines) = rig.desk(version);
    let receipts = async {
        let mut receipts = std::collections::BTreeSet::new();
        while receipts.len() < COUNT as usize {
            if let Event::Incoming(Packet::Publish(publish)) =
                honest.1.poll().await.expect("a broker")
            {
                receipts.insert(publish.payload);
            }
        }
    };
    timeout(PATIENCE, receipts).await.expect("receipts in time");
    for _ in 0..=COUNT {
        let news = news(&mut lines).await;
        assert_ne!(news["news"], "down", "{news}");
    }
}

#[tokio::test]
async fn a_window_of_one_is_enough_by_mqtt_5() {
    window_of_one_by("5").await;
}

#[tokio::test]
async fn a_window_of_one_is_enough_by_mqtt_3_1_1() {
    window_of_one_by("3.1.1").await;
}
