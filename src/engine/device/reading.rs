//! What stands in one payload.

use super::decoders::Unreadable;
use super::sign::Sign;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What stands in one payload. Only what the device says itself: volts are not made
/// into percent, and a place that the device does not vouch for is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What it says; nothing in a status report.
    pub signs: BTreeSet<Sign>,
    /// Battery, percent of full.
    pub battery_percent: Option<u8>,
    /// Where it is.
    pub position: Option<Position>,
    /// Temperature in or at the device, tenths of a degree Celsius.
    pub temperature_decidegrees: Option<i16>,
}

impl Reading {
    /// Adds a sign if `said`.
    pub(super) fn note(&mut self, said: bool, sign: Sign) {
        if said {
            self.signs.insert(sign);
        }
    }

    /// Takes a battery in percent.
    pub(super) fn battery(&mut self, percent: u8) -> Result<(), Unreadable> {
        if percent > 100 {
            return Err(Unreadable::Value);
        }
        self.battery_percent = Some(percent);
        Ok(())
    }
}

/// A place, WGS 84.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Latitude, millionths of a degree, north positive.
    pub latitude_e6: i32,
    /// Longitude, millionths of a degree, east positive.
    pub longitude_e6: i32,
    /// How far off it may be, metres.
    pub accuracy_m: Option<u16>,
    /// How long before the payload it was found, seconds.
    pub age_s: Option<u16>,
}

impl Position {
    /// A place from a device. `None` is what devices without a fix send: 0, 0, or all
    /// bits set in either.
    ///
    /// # Errors
    /// There is no such place on Earth: these bytes are something else.
    pub(super) fn found(latitude_e6: i32, longitude_e6: i32) -> Result<Option<Self>, Unreadable> {
        if (latitude_e6, longitude_e6) == (0, 0) || latitude_e6 == -1 || longitude_e6 == -1 {
            return Ok(None);
        }
        if latitude_e6.unsigned_abs() > 90_000_000 || longitude_e6.unsigned_abs() > 180_000_000 {
            return Err(Unreadable::Value);
        }
        Ok(Some(Self { latitude_e6, longitude_e6, accuracy_m: None, age_s: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_fix_is_no_place_and_no_place_on_earth_is_refused() {
        for (latitude, longitude) in [(0, 0), (-1, -1), (-1, 5), (5, -1)] {
            assert_eq!(Position::found(latitude, longitude), Ok(None));
        }
        for (latitude, longitude) in
            [(90_000_001, 0), (0, -180_000_001), (i32::MIN, 1), (1, i32::MIN), (i32::MAX, i32::MAX)]
        {
            assert_eq!(Position::found(latitude, longitude), Err(Unreadable::Value));
        }
        let pole = Position::found(-90_000_000, 180_000_000).expect("a place").expect("found");
        assert_eq!((pole.latitude_e6, pole.longitude_e6), (-90_000_000, 180_000_000));
        assert!(Position::found(0, 1).expect("a place").is_some());
    }
}
