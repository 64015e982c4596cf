//! `check`, the service: whether the gateway is started at boot, runs, and is the
//! program that is installed; and what it says of its brokers.

use super::findings::Findings;
use crate::cli::control_client::ControlError;
use crate::cli::machine::Machine;
use crate::cli::test_alarm::look_at;
use serde_json::Value;

/// The unit's name.
pub(in crate::cli) const UNIT: &str = "pendant-gateway.service";

const ABOUT: &str = "service";
const FOLDERS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Whether systemd runs here.
pub(in crate::cli) fn has_systemd(machine: &Machine) -> bool {
    machine.has("/run/systemd/system")
}

/// Whether systemd runs here and knows the gateway's unit.
pub(in crate::cli) fn is_installed(machine: &Machine) -> bool {
    has_systemd(machine) && FOLDERS.iter().any(|folder| machine.has(format!("{folder}/{UNIT}")))
}

/// `status`: what the running gateway says of itself, if one does.
pub(super) fn examine(
    machine: &Machine,
    status: &Result<Value, ControlError>,
    findings: &mut Findings,
) {
    if has_systemd(machine) {
        examine_unit(machine, findings);
    }
    match status {
        Ok(status) => examine_running(status, findings),
        Err(ControlError::NotRunning(_)) => findings.advice(
            ABOUT,
            "the gateway does not run now".to_owned(),
            "when nothing is wrong, start it: systemctl enable --now pendant-gateway",
        ),
        Err(error) => findings.advice(
            ABOUT,
            format!("the gateway runs, but cannot be asked: {error}"),
            "run this as root, or as the gateway's user: sudo -u pendant-gateway pendant-gateway check",
        ),
    }
}

fn examine_unit(machine: &Machine, findings: &mut Findings) {
    if !is_installed(machine) {
        return findings.advice(
            ABOUT,
            format!("there is no unit {UNIT}: nothing starts the gateway after a power cut"),
            "install the package, or the unit by hand (docs/install.md)",
        );
    }
    if !machine.has(format!("/etc/systemd/system/multi-user.target.wants/{UNIT}")) {
        findings.advice(
            ABOUT,
            "the gateway is not started at boot".to_owned(),
            "systemctl enable pendant-gateway",
        );
    }
}

fn examine_running(status: &Value, findings: &mut Findings) {
    let here = env!("CARGO_PKG_VERSION");
    let runs = status["version"].as_str().unwrap_or("?").escape_debug().to_string();
    if runs == here {
        findings.good(ABOUT, format!("the gateway runs, version {runs}"));
    } else {
        findings.advice(
            ABOUT,
            format!("version {runs} runs, but {here} is installed"),
            "systemctl restart pendant-gateway (nothing that pendants were answered is lost)",
        );
    }
    let brokers = status["brokers"].as_array().map(Vec::as_slice).unwrap_or_default();
    for broker in brokers {
        let about = format!("broker {}", broker["name"].as_str().unwrap_or("?").escape_debug());
        if broker["connected"] != true {
            let text = "the running gateway is not connected to it".to_owned();
            let only = serde_json::json!({ "brokers": [broker] });
            findings.wrong(&about, text, &look_at(&only));
        } else {
            findings.good(&about, "the running gateway is connected and logged in".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::findings::one;
    use crate::cli::machine::planted::Planted;
    use serde_json::json;

    fn planted(files: &[&str]) -> Planted {
        let files: Vec<(&str, &str)> = files.iter().map(|path| (*path, "")).collect();
        Planted::new(&files)
    }

    const SYSTEMD: &str = "/run/systemd/system/x";
    const THERE: &str = "/usr/lib/systemd/system/pendant-gateway.service";

    #[test]
    fn a_unit_that_is_missing_or_not_enabled_is_advised() {
        for (files, words, remedy) in [
            (&[SYSTEMD][..], "there is no unit", "install the package"),
            (&[SYSTEMD, THERE], "not started at boot", "systemctl enable"),
        ] {
            let mut findings = Findings::default();
            examine_unit(&planted(files).machine(), &mut findings);
            let (grade, text, told) = one(&findings);
            assert!(grade == "advice" && text.contains(words) && told.contains(remedy), "{text}");
        }
        let enabled = "/etc/systemd/system/multi-user.target.wants/pendant-gateway.service";
        let mut findings = Findings::default();
        examine_unit(&planted(&[SYSTEMD, THERE, enabled]).machine(), &mut findings);
        assert!(findings.0.is_empty());
    }

    #[test]
    fn a_gateway_that_does_not_run_or_is_not_the_installed_one_is_advised() {
        let none = planted(&[]);
        let stopped = Err(ControlError::NotRunning("/run/x".into()));
        let mut findings = Findings::default();
        examine(&none.machine(), &stopped, &mut findings);
        let (grade, text, remedy) = one(&findings);
        assert!(grade == "advice" && text.contains("does not run"), "{text}");
        assert!(remedy.contains("systemctl enable --now"), "{remedy}");
        let mut findings = Findings::default();
        examine(&none.machine(), &Ok(json!({ "version": "0.0.1" })), &mut findings);
        let (grade, text, remedy) = one(&findings);
        assert!(grade == "advice" && text.contains("version 0.0.1 runs"), "{text}");
        assert!(remedy.contains("systemctl restart"), "{remedy}");
        let mut findings = Findings::default();
        examine(&none.machine(), &Err(ControlError::Denied("/run/x".into())), &mut findings);
        assert!(one(&findings).2.contains("sudo -u pendant-gateway"));
    }

    #[test]
    fn what_the_running_gateway_says_of_a_broker_is_told() {
        let status = |connected: bool| {
            Ok(json!({
                "version": env!("CARGO_PKG_VERSION"),
                "brokers": [{ "name": "b", "connected": connected, "fault": "the login is refused" }],
            }))
        };
        let told = |connected| {
            let mut findings = Findings::default();
            examine(&planted(&[]).machine(), &status(connected), &mut findings);
            findings.0.remove(0);
            one(&findings)
        };
        assert_eq!(told(true).0, "good");
        assert_eq!((told(false).0, told(false).2), ("wrong".into(), "the login is refused".into()));
    }
}
