//! Where the demonstration plays: two columns on the terminal, and a record of
//! both that the story waits on and judges.

use super::DemoError;
use crate::centre::Event;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// Columns: 6 for the time, then the site, a bar, the centre: 100 together.
const SITE_COLUMNS: usize = 45;
const CENTRE_COLUMNS: usize = 46;

/// Nothing in the story takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Terminal colours (ECMA-48, SGR).
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The left column, whole lines before wrapping.
    pub(super) site: Vec<String>,
    /// Every event at the centre, in the order of arrival.
    pub(super) events: Vec<Event>,
    /// Whether the centre is connected.
    pub(super) centre_is_up: bool,
    /// The gateway's last state.
    state: String,
    /// What the centre found wrong.
    pub(super) flaws: Vec<String>,
    /// Standard output could not be written.
    is_unheard: bool,
}

/// The stage.
#[derive(Debug)]
pub(super) struct Stage {
    record: Mutex<Record>,
    changed: watch::Sender<()>,
    /// Set by the first line of the columns.
    start: OnceLock<Instant>,
    has_colours: bool,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self {
            record: Mutex::default(),
            changed: watch::Sender::new(()),
            start: OnceLock::new(),
            has_colours: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// A new part of the story, over both columns.
    pub(super) fn heading(&self, text: &str) {
        let mut record = self.lock();
        let line = self.coloured(BOLD, text);
        print(&mut record, &format!("\n{line}"));
    }

    /// Text over both columns.
    pub(super) fn text(&self, text: &str) {
        print(&mut self.lock(), text);
    }

    /// Titles over the columns.
    pub(super) fn titles(&self) {
        let site = format!("{:<SITE_COLUMNS$}", "ON SITE: pendants, gateway's log");
        let centre = "AT THE MONITORING CENTRE";
        let line = self.coloured(BOLD, &format!("   s  {site} | {centre}"));
        let rule = format!("------{:-<SITE_COLUMNS$}-+-{:-<CENTRE_COLUMNS$}", "", "");
        let mut record = self.lock();
        print(&mut record, &line);
        print(&mut record, &rule);
    }

    /// Something that can be seen on site.
    pub(super) fn site(&self, text: &str) {
        let mut record = self.lock();
        for (number, part) in wrap(text, SITE_COLUMNS).into_iter().enumerate() {
            let time = self.time(number);
            print(&mut record, &format!("{time}{part:<SITE_COLUMNS$} |"));
        }
        record.site.push(text.to_owned());
        drop(record);
        self.changed.send_replace(());
    }

    /// Something that the centre sees.
    pub(super) fn centre(&self, text: &str, is_alarm: bool) {
        let mut record = self.lock();
        for (number, part) in wrap(text, CENTRE_COLUMNS).into_iter().enumerate() {
            let time = self.time(number);
            let part = if is_alarm { self.coloured(RED, &part) } else { part };
            print(&mut record, &format!("{time}{:<SITE_COLUMNS$} | {part}", ""));
        }
    }

    /// Changes the record and wakes who waits on it.
    pub(super) fn note(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.lock());
        self.changed.send_replace(());
    }

    /// Notes the gateway's state; says whether it is news.
    pub(super) fn note_state(&self, state: &str) -> bool {
        let mut record = self.lock();
        let is_news = record.state != state;
        record.state = state.to_owned();
        is_news
    }

    /// Looks at the record.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.lock())
    }

    /// What `look` gives as soon as it gives something.
    pub(super) async fn wait<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&Record) -> Option<T>,
    ) -> Result<T, DemoError> {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = self.look(&mut look) {
                    return found;
                }
                if changed.changed().await.is_err() {
                    // The sender is a field of `self`: this cannot be.
                    std::future::pending::<()>().await;
                }
            }
        };
        timeout(PATIENCE, found).await.map_err(|_| DemoError::Vain(what.to_owned()))
    }

    fn time(&self, number: usize) -> String {
        if number > 0 {
            return " ".repeat(6);
        }
        format!("{:>5.1} ", self.start.get_or_init(Instant::now).elapsed().as_secs_f64())
    }

    fn coloured(&self, colour: &str, text: &str) -> String {
        if self.has_colours { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        // Nothing panics while it holds this lock.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// If nobody reads, the story still ends, and its exit code says how.
fn print(record: &mut Record, line: &str) {
    if !record.is_unheard {
        let mut out = io::stdout().lock();
        let written = writeln!(out, "{}", line.trim_end()).and_then(|()| out.flush());
        record.is_unheard = written.is_err();
    }
}

/// Cuts a text into lines of at most `columns`, at spaces where there are any;
/// all but the first are indented.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let text = text.replace(|c: char| c.is_control(), "?");
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let used = line.chars().count();
            let is_bare = line.trim().is_empty();
            let space = usize::from(!is_bare);
            if used + space + word.len() <= columns {
                line.push_str(&" ".repeat(space));
                line.extend(word);
                break;
            }
            if is_bare {
                line.extend(word.drain(..columns - used));
            }
            lines.push(std::mem::replace(&mut line, "  ".to_owned()));
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_at_spaces_and_long_words_anywhere() {
        assert_eq!(wrap("short", 10), ["short"]);
        assert_eq!(wrap("one two three four", 10), ["one two", "  three", "  four"]);
        assert_eq!(wrap("0123456789abcdefghij", 10), ["0123456789", "  abcdefgh", "  ij"]);
        assert_eq!(wrap("\x1b[31m", 10), ["?[31m"]);
        assert_eq!(wrap("", 10), [""]);
    }
}
