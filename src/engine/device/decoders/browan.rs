//! Browan TBPB100 panic button. Fields as in `TheThingsNetwork/lorawan-devices`,
//! `vendor/browan/tbpb100.js`; the port of settings as in the manuals of its family.

use super::Unreadable;
use crate::engine::device::fields::Fields;
use crate::engine::device::{Reading, Sign};

const PORT: u8 = 147;
/// Settings, and what it says of itself after a join.
const INFORMATION_PORT: u8 = 204;
const BYTES: usize = 8;
const ZERO_CELSIUS: i16 = 32;

pub(super) fn tbpb100(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    match port {
        PORT => {}
        INFORMATION_PORT if payload.is_empty() => return Err(Unreadable::Length),
        INFORMATION_PORT => return Ok(Reading::default()),
        _ => return Err(Unreadable::Port),
    }
    let [status, _battery, temperature] = Fields::exactly(payload, BYTES)?.take()?;
    let mut reading = Reading::default();
    reading.note(status & 1 != 0, Sign::Press);
    let degrees = i16::from(temperature & 0x7f) - ZERO_CELSIUS;
    reading.temperature_decidegrees = Some(degrees * 10);
    Ok(reading)
}
