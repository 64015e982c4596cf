//! `[[step]]` of a device: what it says, and what must come of it.

use super::settings::DeviceSettings;
use crate::hex;
use crate::sim::scenario::{ScenarioError, wrong};
use crate::sim::steps::StepText;
use pendant_hal::sim::chance::Chance;
use std::time::Duration;

/// Patience with an answer where a step does not say another: with a join that is answered
/// at the sixth request, or a frame at the eighth.
const WITHIN_MS: u64 = 60_000;

/// The application's ports (LoRaWAN 1.0.3, section 4.3.2), and the one of most devices
/// that are known here.
const PORTS: std::ops::RangeInclusive<u8> = 1..=223;
const PORT: u8 = 85;

/// One step of one device.
#[derive(Clone, Debug)]
pub struct DeviceStep {
    /// Its number in the file, from 1.
    pub number: usize,
    /// Whose: a place in [`crate::sim::Scenario::devices`].
    pub device: usize,
    /// What is done, as the file says.
    pub label: &'static str,
    /// Not before this time from the start.
    pub not_before: Duration,
    /// What is done.
    pub action: DeviceAction,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum DeviceAction {
    /// Nothing for a while.
    Wait(Duration),
    /// Something is sent.
    Send {
        /// What.
        what: Sending,
        /// What is to come back.
        expect: Answered,
        /// Until when.
        within: Duration,
        /// What becomes of its first transmissions.
        spoils: Spoils,
    },
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sending {
    /// Requests to join, until one is answered.
    Join,
    /// A frame that is repeated until it is acknowledged.
    Confirmed(Payload),
    /// A frame that is sent once.
    Unconfirmed(Payload),
    /// The last request to join that was answered, byte for byte.
    ReplayJoin,
    /// The frame before the last acknowledged one, byte for byte.
    Replay,
    /// A confirmed frame as somebody makes it who does not have the keys.
    Forge(Payload),
}

/// What a device tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The application's port.
    pub port: u8,
    /// Its bytes; none: a sign of life, without a port.
    pub bytes: Vec<u8>,
}

/// What is to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// A session.
    Joined,
    /// A downlink that acknowledges.
    Acknowledged,
    /// A downlink that acknowledges nothing.
    Answered,
    /// None.
    Nothing,
}

/// How many of a step's first transmissions go wrong, beside those by chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spoils {
    /// Are not heard by the gateway.
    pub uplinks: u32,
    /// Have answers that the device does not hear.
    pub downlinks: u32,
    /// Have a first answer that the forwarder refuses as too late.
    pub too_late: u32,
}

pub(super) const LABELS: [&str; 7] =
    ["wait", "join", "confirmed", "unconfirmed", "replay_join", "replay", "forge"];

const ANSWERS: [(&str, Answered); 4] = [
    ("joined", Answered::Joined),
    ("acknowledged", Answered::Acknowledged),
    ("answered", Answered::Answered),
    ("nothing", Answered::Nothing),
];

/// What a scenario calls it.
pub(super) fn answer_name(answered: Answered) -> &'static str {
    let found = ANSWERS.iter().find(|(_, known)| *known == answered);
    found.map_or("unknown", |(name, _)| name)
}

/// Checks a step of the device at this place. `before` are the device's earlier steps.
pub(in crate::sim) fn check(
    number: usize,
    text: &StepText,
    (device, settings): (usize, &DeviceSettings),
    before: &[DeviceStep],
    chance: &mut Chance,
) -> Result<DeviceStep, ScenarioError> {
    let Some(label) = LABELS.iter().copied().find(|label| *label == text.action) else {
        return wrong(format!("do = {:?} is none of: {}", text.action, LABELS.join(", ")));
    };
    text.is_for_a_device(label)?;
    let action = match text.for_ms {
        Some(for_ms) => DeviceAction::Wait(Duration::from_millis(for_ms)),
        None if label == "wait" => return wrong("`for_ms` is missing"),
        None => sending(label, text, settings, before)?,
    };
    let over = Duration::from_millis(text.over_ms.unwrap_or(0)).mul_f64(chance.fraction());
    let not_before = Duration::from_millis(text.at_ms.unwrap_or(0)) + over;
    Ok(DeviceStep { number, device, label, not_before, action })
}

fn sending(
    label: &str,
    text: &StepText,
    settings: &DeviceSettings,
    before: &[DeviceStep],
) -> Result<DeviceAction, ScenarioError> {
    let came_before = |wanted: &[&str]| before.iter().any(|step| wanted.contains(&step.label));
    let (what, usual) = match label {
        "join" => (Sending::Join, Answered::Joined),
        "confirmed" => (Sending::Confirmed(payload(text, settings)?), Answered::Acknowledged),
        "unconfirmed" => (Sending::Unconfirmed(payload(text, settings)?), Answered::Nothing),
        "forge" => (Sending::Forge(payload(text, settings)?), Answered::Nothing),
        "replay_join" => (Sending::ReplayJoin, Answered::Nothing),
        _ => (Sending::Replay, Answered::Nothing),
    };
    let was_given_a_session = settings.device.session.is_some();
    match what {
        Sending::Join if was_given_a_session => {
            return wrong("a device with `dev_addr` does not join");
        }
        Sending::ReplayJoin if !came_before(&["join"]) => {
            return wrong("there is no `join` before that could be replayed");
        }
        Sending::Replay if !came_before(&["confirmed"]) => {
            return wrong("there is no `confirmed` before; what is older than it is replayed");
        }
        _ => {}
    }
    let expect = match text.expect.as_deref() {
        None => usual,
        Some(name) => expectation(name, &what)?,
    };
    Ok(DeviceAction::Send {
        what,
        expect,
        within: Duration::from_millis(text.within_ms.unwrap_or(WITHIN_MS)),
        spoils: Spoils {
            uplinks: text.lose_uplinks.unwrap_or(0),
            downlinks: text.lose_downlinks.unwrap_or(0),
            too_late: text.too_late.unwrap_or(0),
        },
    })
}

fn payload(text: &StepText, settings: &DeviceSettings) -> Result<Payload, ScenarioError> {
    let port = text.port.unwrap_or(PORT);
    if !PORTS.contains(&port) {
        return wrong(format!("port = {port}: write {} to {}", PORTS.start(), PORTS.end()));
    }
    let Some(bytes) = hex::decode(text.payload.as_deref().unwrap_or_default()) else {
        return wrong("`payload` is no bytes: write two hexadecimal digits for each");
    };
    let most = settings.plan.payload_bytes_max(settings.spreading_factor);
    if bytes.len() > most {
        let factor = settings.spreading_factor;
        return wrong(format!("`payload` has {} bytes; SF{factor} takes {most}", bytes.len()));
    }
    Ok(Payload { port, bytes })
}

/// What may be expected depends on what is sent.
fn expectation(name: &str, what: &Sending) -> Result<Answered, ScenarioError> {
    let allowed: &[Answered] = match what {
        Sending::Join => &[Answered::Joined, Answered::Nothing],
        Sending::Confirmed(_) => &[Answered::Acknowledged, Answered::Nothing],
        Sending::Unconfirmed(_) => &[Answered::Answered, Answered::Nothing],
        Sending::ReplayJoin | Sending::Replay | Sending::Forge(_) => &[Answered::Nothing],
    };
    let names = || allowed.iter().map(|it| answer_name(*it));
    match allowed.iter().find(|it| answer_name(**it) == name) {
        Some(answered) => Ok(*answered),
        None => wrong(format!(
            "expect = {name:?} is none of: {}",
            names().collect::<Vec<_>>().join(", ")
        )),
    }
}
