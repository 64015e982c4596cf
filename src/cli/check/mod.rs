//! `check`: looks at the configuration, at all that it names, and at the machine on
//! which the gateway is to run, and says for each finding what to do.

mod bought;
mod broker_files;
mod brokers;
mod clock;
mod disk;
mod enrolled;
mod findings;
mod links;
mod power;
mod radio;
mod secrets;
pub(super) mod service;
mod store;

use super::control_client::{Ask, ask};
use super::machine::Machine;
use super::{Exit, Failure, print, print_json};
use crate::config::{Config, ConfigErrors};
use findings::{Findings, Grade};
use rustls_pki_types::UnixTime;
pub(super) use secrets::Owner;
use serde_json::json;
use std::path::Path;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Do not connect to the brokers
    #[arg(long)]
    offline: bool,
}

pub(super) fn check(path: &Path, arguments: &Arguments) -> Result<Exit, Failure> {
    let mut findings = Findings::default();
    let refused = match Config::read_text(path) {
        Ok(config) => {
            findings.good("configuration", format!("{} is understood", path.display()));
            examine(path, &config, arguments, &mut findings);
            false
        }
        Err(ConfigErrors::Refused(problems)) => {
            for problem in &problems {
                findings.problem(Grade::Wrong, problem);
            }
            true
        }
        Err(unreadable) if arguments.json => {
            findings.wrong(
                "configuration",
                unreadable.to_string(),
                "name the configuration with --config FILE, or make one: pendant-gateway setup",
            );
            true
        }
        Err(unreadable) => return Err(unreadable.into()),
    };
    if arguments.json {
        print_json(&json!({ "well": findings.is_well(), "findings": findings.0 }))?;
    } else {
        print(&findings.for_people())?;
    }
    Ok(match (refused, findings.is_well()) {
        (true, _) => Exit::Refused,
        (false, true) => Exit::Done,
        (false, false) => Exit::Failed,
    })
}

/// What is found apart from the words of the configuration's own mistakes: those may
/// repeat a line that says what a pendant's sign means.
pub(super) fn without_places(path: &Path, config: &Config) -> String {
    let mut findings = Findings::default();
    examine(path, config, &Arguments { json: false, offline: false }, &mut findings);
    findings.0.retain(|finding| finding.place.is_none());
    findings.for_people()
}

fn examine(path: &Path, config: &Config, arguments: &Arguments, findings: &mut Findings) {
    for problem in &config.warnings {
        findings.problem(Grade::Advice, problem);
    }
    let file_problems = config.file_problems();
    for problem in &file_problems {
        findings.problem(Grade::Wrong, problem);
    }
    store::examine(&config.store, findings);
    let enrolled = enrolled::examine(config, findings);
    enrolled::examine_policies(config, findings);
    links::examine(config, enrolled, findings);
    links::examine_interfaces(config, findings);
    secrets::examine(path, config, findings);
    // Of files that are not there it is told above.
    if file_problems.is_empty() {
        for broker in &config.brokers {
            broker_files::examine(broker, findings);
        }
        if !arguments.offline {
            brokers::examine(&config.brokers, findings);
        }
    }
    examine_machine(config, findings);
}

fn examine_machine(config: &Config, findings: &mut Findings) {
    let machine = Machine::this();
    let within = pendant_hal::clock::synchronised_within();
    clock::examine(&machine, within, UnixTime::now().as_secs(), findings);
    disk::examine(&machine, &config.store.directory, findings);
    power::examine(&machine, findings);
    service::examine(&machine, &ask(&config.control.socket, Ask::Status), findings);
}
