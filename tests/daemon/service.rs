//! The daemon as a service: readiness, watchdog, reload, stop, one instance.

use crate::end_to_end::World;
use crate::pendant::*;
use crate::site::{SOON, hear, mode};
use std::os::unix::net::UnixDatagram;

#[tokio::test]
async fn it_tells_systemd_when_it_is_ready_and_that_it_turns() {
    let mut world = World::new(None).await;
    let _wire = world.site.wire();
    let socket = world.site.path("notify");
    let notify = UnixDatagram::bind(&socket).expect("a socket");
    notify.set_read_timeout(Some(SOON)).expect("a timeout");
    world.site.environment = vec![
        ("NOTIFY_SOCKET".into(), socket.display().to_string()),
        ("WATCHDOG_USEC".into(), "600000".into()),
    ];
    world.site.start().await;
    let mut words = Vec::new();
    while words.iter().filter(|word| *word == "WATCHDOG=1").count() < 3 {
        let mut buffer = [0; 256];
        let length = notify.recv(&mut buffer).expect("a word in time");
        words.push(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
    }
    assert_eq!(words[0], "READY=1");
    assert!(world.site.terminate().success());
}

/// After a power cut the network may not come for hours, and a long journal on a slow card
/// takes minutes to read: neither may keep the gateway from its pendants.
#[test]
fn the_unit_waits_for_no_network_and_ends_no_start() {
    let unit = std::fs::read_to_string("systemd/pendant-gateway.service").expect("the unit");
    let settings = || unit.lines().filter(|line| !line.starts_with('#'));
    let waits = ["network", "time-sync", "time-set"];
    assert!(!settings().any(|line| waits.iter().any(|target| line.contains(target))), "{unit}");
    assert!(settings().any(|line| line == "TimeoutStartSec=infinity"), "{unit}");
}

#[tokio::test]
async fn an_enrolment_counts_at_once_and_a_revocation_too() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    world.site.start().await;
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.site.until("the enrolment is known", |s| s["pendants"] == 1).await;
    wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    hear(&mut wire).await;
    let revoked = world.site.command(&["revoke", "00012f"]).output().expect("revoke runs");
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    world.site.until("the revocation is known", |s| s["pendants"] == 0).await;
    wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    world
        .site
        .until("it is unknown", |s| s["counters"]["frames_refused"]["unknown_pendant"] == 1)
        .await;
}

/// Huge pages would be given to it where a few bytes are used.
#[tokio::test]
async fn it_takes_memory_in_small_pages() {
    let mut world = World::new(None).await;
    let _wire = world.site.wire();
    world.site.start().await;
    let status = format!("/proc/{}/status", world.site.process());
    let status = std::fs::read_to_string(status).expect("it runs");
    assert!(status.contains("\nTHP_enabled:\t0\n"), "{status}");
}

#[tokio::test]
async fn a_second_gateway_on_the_same_store_is_refused_with_a_reason() {
    let mut world = World::new(None).await;
    let _wire = world.site.wire();
    world.site.start().await;
    let second = world.site.command(&["run"]).output().expect("it ends");
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another gateway runs on this store"), "{said}");
    assert!(world.site.status().is_some(), "the first one is not disturbed");
}

#[tokio::test]
async fn its_files_are_closed_to_others() {
    let mut world = World::new(None).await;
    let _wire = world.site.wire();
    world.site.enroll("00012f", SAFE, DURESS);
    world.site.start().await;
    world.site.until("a segment is there", |s| s["journal_works"] == true).await;
    for name in ["store/store.key", "store/keyring/00012f.enrolment"] {
        assert_eq!(mode(&world.site.path(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&world.site.path("store/journal")), 0o700);
    assert_eq!(mode(&world.site.path("control.sock")) & 0o007, 0);
}

#[tokio::test]
async fn the_log_of_a_duress_is_that_of_a_safe_end() {
    let mut logs = Vec::new();
    for ending in [SAFE, DURESS] {
        let mut world = World::new(None).await;
        let mut wire = world.site.wire();
        let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
        world.site.start().await;
        world.site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;
        // Nobody subscribes here; that this is said must not race with the first frame.
        let said = |s: &serde_json::Value| s["counters"]["publishes_refused"] != 0;
        world.site.until("nobody subscribes", said).await;
        for body in [HEARTBEAT, start(30), pin(ending), HEARTBEAT] {
            wire.send(&pendant.say(body)).await.expect("the wire holds");
            let (answer, _) = hear(&mut wire).await;
            pendant.hear(&answer, pendant.counter).expect("genuine");
        }
        world.site.terminate();
        logs.push(without_times(&world.site.log()));
    }
    assert!(logs[0].contains("frame heard"), "{}", logs[0]);
    assert_eq!(logs[0], logs[1]);
    for word in ["duress", "discreet", "covert", "urgent"] {
        assert!(!logs[1].contains(word), "the log says {word}");
    }
}

/// Lines without their time stamps and without what is random at each start.
fn without_times(log: &str) -> String {
    let line = |line: &str| {
        let line = line.split_once("Z ").map_or(line, |(_, rest)| rest).trim();
        // Each run has a port of its own.
        line.split_once("localhost:").map_or(line, |(start, _)| start).to_owned()
    };
    log.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn survey_shows_how_a_pendant_was_heard() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.site.start().await;
    let survey = |words: &[&str]| {
        let output = world.site.command(words).output().expect("survey runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert!(survey(&["survey"]).contains("No pendant was heard"));
    for body in [HEARTBEAT, DISCREET, HEARTBEAT] {
        // One of two frames is lost on the air.
        pendant.say(HEARTBEAT);
        wire.send(&pendant.say(body)).await.expect("the wire holds");
        hear(&mut wire).await;
    }
    let json: serde_json::Value =
        serde_json::from_str(&survey(&["survey", "--json"])).expect("JSON");
    let row = &json["rows"][0];
    assert_eq!((&row["pendant"], &row["link"]), (&"00012f".into(), &"pty".into()), "{json}");
    assert_eq!((&row["frames"], &row["lost_percent"]), (&3.into(), &40.into()), "{json}");
    let text = survey(&["survey"]);
    assert!(text.contains("00012f") && text.contains("40 %") && text.contains("pty"), "{text}");
}
