//! Scenario files: TOML to a checked [`Scenario`]. The format is in `docs/sim.md`.

use crate::pendant::PendantIdentity;
use pendant_hal::radio::RadioSettings;
use pendant_hal::serial::Codec;
use pendant_protocol::{Body, EnrolmentKey, Outcome, PendantId, PinDigits};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest scenario, enrolment or PIN file that is read, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Patience with an acknowledgement where a step does not say another.
const WITHIN_MS: u64 = 10_000;

/// Why a scenario cannot be run: what, where, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub struct ScenarioError(String);

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScenarioError {}

fn wrong<T>(text: impl Into<String>) -> Result<T, ScenarioError> {
    Err(ScenarioError(text.into()))
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
    /// What happens, in the order of the file.
    pub steps: Vec<Step>,
}

/// One wire.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum WireSettings {
    /// A pseudo terminal that the gateway opens as a serial port.
    Pty {
        /// The name by which pendants refer to it.
        name: String,
        /// Where a symbolic link to it is made.
        link: Option<PathBuf>,
    },
    /// A real serial port.
    Serial {
        /// The name by which pendants refer to it.
        name: String,
        /// The device file.
        path: PathBuf,
        /// Bits per second.
        #[serde(default = "default_baud")]
        baud: u32,
        /// What is spoken on it.
        #[serde(default)]
        codec: WireCodec,
    },
    /// A virtual air, which the gateway joins through a socket.
    Radio {
        /// The name by which pendants refer to it.
        name: String,
        /// The socket that is made.
        socket: PathBuf,
        /// Carrier frequency, Hz.
        #[serde(default = "default_frequency_hz")]
        frequency_hz: u32,
        /// Carrier frequency of answers, Hz. If left out: the same.
        downlink_frequency_hz: Option<u32>,
        /// Spreading factor, 5 to 12.
        #[serde(default = "default_spreading_factor")]
        spreading_factor: u8,
        /// Bandwidth, Hz.
        #[serde(default = "default_bandwidth_hz")]
        bandwidth_hz: u32,
    },
}

/// What is spoken on a real serial port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireCodec {
    /// Bare frames in COBS.
    #[default]
    Cobs,
    /// The AT commands of a REYAX RYLR998.
    Rylr998,
}

impl From<WireCodec> for Codec {
    fn from(codec: WireCodec) -> Self {
        match codec {
            WireCodec::Cobs => Self::Cobs { envelope: false },
            WireCodec::Rylr998 => Self::Rylr998,
        }
    }
}

/// A pendant's radio where nothing else is said.
pub const RADIO: RadioSettings = RadioSettings {
    frequency_hz: 868_100_000,
    downlink_frequency_hz: 868_100_000,
    spreading_factor: 9,
    bandwidth_hz: 125_000,
    coding_rate_denominator: 5,
    power_dbm: 14,
    preamble_symbols: 8,
    private_network: true,
};

fn default_baud() -> u32 {
    115_200
}

fn default_frequency_hz() -> u32 {
    RADIO.frequency_hz
}

fn default_spreading_factor() -> u8 {
    RADIO.spreading_factor
}

fn default_bandwidth_hz() -> u32 {
    RADIO.bandwidth_hz
}

impl WireSettings {
    /// How the radio is set, if it is one: as a gateway's `virtual-radio` link
    /// is, whose other settings are fixed.
    #[must_use]
    pub fn radio(&self) -> Option<RadioSettings> {
        let Self::Radio {
            frequency_hz, downlink_frequency_hz, spreading_factor, bandwidth_hz, ..
        } = *self
        else {
            return None;
        };
        let downlink_frequency_hz = downlink_frequency_hz.unwrap_or(frequency_hz);
        Some(RadioSettings {
            frequency_hz,
            downlink_frequency_hz,
            spreading_factor,
            bandwidth_hz,
            ..RADIO
        })
    }

    /// The name by which pendants refer to it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Pty { name, .. } | Self::Serial { name, .. } | Self::Radio { name, .. } => name,
        }
    }
}

/// One pendant.
#[derive(Debug)]
pub struct PendantSettings {
    /// The name by which steps refer to it.
    pub name: String,
    /// Its wire: a place in [`Scenario::wires`].
    pub wire: usize,
    /// Number and key.
    pub identity: PendantIdentity,
    /// The file that keeps its counters.
    pub memory: PathBuf,
    /// Transmissions of one frame before it gives up.
    pub attempts_max: Option<u32>,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Whose: a place in [`Scenario::pendants`].
    pub pendant: usize,
    /// What is done, as the file says; tells no digits.
    pub label: &'static str,
    /// Not before this time from the start.
    pub not_before: Duration,
    /// What is done.
    pub action: Action,
}

/// What a step does.
#[derive(Debug)]
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
struct ScenarioText {
    name: String,
    wire: Vec<WireSettings>,
    pendant: Vec<PendantText>,
    step: Vec<StepText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PendantText {
    name: String,
    wire: String,
    enrolment_file: PathBuf,
    memory_file: Option<PathBuf>,
    attempts_max: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepText {
    pendant: String,
    #[serde(rename = "do")]
    action: String,
    at_ms: Option<u64>,
    for_ms: Option<u64>,
    minutes: Option<u16>,
    place: Option<u16>,
    digits: Option<String>,
    digits_file: Option<PathBuf>,
    digits_env: Option<String>,
    expect: Option<String>,
    within_ms: Option<u64>,
}

/// What `enroll --json` prints.
#[derive(Deserialize)]
struct EnrolmentText {
    pendant: String,
    key: String,
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
        let text: ScenarioText =
            toml::from_str(text).map_err(|error| ScenarioError(error.to_string()))?;
        let names = text.wire.iter().map(WireSettings::name);
        unique("wire", names)?;
        unique("pendant", text.pendant.iter().map(|pendant| pendant.name.as_str()))?;
        let wires = text.wire;
        for wire in &wires {
            if let Some(Err(fault)) = wire.radio().map(|radio| radio.check()) {
                return wrong(format!("wire {:?}: {fault}", wire.name()));
            }
        }
        let mut pendants = Vec::new();
        for pendant in text.pendant {
            let name = pendant.name.clone();
            let checked = check_pendant(pendant, &wires, directory)
                .map_err(|error| ScenarioError(format!("pendant {name:?}: {error}")))?;
            pendants.push(checked);
        }
        unique("pendant number", pendants.iter().map(|pendant| pendant.identity.id))?;
        let mut steps = Vec::new();
        for (place, step) in text.step.into_iter().enumerate() {
            let label = format!("step {} ({} of {})", place + 1, step.action, step.pendant);
            let checked = check_step(step, &pendants, directory)
                .map_err(|error| ScenarioError(format!("{label}: {error}")))?;
            steps.push(checked);
        }
        Ok(Self { name: text.name, wires, pendants, steps })
    }
}

fn unique<T: Ord + fmt::Display>(
    what: &str,
    names: impl Iterator<Item = T>,
) -> Result<(), ScenarioError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if seen.contains(&name) {
            return wrong(format!("two times the {what} {name}; give each its own"));
        }
        seen.insert(name);
    }
    Ok(())
}

fn check_pendant(
    text: PendantText,
    wires: &[WireSettings],
    directory: &Path,
) -> Result<PendantSettings, ScenarioError> {
    let Some(wire) = wires.iter().position(|wire| wire.name() == text.wire) else {
        return wrong(format!("there is no wire {:?}", text.wire));
    };
    if text.attempts_max == Some(0) {
        return wrong("attempts_max = 0 would say nothing; at least 1");
    }
    let path = directory.join(&text.enrolment_file);
    let enrolment = read_text(&path)?;
    let identity = parse_enrolment(&enrolment).map_err(|why| {
        let path = path.display();
        ScenarioError(format!("{path} is not what `pendant-gateway enroll --json` prints: {why}"))
    })?;
    let memory = match text.memory_file {
        Some(file) => directory.join(file),
        None => path.with_extension("memory"),
    };
    Ok(PendantSettings { name: text.name, wire, identity, memory, attempts_max: text.attempts_max })
}

/// Reads what `enroll --json` printed.
///
/// # Errors
/// Says what is wrong; never shows the text, which holds a key.
pub fn parse_enrolment(text: &str) -> Result<PendantIdentity, &'static str> {
    let text: EnrolmentText =
        serde_json::from_str(text).map_err(|_| "no JSON object with `pendant` and `key`")?;
    let id: PendantId = text.pendant.parse().map_err(|_| "`pendant` is no pendant's number")?;
    let mut key = [0u8; 16];
    if text.key.len() != 32 || !text.key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("`key` is not 32 hexadecimal digits");
    }
    for (place, byte) in key.iter_mut().enumerate() {
        let digits = &text.key[2 * place..2 * place + 2];
        *byte = u8::from_str_radix(digits, 16).expect("hexadecimal digits, just checked");
    }
    Ok(PendantIdentity { id, key: EnrolmentKey::from_bytes(key) })
}

fn check_step(
    step: StepText,
    pendants: &[PendantSettings],
    directory: &Path,
) -> Result<Step, ScenarioError> {
    let Some(pendant) = pendants.iter().position(|pendant| pendant.name == step.pendant) else {
        return wrong(format!("there is no pendant {:?}", step.pendant));
    };
    let Some(label) = LABELS.iter().copied().find(|label| *label == step.action) else {
        return wrong(format!("do = {:?} is none of: {}", step.action, LABELS.join(", ")));
    };
    let takes = |allowed: bool, given: bool, name: &str| {
        if given && !allowed { wrong(format!("`{name}` has no meaning here")) } else { Ok(()) }
    };
    let is_wait = label == "wait";
    let is_pin = label == "pin";
    let has_minutes = label == "session_start" || label == "session_extend";
    takes(is_wait, step.for_ms.is_some(), "for_ms")?;
    takes(has_minutes, step.minutes.is_some(), "minutes")?;
    takes(!is_wait && !is_pin, step.place.is_some(), "place")?;
    takes(is_pin, step.digits.is_some(), "digits")?;
    takes(is_pin, step.digits_file.is_some(), "digits_file")?;
    takes(is_pin, step.digits_env.is_some(), "digits_env")?;
    takes(!is_wait, step.expect.is_some(), "expect")?;
    takes(!is_wait, step.within_ms.is_some(), "within_ms")?;
    let action = if is_wait {
        match step.for_ms {
            Some(for_ms) => Action::Wait(Duration::from_millis(for_ms)),
            None => return wrong("`for_ms` is missing"),
        }
    } else {
        Action::Say {
            body: body(label, &step, directory)?,
            expect: expectation(step.expect.as_deref())?,
            within: Duration::from_millis(step.within_ms.unwrap_or(WITHIN_MS)),
        }
    };
    let not_before = Duration::from_millis(step.at_ms.unwrap_or(0));
    Ok(Step { pendant, label, not_before, action })
}

const LABELS: [&str; 16] = [
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
    let minutes = || step.minutes.ok_or_else(|| ScenarioError("`minutes` is missing".into()));
    Ok(match label {
        "heartbeat" => Body::Heartbeat { place },
        "session_start" => Body::SessionStart { minutes: minutes()?, place },
        "session_extend" => Body::SessionExtend { minutes: minutes()?, place },
        "check_in" => Body::CheckIn { place },
        "pin" => Body::Pin(pin(step, directory)?),
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
        _ => unreachable!("every label but `wait` is above"),
    })
}

/// Digits from the one place that is given. No message shows them.
fn pin(step: &StepText, directory: &Path) -> Result<PinDigits, ScenarioError> {
    let digits = match (&step.digits, &step.digits_file, &step.digits_env) {
        (Some(digits), None, None) => digits.clone(),
        (None, Some(file), None) => read_text(&directory.join(file))?,
        (None, None, Some(name)) => std::env::var(name)
            .map_err(|_| ScenarioError(format!("the environment has no text {name}")))?,
        _ => return wrong("give one of `digits`, `digits_file`, `digits_env`"),
    };
    PinDigits::from_digits(digits.trim())
        .map_err(|_| ScenarioError("the digits are no PIN: 4 to 8 digits".into()))
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

fn read_text(path: &Path) -> Result<String, ScenarioError> {
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
