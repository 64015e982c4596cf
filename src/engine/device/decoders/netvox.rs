//! Netvox emergency buttons: R312A, RB02I, and R718T with a button of one's own.
//! Fields as in `TheThingsNetwork/lorawan-devices`, `vendor/netvox/payload/
//! rb02i_r718t_r312a_r312.js`.

use super::Unreadable;
use crate::engine::device::fields::Fields;
use crate::engine::device::{Reading, Sign};

const REPORT_PORT: u8 = 6;
/// Answers to settings of reports.
const SETTINGS_PORT: u8 = 7;
/// Answers to how long the button must be held.
const HOLD_PORT: u8 = 13;
const REPORT_BYTES: usize = 11;
const HOLD_BYTES: usize = 2;
const PROTOCOL: u8 = 1;
/// RB02I, R718T, R312A. A doorbell (85) is no emergency button.
const TYPES: [u8; 3] = [0x10, 0x31, 0x4d];

pub(super) fn button(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    match port {
        REPORT_PORT => report(payload),
        SETTINGS_PORT => answer(payload, REPORT_BYTES),
        HOLD_PORT => answer(payload, HOLD_BYTES),
        _ => Err(Unreadable::Port),
    }
}

fn report(payload: &[u8]) -> Result<Reading, Unreadable> {
    let mut fields = Fields::exactly(payload, REPORT_BYTES)?;
    let [protocol, kind, report] = fields.take()?;
    if protocol != PROTOCOL || !TYPES.contains(&kind) {
        return Err(Unreadable::Tag);
    }
    let mut reading = Reading::default();
    match report {
        // Versions and date of the firmware.
        0 => {}
        1 => {
            let [battery, alarm] = fields.take()?;
            if alarm > 1 {
                return Err(Unreadable::Value);
            }
            reading.note(alarm == 1, Sign::Press);
            reading.note(battery & 0x80 != 0, Sign::LowBattery);
        }
        _ => return Err(Unreadable::Tag),
    }
    Ok(reading)
}

fn answer(payload: &[u8], bytes: usize) -> Result<Reading, Unreadable> {
    match Fields::exactly(payload, bytes)?.u8()? {
        0x81 | 0x82 => Ok(Reading::default()),
        _ => Err(Unreadable::Tag),
    }
}
