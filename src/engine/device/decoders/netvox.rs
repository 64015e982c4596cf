//! Netvox emergency buttons: R312A, RB02I, and R718T with a button of one's own.
//! Fields as in `TheThingsNetwork/lorawan-devices`, `vendor/netvox/payload/
//! rb02i_r718t_r312a_r312.js`.

use super::Unreadable;
use crate::engine::device::fields::Fields;
use crate::engine::device::{Reading, Sign};

const REPORT_PORT: u8 = 6;
/// Answers to settings: reports, and how long the button must be held.
const ANSWER_PORTS: [u8; 2] = [7, 13];
const REPORT_BYTES: usize = 11;
const PROTOCOL: u8 = 1;
/// RB02I, R718T, R312A. A doorbell (85) is no emergency button.
const TYPES: [u8; 3] = [0x10, 0x31, 0x4d];

pub(super) fn button(port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
    if ANSWER_PORTS.contains(&port) {
        return answer(payload);
    }
    if port != REPORT_PORT {
        return Err(Unreadable::Port);
    }
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

fn answer(payload: &[u8]) -> Result<Reading, Unreadable> {
    match payload {
        [0x81 | 0x82, _, ..] if payload.len() <= REPORT_BYTES => Ok(Reading::default()),
        [] | [_] => Err(Unreadable::Length),
        [0x81 | 0x82, ..] => Err(Unreadable::Length),
        _ => Err(Unreadable::Tag),
    }
}
