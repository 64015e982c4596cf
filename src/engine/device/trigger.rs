//! What a sign means to the gateway, and how that is written.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// What a sign means, gravest first: of several in one payload the first of this
/// order counts. Ahead stand cries for help, so that a `Safe` never hides one; then
/// what a person does; last what concerns equipment, which devices repeat anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// As if the duress PIN were entered.
    Duress,
    /// The hidden cry for help.
    DiscreetPanic,
    /// The open cry for help.
    Panic,
    /// The wearer lies or does not move.
    ManDown,
    /// The wearer fell.
    Fall,
    /// The device was opened or taken off.
    Tamper,
    /// The test button.
    Test,
    /// The wearer begins to work alone.
    SessionStart {
        /// For how long.
        minutes: u16,
    },
    /// The wearer needs longer.
    SessionExtend {
        /// How much longer.
        minutes: u16,
    },
    /// The wearer says that all is well.
    CheckIn,
    /// The wearer takes back what a sensor raised.
    CancelAlert,
    /// As if the safe PIN were entered.
    Safe,
    /// The battery is low.
    LowBattery,
    /// The device is closed again.
    TamperRestored,
    /// The battery is full again.
    BatteryRestored,
    /// Nothing but that the device is there.
    Heartbeat,
}

/// Minutes of a session that make sense: up to a day.
const MINUTES: RangeInclusive<u16> = 1..=1440;

/// Triggers that are written as one word.
const WORDS: [(&str, Trigger); 14] = [
    ("duress", Trigger::Duress),
    ("discreet_panic", Trigger::DiscreetPanic),
    ("panic", Trigger::Panic),
    ("man_down", Trigger::ManDown),
    ("fall", Trigger::Fall),
    ("tamper", Trigger::Tamper),
    ("test", Trigger::Test),
    ("check_in", Trigger::CheckIn),
    ("cancel_alert", Trigger::CancelAlert),
    ("safe", Trigger::Safe),
    ("low_battery", Trigger::LowBattery),
    ("tamper_restored", Trigger::TamperRestored),
    ("battery_restored", Trigger::BatteryRestored),
    ("heartbeat", Trigger::Heartbeat),
];

const SESSION_START: &str = "session_start";
const SESSION_EXTEND: &str = "session_extend";

impl Trigger {
    /// Whether nobody on site may notice it.
    #[must_use]
    pub const fn is_covert(self) -> bool {
        matches!(self, Self::Duress | Self::DiscreetPanic)
    }

    /// The words with which every trigger begins.
    pub fn words() -> impl Iterator<Item = &'static str> {
        WORDS.iter().map(|(word, _)| *word).chain([SESSION_START, SESSION_EXTEND])
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionStart { minutes } => write!(f, "{SESSION_START} {minutes} min"),
            Self::SessionExtend { minutes } => write!(f, "{SESSION_EXTEND} {minutes} min"),
            _ => {
                let word = WORDS.iter().find(|(_, trigger)| trigger == self);
                f.write_str(word.expect("every other trigger is a word").0)
            }
        }
    }
}

/// Why a text is no [`Trigger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerError {
    /// Its first word is none of those that are known.
    Unknown,
    /// A session needs its minutes: "session_start 30 min".
    Minutes,
    /// Minutes stand behind a word that has none.
    Superfluous,
}

impl fmt::Display for TriggerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "no meaning of that name is known"),
            Self::Minutes => {
                write!(f, "a session has minutes, {} to {}", MINUTES.start(), MINUTES.end())
            }
            Self::Superfluous => write!(f, "only sessions have minutes"),
        }
    }
}

impl std::error::Error for TriggerError {}

impl FromStr for Trigger {
    type Err = TriggerError;

    fn from_str(text: &str) -> Result<Self, TriggerError> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let minutes = || {
            let number = rest.trim().strip_suffix("min").map_or("", str::trim);
            let whole = number.bytes().all(|byte| byte.is_ascii_digit());
            let minutes = number.parse().ok().filter(|minutes| MINUTES.contains(minutes));
            minutes.filter(|_| whole).ok_or(TriggerError::Minutes)
        };
        match word {
            SESSION_START => Ok(Self::SessionStart { minutes: minutes()? }),
            SESSION_EXTEND => Ok(Self::SessionExtend { minutes: minutes()? }),
            _ => {
                let known = WORDS.iter().find(|(known, _)| *known == word);
                let (_, trigger) = known.ok_or(TriggerError::Unknown)?;
                if rest.trim().is_empty() { Ok(*trigger) } else { Err(TriggerError::Superfluous) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trigger_reads_back_from_its_text() {
        let sessions =
            [Trigger::SessionStart { minutes: 30 }, Trigger::SessionExtend { minutes: 1440 }];
        for trigger in WORDS.iter().map(|(_, trigger)| *trigger).chain(sessions) {
            assert_eq!(trigger.to_string().parse(), Ok(trigger));
        }
        assert_eq!(Trigger::words().count(), 16);
        assert_eq!("session_start  5min".parse(), Ok(Trigger::SessionStart { minutes: 5 }));
    }

    #[test]
    fn other_texts_are_refused_and_say_why() {
        for (text, error) in [
            ("", TriggerError::Unknown),
            ("Panic", TriggerError::Unknown),
            ("alarm", TriggerError::Unknown),
            ("panic now", TriggerError::Superfluous),
            ("heartbeat 30 min", TriggerError::Superfluous),
            ("session_start", TriggerError::Minutes),
            ("session_start 30", TriggerError::Minutes),
            ("session_start 0 min", TriggerError::Minutes),
            ("session_extend 1441 min", TriggerError::Minutes),
            ("session_extend +5 min", TriggerError::Minutes),
            ("session_extend -5 min", TriggerError::Minutes),
            ("session_start 99999999999 min", TriggerError::Minutes),
        ] {
            assert_eq!(text.parse::<Trigger>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_cry_for_help_goes_before_everything_else() {
        let mut all: Vec<Trigger> = WORDS.iter().map(|(_, trigger)| *trigger).collect();
        all.sort();
        assert_eq!(all[..3], [Trigger::Duress, Trigger::DiscreetPanic, Trigger::Panic]);
        assert_eq!(all.last(), Some(&Trigger::Heartbeat));
        assert!(Trigger::Duress < Trigger::Safe && Trigger::ManDown < Trigger::CancelAlert);
        let covert: Vec<bool> = all.iter().map(|trigger| trigger.is_covert()).collect();
        assert_eq!(covert.iter().position(|covert| !covert), Some(2));
    }
}
