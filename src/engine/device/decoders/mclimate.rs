//! MClimate Multipurpose Button: commands of one byte, each with a value whose length
//! follows from it; last stands the state. Fields as in
//! `TheThingsNetwork/lorawan-devices`, `vendor/mclimate/mc-button.js`.

use super::Unreadable;
use crate::engine::device::fields::Fields;
use crate::engine::device::{Reading, Sign};

const PORT: u8 = 2;

pub(super) fn button(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    if port != PORT {
        return Err(Unreadable::Port);
    }
    let mut fields = Fields::new(payload);
    loop {
        match fields.u8()? {
            0x01 => break,
            // Answers to questions: intervals, kind of uplink, region; versions, watchdog;
            // presses counted.
            0x12 | 0x19 | 0x1b | 0x1f | 0xa4 => fields.skip(1)?,
            0x04 | 0x1d => fields.skip(2)?,
            0xb1..=0xb3 => fields.skip(3)?,
            _ => return Err(Unreadable::Tag),
        }
    }
    let [_battery, high, low, pressed] = fields.take()?;
    if !fields.is_empty() {
        return Err(Unreadable::Length);
    }
    state(high, low, pressed)
}

/// The temperature has ten bits, and one that says that its sensor is broken.
fn state(high: u8, low: u8, pressed: u8) -> Result<Reading, Unreadable> {
    const SENSOR_BROKEN: u8 = 0x04;
    let mut reading = Reading::default();
    match pressed {
        0 => {}
        1 => reading.note(true, Sign::PressShort),
        2 => reading.note(true, Sign::PressDouble),
        3 => reading.note(true, Sign::PressTriple),
        _ => return Err(Unreadable::Value),
    }
    if high & SENSOR_BROKEN == 0 {
        reading.temperature_decidegrees = Some(i16::from_be_bytes([high & 0x03, low]));
    }
    Ok(reading)
}
