//! A block device in memory below the shell's own file operations: it records
//! every write, every sync and every change of names as the shell makes them, and
//! then shows what could be on the medium if the power had gone at any moment.
//!
//! What was not followed by a sync may be there or not, in any order, in sectors
//! of 512 bytes. Names that were not synced with their folder likewise.

use pendant_gateway::shell::disk::{SegmentFile, SegmentFiles};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SECTOR: usize = 512;

/// One thing that the shell did.
#[derive(Clone, Debug)]
pub enum Step {
    /// A name now means this file.
    Name {
        file: u32,
        inode: usize,
    },
    Write {
        inode: usize,
        offset: usize,
        bytes: Vec<u8>,
    },
    Sync {
        inode: usize,
    },
    SyncNames,
}

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The next so many syncs of data fail.
    pub failing_syncs: u32,
    /// The next so many syncs of names fail.
    pub failing_name_syncs: u32,
    /// Syncs of this sort are said to have happened and did not: bugs of a shell, to
    /// see that they are found.
    pub lies: Lies,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lies {
    #[default]
    None,
    Data,
    Names,
}

#[derive(Debug, Default)]
pub struct Device {
    pub steps: Vec<Step>,
    pub faults: Faults,
    /// As programs see it.
    names: BTreeMap<u32, usize>,
    inodes: Vec<Vec<u8>>,
    /// The file that has no number yet.
    begun: Option<usize>,
}

/// The twin of `JournalFolder`.
#[derive(Clone, Debug, Default)]
pub struct Files(Arc<Mutex<Device>>);

#[derive(Debug)]
pub struct Handle {
    files: Files,
    inode: usize,
}

impl Files {
    /// A device on which this stands, all of it synced.
    pub fn holding(image: &BTreeMap<u32, Vec<u8>>) -> Self {
        let mut device = Device::default();
        for (file, bytes) in image {
            device.names.insert(*file, device.inodes.len());
            device.inodes.push(bytes.clone());
        }
        Self(Arc::new(Mutex::new(device)))
    }

    pub fn device(&self) -> MutexGuard<'_, Device> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SegmentFiles for Files {
    type Handle = Handle;

    fn begin(&self) -> io::Result<Handle> {
        let mut device = self.device();
        let inode = device.inodes.len();
        device.inodes.push(Vec::new());
        device.begun = Some(inode);
        Ok(Handle { files: self.clone(), inode })
    }

    fn name(&self, file: u32) -> io::Result<()> {
        let mut device = self.device();
        let inode = device.begun.take().ok_or(io::ErrorKind::NotFound)?;
        device.names.insert(file, inode);
        device.steps.push(Step::Name { file, inode });
        Ok(())
    }

    fn open(&self, file: u32) -> io::Result<Handle> {
        let inode = self.device().names.get(&file).copied();
        let inode = inode.ok_or(io::ErrorKind::NotFound)?;
        Ok(Handle { files: self.clone(), inode })
    }

    fn drop_begun(&self) -> io::Result<()> {
        self.device().begun.take().map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut device = self.device();
        if device.faults.failing_name_syncs > 0 {
            device.faults.failing_name_syncs -= 1;
            return Err(io::ErrorKind::Other.into());
        }
        if device.faults.lies != Lies::Names {
            device.steps.push(Step::SyncNames);
        }
        Ok(())
    }
}

impl Handle {
    fn sync(&self) -> io::Result<()> {
        let mut device = self.files.device();
        if device.faults.failing_syncs > 0 {
            device.faults.failing_syncs -= 1;
            return Err(io::ErrorKind::Other.into());
        }
        if device.faults.lies != Lies::Data {
            device.steps.push(Step::Sync { inode: self.inode });
        }
        Ok(())
    }
}

impl SegmentFile for Handle {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).expect("a segment is small");
        let mut device = self.files.device();
        put(&mut device.inodes[self.inode], offset, bytes);
        device.steps.push(Step::Write { inode: self.inode, offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).expect("a segment is small");
        let device = self.files.device();
        let found = device.inodes[self.inode].get(offset..offset + bytes.len());
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    file.resize(file.len().max(offset + bytes.len()), 0);
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// What of the unsynced reaches the medium.
#[derive(Clone, Copy, Debug)]
pub enum Reaching {
    None,
    /// Each sector or name by chance.
    Some,
}

impl Device {
    /// What programs see: all of it.
    pub fn seen(&self) -> BTreeMap<u32, Vec<u8>> {
        self.names.iter().map(|(file, inode)| (*file, self.inodes[*inode].clone())).collect()
    }

    /// What stands on the medium if the power goes after so many steps. `chance`
    /// gives a number below its argument.
    pub fn after_cut(
        &self,
        start: &BTreeMap<u32, Vec<u8>>,
        steps: usize,
        reaching: Reaching,
        chance: &mut impl FnMut(u64) -> u64,
    ) -> BTreeMap<u32, Vec<u8>> {
        let mut names: BTreeMap<u32, usize> = BTreeMap::new();
        let mut inodes: Vec<Vec<u8>> = Vec::new();
        for (file, bytes) in start {
            names.insert(*file, inodes.len());
            inodes.push(bytes.clone());
        }
        inodes.resize(self.inodes.len(), Vec::new());
        let mut writes: Vec<&Step> = Vec::new();
        let mut renames: Vec<&Step> = Vec::new();
        for step in &self.steps[..steps] {
            match step {
                Step::Name { .. } => renames.push(step),
                Step::SyncNames => {
                    renames.drain(..).for_each(|step| rename(&mut names, step));
                }
                Step::Write { .. } => writes.push(step),
                Step::Sync { inode: synced } => writes.retain(|step| match step {
                    Step::Write { inode, offset, bytes } if inode == synced => {
                        put(&mut inodes[*inode], *offset, bytes);
                        false
                    }
                    _ => true,
                }),
            }
        }
        let reaches = |chance: &mut dyn FnMut(u64) -> u64| match reaching {
            Reaching::None => false,
            Reaching::Some => chance(2) == 0,
        };
        for step in writes {
            let Step::Write { inode, offset, bytes } = step else { continue };
            for (place, sector) in bytes.chunks(SECTOR).enumerate() {
                if reaches(chance) {
                    put(&mut inodes[*inode], offset + place * SECTOR, sector);
                }
            }
        }
        renames.into_iter().filter(|_| reaches(chance)).for_each(|step| rename(&mut names, step));
        names.into_iter().map(|(file, inode)| (file, inodes[inode].clone())).collect()
    }
}

fn rename(names: &mut BTreeMap<u32, usize>, step: &Step) {
    if let Step::Name { file, inode } = step {
        names.insert(*file, *inode);
    }
}
