//! What the centre is told, and what stays open until the centre closes it.

use crate::engine::event::Kind;
use crate::engine::pendant::Actual;
use crate::engine::pin::Entered;
use pendant_protocol::{Body, Outcome};

/// Wrong PINs in a row from which on each is told as a covert alarm.
pub(super) const WRONG_PINS_TO_ALARM: u8 = 3;

/// What a frame means. `entered` is set for a PIN, `outcome` is what the site
/// was shown, `wrong_pins` counts this one too.
pub(super) fn step(
    before: Actual,
    body: &Body,
    entered: Option<Entered>,
    outcome: Outcome,
    wrong_pins: u8,
    counter: u32,
) -> (Actual, Kind) {
    let kind = match (body, entered) {
        (_, Some(Entered::Duress)) => Kind::Duress,
        (Body::DiscreetPanic { .. }, _) => Kind::DiscreetPanic,
        (Body::Heartbeat { .. }, _) if before.covert_incident.is_some() => Kind::TrackPoint,
        (Body::Heartbeat { .. }, _) => Kind::Heartbeat,
        (Body::Panic { .. }, _) => Kind::Panic,
        (Body::ManDown { .. }, _) => Kind::ManDown,
        (Body::Fall { .. }, _) => Kind::Fall,
        (Body::Tamper { .. }, _) => Kind::Tamper,
        (Body::TamperRestored { .. }, _) => Kind::TamperRestored,
        (Body::CancelAlert { .. }, _) => Kind::AlertCancelled,
        (Body::Test { .. }, _) => Kind::Test,
        (Body::LowBattery { .. }, _) => Kind::LowBattery,
        (Body::BatteryRestored { .. }, _) => Kind::BatteryRestored,
        (Body::Unknown { .. }, _) => Kind::UnknownMessage,
        _ if outcome == Outcome::Refused => Kind::LateRequest,
        (Body::SessionStart { .. }, _) => Kind::SessionStarted,
        (Body::SessionExtend { .. }, _) => Kind::SessionExtended,
        (Body::CheckIn { .. }, _) => Kind::CheckedIn,
        (Body::Pin(_), Some(Entered::Safe)) if outcome == Outcome::Ended => Kind::SessionEnded,
        (Body::Pin(_), Some(Entered::Safe)) => Kind::SafePin,
        (Body::Pin(_), _) if wrong_pins >= WRONG_PINS_TO_ALARM => Kind::WrongPinRepeated,
        (Body::Pin(_), _) => Kind::WrongPin,
    };
    let opens = matches!(kind, Kind::Duress | Kind::DiscreetPanic | Kind::WrongPinRepeated);
    let covert_incident = before.covert_incident.or(opens.then_some(counter));
    (Actual { covert_incident }, kind)
}
