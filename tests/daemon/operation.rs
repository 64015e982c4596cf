//! Looking after a gateway that runs: its log's level, and its lines in systemd's journal.

use crate::end_to_end::World;
use crate::pendant::*;
use crate::site::{SOON, Site, hear};
use pendant_kit::wire::Wire;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;

fn configure(site: &Site, old: &str, new: &str) {
    let path = site.path("gateway.toml");
    let text = std::fs::read_to_string(&path).expect("the configuration");
    assert!(text.contains(old), "{text}");
    std::fs::write(&path, text.replace(old, new)).expect("the configuration");
}

async fn press(pendant: &mut Pendant, wire: &mut Wire) {
    wire.send(&pendant.say(HEARTBEAT)).await.expect("the wire holds");
    let (answer, _) = hear(wire).await;
    pendant.hear(&answer, pendant.counter).expect("genuine");
}

#[tokio::test]
async fn the_log_s_level_changes_while_it_runs_and_returns_by_itself() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    configure(&world.site, "level = \"debug\"", "level = \"info\"");
    world.site.start().await;
    let log = |words: &[&str]| {
        let output = world.site.command(&[&["log"], words].concat()).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let frames = || world.site.log().matches("frame heard").count();
    assert_eq!(log(&[]), "info\n");
    press(&mut pendant, &mut wire).await;
    assert_eq!(frames(), 0, "{}", world.site.log());

    assert!(log(&["--level", "debug", "--for", "1h"]).contains(", then info again"));
    press(&mut pendant, &mut wire).await;
    assert_eq!(frames(), 1, "{}", world.site.log());
    let status = world.site.status().expect("it answers");
    assert_eq!(status["log"]["level"], "debug");
    assert!(status["log"]["returns_in_s"].as_u64().is_some_and(|s| s > 3_000), "{status}");

    assert_eq!(log(&["--reset"]), "info\n");
    press(&mut pendant, &mut wire).await;
    assert_eq!(frames(), 1, "{}", world.site.log());

    log(&["--level", "trace", "--for", "1s"]);
    world.site.until("the configured level is back", |s| s["log"]["level"] == "info").await;
    press(&mut pendant, &mut wire).await;
    assert_eq!(frames(), 1, "{}", world.site.log());
}

type Entry = BTreeMap<String, String>;

/// Reads systemd's journal protocol: `NAME=value`, or a name alone with a length and
/// that many bytes behind it.
fn entry(mut bytes: &[u8]) -> Entry {
    let mut entry = Entry::new();
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&bytes[..end]).expect("a name");
        bytes = &bytes[end + 1..];
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let (length, rest) = bytes.split_at(8);
                let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
                let (value, rest) = rest.split_at(usize::try_from(length).expect("it fits"));
                bytes = rest.strip_prefix(b"\n").expect("it ends");
                (line, String::from_utf8(value.to_vec()).expect("text"))
            }
        };
        let twice = entry.insert(name.to_owned(), value);
        assert_eq!(twice, None, "{name} is there twice");
    }
    entry
}

/// Readies the daemon to start in a room of its own, in which the test is systemd's journal.
fn journalled(world: &mut World) -> UnixDatagram {
    let folder = world.site.path("journald");
    std::fs::create_dir(&folder).expect("free");
    let journal = UnixDatagram::bind(folder.join("socket")).expect("a socket");
    journal.set_read_timeout(Some(SOON)).expect("a timeout");
    configure(&world.site, "target = \"stderr\"", "target = \"journald\"");
    let room = "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
                mount --bind \"$0\" /run/systemd/journal && exec \"$@\"";
    let words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", room];
    world.site.wrapper = words.map(str::to_owned).to_vec();
    world.site.wrapper.push(folder.display().to_string());
    journal
}

/// All lines up to the last one.
fn until_stopped(journal: &UnixDatagram) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while entries.last().is_none_or(|last| last["MESSAGE"] != "stopped") {
        let length = journal.recv(&mut buffer).expect("a line in time");
        // An empty one asks whether somebody is there.
        entries.extend((length > 0).then(|| entry(&buffer[..length])));
    }
    entries
}

#[tokio::test]
async fn systemd_s_journal_gets_fields_that_are_documented_and_tell_nothing_covert() {
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operation.md"))
            .expect("the document");
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let journal = journalled(&mut world);
    let journal = std::thread::spawn(move || until_stopped(&journal));
    world.site.start().await;
    world.site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;
    for body in [HEARTBEAT, start(30), pin(DURESS), DISCREET] {
        wire.send(&pendant.say(body)).await.expect("the wire holds");
        let (answer, _) = hear(&mut wire).await;
        pendant.hear(&answer, pendant.counter).expect("genuine");
    }
    drop(wire);
    world.site.until("the link is down", |s| s["links"][0]["up"] == false).await;
    world.broker_away();
    world.site.until("the broker is gone", |s| s["brokers"][0]["connected"] == false).await;
    assert!(world.site.terminate().success(), "{}", world.site.log());

    let entries = journal.join().expect("the journal reads");
    let find = |words: &str| {
        let found = entries.iter().find(|entry| entry["MESSAGE"].starts_with(words));
        found.unwrap_or_else(|| panic!("{words} in {entries:#?}"))
    };
    let has = |words: &str, fields: &[(&str, &str)]| {
        let entry = find(words);
        for (name, value) in fields {
            assert_eq!(entry.get(*name).map(String::as_str), Some(*value), "{name} of {entry:?}");
        }
    };
    has("ready", &[("PRIORITY", "6"), ("TARGET", "pendant_gateway::shell::daemon")]);
    has("frame heard", &[("PENDANT", "00012f"), ("LINK", "pty"), ("PRIORITY", "7")]);
    has("broker connected", &[("BROKER", "broker-1"), ("PRIORITY", "6")]);
    has("link down", &[("LINK", "pty"), ("PRIORITY", "3")]);
    has("broker gone", &[("BROKER", "broker-1"), ("PRIORITY", "4")]);
    for entry in &entries {
        assert_eq!(entry["SYSLOG_IDENTIFIER"], "pendant-gateway");
        for (name, value) in entry {
            assert!(document.contains(&format!("`{name}`")), "{name} is not in docs/operation.md");
            for word in ["duress", "discreet", "covert", "urgent", "27491836"] {
                assert!(!value.to_lowercase().contains(word), "{word} in {entry:?}");
            }
        }
        if let Some(id) = entry.get("MESSAGE_ID") {
            assert!(document.contains(id.as_str()), "{id} is not in docs/operation.md: {entry:?}");
        }
    }
    let known: BTreeSet<&str> = ["ready", "broker connected", "link down", "broker gone"]
        .map(|of| find(of)["MESSAGE_ID"].as_str())
        .into();
    assert_eq!(known.len(), 4, "each has a number of its own");
}

/// A press must not wait because nobody reads the log.
#[tokio::test]
async fn a_journal_that_does_not_read_holds_nobody_up() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let journal = journalled(&mut world);
    world.site.start().await;
    journal.set_nonblocking(true).expect("it can");
    let mut buffer = vec![0; 64 * 1024];
    // Until it holds no more: then nothing is read while a pendant speaks.
    let stuffing = UnixDatagram::unbound().expect("a socket");
    stuffing.set_nonblocking(true).expect("it can");
    while stuffing.send_to(b"MESSAGE=stuffing\n", world.site.path("journald/socket")).is_ok() {}
    press(&mut pendant, &mut wire).await;
    press(&mut pendant, &mut wire).await;
    while journal.recv(&mut buffer).is_ok() {}
    press(&mut pendant, &mut wire).await;
    let mut told = Vec::new();
    while let Ok(length) = journal.recv(&mut buffer) {
        told.push(entry(&buffer[..length]));
    }
    let lost = told.iter().find(|entry| entry["MESSAGE"].starts_with("lines of this log are lost"));
    let lost = lost.unwrap_or_else(|| panic!("that lines are lost: {told:#?}"));
    assert!(lost["COUNT"].parse::<u32>().is_ok_and(|count| count >= 2), "{lost:?}");
    assert!(told.iter().any(|entry| entry["MESSAGE"] == "frame heard"), "{told:#?}");
}
