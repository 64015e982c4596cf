//! What a pendant says, whatever it is and however it speaks.

use super::device::{Device, Position, Trigger};
use super::pin::{Entered, PinVerifier};
use pendant_protocol::{Body, Message};

/// What happened. Not printed: it may be covert.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Saying {
    /// Nothing: the pendant is there.
    Heartbeat,
    /// The wearer begins to work alone.
    SessionStart { minutes: u16 },
    /// The wearer needs longer.
    SessionExtend { minutes: u16 },
    /// All is well.
    CheckIn,
    /// A PIN was entered, or what stands for one on a pendant without digits.
    Pin(Entered),
    /// The hidden call for help.
    DiscreetPanic,
    /// The open call for help.
    Panic,
    /// The wearer does not move.
    ManDown,
    /// The wearer fell.
    Fall,
    /// The case was opened or the strap cut.
    Tamper,
    /// It is whole again.
    TamperRestored,
    /// The wearer takes back what a sensor reported.
    CancelAlert,
    /// The test button.
    Test,
    /// The battery is nearly empty.
    LowBattery,
    /// It is not any more.
    BatteryRestored,
    /// Authentic, but nobody here understands it.
    Unknown,
}

/// A saying with what came beside it.
pub(super) struct Said {
    pub(super) saying: Saying,
    /// 0 to 100, if the pendant knows it.
    pub(super) battery_percent: Option<u8>,
    /// Location beacon, 0 none.
    pub(super) place: u16,
    pub(super) position: Option<Position>,
    pub(super) temperature_decidegrees: Option<i16>,
}

impl Said {
    fn only(saying: Saying) -> Self {
        Self {
            saying,
            battery_percent: None,
            place: 0,
            position: None,
            temperature_decidegrees: None,
        }
    }

    /// What a native message says. The PIN is judged here, so that no digit goes on.
    pub(super) fn natively(message: &Message, pins: Option<&PinVerifier>) -> Self {
        let fourteenths = message.status.battery.fourteenths();
        Self {
            battery_percent: fourteenths.map(|level| (u16::from(level) * 100 / 14) as u8),
            place: message.body.place(),
            ..Self::only(Saying::natively(&message.body, pins))
        }
    }

    /// What a device's payload means. Without a payload the device but shows that it is
    /// there; one that cannot be read may be a call for help.
    pub(super) fn by_device(payload: Option<(u8, &[u8])>, device: Option<&Device>) -> Self {
        let Some((port, bytes)) = payload else { return Self::only(Saying::Heartbeat) };
        match device.and_then(|device| device.read(port, bytes).ok()) {
            None => Self::only(Saying::Unknown),
            Some((trigger, reading)) => Self {
                battery_percent: reading.battery_percent,
                position: reading.position,
                temperature_decidegrees: reading.temperature_decidegrees,
                ..Self::only(trigger.into())
            },
        }
    }
}

impl Saying {
    fn natively(body: &Body, pins: Option<&PinVerifier>) -> Self {
        match *body {
            Body::Heartbeat { .. } => Self::Heartbeat,
            Body::SessionStart { minutes, .. } => Self::SessionStart { minutes },
            Body::SessionExtend { minutes, .. } => Self::SessionExtend { minutes },
            Body::CheckIn { .. } => Self::CheckIn,
            Body::Pin(digits) => Self::Pin(pins.map_or(Entered::Wrong, |pins| pins.judge(digits))),
            Body::DiscreetPanic { .. } => Self::DiscreetPanic,
            Body::Panic { .. } => Self::Panic,
            Body::ManDown { .. } => Self::ManDown,
            Body::Fall { .. } => Self::Fall,
            Body::Tamper { .. } => Self::Tamper,
            Body::TamperRestored { .. } => Self::TamperRestored,
            Body::CancelAlert { .. } => Self::CancelAlert,
            Body::Test { .. } => Self::Test,
            Body::LowBattery { .. } => Self::LowBattery,
            Body::BatteryRestored { .. } => Self::BatteryRestored,
            Body::Unknown { .. } => Self::Unknown,
        }
    }
}

impl From<Trigger> for Saying {
    fn from(trigger: Trigger) -> Self {
        match trigger {
            Trigger::Duress => Self::Pin(Entered::Duress),
            Trigger::DiscreetPanic => Self::DiscreetPanic,
            Trigger::Panic => Self::Panic,
            Trigger::ManDown => Self::ManDown,
            Trigger::Fall => Self::Fall,
            Trigger::Tamper => Self::Tamper,
            Trigger::Test => Self::Test,
            Trigger::SessionStart { minutes } => Self::SessionStart { minutes },
            Trigger::SessionExtend { minutes } => Self::SessionExtend { minutes },
            Trigger::CheckIn => Self::CheckIn,
            Trigger::CancelAlert => Self::CancelAlert,
            Trigger::Safe => Self::Pin(Entered::Safe),
            Trigger::LowBattery => Self::LowBattery,
            Trigger::TamperRestored => Self::TamperRestored,
            Trigger::BatteryRestored => Self::BatteryRestored,
            Trigger::Heartbeat => Self::Heartbeat,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::device::Decoder;
    use pendant_protocol::{Battery, Status};

    #[test]
    fn a_native_message_brings_its_battery_and_its_place() {
        let said = |fourteenths| {
            let battery = Battery::from_fourteenths(fourteenths).unwrap_or(Battery::UNKNOWN);
            let status = Status { battery, ..Status::default() };
            let message = Message { status, echo: 0, body: Body::Panic { place: 7 } };
            Said::natively(&message, None)
        };
        let percent = [0, 1, 7, 13, 14, 15].map(|level| said(level).battery_percent);
        assert_eq!(percent, [Some(0), Some(7), Some(50), Some(92), Some(100), None]);
        assert_eq!(said(0).place, 7);
        assert!(said(0).saying == Saying::Panic);
    }

    /// A published payload (Milesight AT101) with all that a device can tell beside what
    /// it says.
    #[test]
    fn a_device_s_payload_brings_all_that_stands_in_it() {
        let device = Device {
            profile: "milesight-at101".into(),
            decoder: Decoder::MilesightAt101,
            triggers: Default::default(),
            silence: None,
        };
        let payload = [
            0x01, 0x75, 0x64, 0x03, 0x67, 0x1B, 0x01, 0x05, 0x00, 0x00, 0x04, 0x88, 0x36, 0xBF,
            0x77, 0x01, 0xF0, 0x00, 0x09, 0x07, 0x22,
        ];
        let said = Said::by_device(Some((85, &payload)), Some(&device));
        assert!(said.saying == Saying::Heartbeat);
        assert_eq!(said.battery_percent, Some(100));
        assert_eq!(said.temperature_decidegrees, Some(283));
        let place = said.position.map(|place| (place.latitude_e6, place.longitude_e6));
        assert_eq!(place, Some((24_624_950, 118_030_576)));
        // On another port it is none of its payloads, and may be a call for help.
        assert!(Said::by_device(Some((1, &payload)), Some(&device)).saying == Saying::Unknown);
        assert!(Said::by_device(None, Some(&device)).saying == Saying::Heartbeat);
    }
}
