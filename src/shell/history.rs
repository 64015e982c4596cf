//! The history: signal quality and link health over weeks, for surveys.
//!
//! It holds apparent facts only (P5): who was heard, when, how well; never what a
//! frame meant. Its loss costs a plot and never an alarm. So it lives in a thread
//! of its own, behind a bounded queue that drops rather than makes anybody wait,
//! and whatever happens to its files ends in a [`HistoryTrouble`].

mod store;
mod tally;

pub use tally::{BUCKET_S, KEY_BYTES, Row, Spread, Subject, Tally, row, row_bytes};

use crate::engine::seam::{LinkId, Signal};
use pendant_protocol::PendantId;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;
use store::{Failure, Store};
use tally::{Key, bucket};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// Samples that may wait for the thread.
const QUEUE_MAX: usize = 1024;
/// Rows counted in memory between two writes: every pendant of a big site on
/// several links, over two quarters of an hour.
const ROWS_IN_MEMORY_MAX: usize = 4096;
/// How much of the latest may be lost, against how often the card is written.
const WRITE_EVERY: Duration = Duration::from_secs(30);
/// Rows in one answer.
pub const ROWS_READ_MAX: usize = 10_000;
const READ_WAIT: Duration = Duration::from_secs(5);
const CLOSE_WAIT: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(3600);
/// Damage more often than this is the card's, and no new folder mends it. Each
/// time some memory of the damaged database is given up.
const SET_ASIDE_MAX: u32 = 3;

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Most bytes of the folder. Exceeded for a moment while it is written anew.
    pub bytes_max: u64,
    /// Most days for which a row is kept.
    pub days_max: u32,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { bytes_max: 64 * 1024 * 1024, days_max: 60 }
    }
}

/// One apparent fact. Without a set clock there is no place for it in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, seconds since 1970.
    pub unix_s: u64,
    /// Through which link.
    pub link: LinkId,
    /// What.
    pub fact: Fact,
}

/// What was apparent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// An authentic frame of this pendant was heard.
    Heard(PendantId, Signal),
    /// The link went away.
    LinkLost,
}

/// What is wrong with the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryTrouble {
    /// It was damaged, is kept here for inspection, and was begun anew.
    Damaged(PathBuf),
    /// It was damaged again and again, and is off until the next start.
    Off,
    /// The disk refuses; it is tried again.
    Disk(String),
}

impl fmt::Display for HistoryTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(aside) => write!(
                f,
                "the history was damaged and is begun anew; the old one is in {}: check the \
                 medium if this happens again, else remove it",
                aside.display()
            ),
            Self::Off => write!(
                f,
                "the history was damaged several times and is off until the next start: replace \
                 the medium"
            ),
            Self::Disk(why) => write!(
                f,
                "the history cannot be written ({why}): make room, or check the folder's rights \
                 and medium; it is tried again"
            ),
        }
    }
}

/// How the history fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryStatus {
    /// It is being written and can be read.
    pub open: bool,
    /// The last trouble. [`HistoryTrouble::Damaged`] stays until the next start.
    pub trouble: Option<HistoryTrouble>,
}

/// Why nothing could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The history is not open; its status says why.
    NotOpen,
    /// No answer in time, or too much to do.
    Busy,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOpen => "the history is not open: see its trouble",
            Self::Busy => "the history is busy: ask again later",
        })
    }
}

impl std::error::Error for ReadError {}

enum Message {
    Sample(Sample),
    Read { from: u32, until: u32, max: usize, answer: oneshot::Sender<Result<Vec<Row>, ReadError>> },
}

/// The history's outer end. Dropped, the thread writes what it has and ends.
#[derive(Debug)]
pub struct History {
    queue: Arc<SyncSender<Message>>,
    status: watch::Receiver<HistoryStatus>,
    dropped: Arc<AtomicU64>,
    ended: oneshot::Receiver<()>,
}

impl History {
    /// Starts the thread that opens the folder; returns at once, since a damaged
    /// folder may hold sled up. [`Self::status`] tells when it is open, and what
    /// was wrong.
    #[must_use]
    pub fn open(folder: PathBuf, limits: HistoryLimits) -> Self {
        let (queue, inbox) = sync_channel(QUEUE_MAX);
        let (status_out, status) = watch::channel(HistoryStatus::default());
        let (end, ended) = oneshot::channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let mut keeper = Keeper {
            folder,
            limits,
            store: None,
            counted: BTreeMap::new(),
            latest: 0,
            dropped: dropped.clone(),
            status: status_out,
            retry_at: Instant::now(),
            retry: RETRY_FIRST,
            set_aside: 0,
        };
        let thread = thread::Builder::new().name("history".into()).spawn(move || {
            // What sled's destructors may still throw ends here.
            if catch_unwind(AssertUnwindSafe(|| keeper.run(&inbox))).is_err() {
                keeper.tell(HistoryStatus { open: false, trouble: Some(HistoryTrouble::Off) });
            }
            drop(end);
        });
        if let Err(error) = thread {
            // The inbox is gone with the closure: samples are dropped, reads fail.
            tracing::warn!("the history cannot be kept, its thread cannot be started: {error}");
        }
        Self { queue: Arc::new(queue), status, dropped, ended }
    }

    /// Notes a fact, or drops it when the thread cannot follow. Never waits.
    pub fn record(&self, sample: Sample) {
        if self.queue.try_send(Message::Sample(sample)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many samples were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How it fares, now and whenever that changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<HistoryStatus> {
        self.status.clone()
    }

    /// See [`HistoryReader::read`].
    ///
    /// # Errors
    /// Says whether to ask again later or to see the trouble.
    pub async fn read(&self, from_unix_s: u64, until_unix_s: u64) -> Result<Vec<Row>, ReadError> {
        self.reader().read(from_unix_s, until_unix_s).await
    }

    /// For whoever reads beside the loop.
    #[must_use]
    pub fn reader(&self) -> HistoryReader {
        HistoryReader { queue: Arc::downgrade(&self.queue) }
    }

    /// Writes what is counted and lets go of the folder; gives up after two
    /// seconds, which costs at most the last half minute.
    pub async fn close(self) {
        drop(self.queue);
        // Either the thread has ended or it is given up: both are an end.
        let _ = tokio::time::timeout(CLOSE_WAIT, self.ended).await;
    }
}

/// Reads the history from anywhere, and does not keep it open.
#[derive(Clone, Debug)]
pub struct HistoryReader {
    queue: Weak<SyncSender<Message>>,
}

impl HistoryReader {
    /// Rows whose time begins in `from_unix_s..until_unix_s`, oldest first, at most
    /// [`ROWS_READ_MAX`]; to read on, ask from the last one's time.
    ///
    /// # Errors
    /// Says whether to ask again later or to see the trouble.
    pub async fn read(&self, from_unix_s: u64, until_unix_s: u64) -> Result<Vec<Row>, ReadError> {
        let (answer, answered) = oneshot::channel();
        let message = Message::Read {
            from: bucket(from_unix_s.saturating_add(BUCKET_S - 1)),
            until: bucket(until_unix_s.saturating_add(BUCKET_S - 1)),
            max: ROWS_READ_MAX,
            answer,
        };
        let queue = self.queue.upgrade().ok_or(ReadError::NotOpen)?;
        queue.try_send(message).map_err(|_| ReadError::Busy)?;
        drop(queue);
        match tokio::time::timeout(READ_WAIT, answered).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(_)) => Err(ReadError::NotOpen),
            Err(_) => Err(ReadError::Busy),
        }
    }
}

/// The thread's side.
struct Keeper {
    folder: PathBuf,
    limits: HistoryLimits,
    store: Option<Store>,
    /// Not written yet.
    counted: BTreeMap<Key, Tally>,
    /// The bucket of the last sample: what "days ago" is counted from.
    latest: u32,
    dropped: Arc<AtomicU64>,
    status: watch::Sender<HistoryStatus>,
    retry_at: Instant,
    retry: Duration,
    set_aside: u32,
}

impl Keeper {
    fn run(&mut self, inbox: &Receiver<Message>) {
        self.ensure_open();
        let mut write_at = Instant::now() + WRITE_EVERY;
        loop {
            let wake_at = if self.is_shut() { write_at.min(self.retry_at) } else { write_at };
            let wait = wake_at.saturating_duration_since(Instant::now());
            match inbox.recv_timeout(wait) {
                Ok(Message::Sample(sample)) => self.count(sample),
                Ok(Message::Read { from, until, max, answer }) => {
                    // Whoever asked may have given up.
                    let _ = answer.send(self.read(from, until, max));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.ensure_open();
            if Instant::now() >= write_at {
                self.write();
                self.tidy();
                write_at = Instant::now() + WRITE_EVERY;
            }
        }
        self.write();
        if let Some(store) = self.store.take() {
            // Nobody is left to tell.
            let _ = store.close();
        }
    }

    fn count(&mut self, sample: Sample) {
        let (subject, tally) = match sample.fact {
            Fact::Heard(pendant, signal) => (Subject::Pendant(pendant), Tally::frame(signal)),
            Fact::LinkLost => (Subject::Link, Tally::loss()),
        };
        let key = Key::new(sample.unix_s, subject, sample.link);
        self.latest = key.bucket;
        if self.counted.len() >= ROWS_IN_MEMORY_MAX && !self.counted.contains_key(&key) {
            self.write();
        }
        if self.counted.len() >= ROWS_IN_MEMORY_MAX && !self.counted.contains_key(&key) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.counted.entry(key).or_default().merge(&tally);
    }

    fn write(&mut self) {
        self.ensure_open();
        let Some(store) = &self.store else { return };
        match store.add(&self.counted) {
            Ok(()) => self.counted.clear(),
            Err(failure) => self.fail(failure),
        }
    }

    /// Keeps the limits. The rows just written tell what time it is.
    fn tidy(&mut self) {
        let days = u64::from(self.limits.days_max) * 86_400 / BUCKET_S;
        let cutoff = self.latest.saturating_sub(u32::try_from(days).unwrap_or(u32::MAX));
        let Some(store) = self.store.take() else { return };
        if let Err(failure) = store.prune(cutoff) {
            self.store = Some(store);
            return self.fail(failure);
        }
        match store.bound(self.limits) {
            Ok(store) => self.store = Some(store),
            Err(failure) => self.fail(failure),
        }
    }

    fn read(&mut self, from: u32, until: u32, max: usize) -> Result<Vec<Row>, ReadError> {
        self.write();
        let store = self.store.as_ref().ok_or(ReadError::NotOpen)?;
        store.read(from, until, max).map_err(|failure| {
            self.fail(failure);
            ReadError::NotOpen
        })
    }

    /// It is not open, but may become so.
    fn is_shut(&self) -> bool {
        self.store.is_none() && self.set_aside <= SET_ASIDE_MAX
    }

    /// Opens the folder, if it is not open and it is time to try.
    fn ensure_open(&mut self) {
        if self.store.is_some() || Instant::now() < self.retry_at || self.set_aside > SET_ASIDE_MAX
        {
            return;
        }
        match Store::open(&self.folder) {
            Ok(store) => {
                self.store = Some(store);
                self.retry = RETRY_FIRST;
                let damaged = self.status.borrow().trouble.clone();
                let damaged = damaged.filter(|t| matches!(t, HistoryTrouble::Damaged(_)));
                self.tell(HistoryStatus { open: true, trouble: damaged });
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// Sets a damaged folder aside and begins anew at once; waits out anything else.
    fn fail(&mut self, failure: Failure) {
        let store = self.store.take();
        self.retry_at = Instant::now() + self.retry;
        let trouble = match failure {
            Failure::Io(why) => {
                // A second failure while closing tells nothing new.
                let _ = store.map(Store::close);
                HistoryTrouble::Disk(why)
            }
            Failure::Damaged => {
                let _ = store.map(Store::abandon);
                self.set_aside += 1;
                if self.set_aside > SET_ASIDE_MAX {
                    HistoryTrouble::Off
                } else {
                    store::set_aside(&self.folder)
                }
            }
        };
        let begin_anew = matches!(trouble, HistoryTrouble::Damaged(_));
        self.tell(HistoryStatus { open: false, trouble: Some(trouble) });
        if begin_anew {
            self.retry_at = Instant::now();
            self.ensure_open();
        } else {
            self.retry = (self.retry * 2).min(RETRY_LAST);
        }
    }

    /// Publishes the status, and logs a trouble when it is a new one.
    fn tell(&self, status: HistoryStatus) {
        self.status.send_if_modified(|told| {
            if *told == status {
                return false;
            }
            if let Some(trouble) = &status.trouble {
                if told.trouble.as_ref() != Some(trouble) {
                    tracing::warn!("{trouble}");
                }
            }
            *told = status;
            true
        });
    }
}
