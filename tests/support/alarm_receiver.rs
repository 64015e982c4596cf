//! pysiaalarm as an alarm receiver: an implementation of SIA DC-09 that others wrote.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Far beyond what it takes to start, or to say a word.
const PATIENCE: Duration = Duration::from_secs(60);

/// The receiver's program. Dropped, it is killed.
pub struct Receiver {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub port: u16,
}

fn in_project(path: &str) -> PathBuf {
    // From the kit's folder too.
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut paths = folders.map(|folder| folder.join(path));
    paths.find(|path| path.exists()).unwrap_or_else(|| {
        panic!("{path} is missing: run tests/subscribers/install");
    })
}

impl Receiver {
    pub async fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(in_project("target/subscribers/python/bin/python"))
            .arg(in_project("tests/subscribers/python/receiver.py"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the receiver can be started: install python3");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut receiver = Self { _child: child, lines, port: 0 };
        let port = receiver.says().await["listening"].as_u64().expect("a port");
        receiver.port = port.try_into().expect("a port");
        receiver
    }

    async fn says(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time");
        let line = line.expect("text").expect("it goes on; its stderr says why not");
        serde_json::from_str(&line).expect("JSON")
    }

    /// The next event that it acknowledged.
    pub async fn takes(&mut self) -> Value {
        loop {
            let said = self.says().await;
            if said["type"] != "NULL" {
                return said;
            }
        }
    }
}
