//! Dragino: TrackerD and the buttons PB01-L and PB05-L. Big-endian. Fields as in
//! `dragino/dragino-end-node-decoder`, `TrackerD`, `PB01` and `PB05`, and in the firmware
//! of TrackerD 1.5.3, `dragino/TrackerD`.

use super::Unreadable;
use crate::engine::device::fields::Fields;
use crate::engine::device::{Position, Reading, Sign};

/// In the byte before the low byte of the battery's millivolts.
const ALARM: u8 = 0x40;
/// A record of the buttons' memory.
const RECORD_BYTES: usize = 11;

/// TrackerD up to firmware 1.5.3.
pub(super) fn trackerd(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    match (port, payload.len()) {
        // With sensors; with the time instead, or as well.
        (2, 15 | 22) => place(payload, 0, Some(0)),
        (2, 18) => place(payload, 0, None),
        // Without sensors; with speed and sensors; with the time too.
        (3, 11 | 18) => place(payload, 0, None),
        (3, 17 | 24) => place(payload, 0, Some(2)),
        (2 | 3, _) => Err(Unreadable::Length),
        // A place of the past.
        (4, 15) => Ok(Reading::default()),
        (4, _) => Err(Unreadable::Length),
        // Several beacons, without the alarm.
        (9, 3..) => Ok(Reading::default()),
        _ => trackerd_indoors(port, payload),
    }
}

/// TrackerD from firmware 1.5.4 on, TrackerD-LS from 1.0.5 on.
pub(super) fn trackerd_1_5_4(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    const SPEED_AND_COURSE_BYTES: usize = 8;
    match (port, payload.len()) {
        (2, 23) => place(payload, SPEED_AND_COURSE_BYTES, Some(0)),
        (2 | 3, 19) => place(payload, SPEED_AND_COURSE_BYTES, None),
        (2 | 3, _) => Err(Unreadable::Length),
        (4, 25) => Ok(Reading::default()),
        (4, _) => Err(Unreadable::Length),
        // Several beacons: five bytes each.
        (9, bytes) if bytes >= 3 && (bytes - 3) % 5 == 0 => alarm(payload[0]),
        (10, 38) => alarm(payload[35]),
        (10, _) => Err(Unreadable::Length),
        _ => trackerd_indoors(port, payload),
    }
}

/// What both have: state; one beacon; the alarm alone; one network.
fn trackerd_indoors(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    match (port, payload.len()) {
        (5, 9) => Ok(Reading::default()),
        (6, 27 | 31) => alarm(payload[24]),
        (7, 3) => alarm(payload[0]),
        (8, 10) => alarm(payload[7]),
        (5..=9, _) => Err(Unreadable::Length),
        _ => Err(Unreadable::Port),
    }
}

fn alarm(byte: u8) -> Result<Reading, Unreadable> {
    let mut reading = Reading::default();
    reading.note(byte & ALARM != 0, Sign::Sos);
    Ok(reading)
}

/// Latitude, longitude, `between` bytes, alarm and battery, flags, and, if there are
/// `sensors`, so many bytes on humidity and temperature.
fn place(payload: &[u8], between: usize, sensors: Option<usize>) -> Result<Reading, Unreadable> {
    let mut fields = Fields::new(payload);
    let (latitude, longitude) = (fields.be_i32()?, fields.be_i32()?);
    fields.skip(between)?;
    let [alarm_and_battery, _, _flags] = fields.take()?;
    let mut reading = alarm(alarm_and_battery)?;
    reading.position = Position::found(latitude, longitude)?;
    if let Some(before) = sensors {
        fields.skip(before + 2)?;
        reading.temperature_decidegrees = Some(fields.be_i16()?);
    }
    Ok(reading)
}

/// PB01-L: one button.
pub(super) fn pb01(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    if port != 2 {
        return records_or_state(port, payload);
    }
    let mut fields = Fields::exactly(payload, 8)?;
    let [_, _, _sound, pressed] = fields.take()?;
    let mut reading = Reading::default();
    reading.note(pressed & 1 != 0, Sign::Press);
    reading.temperature_decidegrees = Some(fields.be_i16()?);
    Ok(reading)
}

/// PB05-L: five buttons.
pub(super) fn pb05(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    if port != 2 {
        return records_or_state(port, payload);
    }
    let [_, _, _sound, pressed, keys] = Fields::exactly(payload, 5)?.take()?;
    let mut reading = Reading::default();
    let pressed = pressed & 1 != 0;
    for (bit, sign) in Sign::KEYS[..5].iter().enumerate() {
        reading.note(pressed && keys & (1 << bit) != 0, *sign);
    }
    // A press without a key, or a key without a press, is neither a press nor none.
    let contradictory = pressed != (keys & 0x1f != 0);
    if contradictory { Err(Unreadable::Value) } else { Ok(reading) }
}

/// Presses of the past, and what the buttons say of themselves.
fn records_or_state(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    match (port, payload.len()) {
        (3, 1..) if payload.len() % RECORD_BYTES == 0 => Ok(Reading::default()),
        (5, 7) => Ok(Reading::default()),
        (3 | 5, _) => Err(Unreadable::Length),
        _ => Err(Unreadable::Port),
    }
}
