//! Scenario files: TOML to a checked [`Scenario`]. The format is in `docs/sim.md`.

use super::lorawan::{self, DeviceSettings, DeviceStep, DeviceText};
use super::pendants::{self, PendantSettings, PendantText};
use super::site_text::{self, SiteScenario, SiteText};
use super::steps::{self, Names, Step, StepText};
use super::wires::WireSettings;
use pendant_hal::sim::chance::Chance;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;

/// Longest scenario, enrolment or PIN file that is read, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a scenario cannot be run: what, where, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub struct ScenarioError(String);

impl ScenarioError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScenarioError {}

pub(super) fn wrong<T>(text: impl Into<String>) -> Result<T, ScenarioError> {
    Err(ScenarioError(text.into()))
}

/// What is wrong at a place of the file.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) at: Range<usize>,
    pub(super) text: String,
}

pub(super) fn mistake<T>(at: Range<usize>, text: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake { at, text: text.into() })
}

impl Mistake {
    /// With line and column.
    fn within(&self, file: &str) -> ScenarioError {
        let before = file.get(..self.at.start).unwrap_or(file);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        ScenarioError(format!("line {line}, column {column}: {}", self.text))
    }
}

/// A checked scenario.
#[derive(Debug)]
pub struct Scenario {
    /// Its name in the report.
    pub name: String,
    /// What carries frames.
    pub wires: Vec<WireSettings>,
    /// The pendants.
    pub pendants: Vec<PendantSettings>,
    /// The LoRaWAN pendants.
    pub devices: Vec<DeviceSettings>,
    /// What pendants do, in the order of the file.
    pub steps: Vec<Step>,
    /// What LoRaWAN pendants do, in the order of the file.
    pub device_steps: Vec<DeviceStep>,
    /// The site, if the pendants are on one.
    pub site: Option<SiteScenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioText {
    name: String,
    #[serde(default)]
    wire: Vec<Spanned<WireSettings>>,
    site: Option<Spanned<SiteText>>,
    #[serde(default)]
    pendant: Vec<Spanned<PendantText>>,
    #[serde(default)]
    device: Vec<Spanned<DeviceText>>,
    #[serde(default)]
    step: Vec<Spanned<StepText>>,
}

impl Scenario {
    /// Reads a scenario; file names in it count from its directory.
    ///
    /// # Errors
    /// See [`ScenarioError`].
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        Self::parse(&read_text(path)?, directory)
            .map_err(|error| ScenarioError(format!("{}: {error}", path.display())))
    }

    /// Checks a scenario's text; file names in it count from `directory`.
    ///
    /// # Errors
    /// See [`ScenarioError`].
    pub fn parse(text: &str, directory: &Path) -> Result<Self, ScenarioError> {
        let parsed: ScenarioText =
            toml::from_str(text).map_err(|error| ScenarioError(error.to_string()))?;
        check(parsed, directory).map_err(|mistake| mistake.within(text))
    }

    /// The number of the last step.
    #[must_use]
    pub fn last_step(&self) -> usize {
        let natives = self.steps.last().map_or(0, |step| step.number);
        natives.max(self.device_steps.last().map_or(0, |step| step.number))
    }
}

fn check(text: ScenarioText, directory: &Path) -> Result<Scenario, Mistake> {
    let site = match &text.site {
        None => None,
        Some(site) => Some(site.get_ref().check(site.span(), directory)?),
    };
    if let (Some(_), Some(wire)) = (&site, text.wire.first()) {
        return mistake(wire.span(), "on a site there are no wires: leave out [[wire]] or [site]");
    }
    unique("wire", text.wire.iter().map(|wire| (wire.span(), wire.get_ref().name())))?;
    let mut wires = Vec::new();
    for wire in text.wire {
        let (span, wire) = (wire.span(), wire.into_inner());
        if let Err(fault) = wire.check() {
            return mistake(span, format!("wire {:?}: {fault}", wire.name()));
        }
        wires.push(wire);
    }
    let mut pendants = Vec::new();
    let mut names = Names::new();
    for pendant in text.pendant {
        let (span, pendant) = (pendant.span(), pendant.into_inner());
        let name = pendant.name.clone();
        let checked = pendants::check_pendant(pendant, &span, &wires, site.is_some(), directory)?;
        name_them(&mut names, &name, pendants.len()..pendants.len() + 1, span.clone())?;
        pendants.push((span, checked));
    }
    for crew in text.site.into_iter().flat_map(|site| site.into_inner().crew) {
        let (span, crew) = (crew.span(), crew.into_inner());
        let members = pendants::check_crew(&crew, &span, directory)?;
        let first = pendants.len();
        name_them(&mut names, &crew.name, first..first + members.len(), span.clone())?;
        for member in members {
            name_them(&mut names, &member.name, pendants.len()..pendants.len() + 1, span.clone())?;
            pendants.push((span.clone(), member));
        }
        site_text::check_count(pendants.len(), span)?;
    }
    let numbers = pendants.iter().map(|(span, pendant)| (span.clone(), pendant.identity.id));
    unique("pendant number", numbers)?;
    let pendants = pendants.into_iter().map(|(_, pendant)| pendant).collect();
    let devices = check_devices(&text.device, &names, &wires, directory)?;
    let seed = site.as_ref().map_or(0, |site| site.seed);
    let (steps, device_steps) = check_steps(&text.step, &names, &devices, seed, directory)?;
    Ok(Scenario { name: text.name, wires, pendants, devices, steps, device_steps, site })
}

fn check_devices(
    texts: &[Spanned<DeviceText>],
    names: &Names,
    wires: &[WireSettings],
    directory: &Path,
) -> Result<Vec<DeviceSettings>, Mistake> {
    let natives = names.keys().map(|name| (0..0, name.as_str()));
    let own = texts.iter().map(|text| (text.span(), text.get_ref().name.as_str()));
    unique("pendant", natives.chain(own))?;
    let devices: Result<Vec<_>, Mistake> = texts
        .iter()
        .map(|text| lorawan::check_device(text.get_ref(), &text.span(), wires, directory))
        .collect();
    let devices = devices?;
    let memories = texts.iter().zip(&devices);
    unique("memory", memories.map(|(text, it)| (text.span(), it.memory.display().to_string())))?;
    Ok(devices)
}

fn check_steps(
    texts: &[Spanned<StepText>],
    names: &Names,
    devices: &[DeviceSettings],
    seed: u64,
    directory: &Path,
) -> Result<(Vec<Step>, Vec<DeviceStep>), Mistake> {
    let (mut steps, mut device_steps) = (Vec::new(), Vec::<DeviceStep>::new());
    let mut chance = Chance(seed);
    for (place, step) in texts.iter().enumerate() {
        let (number, span, step) = (place + 1, step.span(), step.get_ref());
        let StepText { action, pendant, .. } = step;
        let told = |why: ScenarioError| Mistake {
            at: span.clone(),
            text: format!("step {number} ({action} of {pendant}): {why}"),
        };
        let Some(device) = devices.iter().position(|device| device.name == *pendant) else {
            let checked = steps::check(number, step, names, &mut chance, directory);
            steps.extend(checked.map_err(told)?);
            continue;
        };
        let before = device_steps.iter().filter(|step| step.device == device).cloned();
        let before: Vec<DeviceStep> = before.collect();
        let whose = (device, &devices[device]);
        let checked = lorawan::check_step(number, step, whose, &before, &mut chance);
        device_steps.push(checked.map_err(told)?);
    }
    Ok((steps, device_steps))
}

/// Lets steps name pendants.
fn name_them(
    names: &mut Names,
    name: &str,
    places: Range<usize>,
    span: Range<usize>,
) -> Result<(), Mistake> {
    if names.insert(name.to_owned(), places.collect()).is_none() {
        return Ok(());
    }
    mistake(span, format!("two times the pendant {name}; give each its own"))
}

fn unique<T: Ord + fmt::Display>(
    what: &str,
    names: impl Iterator<Item = (Range<usize>, T)>,
) -> Result<(), Mistake> {
    let mut seen = BTreeSet::new();
    for (span, name) in names {
        if seen.contains(&name) {
            return mistake(span, format!("two times the {what} {name}; give each its own"));
        }
        seen.insert(name);
    }
    Ok(())
}

pub(super) fn read_text(path: &Path) -> Result<String, ScenarioError> {
    let read = || -> std::io::Result<String> {
        use std::io::Read;
        let mut text = String::new();
        std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|error| ScenarioError(format!("{}: {error}", path.display())))
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
