//! `[[device]]`: LoRaWAN pendants, with keys from files.

use super::plan::Plan;
use crate::hex;
use crate::lorawan::{DeviceSession, LoRaWanDevice};
use crate::sim::WireSettings;
use crate::sim::scenario::{Mistake, read_text};
use serde::Deserialize;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Transmissions of one confirmed frame (NbTrans and the 8 of LoRaWAN 1.0.2, section
/// 18.4), and requests of one join, where nothing else is said.
const ATTEMPTS_MAX: u32 = 8;

/// Data rate where nothing else is said.
const SPREADING_FACTOR: u8 = 9;

/// One LoRaWAN pendant.
#[derive(Debug)]
pub struct DeviceSettings {
    /// The name by which steps refer to it.
    pub name: String,
    /// Its forwarder: a place in [`crate::sim::Scenario::wires`].
    pub wire: usize,
    /// Where and when it speaks and listens.
    pub plan: Plan,
    /// Of its uplinks.
    pub spreading_factor: u8,
    /// As it was made.
    pub device: LoRaWanDevice,
    /// The file that keeps its nonce, session and counters.
    pub memory: PathBuf,
    /// Transmissions of one frame, or requests of one join, before it gives up.
    pub attempts_max: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::sim) struct DeviceText {
    pub(in crate::sim) name: String,
    wire: String,
    dev_eui: Option<String>,
    join_eui: Option<String>,
    dev_addr: Option<String>,
    keys_file: PathBuf,
    memory_file: Option<PathBuf>,
    spreading_factor: Option<u8>,
    attempts_max: Option<u32>,
}

/// Checks a device against its wire.
pub(in crate::sim) fn check_device(
    text: &DeviceText,
    span: &Range<usize>,
    wires: &[WireSettings],
    directory: &Path,
) -> Result<DeviceSettings, Mistake> {
    checked(text, wires, directory)
        .map_err(|why| Mistake { at: span.clone(), text: format!("device {:?}: {why}", text.name) })
}

fn checked(
    text: &DeviceText,
    wires: &[WireSettings],
    directory: &Path,
) -> Result<DeviceSettings, String> {
    let wire = wires.iter().position(|wire| wire.name() == text.wire);
    let wire = wire.ok_or_else(|| format!("there is no wire {:?}", text.wire))?;
    let plan = wires[wire].plan().ok_or_else(|| {
        format!("wire {:?} is no packet forwarder: give it kind = \"forwarder\"", text.wire)
    })?;
    let factors = plan.spreading_factors();
    let spreading_factor = text.spreading_factor.unwrap_or(SPREADING_FACTOR);
    if !factors.contains(&spreading_factor) {
        let (least, most) = factors.into_inner();
        return Err(format!("spreading_factor = {spreading_factor}: write {least} to {most}"));
    }
    let attempts_max = text.attempts_max.unwrap_or(ATTEMPTS_MAX);
    if attempts_max == 0 {
        return Err("attempts_max = 0 would say nothing; at least 1".to_owned());
    }
    let keys_file = directory.join(&text.keys_file);
    let device = made(text, &keys_file)?;
    let memory = match &text.memory_file {
        Some(file) => directory.join(file),
        None => keys_file.with_extension("memory"),
    };
    let name = text.name.clone();
    Ok(DeviceSettings { name, wire, plan, spreading_factor, device, memory, attempts_max })
}

/// The device as it left its factory.
fn made(text: &DeviceText, keys_file: &Path) -> Result<LoRaWanDevice, String> {
    match (&text.dev_eui, &text.dev_addr) {
        (Some(dev_eui), None) => {
            let dev_eui = number(dev_eui, 16).ok_or("`dev_eui` is not 16 hexadecimal digits")?;
            let [app_key] = keys(keys_file, ["AppKey"])?;
            let mut device = LoRaWanDevice::new(dev_eui, app_key);
            if let Some(join_eui) = &text.join_eui {
                let eui = number(join_eui, 16);
                device.join_eui = eui.ok_or("`join_eui` is not 16 hexadecimal digits")?;
            }
            Ok(device)
        }
        (None, Some(dev_addr)) if text.join_eui.is_none() => {
            let address = number(dev_addr, 8).and_then(|number| u32::try_from(number).ok());
            let dev_addr = address.ok_or("`dev_addr` is not 8 hexadecimal digits")?;
            let [nwk_s_key, app_s_key] = keys(keys_file, ["NwkSKey", "AppSKey"])?;
            // It never joins: what joins are made with is nobody's.
            let mut device = LoRaWanDevice::new(0, [0; 16]);
            device.session = Some(DeviceSession {
                dev_addr,
                nwk_s_key,
                app_s_key,
                up: 0,
                down: None,
                owes_ack: false,
            });
            Ok(device)
        }
        _ => Err("give `dev_eui` (and `join_eui`) of a device that joins, or `dev_addr` of one \
                  that was given its session"
            .to_owned()),
    }
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let whole = text.len() == digits && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    whole.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// Keys as `enroll --keys-fd` takes them, a line each. No message shows them.
fn keys<const N: usize>(path: &Path, names: [&str; N]) -> Result<[[u8; 16]; N], String> {
    let text = read_text(path).map_err(|error| error.to_string())?;
    let lines: Option<Vec<[u8; 16]>> =
        text.lines().map(|line| hex::decode(line.trim())?.try_into().ok()).collect();
    lines.and_then(|lines| lines.try_into().ok()).ok_or_else(|| {
        let names = names.join(", then ");
        format!(
            "{} must hold what `enroll --keys-fd` takes, 32 hexadecimal digits a line: {names}",
            path.display()
        )
    })
}
