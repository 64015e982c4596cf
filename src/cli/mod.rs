//! The command line: one file a subcommand.

mod bind;
mod bought;
mod check;
mod config;
mod control_client;
mod enroll;
mod enroll_bought;
mod file_fault;
mod log;
mod machine;
mod page;
mod pendants;
mod pin_entry;
mod pin_rules;
mod progress;
mod provisioning;
mod queue;
mod revoke;
mod run;
mod secret_entry;
mod setup;
mod status;
mod support;
mod survey;
mod test_alarm;
mod tr005;

use crate::config::{Config, ConfigErrors, DEFAULT_PATH};
use crate::engine::name::Name;
use clap::{CommandFactory, Parser, Subcommand};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXIT_CODES: &str = "\
Exit codes:
  0  done; `check` found nothing wrong (advice does not count), `queue` nothing lost,
     `test` had the centre's receipt
  1  `check` found something wrong, a test alarm (`test`, `setup`) did not reach the
     centre, `status --check` found that something needs somebody now, or the command
     could not be carried out
  2  the command line, the configuration or an imported file is refused; nothing was done
  3  `queue` was carried out, and found that a part of the journal is lost";

/// A gateway for lone workers' pendants.
#[derive(Parser)]
#[command(name = "pendant-gateway", version, about, after_help = EXIT_CODES)]
struct Arguments {
    /// The configuration
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway until it is told to stop
    Run,
    /// Set this gateway up: configuration, key, certificate, first test alarm
    Setup(Box<setup::Arguments>),
    /// Look at the configuration and all that it names; say what to do
    Check(check::Arguments),
    /// Give a pendant its key and its wearer's PINs
    Enroll(enroll::Arguments),
    /// Take a pendant's enrolment away: nothing it says counts any more
    Revoke(revoke::Arguments),
    /// List the enrolled pendants, hand one over to another wearer, import or export many
    Pendants(pendants::Arguments),
    /// Look at the journal of what waits for the centre; never changes it
    Queue(queue::Arguments),
    /// Send a test alarm to the centre and wait for its receipt
    Test(test_alarm::Arguments),
    /// Ask the running gateway how it is
    Status(status::Arguments),
    /// Walk test: how each pendant is heard, live and place by place, with a report
    Survey(survey::Arguments),
    /// Write a report for whoever helps from afar: no secrets, nothing of any event
    Support(support::Arguments),
    /// Log more, or less, for a while; the gateway runs on
    Log(log::Arguments),
    /// Say where the local page is, or give a code for it
    Page(page::Arguments),
    /// Print the effective configuration, or the documented default
    Config(config::Arguments),
}

/// For commands that a program may read.
#[derive(clap::Args)]
struct Json {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done = 0,
    Failed = 1,
    Refused = 2,
    FoundLoss = 3,
}

/// Why a command could not be carried out.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    fn failed(text: impl ToString) -> Self {
        Self { exit: Exit::Failed, text: text.to_string() }
    }

    /// A file that the command needs cannot be had.
    fn of_file(path: &Path, error: &io::Error) -> Self {
        Self::failed(file_fault::file_fault(path, error))
    }

    /// The command line, or what was given to it, is wrong.
    fn refused(text: impl ToString) -> Self {
        Self { exit: Exit::Refused, text: text.to_string() }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::refused(errors)
    }
}

/// The command line, for whoever writes its man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(arguments) {
        Ok(code) => code,
        Err(failure) => {
            tell(&failure.text);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<ExitCode, Failure> {
    let path = arguments.config.as_path();
    let text_only = || Config::read_text(path);
    let exit = match arguments.command {
        Command::Run => {
            // What it says is in the journal of the machine.
            let config = Config::read(path).map_err(|errors| Failure::refused(errors.for_log()))?;
            return Ok(run::run(config));
        }
        Command::Setup(arguments) => setup::setup(path, &arguments)?,
        Command::Check(arguments) => check::check(path, &arguments)?,
        Command::Enroll(arguments) => enroll::enroll(&text_only()?, &arguments)?,
        Command::Revoke(arguments) => revoke::revoke(&text_only()?, &arguments)?,
        Command::Pendants(arguments) => pendants::pendants(&text_only()?, &arguments)?,
        Command::Queue(arguments) => queue::queue(&text_only()?, &arguments)?,
        Command::Test(arguments) => test_alarm::test(&text_only()?, &arguments)?,
        Command::Status(arguments) => status::status(&text_only()?, &arguments)?,
        Command::Support(arguments) => support::support(path, &arguments)?,
        Command::Log(arguments) => log::log(&text_only()?, &arguments)?,
        Command::Survey(arguments) => {
            survey::survey(|| text_only().map_err(Failure::from), &arguments)?
        }
        Command::Page(arguments) => page::page(&text_only()?, &arguments)?,
        Command::Config(arguments) => config::config(path, &arguments)?,
    };
    Ok(ExitCode::from(exit as u8))
}

/// Writes to standard output. `println!` would panic when nobody reads it.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed(format!("standard output: {error}")))
}

fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value}\n"))
}

/// Writes a line to standard error; if nobody reads that either, so be it.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn parse_name(text: &str) -> Result<Name, crate::engine::name::NameError> {
    Name::new(text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        super::command().debug_assert();
    }
}
