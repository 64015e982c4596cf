//! `device`, `silence` and `[pendant.triggers]` of a `[[pendant]]`: a pendant that was
//! bought, and what its signs mean on this site.

use super::devices::{SIGNS, named, profiles, shown_in_words, trigger};
use super::problem::Report;
use super::quantity::nearest;
use super::reader::Section;
use super::sections::section;
use crate::engine::device::{Device, Profile, Sign, Trigger};
use serde::Serialize;
use std::collections::BTreeMap;

/// A pendant's device, if it has one.
pub(super) fn device(pendant: &Section<'_>, report: &mut Report<'_>) -> Option<Device> {
    let meanings = section(pendant, "triggers", "[pendant.triggers]", &SIGNS, report);
    meanings.finish(&[], report);
    let silenced = pendant.flag("silence", report).unwrap_or(false);
    if pendant.value("device").is_none() {
        refuse_without_device(pendant, report);
        return None;
    }
    let profile = profile(pendant, report)?;
    let triggers = triggers(&meanings, profile, report);
    if let Some(value) = pendant.value("silence").filter(|_| silenced && profile.silence.is_none())
    {
        report.refuse(
            value.span(),
            format!("no downlink is known that silences a {}", profile.name),
            "leave the line out",
        );
    }
    refuse_what_would_show(&meanings, profile, &triggers, silenced, report);
    Some(profile.on_site(&triggers, silenced))
}

fn refuse_without_device(pendant: &Section<'_>, report: &mut Report<'_>) {
    for key in ["silence", "triggers"] {
        if let Some(value) = pendant.value(key) {
            report.refuse(
                value.span(),
                format!("`{key}` is for pendants with a `device`"),
                "name the device, as device = \"milesight-ws101\", or leave this out",
            );
        }
    }
}

fn profile(pendant: &Section<'_>, report: &mut Report<'_>) -> Option<&'static Profile> {
    let text = pendant.text("device", report)?;
    let known = named(text.get_ref());
    if known.is_none() {
        let names: Vec<&str> = profiles().iter().map(|profile| profile.name.as_str()).collect();
        let remedy = nearest(text.get_ref(), &names).map_or_else(
            || format!("write one of: {}", names.join(", ")),
            |name| format!("write: device = \"{name}\""),
        );
        let text_ = format!("no device {:?} is known", text.get_ref());
        report.refuse(text.span(), text_, remedy);
    }
    known
}

/// What the site means otherwise than the profile.
fn triggers(
    meanings: &Section<'_>,
    profile: &Profile,
    report: &mut Report<'_>,
) -> BTreeMap<Sign, Trigger> {
    let mut triggers = BTreeMap::new();
    for sign in Sign::ALL {
        let Some(value) = meanings.value(sign.name()) else { continue };
        if !profile.signs.contains_key(&sign) {
            let says: Vec<&str> = profile.signs.keys().map(|sign| sign.name()).collect();
            report.refuse(
                value.span(),
                format!("a {} cannot say `{}`", profile.name, sign.name()),
                format!("it can say: {}", says.join(", ")),
            );
        } else if let Some(trigger) = trigger(meanings, sign.name(), report) {
            triggers.insert(sign, trigger);
        }
    }
    triggers
}

/// A cry for help that must stay hidden may not make the device light up or sound.
fn refuse_what_would_show(
    meanings: &Section<'_>,
    profile: &Profile,
    triggers: &BTreeMap<Sign, Trigger>,
    silenced: bool,
    report: &mut Report<'_>,
) {
    for (sign, _) in triggers.iter().filter(|(_, trigger)| trigger.is_covert()) {
        let (shows, at_best) =
            (profile.still_shows(*sign, silenced), profile.still_shows(*sign, true));
        if shows.is_empty() {
            continue;
        }
        let span = meanings.value(sign.name()).map_or(meanings.header(), toml::Spanned::span);
        let (name, device) = (sign.name(), &profile.name);
        match &profile.silence {
            Some(silence) if at_best.is_empty() => report.refuse(
                span,
                format!("`{name}` would not stay hidden: a {device} {}", shown_in_words(&shows)),
                format!(
                    "write: silence = true; then the gateway sends {} on port {}, which {}",
                    hexadecimal(&silence.downlink.payload),
                    silence.downlink.port,
                    silence.what
                ),
            ),
            _ => report.refuse(
                span,
                format!(
                    "`{name}` cannot stay hidden: a {device} {}, and no downlink is known that \
                     keeps it still",
                    shown_in_words(&at_best)
                ),
                "write an open meaning, as \"panic\", or take another device",
            ),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As it stands in a `[[pendant]]`.
#[derive(Serialize)]
pub(super) struct DeviceText<'d> {
    device: &'d str,
    silence: bool,
    triggers: BTreeMap<&'static str, String>,
}

impl<'d> DeviceText<'d> {
    pub(super) fn new(device: &'d Device) -> Self {
        Self {
            device: &device.profile,
            silence: device.silence.is_some(),
            triggers: device
                .triggers
                .iter()
                .map(|(sign, trigger)| (sign.name(), trigger.to_string()))
                .collect(),
        }
    }
}
