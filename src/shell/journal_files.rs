//! Reading the journal back: both passes, the files shared out among threads, one
//! or two of them in memory for each. For the start of a gateway, and for commands
//! that look at a journal on which one may be running.

use super::disk::{JournalFolder, JournalReader, SegmentFile, SegmentFiles};
use super::store_key::StoreKey;
use crate::engine::journal::JournalKey;
use crate::engine::journal::recover::{Headers, Plan, RecoverError, Replay, Survey};
use std::fmt;
use std::io;
use std::num::NonZero;
use std::sync::mpsc;

/// Most threads: beyond, the medium is the limit.
const THREADS_MAX: usize = 4;
/// How often a journal that changes while it is read is read anew.
const TRIES_MAX: u32 = 5;

/// Told how many of how many files are done.
pub type Progress<'p> = &'p mut dyn FnMut(usize, usize);

/// Why a journal could not be read. Each says what to do.
#[derive(Debug)]
pub enum ReadError {
    /// The system refused.
    Io(io::Error),
    /// It is not ours to read.
    Recover(RecoverError),
    /// A gateway works on it, and faster than it can be read.
    Changing,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Recover(error) => error.fmt(f),
            Self::Changing => f.write_str(
                "the gateway uses its files again faster than they can be read: try again, \
                 or stop the gateway first",
            ),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<RecoverError> for ReadError {
    fn from(error: RecoverError) -> Self {
        Self::Recover(error)
    }
}

/// The key of a store's journal.
#[must_use]
pub fn journal_key(key: &StoreKey) -> JournalKey {
    JournalKey::from_bytes(*key.derive::<32>("journal"))
}

/// Both passes over the journal of a gateway that starts.
///
/// # Errors
/// See [`ReadError`]; nothing was changed.
pub fn read(folder: &JournalFolder, key: JournalKey) -> Result<Replay, ReadError> {
    let plan = settle(folder, survey(folder.reader(), &mut |_, _| {})?)?;
    replay(folder.reader(), plan, key, &mut |_, _| {})
}

/// What the last life wrote and did not see synced may stand in the kernel's memory
/// alone, and pendants will be answered on it. A sync that failed may have taken the
/// pages for clean, so they are written again before they are synced.
///
/// # Errors
/// As `Survey::plan`.
pub fn settle<F: SegmentFiles>(files: &F, mut survey: Survey) -> Result<Plan, RecoverError> {
    let synced = survey.unvouched().map_or(Ok(()), |stretch| {
        let file = files.open(stretch.file)?;
        let mut bytes = vec![0; stretch.bytes];
        file.read_exact_at(&mut bytes, stretch.offset)?;
        file.write_all_at(&bytes, stretch.offset)?;
        file.sync_data()
    });
    match synced {
        Ok(()) => survey.plan(),
        Err(error) => {
            tracing::error!(%error, "the journal's last commit cannot be written again: its pendants are not answered on it. Is the medium failing?");
            survey.plan_unsettled()
        }
    }
}

/// Both passes over a journal on which a gateway may be running, and what is made
/// of it by `take`: anew, until no file that was read was used again meanwhile.
///
/// # Errors
/// See [`ReadError`], and those of `take`.
pub fn read_unlocked<T, E: From<ReadError>>(
    folder: &JournalReader,
    key: &JournalKey,
    progress: Progress<'_>,
    mut take: impl FnMut(Replay, Progress<'_>) -> Result<T, E>,
) -> Result<T, E> {
    for _ in 0..TRIES_MAX {
        let before = survey(folder, progress)?.plan().map_err(ReadError::from)?;
        let mut replay = replay(folder, before.clone(), key.clone(), progress)?;
        let damaged = replay.findings().damaged > 0;
        let taken = take(replay, progress);
        let after = survey(folder, &mut |_, _| {})?.plan().map_err(ReadError::from)?;
        // A frame that was just being written would look like a damaged one.
        if before.still_stands_in(&after) && (!damaged || before.ends_as(&after)) {
            return taken;
        }
    }
    Err(ReadError::Changing.into())
}

fn survey(folder: &JournalReader, progress: Progress<'_>) -> Result<Survey, ReadError> {
    let mut survey = Survey::new();
    let files = folder.files().or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => Err(error),
    })?;
    each_file(folder, &files, Headers::read, |headers| survey.take(headers), progress)?;
    Ok(survey)
}

fn replay(
    folder: &JournalReader,
    plan: Plan,
    key: JournalKey,
    progress: Progress<'_>,
) -> Result<Replay, ReadError> {
    let mut replay = Replay::new(plan, key);
    let opener = replay.opener();
    let open = |file, bytes: &[u8]| opener.open(file, bytes);
    each_file(folder, &replay.order(), open, |opened| replay.take(opened), progress)?;
    replay.check_key()?;
    Ok(replay)
}

/// Reads files in several threads, and takes what they make of them in order.
fn each_file<T: Send>(
    folder: &JournalReader,
    files: &[u32],
    look: impl Fn(u32, &[u8]) -> T + Sync,
    mut take: impl FnMut(T),
    progress: Progress<'_>,
) -> io::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cores.clamp(1, THREADS_MAX).min(files.len().max(1));
    let look = &look;
    std::thread::scope(|scope| {
        let mut results = Vec::new();
        for thread in 0..threads {
            // One result waits while the next file is read.
            let (sender, receiver) = mpsc::sync_channel(1);
            results.push(receiver);
            std::thread::Builder::new().name("journal".into()).spawn_scoped(scope, move || {
                let mut buffer = Vec::new();
                for file in files.iter().skip(thread).step_by(threads) {
                    let read = folder.read_into(*file, &mut buffer);
                    if sender.send(read.map(|()| look(*file, &buffer))).is_err() {
                        return;
                    }
                }
            })?;
        }
        for place in 0..files.len() {
            let result = results[place % threads].recv();
            take(result.map_err(|_| io::Error::other("a thread that reads ended"))??);
            progress(place + 1, files.len());
        }
        Ok(())
    })
}
