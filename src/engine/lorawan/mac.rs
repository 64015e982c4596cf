//! Commands of the network layer, as far as a device asks for something. They are
//! read here and not by the codec, whose reader panics on a command that is cut off.

use super::plan::demodulation_floor_quarter_db;
use crate::engine::seam::Signal;
use crate::engine::time::Wall;

/// What a device asks for in one uplink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Requests {
    /// Whether it is heard, and how well.
    pub(super) link_check: bool,
    /// What time it is.
    pub(super) device_time: bool,
}

/// Seconds from 1970 to the beginning of GPS time, 1980-01-06.
const GPS_EPOCH_UNIX_S: i64 = 315_964_800;
/// Leap seconds since then (IERS Bulletin C; none are planned).
const LEAP_S: i64 = 18;

const LINK_CHECK: u8 = 0x02;
const DEVICE_TIME: u8 = 0x0D;

impl Requests {
    /// Reads commands one after the other, up to the first that is unknown or cut
    /// off: how long that is, nobody knows (LoRaWAN 1.0.3, section 5).
    pub(super) fn read(commands: &[u8]) -> Self {
        let mut requests = Self::default();
        let mut left = commands;
        while let [command, rest @ ..] = left {
            let Some(length) = length(*command) else { break };
            let Some(rest) = rest.get(length..) else { break };
            requests.link_check |= *command == LINK_CHECK;
            requests.device_time |= *command == DEVICE_TIME;
            left = rest;
        }
        requests
    }

    pub(super) fn any(self) -> bool {
        self.link_check || self.device_time
    }

    /// The answers, as they stand in a downlink's options: 9 bytes at most. A clock
    /// that is not set tells nobody the time.
    pub(in crate::engine) fn answers(self, signal: &Signal, received: Wall) -> Vec<u8> {
        let mut answers = Vec::new();
        if self.link_check {
            // Heard by this gateway, at least.
            answers.extend([LINK_CHECK, margin_db(signal), 1]);
        }
        if let (true, Wall::Set { unix_ms, .. }) = (self.device_time, received) {
            let gps_ms = unix_ms.saturating_sub((GPS_EPOCH_UNIX_S - LEAP_S) * 1000).max(0);
            let seconds = u32::try_from(gps_ms / 1000).unwrap_or(u32::MAX);
            // In 1/256 s.
            let fraction = u8::try_from(gps_ms % 1000 * 256 / 1000).unwrap_or(u8::MAX);
            answers.push(DEVICE_TIME);
            answers.extend(seconds.to_le_bytes());
            answers.push(fraction);
        }
        answers
    }
}

/// How far a frame was above the weakest that could be heard, dB; 255 is reserved.
fn margin_db(signal: &Signal) -> u8 {
    let floor = signal.spreading_factor.map(demodulation_floor_quarter_db);
    let above = signal.snr_quarter_db.zip(floor).map_or(0, |(snr, floor)| (snr - floor) / 4);
    u8::try_from(above.clamp(0, 254)).unwrap_or(0)
}

/// Bytes behind an uplink command's number (LoRaWAN 1.0.3, table 4; 1.0.4, table 5).
fn length(command: u8) -> Option<usize> {
    match command {
        LINK_CHECK | 0x04 | 0x08 | 0x09 | DEVICE_TIME => Some(0),
        0x03 | 0x05 | 0x07 | 0x0A => Some(1),
        0x06 => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::WallSource;
    use proptest::prelude::*;

    #[test]
    fn what_is_asked_is_found_behind_other_answers() {
        let asks = |bytes: &[u8]| {
            let requests = Requests::read(bytes);
            (requests.link_check, requests.device_time)
        };
        assert_eq!(asks(&[]), (false, false));
        assert_eq!(asks(&[0x02]), (true, false));
        assert_eq!(asks(&[0x06, 0x0D, 0x02, 0x0D]), (false, true));
        assert_eq!(asks(&[0x03, 0x07, 0x02]), (true, false));
        // Unknown, or cut off: nothing behind it is believed.
        assert_eq!(asks(&[0x80, 0x02]), (false, false));
        assert_eq!(asks(&[0x02, 0x03]), (true, false));
    }

    #[test]
    fn the_answers_are_those_of_the_specification() {
        let signal =
            Signal { snr_quarter_db: Some(-20), spreading_factor: Some(12), ..Signal::default() };
        let both = Requests { link_check: true, device_time: true };
        // 2026-11-25T00:00:00.500Z is GPS second 1479600018.
        let wall =
            Wall::Set { unix_ms: 1_795_564_800_500, uncertainty_ms: 1, source: WallSource::Ntp };
        let seconds = 1_479_600_018_u32.to_le_bytes();
        let mut expected = vec![0x02, 15, 1, 0x0D];
        expected.extend(seconds);
        expected.push(128);
        assert_eq!(both.answers(&signal, wall), expected);
        assert_eq!(both.answers(&signal, Wall::Unset), [0x02, 15, 1]);
        assert_eq!(both.answers(&Signal::default(), Wall::Unset), [0x02, 0, 1]);
        assert!(Requests::default().answers(&signal, wall).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = Requests::read(&bytes);
        }
    }
}
