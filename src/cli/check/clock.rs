//! `check`, the clock: events bear its time, and certificates are judged by it.

use super::findings::Findings;
use crate::cli::machine::Machine;
use std::time::Duration;

/// 2025-01-01T00:00:00Z: a clock that says less was never set.
const NEVER_SET_BEFORE_S: u64 = 1_735_689_600;
/// What the clock is off by is told from here on.
const LARGE_ERROR: Duration = Duration::from_secs(1);

/// `within`: the kernel's bound on the error, if the clock is synchronised.
pub(super) fn examine(
    machine: &Machine,
    within: Option<Duration>,
    unix_s: u64,
    findings: &mut Findings,
) {
    let remedy = remedy(machine);
    if unix_s < NEVER_SET_BEFORE_S {
        let text =
            "the clock was never set: events bear no time, and certificates may seem not valid yet";
        return findings.wrong("clock", text.to_owned(), &remedy);
    }
    match within {
        None => findings.advice(
            "clock",
            "the clock is set, but nothing keeps it right: times of events are marked as unverified".to_owned(),
            &remedy,
        ),
        Some(error) if error > LARGE_ERROR => findings.advice(
            "clock",
            format!("the clock is synchronised, but may be off by {} s", error.as_secs()),
            "look at its sources: `timedatectl timesync-status`, or `chronyc sources`",
        ),
        Some(error) => findings
            .good("clock", format!("the clock is synchronised, within {} ms", error.as_millis().max(1))),
    }
}

/// By what is installed to keep the time.
fn remedy(machine: &Machine) -> String {
    if machine.has("/usr/sbin/chronyd") {
        return "chrony keeps the time here: `systemctl enable --now chrony`, then `chronyc sources`; it \
                needs UDP port 123, or a time server on site"
            .to_owned();
    }
    if machine.has("/usr/lib/systemd/systemd-timesyncd") {
        return "switch it on: `timedatectl set-ntp true`; if it is on, `timedatectl timesync-status` says \
                what is missing (UDP port 123 to a time server)"
            .to_owned();
    }
    "install a program that keeps the time: `apt install systemd-timesyncd`".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::findings::one;
    use crate::cli::machine::planted::Planted;

    const NOW: u64 = 1_790_000_000;

    fn found(planted: &Planted, within: Option<Duration>, unix_s: u64) -> (String, String, String) {
        let mut findings = Findings::default();
        examine(&planted.machine(), within, unix_s, &mut findings);
        one(&findings)
    }

    #[test]
    fn a_clock_that_was_never_set_is_wrong() {
        let (grade, text, remedy) = found(&Planted::new(&[]), Some(Duration::ZERO), 100_000);
        assert!(grade == "wrong" && text.contains("never set"), "{text}");
        assert!(remedy.contains("apt install systemd-timesyncd"), "{remedy}");
    }

    #[test]
    fn a_clock_that_nothing_keeps_is_advised_by_what_is_there() {
        for (program, words) in [
            ("/usr/lib/systemd/systemd-timesyncd", "timedatectl set-ntp true"),
            ("/usr/sbin/chronyd", "systemctl enable --now chrony"),
        ] {
            let (grade, text, remedy) = found(&Planted::new(&[(program, "")]), None, NOW);
            assert!(grade == "advice" && text.contains("nothing keeps it right"), "{text}");
            assert!(remedy.contains(words), "{remedy}");
        }
    }

    #[test]
    fn a_large_error_is_told_and_a_small_one_is_good() {
        let planted = Planted::new(&[]);
        let (grade, text, _) = found(&planted, Some(Duration::from_secs(7)), NOW);
        assert!(grade == "advice" && text.contains("off by 7 s"), "{text}");
        let (grade, text, _) = found(&planted, Some(Duration::from_micros(12_345)), NOW);
        assert!(grade == "good" && text.contains("within 12 ms"), "{text}");
    }
}
