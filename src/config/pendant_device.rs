//! `device`, `silence` and `[pendant.triggers]` of a `[[pendant]]`: a pendant that was
//! bought, and what its signs mean on this site.

use super::devices::{SIGNS, named, profiles, shown_in_words, trigger};
use super::problem::Report;
use super::quantity::nearest;
use super::reader::Section;
use super::sections::section;
use crate::engine::device::{Device, Profile, Shown, Sign, Trigger};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A pendant's device, if it has one. `panic_is_covert`: an open panic of this pendant
/// must stay hidden too.
pub(super) fn device(
    pendant: &Section<'_>,
    panic_is_covert: bool,
    report: &mut Report<'_>,
) -> Option<Device> {
    let meanings = section(pendant, "triggers", "[pendant.triggers]", &SIGNS, report);
    meanings.finish(&[], report);
    let silenced = pendant.flag("silence", report).unwrap_or(false);
    if pendant.value("device").is_none() {
        refuse_without_device(pendant, report);
        return None;
    }
    let profile = profile(pendant, report)?;
    if let Some(value) = pendant.value("silence").filter(|_| silenced && profile.silence.is_none())
    {
        report.refuse(
            value.span(),
            format!("no downlink is known that silences a {}", profile.name),
            "leave the line out",
        );
    }
    let device = profile.on_site(&triggers(&meanings, profile, report), silenced);
    for (span, signs) in
        hidden_signs_that_show(pendant, &meanings, profile, &device, panic_is_covert)
    {
        let (text, remedy) = fault(profile, &device, &signs);
        report.refuse(span, text, remedy);
    }
    refuse_telling_safe_from_duress(&meanings, profile, &device, report);
    refuse_what_nobody_vouches_for(&meanings, &device, report);
    Some(device)
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
        let text_ = format!("`device`: no device {:?} is known", text.get_ref());
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

/// Signs that mean a hidden cry for help but make the device light up or sound, by the
/// place that gave them this meaning: what the site does not name means what the profile
/// says, which its `device` chose.
fn hidden_signs_that_show(
    pendant: &Section<'_>,
    meanings: &Section<'_>,
    profile: &Profile,
    device: &Device,
    panic_is_covert: bool,
) -> Vec<(Range<usize>, Vec<Sign>)> {
    let is_hidden =
        |trigger: Trigger| trigger.is_covert() || (panic_is_covert && trigger == Trigger::Panic);
    let silenced = device.silence.is_some();
    let mut places: Vec<(Range<usize>, Vec<Sign>)> = Vec::new();
    for (sign, trigger) in &device.triggers {
        if !is_hidden(*trigger) || profile.still_shows(*sign, silenced).is_empty() {
            continue;
        }
        let value = meanings.value(sign.name()).or_else(|| pendant.value("device"));
        let span = value.map_or(pendant.header(), toml::Spanned::span);
        match places.iter_mut().find(|(place, _)| *place == span) {
            Some((_, signs)) => signs.push(*sign),
            None => places.push((span, vec![*sign])),
        }
    }
    places
}

/// What is wrong about hidden signs that show, and what to write.
fn fault(profile: &Profile, device: &Device, signs: &[Sign]) -> (String, String) {
    let names: Vec<String> = signs.iter().map(|sign| format!("`{}`", sign.name())).collect();
    let (names, model) = (names.join(", "), &profile.name);
    let shown = |silenced| {
        let shown = signs.iter().flat_map(|sign| profile.still_shows(*sign, silenced));
        shown.collect::<BTreeSet<Shown>>()
    };
    match &profile.silence {
        Some(silence) if shown(true).is_empty() => (
            format!("{names} would not stay hidden: a {model} {}", shown_in_words(&shown(false))),
            format!(
                "write: silence = true; then the gateway sends {} on port {}, which {}",
                hexadecimal(&silence.downlink.payload),
                silence.downlink.port,
                silence.what
            ),
        ),
        _ => (
            format!(
                "{names} cannot stay hidden: a {model} {}, and no downlink is known that keeps it \
                 still",
                shown_in_words(&shown(true))
            ),
            if signs.iter().any(|sign| device.triggers[sign].is_covert()) {
                "write an open meaning, as \"panic\", or take another device".to_owned()
            } else {
                "write: panic_is_covert = false for this pendant, or take another device".to_owned()
            },
        ),
    }
}

/// Safe and duress must look the same. A duress shows nothing, or was refused above.
fn refuse_telling_safe_from_duress(
    meanings: &Section<'_>,
    profile: &Profile,
    device: &Device,
    report: &mut Report<'_>,
) {
    if !device.triggers.values().any(|trigger| *trigger == Trigger::Duress) {
        return;
    }
    for (sign, _) in device.triggers.iter().filter(|(_, trigger)| **trigger == Trigger::Safe) {
        let shown = profile.still_shows(*sign, device.silence.is_some());
        if let Some(value) = meanings.value(sign.name()).filter(|_| !shown.is_empty()) {
            report.refuse(
                value.span(),
                format!(
                    "`{}` would tell a safe end from a duress: a {} {} then, which it must not for \
                     a duress",
                    sign.name(),
                    profile.name,
                    shown_in_words(&shown)
                ),
                "let `safe` and `duress` both be signs that show nothing",
            );
        }
    }
}

/// What could be anybody's must not start, extend, cancel or end anything, and would be
/// refused each time.
fn refuse_what_nobody_vouches_for(
    meanings: &Section<'_>,
    device: &Device,
    report: &mut Report<'_>,
) {
    let changes = |trigger: Trigger| {
        matches!(
            trigger,
            Trigger::Safe
                | Trigger::CheckIn
                | Trigger::CancelAlert
                | Trigger::SessionStart { .. }
                | Trigger::SessionExtend { .. }
        )
    };
    if !device.decoder.is_unvouched() {
        return;
    }
    for (sign, trigger) in device.triggers.iter().filter(|(_, trigger)| changes(**trigger)) {
        if let Some(value) = meanings.value(sign.name()) {
            report.refuse(
                value.span(),
                format!("nobody vouches for what a {} says: it cannot {trigger}", device.profile),
                "let it raise alarms, as \"panic\", and take a pendant with keys for the rest",
            );
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
