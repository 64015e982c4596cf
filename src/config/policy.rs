//! `[policy]`, `[response]` and `[[pendant]]`: what the site has decided, and
//! for which pendants otherwise. A pendant's settings stand on top of the
//! site's, one by one.

use super::pendant_device::{DeviceText, device};
use super::problem::Report;
use super::quantity::{Quantity, Unit};
use super::reader::Section;
use super::sections::{HOMES, name, section, sections, whole};
use crate::engine::device::Device;
use crate::engine::event::Kind;
use crate::engine::policy::{ListenIn, Policies, Policy, Response};
use pendant_protocol::PendantId;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use toml::Spanned;

pub(super) const POLICY: &[&str] = &[
    "grace_s",
    "wrong_pins_to_alarm",
    "pre_alarm_s",
    "heartbeat_interval_s",
    "heartbeats_missed_max",
    "panic_is_covert",
];
pub(super) const RESPONSE: &[&str] = &["procedure", "listen_in", "procedures", "do_not_call"];
pub(super) const PENDANT: &[&str] = &[
    "number",
    "device",
    "triggers",
    "silence",
    "grace_s",
    "wrong_pins_to_alarm",
    "pre_alarm_s",
    "heartbeat_interval_s",
    "heartbeats_missed_max",
    "panic_is_covert",
    "procedure",
    "listen_in",
    "procedures",
    "do_not_call",
];

/// The kinds that bear a response: those of the urgent lane that are of a pendant.
static URGENT_KINDS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| urgent_kinds().map(Kind::as_str).collect());

fn urgent_kinds() -> impl Iterator<Item = Kind> {
    Kind::all().filter(|kind| kind.has_response())
}

/// A pendant cannot send more often and still be heard among others.
const HEARTBEAT_INTERVAL_S_MIN: i64 = 10;

/// What the site has decided of its pendants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pendants {
    /// For every pendant, and for which otherwise.
    pub policies: Policies,
    /// Pendants that were bought, with what their signs mean.
    pub devices: BTreeMap<PendantId, Device>,
}

pub(super) fn pendants(top: &Section<'_>, report: &mut Report<'_>) -> Pendants {
    let (of_policy, of_response) = (
        section(top, "policy", "[policy]", POLICY, report),
        section(top, "response", "[response]", RESPONSE, report),
    );
    let mut site = Policy::default();
    policy(&of_policy, &mut site, report);
    let tables = ["[response.procedures]", "[response.do_not_call]"];
    response(&of_response, tables, &mut site.response, report);
    of_policy.finish(HOMES, report);
    of_response.finish(HOMES, report);
    let mut pendants = BTreeMap::new();
    let mut devices = BTreeMap::new();
    for section in sections(top, "pendant", "[[pendant]]", PENDANT, report) {
        let mut own = site.clone();
        policy(&section, &mut own, report);
        let tables = ["[pendant.procedures]", "[pendant.do_not_call]"];
        response(&section, tables, &mut own.response, report);
        section.require("number", "\"00012f\"", report);
        let device = device(&section, own.panic_is_covert, report);
        let speaks_lorawan = device.as_ref().is_some_and(|device| !device.decoder.is_unvouched());
        if speaks_lorawan && top.value("lorawan").is_none() {
            refuse_without_lorawan(&section, report);
        }
        section.finish(HOMES, report);
        let Some(number) = number(&section, report) else { continue };
        devices.extend(device.map(|device| (*number.get_ref(), device)));
        if pendants.insert(*number.get_ref(), own).is_some() {
            report.refuse(
                number.span(),
                format!("a second [[pendant]] with the number {}", number.get_ref()),
                "write all settings of a pendant into one section",
            );
        }
    }
    Pendants { policies: Policies { site, pendants }, devices }
}

/// A device that nobody listens to calls for help in vain.
fn refuse_without_lorawan(pendant: &Section<'_>, report: &mut Report<'_>) {
    if let Some(device) = pendant.value("device") {
        report.refuse(
            device.span(),
            "this pendant speaks LoRaWAN, to which the gateway does not listen",
            "write a section [lorawan] with region = \"EU868\" or \"US915\"",
        );
    }
}

fn number(section: &Section<'_>, report: &mut Report<'_>) -> Option<Spanned<PendantId>> {
    let text = section.text("number", report)?;
    match text.get_ref().parse() {
        Ok(number) => Some(Spanned::new(text.span(), number)),
        Err(error) => {
            let remedy = "write the number on the pendant: number = \"00012f\"";
            report.refuse(text.span(), format!("`number`: {error}"), remedy);
            None
        }
    }
}

/// Puts what the section says in the place of what held before.
fn policy(section: &Section<'_>, policy: &mut Policy, report: &mut Report<'_>) {
    let plain = |range| Quantity::new(Unit::Plain, range);
    policy.grace_ms = ms(section, "grace_s", 3600, policy.grace_ms, report);
    policy.wrong_pins_to_alarm =
        whole(section, "wrong_pins_to_alarm", &plain(1..=10), policy.wrong_pins_to_alarm, report);
    policy.pre_alarm_ms = ms(section, "pre_alarm_s", 600, policy.pre_alarm_ms, report);
    policy.heartbeat_interval_ms =
        ms(section, "heartbeat_interval_s", 86_400, policy.heartbeat_interval_ms, report);
    let interval_ms_min = HEARTBEAT_INTERVAL_S_MIN.unsigned_abs() * 1000;
    if let Some(value) = section
        .value("heartbeat_interval_s")
        .filter(|_| (1..interval_ms_min).contains(&policy.heartbeat_interval_ms))
    {
        report.refuse(
            value.span(),
            format!("`heartbeat_interval_s` is at least {HEARTBEAT_INTERVAL_S_MIN}, or 0"),
            "write how often the pendant is set to send; 0: it is not supervised",
        );
    }
    policy.heartbeats_missed_max = whole(
        section,
        "heartbeats_missed_max",
        &plain(2..=100),
        policy.heartbeats_missed_max,
        report,
    );
    if let Some(covert) = section.flag("panic_is_covert", report) {
        policy.panic_is_covert = covert;
    }
}

/// Seconds in the text, milliseconds in the engine.
fn ms(section: &Section<'_>, key: &str, s_max: i64, ms: u64, report: &mut Report<'_>) -> u64 {
    whole(section, key, &Quantity::new(Unit::Seconds, 0..=s_max), ms / 1000, report) * 1000
}

/// The same for what operators need. `tables`: the titles of the two tables by kind.
fn response(
    section: &Section<'_>,
    tables: [&'static str; 2],
    response: &mut Response,
    report: &mut Report<'_>,
) {
    if let Some(name) = name(section, "procedure", report) {
        response.procedure_default = Some(name);
    }
    if let Some(uri) = listen_in(section, report) {
        response.listen_in = Some(uri);
    }
    let [of_procedures, of_calls] = tables;
    let table = self::section(section, "procedures", of_procedures, &URGENT_KINDS, report);
    for kind in urgent_kinds() {
        if let Some(name) = name(&table, kind.as_str(), report) {
            response.procedures.insert(kind, name);
        }
    }
    table.finish(&[], report);
    let table = self::section(section, "do_not_call", of_calls, &URGENT_KINDS, report);
    for kind in urgent_kinds() {
        let Some(do_not_call) = table.flag(kind.as_str(), report) else { continue };
        response.do_not_call.insert(kind, do_not_call);
        if let Some(value) = table.value(kind.as_str()).filter(|_| kind.covert() && !do_not_call) {
            report.warn(
                value.span(),
                format!(
                    "a call back after `{}` may tell an attacker that help was called",
                    kind.as_str()
                ),
                format!("write: {} = true, unless the procedure makes sure of that", kind.as_str()),
            );
        }
    }
    table.finish(&[], report);
}

fn listen_in(section: &Section<'_>, report: &mut Report<'_>) -> Option<ListenIn> {
    let text = section.text("listen_in", report)?;
    let written = *text.get_ref();
    match ListenIn::new(written) {
        Ok(uri) => Some(uri),
        Err(error) => {
            let remedy = listen_in_meant_by(written).map_or_else(
                || "write for example: listen_in = \"tel:+441632960961\"".to_owned(),
                |meant| format!("write: listen_in = \"{meant}\""),
            );
            report.refuse(text.span(), format!("`listen_in` {error}"), remedy);
            None
        }
    }
}

/// What was probably meant: the scheme in small letters, a number without
/// blanks, a number or an address without its scheme.
fn listen_in_meant_by(written: &str) -> Option<String> {
    let bare: String = written.chars().filter(|c| !" -/()".contains(*c)).collect();
    let mut meant = vec![bare.to_ascii_lowercase(), format!("tel:{bare}")];
    if !written.contains(':') {
        meant.push(format!("sip:{written}"));
    }
    meant.into_iter().find(|meant| ListenIn::new(meant).is_ok())
}

/// As it stands in the text: `policy`, `response` and, with all that holds for
/// it, each `pendant`.
impl Serialize for Pendants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let site = &self.policies.site;
        map.serialize_entry("policy", &PolicyText::new(site))?;
        map.serialize_entry("response", &ResponseText::new(&site.response))?;
        let pendants: Vec<PendantText<'_>> = self
            .policies
            .pendants
            .iter()
            .map(|(number, own)| PendantText {
                number: number.to_string(),
                device: self.devices.get(number).map(DeviceText::new),
                policy: PolicyText::new(own),
                response: ResponseText::new(&own.response),
            })
            .collect();
        map.serialize_entry("pendant", &pendants)?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct PendantText<'p> {
    number: String,
    #[serde(flatten)]
    device: Option<DeviceText<'p>>,
    #[serde(flatten)]
    policy: PolicyText,
    #[serde(flatten)]
    response: ResponseText<'p>,
}

#[derive(serde::Serialize)]
struct PolicyText {
    grace_s: u64,
    wrong_pins_to_alarm: u8,
    pre_alarm_s: u64,
    heartbeat_interval_s: u64,
    heartbeats_missed_max: u32,
    panic_is_covert: bool,
}

impl PolicyText {
    fn new(policy: &Policy) -> Self {
        Self {
            grace_s: policy.grace_ms / 1000,
            wrong_pins_to_alarm: policy.wrong_pins_to_alarm,
            pre_alarm_s: policy.pre_alarm_ms / 1000,
            heartbeat_interval_s: policy.heartbeat_interval_ms / 1000,
            heartbeats_missed_max: policy.heartbeats_missed_max,
            panic_is_covert: policy.panic_is_covert,
        }
    }
}

#[derive(serde::Serialize)]
struct ResponseText<'p> {
    #[serde(skip_serializing_if = "Option::is_none")]
    procedure: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listen_in: Option<&'p str>,
    procedures: BTreeMap<&'static str, &'p str>,
    do_not_call: BTreeMap<&'static str, bool>,
}

impl<'p> ResponseText<'p> {
    fn new(response: &'p Response) -> Self {
        Self {
            procedure: response.procedure_default.as_ref().map(|name| name.as_str()),
            listen_in: response.listen_in.as_ref().map(ListenIn::as_str),
            procedures: response
                .procedures
                .iter()
                .map(|(kind, name)| (kind.as_str(), name.as_str()))
                .collect(),
            do_not_call: response
                .do_not_call
                .iter()
                .map(|(kind, do_not_call)| (kind.as_str(), *do_not_call))
                .collect(),
        }
    }
}
