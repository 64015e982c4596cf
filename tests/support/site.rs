//! A site: the real daemon in a folder of its own, with pendants on a pseudo
//! terminal. What it is connected to is the test's choice.

use pendant_kit::wire::Wire;
use pendant_protocol::{EnrolmentKey, FrameBytes, PendantId};
use rustix::process::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// Longest wait for anything that must happen; never waited for in full.
pub const SOON: Duration = Duration::from_secs(60);

const DAEMON: &str = env!("CARGO_BIN_EXE_pendant-gateway");

/// What the daemon needs to reach a broker.
#[derive(Clone, Debug)]
pub struct BrokerFiles {
    pub host: String,
    pub port: u16,
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl BrokerFiles {
    /// Of a broker at this port of this machine.
    pub fn local(port: u16, authority: PathBuf, certificate: PathBuf, key: PathBuf) -> Self {
        Self { host: "localhost".into(), port, authority, certificate, key }
    }
}

pub struct Site {
    pub folder: TempDir,
    pub broker: BrokerFiles,
    /// Lines put before everything else that stands in a command, such as strace.
    pub wrapper: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// Megabytes of journal at most.
    pub journal_mib_max: u32,
    daemon: Option<Child>,
}

impl Site {
    /// A configured site whose daemon does not run yet.
    pub fn new(broker: BrokerFiles) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = folder.path().join("gateway.key");
        fs::copy(&broker.key, &key).expect("the key can be copied");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its rights set");
        let broker = BrokerFiles { key, ..broker };
        let site = Self {
            folder,
            broker,
            wrapper: Vec::new(),
            environment: Vec::new(),
            journal_mib_max: 64,
            daemon: None,
        };
        site.configure("");
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration; `more` goes to the end.
    pub fn configure(&self, more: &str) {
        let text = format!(
            r#"site = "ward-3"
gateway = "gw1"
slot = 1
[store]
directory = "{folder}/store"
key_file = "{folder}/store/store.key"
journal_mib_max = {journal_mib_max}
urgent_mib_reserved = 2
[delivery]
receipt_wait_s = 5
escalate_after_s = 5
release_interval_s = 5
[log]
level = "debug"
target = "stderr"
[control]
socket = "{folder}/control.sock"
[[link]]
name = "pty"
kind = "serial"
path = "{folder}/port"
baud = 115200
codec = "cobs"
[[broker]]
host = "{host}"
port = {port}
ca_file = "{authority}"
certificate_file = "{certificate}"
key_file = "{key}"
keep_alive_s = 5
session_expiry_s = 600
{more}
"#,
            folder = self.folder.path().display(),
            journal_mib_max = self.journal_mib_max,
            host = self.broker.host,
            port = self.broker.port,
            authority = self.broker.authority.display(),
            certificate = self.broker.certificate.display(),
            key = self.broker.key.display(),
        );
        fs::write(self.path("gateway.toml"), text).expect("the configuration can be written");
    }

    /// The serial port's far end, where pendants are.
    pub fn wire(&self) -> Wire {
        Wire::pty(Some(&self.path("port"))).expect("a pseudo terminal").0
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(DAEMON);
        command.arg("--config").arg(self.path("gateway.toml")).args(arguments);
        command
    }

    /// Enrols a pendant by the real command and gives its key.
    pub fn enroll(&self, pendant: &str, safe: &str, duress: &str) -> (PendantId, EnrolmentKey) {
        let text = self.enroll_as_json(pendant, safe, duress);
        let identity = pendant_kit::sim::parse_enrolment(&text).expect("what enroll prints");
        (identity.id, identity.key)
    }

    /// The same; gives what the command prints.
    pub fn enroll_as_json(&self, pendant: &str, safe: &str, duress: &str) -> String {
        let mut child = self
            .command(&[
                "enroll",
                "--pendant",
                pendant,
                "--wearer",
                "nurse-7",
                "--pins-fd",
                "0",
                "--json",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("enroll can be started");
        let mut pins = child.stdin.take().expect("stdin is piped");
        writeln!(pins, "{safe}\n{duress}").expect("enroll reads");
        drop(pins);
        let output = child.wait_with_output().expect("enroll ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Starts the daemon and waits until it answers on its control socket.
    /// If there is a port, also until it is open.
    pub async fn start(&mut self) {
        assert!(self.try_start().await, "the daemon ended:\n{}", self.log());
        if self.path("port").exists() {
            self.until("the port is up", |s| s["links"][0]["up"] == true).await;
        }
    }

    /// Starts the daemon and waits for nothing.
    pub fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log"));
        let mut words: Vec<String> = self.wrapper.clone();
        words.extend([DAEMON.into(), "--config".into()]);
        words.extend([self.path("gateway.toml").display().to_string(), "run".into()]);
        let child = Command::new(&words[0])
            .args(&words[1..])
            .envs(self.environment.iter().cloned())
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log file"))
            // With what wraps it: a killed strace lets its daemon run on.
            .process_group(0)
            .spawn()
            .expect("the daemon can be started");
        self.daemon = Some(child);
    }

    /// Starts it and waits until it answers; false if it ended instead.
    pub async fn try_start(&mut self) -> bool {
        self.spawn();
        let give_up = Instant::now() + SOON;
        while self.status().is_none() {
            let child = self.daemon.as_mut().expect("just started");
            if child.try_wait().expect("its state is known").is_some() {
                self.daemon = None;
                return false;
            }
            assert!(Instant::now() < give_up, "no answer from the daemon:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// What `status --json` prints, if the daemon answers.
    pub fn status(&self) -> Option<Value> {
        let output = self.command(&["status", "--json"]).output().expect("status runs");
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    /// Waits until the status is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let give_up = Instant::now() + SOON;
        loop {
            let status = self.status();
            if let Some(status) = status.as_ref().filter(|status| wanted(status)) {
                return status.clone();
            }
            assert!(
                Instant::now() < give_up,
                "not within {SOON:?}: {what}\n{status:?}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn process(&self) -> u32 {
        self.daemon.as_ref().expect("it runs").id()
    }

    /// As a power cut does it to a process.
    pub fn kill_9(&mut self) {
        let mut daemon = self.daemon.take().expect("it runs");
        kill_group(&daemon).expect("it can be killed");
        daemon.wait().expect("it ends");
    }

    /// As systemd does it.
    pub fn terminate(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("it runs");
        let pid = i32::try_from(daemon.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process"), rustix::process::Signal::TERM)
            .expect("it can be told to stop");
        daemon.wait().expect("it ends")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

/// Kills the daemon and what it was wrapped in.
fn kill_group(daemon: &Child) -> rustix::io::Result<()> {
    rustix::process::kill_process_group(Pid::from_child(daemon), rustix::process::Signal::KILL)
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            // It may have ended by itself.
            let _ = kill_group(&daemon);
            let _ = daemon.wait();
        }
    }
}

/// The next frame that is heard on the wire.
pub async fn hear(wire: &mut Wire) -> (FrameBytes, Instant) {
    let heard = tokio::time::timeout(SOON, wire.receive()).await;
    let (bytes, at) = heard.expect("a frame in time").expect("the wire holds");
    (bytes.try_into().expect("a frame of 24 bytes"), at)
}

/// A file's permission bits.
pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}
