//! systemd's journal, in its own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a
//! datagram a line. It never waits: a press must not, because nobody reads the log. What
//! the journal does not take is counted, and told once it takes lines again.
//!
//! `tracing-journald` 0.3 writes to a socket that waits, and leaves no way to change that.

use std::fmt::{Debug, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

const SOCKET: &str = "/run/systemd/journal/socket";
/// Under which name our lines stand, whatever the program's file is called.
const IDENTIFIER: &str = "pendant-gateway";
/// A longer text is cut: a datagram has its limits.
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// The way there.
#[derive(Debug)]
pub(super) struct Journald {
    socket: UnixDatagram,
    lost: AtomicU64,
}

impl Journald {
    /// Fails where nobody listens.
    pub(super) fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // An empty datagram is no line.
        socket.send_to(&[], SOCKET)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, lost: AtomicU64::new(0) })
    }

    fn send(&self, line: &Line) {
        // Taken by one of the threads that write; put back if it could not be told.
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 && self.socket.send_to(&lost_lines(lost).0, SOCKET).is_err() {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
        if self.socket.send_to(&line.0, SOCKET).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<S: Subscriber> Layer<S> for Journald {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::of(event.metadata());
        event.record(&mut line);
        self.send(&line);
    }
}

/// Fields, each its name, the length of its value and the value.
struct Line(Vec<u8>);

impl Line {
    fn of(metadata: &Metadata<'_>) -> Self {
        let mut line = Self(Vec::with_capacity(512));
        line.begin(priority(*metadata.level()), metadata.target());
        if let (Some(file), Some(number)) = (metadata.file(), metadata.line()) {
            line.put("CODE_FILE", file);
            line.put("CODE_LINE", &number.to_string());
        }
        line
    }

    fn begin(&mut self, priority: &str, target: &str) {
        self.put("PRIORITY", priority);
        self.put("SYSLOG_IDENTIFIER", IDENTIFIER);
        self.put("TARGET", target);
    }

    fn put(&mut self, name: &str, value: &str) {
        let value = &value.as_bytes()[..value.len().min(VALUE_BYTES_MAX)];
        self.0.extend(name.bytes().map(|byte| byte.to_ascii_uppercase()));
        self.0.push(b'\n');
        self.0.extend((value.len() as u64).to_le_bytes());
        self.0.extend(value);
        self.0.push(b'\n');
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").expect("a String takes everything");
        self.put(field.name(), &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }
}

/// As people filter by it: `journalctl -p warning`.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

fn lost_lines(count: u64) -> Line {
    let mut line = Line(Vec::new());
    line.begin(priority(Level::WARN), module_path!());
    line.put("MESSAGE", "lines of this log are lost: systemd's journal did not take them");
    line.put("COUNT", &count.to_string());
    line
}
