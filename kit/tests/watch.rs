//! `pendant-kit watch` as an operator or a program runs it.

use pendant_kit::broker::{Broker, BrokerSettings};
use pendant_kit::centre::EVENT_WIRE_BYTES;
use pendant_kit::pki::{Leaf, Pki};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Far beyond what anything here takes; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const TOPIC: &str = "lonework/v1/plant/gate-1/event/urgent";

fn event(kind: &str, number: u64) -> String {
    let payload = json!({
        "specversion": "1.0",
        "id": format!("0190a1b2-c3d4-8e5f-9a0b-{number:012x}"),
        "source": "/lonework/plant/gate-1",
        "type": format!("lonework.v1.{kind}"),
        "time": "2026-01-02T03:04:05.678Z",
        "data": {
            "lane": "urgent", "kind": kind, "covert": kind == "duress", "boot": "00ff",
            "number": number, "pendant": "00012f", "wearer": "alice", "delay_ms": 12,
        }
    })
    .to_string();
    let padding = " ".repeat(EVENT_WIRE_BYTES - TOPIC.len() - payload.len());
    payload + &padding
}

struct Rig {
    pki: Pki,
    broker: Broker,
    directory: tempfile::TempDir,
}

impl Rig {
    async fn new() -> Self {
        let pki = Pki::new().expect("an authority");
        let server = pki.issue(&Leaf::server()).expect("a certificate");
        let tls = pki.server_config(&server).expect("TLS");
        let broker = Broker::start(BrokerSettings::new(tls)).await.expect("a broker");
        let directory = tempfile::tempdir().expect("a directory");
        let client = pki.issue(&Leaf::client("centre")).expect("a certificate");
        client.write(directory.path(), "centre").expect("written");
        pki.write_ca(directory.path()).expect("written");
        Self { pki, broker, directory }
    }

    fn watch(&self, more: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
        let file = |name: &str| -> String { path(self.directory.path(), name) };
        let mut child = Command::new(env!("CARGO_BIN_EXE_pendant-kit"))
            .args(["watch", "--host", "localhost", "--port", &self.broker.port().to_string()])
            .args(["--ca", &file("ca.crt")])
            .args(["--certificate", &file("centre.crt"), "--key", &file("centre.key")])
            .args(more)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the tool starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        (child, lines)
    }

    /// Publishes as a gateway would.
    fn publish(&self, payloads: Vec<String>) {
        let identity = self.pki.issue(&Leaf::client("gate-1")).expect("a certificate");
        let tls = self.pki.client_config(&identity).expect("TLS");
        let mut options = MqttOptions::new("gate-1", "localhost", self.broker.port());
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)));
        let (requests, mut events) = AsyncClient::new(options, 100);
        tokio::spawn(async move { while events.poll().await.is_ok() {} });
        tokio::spawn(async move {
            for payload in payloads {
                requests.publish(TOPIC, QoS::AtLeastOnce, false, payload).await.expect("room");
            }
        });
    }
}

fn path(directory: &Path, name: &str) -> String {
    directory.join(name).display().to_string()
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = timeout(PATIENCE, lines.next_line()).await.expect("a line in time");
    line.expect("text").expect("more lines")
}

async fn interrupt(child: &mut Child) -> Option<i32> {
    let id = i32::try_from(child.id().expect("it runs")).expect("a process id");
    let id = rustix::process::Pid::from_raw(id).expect("not 0");
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("sent");
    timeout(PATIENCE, child.wait()).await.expect("ends in time").expect("ended").code()
}

#[tokio::test]
async fn an_operator_sees_alarms_and_what_is_missing() {
    let rig = Rig::new().await;
    let (mut child, mut lines) = rig.watch(&["--from-start"]);
    assert_eq!(line(&mut lines).await, "-- connected; the broker had kept nothing for us");
    rig.publish(vec![event("session_started", 1), event("duress", 3), event("duress", 3)]);
    let expected = [
        "   2026-01-02T03:04:05.678Z urgent  session started - alice (00012f), plant/gate-1 #1",
        "!! 2026-01-02T03:04:05.678Z urgent  DURESS - alice (00012f), plant/gate-1 #3",
        "   COVERT: nobody on site knows of it. Do not call the wearer. Send help.",
    ];
    for expected in expected {
        assert_eq!(line(&mut lines).await, expected);
    }
    // Three receipts: the repetition is answered too, but not shown.
    let receipts = rig.broker.wait(|view| {
        let receipts = view.seen().filter(|seen| seen.topic.ends_with("/receipt")).count();
        (receipts == 3).then_some(())
    });
    timeout(PATIENCE, receipts).await.expect("receipts in time");
    assert_eq!(interrupt(&mut child).await, Some(1));
    let missing = "-- MISSING plant/gate-1 boot 00ff urgent: number 2";
    assert_eq!(line(&mut lines).await, missing);
}

#[tokio::test]
async fn a_program_reads_json_and_an_onlooker_answers_nothing() {
    let rig = Rig::new().await;
    let (mut child, mut lines) = rig.watch(&["--json", "--no-receipts"]);
    let mut next =
        async || -> Value { serde_json::from_str(&line(&mut lines).await).expect("a JSON object") };
    assert_eq!(next().await, json!({ "news": "up", "session_kept": false }));
    rig.publish(vec![event("panic", 7), "{}".into(), event("panic", 8)]);
    let first = next().await;
    assert_eq!(first["data"]["kind"], "panic");
    assert_eq!(first["wire_bytes"], EVENT_WIRE_BYTES);
    assert_eq!(next().await["news"], "malformed");
    assert_eq!(next().await["data"]["number"], 8);
    assert_eq!(interrupt(&mut child).await, Some(0));
    assert!(rig.broker.seen().iter().all(|seen| !seen.topic.ends_with("/receipt")));
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_pendant-kit"))
        .args(["watch", "--host", "localhost", "--ca", "/nonexistent/ca.pem"])
        .args(["--certificate", "/nonexistent/c.pem", "--key", "/nonexistent/k.pem"])
        .output()
        .await
        .expect("the tool runs");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("/nonexistent/ca.pem"), "{text}");
}
