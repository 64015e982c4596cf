//! `check`, the receivers and the network interfaces that the configuration names.

use super::findings::Findings;
use super::radio;
use crate::config::{Config, LinkKind};
use rustix::fs::{Access, access};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// A mobile network's interface may come and go, but its name must be right.
pub(super) fn examine_interfaces(config: &Config, findings: &mut Findings) {
    for broker in &config.brokers {
        let Some(interface) = &broker.interface else { continue };
        let about = format!("broker {}", broker.name);
        if Path::new("/sys/class/net").join(interface).exists() {
            findings.good(&about, format!("network interface {interface} is there"));
        } else {
            findings.wrong(
                &about,
                format!("there is no network interface {interface} now"),
                "plug the modem in, or correct `interface` (`ip -brief link` shows what is there)",
            );
        }
    }
}

pub(super) fn examine(config: &Config, enrolled: usize, findings: &mut Findings) {
    for link in &config.links {
        let about = format!("link {}", link.name);
        let (path, is_right, what): (_, fn(&std::fs::FileType) -> bool, _) = match &link.kind {
            LinkKind::Serial { path, .. } => (path, FileTypeExt::is_char_device, "serial port"),
            LinkKind::VirtualRadio(settings) => {
                (&settings.socket, FileTypeExt::is_socket, "socket")
            }
            LinkKind::Concentrator(concentrator) => {
                radio::await_forwarder(&about, concentrator, findings);
                continue;
            }
            LinkKind::Radio(settings) => {
                radio::try_out(&about, settings, findings);
                continue;
            }
        };
        let shown = path.display();
        match std::fs::metadata(path) {
            Err(error) => findings.wrong(
                &about,
                format!("there is no {what} {shown}: {error}"),
                "plug the receiver in, or correct the path (`ls -l /dev/serial/by-id` shows what is there)",
            ),
            Ok(metadata) if !is_right(&metadata.file_type()) => {
                findings.wrong(&about, format!("{shown} is no {what}"), "correct the path");
            }
            Ok(_) if access(path, Access::READ_OK | Access::WRITE_OK).is_err() => findings.wrong(
                &about,
                format!("this user may not use {shown}"),
                "let the gateway's user use it: usermod -a -G dialout pendant-gateway; or check as that user",
            ),
            Ok(_) => findings.good(&about, format!("{what} {shown} is there")),
        }
    }
    radio::count_answers(config, enrolled, findings);
}
