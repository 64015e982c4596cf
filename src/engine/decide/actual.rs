//! What the centre is told, and what stays open until the centre closes it.

use crate::engine::event::Kind;
use crate::engine::mutant::{Mutant, planted};
use crate::engine::pendant::Actual;
use crate::engine::pin::Entered;
use crate::engine::policy::Policy;
use crate::engine::said::Saying;
use pendant_protocol::Outcome;

/// What was shown to the site: all that the centre's side may take from it.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    pub(super) outcome: Outcome,
    /// Wrong PINs in a row, this one too.
    pub(super) wrong_pins: u8,
    /// A man-down or fall waits for its alarm.
    pub(super) pre_alarm: bool,
}

/// What a frame means.
pub(super) fn step(
    before: Actual,
    saying: Saying,
    shown: Shown,
    counter: u32,
    policy: &Policy,
) -> (Actual, Kind) {
    let follow = before.covert_incident.is_some() || before.tracked;
    let refused = shown.outcome == Outcome::Refused;
    let kind = match saying {
        Saying::Pin(Entered::Duress) => Kind::Duress,
        Saying::DiscreetPanic => Kind::DiscreetPanic,
        Saying::Panic if policy.panic_is_covert => Kind::DiscreetPanic,
        Saying::Heartbeat if follow => Kind::TrackPoint,
        Saying::Heartbeat => Kind::Heartbeat,
        Saying::Panic => Kind::Panic,
        Saying::ManDown | Saying::Fall if shown.pre_alarm => Kind::PreAlarm,
        Saying::ManDown => Kind::ManDown,
        Saying::Fall => Kind::Fall,
        Saying::Tamper => Kind::Tamper,
        Saying::TamperRestored => Kind::TamperRestored,
        Saying::Test => Kind::Test,
        Saying::LowBattery => Kind::LowBattery,
        Saying::BatteryRestored => Kind::BatteryRestored,
        Saying::Unknown => Kind::UnknownMessage,
        _ if refused => Kind::LateRequest,
        Saying::CancelAlert => Kind::AlertCancelled,
        Saying::SessionStart { .. } => Kind::SessionStarted,
        Saying::SessionExtend { .. } => Kind::SessionExtended,
        Saying::CheckIn => Kind::CheckedIn,
        Saying::Pin(Entered::Safe) if shown.outcome == Outcome::Ended => Kind::SessionEnded,
        Saying::Pin(Entered::Safe) => Kind::SafePin,
        Saying::Pin(Entered::Wrong) if shown.wrong_pins >= policy.wrong_pins_to_alarm => {
            Kind::WrongPinRepeated
        }
        Saying::Pin(Entered::Wrong) => Kind::WrongPin,
    };
    // The newest alarm names the incident: a closing that left the centre before it
    // knew of that alarm names an older one, and closes nothing.
    let mut covert_incident = kind.alarms_covertly().then_some(counter).or(before.covert_incident);
    if planted(Mutant::SafePinCloses) && saying == Saying::Pin(Entered::Safe) {
        covert_incident = None;
    }
    (Actual { covert_incident, ..before }, kind)
}
