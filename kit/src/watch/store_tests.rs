//! The folder over restarts, cuts and damage.

use super::*;
use crate::watch::{Stage, Step};
use proptest::prelude::*;
use serde_json::json;

fn message(number: u64) -> (String, String) {
    let payload = json!({
        "specversion": "1.0", "id": format!("0190a1b2-c3d4-8e5f-9a0b-{number:012x}"),
        "source": "/lonework/s/g", "type": "lonework.v1.panic",
        "data": { "lane": "urgent", "kind": "panic", "covert": false, "boot": "00000000000000ff",
            "number": number, "pendant": format!("{number:06x}"), "counter": number },
    });
    ("lonework/v1/s/g/event/urgent".into(), payload.to_string())
}

/// Takes messages as the desk at work does.
async fn take(opened: &mut Opened, numbers: impl Iterator<Item = u64>) {
    let mut lines = Vec::new();
    for number in numbers {
        let (topic, payload) = message(number);
        opened.desk.hear(number, &topic, payload.as_bytes(), false);
        // Line ends between words are JSON too.
        let payload = payload.replace(",\"source\"", ",\r\n\"source\"");
        let change = Change::Message { topic: &topic, payload: payload.as_bytes() };
        write_change(&mut lines, number, &change);
    }
    opened.store.append(lines);
    opened.store.done().await.expect("written");
}

fn text(desk: &Desk) -> String {
    serde_json::to_string(desk).expect("JSON")
}

fn open(folder: &Path) -> Opened {
    Store::open(folder, Since::Start, 0).expect("a folder")
}

#[tokio::test]
async fn what_was_durable_is_there_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut opened = open(folder.path());
    assert!(Store::open(folder.path(), Since::Start, 0).is_err(), "one desk at a time");
    take(&mut opened, 1..4).await;
    let stage = Stage { step: Step::Accepted, operator: "nora".into(), at_ms: 9, note: None };
    let record = Record::Stage { incident: 2, stage: stage.clone() };
    opened.desk.stage(2, stage);
    let mut lines = Vec::new();
    write_change(&mut lines, 9, &Change::Record(&record));
    opened.store.append(lines);
    opened.store.done().await.expect("written");
    let known = text(&opened.desk);
    drop(opened);
    for _ in 0..3 {
        let again = open_when_free(folder.path()).await;
        assert_eq!((text(&again.desk), again.notes), (known.clone(), vec![]));
    }
}

/// The thread of the one before lets go a moment after it was dropped.
async fn open_when_free(folder: &Path) -> Opened {
    loop {
        match Store::open(folder, Since::Start, 0) {
            Ok(opened) => return opened,
            Err(error) if error.to_string().contains("another desk") => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn old_logs_go_and_the_last_two_snapshots_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut opened = open(folder.path());
    for round in 0..6 {
        take(&mut opened, round * 10 + 1..round * 10 + 11).await;
        opened.store.snapshot(opened.desk.clone());
        opened.store.done().await.expect("written");
    }
    let files = |kind: &str| {
        let files = fs::read_dir(folder.path()).expect("a folder");
        files
            .filter(|it| {
                it.as_ref().expect("a file").file_name().to_string_lossy().starts_with(kind)
            })
            .count()
    };
    assert_eq!((files("desk-"), files("log-")), (2, 2));
    let known = text(&opened.desk);
    drop(opened);
    // The newest snapshot is damaged: the one before and its log have it all.
    let newest = folder.path().join("desk-00000007");
    fs::write(&newest, b"{").expect("written");
    let again = open_when_free(folder.path()).await;
    assert_eq!(text(&again.desk), known);
    assert_eq!(again.notes.len(), 1, "{:?}", again.notes);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told_and_a_snapshot_makes_up_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut opened = open(folder.path());
    take(&mut opened, 1..2).await;
    let away = folder.path().with_extension("away");
    fs::rename(folder.path(), &away).expect("renamed");
    opened.store.snapshot(opened.desk.clone());
    assert!(opened.store.done().await.is_err());
    assert!(opened.store.wants_snapshot());
    fs::rename(&away, folder.path()).expect("renamed back");
    opened.store.snapshot(opened.desk.clone());
    opened.store.done().await.expect("written");
    assert!(!opened.store.wants_snapshot());
    let known = text(&opened.desk);
    drop(opened);
    assert_eq!(text(&open_when_free(folder.path()).await.desk), known);
}

#[tokio::test]
async fn a_snapshot_that_fails_leaves_no_half_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut opened = open(folder.path());
    take(&mut opened, 1..20).await;
    let half = folder.path().join("desk-00000001.new");
    fs::write(&half, "{").expect("free");
    drop(opened);
    let mut opened = open_when_free(folder.path()).await;
    assert!(!half.exists());
    // What stands in its place cannot be replaced.
    let blocked = folder.path().join("desk-00000003");
    fs::create_dir_all(blocked.join("x")).expect("free");
    opened.store.snapshot(opened.desk.clone());
    assert!(opened.store.done().await.is_err());
    let files = fs::read_dir(folder.path()).expect("a folder");
    let names = files.map(|it| it.expect("a file").file_name().to_string_lossy().into_owned());
    let left: Vec<String> = names.filter(|name| name.ends_with(".new")).collect();
    assert_eq!(left, [""; 0]);
}

#[tokio::test]
async fn damage_of_the_last_line_is_told_and_a_line_cut_off_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut opened = open(folder.path());
    take(&mut opened, 1..4).await;
    drop(opened);
    let log = folder.path().join("log-00000001");
    let lines = fs::read(&log).expect("a log");
    fs::write(&log, &lines[..lines.len() - 9]).expect("free");
    assert_eq!(replay(&log, &mut Desk::new(Since::Start)).expect("read"), 0);
    let mut damaged = lines.clone();
    damaged[lines.len() - 9] ^= 1;
    fs::write(&log, &damaged).expect("free");
    let again = open_when_free(folder.path()).await;
    assert!(
        again.notes.iter().any(|note| note.contains("1 lines cannot be read")),
        "{:?}",
        again.notes
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_cut_log_is_read_up_to_the_cut_and_damage_costs_one_line(
        cut in any::<prop::sample::Index>(),
        hit in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let mut lines = Vec::new();
        for number in 1..20 {
            let (topic, payload) = message(number);
            let change = Change::Message { topic: &topic, payload: payload.as_bytes() };
            write_change(&mut lines, number, &change);
        }
        lines.truncate(cut.index(lines.len()));
        let whole = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        if let (Some(hit), false) = (hit, lines.is_empty()) {
            let at = hit.index(lines.len());
            lines[at] ^= 1;
        }
        fs::write(&path, &lines).expect("written");
        let mut desk = Desk::new(Since::Start);
        let damaged = replay(&path, &mut desk).expect("read");
        let read = desk.incidents().open().count() as u64;
        prop_assert!(read <= whole && read + 2 >= whole, "{read} of {whole}");
        prop_assert!(damaged <= 2);
    }
}
