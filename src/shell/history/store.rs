//! The sled database in its folder: opened, written, pruned, set aside.
//!
//! sled 0.34 answers damage with panics and cannot go on after an I/O error, and
//! it gives no space back. So each use of it is guarded, a handle that failed is
//! not used again, and a folder that has grown too big is written anew.

use super::tally::{self, Key, Row, Tally};
use super::{HistoryLimits, HistoryTrouble};
use crate::shell::durable_file::directory_around;
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// sled's file, which bears its lock.
const DATABASE: &str = "db";

/// sled's cache. Rows are small and seldom read.
const CACHE_BYTES: u64 = 512 * 1024;
/// sled holds several of these in memory; its default is 512 KiB.
const SEGMENT_BYTES: usize = 64 * 1024;
/// Rows removed in one turn, so that a turn stays short and a clock that is wrong
/// for a minute costs little.
const PRUNED_MAX: usize = 2000;
/// What a row takes on disk, with sled's overhead (measured: 134).
const ROW_BYTES: u64 = 140;
/// A database this long that shows no row has lost them: sled takes some damage
/// for an empty log and says nothing.
const EMPTY_BYTES_MAX: u64 = 4 * SEGMENT_BYTES as u64;
/// How long sled's threads may hold the folder after the database is dropped.
const RELEASE_TRIES: u32 = 40;
const RELEASE_PAUSE: Duration = Duration::from_millis(25);
/// Openings in a row that never came back: the process died of them.
const OPENINGS_MAX: u32 = 2;

/// Why the store cannot be used.
#[derive(Debug)]
pub(super) enum Failure {
    /// sled panicked or found damage.
    Damaged,
    /// The operating system refused.
    Io(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// An open database.
pub(super) struct Store {
    db: sled::Db,
    folder: PathBuf,
}

impl Store {
    /// Opens or makes the database. Before that a mark is set and after it
    /// cleared: a folder on which the process died twice is not tried again.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        put_back(folder)?;
        for left_over in ["new", "old"] {
            remove_folder(&beside(folder, left_over))?;
        }
        let mark = beside(folder, "opening");
        let tried = fs::read(&mark).map_or(0, |mark| mark.len());
        if tried >= OPENINGS_MAX as usize {
            return Err(Failure::Damaged);
        }
        fs::write(&mark, vec![b'.'; tried + 1])?;
        let store = Self::open_whole(folder);
        fs::remove_file(&mark)?;
        store
    }

    fn open_whole(folder: &Path) -> Result<Self, Failure> {
        let before = fs::metadata(folder.join(DATABASE)).map_or(0, |about| about.len());
        let store = Self::open_folder(folder)?;
        if before > EMPTY_BYTES_MAX && guarded(|| store.db.first())?.is_none() {
            store.abandon();
            return Err(Failure::Damaged);
        }
        Ok(store)
    }

    fn open_folder(folder: &Path) -> Result<Self, Failure> {
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_BYTES)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(None);
        let db = guarded(|| config.open())?;
        Ok(Self { db, folder: folder.to_owned() })
    }

    /// Adds what was counted to what is stored, and hands it to the disk.
    pub(super) fn add(&self, counted: &BTreeMap<Key, Tally>) -> Result<(), Failure> {
        guarded(|| {
            for (key, tally) in counted {
                let mut sum = *tally;
                if let Some(stored) = self.db.get(key.bytes())? {
                    sum.merge(&tally::tally(&stored).unwrap_or_default());
                }
                self.db.insert(key.bytes(), tally::value(&sum))?;
            }
            self.db.flush().map(|_| ())
        })
    }

    /// Rows of the buckets `from..until`, oldest first.
    pub(super) fn read(&self, from: u32, until: u32, max: usize) -> Result<Vec<Row>, Failure> {
        guarded(|| {
            let mut rows = Vec::new();
            for item in self.db.range(from.to_be_bytes()..until.to_be_bytes()).take(max) {
                let (key, value) = item?;
                rows.extend(tally::row(&key, &value));
            }
            Ok(rows)
        })
    }

    /// Removes rows before `cutoff`, some at a time.
    pub(super) fn prune(&self, cutoff: u32) -> Result<(), Failure> {
        guarded(|| {
            for _ in 0..PRUNED_MAX {
                match self.db.first()? {
                    Some((key, _)) if *key < cutoff.to_be_bytes()[..] => self.db.remove(key)?,
                    _ => break,
                };
            }
            Ok(())
        })
    }

    /// Keeps the folder within its limit: when it has grown beyond, the newest
    /// rows, a quarter of the limit, are written into a new folder.
    pub(super) fn bound(self, limits: HistoryLimits) -> Result<Self, Failure> {
        if folder_bytes(&self.folder)? <= limits.bytes_max {
            return Ok(self);
        }
        let folder = self.folder.clone();
        let (new, old) = (beside(&folder, "new"), beside(&folder, "old"));
        remove_folder(&new)?;
        let keep = usize::try_from(limits.bytes_max / 4 / ROW_BYTES).unwrap_or(usize::MAX);
        let successor = Self::open_folder(&new)?;
        guarded(|| {
            for item in self.db.iter().rev().take(keep) {
                let (key, value) = item?;
                successor.db.insert(key, value)?;
            }
            successor.db.flush()
        })?;
        successor.close()?;
        self.close()?;
        fs::rename(&folder, &old)?;
        fs::rename(&new, &folder)?;
        fs::File::open(&folder)?.sync_all()?;
        fs::File::open(directory_around(&folder))?.sync_all()?;
        remove_folder(&old)?;
        Self::open_folder(&folder)
    }

    /// Lets go of the folder: sled's threads may hold its lock a moment longer
    /// than the database lives.
    #[expect(
        clippy::disallowed_methods,
        reason = "flock has no time limit of its own, and sled's threads may never let go"
    )]
    pub(super) fn close(self) -> Result<(), Failure> {
        guarded(|| {
            drop(self.db);
            Ok(())
        })?;
        let locked = fs::File::open(self.folder.join(DATABASE))?;
        for _ in 0..RELEASE_TRIES {
            if flock(&locked, FlockOperation::NonBlockingLockExclusive).is_ok() {
                break;
            }
            thread::sleep(RELEASE_PAUSE);
        }
        Ok(())
    }

    /// After damage. Its destructor would touch what is damaged, and may wait for
    /// a thread of sled's that has died: the memory is given up instead.
    pub(super) fn abandon(self) {
        std::mem::forget(self.db);
    }
}

/// Renames a damaged folder to `NAME.damaged-N`; only the latest is kept.
pub(super) fn set_aside(folder: &Path) -> HistoryTrouble {
    let moved = || -> io::Result<PathBuf> {
        let mut latest = 0;
        for (number, path) in set_aside_before(folder)? {
            latest = latest.max(number);
            fs::remove_dir_all(path)?;
        }
        let aside = beside(folder, &format!("damaged-{}", latest + 1));
        match fs::rename(folder, &aside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        match fs::remove_file(beside(folder, "opening")) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(aside),
        }
    };
    match moved() {
        Ok(aside) => HistoryTrouble::Damaged(aside),
        Err(error) => HistoryTrouble::Disk(error.to_string()),
    }
}

fn set_aside_before(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let Some(name) = folder.file_name() else { return Ok(Vec::new()) };
    let prefix = format!("{}.damaged-", name.to_string_lossy());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory_around(folder))? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    Ok(found)
}

/// `folder` with a suffix: `history.new`.
fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// After a power cut between the two renames of [`Store::bound`] no folder stands in its
/// place, and the one before is whole.
fn put_back(folder: &Path) -> io::Result<()> {
    let old = beside(folder, "old");
    if folder.exists() || !old.exists() {
        return Ok(());
    }
    fs::rename(old, folder)
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn folder_bytes(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        sum += if about.is_dir() { folder_bytes(&entry.path())? } else { about.len() };
    }
    Ok(sum)
}

/// Runs `work` so that sled's panics end here.
fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(sled::Error::Io(error))) if !is_damage(&error) => Err(Failure::Io(plain(&error))),
        Ok(Err(_)) | Err(_) => Err(Failure::Damaged),
    }
}

/// sled hands on some errors as their debug text; the kind says it better.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Other => error.to_string(),
        kind => kind.to_string(),
    }
}

/// A file that ends too early or holds nonsense comes as an I/O error, too.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

#[cfg(test)]
mod tests {
    use super::super::tally::{BUCKET_S, Subject, bucket};
    use super::*;
    use crate::engine::seam::{LinkId, Signal};
    use pendant_protocol::PendantId;

    const LIMITS: HistoryLimits = HistoryLimits { bytes_max: 2 * 1024 * 1024, days_max: 1 };

    /// 50 pendants in each of these quarters of an hour.
    fn counted(buckets: std::ops::Range<u64>) -> BTreeMap<Key, Tally> {
        let signal = Signal { rssi_dbm: Some(-90), ..Signal::default() };
        buckets
            .flat_map(|bucket| (1..=50).map(move |number| (bucket * BUCKET_S, number)))
            .map(|(unix_s, number)| {
                let pendant = PendantId::new(number).expect("a number in range");
                let key = Key::new(unix_s, Subject::Pendant(pendant), LinkId(0));
                (key, Tally::frame(signal))
            })
            .collect()
    }

    #[test]
    fn a_grown_folder_is_written_anew_with_the_newest_rows() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let folder = parent.path().join("history");
        let mut store = Store::open(&folder).expect("a new folder");
        let mut biggest = 0;
        for bucket in (0..1600).step_by(8) {
            store.add(&counted(bucket..bucket + 8)).expect("room");
            biggest = biggest.max(folder_bytes(&folder).expect("a folder"));
            store = store.bound(LIMITS).expect("room");
            assert!(folder_bytes(&folder).expect("a folder") <= LIMITS.bytes_max);
        }
        assert!(biggest > LIMITS.bytes_max, "{biggest} bytes put nothing to the test");
        let rows = store.read(0, u32::MAX, usize::MAX).expect("it is whole");
        assert!(rows.len() as u64 >= LIMITS.bytes_max / 4 / ROW_BYTES, "{}", rows.len());
        let newest = rows.last().expect("not empty");
        assert_eq!(bucket(newest.from_unix_s), 1599);
        let gaps =
            rows.windows(2).filter(|pair| pair[1].from_unix_s - pair[0].from_unix_s > BUCKET_S);
        assert_eq!(gaps.count(), 0, "what is kept is dense");
        store.close().expect("it is whole");
        let left: Vec<_> = fs::read_dir(parent.path()).expect("a folder").collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_power_cut_while_the_folder_is_exchanged_loses_nothing() {
        let outer = tempfile::tempdir().expect("a temporary folder");
        let folder = outer.path().join("history");
        let rows = || {
            let store = Store::open(&folder).expect("a folder");
            let rows = store.read(0, u32::MAX, usize::MAX).expect("it is whole").len();
            store.close().expect("it is whole");
            rows
        };
        let store = Store::open(&folder).expect("a new folder");
        store.add(&counted(0..4)).expect("room");
        store.close().expect("it is whole");
        fs::rename(&folder, beside(&folder, "old")).expect("free");
        fs::create_dir(beside(&folder, "new")).expect("free");
        assert_eq!(rows(), 4 * 50, "cut between the renames");
        fs::create_dir(beside(&folder, "old")).expect("free");
        assert_eq!(rows(), 4 * 50, "cut after them");
        let left: Vec<_> = fs::read_dir(outer.path()).expect("a folder").collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn old_rows_go_some_at_a_time() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&parent.path().join("history")).expect("a new folder");
        store.add(&counted(0..100)).expect("room");
        store.prune(90).expect("it is whole");
        let left = |store: &Store| store.read(0, u32::MAX, usize::MAX).expect("it is whole").len();
        assert_eq!(left(&store), 100 * 50 - PRUNED_MAX);
        for _ in 0..5 {
            store.prune(90).expect("it is whole");
        }
        assert_eq!(left(&store), 10 * 50);
    }
}
