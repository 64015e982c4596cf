//! What one durable event costs on the medium.

use crate::Outcome;
use crate::lorawan;
use crate::stats::{median, now, percentile, print, print_noise, us};
use crate::world::{Disk, World, settings};
use pendant_gateway::engine::journal::{JournalKey, SEGMENT_BYTES, SLOT_BYTES};
use pendant_gateway::engine::seam::{DiskDone, DiskOp, DiskTicket};
use pendant_gateway::engine::settings::Settings;
use pendant_gateway::shell::disk::{self, JournalFolder};
use pendant_kit::lorawan::Asks;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::mpsc::SyncSender;
use tempfile::TempDir;
use tokio::sync::mpsc;

const ROUNDS: usize = 20;
const COMMITS: usize = 20;
/// Of one round, and those that say them.
const HEARTBEATS: u32 = 400;
const HEARTBEAT_DEVICES: u32 = 20;
const _: () = assert!(ROUNDS * COMMITS * SLOT_BYTES <= SEGMENT_BYTES as usize);

/// The shell's disk thread, asked as the loop asks it.
struct Thread {
    operations: SyncSender<DiskOp>,
    done: mpsc::Receiver<DiskDone>,
}

impl Thread {
    fn ask(&mut self, operation: DiskOp) -> Outcome<DiskDone> {
        self.operations.send(operation)?;
        match self.done.blocking_recv() {
            Some(DiskDone::Failed(_, fault)) => Err(format!("{fault:?}").into()),
            Some(done) => Ok(done),
            None => Err("the disk thread ended".into()),
        }
    }
}

impl Disk for Thread {
    fn carry_out(&mut self, operation: DiskOp) -> io::Result<DiskDone> {
        self.ask(operation).map_err(|error| io::Error::other(error.to_string()))
    }
}

pub(crate) fn commit() -> Outcome {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (sender, done) = mpsc::channel(64);
    let operations = disk::spawn(JournalFolder::open(folder.path())?, sender)?;
    let mut thread = Thread { operations, done };
    thread.ask(DiskOp::Allocate { ticket: DiskTicket(0), file: 0, bytes: SEGMENT_BYTES })?;
    let raw = File::create(folder.path().join("raw"))?;
    raw.write_all_at(&vec![0; SEGMENT_BYTES as usize], 0)?;
    raw.sync_all()?;

    let bytes = vec![0xA5; SLOT_BYTES];
    let medium = Medium::of(folder.path())?;
    let (mut ours, mut floors, mut our_bytes, mut floor_bytes) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let places = || (0..COMMITS).map(|n| ((round * COMMITS + n) * SLOT_BYTES) as u32);
        let before = medium.written()?;
        let mut our = Vec::new();
        for offset in places() {
            let bytes = bytes.clone();
            let begun = now();
            thread.ask(DiskOp::Commit { ticket: DiskTicket(0), file: 0, offset, bytes })?;
            our.push(us(begun.elapsed()));
        }
        let between = medium.written()?;
        let mut floor = Vec::new();
        for offset in places() {
            let begun = now();
            raw.write_all_at(&bytes, offset.into())?;
            raw.sync_data()?;
            floor.push(us(begun.elapsed()));
        }
        let after = medium.written()?;
        ours.push(median(&our));
        floors.push(median(&floor));
        our_bytes.push((between - before) / COMMITS as f64);
        floor_bytes.push((after - between) / COMMITS as f64);
    }
    let ratios: Vec<f64> = ours.iter().zip(&floors).map(|(our, floor)| our / floor).collect();
    print_noise("pwrite and fdatasync, medians", &floors, "us");
    print("store.commit_p50_ratio", median(&ratios), "x");
    print("store.commit_p50_us", median(&ours), "us");
    print("store.floor_p50_us", median(&floors), "us");
    println!("# bytes: {}; others write to it too, so the least of the rounds", medium.name);
    print_noise("pwrite and fdatasync", &floor_bytes, "B");
    print("store.bytes_per_event", percentile(&our_bytes, 0), "B");
    print("store.floor_bytes_per_event", percentile(&floor_bytes, 0), "B");
    Ok(())
}

/// Heartbeats of bought pendants that are never answered, four a second, through the
/// engine: what they cost the medium each, since they share syncs.
pub(crate) fn routine() -> Outcome {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    let medium = Medium::of(folder.path())?;
    let (sender, done) = mpsc::channel(64);
    let operations = disk::spawn(JournalFolder::open(folder.path())?, sender)?;
    let (keyring, mut devices) = lorawan::site(HEARTBEAT_DEVICES)?;
    let key = JournalKey::from_bytes([7; 32]);
    let disk = Thread { operations, done };
    let settings = Settings { devices: lorawan::buttons(HEARTBEAT_DEVICES)?, ..settings()? };
    let mut world = World::with(disk, &keyring, key, false, settings)?;
    // Until it has answered once, a device is asked to: whoever is asked is answered.
    for _ in 0..3 {
        for device in &mut devices {
            world.frame(&device.say(lorawan::PORT, &lorawan::QUIET, Asks::default()))?;
            if let Some(answer) = world.answer.take() {
                device.hear(&answer).ok_or("an answer that does not open")?;
            }
        }
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (before, waiting) = (medium.written()?, world.backlog());
        for _ in 0..HEARTBEATS / HEARTBEAT_DEVICES {
            for device in &mut devices {
                world.frame(&device.say(lorawan::PORT, &lorawan::QUIET, Asks::default()))?;
                world.wait_ms(250)?;
            }
        }
        world.wait_ms(5_000)?;
        // The gateway may have had something to say of itself.
        let events = world.backlog() - waiting;
        if events < u64::from(HEARTBEATS) {
            return Err(format!("{events} events of {HEARTBEATS} heartbeats").into());
        }
        rounds.push((medium.written()? - before) / f64::from(HEARTBEATS));
    }
    print_noise("unanswered heartbeats, four a second", &rounds, "B");
    print("store.routine_bytes_per_event", percentile(&rounds, 0), "B");
    Ok(())
}

/// The block device below a folder, by its line in `/proc/diskstats`.
struct Medium {
    name: String,
    device: Option<[String; 2]>,
    fallback: std::cell::Cell<f64>,
}

impl Medium {
    fn of(folder: &Path) -> Outcome<Self> {
        let number = folder.metadata()?.dev();
        let device = [rustix::fs::major(number).to_string(), rustix::fs::minor(number).to_string()];
        let mut medium = Self { name: String::new(), device: Some(device), fallback: 0.0.into() };
        medium.name = match medium.line()? {
            Some(line) => format!("sectors written to {}, from /proc/diskstats", line[2]),
            None => {
                medium.device = None;
                "no block device to be seen: only the bytes of the commits".into()
            }
        };
        Ok(medium)
    }

    fn line(&self) -> Outcome<Option<Vec<String>>> {
        let Some(device) = &self.device else { return Ok(None) };
        let text = std::fs::read_to_string("/proc/diskstats")?;
        let words = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect());
        Ok(words.into_iter().find(|words: &Vec<String>| words.starts_with(device)))
    }

    /// Bytes written to it since some moment.
    fn written(&self) -> Outcome<f64> {
        match self.line()? {
            Some(line) => Ok(line.get(9).ok_or("ten fields")?.parse::<f64>()? * 512.0),
            None => {
                let bytes = self.fallback.get() + (COMMITS * SLOT_BYTES) as f64;
                self.fallback.set(bytes);
                Ok(bytes)
            }
        }
    }
}
