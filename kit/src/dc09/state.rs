//! What outlives a restart of the bridge: numbers given, and events that the receiver
//! has. A text file, one line a fact, in the order in which they came about:
//!
//! ```text
//! sent 0042 0190a1b2-c3d4-8e5f-9a0b-000000000001 panic
//! done 0042 0190a1b2-c3d4-8e5f-9a0b-000000000001 panic
//! ```
//!
//! Each is on the disk before what follows from it. It is written anew, shorter, when
//! it has grown.

use rustix::fs::{FlockOperation, flock};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Events that are remembered as done. A gateway offers an event again only until it
/// is receipted.
const DONE_MAX: usize = 10_000;
/// Events that were sent and are not done.
const SENT_MAX: usize = 10_000;
/// Lines after which the file is written anew.
const LINES_MAX: usize = 4 * DONE_MAX;
/// Highest number of a message; 0000 is that of messages without an event.
const SEQUENCE_MAX: u16 = 9999;

/// An event: its id and its kind. An event that bears a known id and says something
/// else is no repetition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) kind: String,
}

/// The bridge's memory.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    file: File,
    lines: usize,
    known: Known,
}

#[derive(Debug, Default)]
struct Known {
    last: u16,
    sent: BTreeMap<Key, u16>,
    done: BTreeSet<Key>,
    sent_oldest: VecDeque<Key>,
    done_oldest: VecDeque<Key>,
}

impl State {
    /// Opens the file, or begins it.
    ///
    /// # Errors
    /// The system refuses, or another bridge uses the file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = locked(path, opened(path)?)?;
        let text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
        let mut known = Known::default();
        text.lines().for_each(|line| known.learn(line));
        let mut state = Self { path: path.to_owned(), file, lines: 0, known };
        // A line that was cut off by a crash must not grow into the next one.
        state.write_anew()?;
        Ok(state)
    }

    /// Whether the receiver has it, or has refused it.
    pub(super) fn is_done(&self, key: &Key) -> bool {
        self.known.done.contains(key)
    }

    /// The number under which an event is sent: the one that it had before, so that a
    /// receiver knows it again.
    pub(super) fn number(&mut self, key: &Key) -> io::Result<u16> {
        if let Some(number) = self.known.sent.get(key) {
            return Ok(*number);
        }
        let number = self.known.last % SEQUENCE_MAX + 1;
        self.note("sent", number, key)?;
        Ok(number)
    }

    /// Remembers that the receiver has it, or has refused it.
    pub(super) fn done(&mut self, key: &Key) -> io::Result<()> {
        let number = self.known.sent.get(key).copied().unwrap_or(0);
        self.note("done", number, key)
    }

    fn note(&mut self, word: &str, number: u16, key: &Key) -> io::Result<()> {
        let line = line(word, number, key);
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()?;
        self.known.learn(line.trim_end());
        self.lines += 1;
        if self.lines > LINES_MAX { self.write_anew() } else { Ok(()) }
    }

    fn write_anew(&mut self) -> io::Result<()> {
        let text = self.known.text();
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        let folder = self.path.parent().filter(|it| !it.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        (self.file, self.lines) = (file, text.lines().count());
        Ok(())
    }
}

fn opened(path: &Path) -> io::Result<File> {
    File::options().read(true).append(true).create(true).open(path)
}

/// Locks the file that stands at the path. One that another bridge has replaced since it
/// was opened keeps nobody out.
fn locked(path: &Path, mut file: File) -> io::Result<File> {
    loop {
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let (ours, there) = (file.metadata()?, fs::metadata(path)?);
        if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
            return Ok(file);
        }
        file = opened(path)?;
    }
}

impl Known {
    /// Takes a line; what is none is passed over.
    fn learn(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (Some(word), Some(number), Some(id), Some(kind), None) =
            (words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            return;
        };
        let Some(number) = number.parse().ok().filter(|it| *it <= SEQUENCE_MAX) else { return };
        let key = Key { id: id.to_owned(), kind: kind.to_owned() };
        match word {
            "sent" => {
                self.last = number;
                if self.sent.insert(key.clone(), number).is_none() {
                    self.sent_oldest.push_back(key);
                }
            }
            "done" => {
                self.sent.remove(&key);
                self.sent_oldest.retain(|it| *it != key);
                if self.done.insert(key.clone()) {
                    self.done_oldest.push_back(key);
                }
            }
            _ => {}
        }
        self.forget();
    }

    /// Gives up the oldest of what is too many.
    fn forget(&mut self) {
        if self.sent.len() > SENT_MAX {
            self.sent_oldest.pop_front().map(|key| self.sent.remove(&key));
        }
        if self.done.len() > DONE_MAX {
            self.done_oldest.pop_front().map(|key| self.done.remove(&key));
        }
    }

    fn text(&self) -> String {
        let done = self.done_oldest.iter().map(|key| line("done", 0, key));
        let numbered = |key: &Key| line("sent", *self.sent.get(key).unwrap_or(&0), key);
        let sent = self.sent_oldest.iter().map(numbered);
        // The last number may be that of an event that is done.
        let key = Key { id: "-".to_owned(), kind: "-".to_owned() };
        let last = [line("sent", self.last, &key), line("done", self.last, &key)];
        done.chain(sent).chain(last).collect()
    }
}

fn line(word: &str, number: u16, key: &Key) -> String {
    format!("{word} {number:04} {} {}\n", key.id, key.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(number: u32) -> Key {
        Key { id: format!("0190a1b2-c3d4-8e5f-9a0b-{number:012x}"), kind: "panic".into() }
    }

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        (folder, path)
    }

    #[test]
    fn numbers_go_on_and_what_is_done_stays_done_over_a_restart() {
        let (_folder, path) = file();
        let mut state = State::open(&path).expect("a file");
        assert_eq!(state.number(&key(1)).expect("written"), 1);
        assert_eq!(state.number(&key(2)).expect("written"), 2);
        state.done(&key(2)).expect("written");
        drop(state);
        let mut state = State::open(&path).expect("a file");
        assert!(state.is_done(&key(2)) && !state.is_done(&key(1)));
        assert!(!state.is_done(&Key { kind: "duress".into(), ..key(2) }));
        assert_eq!(state.number(&key(1)).expect("written"), 1, "the number that it had");
        assert_eq!(state.number(&key(3)).expect("written"), 3);
        state.done(&key(3)).expect("written");
        drop(state);
        let mut state = State::open(&path).expect("a file");
        assert_eq!(state.number(&key(4)).expect("written"), 4, "also if all before are done");
    }

    #[test]
    fn after_9999_comes_1() {
        let (_folder, path) = file();
        fs::write(&path, line("sent", 9999, &key(1))).expect("written");
        let mut state = State::open(&path).expect("a file");
        assert_eq!(state.number(&key(2)).expect("written"), 1);
    }

    #[test]
    fn a_second_bridge_is_refused() {
        let (_folder, path) = file();
        let _first = State::open(&path).expect("a file");
        assert!(State::open(&path).is_err());
    }

    #[test]
    fn of_two_bridges_that_start_at_once_one_is_refused() {
        let (_folder, path) = file();
        let late = opened(&path).expect("a file");
        let first = State::open(&path).expect("a file");
        assert!(locked(&path, late).is_err(), "it opened the file before the first replaced it");
        let late = opened(&path).expect("a file");
        drop(first);
        drop(State::open(&path).expect("a file"));
        let file = locked(&path, late).expect("nobody uses it");
        let (ours, there) = (file.metadata(), fs::metadata(&path));
        assert_eq!(ours.expect("a file").ino(), there.expect("a file").ino());
    }

    #[test]
    fn the_file_stays_bounded() {
        let mut known = Known::default();
        for number in 0..DONE_MAX as u32 + 5 {
            known.learn(line("sent", 1, &key(2 * number)).trim_end());
            known.learn(line("done", 1, &key(2 * number)).trim_end());
            known.learn(line("sent", 2, &key(2 * number + 1)).trim_end());
        }
        assert_eq!((known.done.len(), known.done_oldest.len()), (DONE_MAX, DONE_MAX));
        assert_eq!((known.sent.len(), known.sent_oldest.len()), (SENT_MAX, SENT_MAX));
        assert!(!known.done.contains(&key(8)) && known.done.contains(&key(10)));
        assert!(known.text().lines().count() < LINES_MAX);
    }

    #[test]
    fn a_file_that_has_grown_is_written_anew() {
        let (_folder, path) = file();
        let mut state = State::open(&path).expect("a file");
        state.number(&key(1)).expect("written");
        state.lines = LINES_MAX;
        state.done(&key(1)).expect("written");
        assert!(state.lines < 10 && state.is_done(&key(1)));
        assert_eq!(state.number(&key(2)).expect("written"), 2);
        drop(state);
        assert!(State::open(&path).expect("a file").is_done(&key(1)));
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..60) {
            let (_folder, path) = file();
            let mut bytes = text;
            bytes.extend_from_slice(b"\nsent 0007 a b\n");
            let whole = line("done", 7, &key(1));
            bytes.extend_from_slice(&whole.as_bytes()[..cut.min(whole.len())]);
            fs::write(&path, bytes).expect("written");
            let mut state = State::open(&path).expect("a file");
            prop_assert!((1..=8).contains(&state.number(&key(2)).expect("written")) );
        }
    }
}
