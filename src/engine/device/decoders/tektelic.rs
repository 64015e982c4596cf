//! Tektelic SEAL: channels of two bytes, each with a value whose length follows from
//! them. Big-endian. Fields as in `TheThingsNetwork/lorawan-devices`,
//! `vendor/tektelic/decoder_seal.js`.

use super::Unreadable;
use crate::engine::device::fields::Fields;
use crate::engine::device::{Reading, Sign};

const PORT: u8 = 10;
/// Beacons; settings and answers to them.
const INFORMATION_PORTS: [u8; 3] = [25, 100, 101];

pub(super) fn seal(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    let mut fields = Fields::new(payload);
    if fields.is_empty() {
        return Err(Unreadable::Length);
    }
    if INFORMATION_PORTS.contains(&port) {
        return Ok(Reading::default());
    }
    if port != PORT {
        return Err(Unreadable::Port);
    }
    let mut reading = Reading::default();
    while !fields.is_empty() {
        match fields.take()? {
            [0x00, 0xd3] => reading.battery(fields.u8()?)?,
            [0x00, 0x67] => reading.temperature_decidegrees = Some(fields.be_i16()?),
            [0x02, 0x95] => safety(fields.u8()?, &mut reading),
            // Fix, speed, fences; days left, pressure; time; acceleration.
            [0x00, 0x00 | 0x92 | 0x95] | [0x01, 0x95] => fields.skip(1)?,
            [0x00, 0xbd | 0x73 | 0x74] => fields.skip(2)?,
            [0x00, 0x85] => fields.skip(4)?,
            [0x00, 0x71] => fields.skip(6)?,
            // The place. Its steps are published rounded to three digits only, which may be
            // many kilometres off: no place is better than a wrong one.
            [0x00, 0x88] => fields.skip(8)?,
            _ => return Err(Unreadable::Tag),
        }
    }
    Ok(reading)
}

/// Emergency button, fall, the search for safety, "ear", pressure: which of them are on.
/// That one is off says nothing of whether it was on.
fn safety(on: u8, reading: &mut Reading) {
    reading.note(on & 0x01 != 0, Sign::Sos);
    reading.note(on & 0x02 != 0, Sign::Fall);
}
