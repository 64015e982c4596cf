//! `[[link]]` of kind `concentrator`: where a packet forwarder calls, and how
//! pendants are answered through it.

use super::problem::Report;
use super::radio::{air, air_keys, place};
use super::reader::Section;
use super::sections::HOMES;
use super::{Concentrator, LinkKind};
use pendant_hal::concentrator::Eui;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

pub(super) const KEYS: &[&str] = air_keys!("listen", "eui");

/// What concentrators with and without amplifier can be set to, dBm.
const POWER_DBM: RangeInclusive<i64> = 0..=30;

pub(super) fn concentrator(section: &Section<'_>, report: &mut Report<'_>) -> Option<LinkKind> {
    section.require("eui", "\"aa555a0000000101\", the gateway_ID of the forwarder", report);
    section.require("region", "\"EU868\"", report);
    let listen = listen(section, report);
    let eui = eui(section, report);
    let air = air(section, POWER_DBM, report);
    section.finish(HOMES, report);
    Some(LinkKind::Concentrator(Concentrator { listen: listen?, eui: eui?, air: air? }))
}

fn listen(section: &Section<'_>, report: &mut Report<'_>) -> Option<SocketAddr> {
    const USUAL: &str = "127.0.0.1:1700";
    if section.value("listen").is_none() {
        return USUAL.parse().ok();
    }
    let text = section.text("listen", report)?;
    let Ok(address) = text.get_ref().parse::<SocketAddr>() else {
        report.refuse(
            text.span(),
            "`listen` is an IP address of this machine and a UDP port",
            format!("write: listen = \"{USUAL}\""),
        );
        return None;
    };
    if !address.ip().is_loopback() {
        report.warn(
            text.span(),
            format!(
                "whoever reaches {address} can hand in frames and see when pendants are answered"
            ),
            "let the forwarder run on this machine and write 127.0.0.1, or let a firewall pass the \
             forwarder alone",
        );
    }
    Some(address)
}

fn eui(section: &Section<'_>, report: &mut Report<'_>) -> Option<Eui> {
    let text = section.text("eui", report)?;
    let eui = text.get_ref().parse();
    if eui.is_err() {
        report.refuse(
            place(section, "eui"),
            "`eui` has 16 hexadecimal digits",
            "copy gateway_ID from the forwarder's local_conf.json or global_conf.json",
        );
    }
    eui.ok()
}
