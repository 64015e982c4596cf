//! How secrets come to a command: somebody types them unseen, or a program passes them
//! through a file descriptor. Never arguments, which every user of the machine can read.

use super::{Failure, tell};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, Read};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroize::Zeroizing;

/// At most so many bytes of an open file descriptor; `what` they are, for messages.
pub(super) fn read_descriptor(
    descriptor: u32,
    what: &str,
    bytes_max: u64,
) -> Result<Zeroizing<String>, Failure> {
    // With room for all of it, so that no copy of a part is left behind.
    let mut text = Zeroizing::new(String::with_capacity(bytes_max as usize + 1));
    File::open(format!("/dev/fd/{descriptor}"))
        .and_then(|file| file.take(bytes_max).read_to_string(&mut text))
        .map_err(|error| {
            Failure::refused(format!(
                "{what} from file descriptor {descriptor}: {error}; it must be open for this \
                 command, as 0, standard input, is"
            ))
        })?;
    Ok(text)
}

/// Asks at the terminal.
pub(super) fn ask(label: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(format!("{label}: "))
        .map(Zeroizing::new)
        .map_err(|error| Failure::failed(format!("nothing was changed: {error}")))
}

/// The terminal shows nothing that is typed while this lives.
///
/// rpassword alone shows what is typed between two of its questions, and leaves
/// the terminal silent when it is interrupted, because the signal ends the
/// process before anything is put back. Here the signal is caught, so that it
/// becomes an error and everything is put back on the way out.
pub(super) struct QuietTerminal {
    terminal: File,
    before: Termios,
    _interrupts: Signal,
    _runtime: Runtime,
}

impl QuietTerminal {
    /// `what` is typed, unless a program passes it by `option`.
    pub(super) fn open(what: &str, option: &str) -> Result<Self, Failure> {
        Self::new().map_err(|error| {
            Failure::failed(format!(
                "no terminal to type {what} at ({error}); a program passes them with {option} N"
            ))
        })
    }

    fn new() -> io::Result<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let interrupts = signal(SignalKind::interrupt())?;
        drop(entered);
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        // The modes that rpassword sets, so that nothing changes between questions.
        quiet.local_modes -=
            LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(&terminal, OptionalActions::Now, &quiet)?;
        Ok(Self { terminal, before, _interrupts: interrupts, _runtime: runtime })
    }
}

impl Drop for QuietTerminal {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to put back.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        tell("");
    }
}
