//! Abeeway trackers with AT2 firmware: Micro Tracker, Compact Tracker, Smart Badge.
//! Big-endian. Fields as in the maker's reference guide (`debraysimon/tpxle-doc`,
//! `AbeewayRefGuide/uplink-messages`) and in `TheThingsNetwork/lorawan-devices`,
//! `vendor/abeeway/asset-tracker-2.js`.

use super::Unreadable;
use crate::engine::device::fields::Fields;
use crate::engine::device::{Position, Reading, Sign};

const PORT: u8 = 18;
/// The only message without the head that all others have.
const FRAME_PENDING: u8 = 0x00;
const POSITION: u8 = 0x03;
const MOTION: u8 = 0x07;
const SHUTDOWN: u8 = 0x09;
const EVENT: u8 = 0x0a;
const EXTENDED_POSITION: u8 = 0x0e;
/// Power and health, heartbeat, a collection of what was heard.
const REPORTS: [u8; 3] = [0x04, 0x05, 0x0b];
const SOS: u8 = 0x10;

pub(super) fn at2(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    if port != PORT {
        return Err(Unreadable::Port);
    }
    if let [FRAME_PENDING, _token] = payload {
        return Ok(Reading::default());
    }
    let mut fields = Fields::new(payload);
    let [kind, status, battery, temperature, option] = fields.take()?;
    let mut reading = Reading::default();
    reading.note(status & SOS != 0, Sign::Sos);
    // 0: it is charged; above 100 an error, or a voltage of older firmware.
    if (1..=100).contains(&battery) {
        reading.battery(battery)?;
    }
    reading.temperature_decidegrees = Some(decidegrees(temperature));
    match kind {
        POSITION => reading.position = position(option & 0x0f, fields)?,
        EXTENDED_POSITION => reading.position = extended_position(option & 0x0f, fields)?,
        EVENT => event(fields.u8()?, &mut reading)?,
        MOTION => reading.note(is_shock(fields)?, Sign::Shock),
        // 1: an empty battery. Others: who or what switched it off.
        SHUTDOWN => reading.note(fields.u8()? == 1, Sign::LowBattery),
        _ if REPORTS.contains(&kind) => fields.skip(1)?,
        _ => return Err(Unreadable::Tag),
    }
    Ok(reading)
}

/// -44.0 to 85.0 degrees in 255 steps, rounded to tenths.
fn decidegrees(step: u8) -> i16 {
    const LOWEST: i16 = -440;
    const SPAN: u32 = 1290;
    let above = (u32::from(step) * SPAN * 2 + 255) / (255 * 2);
    LOWEST + i16::try_from(above).expect("at most the span")
}

/// 24 bits of latitude and longitude, in 256 ten-millionths of a degree.
fn position(way: u8, mut fields: Fields<'_>) -> Result<Option<Position>, Unreadable> {
    const SATELLITES: u8 = 0;
    /// What newer firmware adds for its maker.
    const ENCRYPTED_BYTES: usize = 3;
    if way != SATELLITES {
        // Networks and beacons that were heard, or why nothing was found.
        fields.skip(1)?;
        return Ok(None);
    }
    let age = fields.u8()?;
    let [a, b, c] = fields.take()?;
    let latitude = i32::from_be_bytes([a, b, c, 0]);
    let [a, b, c] = fields.take()?;
    let longitude = i32::from_be_bytes([a, b, c, 0]);
    let accuracy = fields.u8()?;
    if !fields.is_empty() {
        fields.skip(ENCRYPTED_BYTES)?;
    }
    if !fields.is_empty() {
        return Err(Unreadable::Length);
    }
    let found = Position::found(latitude / 10, longitude / 10)?;
    Ok(found.map(|position| Position {
        // 0 to 1000 m in 255 steps, rounded up; 0 to 2040 s in steps of 8 s.
        accuracy_m: Some((u16::from(accuracy) * 200).div_ceil(51)),
        age_s: Some(u16::from(age) * 8),
        ..position
    }))
}

/// Age in seconds, flags, and 32 bits each, in ten-millionths of a degree.
fn extended_position(way: u8, mut fields: Fields<'_>) -> Result<Option<Position>, Unreadable> {
    const SATELLITES: u8 = 0;
    let age_s = fields.take().map(u16::from_be_bytes)?;
    if way != SATELLITES {
        return Ok(None);
    }
    fields.skip(1)?;
    let (latitude, longitude) = (fields.be_i32()?, fields.be_i32()?);
    let found = Position::found(latitude / 10, longitude / 10)?;
    Ok(found.map(|position| Position { age_s: Some(age_s), ..position }))
}

/// Messages that share a kind: activity, settings, shock, activity by times, and the
/// Bluetooth address. Newer firmware adds four bytes to a shock.
fn is_shock(mut fields: Fields<'_>) -> Result<bool, Unreadable> {
    let tag = fields.u8()? & 0x07;
    match (tag, fields.left()) {
        (3, 7 | 11) => Ok(true),
        (1, 4) | (4, 16) | (5, 6) => Ok(false),
        (2, settings) if settings % 5 == 0 => Ok(false),
        (1..=5, _) => Err(Unreadable::Length),
        _ => Err(Unreadable::Tag),
    }
}

fn event(event: u8, reading: &mut Reading) -> Result<(), Unreadable> {
    match event {
        7 => reading.note(true, Sign::Sos),
        8 => reading.note(true, Sign::SosEnded),
        // Searching, moving, resting, Bluetooth, heat, tilt, fence.
        0..=6 | 9 | 10 => {}
        _ => return Err(Unreadable::Value),
    }
    Ok(())
}
