//! The real daemon in a folder of its own, with one pendant on a pseudo terminal.

use crate::Outcome;
use crate::broker::Broker;
use crate::pendant::{DURESS, PANIC, Pendant, SAFE};
use crate::stats::{SOON, now};
use pendant_kit::wire::Wire;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const UNIT: &str = include_str!("../../systemd/pendant-gateway.service");
const DAEMON: &str = env!("CARGO_BIN_EXE_pendant-gateway");

/// The backlog goes as fast as the line takes it.
pub(crate) const UNPACED: u32 = 0;
/// The rate of the shipped configuration.
pub(crate) const AS_SHIPPED: u32 = 200;

pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) pendant: Pendant,
    runtime: Runtime,
    wire: Wire,
    notify: UnixDatagram,
    daemon: Option<Child>,
}

impl Site {
    /// An enrolled pendant and a configuration; the daemon does not run yet. `port`
    /// is where it looks for the broker, `drain_per_s_max` the backlog's rate.
    pub(crate) fn new(broker: &Broker, port: u16, drain_per_s_max: u32) -> Outcome<Self> {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        let gateway = broker.identity("gw1")?;
        let text = format!(
            r#"site = "ward-3"
gateway = "gw1"
slot = 1
[store]
directory = "{folder}/store"
journal_mib_max = 2048
[delivery]
receipts = false
drain_per_s_max = {drain_per_s_max}
[log]
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
host = "localhost"
port = {port}
ca_file = "{authority}"
certificate_file = "{certificate}"
key_file = "{key}"
"#,
            folder = folder.path().display(),
            authority = broker.authority.display(),
            certificate = gateway.certificate.display(),
            key = gateway.key.display(),
        );
        fs::write(folder.path().join("gateway.toml"), text)?;
        let pendant = enroll(&folder)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let port = folder.path().join("port");
        let (wire, _) = runtime.block_on(async { Wire::pty(Some(&port)) })?;
        let notify = UnixDatagram::bind(folder.path().join("notify"))?;
        notify.set_read_timeout(Some(SOON))?;
        Ok(Self { folder, pendant, runtime, wire, notify, daemon: None })
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Starts the daemon and waits until it is ready; when it was begun.
    pub(crate) fn start(&mut self) -> Outcome<Instant> {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"))?;
        let mut command = command(&self.folder);
        command
            .arg("run")
            .env("NOTIFY_SOCKET", self.folder.path().join("notify"))
            .envs(shipped_environment())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let begun = now();
        self.daemon = Some(command.spawn()?);
        let mut word = [0; 64];
        let length = self.notify.recv(&mut word).map_err(|_| self.log())?;
        if !word[..length].starts_with(b"READY=1") {
            return Err(self.log().into());
        }
        Ok(begun)
    }

    /// Stops the daemon as systemd does.
    pub(crate) fn stop(&mut self) -> Outcome {
        let mut daemon = self.daemon.take().ok_or("it runs")?;
        let process = rustix::process::Pid::from_child(&daemon);
        rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        daemon.wait()?;
        while !word_is(&self.notify, b"STOPPING=1")? {}
        Ok(())
    }

    /// Writes a press to the wire; when it was begun.
    pub(crate) fn press(&mut self) -> Outcome<Instant> {
        let frame = self.pendant.say(PANIC);
        let begun = now();
        self.runtime.block_on(self.wire.send(&frame))?;
        Ok(begun)
    }

    /// Waits for the answer to the latest press.
    pub(crate) fn hear(&mut self) -> Outcome {
        let (wire, pendant) = (&mut self.wire, &mut self.pendant);
        self.runtime.block_on(async {
            loop {
                let (bytes, _) = tokio::time::timeout(SOON, wire.receive()).await??;
                let frame = bytes.as_slice();
                if pendant.hear(frame, pendant.counter).is_some() {
                    return Ok(());
                }
            }
        })
    }

    /// Takes what answers there are, so that the terminal never fills.
    pub(crate) fn clear_wire(&mut self) {
        self.clear_wire_until(now() + Duration::from_millis(1));
    }

    /// The same, for so long.
    pub(crate) fn clear_wire_until(&mut self, until: Instant) {
        let wire = &mut self.wire;
        self.runtime.block_on(async {
            let taking = async { while wire.receive().await.is_ok() {} };
            // It ends by the time limit alone.
            let _ = tokio::time::timeout_at(until.into(), taking).await;
        });
    }

    /// Seconds of all cores that the daemon has used: the scheduler's account of its threads.
    pub(crate) fn processor_s(&self) -> Outcome<f64> {
        let process = self.daemon.as_ref().ok_or("it runs")?.id();
        let mut ns = 0.0;
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            ns += text.split_whitespace().next().ok_or("schedstat is empty")?.parse::<f64>()?;
        }
        Ok(ns / 1e9)
    }

    /// A line of the daemon's `/proc/…/status`, MiB.
    pub(crate) fn memory_mib(&self, line: &str) -> Outcome<f64> {
        let process = self.daemon.as_ref().ok_or("it runs")?.id();
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
        let kib = found.and_then(|text| text.split_whitespace().next()).ok_or("no such line")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            // It may have ended by itself.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn word_is(notify: &UnixDatagram, wanted: &[u8]) -> Outcome<bool> {
    let mut word = [0; 64];
    let length = notify.recv(&mut word)?;
    Ok(word[..length].starts_with(wanted))
}

fn command(folder: &TempDir) -> Command {
    let mut command = Command::new(DAEMON);
    command.arg("--config").arg(folder.path().join("gateway.toml"));
    command
}

/// What the unit sets for the daemon.
fn shipped_environment() -> impl Iterator<Item = (&'static str, &'static str)> {
    UNIT.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='))
}

/// Enrols a pendant by the real command.
fn enroll(folder: &TempDir) -> Outcome<Pendant> {
    let words = "enroll --pendant 00012f --wearer nurse-7 --pins-fd 0 --json";
    let mut child = command(folder)
        .args(words.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut pins = child.stdin.take().ok_or("stdin is piped")?;
    writeln!(pins, "{SAFE}\n{DURESS}")?;
    drop(pins);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let identity = pendant_kit::sim::parse_enrolment(std::str::from_utf8(&output.stdout)?)?;
    Ok(Pendant::enrolled((identity.id, identity.key)))
}
