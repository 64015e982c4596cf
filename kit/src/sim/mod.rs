//! Runs a scenario: simulated pendants against a gateway that somebody else
//! runs, over a pseudo terminal, a real serial port or the virtual air, where they
//! may be a whole site.
//!
//! Each pendant goes through its own steps in order; pendants do not wait for
//! each other.

pub mod lorawan;
mod pendants;
mod play;
mod report;
mod scenario;
mod site_text;
mod steps;
mod wires;

pub use pendants::{PendantSettings, Post, parse_enrolment};
pub use report::{AirReport, Report, StepReport};
pub use scenario::{Scenario, ScenarioError};
pub use site_text::{JammerSettings, SiteScenario};
pub use steps::{Action, Expectation, Step, label_of, outcome_name};
pub use wires::{ForwarderSettings, RADIO, WireCodec, WireSettings};

use crate::bench::{self, Memory, PendantHandle, SayError};
use crate::pendant::{Habits, Pendant, Seen, Windows};
use crate::site::Said;
use crate::wire::Wire;
use lorawan::{Roofs, Worn};
use pendant_hal::serial::SerialSettings;
use play::Play;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// A downlink's length on the air.
const DOWNLINK_BYTES: u8 = pendant_protocol::FRAME_BYTES as u8;

/// Why a scenario could not be run to its end.
#[derive(Debug)]
pub enum SimError {
    /// This wire could not be had.
    Wire(String, io::Error),
    /// This pendant's memory could not be read.
    Memory(String, io::Error),
    /// No random numbers.
    Chance(getrandom::Error),
    /// This socket of the site's air could not be made.
    Air(PathBuf, io::Error),
    /// No gateway came into the air at this socket.
    NoGateway(PathBuf),
    /// No gateway answers this forwarder's calls.
    NobodyAnswers(ForwarderSettings),
}

impl fmt::Display for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(name, error) => write!(f, "wire {name:?}: {error}"),
            Self::Memory(name, error) => write!(f, "memory of pendant {name:?}: {error}"),
            Self::Chance(error) => write!(f, "no random numbers: {error}"),
            Self::Air(socket, error) => write!(
                f,
                "the air's socket {} cannot be made: {error}; write another `socket` under [site]",
                socket.display()
            ),
            Self::NoGateway(socket) => write!(
                f,
                "no gateway came to {} within {} s; give it a [[link]] of kind \"virtual-radio\" \
                 with this `socket`, and build it with the feature `sim`",
                socket.display(),
                play::GATEWAY_COMES_WITHIN.as_secs()
            ),
            Self::NobodyAnswers(ForwarderSettings { name, server, eui, .. }) => write!(
                f,
                "wire {name:?}: nobody answered at {server} within {} s; give the gateway a \
                 [[link]] of kind \"concentrator\" with listen = \"{server}\" and eui = \"{eui}\"",
                lorawan::GATEWAY_COMES_WITHIN.as_secs()
            ),
        }
    }
}

impl std::error::Error for SimError {}

/// What goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A wire is there; the gateway opens it at this place.
    Ready {
        /// Its name.
        wire: String,
        /// Where, if the gateway can open it on this machine.
        at: Option<String>,
    },
    /// The gateway is in the site's air, or answers the forwarders: times count from now on.
    Begun,
    /// A step ended.
    Ended(StepReport),
    /// A pendant on a site said something, by a step or by habit, and this came of it.
    Said(Said),
}

/// Runs a scenario and tells its progress.
///
/// # Errors
/// See [`SimError`]; steps that go wrong are in the report.
pub async fn run(scenario: Scenario, mut tell: impl FnMut(&Progress)) -> Result<Report, SimError> {
    let (told, mut said) = mpsc::unbounded_channel();
    let mut play = None;
    let handles = match &scenario.site {
        None => set_up(&scenario, &mut tell)?,
        Some(site) => {
            let play = play.insert(Play::start(site, &scenario.pendants, told, &mut tell).await?);
            play.pendants().to_vec()
        }
    };
    let (roofs, devices) = Roofs::start(&scenario).await?;
    if !scenario.devices.is_empty() {
        tell(&Progress::Begun);
    }
    let start = Instant::now();
    let (_running, mut reports) = begin(&scenario, handles, devices, start);
    let Scenario { name, pendants, site, .. } = scenario;
    let mut steps = Vec::new();
    loop {
        tokio::select! {
            report = reports.recv() => {
                let Some(report) = report else { break };
                tell(&Progress::Ended(report.clone()));
                steps.push(report);
            }
            Some(said) = said.recv() => tell(&Progress::Said(said)),
        }
    }
    // By number; those of a crew as they ended.
    steps.sort_by_key(|report| report.number);
    let air = match (play, site) {
        (Some(play), Some(site)) => {
            let end = play.end(start, &site, &pendants);
            tokio::pin!(end);
            let air = loop {
                tokio::select! {
                    air = &mut end => break air,
                    Some(said) = said.recv() => tell(&Progress::Said(said)),
                }
            };
            Some(air)
        }
        _ => None,
    };
    while let Ok(said) = said.try_recv() {
        tell(&Progress::Said(said));
    }
    Ok(Report { name, steps, air, roofs: roofs.end().await, took: start.elapsed() })
}

/// Lets everybody go through the own steps, as long as that is held; gives where their
/// reports come.
fn begin(
    scenario: &Scenario,
    handles: Vec<PendantHandle>,
    devices: Vec<Worn>,
    start: Instant,
) -> (JoinSet<()>, mpsc::Receiver<StepReport>) {
    let mut running = JoinSet::new();
    let count = scenario.steps.len() + scenario.device_steps.len();
    let (sender, reports) = mpsc::channel(count.max(1));
    for (place, handle) in handles.into_iter().enumerate() {
        let own = scenario.steps.iter().filter(|step| step.pendant == place).cloned().collect();
        let name = scenario.pendants[place].name.clone();
        running.spawn(go(name, handle, own, start, sender.clone()));
    }
    for (place, device) in devices.into_iter().enumerate() {
        let own = scenario.device_steps.iter().filter(|step| step.device == place).cloned();
        running.spawn(lorawan::go(device, own.collect(), start, sender.clone()));
    }
    (running, reports)
}

/// Makes wires and puts the pendants on them; handles in the order of pendants.
fn set_up(
    scenario: &Scenario,
    tell: &mut impl FnMut(&Progress),
) -> Result<Vec<PendantHandle>, SimError> {
    let mut handles: Vec<Option<PendantHandle>> = scenario.pendants.iter().map(|_| None).collect();
    for (place, settings) in scenario.wires.iter().enumerate() {
        let opened = open(settings);
        let opened = opened.map_err(|error| SimError::Wire(settings.name().to_owned(), error))?;
        let Some((wire, at)) = opened else { continue };
        tell(&Progress::Ready { wire: settings.name().to_owned(), at });
        let mut here = Vec::new();
        let mut places = Vec::new();
        for (number, pendant) in scenario.pendants.iter().enumerate() {
            if matches!(pendant.post, Post::Wire(wire) if wire == place) {
                here.push(power_up(pendant, settings)?);
                places.push(number);
            }
        }
        let made = bench::spawn(wire, here);
        for (number, handle) in places.into_iter().zip(made) {
            handles[number] = Some(handle);
        }
    }
    Ok(handles
        .into_iter()
        .map(|handle| handle.expect("a checked scenario's pendants have a wire"))
        .collect())
}

/// `None` of what carries no native frames.
fn open(settings: &WireSettings) -> io::Result<Option<(Wire, Option<String>)>> {
    Ok(Some(match settings {
        WireSettings::Pty { link, .. } => {
            let (wire, path) = Wire::pty(link.as_deref())?;
            (wire, Some(path.display().to_string()))
        }
        WireSettings::Serial { path, baud, codec, .. } => {
            // The port may come and go later; that there is none now is a mistake.
            std::fs::metadata(path)?;
            let codec = (*codec).into();
            (Wire::port(SerialSettings { path: path.clone(), baud: *baud, codec }), None)
        }
        WireSettings::Radio { socket, .. } => {
            let radio = settings.radio().expect("this wire is a radio");
            (Wire::radio(&radio, socket)?, Some(socket.display().to_string()))
        }
        WireSettings::Forwarder(_) => return Ok(None),
    }))
}

fn power_up(
    settings: &PendantSettings,
    wire: &WireSettings,
) -> Result<(Pendant, Memory), SimError> {
    let memory = Memory::File(settings.memory.clone());
    let remembered =
        memory.recall().map_err(|error| SimError::Memory(settings.name.clone(), error))?;
    let mut habits = Habits::default();
    if let Some(radio) = wire.radio() {
        habits.windows = Windows::fitting(radio.shape().frame(DOWNLINK_BYTES));
    }
    habits.attempts_max = settings.attempts_max.unwrap_or(habits.attempts_max);
    let seed = getrandom::u64().map_err(SimError::Chance)?;
    Ok((Pendant::power_up(settings.identity.clone(), habits, remembered, seed), memory))
}

/// One pendant's steps.
async fn go(
    name: String,
    handle: PendantHandle,
    steps: Vec<Step>,
    start: Instant,
    reports: mpsc::Sender<StepReport>,
) {
    for step in steps {
        sleep_until(start + step.not_before).await;
        let begin = Instant::now();
        let mut counter = None;
        let (seen, failure) = match step.action {
            Action::Wait(time) => {
                sleep(time).await;
                ("waited".to_owned(), None)
            }
            Action::Say { body, expect, within } => {
                let said = timeout(within, handle.say(body)).await.ok();
                counter = said.as_ref().and_then(|said| Some(said.as_ref().ok()?.counter));
                judge(expect, within, said)
            }
        };
        let report = StepReport {
            number: step.number,
            pendant: name.clone(),
            label: step.label,
            took: begin.elapsed(),
            counter,
            seen,
            failure,
        };
        if reports.send(report).await.is_err() {
            return;
        }
    }
}

/// What came of a step, and why that is wrong. `None`: nothing came in time.
fn judge(
    expect: Expectation,
    within: Duration,
    said: Option<Result<Seen, SayError>>,
) -> (String, Option<String>) {
    let seen = match said {
        Some(Ok(seen)) => seen,
        Some(Err(error)) => return (error.to_string(), Some(error.to_string())),
        None => {
            let text = format!("no acknowledgement within {} ms", within.as_millis());
            let failed = expect != Expectation::Nothing;
            return (text.clone(), failed.then_some(text));
        }
    };
    let attempts = seen.attempts;
    let Some(answer) = &seen.answer else {
        let text = format!("no acknowledgement of {attempts} transmissions");
        let failed = expect != Expectation::Nothing;
        return (text.clone(), failed.then_some(text));
    };
    let outcome = outcome_name(answer.message.outcome);
    let delay_ms = answer.delay.as_millis();
    let text = format!("{outcome}, {delay_ms} ms after transmission {attempts}");
    let failure = match expect {
        Expectation::Acknowledged => None,
        Expectation::Outcome(expected) if expected == answer.message.outcome => None,
        Expectation::Outcome(expected) => {
            Some(format!("{outcome} instead of {}", outcome_name(expected)))
        }
        Expectation::Nothing => Some(format!("{outcome} instead of nothing")),
    };
    (text, failure)
}
