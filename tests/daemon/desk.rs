//! An operator's desk (`pendant-kit watch`) with the real daemon and mosquitto: killed in
//! mid-stream like the broker it misses nothing, and it keeps the due times of a gateway
//! that is destroyed.

use crate::dice::Dice;
use crate::end_to_end::World;
use crate::ledger::Ledger;
use crate::load::{Load, is_long, seed};
use crate::mosquitto::VALID;
use crate::pendant::*;
use crate::site::{SOON, hear};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

/// Names the file with the command line of a desk that runs as a process.
const ARGUMENTS: &str = "DESK_ARGUMENTS";
const EVENT_WIRE_BYTES: usize = 1408;

/// Not a check: this program is the desk's process when [`ARGUMENTS`] asks for it.
#[test]
fn as_a_process() {
    if let Ok(file) = std::env::var(ARGUMENTS) {
        let text = fs::read_to_string(file).expect("the command line");
        let _ = pendant_kit::cli::main_with(text.lines().map(Into::into));
    }
}

/// A desk's process. Dropped, it is killed.
pub(crate) struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stdin: ChildStdin,
    /// Ids of events that it showed.
    shown: BTreeSet<String>,
}

fn state(world: &World) -> PathBuf {
    world.site.path("desk")
}

impl Watch {
    pub(crate) fn start(world: &World, more: &[&str]) -> Self {
        let who = world.authority.issue("desk", &[], VALID);
        let file = |path: PathBuf| path.display().to_string();
        let mut arguments: Vec<String> =
            ["pendant-kit", "watch", "--json", "--from-start", "--operator", "nora"]
                .map(String::from)
                .to_vec();
        for (name, value) in [
            ("--host", "localhost".to_owned()),
            ("--port", world.site.broker.port.to_string()),
            ("--ca", file(world.authority.file())),
            ("--certificate", file(who.certificate)),
            ("--key", file(who.key)),
            ("--state", file(state(world))),
        ] {
            arguments.extend([name.to_owned(), value]);
        }
        arguments.extend(more.iter().map(|it| (*it).to_owned()));
        let path = world.site.path("desk.arguments");
        fs::write(&path, arguments.join("\n")).expect("written");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "desk::as_a_process", "--nocapture"])
            .env(ARGUMENTS, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the desk can be started");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let stdin = child.stdin.take().expect("piped");
        Self { child, lines, stdin, shown: BTreeSet::new() }
    }

    /// The next thing that it tells; `None` at its end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let line = timeout(SOON, self.lines.next_line()).await.expect("a line in time");
            // The test harness says something too, and the last line may be cut off.
            let line = line.expect("text")?;
            let json = line.find('{').map_or("", |at| &line[at..]);
            let Ok(value) = serde_json::from_str::<Value>(json) else { continue };
            if value["news"] == "event" {
                self.shown.insert(value["id"].as_str().expect("an id").to_owned());
            }
            return Some(value);
        }
    }

    pub(crate) async fn news(&mut self, news: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let give_up = Instant::now() + SOON;
        let mut others = Vec::new();
        loop {
            let value = self.next().await.unwrap_or_else(|| panic!("it ended without {news}"));
            if value["news"] == news && is_it(&value) {
                return value;
            }
            others.push(value);
            assert!(Instant::now() < give_up, "no such {news} in time, but {others:?}");
        }
    }

    pub(crate) async fn says(&mut self, line: &str) {
        let line = format!("{line}\n");
        tokio::io::AsyncWriteExt::write_all(&mut self.stdin, line.as_bytes()).await.expect("read");
    }

    /// `kill -9`; gives what it had shown.
    pub(crate) async fn kill(mut self) -> BTreeSet<String> {
        self.child.kill().await.expect("killed");
        while self.next().await.is_some() {}
        self.shown
    }
}

/// What it shows until the dice want something else.
async fn reads(watch: &mut Watch, dice: &mut Dice) {
    let moment = tokio::time::sleep(dice.ms(200, 900));
    let reading = async { while watch.next().await.is_some() {} };
    tokio::select! { () = reading => panic!("the desk ended"), () = moment => {} }
}

#[tokio::test]
async fn kills_of_desk_and_broker_in_mid_stream_lose_nothing() {
    let rounds = if is_long() { 60 } else { 8 };
    let seed = seed(8);
    let mut dice = Dice(seed);
    let mut world = World::new(None).await;
    let load = Load::start(&world.site, 20, &mut dice);
    world.site.start().await;
    let mut shown = BTreeSet::new();
    let mut watch = Watch::start(&world, &[]);
    watch.news("up", |_| true).await;
    for round in 0..rounds {
        reads(&mut watch, &mut dice).await;
        if round % 3 == 2 {
            world.broker_away();
            world.broker_back().await;
            continue;
        }
        shown.extend(watch.kill().await);
        watch = Watch::start(&world, &[]);
    }
    let finishing = async {
        let acknowledged = load.finish().await;
        world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
        acknowledged
    };
    let acknowledged = tokio::select! {
        acknowledged = finishing => acknowledged,
        () = async { while watch.next().await.is_some() {} } => panic!("the desk ended"),
    };
    watch.says("missing").await;
    let missing = watch.news("missing", |value| value["missing"].is_array()).await;
    assert_eq!(missing["missing"], json!([]), "seed {seed}");
    watch.says("quit").await;
    while watch.next().await.is_some() {}
    shown.append(&mut watch.shown);

    let mut ledger = Ledger::default();
    let mut kept = BTreeSet::new();
    for entry in fs::read_dir(state(&world)).expect("the desk's folder") {
        let entry = entry.expect("a file");
        if !entry.file_name().to_string_lossy().starts_with("log-") {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(entry.path()).expect("read")).into_owned();
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(5, ' ').collect();
            let [_, _, "m", topic, payload] = words[..] else { continue };
            if !topic.contains("/event/") {
                continue;
            }
            let json: Value = serde_json::from_str(payload).expect("JSON");
            kept.insert(json["id"].as_str().expect("an id").to_owned());
            let width = EVENT_WIRE_BYTES - topic.len();
            ledger.hear(topic, &format!("{payload:<width$}"));
        }
    }
    let wrong = ledger.judge(&acknowledged);
    assert_eq!(wrong, Vec::<String>::new(), "seed {seed}, log:\n{}", world.site.log());
    let unseen: Vec<&String> = kept.difference(&shown).collect();
    assert!(unseen.is_empty(), "seed {seed}: durable and never shown: {unseen:?}");
    println!("seed {seed}: {} presses, {} events", acknowledged.len(), kept.len());
    assert!(acknowledged.len() > rounds, "there was load: {}", acknowledged.len());
    assert!(world.site.terminate().success());
}

#[tokio::test]
async fn a_destroyed_gateway_s_session_is_kept_here_and_falls_due() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut watch = Watch::start(&world, &["--grace-s", "1"]);
    watch.news("up", |_| true).await;
    world.site.start().await;
    // A session is not taken from a pendant that has not echoed an answer yet.
    for body in [HEARTBEAT, start(1), DISCREET] {
        wire.send(&pendant.say(body)).await.expect("the wire holds");
        let (answer, _) = hear(&mut wire).await;
        pendant.hear(&answer, pendant.counter).expect("a genuine answer");
    }
    let panic = watch.news("event", |it| it["data"]["kind"] == "discreet_panic").await;
    assert_eq!(panic["change"], "opened", "{panic}");
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    world.site.kill_9();
    watch.news("state", |it| it["state"]["state"] == "offline").await;
    watch.kill().await;
    // It forgets neither the session nor the incident, and the gateway does not return.
    let mut watch = Watch::start(&world, &["--grace-s", "1"]);
    let incidents = watch.news("incidents", |_| true).await;
    assert_eq!(incidents["incidents"][0]["pendant"], "00012f");
    watch.says("who").await;
    let who = watch.news("who", |_| true).await;
    let alice = &who["who"][0];
    assert_eq!((&alice["wearer"], &alice["overdue"]), (&json!("nurse-7"), &json!(false)));
    assert!(alice["due"].is_string(), "{who}");
    // The broker keeps the state, if the kill came before the desk did.
    watch.news("state", |it| it["state"]["state"] == "offline").await;
    watch.says("gateways").await;
    let gateways = watch.news("gateways", |_| true).await;
    assert_eq!(gateways["gateways"][0]["online"], false);
    if is_long() {
        // The shortest session has a minute.
        let minute = timeout(Duration::from_secs(120), async {
            loop {
                if let Ok(value) = timeout(SOON, watch.lines.next_line()).await {
                    let line = value.expect("text").expect("it goes on");
                    let value: Value = serde_json::from_str(&line).unwrap_or_default();
                    if value["news"] == "overdue" {
                        return value;
                    }
                }
            }
        });
        let overdue = minute.await.expect("an alarm in time");
        assert_eq!(
            (&overdue["wearer"], &overdue["why"], &overdue["change"]),
            (&json!("nurse-7"), &json!("offline"), &json!("added")),
        );
        // The gateway returns and says the same: one alarm.
        world.site.start().await;
        let own = watch.news("event", |it| it["data"]["kind"] == "overdue").await;
        assert_eq!(own["change"], "confirmed", "{own}");
    }
}

#[tokio::test]
async fn an_operator_closes_a_covert_incident_by_the_regular_message() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut watch = Watch::start(&world, &["--message-interval-s", "1"]);
    watch.news("up", |_| true).await;
    world.site.start().await;
    let mut press = async |pendant: &mut Pendant, body| {
        wire.send(&pendant.say(body)).await.expect("the wire holds");
        let (answer, _) = hear(&mut wire).await;
        pendant.hear(&answer, pendant.counter).expect("a genuine answer");
    };
    press(&mut pendant, DISCREET).await;
    watch.news("event", |it| it["data"]["kind"] == "discreet_panic").await;
    press(&mut pendant, HEARTBEAT).await;
    let point = watch.news("event", |it| it["data"]["kind"] == "track_point").await;
    assert_eq!((&point["change"], &point["incident"]), (&json!("tracked"), &json!(1)));
    watch.says("closed 1 it was a child").await;
    watch.says("close 00012f 1").await;
    let result = watch.news("result", |_| true).await;
    assert_eq!(
        (&result["result"]["result"], &result["operator"]),
        (&json!("done"), &json!("nora"))
    );
    press(&mut pendant, HEARTBEAT).await;
    watch.news("event", |it| it["data"]["kind"] == "heartbeat").await;
    assert!(world.site.terminate().success());
}
