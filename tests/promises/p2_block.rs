//! P2 at block level: the shell's own file operations, in the order in which it
//! makes them, on a device that loses, tears and reorders what was not synced.

use crate::block::{Files, Lies, Reaching};
use crate::dice::Dice;
use crate::pendant::*;
use crate::rig::*;
use pendant_gateway::engine::journal::SEGMENT_BYTES;
use pendant_gateway::engine::journal::recover::Survey;
use pendant_gateway::engine::seam::{DiskDone, DiskOp, DiskTicket};
use pendant_gateway::shell::disk::Disk as ShellDisk;
use pendant_gateway::shell::journal_files::settle;
use std::collections::{BTreeMap, BTreeSet};

type Image = BTreeMap<u32, Vec<u8>>;
/// Pendant and counter of a press.
type Press = (u32, u32);

/// A gateway that lives several times on one medium, each life ended by a cut.
struct Lives {
    chance: Dice,
    /// What was on the medium when `files` began.
    image: Image,
    files: Files,
    pendants: [Pendant; 3],
    boots: u8,
    now_us: u64,
    lies: Lies,
    /// Presses that were answered before the cut that they are followed by.
    owed: BTreeSet<Press>,
    arrived: BTreeSet<Press>,
    /// Frames that recovery took for damaged although nothing was.
    damaged: u64,
}

impl Lives {
    fn new(seed: u64, lies: Lies) -> Self {
        Self {
            chance: Dice(seed),
            image: Image::new(),
            files: Files::default(),
            pendants: [1, 2, 3].map(Pendant::new),
            boots: 0,
            now_us: 0,
            lies,
            owed: BTreeSet::new(),
            arrived: BTreeSet::new(),
            damaged: 0,
        }
    }

    fn rig(&mut self) -> Rig {
        // What the last life left unsynced is synced by the start.
        self.files.device().faults.failing_syncs = 0;
        let seen = self.files.device().seen();
        let mut survey = Survey::new();
        seen.iter().for_each(|(file, bytes)| survey.file(*file, bytes));
        settle(&self.files, survey).expect("ours");
        let mut rig = Rig::off(&self.pendants.each_ref());
        rig.settings.journal.files_max = 6;
        rig.settings.journal.files_reserved = 4;
        rig.disk.files = seen;
        rig.boots = self.boots;
        rig.now_us = self.now_us;
        rig.disk.commit_us = 200 + self.chance.below(4_000);
        let mut disk = ShellDisk::new(self.files.clone());
        rig.shell = Some(Box::new(move |operation| disk.carry_out(operation)));
        rig
    }

    /// One life and its cut at any step of it, or the death of the process alone.
    fn live(&mut self) {
        let files = self.files.clone();
        files.device().faults.lies = self.lies;
        let begun = files.device().steps.len();
        let mut rig = self.rig();
        let connected = self.chance.below(2) == 0;
        rig.brokers[0].there = connected;
        rig.start();
        self.damaged += rig.report.expect("started").damaged;
        // Of each press: from which step on it was answered, before which it arrived.
        let mut answered: BTreeMap<Press, usize> = BTreeMap::new();
        let mut arrived: BTreeMap<Press, usize> = BTreeMap::new();
        let mut said: BTreeMap<Vec<u8>, Press> = BTreeMap::new();
        for _ in 0..self.chance.below(120) {
            let before = files.device().steps.len();
            let who = self.chance.below(3) as usize;
            let pendant = &mut self.pendants[who];
            let body = if self.chance.below(3) == 0 { HEARTBEAT } else { PANIC };
            let frame = pendant.say(body);
            said.insert(frame.to_vec(), (pendant.id.get(), pendant.counter));
            rig.frame(0, &frame);
            if self.chance.below(40) == 0 {
                files.device().faults.failing_syncs = 1 + self.chance.below(2) as u32;
            }
            let wait = [1, 5, 30, 25_000][self.chance.below(4) as usize / (1 + before % 2)];
            rig.run_ms(wait);
            let after = files.device().steps.len();
            for press in answers(&self.pendants, &mut rig) {
                answered.entry(press).or_insert(after);
            }
            for press in told(&rig) {
                arrived.entry(press).or_insert(before);
            }
        }
        let device = files.device();
        let steps = device.steps.len();
        // Now and then the process dies and the machine does not: all is still there,
        // and what is unsynced can yet be lost in a later life.
        let dies = self.chance.below(6) == 0;
        let cut = begun + self.chance.below((steps - begun) as u64 + 1) as usize;
        let cut = if dies { steps } else { cut };
        if !dies {
            let chance = &mut self.chance;
            let reaching = if chance.below(8) == 0 { Reaching::None } else { Reaching::Some };
            self.image = device.after_cut(&self.image, cut, reaching, &mut |end| chance.below(end));
            self.files = Files::holding(&self.image);
        }
        self.owed.extend(answered.iter().filter(|(_, at)| **at <= cut).map(|(press, _)| *press));
        self.arrived.extend(arrived.iter().filter(|(_, at)| **at <= cut).map(|(press, _)| *press));
        self.boots = rig.boots;
        self.now_us = rig.now_us;
    }

    /// The last life: all that was answered arrives.
    fn lost(&mut self) -> Vec<Press> {
        let mut rig = self.rig();
        rig.start();
        self.damaged += rig.report.expect("started").damaged;
        rig.run_ms(120_000);
        assert_eq!(rig.backlog(), 0);
        self.arrived.extend(told(&rig));
        self.owed.difference(&self.arrived).copied().collect()
    }
}

fn answers(pendants: &[Pendant; 3], rig: &mut Rig) -> Vec<Press> {
    let mut found = Vec::new();
    for transmit in rig.downlinks.drain(..) {
        for pendant in pendants {
            // An answer bears the low bits of the counter: few can be meant.
            let counters = pendant.counter.saturating_sub(200)..=pendant.counter;
            let meant = counters.rev().find(|counter| {
                *counter > 0 && pendant.clone().hear(&transmit.frame, *counter).is_some()
            });
            found.extend(meant.map(|counter| (pendant.id.get(), counter)));
        }
    }
    found
}

fn told(rig: &Rig) -> Vec<Press> {
    let presses = rig.seen.iter().filter(|seen| matches!(seen.kind(), "panic" | "heartbeat"));
    presses
        .map(|seen| {
            let pendant = seen.json["data"]["pendant"].as_str().expect("a pendant");
            let counter = seen.json["data"]["counter"].as_u64().expect("a counter");
            (
                u32::from_str_radix(pendant, 16).expect("hexadecimal"),
                u32::try_from(counter).expect("a counter"),
            )
        })
        .collect()
}

/// Seeds, from the environment's `SEED` or all.
fn seeds(ordinary: u64) -> std::ops::Range<u64> {
    let one = std::env::var("SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let long = std::env::var_os("LONG").is_some();
    one.map_or(0..if long { ordinary * 20 } else { ordinary }, |seed| seed..seed + 1)
}

#[test]
fn no_cut_of_the_shell_s_own_writes_loses_what_was_answered() {
    let (mut cuts, mut owed) = (0, 0);
    for seed in seeds(140) {
        let mut lives = Lives::new(seed, Lies::None);
        for _ in 0..4 {
            lives.live();
            cuts += 1;
        }
        let lost = lives.lost();
        assert!(lost.is_empty(), "SEED={seed}: answered and lost: {lost:?}");
        assert_eq!(lives.damaged, 0, "SEED={seed}: a cut is no damage");
        owed += lives.owed.len();
    }
    println!("{cuts} cuts, {owed} answers owed, none lost");
    assert!(std::env::var_os("SEED").is_some() || (cuts >= 500 && owed > 5_000));
}

const ALLOCATE: DiskOp = DiskOp::Allocate { ticket: DiskTicket(1), file: 0, bytes: SEGMENT_BYTES };

/// Else the next process would rely on what the next cut takes away.
#[test]
fn a_file_whose_sync_failed_is_none_to_the_next_process() {
    let files = Files::default();
    files.device().faults.failing_syncs = 1;
    let done = ShellDisk::new(files.clone()).carry_out(ALLOCATE);
    assert!(matches!(done, DiskDone::Failed(..)), "{done:?}");
    assert!(files.device().seen().is_empty(), "it is found by its name");
}

#[test]
fn what_is_committed_stands_under_a_name_that_is_synced() {
    let files = Files::default();
    files.device().faults.failing_name_syncs = 1;
    let done = ShellDisk::new(files.clone()).carry_out(ALLOCATE);
    assert!(matches!(done, DiskDone::Failed(..)), "{done:?}");
    // The process dies, and the next one finds the file.
    let mut next = ShellDisk::new(files.clone());
    let bytes = vec![7; 512];
    let commit = DiskOp::Commit { ticket: DiskTicket(2), file: 0, offset: 0, bytes };
    let done = next.carry_out(commit);
    assert!(matches!(done, DiskDone::Committed(_)), "{done:?}");
    let device = files.device();
    let left = device.after_cut(&Image::new(), device.steps.len(), Reaching::None, &mut |_| 0);
    assert_eq!(left.get(&0).map(|bytes| &bytes[..512]), Some(&[7; 512][..]));
}

/// The judge sees a shell that forgets a sync.
#[test]
fn a_shell_that_forgets_a_sync_is_found_out() {
    for lies in [Lies::Data, Lies::Names] {
        let found = (0..40).any(|seed| {
            let mut lives = Lives::new(seed, lies);
            (0..3).for_each(|_| lives.live());
            !lives.lost().is_empty() || lives.damaged > 0
        });
        assert!(found, "{lies:?}");
    }
}
