//! `[[step]]`: what pendants do, and what must come of it.

use super::scenario::{ScenarioError, read_text, wrong};
use pendant_hal::sim::chance::Chance;
use pendant_protocol::{Body, Outcome, PinDigits};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Patience with an acknowledgement where a step does not say another.
const WITHIN_MS: u64 = 10_000;

/// One step of one pendant.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its number in the file, from 1; a crew's members share it.
    pub number: usize,
    /// Whose: a place in [`super::Scenario::pendants`].
    pub pendant: usize,
    /// What is done, as the file says; tells no digits.
    pub label: &'static str,
    /// Not before this time from the start.
    pub not_before: Duration,
    /// What is done.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// Nothing for a while.
    Wait(Duration),
    /// The pendant says something.
    Say {
        /// What.
        body: Body,
        /// What is to come back.
        expect: Expectation,
        /// Until when.
        within: Duration,
    },
}

/// What is to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Any acknowledgement.
    Acknowledged,
    /// This one.
    Outcome(Outcome),
    /// None.
    Nothing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepText {
    pub(super) pendant: String,
    #[serde(rename = "do")]
    pub(super) action: String,
    pub(super) at_ms: Option<u64>,
    pub(super) over_ms: Option<u64>,
    pub(super) for_ms: Option<u64>,
    minutes: Option<u16>,
    place: Option<u16>,
    digits: Option<String>,
    digits_file: Option<PathBuf>,
    digits_env: Option<String>,
    pub(super) expect: Option<String>,
    pub(super) within_ms: Option<u64>,
    pub(super) port: Option<u8>,
    pub(super) payload: Option<String>,
    pub(super) lose_uplinks: Option<u32>,
    pub(super) lose_downlinks: Option<u32>,
    pub(super) too_late: Option<u32>,
}

impl StepText {
    /// Whether what stands in it has a meaning for what a device does.
    pub(super) fn is_for_a_device(&self, label: &str) -> Result<(), ScenarioError> {
        let is_wait = label == "wait";
        let has_payload = matches!(label, "confirmed" | "unconfirmed" | "forge");
        takes(is_wait, self.for_ms.is_some(), "for_ms")?;
        takes(has_payload, self.port.is_some(), "port")?;
        takes(has_payload, self.payload.is_some(), "payload")?;
        takes(!is_wait, self.expect.is_some(), "expect")?;
        takes(!is_wait, self.within_ms.is_some(), "within_ms")?;
        takes(!is_wait, self.lose_uplinks.is_some(), "lose_uplinks")?;
        takes(!is_wait, self.lose_downlinks.is_some(), "lose_downlinks")?;
        takes(!is_wait, self.too_late.is_some(), "too_late")?;
        takes(false, self.minutes.is_some(), "minutes")?;
        takes(false, self.place.is_some(), "place")?;
        takes(false, self.digits.is_some(), "digits")?;
        takes(false, self.digits_file.is_some(), "digits_file")?;
        takes(false, self.digits_env.is_some(), "digits_env")
    }

    /// The same of what a native pendant does.
    fn is_for_a_pendant(&self, label: &str) -> Result<(), ScenarioError> {
        let is_wait = label == "wait";
        let is_pin = label == "pin";
        let has_minutes = label == "session_start" || label == "session_extend";
        takes(is_wait, self.for_ms.is_some(), "for_ms")?;
        takes(has_minutes, self.minutes.is_some(), "minutes")?;
        takes(!is_wait && !is_pin, self.place.is_some(), "place")?;
        takes(is_pin, self.digits.is_some(), "digits")?;
        takes(is_pin, self.digits_file.is_some(), "digits_file")?;
        takes(is_pin, self.digits_env.is_some(), "digits_env")?;
        takes(!is_wait, self.expect.is_some(), "expect")?;
        takes(!is_wait, self.within_ms.is_some(), "within_ms")?;
        takes(false, self.port.is_some(), "port")?;
        takes(false, self.payload.is_some(), "payload")?;
        takes(false, self.lose_uplinks.is_some(), "lose_uplinks")?;
        takes(false, self.lose_downlinks.is_some(), "lose_downlinks")?;
        takes(false, self.too_late.is_some(), "too_late")
    }
}

fn takes(allowed: bool, given: bool, name: &str) -> Result<(), ScenarioError> {
    if given && !allowed { wrong(format!("`{name}` has no meaning here")) } else { Ok(()) }
}

/// Whom a step may name: a pendant or a crew, and their places.
pub(super) type Names = BTreeMap<String, Vec<usize>>;

/// Checks a step; one for each pendant that it is for.
pub(super) fn check(
    number: usize,
    step: &StepText,
    names: &Names,
    chance: &mut Chance,
    directory: &Path,
) -> Result<Vec<Step>, ScenarioError> {
    let Some(pendants) = names.get(&step.pendant) else {
        return wrong(format!("there is no pendant {:?}", step.pendant));
    };
    let Some(label) = LABELS.iter().copied().find(|label| *label == step.action) else {
        return wrong(format!("do = {:?} is none of: {}", step.action, LABELS.join(", ")));
    };
    step.is_for_a_pendant(label)?;
    let action = if label == "wait" {
        match step.for_ms {
            Some(for_ms) => Action::Wait(Duration::from_millis(for_ms)),
            None => return wrong("`for_ms` is missing"),
        }
    } else {
        Action::Say {
            body: body(label, step, directory)?,
            expect: expectation(step.expect.as_deref())?,
            within: Duration::from_millis(step.within_ms.unwrap_or(WITHIN_MS)),
        }
    };
    let from = Duration::from_millis(step.at_ms.unwrap_or(0));
    let over = Duration::from_millis(step.over_ms.unwrap_or(0));
    let one = |pendant: &usize| {
        let not_before = from + over.mul_f64(chance.fraction());
        Step { number, pendant: *pendant, label, not_before, action }
    };
    Ok(pendants.iter().map(one).collect())
}

pub(super) const LABELS: [&str; 16] = [
    "wait",
    "heartbeat",
    "session_start",
    "session_extend",
    "check_in",
    "pin",
    "discreet_panic",
    "panic",
    "man_down",
    "fall",
    "tamper",
    "tamper_restored",
    "cancel_alert",
    "test",
    "low_battery",
    "battery_restored",
];

fn body(label: &str, step: &StepText, directory: &Path) -> Result<Body, ScenarioError> {
    let place = step.place.unwrap_or(0);
    let minutes = || step.minutes.ok_or_else(|| ScenarioError::new("`minutes` is missing"));
    Ok(match label {
        "session_start" => Body::SessionStart { minutes: minutes()?, place },
        "session_extend" => Body::SessionExtend { minutes: minutes()?, place },
        "pin" => Body::Pin(pin(step, directory)?),
        _ => plain_body(label, place).expect("every other label but `wait` is plain"),
    })
}

/// What needs nothing but its name.
pub(super) fn plain_body(label: &str, place: u16) -> Option<Body> {
    Some(match label {
        "heartbeat" => Body::Heartbeat { place },
        "check_in" => Body::CheckIn { place },
        "discreet_panic" => Body::DiscreetPanic { place },
        "panic" => Body::Panic { place },
        "man_down" => Body::ManDown { place },
        "fall" => Body::Fall { place },
        "tamper" => Body::Tamper { place },
        "tamper_restored" => Body::TamperRestored { place },
        "cancel_alert" => Body::CancelAlert { place },
        "test" => Body::Test { place },
        "low_battery" => Body::LowBattery { place },
        "battery_restored" => Body::BatteryRestored { place },
        _ => return None,
    })
}

/// What a scenario calls it.
#[must_use]
pub fn label_of(body: &Body) -> &'static str {
    match body {
        Body::Heartbeat { .. } => "heartbeat",
        Body::SessionStart { .. } => "session_start",
        Body::SessionExtend { .. } => "session_extend",
        Body::CheckIn { .. } => "check_in",
        Body::Pin(_) => "pin",
        Body::DiscreetPanic { .. } => "discreet_panic",
        Body::Panic { .. } => "panic",
        Body::ManDown { .. } => "man_down",
        Body::Fall { .. } => "fall",
        Body::Tamper { .. } => "tamper",
        Body::TamperRestored { .. } => "tamper_restored",
        Body::CancelAlert { .. } => "cancel_alert",
        Body::Test { .. } => "test",
        Body::LowBattery { .. } => "low_battery",
        Body::BatteryRestored { .. } => "battery_restored",
        Body::Unknown { .. } => "unknown",
    }
}

/// Digits from the one place that is given. No message shows them.
fn pin(step: &StepText, directory: &Path) -> Result<PinDigits, ScenarioError> {
    let digits = match (&step.digits, &step.digits_file, &step.digits_env) {
        (Some(digits), None, None) => digits.clone(),
        (None, Some(file), None) => read_text(&directory.join(file))?,
        (None, None, Some(name)) => std::env::var(name)
            .map_err(|_| ScenarioError::new(format!("the environment has no text {name}")))?,
        _ => return wrong("give one of `digits`, `digits_file`, `digits_env`"),
    };
    PinDigits::from_digits(digits.trim())
        .map_err(|_| ScenarioError::new("the digits are no PIN: 4 to 8 digits"))
}

fn expectation(text: Option<&str>) -> Result<Expectation, ScenarioError> {
    let Some(text) = text else { return Ok(Expectation::Acknowledged) };
    let outcomes = OUTCOMES.iter().copied();
    let plain = [("acknowledged", Expectation::Acknowledged), ("nothing", Expectation::Nothing)];
    let mut all =
        plain.into_iter().chain(outcomes.map(|(name, it)| (name, Expectation::Outcome(it))));
    match all.clone().find(|(name, _)| *name == text) {
        Some((_, expectation)) => Ok(expectation),
        None => {
            let first = all.next().map_or("", |(name, _)| name);
            let names = all.fold(first.to_owned(), |text, (name, _)| text + ", " + name);
            wrong(format!("expect = {text:?} is none of: {names}"))
        }
    }
}

const OUTCOMES: [(&str, Outcome); 8] = [
    ("noted", Outcome::Noted),
    ("session_started", Outcome::SessionStarted),
    ("session_extended", Outcome::SessionExtended),
    ("checked_in", Outcome::CheckedIn),
    ("ended", Outcome::Ended),
    ("wrong_pin", Outcome::WrongPin),
    ("nothing_to_end", Outcome::NothingToEnd),
    ("refused", Outcome::Refused),
];

/// An outcome's name in scenario files and reports.
#[must_use]
pub fn outcome_name(outcome: Outcome) -> &'static str {
    let found = OUTCOMES.iter().find(|(_, known)| *known == outcome);
    found.map_or("unknown", |(name, _)| name)
}
