//! `support`: one text for whoever helps from afar: how the gateway is, how it is set
//! up, what its log said. No secret, and nothing that tells what an event was.
//!
//! It is put together from lists of what may stand in it, never by taking something
//! away: of the configuration the settings of [`configuration`], of the log the lines
//! of [`log`]. Which sign of a pendant means what is in none of them.

mod configuration;
mod log;
mod surroundings;

use super::control_client::{Ask, ControlError, ask};
use super::{Exit, Failure, check, print, queue, status, survey, tell};
use crate::config::{Config, ConfigErrors, DEFAULT_SOCKET};
use crate::shell::journal_words;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file to write, which must not be there yet; - for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

const HEAD: &str = "\
Support report of a pendant gateway

Look through it before you send it. It holds the names of site, gateway, receivers and
brokers, the numbers of pendants and how they were heard, paths of files, and the log of
the gateway. It holds no key, PIN or password, no name of a wearer, and nothing of what
a pendant's event was or what its signs mean.
";

/// One part: its title and what stands in it.
type Part = (&'static str, String);

pub(super) fn support(path: &Path, arguments: &Arguments) -> Result<Exit, Failure> {
    let text = report(path);
    if arguments.out == Path::new("-") {
        print(&text)?;
        return Ok(Exit::Done);
    }
    let named = |error| Failure::of_file(&arguments.out, &error);
    let out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&arguments.out);
    let mut out = out.map_err(named)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(named)?;
    tell(&format!(
        "{} is written. Look through it before you send it: its head says what it holds.",
        arguments.out.display()
    ));
    Ok(Exit::Done)
}

fn report(path: &Path) -> String {
    let config = Config::read_text(path);
    let mut parts = vec![("Program", program())];
    parts.extend(running(path, config.as_ref().ok()));
    parts.push((
        "Configuration",
        match &config {
            Ok(config) => configuration::text(config),
            Err(errors) => refused(errors),
        },
    ));
    if let Ok(config) = &config {
        parts.push(("Certificates", configuration::certificates(config)));
        parts.push(("Store", store(config)));
    }
    parts.push(("Files", surroundings::files(path, config.as_ref().ok())));
    parts.push(("Machine", surroundings::machine()));
    parts.push(("Devices", surroundings::devices()));
    parts.push(("Service", surroundings::service()));
    parts.push(("Log", log::log()));
    let mut text = HEAD.to_owned();
    for (title, body) in parts {
        write!(text, "\n== {title} ==\n{}\n", body.trim_end()).expect("a String takes everything");
    }
    text
}

fn program() -> String {
    format!(
        "pendant-gateway {} for {}\nwritten {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        now()
    )
}

#[expect(clippy::disallowed_methods, reason = "for whoever reads it; nothing is decided by it")]
fn now() -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(SystemTime::now())
}

/// What the running gateway says; what `check` finds where none runs. Beside a gateway
/// `check` would only find that it holds the receivers.
fn running(path: &Path, config: Option<&Config>) -> Vec<Part> {
    let socket = config.map_or(Path::new(DEFAULT_SOCKET), |config| &config.control.socket);
    match ask(socket, Ask::Status) {
        Ok(answer) => vec![
            ("Status", status::one_screen(&answer)),
            ("All of the status", status::everything(&answer)),
            ("How pendants are heard", heard(socket)),
        ],
        Err(error) => {
            let found = match (&error, config) {
                (ControlError::NotRunning(_), Some(config)) => check::without_places(path, config),
                _ => String::new(),
            };
            vec![("Status", error.to_string()), ("Findings of check", found)]
        }
    }
}

fn heard(socket: &Path) -> String {
    survey::once(socket).unwrap_or_else(|error| error.to_string())
}

/// Where, and no more: the line itself may say what a pendant's sign means.
fn refused(errors: &ConfigErrors) -> String {
    let places: Vec<String> = errors
        .problems()
        .iter()
        .map(|problem| format!("{}:{}:{}", problem.file, problem.line, problem.column))
        .collect();
    match places.is_empty() {
        true => "it cannot be read; `check` says why".to_owned(),
        false => format!("refused; `check` says why. Places:\n{}", places.join("\n")),
    }
}

fn store(config: &Config) -> String {
    match queue::look(config) {
        Ok(findings) => {
            format!("{} waiting\n{}", findings.waiting, journal_words::words(&findings).join("\n"))
        }
        Err(failure) => failure.text,
    }
}

/// Text of others: a terminal obeys some of what could stand in it.
fn plain(text: &str) -> String {
    let plain = |c: char| if c == '\n' || !c.is_control() { c } else { ' ' };
    text.chars().map(plain).collect()
}
