//! Power cuts below the file system: the real daemon's store on ext4, on a loop
//! device, over a block file that records every write and flush. The disk as of any
//! moment is built again, with unflushed writes dropped, torn and reordered in
//! sectors of 512 bytes; it is mounted, and the journal is read.
//!
//! Needs root, /dev/fuse, loop devices and e2fsprogs. It takes minutes: it is run by
//! `tests/run --long`, or `cargo test --release --test power_cut`.

#[allow(unreachable_pub, missing_docs, reason = "support of this test")]
mod device;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/dice.rs"]
mod dice;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/pendant.rs"]
mod pendant;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/site.rs"]
mod site;
#[allow(unreachable_pub, missing_docs, reason = "shared by several test programs")]
#[path = "../support/system.rs"]
mod system;

use device::{Device, NAME, Step};
use dice::Dice;
use pendant::*;
use pendant_gateway::config::Config;
use pendant_gateway::engine::settings::Settings;
use pendant_gateway::engine::time::{Mono, Now, Wall};
use pendant_gateway::shell::disk::JournalFolder;
use pendant_gateway::shell::journal_files;
use pendant_gateway::shell::settings::settings;
use pendant_gateway::shell::store_key::StoreKey;
use pendant_kit::pki::{Leaf, Pki};
use pendant_kit::wire::Wire;
use site::{BrokerFiles, Site};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use system::system;
use tokio::time::Instant;

const DISK_BYTES: usize = 96 * 1024 * 1024;
const CUTS: usize = 1_000;
const LIVES: usize = 6;
const PRESSES_A_LIFE: usize = 120;
/// Pendant and counter.
type Press = (u32, u32);

/// A file system that is mounted until this is dropped.
struct Mounted {
    folder: PathBuf,
    device: String,
}

impl Mounted {
    fn new(file: &Path, folder: &Path) -> Self {
        let device = system(&["losetup", "--find", "--show", text(file)]);
        let mounted = Self { folder: folder.to_owned(), device };
        if !mounted.mount() {
            // ext4 takes it that its superblock of two sectors is written whole, or not at
            // all. A machine that boots on a torn one checks and mends it first.
            let checked = Command::new("e2fsck").args(["-f", "-y", &mounted.device]).output();
            let checked = checked.expect("e2fsck runs: install e2fsprogs");
            println!("torn superblock: {}", String::from_utf8_lossy(&checked.stdout));
            assert!(mounted.mount(), "not mended: {}", String::from_utf8_lossy(&checked.stderr));
        }
        mounted
    }

    fn mount(&self) -> bool {
        let mount =
            Command::new("mount").args(["-t", "ext4", &self.device]).arg(&self.folder).output();
        mount.expect("mount runs: root is needed").status.success()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // What failed before must not be hidden by a panic here.
        let _ = Command::new("umount").arg(&self.folder).output();
        let _ = Command::new("losetup").args(["--detach", &self.device]).output();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of this test")
}

/// Presses that were answered: how much had reached the device by then.
#[derive(Default)]
struct Answered {
    waiting: Vec<Press>,
    at: BTreeMap<Press, usize>,
}

impl Answered {
    async fn listen(&mut self, wire: &mut Wire, pendants: &[Pendant], device: &Device) {
        let until = Instant::now() + Duration::from_millis(20);
        while let Ok(Ok((bytes, _))) = tokio::time::timeout_at(until, wire.receive()).await {
            let steps = device.record().steps.len();
            let meant = self.waiting.iter().position(|(id, counter)| {
                let pendant = pendants.iter().find(|pendant| pendant.id.get() == *id);
                pendant.is_some_and(|pendant| pendant.clone().hear(&bytes, *counter).is_some())
            });
            if let Some(place) = meant {
                self.at.insert(self.waiting.remove(place), steps);
            }
        }
    }
}

/// Several lives of the real daemon, each ended by kill -9.
async fn live(site: &mut Site, pendants: &mut [Pendant], device: &Device) -> Answered {
    let mut answered = Answered::default();
    for _ in 0..LIVES {
        let mut wire = site.wire();
        site.start().await;
        for n in 0..PRESSES_A_LIFE {
            let place = n % pendants.len();
            let frame = pendants[place].say(PANIC);
            answered.waiting.push((pendants[place].id.get(), pendants[place].counter));
            wire.send(&frame).await.expect("the wire holds");
            answered.listen(&mut wire, pendants, device).await;
        }
        for _ in 0..75 {
            answered.listen(&mut wire, pendants, device).await;
        }
        site.kill_9();
    }
    answered
}

/// What the journal in a store holds; panics if it does not open, or is damaged.
fn read_back(store: &Path, settings: &Settings) -> BTreeSet<Press> {
    let key = StoreKey::read(&store.join("store.key")).expect("it was synced long before");
    let folder = JournalFolder::open(&store.join("journal")).expect("nobody else has it");
    let key = journal_files::journal_key(&key);
    let mut replay = journal_files::read(&folder, key).expect("the journal opens");
    let findings = replay.findings();
    assert_eq!(findings.damaged, 0, "a power cut is no damage: {findings:?}");
    let waiting = replay.into_waiting().expect("the key is right");
    let now = Now { mono: Mono::ZERO, wall: Wall::Unset };
    let (mut found, mut buffer) = (BTreeSet::new(), Vec::new());
    for file in waiting.order() {
        folder.reader().read_into(file, &mut buffer).expect("readable");
        for message in waiting.messages(file, &buffer, settings, now).0 {
            let event: serde_json::Value = serde_json::from_slice(&message.payload).expect("JSON");
            let data = &event["data"];
            if let (Some(pendant), Some(counter)) =
                (data["pendant"].as_str(), data["counter"].as_u64())
            {
                let pendant = u32::from_str_radix(pendant, 16).expect("hexadecimal");
                found.insert((pendant, u32::try_from(counter).expect("a counter")));
            }
        }
    }
    found
}

/// The disk after so many steps: `flushed` with some of the sectors written since.
fn cut(flushed: &[u8], unflushed: &[&Step], dice: &mut Dice) -> Vec<u8> {
    let mut image = flushed.to_vec();
    let keeps = dice.place(4);
    for step in unflushed {
        let Step::Write { offset, bytes } = step else { continue };
        for (place, sector) in bytes.chunks(512).enumerate() {
            // Of some cuts nothing is left, of others nearly all, of most a half.
            if keeps > 0 && dice.place(4) <= keeps {
                let at = offset + place * 512;
                image[at..at + sector.len()].copy_from_slice(sector);
            }
        }
    }
    image
}

/// There is no broker: all that is answered stays in the journal.
fn no_broker(folder: &Path) -> BrokerFiles {
    let authority = Pki::new().expect("an authority");
    let identity = authority.issue(&Leaf::client("gw1")).expect("a certificate");
    let files = identity.write(folder, "gateway").expect("writable");
    BrokerFiles {
        host: "127.0.0.1".into(),
        port: 9,
        authority: authority.write_ca(folder).expect("writable"),
        certificate: files.certificate,
        key: files.key,
    }
}

#[tokio::test]
async fn no_power_cut_below_the_file_system_loses_what_was_answered() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(&path).expect("ours");
        path
    };
    let (fuse, disk) = (path("fuse"), path("disk"));
    let device = Device::new(DISK_BYTES);
    let _fuse = device.mount(&fuse).expect("FUSE: root and /dev/fuse are needed");
    system(&["mkfs.ext4", "-q", "-F", text(&fuse.join(NAME))]);
    let mounted = Mounted::new(&fuse.join(NAME), &disk);

    let mut site = Site::new(no_broker(folder.path()));
    let store = disk.join("store");
    let configuration = site.path("gateway.toml");
    let own = site.path("store");
    let written = fs::read_to_string(&configuration).expect("written");
    fs::write(&configuration, written.replace(text(&own), text(&store))).expect("writable");
    let mut pendants: Vec<Pendant> = (1..=6)
        .map(|n| Pendant::enrolled(site.enroll(&format!("{n:06x}"), SAFE, DURESS)))
        .collect();
    system(&["sync", "--file-system", text(&disk)]);
    let settings = settings(&Config::read_text(&configuration).expect("the site's"));
    let settings = settings.expect("the site's");
    let begun = device.record().content.clone();
    device.record().steps.clear();

    let answered = live(&mut site, &mut pendants, &device).await;
    drop(mounted);
    let record = device.record();
    let total = record.steps.len();
    let answers = answered.at.len();
    assert!(answers > LIVES * PRESSES_A_LIFE / 2, "{answers} presses were answered");

    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut dice = Dice(seed);
    let mut moments: Vec<usize> = (0..CUTS).map(|_| dice.place(total + 1)).collect();
    moments.sort_unstable();
    let image = folder.path().join("image");
    let (mut flushed, mut unflushed, mut at) = (begun, Vec::new(), 0);
    let mut owed_in_all = 0;
    for (number, moment) in moments.into_iter().enumerate() {
        for step in &record.steps[at..moment] {
            match step {
                Step::Write { .. } => unflushed.push(step),
                Step::Flush => {
                    for step in unflushed.drain(..) {
                        if let Step::Write { offset, bytes } = step {
                            flushed[*offset..offset + bytes.len()].copy_from_slice(bytes);
                        }
                    }
                }
            }
        }
        at = moment;
        fs::write(&image, cut(&flushed, &unflushed, &mut dice)).expect("writable");
        let mounted = Mounted::new(&image, &disk);
        let owed = answered.at.iter().filter(|(_, steps)| **steps <= moment);
        let owed: BTreeSet<Press> = owed.map(|(press, _)| *press).collect();
        owed_in_all += owed.len();
        let found = read_back(&store, &settings);
        let lost: Vec<&Press> = owed.difference(&found).collect();
        assert!(lost.is_empty(), "SEED={seed}, cut {number} at step {moment}: lost {lost:?}");
        drop(mounted);
    }
    println!("{CUTS} cuts in {total} steps, {answers} answers, {owed_in_all} owed, none lost");
}
