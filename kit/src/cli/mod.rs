//! The command line: one file a subcommand.

mod broker;
mod dc09;
mod demo;
mod export;
mod fleet;
mod sim;
mod watch;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and all was as expected
  1  something was not as expected: a step of a scenario, a missing event, an event
     that an alarm receiver does not have or refused
  2  the command line, a file or the machine does not allow it; the message says why";

/// For benches, labs and monitoring centres: the other sides of a pendant gateway.
#[derive(Parser)]
#[command(name = "pendant-kit", version, about, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bridge events to an alarm receiver that speaks SIA DC-09
    Dc09(dc09::Arguments),
    /// Show the whole way on this machine: pendants, the real daemon, broker, centre
    Demo,
    /// Play pendants from a scenario file and check what the gateway answers
    Sim(sim::Arguments),
    /// Run hundreds of gateways with their people against a real broker, and judge them
    Fleet(fleet::Arguments),
    /// Make the centre's key for exports, or open an export
    Export(export::Arguments),
    /// Watch as a monitoring centre does: show events, send receipts, find gaps
    Watch(watch::Arguments),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    AsExpected = 0,
    Unexpected = 1,
    Refused = 2,
}

/// Why a command could not be carried out.
#[derive(Debug)]
struct Refusal(String);

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    main_with(std::env::args_os())
}

/// Runs a command line given by others; the first argument is the program's name.
#[must_use]
pub fn main_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&Refusal(format!("no runtime: {error}"))),
    };
    let ended = runtime.block_on(async {
        match arguments.command {
            Command::Dc09(arguments) => dc09::dc09(arguments).await,
            Command::Demo => demo::demo().await,
            Command::Sim(arguments) => sim::sim(arguments).await,
            Command::Fleet(arguments) => fleet::fleet(arguments).await,
            Command::Export(arguments) => export::export(&arguments),
            Command::Watch(arguments) => watch::watch(arguments).await,
        }
    });
    match ended {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(refusal) => refuse(&refusal),
    }
}

fn refuse(refusal: &Refusal) -> ExitCode {
    // If nobody reads standard error either, so be it.
    let _ = writeln!(io::stderr(), "pendant-kit: {}", refusal.0);
    ExitCode::from(Exit::Refused as u8)
}

/// Ends when somebody at the keyboard, or the system, wants this program to stop; says which.
fn told_to_stop() -> io::Result<impl Future<Output = &'static str>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => "interrupted",
            _ = terminated.recv() => "told to stop",
        }
    })
}

/// Writes a line to standard output. `println!` would panic when nobody reads it.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}
