//! How much of one gateway is shown line by line: one that says too much must not push
//! another's alarm off the screen. What is left out is counted, and told.

use super::incident::UnixMs;
use crate::centre::GATEWAYS_MAX;
use std::collections::BTreeMap;

/// Lines of one gateway in a row, and then each second; alarms are counted apart.
const BURST: u64 = 200;
const PER_S: u64 = 20;

/// What may still be shown of one gateway.
#[derive(Clone, Copy, Debug)]
struct Room {
    lines: u64,
    alarms: u64,
    left_out: u64,
    alarms_left_out: u64,
}

const FULL: Room = Room { lines: BURST, alarms: BURST, left_out: 0, alarms_left_out: 0 };

/// Lines of all gateways.
#[derive(Debug, Default)]
pub struct Flow {
    rooms: BTreeMap<String, Room>,
    filled_ms: UnixMs,
}

/// What was left out of one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Site and gateway; what more gateways there are than can be known are one.
    pub gateway: String,
    /// Lines.
    pub lines: u64,
    /// How many of them were alarms.
    pub alarms: u64,
}

impl Flow {
    /// Whether a line of this gateway is shown.
    pub fn may(&mut self, gateway: &str, is_alarm: bool) -> bool {
        let is_one_too_many = self.rooms.len() >= GATEWAYS_MAX && !self.rooms.contains_key(gateway);
        let slot = if is_one_too_many { "" } else { gateway };
        let room = self.rooms.entry(slot.to_owned()).or_insert(FULL);
        let left = if is_alarm { &mut room.alarms } else { &mut room.lines };
        if *left > 0 {
            *left -= 1;
            return true;
        }
        room.left_out += 1;
        room.alarms_left_out += u64::from(is_alarm);
        false
    }

    /// Gives room again; says what was left out since the last time.
    pub fn tick(&mut self, at_ms: UnixMs) -> Vec<LeftOut> {
        let seconds = at_ms.saturating_sub(self.filled_ms) / 1000;
        if seconds == 0 {
            return Vec::new();
        }
        self.filled_ms = at_ms;
        let mut told = Vec::new();
        for (gateway, room) in &mut self.rooms {
            if room.left_out > 0 {
                told.push(LeftOut {
                    gateway: gateway.clone(),
                    lines: room.left_out,
                    alarms: room.alarms_left_out,
                });
            }
            let more = seconds.saturating_mul(PER_S);
            let lines = room.lines.saturating_add(more).min(BURST);
            let alarms = room.alarms.saturating_add(more).min(BURST);
            *room = Room { lines, alarms, left_out: 0, alarms_left_out: 0 };
        }
        self.rooms.retain(|_, room| room.lines < BURST || room.alarms < BURST);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_says_too_much_is_cut_short_alone_and_its_alarms_apart() {
        let mut flow = Flow::default();
        flow.tick(1000);
        let shown = (0..5000).filter(|_| flow.may("s/rogue", false)).count();
        assert_eq!(shown, 200);
        assert!(flow.may("s/rogue", true) && flow.may("s/g", false));
        let left_out = LeftOut { gateway: "s/rogue".into(), lines: 4800, alarms: 0 };
        assert_eq!(flow.tick(2000), [left_out]);
        assert_eq!((0..5000).filter(|_| flow.may("s/rogue", false)).count(), 20);
        for number in 0..5000 {
            flow.may(&format!("s/{number}"), true);
        }
        assert!(flow.rooms.len() <= GATEWAYS_MAX + 1);
        flow.tick(100_000);
        assert!(flow.rooms.is_empty());
    }
}
