//! A broker, gateways, and the bridge as a process of its own.

use pendant_kit::broker::{Broker, BrokerSettings, Seen};
use pendant_kit::centre::EVENT_WIRE_BYTES;
use pendant_kit::pki::{Leaf, Pki};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Far beyond what anything here takes; a wait that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Topic and payload of an event, as gateway `gate-1` would publish them.
pub(crate) fn event(lane: &str, kind: &str, number: u64, codes: &Value) -> (String, String) {
    let topic = format!("lonework/v1/plant/gate-1/event/{lane}");
    let payload = json!({
        "specversion": "1.0", "id": id(number), "source": "/lonework/plant/gate-1",
        "type": format!("lonework.v1.{kind}"), "time": "2026-01-02T03:04:05.678Z",
        "data": {
            "lane": lane, "kind": kind, "covert": false, "boot": "00000000000000ff", "number": number,
            "codes": codes, "pendant": "00012f", "wearer": "alice",
        }
    })
    .to_string();
    let padding = " ".repeat(EVENT_WIRE_BYTES - topic.len() - payload.len());
    (topic, payload + &padding)
}

pub(crate) fn panic(number: u64) -> (String, String) {
    event("urgent", "panic", number, &json!(["PA", 120]))
}

pub(crate) fn heartbeat(number: u64) -> (String, String) {
    event("routine", "heartbeat", number, &Value::Null)
}

pub(crate) fn id(number: u64) -> String {
    format!("0190a1b2-c3d4-8e5f-9a0b-{number:012x}")
}

pub(crate) struct Rig {
    pki: Pki,
    pub(crate) broker: Broker,
    pub(crate) folder: tempfile::TempDir,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let pki = Pki::new().expect("an authority");
        let server = pki.issue(&Leaf::server()).expect("a certificate");
        let tls = pki.server_config(&server).expect("TLS");
        let broker = Broker::start(BrokerSettings::new(tls)).await.expect("a broker");
        let folder = tempfile::tempdir().expect("a folder");
        let client = pki.issue(&Leaf::client("centre")).expect("a certificate");
        client.write(folder.path(), "centre").expect("written");
        pki.write_ca(folder.path()).expect("written");
        Self { pki, broker, folder }
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn command(&self, receiver_port: u16) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pendant-kit"));
        command
            .args(["dc09", "--json", "--host", "localhost"])
            .args(["--port", &self.broker.port().to_string(), "--ca", &self.file("ca.crt")])
            .args(["--certificate", &self.file("centre.crt"), "--key", &self.file("centre.key")])
            .args(["--receiver", &format!("127.0.0.1:{receiver_port}"), "--account", "12ab"])
            .args(["--answer-wait-ms", "500"]);
        command
    }

    /// Starts the bridge and waits until it is connected to the broker.
    pub(crate) async fn bridge(&self, receiver_port: u16, more: &[&str]) -> Bridge {
        let mut child = self
            .command(receiver_port)
            .args(["--state", &self.file("state")])
            .args(more)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the tool starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut bridge = Bridge { child, lines, passed: VecDeque::new() };
        bridge.until("broker_up").await;
        bridge
    }

    /// The exit code and the message of a bridge that does not begin.
    pub(crate) async fn refusal(&self, more: &[&str]) -> (Option<i32>, String) {
        let mut command = self.command(1);
        if !more.contains(&"--state") {
            command.args(["--state", &self.file("state")]);
        }
        let ended = timeout(PATIENCE, command.args(more).output());
        let output = ended.await.expect("ends in time").expect("the tool runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Publishes as a gateway would.
    pub(crate) async fn publish(&self, messages: Vec<(String, String)>) {
        let identity = self.pki.issue(&Leaf::client("gate-1")).expect("a certificate");
        let tls = self.pki.client_config(&identity).expect("TLS");
        let mut options = MqttOptions::new("gate-1", "localhost", self.broker.port());
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)));
        let (requests, mut events) = AsyncClient::new(options, 100);
        for (topic, payload) in messages {
            requests.publish(topic, QoS::AtLeastOnce, false, payload).await.expect("room");
        }
        tokio::spawn(async move { while events.poll().await.is_ok() {} });
        // The connection lives as long as the runtime of the test.
        std::mem::forget(requests);
    }

    /// The ids of the receipts that the broker took so far, in order.
    pub(crate) fn receipted(&self) -> Vec<String> {
        receipted(self.broker.seen().iter())
    }

    /// The same, as soon as there are so many.
    pub(crate) async fn receipts(&self, count: usize) -> Vec<String> {
        let taken = self.broker.wait(|view| {
            let ids = receipted(view.seen());
            (ids.len() >= count).then_some(ids)
        });
        timeout(PATIENCE, taken).await.expect("receipts in time")
    }
}

fn receipted<'a>(seen: impl Iterator<Item = &'a Seen>) -> Vec<String> {
    let receipts = seen.filter(|seen| seen.topic == "lonework/v1/plant/gate-1/receipt");
    let id = |seen: &Seen| -> String {
        let receipt: Value = serde_json::from_slice(&seen.payload).expect("JSON");
        assert_eq!(receipt["boot"], "00000000000000ff");
        receipt["received"].as_str().expect("an id").to_owned()
    };
    receipts.map(id).collect()
}

/// The bridge. Dropped, it is killed.
pub(crate) struct Bridge {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What was told while something else was waited for.
    passed: VecDeque<Value>,
}

impl Bridge {
    /// What it tells next.
    pub(crate) async fn told(&mut self) -> Value {
        match self.passed.pop_front() {
            Some(told) => told,
            None => self.read().await,
        }
    }

    /// Waits until it tells this, or has told it; all else is kept.
    pub(crate) async fn until(&mut self, news: &str) -> Value {
        let is_it = |told: &Value| told["news"] == news;
        if let Some(place) = self.passed.iter().position(is_it) {
            return self.passed.remove(place).expect("it is there");
        }
        let told = async {
            loop {
                let told = self.read().await;
                if is_it(&told) {
                    return told;
                }
                self.passed.push_back(told);
            }
        };
        timeout(PATIENCE, told).await.expect("it is told in time")
    }

    async fn read(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time");
        let line = line.expect("text").expect("the bridge goes on; its stderr says why not");
        serde_json::from_str(&line).expect("JSON")
    }

    /// As a power cut does it.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// As systemd does it; gives the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        let id = i32::try_from(self.child.id().expect("it runs")).expect("a process id");
        let id = rustix::process::Pid::from_raw(id).expect("not 0");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("sent");
        timeout(PATIENCE, self.child.wait()).await.expect("ends in time").expect("ended").code()
    }
}
