//! `pendant-kit watch` as an operator or a program runs it.

use pendant_kit::broker::{Broker, BrokerSettings, Seen};
use pendant_kit::centre::{CENTRE_WIRE_BYTES, EVENT_WIRE_BYTES};
use pendant_kit::pki::{Leaf, Pki};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout};

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
            "lane": "urgent", "kind": kind, "covert": kind == "duress", "boot": "00000000000000ff",
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
    clients: AtomicU32,
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
        Self { pki, broker, directory, clients: AtomicU32::new(0) }
    }

    fn watch(&self, more: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
        let file = |name: &str| -> String { path(self.directory.path(), name) };
        let mut child = Command::new(env!("CARGO_BIN_EXE_pendant-kit"))
            .args(["watch", "--host", "localhost", "--port", &self.broker.port().to_string()])
            .args(["--ca", &file("ca.crt")])
            .args(["--certificate", &file("centre.crt"), "--key", &file("centre.key")])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the tool starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        (child, lines)
    }

    /// As the true centre, which keeps its state.
    fn desk(&self, more: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
        let state = path(self.directory.path(), "state");
        self.watch(&[&["--state", &state, "--operator", "nora"], more].concat())
    }

    /// A client at the broker. Each has a name of its own: two of one name would throw
    /// each other out for ever.
    fn client(&self) -> AsyncClient {
        let name = format!("client-{}", self.clients.fetch_add(1, Ordering::Relaxed));
        let identity = self.pki.issue(&Leaf::client(&name)).expect("a certificate");
        let tls = self.pki.client_config(&identity).expect("TLS");
        let mut options = MqttOptions::new(name, "localhost", self.broker.port());
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)));
        let (requests, mut events) = AsyncClient::new(options, 100);
        tokio::spawn(async move {
            loop {
                // It connects again by itself.
                if events.poll().await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        requests
    }

    /// Publishes as a gateway would.
    fn publish(&self, payloads: Vec<String>) {
        let requests = self.client();
        tokio::spawn(async move {
            for payload in payloads {
                requests.publish(TOPIC, QoS::AtLeastOnce, false, payload).await.expect("room");
            }
        });
    }

    /// Waits until the broker has so many receipts.
    async fn receipts(&self, count: usize) {
        let receipts = self.broker.wait(|view| {
            let receipts = view.seen().filter(|seen| seen.topic.ends_with("/receipt")).count();
            (receipts >= count).then_some(())
        });
        timeout(PATIENCE, receipts).await.expect("receipts in time");
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
    let (mut child, mut lines) = rig.desk(&["--from-start"]);
    assert_eq!(line(&mut lines).await, "-- connected; the broker had kept nothing for us");
    rig.publish(vec![event("session_started", 1), event("duress", 3), event("duress", 3)]);
    let time = "2026-01-02T03:04:05.678Z";
    let expected = [
        &format!(
            "   {time} urgent  session started - alice (00012f), plant/gate-1 #1, 12 ms old, clock not set"
        ),
        &format!(
            "!! {time} urgent  DURESS - alice (00012f), plant/gate-1 #3 [1], 12 ms old, clock not set"
        ),
        "   COVERT: nobody on site knows of it. Do not call the wearer. Send help.",
    ];
    for expected in expected {
        assert_eq!(line(&mut lines).await, expected);
    }
    // Three receipts: the repetition is answered too, but not shown.
    rig.receipts(3).await;
    assert_eq!(interrupt(&mut child).await, Some(1));
    let missing = "-- MISSING plant/gate-1 boot 00000000000000ff urgent: number 2";
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
    let says_nothing =
        |seen: &Seen| !["/receipt", "/command"].iter().any(|it| seen.topic.ends_with(it));
    assert!(rig.broker.seen().iter().all(says_nothing));
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_pendant-kit"))
        .args(["watch", "--host", "localhost", "--ca", "/nonexistent/ca.pem"])
        .args(["--certificate", "/nonexistent/c.pem", "--key", "/nonexistent/k.pem"])
        .arg("--no-receipts")
        .output()
        .await
        .expect("the tool runs");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("/nonexistent/ca.pem"), "{text}");
}

/// The next of its JSON lines with this news.
async fn news(lines: &mut Lines<BufReader<ChildStdout>>, news: &str) -> Value {
    loop {
        let value: Value = serde_json::from_str(&line(lines).await).expect("a JSON object");
        if value["news"] == news {
            return value;
        }
    }
}

async fn says(child: &mut Child, line: &str) {
    let stdin = child.stdin.as_mut().expect("piped");
    stdin.write_all(format!("{line}\n").as_bytes()).await.expect("it reads");
}

#[tokio::test]
async fn who_receipts_keeps_a_state() {
    let rig = Rig::new().await;
    let (mut child, _) = rig.watch(&[]);
    let ended = timeout(PATIENCE, child.wait()).await.expect("ends in time").expect("ended");
    assert_eq!(ended.code(), Some(2));
}

#[tokio::test]
async fn killed_in_mid_stream_again_and_again_it_misses_nothing_and_receipts_all() {
    let rig = Rig::new().await;
    let count = 400;
    let mut shown = BTreeSet::new();
    let (mut child, mut lines) = rig.desk(&["--json", "--from-start"]);
    news(&mut lines, "up").await;
    rig.publish((1..=count).map(|number| event("panic", number)).collect());
    let mut kills = 0;
    while shown.len() < count as usize {
        shown.insert(news(&mut lines, "event").await["data"]["number"].as_u64());
        if kills < 5 && shown.len() > 60 * (kills + 1) {
            kills += 1;
            child.kill().await.expect("killed");
            // What it had written is in the pipe.
            while let Ok(Some(line)) = lines.next_line().await {
                let value: Value = serde_json::from_str(&line).unwrap_or_default();
                if value["news"] == "event" {
                    shown.insert(value["data"]["number"].as_u64());
                }
            }
            (child, lines) = rig.desk(&["--json", "--from-start"]);
        }
    }
    assert_eq!(kills, 5);
    let receipts = rig.broker.wait(|view| {
        let receipts = view.seen().filter(|seen| seen.topic.ends_with("/receipt"));
        let different: BTreeSet<_> = receipts.map(|seen| seen.payload.clone()).collect();
        (different.len() == count as usize).then_some(())
    });
    timeout(PATIENCE, receipts).await.expect("receipts in time");
    assert_eq!(interrupt(&mut child).await, Some(0), "nothing is missing");
}

#[tokio::test]
async fn what_operators_do_stays_here_and_outlives_a_kill() {
    let rig = Rig::new().await;
    let (mut child, mut lines) = rig.desk(&["--json"]);
    news(&mut lines, "up").await;
    rig.publish(vec![event("duress", 1)]);
    assert_eq!(news(&mut lines, "event").await["incident"], 1);
    says(&mut child, "accepted 1 police is called").await;
    assert_eq!(news(&mut lines, "stage").await["operator"], "nora");
    says(&mut child, "close 00012f 7").await;
    let asked = news(&mut lines, "asked").await;
    assert_eq!((&asked["gateway"], &asked["command"]["incident"]), (&json!("gate-1"), &json!(7)));
    says(&mut child, "close 7").await;
    assert!(news(&mut lines, "refused").await["why"].as_str().is_some());
    rig.receipts(1).await;
    // The stage is durable once a later event was receipted.
    rig.publish(vec![event("panic", 2)]);
    rig.receipts(2).await;
    child.kill().await.expect("killed");

    let (mut child, mut lines) = rig.desk(&["--json"]);
    let incidents = news(&mut lines, "incidents").await;
    let stage = &incidents["incidents"][0]["stages"][0];
    assert_eq!(stage["step"], "accepted", "{incidents}");
    assert_eq!((&stage["operator"], &stage["note"]), (&json!("nora"), &json!("police is called")));
    // The former desk may have sent the command as well: no answer before this one hears.
    news(&mut lines, "up").await;
    // The command goes out under the id that it had, in a message of the usual size.
    let id = asked["id"].as_str().expect("an id").to_owned();
    let sent = rig.broker.wait(|view| {
        let mut sent = view.seen().filter(|seen| seen.topic.ends_with("/command"));
        sent.find(|seen| String::from_utf8_lossy(&seen.payload).contains(&id)).cloned()
    });
    let sent = timeout(PATIENCE, sent).await.expect("a message in time");
    assert_eq!(sent.size(), CENTRE_WIRE_BYTES);
    let all = rig.broker.seen();
    let sizes = all.iter().filter(|seen| seen.topic.ends_with("/command")).map(Seen::size);
    assert!(sizes.into_iter().all(|size| size == CENTRE_WIRE_BYTES));
    // Nothing of the stage ever left.
    assert!(!all.iter().any(|seen| String::from_utf8_lossy(&seen.payload).contains("police")));
    let client = rig.client();
    let answer = format!(
        r#"{{"message":null,"boot":"00000000000000ff","number":7,"results":[{{"id":"{id}","result":"done"}}]}}"#
    );
    let topic = "lonework/v1/plant/gate-1/answer";
    client.publish(topic, QoS::AtLeastOnce, false, answer).await.expect("room");
    let result = news(&mut lines, "result").await;
    assert_eq!((&result["id"], &result["operator"]), (&json!(id), &json!("nora")));
    says(&mut child, "quit").await;
    let ended = timeout(PATIENCE, child.wait()).await.expect("ends in time").expect("ended");
    assert_eq!(ended.code(), Some(0));
}

/// A rogue gateway's message, one of many kinds.
fn rogue(number: u64) -> (String, Vec<u8>) {
    let event = event("panic", number).replace("gate-1", "gate-9");
    let event = event.replace("00012f", &format!("{:06x}", number % 5000));
    let topic = TOPIC.replace("gate-1", "gate-9");
    match number % 8 {
        0 => (topic, vec![b'{'; 40_000]),
        1 => (topic, event.replace("/lonework/plant/gate-9", "/lonework/plant/gate-1").into()),
        2 => (topic, event.replace("alice", "\\u001b[2J\\u001b[31m").into()),
        3 => (topic, event.as_bytes()[..700].to_vec()),
        4 => (topic.replace("event/urgent", "answer"), vec![0xFF; 1300]),
        5 => (topic.replace("event/urgent", "state"), b"{\"state\":7}".to_vec()),
        _ => (topic, event.into()),
    }
}

#[tokio::test]
async fn a_rogue_s_flood_hides_no_other_s_alarm_and_commands_no_terminal() {
    let rig = Rig::new().await;
    let (mut child, mut lines) = rig.desk(&[]);
    assert!(line(&mut lines).await.starts_with("-- connected"));
    let requests = rig.client();
    let flood = tokio::spawn(async move {
        for number in 1_u64.. {
            let (topic, payload) = rogue(number);
            requests.publish(topic, QoS::AtLeastOnce, false, payload).await.expect("room");
        }
    });
    let flooded = rig.broker.wait(|view| (view.count() > 2000).then_some(()));
    timeout(PATIENCE, flooded).await.expect("a flood in time");
    rig.publish(vec![event("duress", 1)]);
    let (begin, mut others) = (Instant::now(), 0);
    loop {
        let line = line(&mut lines).await;
        assert!(!line.contains(char::is_control), "{line:?}");
        if line.contains("DURESS - alice (00012f), plant/gate-1") {
            break;
        }
        others += 1;
    }
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    // What was shown of the rogue is bounded by the time, not by what it says.
    assert!(others < 2 * 3 * (200 + 20 * 60), "{others}");
    // And it goes on.
    rig.publish(vec![event("panic", 2)]);
    while !line(&mut lines).await.contains("PANIC - alice (00012f), plant/gate-1") {}
    flood.abort();
    // What it says of the rogue's missing numbers at its end is more than a pipe holds.
    let rest = async { while let Ok(Some(_)) = lines.next_line().await {} };
    assert!(tokio::join!(interrupt(&mut child), rest).0.is_some());
}
