//! MOKO LW004-PB panic button and LW001-BG PRO tracker. Big-endian. Fields as in
//! `TheThingsNetwork/lorawan-devices`, `vendor/moko/lw004.js` and `lw001-bgpro.js`.

use super::Unreadable;
use crate::engine::device::fields::Fields;
use crate::engine::device::{Position, Reading, Sign};

/// A network or beacon that was heard.
const HEARD_BYTES: usize = 7;
const PERCENT: u8 = 0x7f;

/// LW004-PB with firmware 3. The port is the kind of message.
pub(super) fn lw004(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    let bytes = payload.len();
    let heard = |head: usize| bytes >= head && (bytes - head) % HEARD_BYTES == 0;
    let right = match port {
        1 | 4 | 7 | 11 => bytes == 7,
        2 => bytes == 9,
        3 | 5 => bytes == 8,
        6 | 10 => bytes == 11,
        8 | 12 => heard(4),
        9 | 13 => heard(3),
        _ => return Err(Unreadable::Port),
    };
    if !right {
        return Err(Unreadable::Length);
    }
    let mut reading = Reading::default();
    reading.battery(payload[0] & PERCENT)?;
    match port {
        1 => lw004_event(payload[6], &mut reading)?,
        6 | 10 => {
            lw004_state((payload[1] >> 2) & 0x07, &mut reading)?;
            reading.position = lw004_place(payload)?;
        }
        _ => lw004_state(payload[1] & 0x0f, &mut reading)?,
    }
    reading.note(port == 5, Sign::LowBattery);
    Ok(reading)
}

fn lw004_event(event: u8, reading: &mut Reading) -> Result<(), Unreadable> {
    let sign = match event {
        3 => Sign::Sos,
        4 => Sign::SosEnded,
        5 => Sign::Alert,
        6 => Sign::AlertEnded,
        7 => Sign::ManDown,
        8 => Sign::ManDownEnded,
        // Moving, resting; asked for its place.
        0..=2 | 9 => return Ok(()),
        _ => return Err(Unreadable::Value),
    };
    reading.note(true, sign);
    Ok(())
}

/// The state that every message repeats, should the event itself be lost.
fn lw004_state(state: u8, reading: &mut Reading) -> Result<(), Unreadable> {
    let sign = match state {
        2 => Sign::ManDown,
        3 => Sign::Alert,
        4 => Sign::Sos,
        0 | 1 => return Ok(()),
        _ => return Err(Unreadable::Value),
    };
    reading.note(true, sign);
    Ok(())
}

/// Ten bits of age, then longitude and latitude in ten-millionths of a degree.
fn lw004_place(payload: &[u8]) -> Result<Option<Position>, Unreadable> {
    let age_s = u16::from_be_bytes([payload[1] & 0x03, payload[2]]);
    let mut fields = Fields::new(&payload[3..]);
    let (longitude, latitude) = (fields.be_i32()?, fields.be_i32()?);
    let found = Position::found(latitude / 10, longitude / 10)?;
    Ok(found.map(|position| Position { age_s: Some(age_s), ..position }))
}

/// LW001-BG PRO: a tracker without a button. Every message begins with its state.
pub(super) fn lw001(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    let right = match port {
        1 => payload.len() == 9,
        4 | 8 => payload.len() == 4,
        5 | 6 => payload.len() == 5,
        7 => payload.len() == 11,
        9 => payload.len() == 23,
        2 | 3 => payload.len() >= 5,
        _ => return Err(Unreadable::Port),
    };
    if !right {
        return Err(Unreadable::Length);
    }
    let mut fields = Fields::new(payload);
    let [state, temperature, _] = fields.take()?;
    let mut reading = Reading::default();
    reading.note(state & 0x04 != 0, Sign::LowBattery);
    reading.note(state & 0x08 != 0 || port == 7, Sign::Tamper);
    reading.note(state & 0x10 != 0 || port == 6, Sign::Motionless);
    reading.note(port == 5, Sign::Shock);
    reading.temperature_decidegrees = Some(i16::from(i8::from_be_bytes([temperature])) * 10);
    if port == 2 {
        reading.position = lw001_place(fields)?;
    }
    Ok(reading)
}

/// The way, the time, a length, and for satellites latitude, longitude and dilution.
fn lw001_place(mut fields: Fields<'_>) -> Result<Option<Position>, Unreadable> {
    const SATELLITES: u8 = 2;
    const TIME_BYTES: usize = 8;
    let way = fields.u8()?;
    fields.skip(TIME_BYTES)?;
    let bytes = usize::from(fields.u8()?);
    let mut place = Fields::exactly(fields.slice(bytes)?, bytes)?;
    if !fields.is_empty() {
        return Err(Unreadable::Length);
    }
    match way {
        0 | 1 if bytes % HEARD_BYTES == 0 => Ok(None),
        SATELLITES if bytes == 9 => {
            let (latitude, longitude) = (place.be_i32()?, place.be_i32()?);
            Position::found(latitude / 10, longitude / 10)
        }
        0..=2 => Err(Unreadable::Length),
        _ => Err(Unreadable::Tag),
    }
}
