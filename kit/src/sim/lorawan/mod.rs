//! LoRaWAN pendants, played through a simulated packet forwarder.
//!
//! Each device goes through its own steps in order, as native pendants do. What a
//! gateway may never do to any device is judged whatever a step expects.

mod memory;
mod plan;
mod report;
mod roof;
mod settings;
mod steps;
mod worn;

pub use plan::{Plan, PlanName};
pub use report::RoofReport;
pub use settings::DeviceSettings;
pub use steps::{Answered, DeviceAction, DeviceStep, Payload, Sending, Spoils};

pub(super) use settings::{DeviceText, check_device};
pub(super) use steps::check as check_step;

use super::wires::ForwarderSettings;
use super::{Scenario, SimError, StepReport, WireSettings};
use memory::Remembering;
use pendant_hal::sim::chance::{Chance, mix};
use pendant_hal::sim::forwarder::Forwarder;
use roof::{Roof, Uplink};
use std::time::Duration;
use steps::answer_name;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
pub(super) use worn::Worn;
use worn::{Came, Losses, Stop};

/// How long the forwarder calls before it gives up, and the pause between two calls.
pub(super) const GATEWAY_COMES_WITHIN: Duration = Duration::from_secs(60);
const CALLS_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Transmissions on their way to a forwarder's task.
const UPLINKS_MAX: usize = 64;

/// Forwarders at work.
pub(super) struct Roofs(JoinSet<RoofReport>);

impl Roofs {
    /// Brings every forwarder and every device to life; waits until the gateway answers.
    /// Devices are in the order of the scenario.
    pub(super) async fn start(scenario: &Scenario) -> Result<(Self, Vec<Worn>), SimError> {
        let (mut roofs, mut devices) = (JoinSet::new(), Vec::new());
        let mut senders = Vec::new();
        for wire in &scenario.wires {
            senders.push(match wire {
                WireSettings::Forwarder(settings) => {
                    let (sender, uplinks) = mpsc::channel(UPLINKS_MAX);
                    let roof = Roof::new(&settings.name, call(settings).await?, uplinks);
                    roofs.spawn(roof.run());
                    Some((settings, sender))
                }
                _ => None,
            });
        }
        for (place, device) in scenario.devices.iter().enumerate() {
            let below = senders[device.wire].clone();
            let (wire, sender) = below.expect("a checked scenario's devices have a forwarder");
            devices.push(power_up(place, device, wire, sender)?);
        }
        Ok((Self(roofs), devices))
    }

    /// What the forwarders saw, once no device is there any more.
    pub(super) async fn end(self) -> Vec<RoofReport> {
        let mut reports = self.0.join_all().await;
        reports.sort_by(|one, other| one.wire.cmp(&other.wire));
        reports
    }
}

/// Calls at the gateway until it answers.
async fn call(settings: &ForwarderSettings) -> Result<Forwarder, SimError> {
    let ForwarderSettings { name, server, eui, counter_us, .. } = settings;
    let started = Forwarder::start(*server, *eui, *counter_us).await;
    let mut forwarder = started.map_err(|error| SimError::Wire(name.clone(), error))?;
    let answered = async {
        while forwarder.pull().await.is_err() {
            sleep(CALLS_AGAIN_AFTER).await;
        }
    };
    match timeout(GATEWAY_COMES_WITHIN, answered).await {
        Ok(()) => Ok(forwarder),
        Err(_) => Err(SimError::NobodyAnswers(settings.clone())),
    }
}

fn power_up(
    place: usize,
    settings: &DeviceSettings,
    wire: &ForwarderSettings,
    roof: mpsc::Sender<Uplink>,
) -> Result<Worn, SimError> {
    let DeviceSettings { name, plan, spreading_factor, attempts_max, .. } = settings;
    let kept = Remembering::power_up(&settings.device, &settings.memory)
        .map_err(|error| SimError::Memory(name.clone(), error))?;
    Ok(Worn {
        name: name.clone(),
        plan: *plan,
        spreading_factor: *spreading_factor,
        attempts_max: *attempts_max,
        losses: Losses {
            uplinks_percent: wire.uplinks_lost_percent,
            downlinks_percent: wire.downlinks_lost_percent,
            too_late_percent: wire.too_late_percent,
        },
        chance: Chance(mix(wire.seed ^ mix(place as u64))),
        roof,
        kept,
        channels_hz: plan.channels_hz(),
        spoils: Spoils::default(),
        last_down: None,
        answered_join: None,
        said: None,
        old: None,
    })
}

/// One device's steps.
pub(super) async fn go(
    mut worn: Worn,
    steps: Vec<DeviceStep>,
    start: Instant,
    reports: mpsc::Sender<StepReport>,
) {
    for step in steps {
        sleep_until(start + step.not_before).await;
        let begin = Instant::now();
        let (counter, seen, failure) = match step.action {
            DeviceAction::Wait(time) => {
                sleep(time).await;
                (None, "waited".to_owned(), None)
            }
            DeviceAction::Send { what, expect, within, spoils } => {
                worn.spoils = spoils;
                let sent = timeout(within, send(&mut worn, &what)).await;
                let (counter, came) = sent.map_or((None, None), |(it, came)| (it, Some(came)));
                let (seen, failure) = judge(expect, within, came);
                (counter, seen, failure)
            }
        };
        let report = StepReport {
            number: step.number,
            pendant: worn.name.clone(),
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

/// Gives FCntUp, of what has one and is the device's own, and what came.
async fn send(worn: &mut Worn, what: &Sending) -> (Option<u32>, Result<Came, Stop>) {
    match what {
        Sending::Join => (None, worn.join().await),
        Sending::Confirmed(payload) => worn.say(payload, true).await,
        Sending::Unconfirmed(payload) => worn.say(payload, false).await,
        Sending::ReplayJoin => (None, worn.replay_join().await),
        Sending::Replay => (None, worn.replay().await),
        Sending::Forge(payload) => (None, worn.forge(payload).await),
    }
}

/// What came of a step, and why that is wrong. `None`: nothing came in time.
fn judge(
    expect: Answered,
    within: Duration,
    came: Option<Result<Came, Stop>>,
) -> (String, Option<String>) {
    let nothing_is_right = expect == Answered::Nothing;
    match came {
        None => {
            let text = format!("no answer within {} ms", within.as_millis());
            (text.clone(), (!nothing_is_right).then_some(text))
        }
        Some(Err(stop @ Stop::Vain(_))) => {
            let text = stop.to_string();
            (text.clone(), (!nothing_is_right).then_some(text))
        }
        Some(Err(stop)) => (stop.to_string(), Some(stop.to_string())),
        Some(Ok(Came { after, attempts, acknowledges })) => {
            let name = match (expect, acknowledges) {
                (Answered::Joined, _) => "joined",
                (_, true) => "acknowledged",
                (_, false) => "answered",
            };
            let text = format!("{name}, {} ms after transmission {attempts}", after.as_millis());
            let failure =
                nothing_is_right.then(|| format!("{name} instead of {}", answer_name(expect)));
            (text, failure)
        }
    }
}

#[cfg(test)]
mod scenario_tests;
