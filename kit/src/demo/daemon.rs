//! The real daemon: built if need be, configured, run as a process.

use super::DemoError;
use super::stage::Stage;
use crate::pki::{Leaf, Pki};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Longest farewell of the daemon.
const FAREWELL_MAX: Duration = Duration::from_secs(10);

/// Where this program's sources were when it was built.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The site and the gateway of the demonstration.
pub(super) const SITE: &str = "plant";
pub(super) const GATEWAY: &str = "gate-1";

/// Finds the daemon beside this program. Where its sources are at hand, cargo
/// brings it up to date first, with the virtual radio that packages lack.
pub(super) async fn find(stage: &Stage) -> Result<PathBuf, DemoError> {
    let own = std::env::current_exe().map_err(|error| DemoError::Daemon(error.to_string()))?;
    let directory = own.parent().unwrap_or(Path::new("."));
    let daemon = directory.join("pendant-gateway");
    let manifest = Path::new(WORKSPACE).join("Cargo.toml");
    let profile = directory.file_name().and_then(|name| name.to_str());
    let (Some(target), true, Some(profile @ ("debug" | "release"))) =
        (directory.parent(), manifest.is_file(), profile)
    else {
        let absent = || DemoError::Daemon(format!("there is no {}", daemon.display()));
        return daemon.is_file().then_some(daemon.clone()).ok_or_else(absent);
    };
    stage.text("Bringing the daemon up to date with cargo (feature `sim`: a virtual radio).");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // Together with this package: so they share dependencies that are built already.
    build.args(["build", "-p", "pendant-gateway", "-p", "pendant-kit"]);
    build.args(["--features", "pendant-gateway/sim", "--manifest-path"]);
    build.arg(manifest).arg("--target-dir").arg(target);
    if profile == "release" {
        build.arg("--release");
    }
    // `cargo run` describes this package in the environment; build scripts that
    // look there would take it for a change, and compile all that uses them anew.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            build.env_remove(name.as_ref());
        }
    }
    let built = build.stdin(Stdio::null()).status().await;
    match built {
        Ok(status) if status.success() => Ok(daemon),
        Ok(_) => Err(DemoError::Daemon("cargo could not build it".into())),
        Err(error) => Err(DemoError::Daemon(format!("cargo does not start: {error}"))),
    }
}

/// The files of one gateway.
#[derive(Debug)]
pub(super) struct Installation {
    daemon: PathBuf,
    directory: PathBuf,
    config: PathBuf,
}

impl Installation {
    /// Writes certificates and configuration into `directory`.
    pub(super) fn write(
        daemon: PathBuf,
        directory: &Path,
        pki: &Pki,
        broker_port: u16,
    ) -> Result<Self, DemoError> {
        let identity = pki.issue(&Leaf::client(GATEWAY))?;
        identity.write(directory, GATEWAY)?;
        pki.write_ca(directory)?;
        let installation =
            Self { daemon, directory: directory.into(), config: directory.join("gateway.toml") };
        std::fs::write(&installation.config, installation.text(broker_port))?;
        Ok(installation)
    }

    /// Where the gateway looks for its serial port.
    pub(super) fn port(&self) -> PathBuf {
        self.directory.join("serial")
    }

    /// Where the gateway looks for the virtual air.
    pub(super) fn air(&self) -> PathBuf {
        self.directory.join("air")
    }

    fn text(&self, broker_port: u16) -> String {
        let directory = self.directory.display();
        let radio = crate::sim::RADIO;
        format!(
            r#"site = "{SITE}"
gateway = "{GATEWAY}"
slot = 3

[store]
directory = "{directory}/store"
key_file = "{directory}/store.key"

[log]
level = "debug"
target = "stderr"

[control]
socket = "{directory}/control.sock"

[[link]]
name = "serial"
kind = "serial"
path = "{directory}/serial"

[[link]]
name = "radio"
kind = "virtual-radio"
socket = "{directory}/air"
frequency_hz = {frequency_hz}
spreading_factor = {spreading_factor}
bandwidth_hz = {bandwidth_hz}

[[broker]]
host = "localhost"
port = {broker_port}
ca_file = "{directory}/ca.crt"
certificate_file = "{directory}/{GATEWAY}.crt"
key_file = "{directory}/{GATEWAY}.key"
"#,
            frequency_hz = radio.frequency_hz,
            spreading_factor = radio.spreading_factor,
            bandwidth_hz = radio.bandwidth_hz,
        )
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.daemon);
        command.arg("--config").arg(&self.config);
        // The demonstration's log is for its own columns, whoever runs it.
        command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
        command.kill_on_drop(true);
        command
    }

    /// Runs a subcommand to its end; gives what it printed.
    async fn ask(&self, arguments: &[&str], input: &str) -> Result<String, DemoError> {
        let mut child = self
            .command()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(DemoError::Daemon(format!("`{}`: {said}", arguments.join(" "))));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Enrols a pendant by the real subcommand; gives what it prints for the
    /// pendant. The PINs go through a file descriptor.
    pub(super) async fn enroll(
        &self,
        pendant: &str,
        wearer: &str,
        pins: &str,
    ) -> Result<String, DemoError> {
        let arguments = ["enroll", "--pendant", pendant, "--wearer", wearer];
        self.ask(&[&arguments[..], &["--pins-fd", "0", "--json"]].concat(), pins).await
    }

    /// How the running gateway says it is.
    pub(super) async fn status(&self) -> Result<serde_json::Value, DemoError> {
        let text = self.ask(&["status", "--json"], "").await?;
        serde_json::from_str(&text).map_err(|error| DemoError::Daemon(format!("`status`: {error}")))
    }

    /// Starts the gateway; its log goes to the site's column.
    pub(super) fn run(&self, stage: &Arc<Stage>) -> Result<Running, DemoError> {
        let mut child = self
            .command()
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().expect("it is piped");
        let stage = Arc::clone(stage);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                stage.site(&format!("log: {}", without_time(&line)));
            }
        });
        Ok(Running(child))
    }
}

/// A log line without its time, which stands in our own column.
fn without_time(line: &str) -> &str {
    match line.split_once(' ') {
        Some((time, rest)) if time.ends_with('Z') => rest.trim_start(),
        _ => line.trim_start(),
    }
}

/// The running gateway; ends with this.
#[derive(Debug)]
pub(super) struct Running(Child);

impl Running {
    /// Asks it to stop, as systemd does; whether it ended well.
    pub(super) async fn stop(mut self) -> Result<(), DemoError> {
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(id, rustix::process::Signal::TERM)
                .map_err(|error| DemoError::Io(error.into()))?;
        }
        match timeout(FAREWELL_MAX, self.0.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(DemoError::Daemon(format!("it ended by {status}"))),
            Ok(Err(error)) => Err(DemoError::Io(error)),
            Err(_) => Err(DemoError::Daemon("it does not stop".into())),
        }
    }
}
