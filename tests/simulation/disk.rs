//! A medium with a cache before it, and all that such things do.
//!
//! What is assumed of it is what `docs/journal.md` assumes: what a successful
//! sync covered is there; of anything else any part may be, in any order, in
//! units of 512 bytes. After a failed sync the cache shows what was written,
//! takes it for clean, and the medium may have none of it.

use super::chance::Chance;
use super::swarm::Fault;
use pendant_gateway::engine::seam::{DiskDone, DiskFault, DiskOp};
use std::collections::{BTreeMap, BTreeSet};

pub const SECTOR: usize = 512;
type Sector = [u8; SECTOR];

/// Where something stands.
pub type Place = (u32, usize);

#[derive(Clone, Default)]
struct File {
    medium: Vec<u8>,
    /// Written, not synced.
    dirty: BTreeMap<usize, Sector>,
    /// Shown by the cache as written and synced; a failed sync lost it.
    stale: BTreeMap<usize, Sector>,
    /// Cannot be read.
    bad: BTreeSet<usize>,
}

/// What became of an operation.
pub struct Carried {
    pub done: DiskDone,
    /// Sectors that are on the medium since.
    pub synced: Vec<(Place, Sector)>,
}

#[derive(Clone)]
pub struct Disk {
    files: BTreeMap<u32, File>,
    chance: Chance,
}

impl File {
    fn flush(&mut self, sector: usize, bytes: &Sector) {
        self.medium[sector * SECTOR..][..SECTOR].copy_from_slice(bytes);
        self.bad.remove(&sector);
    }

    fn write(&mut self, sector: usize, bytes: Sector) {
        // The cache believes that these bytes are on the medium already.
        if self.stale.get(&sector) != Some(&bytes) {
            self.stale.remove(&sector);
            self.dirty.insert(sector, bytes);
        }
    }

    fn shown(&self) -> Vec<u8> {
        let mut bytes = self.medium.clone();
        for (sector, text) in self.stale.iter().chain(&self.dirty) {
            bytes[sector * SECTOR..][..SECTOR].copy_from_slice(text);
        }
        for sector in &self.bad {
            bytes[sector * SECTOR..][..SECTOR].fill(0);
        }
        bytes
    }
}

fn sectors(offset: u32, bytes: &[u8]) -> impl Iterator<Item = (usize, Sector)> + '_ {
    let first = offset as usize / SECTOR;
    let sector = |text: &[u8]| text.try_into().expect("chunks of a sector");
    (first..).zip(bytes.chunks_exact(SECTOR).map(sector))
}

impl Disk {
    pub fn new(seed: u64) -> Self {
        Self { files: BTreeMap::new(), chance: Chance::of(seed, "disk") }
    }

    /// How long an operation takes, microseconds.
    pub fn duration_us(&mut self, operation: &DiskOp, slow: bool) -> u64 {
        match (operation, slow) {
            (DiskOp::Read { .. }, _) => self.chance.within(50..2_000),
            (_, false) => self.chance.within(100..20_000),
            // Now and then it hangs.
            (_, true) if self.chance.below(50) == 0 => self.chance.within(4_000_000..60_000_000),
            (_, true) => self.chance.within(1_000..4_000_000),
        }
    }

    pub fn carry_out(&mut self, operation: &DiskOp, active: &BTreeSet<Fault>) -> Carried {
        let fault = if active.contains(&Fault::ReadOnlyDisk) {
            Some(DiskFault::ReadOnly)
        } else if active.contains(&Fault::FailingDisk) && self.chance.below(3) != 0 {
            Some(DiskFault::Io)
        } else {
            None
        };
        match operation {
            DiskOp::Allocate { ticket, file, bytes } => {
                let full = active.contains(&Fault::FullDisk).then_some(DiskFault::Full);
                if let Some(fault) = fault.or(full) {
                    // The shell gives back room that helps nobody.
                    self.files.remove(file);
                    return Carried { done: DiskDone::Failed(*ticket, fault), synced: Vec::new() };
                }
                let medium = vec![0; *bytes as usize];
                self.files.insert(*file, File { medium, ..File::default() });
                Carried { done: DiskDone::Allocated(*ticket), synced: Vec::new() }
            }
            DiskOp::Commit { ticket, file, offset, bytes } => {
                let Some(into) = self.files.get_mut(file) else {
                    let done = DiskDone::Failed(*ticket, DiskFault::Io);
                    return Carried { done, synced: Vec::new() };
                };
                if fault == Some(DiskFault::ReadOnly) {
                    let done = DiskDone::Failed(*ticket, DiskFault::ReadOnly);
                    return Carried { done, synced: Vec::new() };
                }
                for (sector, text) in sectors(*offset, bytes) {
                    into.write(sector, text);
                }
                match fault {
                    Some(fault) => {
                        let synced = self.fail_sync(*file);
                        Carried { done: DiskDone::Failed(*ticket, fault), synced }
                    }
                    None => {
                        Carried { done: DiskDone::Committed(*ticket), synced: self.sync(*file) }
                    }
                }
            }
            DiskOp::Read { ticket, file, offset, bytes } => {
                let done = match self.read(*file, *offset, *bytes) {
                    Some(found) if fault != Some(DiskFault::Io) => DiskDone::Read(*ticket, found),
                    _ => DiskDone::Failed(*ticket, DiskFault::Io),
                };
                Carried { done, synced: Vec::new() }
            }
        }
    }

    fn read(&self, file: u32, offset: u32, bytes: u32) -> Option<Vec<u8>> {
        let file = self.files.get(&file)?;
        let (from, to) = (offset as usize, offset as usize + bytes as usize);
        let mut found = file.medium.get(from..to)?.to_vec();
        let inside = from / SECTOR..to / SECTOR;
        if file.bad.range(inside.clone()).next().is_some() {
            return None;
        }
        for layer in [&file.stale, &file.dirty] {
            for (sector, text) in layer.range(inside.clone()) {
                found[sector * SECTOR - from..][..SECTOR].copy_from_slice(text);
            }
        }
        Some(found)
    }

    fn sync(&mut self, file: u32) -> Vec<(Place, Sector)> {
        let Some(into) = self.files.get_mut(&file) else { return Vec::new() };
        let dirty = std::mem::take(&mut into.dirty);
        for (sector, text) in &dirty {
            into.flush(*sector, text);
        }
        dirty.into_iter().map(|(sector, text)| ((file, sector), text)).collect()
    }

    fn fail_sync(&mut self, file: u32) -> Vec<(Place, Sector)> {
        let Some(into) = self.files.get_mut(&file) else { return Vec::new() };
        let mut synced = Vec::new();
        for (sector, text) in std::mem::take(&mut into.dirty) {
            if self.chance.below(3) == 0 {
                into.flush(sector, &text);
                synced.push(((file, sector), text));
            } else {
                into.stale.insert(sector, text);
            }
        }
        synced
    }

    /// The program dies in the middle of an operation: what it had written is in
    /// the cache.
    pub fn kill(&mut self, under_way: Option<&DiskOp>) {
        match under_way {
            Some(DiskOp::Commit { file, offset, bytes, .. }) => {
                let written = self.chance.place(bytes.len() / SECTOR + 1);
                if let Some(into) = self.files.get_mut(file) {
                    for (sector, text) in sectors(*offset, bytes).take(written) {
                        into.write(sector, text);
                    }
                }
            }
            Some(DiskOp::Allocate { file, bytes, .. }) => {
                let length = self.chance.place(*bytes as usize / SECTOR + 1) * SECTOR;
                let medium = vec![0; length];
                self.files.insert(*file, File { medium, ..File::default() });
            }
            _ => {}
        }
    }

    /// The power goes: of what was not synced any sectors reach the medium.
    pub fn cut(&mut self, under_way: Option<&DiskOp>) -> Vec<(Place, Sector)> {
        let mut synced = Vec::new();
        self.kill(under_way);
        if let Some(DiskOp::Commit { file, offset, bytes, .. }) = under_way {
            if let Some(into) = self.files.get_mut(file) {
                into.dirty.extend(sectors(*offset, bytes));
            }
        }
        let mostly = self.chance.below(101);
        for (file, into) in &mut self.files {
            into.stale.clear();
            for (sector, text) in std::mem::take(&mut into.dirty) {
                if self.chance.below(100) < mostly {
                    into.flush(sector, &text);
                    synced.push(((*file, sector), text));
                }
            }
        }
        synced
    }

    /// What the shell does before it reads at the start: it syncs each file, so
    /// that what it reads is on the medium.
    pub fn settle(&mut self) -> Vec<(Place, Sector)> {
        let files: Vec<u32> = self.files.keys().copied().collect();
        let mut synced = Vec::new();
        for file in files {
            synced.extend(self.sync(file));
            if let Some(into) = self.files.get_mut(&file) {
                into.stale.clear();
            }
        }
        synced
    }

    pub fn files(&self) -> Vec<(u32, Vec<u8>)> {
        self.files.iter().map(|(file, found)| (*file, found.shown())).collect()
    }

    /// Sectors go bad: some hold something else, some cannot be read, and some
    /// have one bit flipped.
    pub fn damage(&mut self) -> Vec<Place> {
        let mut hit = Vec::new();
        for _ in 0..self.chance.within(1..6) {
            let files: Vec<u32> = self.files.keys().copied().collect();
            if files.is_empty() {
                return hit;
            }
            let number = self.chance.pick(&files);
            let file = self.files.get_mut(&number).expect("just found");
            let written: Vec<usize> = (0..file.medium.len() / SECTOR)
                .filter(|sector| file.medium[sector * SECTOR..][..SECTOR].iter().any(|b| *b != 0))
                .collect();
            if written.is_empty() {
                continue;
            }
            let sector = self.chance.pick(&written);
            let bytes = &mut file.medium[sector * SECTOR..][..SECTOR];
            match self.chance.below(3) {
                0 => bytes.fill(0xEE),
                1 => {
                    file.bad.insert(sector);
                }
                _ => bytes[self.chance.place(SECTOR)] ^= 1 << self.chance.below(8),
            }
            hit.push((number, sector));
        }
        hit
    }
}
