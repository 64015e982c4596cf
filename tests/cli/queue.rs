//! `queue` through the built programs, on journals that the engine wrote.

use super::{Said, Site, pins, run};
use crate::pendant::*;
use crate::rig::Rig;
use pendant_gateway::shell::journal_files::journal_key;
use pendant_gateway::shell::store_key::StoreKey;
use pendant_kit::export::{ExportError, ExportSecret, open};
use pendant_protocol::Body;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// A site whose gateway, now off, heard these frames and had no broker.
fn site_that_heard(bodies: &[Body]) -> Site {
    let site = Site::new();
    site.enroll("000001", &pins(), &[]).expect(0);
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.journal_key = journal_key(&StoreKey::read(&site.path("store/store.key")).expect("made"));
    rig.brokers[0].there = false;
    rig.start();
    rig.run_ms(500);
    for body in bodies {
        rig.exchange(&mut pendant, *body);
    }
    rig.crash();
    fs::create_dir(site.path("store/journal")).expect("free");
    for (file, bytes) in &rig.disk.files {
        fs::write(segment(&site, *file), bytes).expect("writable");
    }
    site
}

fn segment(site: &Site, file: u32) -> PathBuf {
    site.path(&format!("store/journal/{file:08}.seg"))
}

fn all_files(site: &Site) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(site.path("store/journal")).expect("a folder");
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths.map(|path| (path.clone(), fs::read(path).expect("readable"))).collect()
}

/// Writes the centre's key, and names it in the configuration.
fn with_export_key(site: &Site) -> ExportSecret {
    let public = ExportSecret::make(&site.path("centre.secret")).expect("a new file");
    site.write("centre.key", &format!("# the centre's\n{public}\n"), 0o644);
    let path = site.path("centre.key");
    site.edit("[control]", &format!("[centre]\nexport_key_file = {path:?}\n[control]"));
    ExportSecret::read(&site.path("centre.secret")).expect("just made")
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).expect("JSON")
}

#[test]
fn an_empty_store_has_an_empty_queue() {
    let site = Site::new();
    let said = site.run(&["queue", "verify"]).expect(0);
    assert_eq!(said.out, "the journal is empty: there are no segment files\n");
    assert_eq!(json(&site.run(&["queue", "list", "--json"]).expect(0))["waiting"], 0);
    assert!(!site.path("store/journal").exists(), "nothing was made");
}

#[test]
fn what_waits_is_counted_and_nothing_is_changed() {
    let site = site_that_heard(&[PANIC, HEARTBEAT, HEARTBEAT]);
    let before = all_files(&site);
    let said = site.run(&["queue", "list"]).expect(0);
    // The start, and what was heard.
    assert!(said.err.contains("4 events to be delivered"), "{said:#?}");
    let listed = json(&site.run(&["queue", "list", "--json"]).expect(0));
    assert_eq!(listed["waiting"], 4);
    assert_eq!(listed["boots"].as_array().expect("boots").len(), 1);
    let said = site.run(&["queue", "verify"]).expect(0);
    assert!(said.out.contains("nothing that was durable is missing"), "{said:#?}");
    assert_eq!(all_files(&site), before);
}

/// Whatever was pressed, `queue` shows the same on site (P5).
#[test]
fn the_site_s_views_do_not_tell_what_was_pressed() {
    for (one, other) in [(pin(SAFE), pin(DURESS)), (HEARTBEAT, DISCREET)] {
        let views = [one, other].map(|body| {
            let site = site_that_heard(&[start(60), HEARTBEAT, body, HEARTBEAT]);
            with_export_key(&site);
            let mut bytes = fs::read(segment(&site, 0)).expect("there");
            bytes[512 * 4..512 * 5].fill(0xEE);
            fs::write(segment(&site, 0), bytes).expect("writable");
            let said: Vec<(String, String)> = [&["list"][..], &["list", "--json"], &["verify"]]
                .iter()
                .chain([&["verify", "--json"][..], &["export", "--out", "/dev/null"]].iter())
                .map(|words| site.run(&[&["queue"], *words].concat()))
                .map(|said| (said.out, said.err.replace(&site.root().display().to_string(), "")))
                .collect();
            let out = site.path("export");
            let out = out.to_str().expect("a path");
            let exported = site.run(&["queue", "export", "--out", out]).expect(3);
            (said, exported.err, fs::metadata(out).expect("written").len())
        });
        assert_eq!(views[0], views[1]);
    }
}

#[test]
fn damage_and_a_cut_off_end_are_told_in_words_and_by_exit_code() {
    let site = site_that_heard(&[PANIC; 40]);
    let mut bytes = fs::read(segment(&site, 0)).expect("there");
    bytes[512 * 10..512 * 13].fill(0xEE);
    bytes[512 * 20] ^= 1;
    fs::write(segment(&site, 0), &bytes).expect("writable");
    let said = site.run(&["queue", "verify"]).expect(3);
    for words in [
        "DAMAGED: 4 frames that were durable cannot be read back",
        "lost: frames 10 to 12 of segment 1, in 00000000.seg",
        "lost: frame 20 of segment 1, in 00000000.seg",
    ] {
        assert!(said.out.contains(words), "{words} is in {said:#?}");
    }
    let verified = json(&site.run(&["queue", "verify", "--json"]).expect(3));
    assert_eq!(verified["damaged_frames"], 4);
    assert_eq!(verified["lost"][1]["first_frame"], 20);

    // The last commit torn off: void, and no damage.
    let site = site_that_heard(&[PANIC; 5]);
    let mut bytes = fs::read(segment(&site, 0)).expect("there");
    let last = bytes.chunks(512).rposition(|frame| frame != [0; 512]).expect("frames");
    bytes[512 * last + 99] ^= 1;
    fs::write(segment(&site, 0), bytes).expect("writable");
    let said = site.run(&["queue", "verify"]).expect(0);
    assert!(said.out.contains("1 frame of commits that were cut off"), "{said:#?}");
}

#[test]
fn an_export_is_for_the_centre_alone_and_holds_what_waits() {
    let site = site_that_heard(&[PANIC, pin(DURESS), HEARTBEAT]);
    let out = site.path("export");
    let out = out.to_str().expect("a path");
    let refused = site.run(&["queue", "export", "--out", out]).expect(2);
    assert!(refused.err.contains("export_key_file"), "{refused:#?}");
    let secret = with_export_key(&site);
    let before = all_files(&site);
    let said = site.run(&["queue", "export", "--out", out]).expect(0);
    assert_eq!(said.err, "4 events exported\n");
    assert_eq!(all_files(&site), before);
    assert!(
        site.run(&["queue", "export", "--out", out]).expect(1).err.contains("exists"),
        "no file is written over"
    );

    let sealed = fs::read(out).expect("written");
    for clear in ["panic", "duress", "crane-2", "m.okafor", "harbour"] {
        let found = sealed.windows(clear.len()).any(|window| window == clear.as_bytes());
        assert!(!found, "{clear} stands in clear");
    }
    let mut kinds = Vec::new();
    let end = open(&sealed[..], &secret, |topic, payload| {
        let event: Value = serde_json::from_slice(payload).expect("JSON");
        assert!(topic.starts_with("lonework/v1/harbour/crane-2/event/"), "{topic}");
        kinds.push(event["data"]["kind"].as_str().expect("a kind").to_owned());
        Ok::<(), ExportError>(())
    })
    .expect("ours");
    assert_eq!(kinds, ["gateway_started", "panic", "duress", "track_point"]);
    assert_eq!(end["messages"], 4);
    assert_eq!(end["damaged_frames"], 0);

    let other = ExportSecret::make(&site.path("other.secret")).map(|_| site.path("other.secret"));
    let other = ExportSecret::read(&other.expect("made")).expect("just made");
    let drop = |_: &str, _: &[u8]| Ok::<(), ExportError>(());
    assert!(matches!(open(&sealed[..], &other, drop), Err(ExportError::Sealed)));
    for cut in [0, 17, 30, 60, sealed.len() / 2, sealed.len() - 1] {
        assert!(open(&sealed[..cut], &secret, drop).is_err(), "cut to {cut} bytes");
    }
    let mut altered = sealed.clone();
    altered[100] ^= 1;
    assert!(matches!(open(&altered[..], &secret, drop), Err(ExportError::Sealed)));
}

#[test]
fn damage_comes_with_its_numbers_in_the_export() {
    let site = site_that_heard(&[PANIC; 10]);
    let secret = with_export_key(&site);
    let mut bytes = fs::read(segment(&site, 0)).expect("there");
    bytes[512 * 6..512 * 7].fill(0);
    fs::write(segment(&site, 0), bytes).expect("writable");
    let out = site.path("export");
    site.run(&["queue", "export", "--out", out.to_str().expect("a path")]).expect(3);
    let mut numbers = Vec::new();
    let sealed = fs::File::open(out).expect("written");
    let end = open(sealed, &secret, |topic, payload| {
        let event: Value = serde_json::from_slice(payload).expect("JSON");
        numbers.extend(topic.ends_with("urgent").then(|| event["data"]["number"].as_u64()));
        Ok::<(), ExportError>(())
    })
    .expect("ours");
    let missing = (1..=10).find(|n| !numbers.contains(&Some(*n))).expect("one is missing");
    let range = &end["missing"][0];
    assert_eq!(
        (&range[1], &range[2], &range[3]),
        (&"urgent".into(), &missing.into(), &missing.into())
    );
}

#[test]
fn a_foreign_key_is_told_and_changes_nothing() {
    let site = site_that_heard(&[PANIC]);
    let text = fs::read_to_string(site.path("store/store.key")).expect("made");
    site.write("store/store.key", &text.chars().rev().skip(1).collect::<String>(), 0o600);
    let before = all_files(&site);
    let said = site.run(&["queue", "verify"]).expect(1);
    assert!(said.err.contains("another store key"), "{said:#?}");
    assert_eq!(all_files(&site), before);
}

/// A bar is for people: on a terminal and nowhere else.
#[test]
fn no_bar_goes_into_a_pipe() {
    let site = site_that_heard(&[PANIC]);
    let said = run(site.command(&["queue", "verify"]), "").expect(0);
    assert!(!said.err.contains('\r') && !said.err.contains('['), "{said:#?}");
}
