//! What the centre is told, and what stays open until the centre closes it.

use crate::engine::event::Kind;
use crate::engine::mutant::{Mutant, planted};
use crate::engine::pendant::Actual;
use crate::engine::pin::Entered;
use crate::engine::policy::Policy;
use pendant_protocol::{Body, Outcome};

/// What was shown to the site: all that the centre's side may take from it.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    pub(super) outcome: Outcome,
    /// Wrong PINs in a row, this one too.
    pub(super) wrong_pins: u8,
    /// A man-down or fall waits for its alarm.
    pub(super) pre_alarm: bool,
}

/// What a frame means. `entered` is set for a PIN.
pub(super) fn step(
    before: Actual,
    body: &Body,
    entered: Option<Entered>,
    shown: Shown,
    counter: u32,
    policy: &Policy,
) -> (Actual, Kind) {
    let follow = before.covert_incident.is_some() || before.tracked;
    let refused = shown.outcome == Outcome::Refused;
    let kind = match (body, entered) {
        (_, Some(Entered::Duress)) => Kind::Duress,
        (Body::DiscreetPanic { .. }, _) => Kind::DiscreetPanic,
        (Body::Panic { .. }, _) if policy.panic_is_covert => Kind::DiscreetPanic,
        (Body::Heartbeat { .. }, _) if follow => Kind::TrackPoint,
        (Body::Heartbeat { .. }, _) => Kind::Heartbeat,
        (Body::Panic { .. }, _) => Kind::Panic,
        (Body::ManDown { .. } | Body::Fall { .. }, _) if shown.pre_alarm => Kind::PreAlarm,
        (Body::ManDown { .. }, _) => Kind::ManDown,
        (Body::Fall { .. }, _) => Kind::Fall,
        (Body::Tamper { .. }, _) => Kind::Tamper,
        (Body::TamperRestored { .. }, _) => Kind::TamperRestored,
        (Body::Test { .. }, _) => Kind::Test,
        (Body::LowBattery { .. }, _) => Kind::LowBattery,
        (Body::BatteryRestored { .. }, _) => Kind::BatteryRestored,
        (Body::Unknown { .. }, _) => Kind::UnknownMessage,
        _ if refused => Kind::LateRequest,
        (Body::CancelAlert { .. }, _) => Kind::AlertCancelled,
        (Body::SessionStart { .. }, _) => Kind::SessionStarted,
        (Body::SessionExtend { .. }, _) => Kind::SessionExtended,
        (Body::CheckIn { .. }, _) => Kind::CheckedIn,
        (Body::Pin(_), Some(Entered::Safe)) if shown.outcome == Outcome::Ended => {
            Kind::SessionEnded
        }
        (Body::Pin(_), Some(Entered::Safe)) => Kind::SafePin,
        (Body::Pin(_), _) if shown.wrong_pins >= policy.wrong_pins_to_alarm => {
            Kind::WrongPinRepeated
        }
        (Body::Pin(_), _) => Kind::WrongPin,
    };
    let opens = matches!(kind, Kind::Duress | Kind::DiscreetPanic | Kind::WrongPinRepeated);
    // The newest alarm names the incident: a closing that left the centre before it
    // knew of that alarm names an older one, and closes nothing.
    let mut covert_incident = opens.then_some(counter).or(before.covert_incident);
    if planted(Mutant::SafePinCloses) && entered == Some(Entered::Safe) {
        covert_incident = None;
    }
    (Actual { covert_incident, ..before }, kind)
}
