//! What a fleet takes of the machine: processor time and memory, as Linux counts them.

use std::fs;
use std::time::Duration;

/// Linux tells processor time in these, whatever its own tick is.
const TICKS_A_S: u64 = 100;

/// Processor time so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Of the gateways and their pendants.
    pub gateways: Duration,
    /// Of the centre's desk.
    pub desk: Duration,
    /// Of the broker, if it is ours.
    pub broker: Duration,
}

impl Cpu {
    /// Until now. The desk's threads are those with `desk` in their names.
    pub(super) fn now(broker: Option<u32>) -> Self {
        let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let desk = threads.map(|it| it.path()).filter(|it| {
            fs::read_to_string(it.join("comm")).is_ok_and(|name| name.contains("desk"))
        });
        let desk = desk.map(|it| used(&it.join("stat").to_string_lossy())).sum();
        let broker = broker.map(|id| used(&format!("/proc/{id}/stat")));
        let all = used("/proc/self/stat");
        Self { gateways: all.saturating_sub(desk), desk, broker: broker.unwrap_or_default() }
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            gateways: self.gateways.saturating_sub(before.gateways),
            desk: self.desk.saturating_sub(before.desk),
            broker: self.broker.saturating_sub(before.broker),
        }
    }
}

/// proc(5): after the name in brackets, user and system time are the 12th and 13th.
fn used(stat: &str) -> Duration {
    let text = fs::read_to_string(stat).unwrap_or_default();
    let after = text.rsplit_once(") ").map_or("", |(_, after)| after);
    let ticks: u64 =
        after.split(' ').skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * (1000 / TICKS_A_S))
}

/// Memory of this process, bytes.
pub(super) fn resident_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(0);
    kib * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_tells_both() {
        assert!(resident_bytes() > 1 << 20);
        let before = Cpu::now(None);
        let mut sum = 0u64;
        while Cpu::now(None).since(before).gateways < Duration::from_millis(30) {
            sum = (0..1_000_000).fold(sum, u64::wrapping_add);
        }
        assert_eq!(Cpu::now(None).broker, Duration::ZERO);
    }
}
