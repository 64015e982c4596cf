//! `sim`: plays a scenario.

use super::{Exit, Refusal, say};
use crate::sim::{self, Progress, Scenario, StepReport};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The scenario: wires or a site, pendants, steps (format: docs/sim.md)
    scenario: PathBuf,
    /// Write a JUnit XML report here
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(super) async fn sim(arguments: Arguments) -> Result<Exit, Refusal> {
    let scenario = Scenario::read(&arguments.scenario)?;
    let count = scenario.last_step();
    let mut unheard = Ok(());
    let report = sim::run(scenario, |progress| {
        let line = match progress {
            Progress::Ready { wire, at: Some(at) } => format!("wire {wire} is at {at}"),
            Progress::Ready { wire, at: None } => format!("wire {wire} is in use"),
            Progress::Begun => "the gateway is there: it begins".to_owned(),
            Progress::Ended(report) => step_line(report, count),
            // Thousands; the report has their sums.
            Progress::Said(_) => return,
        };
        if unheard.is_ok() {
            unheard = say(&line);
        }
    })
    .await?;
    if let Some(path) = &arguments.junit {
        std::fs::write(path, report.to_junit())
            .map_err(|error| Refusal(format!("{}: {error}", path.display())))?;
    }
    unheard?;
    let failures = report.failures();
    let seconds = report.took.as_secs_f64();
    if let Some(air) = &report.air {
        say(&air.to_string())?;
        if let Some(failure) = air.failure() {
            say(&format!("FAILED: {failure}"))?;
        }
    }
    for roof in &report.roofs {
        say(&roof.to_string())?;
        if let Some(failure) = roof.failure() {
            say(&format!("FAILED: {failure}"))?;
        }
    }
    let count = report.steps.len();
    say(&format!("{}: {count} steps, {failures} failed, {seconds:.1} s", report.name))?;
    Ok(if failures == 0 { Exit::AsExpected } else { Exit::Unexpected })
}

fn step_line(report: &StepReport, count: usize) -> String {
    let StepReport { number, pendant, label, seen, failure, .. } = report;
    let verdict = match failure {
        None => "ok".to_owned(),
        Some(failure) if failure == seen => "FAILED".to_owned(),
        Some(failure) => format!("FAILED: {failure}"),
    };
    format!("[{number:>3}/{count}] {pendant:<12} {label:<16} {seen}: {verdict}")
}
