//! The machine around the gateway: files and their rights, memory, disk, devices, the
//! service. Numbers and names only; no file of a site is read.

use super::plain;
use crate::config::Config;
use rustix::fs::statvfs;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

const BYTES_PER_MIB: u64 = 1024 * 1024;
/// A file of `/proc` or `/sys` has no more.
const SMALL_BYTES_MAX: usize = 4096;
const UNIT_PROPERTIES: &str = "ActiveState,SubState,Result,ExecMainStatus,ExecMainStartTimestamp,\
                               NRestarts,MemoryCurrent,MemoryPeak,CPUUsageNSec,TasksCurrent,\
                               WatchdogUSec,FragmentPath,DropInPaths,UnitFileState";

/// Owner and rights of what the configuration names.
pub(super) fn files(config_path: &Path, config: Option<&Config>) -> String {
    let mut paths = BTreeSet::from([config_path.to_owned()]);
    if let Some(config) = config {
        let store = &config.store;
        paths.extend(["", "journal", "history", "keyring"].map(|part| store.directory.join(part)));
        paths.extend([store.key_file.clone(), config.control.socket.clone()]);
        paths.extend(config.centre.keys_file.clone());
        paths.extend(config.centre.export_key_file.clone());
        for broker in &config.brokers {
            paths.extend(
                [&broker.ca_file, &broker.certificate_file, &broker.key_file].map(Clone::clone),
            );
            paths.extend(broker.password_file.clone());
        }
    }
    paths.iter().map(|path| format!("{}: {}\n", path.display(), rights(path))).collect()
}

fn rights(path: &Path) -> String {
    match fs::metadata(path) {
        Ok(found) => {
            let mode = found.permissions().mode() & 0o7777;
            format!(
                "{mode:04o}, user {}, group {}, {} bytes",
                found.uid(),
                found.gid(),
                found.len()
            )
        }
        Err(error) => error.to_string(),
    }
}

pub(super) fn machine() -> String {
    let mut text = String::new();
    let small = [
        ("kernel", "/proc/version"),
        ("model", "/proc/device-tree/model"),
        ("up and idle, s", "/proc/uptime"),
        ("load", "/proc/loadavg"),
        ("temperature, m°C", "/sys/class/thermal/thermal_zone0/temp"),
        ("throttled (Pi)", "/sys/devices/platform/soc/soc:firmware/get_throttled"),
    ];
    for (name, path) in small {
        if let Some(value) = read(path) {
            text += &format!("{name}: {}\n", value.trim_end_matches('\0').trim());
        }
    }
    let lines = [
        ("/etc/os-release", "PRETTY_NAME="),
        ("/proc/meminfo", "MemTotal:"),
        ("/proc/meminfo", "MemAvailable:"),
        ("/proc/meminfo", "SwapTotal:"),
        ("/proc/meminfo", "Dirty:"),
    ];
    for (path, begin) in lines {
        let found = read(path).unwrap_or_default();
        text.extend(found.lines().filter(|line| line.starts_with(begin)).map(|l| format!("{l}\n")));
    }
    for place in ["/", "/var/lib", "/run"] {
        if let Ok(room) = statvfs(place) {
            let mib = |blocks: u64| blocks.saturating_mul(room.f_frsize) / BYTES_PER_MIB;
            text += &format!(
                "disk at {place}: {} MiB free of {} MiB, {} files free\n",
                mib(room.f_bavail),
                mib(room.f_blocks),
                room.f_favail
            );
        }
    }
    text
}

/// Ports, radios' devices and networks, by their names.
pub(super) fn devices() -> String {
    let of = |folder: &str, begins: &[&str]| {
        let mut names: Vec<String> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| begins.iter().any(|begin| name.starts_with(begin)))
            .collect();
        names.sort();
        if names.is_empty() { "none".to_owned() } else { plain(&names.join(", ")) }
    };
    let ports = ["ttyUSB", "ttyACM", "ttyAMA", "ttyS", "serial"];
    let networks = of("/sys/class/net", &[""]);
    let network = |name: &str| {
        let state = read(&format!("/sys/class/net/{name}/operstate")).unwrap_or_default();
        format!("{name} {}", state.trim())
    };
    let networks: Vec<String> = networks.split(", ").map(network).collect();
    format!(
        "serial by id: {}\nports: {}\nSPI and GPIO: {}\nlamps: {}\nnetworks: {}\n",
        of("/dev/serial/by-id", &[""]),
        of("/dev", &ports),
        of("/dev", &["spidev", "gpiochip"]),
        of("/sys/class/leds", &[""]),
        networks.join(", ")
    )
}

/// The unit's state, and whether the clock follows a time server.
pub(super) fn service() -> String {
    let unit = run("systemctl", &["show", "pendant-gateway", "-p", UNIT_PROPERTIES]);
    let clock = run("timedatectl", &["show", "-p", "NTP,NTPSynchronized,Timezone"]);
    [unit, clock].map(|said| said.unwrap_or_else(|fault| fault)).join("\n")
}

/// What a program prints; why there is nothing.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program}: {}: {}", output.status, plain(said.trim())));
    }
    Ok(plain(&String::from_utf8_lossy(&output.stdout)))
}

fn read(path: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&fs::read(path).ok()?).into_owned();
    Some(plain(&text.chars().take(SMALL_BYTES_MAX).collect::<String>()))
}
