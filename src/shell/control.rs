//! The control socket: one JSON object a line, one JSON line back. It shows what
//! anyone on site may know, and changes nothing but what is read of the keyring, written
//! to the log and given out as codes for the page, and a test alarm of the gateway itself.

use super::log::LogOrder;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Conversations at once; the next waits.
const CONVERSATIONS_MAX: usize = 8;
/// Longest line, bytes: a question of a few words.
pub const LINE_BYTES_MAX: u64 = 4096;
/// A conversation that says nothing is ended, and one that does not read its answer.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// What may be asked: a word, or a word with what belongs to it, as in
/// `{"ask":{"log":{"level":"debug","seconds":600}}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// How the gateway fares.
    Status,
    /// How pendants are heard.
    Survey,
    /// Read the keyring again.
    Reload,
    /// Where the local page is.
    Page,
    /// A one-time code for it.
    PageCode,
    /// Send a test alarm of the gateway itself.
    Test,
    /// Log from another level on, for a while.
    Log(LogOrder),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    ask: Question,
}

/// Reads one line.
///
/// # Errors
/// Says what was not understood.
pub fn question(line: &[u8]) -> Result<Question, String> {
    // Serde would take the fields in a list as well.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err("not understood: a question is an object, {\"ask\": ...}".to_owned());
    }
    serde_json::from_slice::<Line>(line)
        .map(|line| line.ask)
        .map_err(|error| format!("not understood: {error}"))
}

/// A question, and where the answer goes.
#[derive(Debug)]
pub struct Asked {
    /// What.
    pub question: Question,
    /// To whom.
    pub answer: oneshot::Sender<Value>,
}

/// The listening socket; removed from the file system when dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        // A socket that is gone already is as good.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Listens. Owner and group may ask.
///
/// # Errors
/// The socket cannot be made; the text names the path.
pub fn listen(path: &Path, asked: mpsc::Sender<Asked>) -> io::Result<Control> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("control socket {}: {error}", path.display()))
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(named)?;
    }
    // The journal's lock has shown that no other gateway runs on this store.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(named)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(named)?;
    let task = tokio::spawn(serve(listener, asked));
    Ok(Control { path: path.to_owned(), task })
}

async fn serve(listener: UnixListener, asked: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(CONVERSATIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let asked = asked.clone();
                tokio::spawn(async move {
                    // A peer that goes away in mid-sentence concerns nobody.
                    drop(converse(stream, asked).await);
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "control socket");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(LINE_BYTES_MAX);
        let read = tokio::time::timeout(SILENCE_MAX, limited.read_until(b'\n', &mut line)).await;
        if !matches!(read, Ok(Ok(1..))) {
            return Ok(());
        }
        let answer = match question(&line) {
            Ok(question) => reply(question, &asked).await,
            Err(error) => json!({ "error": error }),
        };
        let answer = format!("{answer}\n");
        tokio::time::timeout(SILENCE_MAX, writer.write_all(answer.as_bytes())).await??;
    }
}

async fn reply(question: Question, asked: &mpsc::Sender<Asked>) -> Value {
    let (answer, waiting) = oneshot::channel();
    if asked.send(Asked { question, answer }).await.is_err() {
        return json!({ "error": "the gateway is stopping" });
    }
    waiting.await.unwrap_or_else(|_| json!({ "error": "the gateway is stopping" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogLevel;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_the_answers_holds_no_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let (asked, mut questions) = mpsc::channel::<Asked>(1);
        let control = listen(&path, asked).expect("a socket");
        let answering = tokio::spawn(async move {
            while let Some(it) = questions.recv().await {
                // More than the kernel takes for somebody who does not read.
                drop(it.answer.send(json!("x".repeat(4 << 20))));
            }
        });
        let ask = async || {
            let mut stream = UnixStream::connect(&path).await.expect("it listens");
            stream.write_all(b"{\"ask\":\"status\"}\n").await.expect("it is taken");
            stream
        };
        let mut deaf = Vec::new();
        for _ in 0..CONVERSATIONS_MAX {
            deaf.push(ask().await);
        }
        let mut reader = BufReader::new(ask().await);
        let mut line = Vec::new();
        let read = tokio::time::timeout(4 * SILENCE_MAX, reader.read_until(b'\n', &mut line));
        assert!(read.await.is_ok_and(|it| it.is_ok()) && line.len() > 4 << 20, "no answer");
        drop((control, deaf));
        answering.await.expect("it ends with the socket");
    }

    #[test]
    fn a_question_is_a_word_or_a_word_with_what_belongs_to_it() {
        let asked = |line: &str| question(line.as_bytes()).ok();
        assert_eq!(asked(r#"{"ask":"status"}"#), Some(Question::Status));
        let order = LogOrder { level: Some(LogLevel::Debug), seconds: 600 };
        let line = r#"{"ask":{"log":{"level":"debug","seconds":600}}}"#;
        assert_eq!(asked(line), Some(Question::Log(order)));
        let order = LogOrder { level: None, seconds: 1 };
        assert_eq!(asked(r#"{"ask":{"log":{"seconds":1}}}"#), Some(Question::Log(order)));
        for wrong in [
            r#"{"ask":"log"}"#,
            r#"{"ask":"status","level":"debug"}"#,
            r#"{"ask":{"status":{"level":"debug"}}}"#,
            r#"{"ask":{"log":{"level":"loud","seconds":1}}}"#,
            r#"{"ask":{"log":{"seconds":-1}}}"#,
            r#"{"ask":{"log":{"seconds":1,"target":"stderr"}}}"#,
            r#"{"ask":{"log":{"seconds":1},"status":null}}"#,
        ] {
            assert_eq!(asked(wrong), None, "{wrong}");
        }
    }
}
