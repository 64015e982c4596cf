//! The desk in a terminal: open incidents, the selected one in full, what came last, and a
//! line to enter orders.
//!
//! Plain control sequences and the kernel's terminal modes: a library for windows and
//! widgets would be compiled by everybody for one page of text.

use super::desk::Desk;
use super::flow::Flow;
use super::incident::{Incident, UnixMs};
use super::run::Show;
use super::told::{Told, incident_line, incident_lines, rfc3339};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Lines that came last and are kept.
const LOG_MAX: usize = 200;
/// Rows for incidents of one gateway, so that one with many hides no other's.
const ROWS_OF_GATEWAY_MAX: usize = 4;
/// The screen is drawn no more often, ms.
const DRAW_MS: u64 = 50;
/// Longest line that can be typed, bytes.
const TYPED_BYTES_MAX: usize = 500;

/// What is typed, and which incident is selected: shared with the thread that reads keys.
#[derive(Debug, Default)]
struct Edit {
    typed: String,
    /// Rows below the first.
    selected: usize,
    /// The same as drawn last: what is between them, keys have moved.
    drawn: usize,
    /// The number of that incident.
    number: Option<u64>,
}

impl Edit {
    /// The selected incident stays selected wherever its row goes, also off the page, as
    /// long as it is open: what is being typed is meant for it, and not for one that has
    /// just come. Keys go from there.
    fn follow(&mut self, desk: &Desk, numbers: &[u64]) {
        if let Some(number) = self.number {
            let row = numbers.iter().position(|it| *it == number);
            let is_open = desk.incidents().open().any(|it| it.number == number);
            if row.is_none() && is_open && self.selected == self.drawn {
                return;
            }
            let row = row.unwrap_or(self.drawn);
            self.selected = (row + self.selected).saturating_sub(self.drawn);
        }
        self.selected = self.selected.min(numbers.len().saturating_sub(1));
        self.drawn = self.selected;
        self.number = numbers.get(self.selected).copied();
    }
}

type Shared = Arc<Mutex<Edit>>;

fn lock(edit: &Shared) -> MutexGuard<'_, Edit> {
    // Nothing panics while it holds this lock.
    edit.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The terminal in raw mode, on its second page. Put back when dropped.
pub struct Terminal {
    before: Termios,
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Standard input is none.
    pub fn open() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        let terminal = Self { before };
        io::stdout().write_all(b"\x1b[?1049h\x1b[?25l")?;
        io::stdout().flush()?;
        Ok(terminal)
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to put back.
        let _ = io::stdout().write_all(b"\x1b[?25h\x1b[?1049l");
        let _ = io::stdout().flush();
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// The desk's page.
pub struct Screen {
    output: Box<dyn Write>,
    size: fn() -> (usize, usize),
    edit: Shared,
    operator: String,
    log: VecDeque<String>,
    flow: Flow,
    is_up: bool,
    rings: bool,
    is_changed: bool,
    drawn_ms: UnixMs,
    /// Incidents in the order of their rows, as drawn last.
    rows: Vec<u64>,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}

/// Columns and rows of the terminal.
fn terminal_size() -> (usize, usize) {
    tcgetwinsize(io::stdout())
        .map_or((80, 24), |it| (usize::from(it.ws_col).max(20), usize::from(it.ws_row).max(10)))
}

impl Screen {
    /// A page on standard output; keys come from standard input and go to `lines` as
    /// orders, and as empty lines when something is to be drawn anew.
    #[must_use]
    pub fn new(operator: &str, lines: mpsc::Sender<String>) -> Self {
        let screen = Self::on(Box::new(io::stdout()), terminal_size, operator);
        let edit = Arc::clone(&screen.edit);
        std::thread::spawn(move || read_keys(&edit, &lines));
        screen
    }

    fn on(output: Box<dyn Write>, size: fn() -> (usize, usize), operator: &str) -> Self {
        Self {
            output,
            size,
            edit: Shared::default(),
            operator: operator.to_owned(),
            log: VecDeque::new(),
            flow: Flow::default(),
            is_up: false,
            rings: false,
            is_changed: true,
            drawn_ms: 0,
            rows: Vec::new(),
        }
    }

    fn log(&mut self, line: String) {
        if self.log.len() >= LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(line);
        self.is_changed = true;
    }

    /// The page's lines, and which incidents stand on it.
    fn page(&mut self, desk: &Desk, at_ms: UnixMs) -> (Vec<String>, Vec<u64>) {
        let (columns, rows) = (self.size)();
        let (below, log_rows) = ((rows / 3).max(3), (rows / 4).max(2));
        let table_rows = rows.saturating_sub(below + log_rows + 4).max(1);
        let (table, numbers) = table(desk, at_ms, table_rows);
        let mut edit = lock(&self.edit);
        edit.follow(desk, &numbers);
        let waits = desk.incidents().open().filter(|it| it.waits()).count();
        let open = desk.incidents().open().count();
        let state = if self.is_up { "connected" } else { "NOT CONNECTED" };
        let mut page = vec![format!(
            "{}  {state}  {open} incidents open, {waits} wait  {}",
            rfc3339(at_ms),
            self.operator
        )];
        let mut row = 0;
        for (line, number) in table {
            let is_selected = number.is_some() && number == edit.number;
            page.push(format!("{}{line}", if is_selected { ">" } else { " " }));
            row += 1;
        }
        page.extend((row..table_rows).map(|_| String::new()));
        let selected = edit.number.and_then(|number| desk.incidents().get(number));
        page.push("-".repeat(columns));
        let detail = selected.map(|it| incident_lines(it, at_ms)).unwrap_or_default();
        page.extend(detail.into_iter().chain(std::iter::repeat(String::new())).take(below));
        page.push("-".repeat(columns));
        let skipped = self.log.len().saturating_sub(log_rows);
        let log = self.log.iter().skip(skipped).cloned();
        page.extend(log.chain(std::iter::repeat(String::new())).take(log_rows));
        page.push(format!("> {}_", edit.typed));
        page.truncate(rows);
        for line in &mut page {
            *line = line.chars().take(columns).collect();
        }
        (page, numbers)
    }
}

/// The rows of open incidents, each with its number, and those numbers.
fn table(desk: &Desk, at_ms: UnixMs, rows: usize) -> (Vec<(String, Option<u64>)>, Vec<u64>) {
    let mut open: Vec<&Incident> = desk.incidents().open().collect();
    open.sort_by_key(|it| (!it.waits(), Reverse(it.gravest().gravity), it.number));
    let mut of_gateway: BTreeMap<&str, usize> = BTreeMap::new();
    let mut table = Vec::new();
    for incident in open {
        let count = of_gateway.entry(&incident.gateways[0]).or_default();
        *count += 1;
        if *count <= ROWS_OF_GATEWAY_MAX {
            table.push((incident_line(incident, at_ms), Some(incident.number)));
        }
    }
    let many = of_gateway.into_iter().filter(|(_, count)| *count > ROWS_OF_GATEWAY_MAX);
    for (gateway, count) in many {
        let more = count - ROWS_OF_GATEWAY_MAX;
        table.push((format!("   and {more} more of {gateway}: incidents lists them"), None));
    }
    if table.len() > rows {
        let more = table.len() - (rows - 1);
        table.truncate(rows - 1);
        table.push((format!("   and {more} more rows: incidents lists them"), None));
    }
    let numbers = table.iter().filter_map(|(_, number)| *number).collect();
    (table, numbers)
}

impl Show for Screen {
    fn tell(&mut self, told: &Told, _: &Desk, _: UnixMs) {
        match told {
            Told::Up { .. } => self.is_up = true,
            Told::Down(_) => self.is_up = false,
            _ => {}
        }
        let lines = told.lines();
        self.is_changed = true;
        if let Some((gateway, is_alarm)) = told.of_gateway() {
            if lines.is_empty() || !self.flow.may(&gateway, is_alarm) {
                return;
            }
            self.rings |= is_alarm;
        }
        lines.into_iter().for_each(|line| self.log(line));
    }

    fn flush(&mut self, desk: &Desk, at_ms: UnixMs) -> io::Result<Vec<u64>> {
        if !self.is_changed || at_ms < self.drawn_ms + DRAW_MS {
            return Ok(Vec::new());
        }
        let (page, rows) = self.page(desk, at_ms);
        let mut text = String::from("\x1b[H");
        for (at, line) in page.iter().enumerate() {
            text.push_str(line);
            text.push_str(if at + 1 < page.len() { "\x1b[K\r\n" } else { "\x1b[K\x1b[J" });
        }
        if std::mem::take(&mut self.rings) {
            text.push('\x07');
        }
        self.output.write_all(text.as_bytes())?;
        self.output.flush()?;
        (self.is_changed, self.drawn_ms, self.rows) = (false, at_ms, rows);
        Ok(self.rows.iter().copied().filter(|number| !desk.is_displayed(*number)).collect())
    }

    fn tick(&mut self, _: &Desk, at_ms: UnixMs) {
        for left_out in self.flow.tick(at_ms) {
            Told::LeftOut(left_out).lines().into_iter().for_each(|line| self.log(line));
        }
        self.is_changed = true;
    }
}

/// Reads keys until there are no more.
fn read_keys(edit: &Shared, lines: &mpsc::Sender<String>) {
    let mut keys = Keys::default();
    let mut bytes = [0; 64];
    while let Ok(read @ 1..) = io::stdin().read(&mut bytes) {
        for byte in &bytes[..read] {
            let line = keys.take(*byte, &mut lock(edit));
            if line.is_some_and(|line| lines.blocking_send(line).is_err()) {
                return;
            }
        }
        // What was typed is drawn.
        if lines.blocking_send(String::new()).is_err() {
            return;
        }
    }
}

/// Bytes of keys into a line.
#[derive(Debug, Default)]
struct Keys {
    escape: Vec<u8>,
    letter: Vec<u8>,
}

impl Keys {
    /// Takes a byte; gives a line that is finished.
    fn take(&mut self, byte: u8, edit: &mut Edit) -> Option<String> {
        if !self.escape.is_empty() || byte == 0x1b {
            self.escape.push(byte);
            match self.escape.as_slice() {
                [0x1b] | [0x1b, b'['] => return None,
                [0x1b, b'[', b'A'] => edit.selected = edit.selected.saturating_sub(1),
                [0x1b, b'[', b'B'] => edit.selected += 1,
                _ => {}
            }
            self.escape.clear();
            return None;
        }
        match byte {
            b'\r' | b'\n' => {
                let typed = std::mem::take(&mut edit.typed);
                return Some(complete(&typed, edit.number));
            }
            0x03 | 0x04 => return Some("quit".to_owned()),
            0x15 => edit.typed.clear(),
            0x7f | 0x08 => drop(edit.typed.pop()),
            0..0x20 => {}
            _ => {
                self.letter.push(byte);
                if let Ok(letter) = std::str::from_utf8(&self.letter) {
                    if edit.typed.len() < TYPED_BYTES_MAX {
                        edit.typed.push_str(letter);
                    }
                    self.letter.clear();
                } else if self.letter.len() >= 4 {
                    self.letter.clear();
                }
            }
        }
        None
    }
}

/// Puts the selected incident's number where a stage has none.
fn complete(line: &str, selected: Option<u64>) -> String {
    let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    let has_number = rest.split(' ').next().is_some_and(|it| it.parse::<u64>().is_ok());
    match selected {
        Some(number)
            if matches!(word, "displayed" | "accepted" | "closed" | "show") && !has_number =>
        {
            format!("{word} {number} {rest}")
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
