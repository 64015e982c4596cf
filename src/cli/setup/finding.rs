//! What could be a receiver on this machine: serial ports, and radios on its own pins.

use crate::cli::machine::Machine;
use std::path::{Path, PathBuf};

/// Serial ports behind USB, and those of boards, by what their names begin with. The unit
/// allows the same.
const USB: [&str; 2] = ["ttyUSB", "ttyACM"];
const BUILT_IN: [&str; 3] = ["ttyAMA", "ttyS", "ttymxc"];

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    /// By the name that stays.
    pub(super) path: PathBuf,
    /// What the adapter says it is.
    pub(super) what: String,
    /// What else has it open.
    pub(super) held_by: Option<String>,
    pub(super) is_usb: bool,
}

/// What a radio on this machine's own pins would need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pins {
    pub(super) spi: Vec<PathBuf>,
    pub(super) gpio: Vec<PathBuf>,
    /// The board by what is plugged on says of itself.
    pub(super) board: Option<&'static str>,
    /// What this machine is.
    pub(super) model: Option<String>,
}

/// Words in what a HAT says of itself, and the board.
const HATS: [(&str, &str); 4] = [
    ("rak6421", "rak6421-rak13300"),
    ("sx1262", "waveshare-sx1262-hat"),
    ("rfm9", "adafruit-rfm95-bonnet"),
    ("dragino", "dragino-lora-gps-hat"),
];

/// USB first: built-in ports are seldom what is meant.
pub(super) fn ports(machine: &Machine) -> Vec<Port> {
    let mut ports: Vec<Port> = Vec::new();
    let mut known: Vec<PathBuf> = Vec::new();
    for link in machine.entries("/dev/serial/by-id") {
        let Ok(target) = std::fs::read_link(&link) else { continue };
        let Some(name) = target.file_name() else { continue };
        let device = Path::new("/dev").join(name);
        ports.push(port(machine, machine.own_name(&link), &device, true));
        known.push(device);
    }
    let devices = machine.entries("/dev").into_iter().map(|path| machine.own_name(&path));
    let mut others = Vec::new();
    for device in devices.filter(|device| !known.contains(device)) {
        let name =
            device.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_usb = USB.iter().any(|kind| name.starts_with(kind));
        let built_in = BUILT_IN.iter().any(|kind| name.starts_with(kind));
        if is_usb || (built_in && has_hardware(machine, &name)) {
            others.push(port(machine, device.clone(), &device, is_usb));
        }
    }
    others.sort_by_key(|port| !port.is_usb);
    ports.extend(others);
    ports
}

/// A PC has 32 names for the ports that it might have.
fn has_hardware(machine: &Machine, name: &str) -> bool {
    machine.text(format!("/sys/class/tty/{name}/type")).is_some_and(|kind| kind != "0")
}

fn port(machine: &Machine, path: PathBuf, device: &Path, is_usb: bool) -> Port {
    let name =
        device.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let what = if is_usb { maker(machine, &name) } else { Some("built in".to_owned()) };
    let console = machine.text("/sys/class/tty/console/active").unwrap_or_default();
    let is_console = console.split_whitespace().any(|active| active == name);
    let held_by =
        is_console.then(|| "the system's console".to_owned()).or_else(|| holder(machine, device));
    Port { path, what: what.unwrap_or_else(|| "USB".to_owned()), held_by, is_usb }
}

/// Maker and product of the USB device to which a port belongs.
fn maker(machine: &Machine, name: &str) -> Option<String> {
    let device = machine.path(format!("/sys/class/tty/{name}/device")).canonicalize().ok()?;
    let usb = device.ancestors().find(|folder| folder.join("idVendor").exists())?;
    let word = |file: &str| std::fs::read_to_string(usb.join(file)).ok();
    let words: Vec<String> =
        [word("manufacturer"), word("product")].into_iter().flatten().collect();
    let words: Vec<String> =
        words.iter().map(|word| word.trim().escape_debug().to_string()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The program that has a device open, as far as this user may know.
fn holder(machine: &Machine, device: &Path) -> Option<String> {
    machine.entries("/proc").into_iter().find_map(|process| {
        process.file_name()?.to_str()?.parse::<u32>().ok()?;
        let files = std::fs::read_dir(process.join("fd")).ok()?;
        let mut open = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        open.any(|open| open == device).then_some(())?;
        let name = std::fs::read_to_string(process.join("comm")).ok()?;
        Some(name.trim().escape_debug().to_string())
    })
}

pub(super) fn pins(machine: &Machine) -> Pins {
    let devices = machine.entries("/dev").into_iter().map(|path| machine.own_name(&path));
    let mut pins = Pins::default();
    for device in devices {
        match device.file_name().and_then(|name| name.to_str()) {
            Some(name) if name.starts_with("spidev") => pins.spi.push(device),
            Some(name) if name.starts_with("gpiochip") => pins.gpio.push(device),
            _ => {}
        }
    }
    let words =
        ["product", "vendor"].map(|file| machine.text(format!("/proc/device-tree/hat/{file}")));
    let words = words.into_iter().flatten().collect::<Vec<_>>().join(" ").to_lowercase();
    pins.board = HATS.iter().find(|(word, _)| words.contains(word)).map(|(_, board)| *board);
    pins.model =
        machine.text("/proc/device-tree/model").map(|model| model.escape_debug().to_string());
    pins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::machine::planted::Planted;

    #[test]
    fn every_port_that_is_offered_the_unit_allows() {
        let unit = include_str!("../../../systemd/pendant-gateway.service");
        for kind in USB.into_iter().chain(BUILT_IN) {
            let line = format!("DeviceAllow=char-{kind} rw");
            assert!(unit.lines().any(|allowed| allowed == line), "{line}");
        }
    }

    #[test]
    fn ports_are_found_by_the_name_that_stays_with_maker_and_holder() {
        let planted = Planted::new(&[
            ("/dev/ttyUSB0", ""),
            ("/dev/ttyACM3", ""),
            ("/dev/ttyAMA0", ""),
            ("/dev/ttyS0", ""),
            ("/dev/ttyS1", ""),
            ("/dev/tty1", ""),
            ("/sys/class/tty/ttyAMA0/type", "32\n"),
            ("/sys/class/tty/ttyS0/type", "4\n"),
            ("/sys/class/tty/ttyS1/type", "0\n"),
            ("/sys/class/tty/console/active", "tty1 ttyAMA0\n"),
            ("/sys/devices/usb1/1-1/idVendor", "0403\n"),
            ("/sys/devices/usb1/1-1/manufacturer", "FTDI\n"),
            ("/sys/devices/usb1/1-1/product", "FT232R USB UART\n"),
            ("/sys/devices/usb1/1-1/1-1:1.0/ttyUSB0/port_number", "0\n"),
            ("/proc/812/comm", "ModemManager\n"),
            ("/proc/version", "Linux\n"),
        ]);
        planted.link("/dev/serial/by-id/usb-FTDI_FT232R-if00-port0", "../../ttyUSB0");
        planted.link("/sys/class/tty/ttyUSB0/device", "../../../devices/usb1/1-1/1-1:1.0/ttyUSB0");
        planted.link("/proc/812/fd/7", "/dev/ttyUSB0");
        let ports = ports(&planted.machine());
        let port = |path: &str, what: &str, held_by: Option<&str>, is_usb| Port {
            path: path.into(),
            what: what.into(),
            held_by: held_by.map(str::to_owned),
            is_usb,
        };
        assert_eq!(
            ports,
            [
                port(
                    "/dev/serial/by-id/usb-FTDI_FT232R-if00-port0",
                    "FTDI FT232R USB UART",
                    Some("ModemManager"),
                    true
                ),
                port("/dev/ttyACM3", "USB", None, true),
                port("/dev/ttyAMA0", "built in", Some("the system's console"), false),
                port("/dev/ttyS0", "built in", None, false),
            ]
        );
    }

    #[test]
    fn the_pins_of_a_radio_and_its_board_are_found() {
        let planted = Planted::new(&[
            ("/dev/spidev0.0", ""),
            ("/dev/spidev0.1", ""),
            ("/dev/gpiochip0", ""),
            ("/proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0"),
            ("/proc/device-tree/hat/product", "RAK6421 Pi-HAT\0"),
        ]);
        let pins = pins(&planted.machine());
        assert_eq!((pins.spi.len(), pins.gpio.len(), pins.board), (2, 1, Some("rak6421-rak13300")));
        assert_eq!(pins.model.as_deref(), Some("Raspberry Pi 4 Model B Rev 1.4"));
        assert_eq!(super::pins(&Planted::new(&[]).machine()), Pins::default());
        let boards = super::super::text::boards();
        assert!(HATS.iter().all(|(_, board)| boards.contains(board)));
    }
}
