//! The disk thread: does what the journal asks, in the order asked, and says how
//! it ended. It decides nothing.

use crate::engine::journal::SEGMENT_BYTES;
use crate::engine::seam::{DiskDone, DiskFault, DiskOp, DiskTicket};
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Files kept open; the working set is the segment written and the one drained.
const OPEN_FILES_MAX: usize = 16;
/// Operations that may wait. The journal has one commit, one allocation and two
/// reads under way at most.
const QUEUE_MAX: usize = 16;

/// The journal's folder, locked for this process.
#[derive(Debug)]
pub struct JournalFolder {
    directory: PathBuf,
    _lock: File,
}

impl JournalFolder {
    /// Makes the folder if need be and locks it.
    ///
    /// # Errors
    /// `WouldBlock` if another gateway has it.
    pub fn open(directory: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { directory: directory.to_owned(), _lock: lock })
    }

    /// Numbers of the segment files that are there, in order.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn files(&self) -> io::Result<Vec<u32>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
            files.extend(number.filter(|n| n.len() == 8).and_then(|n| n.parse::<u32>().ok()));
        }
        files.sort_unstable();
        Ok(files)
    }

    /// One segment file's bytes, at most a segment's length, into `buffer`.
    ///
    /// # Errors
    /// The file cannot be opened. Bytes that cannot be read count as zeros: the
    /// journal finds out what that means.
    pub fn read_into(&self, file: u32, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        let path = self.path(file);
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let segment = File::open(&path).map_err(named)?;
        if segment.metadata().map_err(named)?.is_dir() {
            return Err(named(io::ErrorKind::IsADirectory.into()));
        }
        let read = (&segment).take(u64::from(SEGMENT_BYTES)).read_to_end(buffer);
        if read.is_err() {
            self.read_by_sector(&segment, buffer).map_err(named)?;
        }
        Ok(())
    }

    fn read_by_sector(&self, segment: &File, buffer: &mut Vec<u8>) -> io::Result<()> {
        let length = segment.metadata()?.len().min(u64::from(SEGMENT_BYTES));
        buffer.clear();
        buffer.resize(usize::try_from(length).unwrap_or(0), 0);
        for (offset, sector) in (0u64..).step_by(512).zip(buffer.chunks_mut(512)) {
            if segment.read_exact_at(sector, offset).is_err() {
                sector.fill(0);
            }
        }
        Ok(())
    }

    fn path(&self, file: u32) -> PathBuf {
        self.directory.join(format!("{file:08}.seg"))
    }
}

/// Starts the disk thread. It ends when the sender is dropped.
///
/// # Errors
/// The thread cannot be started.
pub fn spawn(
    folder: JournalFolder,
    done: mpsc::Sender<DiskDone>,
) -> io::Result<std::sync::mpsc::SyncSender<DiskOp>> {
    let (operations, waiting) = std::sync::mpsc::sync_channel(QUEUE_MAX);
    std::thread::Builder::new().name("disk".into()).spawn(move || {
        let mut disk = Disk { folder, open: BTreeMap::new() };
        for operation in waiting {
            if done.blocking_send(disk.carry_out(operation)).is_err() {
                return;
            }
        }
    })?;
    Ok(operations)
}

struct Disk {
    folder: JournalFolder,
    open: BTreeMap<u32, File>,
}

impl Disk {
    fn carry_out(&mut self, operation: DiskOp) -> DiskDone {
        match operation {
            DiskOp::Allocate { ticket, file, bytes } => {
                answer(ticket, self.allocate(file, bytes), |()| DiskDone::Allocated(ticket))
            }
            DiskOp::Commit { ticket, file, offset, bytes } => {
                answer(ticket, self.commit(file, offset, &bytes), |()| DiskDone::Committed(ticket))
            }
            DiskOp::Read { ticket, file, offset, bytes } => {
                answer(ticket, self.read(file, offset, bytes), |b| DiskDone::Read(ticket, b))
            }
        }
    }

    /// Zeros are written, not only reserved: writing into unwritten extents
    /// would cost the file system's own journal a commit at every sync.
    fn allocate(&mut self, file: u32, bytes: u32) -> io::Result<()> {
        let path = self.folder.path(file);
        let segment =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let zeros = vec![0u8; 64 * 1024];
        let mut at = 0;
        while at < bytes {
            let step = (bytes - at).min(64 * 1024);
            if let Err(error) = segment.write_all_at(&zeros[..step as usize], u64::from(at)) {
                // Room that helps nobody is given back.
                drop(std::fs::remove_file(&path));
                return Err(error);
            }
            at += step;
        }
        segment.sync_all()?;
        File::open(&self.folder.directory)?.sync_all()
    }

    fn commit(&mut self, file: u32, offset: u32, bytes: &[u8]) -> io::Result<()> {
        let segment = self.file(file)?;
        segment.write_all_at(bytes, u64::from(offset))?;
        segment.sync_data()
    }

    fn read(&mut self, file: u32, offset: u32, bytes: u32) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0u8; bytes as usize];
        self.file(file)?.read_exact_at(&mut buffer, u64::from(offset))?;
        Ok(buffer)
    }

    fn file(&mut self, file: u32) -> io::Result<&File> {
        if !self.open.contains_key(&file) {
            if self.open.len() >= OPEN_FILES_MAX {
                self.open.clear();
            }
            let opened = OpenOptions::new().read(true).write(true).open(self.folder.path(file))?;
            self.open.insert(file, opened);
        }
        Ok(&self.open[&file])
    }
}

fn answer<T>(
    ticket: DiskTicket,
    result: io::Result<T>,
    done: impl FnOnce(T) -> DiskDone,
) -> DiskDone {
    match result {
        Ok(value) => done(value),
        Err(error) => {
            tracing::debug!(%error, "disk operation failed");
            DiskDone::Failed(ticket, fault(&error))
        }
    }
}

fn fault(error: &io::Error) -> DiskFault {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskFault::Full,
        io::ErrorKind::ReadOnlyFilesystem => DiskFault::ReadOnly,
        _ => DiskFault::Io,
    }
}
