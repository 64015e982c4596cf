//! A bar for what takes long, on a terminal only.

use std::io::{IsTerminal, Write};
use std::time::Duration;
use tokio::time::Instant;

/// What takes less long shows none, and it moves no oftener than this.
const EVERY: Duration = Duration::from_millis(200);
const CELLS: usize = 30;

/// A bar on standard error; nothing if that is not a terminal.
pub(super) struct Progress {
    what: &'static str,
    shown: Option<Instant>,
    drawn: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        let shown = std::io::stderr().is_terminal().then(Instant::now);
        Self { what, shown, drawn: false }
    }

    /// So many of so many are done.
    pub(super) fn at(&mut self, done: usize, all: usize) {
        let now = Instant::now();
        let Some(shown) = self.shown.as_mut().filter(|shown| now - **shown >= EVERY) else {
            return;
        };
        *shown = now;
        self.drawn = true;
        let full = CELLS * done / all.max(1);
        let (full, empty) = ("#".repeat(full), ".".repeat(CELLS - full));
        // If nobody reads it, so be it.
        let _ = write!(std::io::stderr(), "\r{} [{full}{empty}] {done}/{all} files", self.what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
