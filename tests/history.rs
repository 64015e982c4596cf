//! The history: survives, is bounded, makes nobody wait, and no damage to its
//! files reaches the process.
//!
//! What may harm a process runs in one of its own: this program, started again
//! with a part to play.

use pendant_gateway::engine::seam::{LinkId, Signal};
use pendant_gateway::shell::history::{
    BUCKET_S, Fact, History, HistoryLimits, HistoryStatus, HistoryTrouble, ReadError, Row, Sample,
    Subject,
};
use pendant_protocol::PendantId;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(20);
/// A whole number of buckets.
const START_UNIX_S: u64 = 1_700_000_100;
const ALL_TIME: std::ops::Range<u64> = 0..u32::MAX as u64;

fn pendant(number: u32) -> PendantId {
    PendantId::new(number).expect("a number in range")
}

fn heard(unix_s: u64, number: u32, rssi_dbm: i16) -> Sample {
    let signal = Signal { rssi_dbm: Some(rssi_dbm), snr_quarter_db: Some(-8), ..Signal::default() };
    Sample { unix_s, link: LinkId(1), fact: Fact::Heard(pendant(number), signal) }
}

fn folder() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let folder = parent.path().join("history");
    (parent, folder)
}

async fn when(history: &History, wanted: impl Fn(&HistoryStatus) -> bool) -> HistoryStatus {
    let mut status = history.status();
    match timeout(SOON, status.wait_for(|status| wanted(status))).await {
        Ok(status) => status.expect("the thread runs").clone(),
        Err(_) => panic!("still {:?}", *history.status().borrow()),
    }
}

async fn opened(folder: &Path, limits: HistoryLimits) -> History {
    let history = History::open(folder.to_owned(), limits);
    when(&history, |status| status.open).await;
    history
}

async fn rows(history: &History) -> Vec<Row> {
    history.read(ALL_TIME.start, ALL_TIME.end).await.expect("it is open")
}

/// Records all of these, however many: the queue is emptied by reads.
async fn record_all(history: &History, samples: impl Iterator<Item = Sample>) {
    for (place, sample) in samples.enumerate() {
        if place % 500 == 499 {
            history.read(0, 0).await.expect("it is open");
        }
        history.record(sample);
    }
    assert_eq!(history.dropped(), 0);
}

#[tokio::test]
async fn what_was_heard_survives_a_reopening_and_adds_up() {
    let (_parent, folder) = folder();
    for round in 1..=3 {
        let history = opened(&folder, HistoryLimits::default()).await;
        history.record(heard(START_UNIX_S, 7, -90));
        history.record(heard(START_UNIX_S + 1, 7, -100 - round));
        history.record(heard(START_UNIX_S + BUCKET_S, 7, -80));
        history.record(Sample { unix_s: START_UNIX_S, link: LinkId(2), fact: Fact::LinkLost });
        history.close().await;
    }
    let history = opened(&folder, HistoryLimits::default()).await;
    let all = rows(&history).await;
    let [link, first, second] = all[..] else { panic!("{all:?}") };
    assert_eq!((link.subject, link.link, link.tally.count), (Subject::Link, LinkId(2), 3));
    assert_eq!((first.subject, first.link), (Subject::Pendant(pendant(7)), LinkId(1)));
    assert_eq!((first.from_unix_s, second.from_unix_s), (START_UNIX_S, START_UNIX_S + BUCKET_S));
    assert_eq!((first.tally.count, second.tally.count), (6, 3));
    let rssi = first.tally.rssi_dbm;
    assert_eq!((rssi.count, rssi.min, rssi.max, rssi.sum), (6, -103, -90, -576));
    assert_eq!(first.tally.snr_quarter_db.min, -8);

    let later = history.read(START_UNIX_S + 1, START_UNIX_S + 1 + BUCKET_S).await;
    assert_eq!(later, Ok(vec![second]), "rows that begin within the span");
    history.close().await;
}

#[tokio::test]
async fn the_caller_never_waits_and_what_is_dropped_is_counted() {
    let (_parent, folder) = folder();
    let history = History::open(folder, HistoryLimits::default());
    let mut longest = Duration::ZERO;
    for n in 0..200_000u32 {
        let begun = Instant::now();
        history.record(heard(START_UNIX_S + u64::from(n), n % 50 + 1, -90));
        longest = longest.max(begun.elapsed());
    }
    // The bound leaves room for a machine that runs something else meanwhile.
    assert!(longest < Duration::from_millis(500), "{longest:?}");
    let counted: u64 = loop {
        match history.read(ALL_TIME.start, ALL_TIME.end).await {
            Ok(rows) => break rows.iter().map(|row| u64::from(row.tally.count)).sum(),
            Err(ReadError::Busy) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(counted + history.dropped(), 200_000);
    history.close().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_is_a_trouble_and_nothing_else() {
    let (parent, _) = folder();
    let file = parent.path().join("file");
    fs::write(&file, "in the way").expect("the folder can be written to");
    let history = History::open(file.join("history"), HistoryLimits::default());
    let status = when(&history, |status| status.trouble.is_some()).await;
    assert!(matches!(status.trouble, Some(HistoryTrouble::Disk(_))), "{status:?}");
    assert!(!status.open);
    for n in 0..10_000 {
        history.record(heard(START_UNIX_S, n + 1, -90));
    }
    let read = loop {
        match history.read(ALL_TIME.start, ALL_TIME.end).await {
            Err(ReadError::Busy) => tokio::task::yield_now().await,
            other => break other,
        }
    };
    assert_eq!(read, Err(ReadError::NotOpen));
    history.close().await;
}

#[tokio::test]
async fn a_folder_in_use_is_a_trouble_and_stays_whole() {
    let (_parent, folder) = folder();
    let first = opened(&folder, HistoryLimits::default()).await;
    let second = History::open(folder, HistoryLimits::default());
    let status = when(&second, |status| status.trouble.is_some()).await;
    assert!(matches!(status.trouble, Some(HistoryTrouble::Disk(_))), "{status:?}");
    first.record(heard(START_UNIX_S, 7, -90));
    assert_eq!(rows(&first).await.len(), 1);
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn a_folder_on_which_the_process_died_twice_is_not_tried_again() {
    let (parent, folder) = folder();
    opened(&folder, HistoryLimits::default()).await.close().await;
    let mark = parent.path().join("history.opening");
    fs::write(&mark, ".").expect("the folder can be written to");
    let history = opened(&folder, HistoryLimits::default()).await;
    assert_eq!(history.status().borrow().trouble, None, "once may have been a power cut");
    history.close().await;
    fs::write(&mark, "..").expect("the folder can be written to");
    let history = opened(&folder, HistoryLimits::default()).await;
    let trouble = history.status().borrow().trouble.clone();
    assert_eq!(trouble, Some(HistoryTrouble::Damaged(parent.path().join("history.damaged-1"))));
    assert!(!mark.exists());
    history.close().await;
}

/// Plays `part` in a process of its own. `limits` are shell commands before it.
fn play(part: &str, folder: &Path, limits: &str) -> Output {
    let program = std::env::current_exe().expect("this program has a path");
    Command::new("sh")
        .arg("-c")
        .arg(format!("{limits} exec \"$0\" --exact a_part_to_play --nocapture"))
        .arg(program)
        .env("HISTORY_PART", part)
        .env("HISTORY_FOLDER", folder)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("this program can be started")
}

/// What the part said.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}\n{text}\n{errors}", output.status);
    let said = text.split("SAID ").nth(1).unwrap_or_else(|| panic!("{text}\n{errors}"));
    said.lines().next().unwrap_or_default().to_owned()
}

/// Not a test unless it is started by [`play`].
#[tokio::test]
async fn a_part_to_play() {
    let Ok(part) = std::env::var("HISTORY_PART") else { return };
    let folder = PathBuf::from(std::env::var_os("HISTORY_FOLDER").expect("set with the part"));
    let said = match part.as_str() {
        "use" => use_it(&folder).await,
        "fill" => fill_it(&folder).await,
        "weigh" => weigh_it(&folder).await,
        other => panic!("no such part: {other}"),
    };
    println!("SAID {said}");
}

/// Opens whatever is there, and shows that it works in the end.
async fn use_it(folder: &Path) -> String {
    let history = opened(folder, HistoryLimits::default()).await;
    let read = history.read(ALL_TIME.start, ALL_TIME.end).await.map(|rows| rows.len());
    when(&history, |status| status.open).await;
    history.record(heard(START_UNIX_S + 50 * BUCKET_S, 99, -70));
    let new = history.read(START_UNIX_S + 50 * BUCKET_S, START_UNIX_S + 51 * BUCKET_S).await;
    assert!(
        new.is_ok_and(|rows| rows.iter().any(|row| row.subject == Subject::Pendant(pendant(99))))
    );
    let trouble = history.status().borrow().trouble.clone();
    history.close().await;
    match trouble {
        None => format!("kept {read:?}"),
        Some(HistoryTrouble::Damaged(_)) => "anew".to_owned(),
        Some(other) => panic!("{other}"),
    }
}

/// xorshift64: damage that every run does alike.
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a temporary folder can be written to");
    for entry in fs::read_dir(from).expect("it is a folder") {
        let entry = entry.expect("it can be listed");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("it can be copied");
        }
    }
}

fn damage(folder: &Path, case: u64) {
    let mut random = 0x9E37_79B9_7F4A_7C15 ^ (case + 1);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("it is a folder")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let database = folder.join("db");
    let mut bytes = fs::read(&database).expect("sled's main file");
    match case % 4 {
        0 => {
            bytes.truncate(bytes.len() - 1 - next_random(&mut random) as usize % (bytes.len() / 2))
        }
        1 | 2 => {
            for _ in 0..=case {
                let sector = next_random(&mut random) as usize % (bytes.len() / 512) * 512;
                for byte in &mut bytes[sector..sector + 512] {
                    *byte = next_random(&mut random) as u8;
                }
            }
        }
        _ => {
            let file = &files[next_random(&mut random) as usize % files.len()];
            let mut other = fs::read(file).expect("it is a file");
            let length = other.len();
            if length > 0 {
                other[next_random(&mut random) as usize % length] ^= 0x55;
            }
            other.truncate(length - length / 8);
            return fs::write(file, other).expect("it can be written");
        }
    }
    fs::write(&database, bytes).expect("it can be written");
}

#[tokio::test]
async fn no_damage_reaches_the_process() {
    let (_parent, whole) = folder();
    let history = opened(&whole, HistoryLimits::default()).await;
    let samples = (0..4000u64)
        .map(|n| heard(START_UNIX_S + n / 80 * BUCKET_S, 1 + n as u32 % 80, -60 - (n % 50) as i16));
    record_all(&history, samples).await;
    history.close().await;

    let mut anew = 0;
    for case in 0..20 {
        let (parent, damaged) = folder();
        copy(&whole, &damaged);
        damage(&damaged, case);
        let said = said(&play("use", &damaged, ""));
        eprintln!("case {case}: {said}");
        if said == "anew" {
            anew += 1;
            assert!(parent.path().join("history.damaged-1").is_dir());
        }
        let again = play("use", &damaged, "");
        let again = self::said(&again);
        assert!(again.starts_with("kept") || said != "anew", "case {case}: {again} after {said}");
    }
    assert!(anew >= 10, "only {anew} of 20 damages were found");
}

/// Fills the disk, which is a limit on file sizes here.
async fn fill_it(folder: &Path) -> String {
    let history = History::open(folder.to_owned(), HistoryLimits::default());
    for n in 0..2_000_000u64 {
        if history.status().borrow().trouble.is_some() {
            break;
        }
        if n % 500 == 499 {
            let _ = history.read(0, 0).await;
        }
        history.record(heard(START_UNIX_S + n / 50 * BUCKET_S, 1 + n as u32 % 50, -90));
    }
    let trouble = history.status().borrow().trouble.clone();
    let begun = Instant::now();
    for n in 0..10_000 {
        history.record(heard(START_UNIX_S + n, 1, -90));
    }
    let calls = begun.elapsed();
    assert!(calls < Duration::from_secs(1), "{calls:?}");

    let me = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &me]).status();
    assert!(raised.expect("prlimit (Debian package util-linux) is there").success());
    when(&history, |status| status.open && status.trouble.is_none()).await;
    history.record(heard(0, 77, -90));
    let after = history.read(0, 1).await.expect("it is open again");
    assert!(after.iter().any(|row| row.subject == Subject::Pendant(pendant(77))), "{after:?}");
    history.close().await;
    format!("{}", trouble.expect("the limit is below what was written"))
}

#[tokio::test]
async fn a_full_disk_is_a_trouble_and_with_room_again_it_goes_on() {
    let (_parent, folder) = folder();
    // 512-byte units. Ignoring the signal makes the writes fail instead.
    let said = said(&play("fill", &folder, "trap '' XFSZ; ulimit -S -f 1000;"));
    eprintln!("{said}");
    assert!(said.contains("history"), "{said}");
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

async fn weigh_it(folder: &Path) -> String {
    let before = resident_kib();
    let history = opened(folder, HistoryLimits::default()).await;
    history.record(heard(START_UNIX_S, 1, -90));
    rows(&history).await;
    let idle = resident_kib() - before;
    let samples = (0..100_000u64)
        .map(|n| heard(START_UNIX_S + n / 50 * BUCKET_S, 1 + n as u32 % 50, -60 - (n % 50) as i16));
    record_all(&history, samples).await;
    history.read(0, 0).await.expect("it is open");
    let full = resident_kib() - before;
    history.close().await;
    format!("{idle} {full}")
}

#[tokio::test]
async fn it_weighs_little() {
    let (_parent, folder) = folder();
    let said = said(&play("weigh", &folder, ""));
    let kib: Vec<u64> = said.split(' ').map(|kib| kib.parse().expect("a number")).collect();
    let bytes: u64 = fs::metadata(folder.join("db")).expect("sled's main file").len();
    eprintln!("{} KiB with one row, {} KiB after 100000, {bytes} bytes on disk", kib[0], kib[1]);
    assert!(kib[0] < 3 * 1024, "{said}");
    assert!(kib[1] < 16 * 1024, "{said}");
}
