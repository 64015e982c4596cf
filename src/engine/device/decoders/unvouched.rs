//! Devices that come by a serial receiver and have no authentication.

use super::Unreadable;
use crate::engine::device::fields::Fields;
use crate::engine::device::{Reading, Sign};

/// Ports of `meshtastic/protobufs`, portnums.proto.
const DETECTION_SENSOR: u8 = 10;
const ALERT: u8 = 11;

/// End points: pendants and door contacts, not repeaters.
const END_POINT: u8 = 0x62;

/// A Meshtastic node: an alert, or the text of its detection sensor, whose name its owner
/// chose ("%s detected" and "%s state: %i" in firmware 2, DetectionSensorModule).
pub(super) fn meshtastic(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    let mut reading = Reading::default();
    let text = std::str::from_utf8(payload).map_err(|_| Unreadable::Value)?;
    match port {
        ALERT => reading.note(true, Sign::Sos),
        DETECTION_SENSOR if text.ends_with(" detected") => reading.note(true, Sign::Press),
        DETECTION_SENSOR if text.contains(" state: ") => {}
        DETECTION_SENSOR => return Err(Unreadable::Value),
        _ => return Err(Unreadable::Port),
    }
    Ok(reading)
}

/// An Inovonics EchoStream transmitter: class, type, STAT1 and STAT0. Each alarm input is
/// a key.
pub(super) fn echostream(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    if port != 0 {
        return Err(Unreadable::Port);
    }
    let mut fields = Fields::exactly(payload, 4)?;
    if fields.u8()? != END_POINT {
        return Err(Unreadable::Tag);
    }
    fields.skip(1)?;
    let (alarms, status) = (fields.u8()?, fields.u8()?);
    let mut reading = Reading::default();
    for (input, key) in Sign::KEYS.iter().take(4).enumerate() {
        reading.note(alarms & (1 << input) != 0, *key);
    }
    reading.note(status & 0x20 != 0, Sign::Tamper);
    reading.note(status & 0x40 != 0, Sign::LowBattery);
    Ok(reading)
}
