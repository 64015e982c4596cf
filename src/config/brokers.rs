//! `[[broker]]`: the centre's brokers, the first one first.

use super::files::Need;
use super::problem::Report;
use super::quantity::{Quantity, Unit};
use super::reader::Section;
use super::sections::{HOMES, name, named_file, sections, whole};
use super::{Broker, MqttVersion};
use crate::engine::name::Name;
use crate::engine::seam::BROKERS_MAX;

pub(super) const BROKER: &[&str] = &[
    "name",
    "host",
    "port",
    "mqtt",
    "interface",
    "client_id",
    "ca_file",
    "certificate_file",
    "key_file",
    "server_name",
    "keep_alive_s",
    "session_expiry_s",
    "username",
    "password_file",
];

pub(super) fn brokers(
    top: &Section<'_>,
    gateway: Option<&Name>,
    receipts: bool,
    report: &mut Report<'_>,
) -> Option<Vec<Broker>> {
    let sections = sections(top, "broker", "[[broker]]", BROKER, report);
    if top.value("broker").is_none() {
        report.refuse(
            top.header(),
            "there is no [[broker]]",
            "add a section [[broker]] with host and files",
        );
    }
    for surplus in sections.iter().skip(BROKERS_MAX) {
        report.refuse(
            surplus.header(),
            format!("more than {BROKERS_MAX} [[broker]]"),
            "remove this section",
        );
    }
    let mut brokers: Vec<Broker> = Vec::new();
    let mut all_read = !sections.is_empty();
    for (place, section) in (1..).zip(sections.iter().take(BROKERS_MAX)) {
        match broker(section, place, gateway, report) {
            Some(broker) => {
                refuse_twin(section, &broker, &brokers, report);
                judge_version(section, broker.mqtt, receipts, report);
                brokers.push(broker);
            }
            None => all_read = false,
        }
    }
    all_read.then_some(brokers)
}

/// Two of one name could not be told apart in events and in `status`; two lines
/// of one client to one broker throw each other out.
fn refuse_twin(section: &Section<'_>, broker: &Broker, others: &[Broker], report: &mut Report<'_>) {
    let at = |key| section.value(key).map_or(section.header(), toml::Spanned::span);
    if others.iter().any(|other| other.name == broker.name) {
        let text = format!("a second [[broker]] named \"{}\"", broker.name);
        report.refuse(at("name"), text, "give each its own name");
    }
    let same = |other: &&Broker| {
        (&other.host, other.port, &other.client_id)
            == (&broker.host, broker.port, &broker.client_id)
    };
    if let Some(other) = others.iter().find(same) {
        report.refuse(
            at("host"),
            format!("the same broker as \"{}\"", other.name),
            "name another host, or give this one a client_id of its own",
        );
    }
}

/// What MQTT 3.1.1 has no word for.
fn judge_version(
    section: &Section<'_>,
    mqtt: MqttVersion,
    receipts: bool,
    report: &mut Report<'_>,
) {
    if mqtt == MqttVersion::V5 {
        return;
    }
    if let Some(value) = section.value("mqtt").filter(|_| !receipts) {
        report.refuse(
            value.span(),
            "a broker that speaks MQTT 3.1.1 drops what it refuses without a word, and without \
             receipts that would be lost",
            "write: receipts = true in [delivery], or use a broker that speaks MQTT 5",
        );
    }
    if let Some(value) = section.value("session_expiry_s") {
        report.warn(
            value.span(),
            "`session_expiry_s` cannot be told to a broker that speaks MQTT 3.1.1",
            "set at the broker how long it keeps a session, and remove this line",
        );
    }
}

fn broker(
    section: &Section<'_>,
    place: usize,
    gateway: Option<&Name>,
    report: &mut Report<'_>,
) -> Option<Broker> {
    section.require("host", "\"mqtt.example.org\"", report);
    let host = host(section, "host", report);
    let mut file = |key, need| {
        section.require(key, "\"/etc/pendant-gateway/tls/…pem\"", report);
        named_file(section, key, need, report)
    };
    let ca_file = file("ca_file", Need::Readable);
    let certificate_file = file("certificate_file", Need::Readable);
    let key_file = file("key_file", Need::Secret);
    let username = username(section, report);
    let password_file = named_file(section, "password_file", Need::Secret, report);
    if let Some(value) =
        section.value("password_file").filter(|_| section.value("username").is_none())
    {
        report.refuse(
            value.span(),
            "`password_file` without `username`",
            "write: username = \"…\" as well",
        );
    }
    let port = whole(section, "port", &Quantity::new(Unit::Plain, 1..=65_535), 8883, report);
    if let Some(value) = section.value("port").filter(|_| port == 1883) {
        report.warn(
            value.span(),
            "1883 is the port of MQTT without TLS; this gateway always uses TLS",
            "write: port = 8883, unless this broker does speak TLS there",
        );
    }
    let versions = [("5", MqttVersion::V5), ("3.1.1", MqttVersion::V3_1_1)];
    let mqtt = section.choice("mqtt", &versions, report).unwrap_or_default();
    let name = match section.value("name") {
        Some(_) => self::name(section, "name", report),
        None => Some(Name::new(&format!("broker-{place}")).expect("a name")),
    };
    let client_id = match section.value("client_id") {
        Some(_) => self::name(section, "client_id", report).map(|name| name.to_string()),
        None => gateway.map(|gateway| gateway.as_str().to_owned()),
    };
    let keep_alive_s =
        whole(section, "keep_alive_s", &Quantity::new(Unit::Seconds, 5..=3600), 30, report);
    let expiry = Quantity::new(Unit::Seconds, 60..=i64::from(u32::MAX));
    let session_expiry_s = whole(section, "session_expiry_s", &expiry, 604_800, report);
    // What is written and refused was told: no default takes its place.
    let server_name = self::host(section, "server_name", report);
    let interface = interface(section, report);
    section.finish(HOMES, report);
    Some(Broker {
        name: name?,
        host: host?,
        port,
        mqtt,
        interface,
        client_id: client_id?,
        ca_file: ca_file?,
        certificate_file: certificate_file?,
        key_file: key_file?,
        server_name,
        keep_alive_s,
        session_expiry_s,
        username,
        password_file,
    })
}

/// A text of MQTT: of at most 65535 bytes, and without control characters (MQTT 5, 1.5.4).
fn username(section: &Section<'_>, report: &mut Report<'_>) -> Option<String> {
    let text = section.text("username", report)?;
    let name = *text.get_ref();
    if name.len() <= usize::from(u16::MAX) && !name.contains(char::is_control) {
        return Some(name.to_owned());
    }
    report.refuse(
        text.span(),
        "`username` has at most 65535 bytes, and no control characters",
        "write the name that the broker knows, on one line",
    );
    None
}

fn host(section: &Section<'_>, key: &str, report: &mut Report<'_>) -> Option<String> {
    let text = section.text(key, report)?;
    let host = *text.get_ref();
    if rustls_pki_types::ServerName::try_from(host).is_ok() {
        return Some(host.to_owned());
    }
    let bare = host.split_once("://").map_or(host, |(_, rest)| rest);
    let bare = bare.split(['/', ':']).next().unwrap_or_default();
    let remedy = match rustls_pki_types::ServerName::try_from(bare) {
        Ok(_) => format!("write: {key} = \"{bare}\" (the port has its own line: port = 8883)"),
        Err(_) => "write a name such as \"mqtt.example.org\", or an IP address".to_owned(),
    };
    report.refuse(text.span(), format!("`{key}` is a host's name or address alone"), remedy);
    None
}

/// A network interface's name, as Linux has it: 1 to 15 bytes without '/' and
/// white space (`dev_valid_name` in the kernel's net/core/dev.c).
fn interface(section: &Section<'_>, report: &mut Report<'_>) -> Option<String> {
    let text = section.text("interface", report)?;
    let name = *text.get_ref();
    let is_name = (1..=15).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c == '/' || c == ':' || c == '\0' || c.is_whitespace());
    if is_name {
        return Some(name.to_owned());
    }
    report.refuse(
        text.span(),
        "`interface` is a network interface's name",
        "write one that `ip -brief link` shows, such as \"wwan0\"",
    );
    None
}
