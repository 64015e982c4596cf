//! Milesight: channels of two bytes (number, type), each with a value whose length
//! follows from them. Little-endian. Fields as in `Milesight-IoT/SensorDecoders`,
//! `ws-series` and `at-series`.

use super::Unreadable;
use crate::engine::device::fields::Fields;
use crate::engine::device::{Position, Reading, Sign};

const PORT: u8 = 85;

/// WS101, WS101 SOS: one button.
pub(super) fn ws101(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    channels(port, payload, |channel, fields, reading| match channel {
        [0xff, 0x2e] => {
            let sign = match fields.u8()? {
                1 => Sign::PressShort,
                2 => Sign::PressLong,
                3 => Sign::PressDouble,
                _ => return Err(Unreadable::Value),
            };
            reading.note(true, sign);
            Ok(())
        }
        // The serial number, and answers to settings: interval, restart, report, LED,
        // buzzer, double press.
        [0xff, 0x08] => fields.skip(6),
        [0xfe | 0xff, 0x03] => fields.skip(2),
        [0xfe | 0xff, 0x10 | 0x28 | 0x2f | 0x3e | 0x74] => fields.skip(1),
        _ => Err(Unreadable::Tag),
    })
}

/// WS136 and WS156: six buttons. Behind the button's number stand two bytes that mean
/// one thing in the manual and another in the decoder's description; they are not read.
pub(super) fn ws1x6(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    channels(port, payload, |channel, fields, reading| match channel {
        [0xff, 0x34] => {
            let key = usize::from(fields.u8()?).checked_sub(1).ok_or(Unreadable::Value)?;
            reading.note(true, *Sign::KEYS.get(key).ok_or(Unreadable::Value)?);
            fields.skip(2)
        }
        [0xff, 0x16] => fields.skip(8),
        _ => Err(Unreadable::Tag),
    })
}

/// AT101: a tracker without a button that tells when it is taken off.
pub(super) fn at101(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    channels(port, payload, |channel, fields, reading| {
        match channel {
            [0x03, 0x67] => reading.temperature_decidegrees = Some(fields.le_i16()?),
            [0x83, 0x67] => {
                reading.temperature_decidegrees = Some(fields.le_i16()?);
                fields.skip(1)?;
            }
            [0x04 | 0x84, 0x88] => {
                let (latitude, longitude) = (fields.le_i32()?, fields.le_i32()?);
                reading.position = Position::found(latitude, longitude)?;
                fields.skip(1)?;
            }
            [0x07, 0x00] => match fields.u8()? {
                0 => {}
                1 => reading.note(true, Sign::Tamper),
                _ => return Err(Unreadable::Value),
            },
            // Tilt; a network that was heard; a place of the past.
            [0x05, 0x00] => fields.skip(1)?,
            [0x06, 0xd9] => fields.skip(9)?,
            [0x20, 0xce] => fields.skip(12)?,
            [0xff, 0x16] => fields.skip(8)?,
            _ => return Err(Unreadable::Tag),
        }
        Ok(())
    })
}

/// Reads channel by channel. What all devices of the maker have is read here, the rest
/// by `own`.
fn channels(
    port: u8,
    payload: &[u8],
    own: impl Fn([u8; 2], &mut Fields<'_>, &mut Reading) -> Result<(), Unreadable>,
) -> Result<Reading, Unreadable> {
    if port != PORT {
        return Err(Unreadable::Port);
    }
    let mut fields = Fields::new(payload);
    if fields.is_empty() {
        return Err(Unreadable::Length);
    }
    let mut reading = Reading::default();
    while !fields.is_empty() {
        match fields.take()? {
            [0x01, 0x75] => reading.battery(fields.u8()?)?,
            // What it tells after a join: protocol, class, reset, power on; versions.
            [0xff, 0x01 | 0x0b | 0x0f | 0xfe] => fields.skip(1)?,
            [0xff, 0x09 | 0x0a | 0xff] => fields.skip(2)?,
            channel => own(channel, &mut fields, &mut reading)?,
        }
    }
    Ok(reading)
}
