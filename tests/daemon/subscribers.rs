//! Monitoring centres in other languages, `tests/subscribers/`, against the real
//! daemon: they take every event by the schemas in `docs/`, once, and receipt it.

use crate::end_to_end::World;
use crate::mosquitto::{Identity, Subscriber as Onlooker, VALID, publish};
use crate::pendant::*;
use crate::schema::Schema;
use crate::site::{SOON, hear};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio::sync::mpsc;

const BASE: &str = "lonework/v1/ward-3/gw1";
/// As `docs/mqtt.md` says.
const RECEIPT_BYTES: usize = 77;

/// A subscriber's program. Dropped, it is killed.
struct Centre {
    child: Child,
    words: mpsc::UnboundedReceiver<String>,
}

fn in_project(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(path.exists(), "{} is missing: run tests/subscribers/install", path.display());
    path
}

fn python() -> Command {
    let mut command = Command::new(in_project("target/subscribers/python/bin/python"));
    command.arg(in_project("tests/subscribers/python/subscriber.py"));
    command
}

fn node() -> Command {
    let mut command = Command::new("node");
    command
        .env("NODE_PATH", in_project("target/subscribers/node/node_modules"))
        .arg(in_project("tests/subscribers/node/subscriber.js"));
    command
}

impl Centre {
    async fn start(world: &World, mut command: Command) -> Self {
        let who = world.authority.issue("centre", &[], VALID);
        let mut child = command
            .args(["--host", "localhost", "--port", &world.site.broker.port.to_string()])
            .arg("--ca")
            .arg(world.authority.file())
            .arg("--cert")
            .arg(who.certificate)
            .arg("--key")
            .arg(who.key)
            .arg("--schemas")
            .arg(in_project("docs/schemas"))
            .arg("--store")
            .arg(world.site.path("received"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the subscriber can be started: install python3 and nodejs");
        let output = child.stdout.take().expect("stdout is piped");
        let (send, words) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.take_while(|line| send.send(line.clone()).is_ok()).for_each(drop);
        });
        let mut centre = Self { child, words };
        assert_eq!(centre.says().await["subscribed"], "lonework/v1/+/+/event/+");
        centre
    }

    /// What it prints next.
    async fn says(&mut self) -> Value {
        let line = tokio::time::timeout(SOON, self.words.recv()).await.expect("a word in time");
        let line = line.expect("the subscriber goes on; its stderr says why not");
        serde_json::from_str(&line).expect("JSON")
    }

    /// The next event, which is new, of the contract, and leaves no hole.
    async fn takes(&mut self, kind: &str) -> Value {
        let said = self.says().await;
        assert_eq!(said["kind"], kind, "{said}");
        assert_eq!((&said["again"], &said["fault"]), (&json!(false), &Value::Null), "{said}");
        assert_eq!(said["missing"], json!({}), "{said}");
        said
    }
}

impl Drop for Centre {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next receipt, which has to be this event's.
async fn receipted(receipts: &mut Onlooker, said: &Value) {
    let (_, topic, text) = receipts.next().await;
    assert_eq!((topic, text.len()), (format!("{BASE}/receipt"), RECEIPT_BYTES));
    let receipt: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(receipt["received"], said["id"]);
}

/// What no run of these tests brings: the documents' events, as the engine writes them.
async fn takes_the_documents_events(
    world: &World,
    gateway: &Identity,
    centre: &mut Centre,
    receipts: &mut Onlooker,
) {
    let mut missing = Value::Null;
    for event in Schema::of("event").text["examples"].as_array().expect("examples") {
        let lane = event["data"]["lane"].as_str().expect("a lane");
        let (topic, payload) = (format!("{BASE}/event/{lane}"), event.to_string());
        publish(world.site.broker.port, &world.authority, gateway, &topic, payload).await;
        let said = centre.says().await;
        assert_eq!((&said["id"], &said["fault"]), (&event["id"], &Value::Null), "{said}");
        receipted(receipts, &said).await;
        missing = said["missing"].clone();
    }
    assert_eq!(missing["/lonework/ward-3/gw1 0123456789abcdef urgent"], json!([[2, 12]]));
}

async fn takes_everything_once_and_receipts_it(program: fn() -> Command) {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let who = world.authority.issue("onlooker", &[], VALID);
    let mosquitto = world.mosquitto.as_mut().expect("it runs");
    let filter = format!("{BASE}/event/+");
    let mut events = Onlooker::start(mosquitto, &world.authority, &who, &filter).await;
    let filter = format!("{BASE}/receipt");
    let mut receipts = Onlooker::start(mosquitto, &world.authority, &who, &filter).await;
    let mut centre = Centre::start(&world, program()).await;
    world.site.start().await;
    receipted(&mut receipts, &centre.takes("gateway_started").await).await;
    events.next().await;

    let mut last = (String::new(), String::new());
    for (body, kind) in [
        (HEARTBEAT, "heartbeat"),
        (start(30), "session_started"),
        (DISCREET, "discreet_panic"),
        (pin(DURESS), "duress"),
        (HEARTBEAT, "track_point"),
        (PANIC, "panic"),
    ] {
        wire.send(&pendant.say(body)).await.expect("the wire holds");
        receipted(&mut receipts, &centre.takes(kind).await).await;
        let (_, topic, payload) = events.next().await;
        last = (topic, payload);
        let (answer, _) = hear(&mut wire).await;
        pendant.hear(&answer, pendant.counter).expect("a genuine answer");
    }
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;

    // The same once more, after a restart: known, and receipted again.
    drop(centre);
    let mut centre = Centre::start(&world, program()).await;
    let (topic, payload) = last;
    let (port, gateway) = (world.site.broker.port, world.authority.issue("gw2", &[], VALID));
    let brings = |topic: String, payload: String| {
        let (authority, gateway) = (&world.authority, &gateway);
        async move { publish(port, authority, gateway, &topic, payload).await }
    };
    brings(topic.clone(), payload.clone()).await;
    let said = centre.says().await;
    assert_eq!((&said["again"], &said["missing"]), (&json!(true), &json!({})), "{said}");
    receipted(&mut receipts, &said).await;

    // What is no event changes nothing.
    for wrong in ["x", "[]", "{\"id\":1}", &payload.replace("/ward-3/gw1", "/ward-3/gw2")] {
        brings(topic.clone(), wrong.to_owned()).await;
        let said = centre.says().await;
        assert!(said["no_event"].is_string(), "{said}");
    }

    // A newer gateway's event is told apart and taken all the same; numbers show a hole.
    let mut newer: Value = serde_json::from_str(&payload).expect("JSON");
    let (boot, number) = (newer["data"]["boot"].clone(), newer["data"]["number"].as_u64());
    let number = number.expect("a number");
    newer["id"] = json!("f52064e7-8878-80c6-8fff-cb4fc9481dcb");
    newer["data"]["number"] = json!(number + 3);
    newer["data"]["more"] = json!(1);
    brings(topic, newer.to_string()).await;
    let said = centre.says().await;
    assert_eq!((&said["again"], said["fault"].is_string()), (&json!(false), true), "{said}");
    let series = format!("/lonework/ward-3/gw1 {} urgent", boot.as_str().expect("a boot"));
    assert_eq!(said["missing"], json!({ series: [[number + 1, number + 2]] }), "{said}");
    receipted(&mut receipts, &said).await;

    takes_the_documents_events(&world, &gateway, &mut centre, &mut receipts).await;
    assert!(world.site.terminate().success());
}

#[tokio::test]
async fn a_centre_in_python_takes_everything_once_and_receipts_it() {
    takes_everything_once_and_receipts_it(python).await;
}

#[tokio::test]
async fn a_centre_in_node_takes_everything_once_and_receipts_it() {
    takes_everything_once_and_receipts_it(node).await;
}
