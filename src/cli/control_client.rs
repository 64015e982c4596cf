//! Asks the running gateway through its control socket: one JSON object a line
//! there, such as `{"ask":"status"}`, and one back. An answer with a member `error`
//! says why the gateway did not do it.

use super::{Exit, tell};
use crate::shell::log::LogOrder;
use serde_json::{Value, json};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A gateway that turns its loop answers within milliseconds; a reload reads a
/// few hundred small files.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The longest answer is a survey of 4096 rows of some 250 bytes.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[derive(Clone, Copy, Debug)]
pub(super) enum Ask {
    Status,
    Survey,
    Reload,
    Page,
    PageCode,
    Test,
    Log(LogOrder),
}

/// Why there is no answer. Each says what to do.
#[derive(Debug)]
pub(super) enum ControlError {
    /// Nobody listens.
    NotRunning(PathBuf),
    /// This user may not ask.
    Denied(PathBuf),
    /// It listens, but does not answer as it should.
    NoAnswer(PathBuf, String),
    /// It says why not.
    Refused(String),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning(socket) => write!(
                f,
                "no gateway is running (nothing listens on {}); start it with: systemctl start pendant-gateway",
                socket.display()
            ),
            Self::Denied(socket) => {
                write!(
                    f,
                    "this user may not ask the gateway through {}; use sudo",
                    socket.display()
                )
            }
            Self::NoAnswer(socket, fault) => write!(
                f,
                "the gateway listens on {} but gives no answer ({fault}); its log says more: \
                 journalctl -u pendant-gateway",
                socket.display()
            ),
            Self::Refused(reason) => write!(f, "the gateway answers: {reason}"),
        }
    }
}

/// A text of the gateway as a terminal may have it: what it would obey is written out.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

pub(super) fn ask(socket: &Path, ask: Ask) -> Result<Value, ControlError> {
    let stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ControlError::NotRunning(socket.to_owned())
        }
        io::ErrorKind::PermissionDenied => ControlError::Denied(socket.to_owned()),
        _ => ControlError::NoAnswer(socket.to_owned(), error.to_string()),
    })?;
    let no_answer = |fault: String| ControlError::NoAnswer(socket.to_owned(), fault);
    let line = exchange(stream, ask).map_err(|error| no_answer(error.to_string()))?;
    let answer: Value = serde_json::from_slice(&line)
        .map_err(|_| no_answer("what came back is not JSON".to_owned()))?;
    match answer.get("error") {
        Some(Value::String(reason)) => Err(ControlError::Refused(shown(reason))),
        Some(other) => Err(ControlError::Refused(other.to_string())),
        None => Ok(answer),
    }
}

fn exchange(mut stream: UnixStream, ask: Ask) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(WAIT_MAX))?;
    stream.set_write_timeout(Some(WAIT_MAX))?;
    let word = match ask {
        Ask::Status => json!("status"),
        Ask::Survey => json!("survey"),
        Ask::Reload => json!("reload"),
        Ask::Page => json!("page"),
        Ask::PageCode => json!("page_code"),
        Ask::Test => json!("test"),
        Ask::Log(order) => json!({ "log": order }),
    };
    stream.write_all(format!("{}\n", json!({ "ask": word })).as_bytes())?;
    let mut line = Vec::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no whole line came back"));
    }
    Ok(line)
}

/// Lets a running gateway know that enrolments have changed, and says what
/// became of it. That none is running is no failure: it reads them at its start.
pub(super) fn reload(socket: &Path) -> Exit {
    match ask(socket, Ask::Reload) {
        Ok(_) => {
            tell("The running gateway knows it.");
            Exit::Done
        }
        Err(ControlError::NotRunning(_)) => {
            tell("No gateway is running; it will know it when it starts.");
            Exit::Done
        }
        Err(error) => {
            tell(&format!("It is written, but the running gateway does not know it yet: {error}"));
            tell("Restart the gateway: systemctl restart pendant-gateway");
            Exit::Failed
        }
    }
}
