//! What outlives the desk's process: a folder with a log of what changed it, and
//! snapshots from which the log goes on.
//!
//! ```text
//! log-00000007    one line a change: CRC-32C of the rest, ms since 1970, the change
//! desk-00000007   all that was known before log-00000007 (JSON)
//! lock            held while a desk uses the folder
//! ```
//!
//! A change is `m TOPIC PAYLOAD` for a message, as it came, or `r JSON` for a [`Record`].
//! A thread appends and syncs: what comes while it syncs goes into the next sync together.
//! A log that has grown is followed by a snapshot and a new log. Older logs stay as a
//! record of events, up to a bound; of snapshots the last two.

use super::desk::{Desk, Record};
use super::incident::UnixMs;
use crate::centre::Since;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc as blocking;
use tokio::sync::mpsc;

/// A log is followed by another when it has so many bytes.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// Longest line that is read; a message has 4096 bytes at most.
const LINE_BYTES_MAX: usize = 16 << 10;

/// A change as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<'a> {
    /// A message.
    Message {
        /// Where.
        topic: &'a str,
        /// What.
        payload: &'a [u8],
    },
    /// Anything else.
    Record(&'a Record),
}

/// Adds a change to what is to be written.
pub fn write_change(buffer: &mut Vec<u8>, at_ms: UnixMs, change: &Change<'_>) {
    let begin = buffer.len();
    buffer.extend_from_slice(b"00000000 ");
    let body = buffer.len();
    buffer.extend_from_slice(at_ms.to_string().as_bytes());
    match change {
        Change::Message { topic, payload } => {
            buffer.extend_from_slice(b" m ");
            buffer.extend_from_slice(topic.as_bytes());
            buffer.push(b' ');
            let begin = buffer.len();
            buffer.extend_from_slice(String::from_utf8_lossy(payload.trim_ascii_end()).as_bytes());
            // In JSON a line end can only stand between words.
            for byte in &mut buffer[begin..] {
                *byte = (*byte).max(b' ');
            }
        }
        Change::Record(record) => {
            buffer.extend_from_slice(b" r ");
            let text = serde_json::to_string(record).expect("records have texts as keys");
            buffer.extend_from_slice(text.as_bytes());
        }
    }
    let crc = format!("{:08x}", crc32c::crc32c(&buffer[body..]));
    buffer[begin..begin + 8].copy_from_slice(crc.as_bytes());
    buffer.push(b'\n');
}

/// Reads a line without its end; `None` if it is damaged.
fn read_change(line: &[u8]) -> Option<(UnixMs, Record)> {
    let (crc, body) = line.split_at_checked(9)?;
    let crc = u32::from_str_radix(std::str::from_utf8(&crc[..8]).ok()?, 16).ok()?;
    if crc != crc32c::crc32c(body) {
        return None;
    }
    let mut words = std::str::from_utf8(body).ok()?.splitn(3, ' ');
    let (at_ms, kind, rest) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let record = if kind == "m" {
        let (topic, payload) = rest.split_once(' ')?;
        Record::Message { topic: topic.to_owned(), payload: payload.to_owned() }
    } else {
        serde_json::from_str(rest).ok()?
    };
    Some((at_ms, record))
}

/// What the thread is given to do.
enum Job {
    Append(Vec<u8>),
    Snapshot(Box<Desk>),
}

/// The folder, in use.
#[derive(Debug)]
pub struct Store {
    jobs: blocking::Sender<Job>,
    answers: mpsc::UnboundedReceiver<io::Result<u64>>,
    is_busy: bool,
    is_sick: bool,
    log_bytes: u64,
}

/// What opening found.
#[derive(Debug)]
pub struct Opened {
    /// The folder.
    pub store: Store,
    /// The desk as it was.
    pub desk: Desk,
    /// What an operator has to know about it.
    pub notes: Vec<String>,
}

impl Store {
    /// Opens the folder, or begins it.
    ///
    /// # Errors
    /// The system refuses, another desk uses the folder, or nothing in it can be read.
    pub fn open(folder: &Path, since: Since, history_bytes: u64) -> io::Result<Opened> {
        let is_new = !folder.exists();
        fs::create_dir_all(folder)?;
        if is_new {
            let parent = folder.parent().filter(|it| !it.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        let mut options = File::options();
        let lock = options.write(true).create(true).truncate(false).mode(0o600);
        let lock = lock.open(folder.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::other("another desk uses it"))?;
        let mut files = Files { folder: folder.to_owned(), history_bytes, _lock: lock };
        files.remove_halves()?;
        let (desk, notes, last) = files.recover(since)?;
        let log = files.begin(last + 1, &desk)?;
        let (jobs, jobs_in) = blocking::channel();
        let (answers_out, answers) = mpsc::unbounded_channel();
        std::thread::Builder::new().name("desk-store".into()).spawn(move || {
            let mut writer = Writer { files, log, number: last + 1, bytes: 0 };
            for job in jobs_in {
                if answers_out.send(writer.carry_out(job)).is_err() {
                    return;
                }
            }
        })?;
        let store = Self { jobs, answers, is_busy: false, is_sick: false, log_bytes: 0 };
        Ok(Opened { store, desk, notes })
    }

    /// One whose syncs the test gives by hand, and is asked for.
    #[cfg(test)]
    pub(super) fn by_hand() -> (Self, mpsc::UnboundedSender<io::Result<u64>>, impl Fn() -> bool) {
        let (jobs, jobs_in) = blocking::channel();
        let (answers_out, answers) = mpsc::unbounded_channel();
        let store = Self { jobs, answers, is_busy: false, is_sick: false, log_bytes: 0 };
        (store, answers_out, move || jobs_in.try_recv().is_ok())
    }

    /// Whether it can be given something to write.
    #[must_use]
    pub fn is_free(&self) -> bool {
        !self.is_busy
    }

    /// Whether a snapshot is due: the log has grown, or a write has failed.
    #[must_use]
    pub fn wants_snapshot(&self) -> bool {
        self.is_sick || self.log_bytes > LOG_BYTES_MAX
    }

    /// Begins to make this durable.
    pub fn append(&mut self, lines: Vec<u8>) {
        self.give(Job::Append(lines));
    }

    /// Begins to make all of the desk durable.
    pub fn snapshot(&mut self, desk: Desk) {
        self.give(Job::Snapshot(Box::new(desk)));
    }

    fn give(&mut self, job: Job) {
        self.is_busy = true;
        // Its end would be seen by `done`.
        drop(self.jobs.send(job));
    }

    /// Waits until what was begun is durable. After an error the next has to be a
    /// snapshot.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn done(&mut self) -> io::Result<()> {
        if !self.is_busy {
            std::future::pending::<()>().await;
        }
        let answer = self.answers.recv().await;
        self.is_busy = false;
        let answer = answer.unwrap_or_else(|| Err(io::Error::other("the writing thread ended")));
        self.is_sick = answer.is_err();
        self.log_bytes = answer?;
        Ok(())
    }
}

/// The thread's side.
struct Writer {
    files: Files,
    log: File,
    number: u64,
    bytes: u64,
}

impl Writer {
    fn carry_out(&mut self, job: Job) -> io::Result<u64> {
        match job {
            Job::Append(lines) => {
                self.log.write_all(&lines)?;
                self.log.sync_data()?;
                self.bytes += lines.len() as u64;
            }
            Job::Snapshot(desk) => {
                self.number += 1;
                self.log = self.files.begin(self.number, &desk)?;
                self.bytes = 0;
            }
        }
        Ok(self.bytes)
    }
}

/// The files of the folder.
struct Files {
    folder: PathBuf,
    history_bytes: u64,
    _lock: File,
}

impl Files {
    fn path(&self, kind: &str, number: u64) -> PathBuf {
        self.folder.join(format!("{kind}-{number:08}"))
    }

    /// Numbers of the files of a kind, in order.
    fn numbers(&self, kind: &str) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_prefix(kind)?.strip_prefix('-'));
            numbers.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The desk as it was, what is to be told, and the highest number of a file.
    fn recover(&mut self, since: Since) -> io::Result<(Desk, Vec<String>, u64)> {
        let (logs, snapshots) = (self.numbers("log")?, self.numbers("desk")?);
        let last = logs.iter().chain(&snapshots).copied().max().unwrap_or(0);
        let mut notes = Vec::new();
        let mut found = None;
        for number in snapshots.iter().rev() {
            let path = self.path("desk", *number);
            match File::open(&path).map(|file| serde_json::from_reader(BufReader::new(file))) {
                Ok(Ok(desk)) => {
                    found = Some((desk, *number));
                    break;
                }
                Ok(Err(error)) => notes.push(format!("DAMAGED {}: {error}", path.display())),
                Err(error) => notes.push(format!("DAMAGED {}: {error}", path.display())),
            }
        }
        if found.is_none() && last > 0 {
            return Err(io::Error::other("none of its snapshots can be read"));
        }
        let (mut desk, from) = found.unwrap_or_else(|| (Desk::new(since), 0));
        for number in logs.iter().filter(|number| **number >= from) {
            let path = self.path("log", *number);
            let damaged = replay(&path, &mut desk)?;
            if damaged > 0 {
                notes.push(format!("DAMAGED {}: {damaged} lines cannot be read", path.display()));
            }
        }
        Ok((desk, notes, last))
    }

    /// Makes a snapshot durable, and the log that goes on from it.
    fn begin(&mut self, number: u64, desk: &Desk) -> io::Result<File> {
        let path = self.path("desk", number);
        let new = path.with_extension("new");
        if let Err(error) = write_snapshot(&new, &path, desk) {
            // On a full disk its half would take the room that the next one needs.
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        let mut options = File::options();
        let log = options.append(true).create(true).mode(0o600).open(self.path("log", number))?;
        File::open(&self.folder)?.sync_all()?;
        self.forget()?;
        Ok(log)
    }

    /// What a process that was ended in mid-snapshot has left.
    fn remove_halves(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "new") {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Removes what is neither needed nor within the bound.
    fn forget(&self) -> io::Result<()> {
        let snapshots = self.numbers("desk")?;
        let kept = snapshots.len().saturating_sub(2);
        for number in &snapshots[..kept] {
            fs::remove_file(self.path("desk", *number))?;
        }
        let needed = snapshots.get(kept).copied().unwrap_or(0);
        let mut bytes = 0;
        for number in self.numbers("log")?.into_iter().rev() {
            let path = self.path("log", number);
            bytes += fs::metadata(&path)?.len();
            if number < needed && bytes > self.history_bytes {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Makes a snapshot durable as `new`, and gives it its name.
fn write_snapshot(new: &Path, path: &Path, desk: &Desk) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(new)?;
    let mut writer = BufWriter::with_capacity(1 << 18, file);
    serde_json::to_writer(&mut writer, desk)?;
    writer.into_inner()?.sync_all()?;
    fs::rename(new, path)
}

/// Does again what a log says; gives how many lines are damaged. A last line that was cut
/// off, so that it has no end, is none: nothing that follows from it was done.
fn replay(path: &Path, desk: &mut Desk) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
    let (mut line, mut damaged, mut is_cut) = (Vec::new(), 0, false);
    loop {
        line.clear();
        let read =
            io::Read::take(&mut reader, LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(damaged - u64::from(is_cut));
        }
        let change = line.strip_suffix(b"\n").and_then(read_change);
        is_cut = !line.ends_with(b"\n");
        damaged += u64::from(change.is_none());
        if let Some((at_ms, record)) = change {
            desk.apply(at_ms, record);
        }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
