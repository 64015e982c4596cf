//! A journal full of events that wait, made by the engine itself. Nothing is
//! synced: only the daemon that reads it is measured.

use crate::Outcome;
use crate::pendant::HEARTBEAT;
use crate::site::Site;
use crate::world::{Disk, World};
use pendant_gateway::engine::journal::JournalKey;
use pendant_gateway::engine::seam::{DiskDone, DiskOp};
use pendant_gateway::shell::disk::JournalFolder;
use pendant_gateway::shell::keyring_files::KeyringFiles;
use pendant_gateway::shell::store_key::StoreKey;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

struct Folder {
    path: PathBuf,
    current: Option<(u32, File)>,
}

impl Folder {
    fn file(&mut self, number: u32) -> io::Result<&File> {
        let file = match self.current.take() {
            Some((open, file)) if open == number => file,
            _ => OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(self.path.join(format!("{number:08}.seg")))?,
        };
        Ok(&self.current.insert((number, file)).1)
    }
}

impl Disk for Folder {
    fn carry_out(&mut self, operation: DiskOp) -> io::Result<DiskDone> {
        Ok(match operation {
            DiskOp::Allocate { ticket, file, bytes } => {
                self.file(file)?.set_len(bytes.into())?;
                DiskDone::Allocated(ticket)
            }
            DiskOp::Commit { ticket, file, offset, bytes } => {
                self.file(file)?.write_all_at(&bytes, offset.into())?;
                DiskDone::Committed(ticket)
            }
            DiskOp::Read { ticket, file, offset, bytes } => {
                let mut buffer = vec![0; bytes as usize];
                self.file(file)?.read_exact_at(&mut buffer, offset.into())?;
                DiskDone::Read(ticket, buffer)
            }
        })
    }
}

/// Puts heartbeats of the site's pendant into its store, as if the broker had been
/// away.
pub(crate) fn make(site: &mut Site, events: usize) -> Outcome {
    let store = site.store();
    let key = StoreKey::read(&store.join("store.key"))?;
    let keyring = KeyringFiles::new(&store, &key).load()?.keyring;
    let path = store.join("journal");
    let _lock = JournalFolder::open(&path)?;
    let journal_key = JournalKey::from_bytes(*key.derive::<32>("journal"));
    let mut world = World::new(Folder { path, current: None }, &keyring, journal_key, false)?;
    for _ in 0..events {
        world.frame(&site.pendant.say(HEARTBEAT))?;
    }
    let made = world.backlog();
    if made < events as u64 {
        return Err(format!("{made} of {events} events are in the journal").into());
    }
    Ok(())
}
