//! `check`, the power supply of a Raspberry Pi: what its firmware saw of under-voltage.

use super::findings::Findings;
use crate::cli::machine::Machine;

/// Bits of the firmware's `get_throttled` (Raspberry Pi documentation, vcgencmd).
const UNDER_VOLTAGE_NOW: u32 = 1;
const THROTTLED_NOW: u32 = 1 << 1 | 1 << 2 | 1 << 3;
const UNDER_VOLTAGE_SINCE_BOOT: u32 = 1 << 16;

const SUPPLY: &str = "use the maker's power supply, a short thick cable, and a supply of its own for what \
                      draws much (modems, amplified radios)";

pub(super) fn examine(machine: &Machine, findings: &mut Findings) {
    let throttled = throttled(machine);
    let alarm = alarm(machine);
    let Some(bits) = throttled.or_else(|| alarm.map(u32::from)) else {
        // Not a Raspberry Pi, or one that says nothing.
        return;
    };
    if bits & UNDER_VOLTAGE_NOW != 0 || alarm == Some(true) {
        let text = "the supply voltage is too low now: the card may be damaged, the radio deaf";
        findings.wrong("power", text.to_owned(), SUPPLY);
    } else if bits & UNDER_VOLTAGE_SINCE_BOOT != 0 {
        let text = "the supply voltage was too low at times since the last start";
        findings.advice("power", text.to_owned(), SUPPLY);
    } else if bits & THROTTLED_NOW != 0 {
        let text = "the processor is slowed down, because it is hot";
        findings.advice("power", text.to_owned(), "give it air, or a heat sink; no sun on the box");
    } else {
        findings.good("power", "the supply voltage is and was high enough".to_owned());
    }
}

fn throttled(machine: &Machine) -> Option<u32> {
    let folders = ["/sys/devices/platform/soc", "/sys/devices/platform"];
    let firmware = folders.iter().flat_map(|folder| machine.entries(folder));
    let mut firmware = firmware.filter(|path| path.to_string_lossy().ends_with(":firmware"));
    let text =
        firmware.find_map(|path| std::fs::read_to_string(path.join("get_throttled")).ok())?;
    u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
}

/// The kernel's own watch, where the firmware's word is not shown.
fn alarm(machine: &Machine) -> Option<bool> {
    let monitors = machine.entries("/sys/class/hwmon");
    let volt = monitors.iter().find(|monitor| {
        std::fs::read_to_string(monitor.join("name")).is_ok_and(|name| name.trim() == "rpi_volt")
    })?;
    let text = std::fs::read_to_string(volt.join("in0_lcrit_alarm")).ok()?;
    Some(text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::findings::one;
    use crate::cli::machine::planted::Planted;

    const THROTTLED: &str = "/sys/devices/platform/soc/soc:firmware/get_throttled";

    fn found(files: &[(&str, &str)]) -> (String, String, String) {
        let mut findings = Findings::default();
        examine(&Planted::new(files).machine(), &mut findings);
        one(&findings)
    }

    #[test]
    fn too_low_a_voltage_now_is_wrong() {
        for files in [
            &[(THROTTLED, "50005\n")][..],
            &[
                ("/sys/class/hwmon/hwmon1/name", "rpi_volt\n"),
                ("/sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n"),
            ],
        ] {
            let (grade, text, remedy) = found(files);
            assert!(grade == "wrong" && text.contains("too low now"), "{text}");
            assert!(remedy.contains("power supply"), "{remedy}");
        }
    }

    #[test]
    fn what_was_too_low_and_what_is_hot_is_advised() {
        let (grade, text, _) = found(&[(THROTTLED, "0x50000\n")]);
        assert!(grade == "advice" && text.contains("since the last start"), "{text}");
        let (grade, text, remedy) = found(&[(THROTTLED, "8\n")]);
        assert!(grade == "advice" && text.contains("hot") && remedy.contains("air"), "{text}");
        assert_eq!(found(&[(THROTTLED, "0\n")]).0, "good");
    }

    #[test]
    fn another_machine_says_nothing() {
        let mut findings = Findings::default();
        examine(
            &Planted::new(&[("/sys/class/hwmon/hwmon0/name", "acpitz\n")]).machine(),
            &mut findings,
        );
        assert!(findings.0.is_empty());
    }
}
