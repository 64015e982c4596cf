//! `check` of what is enrolled: whether it and what the configuration says of pendants that
//! were bought fit each other, and who has typed no PINs yet. It says nothing of what signs
//! mean.

use super::findings::Findings;
use crate::config::Config;
use crate::engine::keyring::{Enrolment, Keyring, Secrets};

pub(super) fn examine(config: &Config, keyring: &Keyring, findings: &mut Findings) {
    for enrolment in keyring.iter() {
        let pendant = enrolment.pendant;
        if matches!(enrolment.secrets, Secrets::Native { pins: None, .. }) {
            findings.advice(
                &format!("pendant {pendant}"),
                format!("pendant {pendant} has no PINs: no PIN ends what it begins"),
                &format!("let its wearer type them: pendants bind {pendant} --wearer …"),
            );
        }
        if let Some((text, remedy)) = fault(config, enrolment) {
            findings.wrong(
                &format!("pendant {pendant}"),
                format!("pendant {pendant} {text}"),
                &remedy,
            );
        }
    }
}

fn fault(config: &Config, enrolment: &Enrolment) -> Option<(&'static str, String)> {
    let number = enrolment.pendant;
    let device = config.pendants.devices.get(&number);
    let unvouched = device.map(|device| device.decoder.is_unvouched());
    let name_it = || format!("write a [[pendant]] with number = \"{number}\" and its device");
    let enrol_it =
        |how: &str| format!("enrol it anew: enroll --pendant {number} --replace {how} …");
    match (&enrolment.secrets, unvouched) {
        (Secrets::Native { .. }, None) => None,
        (Secrets::Native { .. }, Some(_)) => Some((
            "has a device that was bought, and is enrolled as a native pendant",
            enrol_it("--dev-eui"),
        )),
        (_, None) => Some((
            "was bought, and nothing says which device it is: what it says is not understood",
            name_it(),
        )),
        (Secrets::LoRaWan(_), _) if config.lorawan.is_none() => Some((
            "speaks LoRaWAN, to which the gateway does not listen",
            "write a section [lorawan] with region = \"EU868\" or \"US915\"".to_owned(),
        )),
        (Secrets::Claimed { .. }, _) if !config.hears_unvouched() => Some((
            "has no receiver",
            "add a [[link]] with codec = \"meshtastic\" or \"echostream\"".to_owned(),
        )),
        (Secrets::LoRaWan(_), Some(true)) => {
            Some(("is enrolled for LoRaWAN, which its device does not speak", enrol_it("--node")))
        }
        (Secrets::Claimed { .. }, Some(false)) => Some((
            "has a device that speaks LoRaWAN, and is enrolled without keys",
            enrol_it("--dev-eui"),
        )),
        (Secrets::LoRaWan(_) | Secrets::Claimed { .. }, Some(_)) => None,
    }
}
