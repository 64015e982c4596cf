//! The disk thread: does what the journal asks, in the order asked, and says how
//! it ended. It decides nothing.

use crate::engine::journal::SEGMENT_BYTES;
use crate::engine::seam::{DiskDone, DiskFault, DiskOp, DiskTicket};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Files kept open; the working set is the segment written and the one drained.
const OPEN_FILES_MAX: usize = 16;
/// Numbers of segment files are below it: the most that can be configured.
const FILES_MAX: u32 = 65_536;
/// Operations that may wait. The journal has one commit, one allocation and two
/// reads under way at most.
const QUEUE_MAX: usize = 16;

/// The journal's folder, to be read. Nothing in it is changed, and no lock taken.
#[derive(Clone, Debug)]
pub struct JournalReader {
    directory: PathBuf,
}

impl JournalReader {
    /// A reader of a folder that need not be there.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
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
            let number = number.filter(|n| n.len() == 8).and_then(|n| n.parse::<u32>().ok());
            files.extend(number.filter(|number| *number < FILES_MAX));
        }
        files.sort_unstable();
        Ok(files)
    }

    /// One segment file's bytes, at most a segment's length, into `buffer`.
    ///
    /// Bytes that cannot be read count as zeros, and a file that the disk does not give at all
    /// as empty: the journal finds out what that means, and all else is kept.
    ///
    /// # Errors
    /// The file is not there, is a folder, or is not for this user; or the system has no room
    /// to open it, which is no fault of the disk.
    pub fn read_into(&self, file: u32, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        let path = self.path(file);
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.is_dir(), file)));
        let segment = match opened {
            Ok((false, segment)) => segment,
            Ok((true, _)) => return Err(named(io::ErrorKind::IsADirectory.into())),
            Err(error) if is_of_the_disk(&error) => {
                tracing::error!(%error, file = %path.display(), "the disk does not give it");
                return Ok(());
            }
            Err(error) => return Err(named(error)),
        };
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
            if FileExt::read_exact_at(segment, sector, offset).is_err() {
                sector.fill(0);
            }
        }
        Ok(())
    }

    fn path(&self, file: u32) -> PathBuf {
        self.directory.join(format!("{file:08}.seg"))
    }

    /// A segment file that is being made. It has no number, so that no start takes it
    /// for one of the journal.
    fn unfinished(&self) -> PathBuf {
        self.directory.join("new.seg")
    }
}

/// The journal's folder, locked for this process.
#[derive(Debug)]
pub struct JournalFolder {
    reader: JournalReader,
    _lock: File,
}

impl JournalFolder {
    /// Makes the folder if need be and locks it.
    ///
    /// # Errors
    /// `WouldBlock` if another gateway has it.
    pub fn open(directory: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let path = directory.join("lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = match options.open(&path) {
            // What runs goes on when its card turns read-only, and so does a start on it.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(&path),
            opened => opened,
        }?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { reader: JournalReader::new(directory), _lock: lock })
    }

    /// To read what is in it.
    #[must_use]
    pub fn reader(&self) -> &JournalReader {
        &self.reader
    }
}

/// The system's file operations that the journal is made of. What this shell makes
/// of them, and in which order, is what a power cut meets: the tests put a
/// recording twin in their place.
pub trait SegmentFiles: Send + 'static {
    /// An open segment file.
    type Handle: SegmentFile;

    /// Begins a file that has no number yet. One that was begun before is emptied.
    ///
    /// # Errors
    /// The system's.
    fn begin(&self) -> io::Result<Self::Handle>;

    /// Gives the file that was begun its number.
    ///
    /// # Errors
    /// The system's.
    fn name(&self, file: u32) -> io::Result<()>;

    /// Opens a file to read and write.
    ///
    /// # Errors
    /// The system's.
    fn open(&self, file: u32) -> io::Result<Self::Handle>;

    /// Removes the file that was begun.
    ///
    /// # Errors
    /// The system's.
    fn drop_begun(&self) -> io::Result<()>;

    /// `fsync` of the folder: names are on the medium.
    ///
    /// # Errors
    /// The system's.
    fn sync_names(&self) -> io::Result<()>;
}

/// An open segment file.
pub trait SegmentFile {
    /// `pwrite` of all.
    ///
    /// # Errors
    /// The system's.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// `pread` of all.
    ///
    /// # Errors
    /// The system's.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// `fsync`.
    ///
    /// # Errors
    /// The system's.
    fn sync_all(&self) -> io::Result<()>;

    /// `fdatasync`.
    ///
    /// # Errors
    /// The system's.
    fn sync_data(&self) -> io::Result<()>;
}

impl SegmentFiles for JournalFolder {
    type Handle = File;

    fn begin(&self) -> io::Result<File> {
        let path = self.reader.unfinished();
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
    }

    fn name(&self, file: u32) -> io::Result<()> {
        std::fs::rename(self.reader.unfinished(), self.reader.path(file))
    }

    fn open(&self, file: u32) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.reader.path(file))
    }

    fn drop_begun(&self) -> io::Result<()> {
        std::fs::remove_file(self.reader.unfinished())
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.reader.directory)?.sync_all()
    }
}

impl SegmentFile for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }

    fn sync_all(&self) -> io::Result<()> {
        Self::sync_all(self)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
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
        let mut disk = Disk::new(folder);
        for operation in waiting {
            if done.blocking_send(disk.carry_out(operation)).is_err() {
                return;
            }
        }
    })?;
    Ok(operations)
}

/// Carries out what the journal asks.
#[derive(Debug)]
pub struct Disk<F: SegmentFiles> {
    files: F,
    open: BTreeMap<u32, F::Handle>,
    /// The names that were found are on the medium: the process before may have died
    /// after it gave one.
    names_synced: bool,
}

impl<F: SegmentFiles> Disk<F> {
    /// A disk of these files.
    #[must_use]
    pub const fn new(files: F) -> Self {
        Self { files, open: BTreeMap::new(), names_synced: false }
    }

    /// Carries out one operation, and says how it ended.
    pub fn carry_out(&mut self, operation: DiskOp) -> DiskDone {
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

    /// A file gets its number when its zeros are synced. If it had it before, a
    /// process that died meanwhile, or whose sync failed, would leave one that looks
    /// sound for as long as the machine runs, and is gone after a power cut.
    fn allocate(&mut self, file: u32, bytes: u32) -> io::Result<()> {
        self.open.remove(&file);
        let segment = self.files.begin()?;
        if let Err(error) = fill(&segment, bytes) {
            // Room that helps nobody is given back.
            drop(self.files.drop_begun());
            return Err(error);
        }
        self.files.name(file)?;
        self.sync_names()
    }

    fn commit(&mut self, file: u32, offset: u32, bytes: &[u8]) -> io::Result<()> {
        if !self.names_synced {
            self.sync_names()?;
        }
        let segment = self.file(file)?;
        segment.write_all_at(bytes, u64::from(offset))?;
        segment.sync_data()
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.files.sync_names()?;
        self.names_synced = true;
        Ok(())
    }

    fn read(&mut self, file: u32, offset: u32, bytes: u32) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0u8; bytes as usize];
        self.file(file)?.read_exact_at(&mut buffer, u64::from(offset))?;
        Ok(buffer)
    }

    fn file(&mut self, file: u32) -> io::Result<&F::Handle> {
        if !self.open.contains_key(&file) {
            if self.open.len() >= OPEN_FILES_MAX {
                self.open.clear();
            }
            let opened = self.files.open(file)?;
            self.open.insert(file, opened);
        }
        Ok(&self.open[&file])
    }
}

/// Zeros are written, not only reserved: writing into unwritten extents would cost
/// the file system's own journal a commit at every sync.
fn fill(segment: &impl SegmentFile, bytes: u32) -> io::Result<()> {
    let zeros = vec![0u8; 64 * 1024];
    let mut at = 0;
    while at < bytes {
        let step = (bytes - at).min(64 * 1024);
        segment.write_all_at(&zeros[..step as usize], u64::from(at))?;
        at += step;
    }
    segment.sync_all()
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

/// Whether this is what a damaged medium or file system says of a file, not what the system
/// says that is short of descriptors or memory: then the file is as sound as it was.
fn is_of_the_disk(error: &io::Error) -> bool {
    let said = Errno::from_io_error(error);
    said.is_some_and(|errno| {
        matches!(
            errno,
            Errno::IO
                | Errno::UCLEAN
                | Errno::BADMSG
                | Errno::LOOP
                | Errno::NODATA
                | Errno::NXIO
                | Errno::REMOTEIO
        )
    })
}

fn fault(error: &io::Error) -> DiskFault {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskFault::Full,
        io::ErrorKind::ReadOnlyFilesystem => DiskFault::ReadOnly,
        _ => DiskFault::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_the_disk_does_not_give_is_empty_and_one_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let reader = JournalReader::new(folder.path());
        let mut buffer = vec![7];
        let error = reader.read_into(1, &mut buffer).expect_err("it is not there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        // A link to itself cannot be opened, as little as a file whose inode is damaged.
        std::os::unix::fs::symlink("00000001.seg", reader.path(1)).expect("free");
        buffer.push(7);
        reader.read_into(1, &mut buffer).expect("it counts as empty");
        assert_eq!((buffer.len(), reader.files().expect("a folder")), (0, vec![1]));
    }

    #[test]
    fn a_system_without_room_to_open_a_file_does_not_empty_it() {
        let said = |errno: Errno| io::Error::from(errno);
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOENT, Errno::ACCESS] {
            assert!(!is_of_the_disk(&said(errno)), "{errno}");
        }
        for errno in [Errno::IO, Errno::UCLEAN, Errno::LOOP] {
            assert!(is_of_the_disk(&said(errno)), "{errno}");
        }
        assert!(!is_of_the_disk(&io::ErrorKind::Other.into()), "it has no number");
    }
}
