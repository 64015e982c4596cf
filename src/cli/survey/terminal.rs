//! The whole terminal for one command, given back on every way out.

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{self, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use tokio::signal::unix::{SignalKind, signal};

/// The other screen, and back with what stood on the first (xterm, and all after it).
const ENTER: &str = "\x1b[?1049h\x1b[2J";
const LEAVE: &str = "\x1b[?1049l";

/// Where the size cannot be told.
const SIZE: Size = Size { columns: 80, rows: 24 };

/// How the terminal was, while it is ours. Also a panic's hook must know it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// What comes from outside.
#[derive(Debug, PartialEq)]
pub(super) enum Event {
    Typed(u8),
    /// The terminal is gone, or a signal asks for the end.
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// Raw, with its other screen.
pub(super) struct Terminal {
    pub(super) events: Receiver<Event>,
}

impl Terminal {
    pub(super) fn open() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let (sender, events) = channel();
        // Before anything changes, so that no signal finds it changed.
        catch_signals(sender.clone())?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(before);
        let this = Self { events };
        restore_on_panic();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        write(ENTER)?;
        thread::Builder::new().name("keys".into()).spawn(move || read_keys(&sender))?;
        Ok(this)
    }

    pub(super) fn size(&self) -> Size {
        match tcgetwinsize(io::stdout()) {
            // A serial console says 0.
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Size { columns: size.ws_col.into(), rows: size.ws_row.into() }
            }
            _ => SIZE,
        }
    }

    /// Puts these lines there in place of what stood there; the cursor stays behind the last.
    pub(super) fn show(&self, lines: &[String]) -> io::Result<()> {
        let mut text = "\x1b[?25l\x1b[H".to_owned();
        for (index, line) in lines.iter().enumerate() {
            text += if index > 0 { "\r\n" } else { "" };
            text += line;
            text += "\x1b[K";
        }
        write(&(text + "\x1b[J\x1b[?25h"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Once; the second time there is nothing to put back.
fn restore() {
    let mut before = BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(before) = before.take() {
        // If the terminal is gone there is nothing to put back.
        let _ = write(LEAVE);
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &before);
    }
}

/// A panic is told before anything is dropped: on a screen that would vanish with it.
fn restore_on_panic() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        told(panic);
    }));
}

fn read_keys(events: &Sender<Event>) {
    let mut buffer = [0; 256];
    loop {
        match io::stdin().lock().read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => {
                // Nobody listens: it has ended already.
                let _ = events.send(Event::Stop);
                return;
            }
            Ok(length) => {
                let mut typed = buffer[..length].iter().map(|byte| Event::Typed(*byte));
                if typed.try_for_each(|event| events.send(event)).is_err() {
                    return;
                }
            }
        }
    }
}

/// Ctrl-C is a key here; these come from elsewhere, the last with a line that is cut.
fn catch_signals(events: Sender<Event>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(entered);
    let wait = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        // Nobody listens: it has ended already.
        let _ = events.send(Event::Stop);
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const PANIC: &str = "TERMINAL_PANICS";

    /// Runs itself at a terminal, where it leaves by a panic.
    #[test]
    fn a_panic_is_seen_and_the_terminal_is_given_back() {
        if std::env::var_os(PANIC).is_some() {
            let terminal = Terminal::open().expect("a terminal");
            terminal.show(&["shown".to_owned()]).expect("written");
            panic!("on purpose");
        }
        let program = std::env::current_exe().expect("this program");
        let name = "cli::survey::terminal::tests::a_panic_is_seen_and_the_terminal_is_given_back";
        let line = format!("{PANIC}=1 {program:?} --exact {name} --nocapture; stty -a");
        let output = Command::new("script").args(["-q", "-c", &line, "/dev/null"]).output();
        let said = String::from_utf8_lossy(&output.expect("`script` runs").stdout).into_owned();
        let (entered, rest) = said.split_once(ENTER).expect("the other screen");
        let (shown, told) = rest.split_once(LEAVE).expect("and back");
        assert!(!entered.contains("shown") && shown.contains("shown"), "{said:?}");
        assert!(told.contains("on purpose"), "told where it can be read: {said:?}");
        assert!(told.contains(" icanon") && told.contains(" echo "), "{said:?}");
    }
}
