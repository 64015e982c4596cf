//! Profiles of pendants that can be bought: `config/devices/*.toml`, built into the
//! program. They are checked as a site's configuration is: with place and remedy.

use super::problem::{ConfigErrors, Report};
use super::quantity::{Quantity, Unit, nearest};
use super::reader::{Section, table};
use super::sections::section;
use crate::engine::device::{
    Decoder, Downlink, Profile, Shown, Sign, SignProfile, Silence, Trigger, TriggerError,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

const PROFILE: &[&str] =
    &["maker", "model", "firmware", "lorawan", "decoder", "air", "sources", "signs", "silence"];
const SIGN: &[&str] = &["trigger", "shows"];
const SILENCE: &[&str] = &["port", "payload", "of", "what"];
const SHOWN: [(&str, Shown); 3] =
    [("light", Shown::Light), ("sound", Shown::Sound), ("vibration", Shown::Vibration)];

/// Names of all signs, in their order.
pub(super) static SIGNS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| Sign::ALL.iter().map(|sign| sign.name()).collect());

macro_rules! shipped {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../../config/devices/", $name, ".toml")))),*]
    };
}

/// Names and texts of the profiles that the program knows.
pub const SHIPPED: [(&str, &str); 22] = shipped! {
    "abeeway-compact-tracker"
    "abeeway-micro-tracker"
    "abeeway-smart-badge"
    "browan-tbpb100"
    "dragino-pb01"
    "dragino-pb05"
    "dragino-trackerd"
    "dragino-trackerd-1.5.4"
    "inovonics-echostream"
    "meshtastic-node"
    "mclimate-button"
    "milesight-at101"
    "milesight-ws101"
    "milesight-ws136"
    "milesight-ws156"
    "moko-lw001-bg-pro"
    "moko-lw004-pb"
    "netvox-r312a"
    "netvox-r718t"
    "netvox-rb02i"
    "sensecap-t1000"
    "tektelic-seal"
};

static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let read = |(name, text)| {
        profile(name, text).unwrap_or_else(|errors| panic!("a profile of this build:\n{errors}"))
    };
    SHIPPED.into_iter().map(read).collect()
});

/// The profiles that the program knows, by name.
#[must_use]
pub fn profiles() -> &'static [Profile] {
    &PROFILES
}

/// The profile of a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

/// Reads a profile. `name` is the file's name without `.toml`.
///
/// # Errors
/// All that is wrong in the text.
pub fn profile(name: &str, text: &str) -> Result<Profile, ConfigErrors> {
    let file = format!("{name}.toml");
    let mut report = Report::new(text, &file);
    let profile = table(text, &mut report).and_then(|table| {
        let top = Section::new("the profile", 0..0, table.get_ref(), PROFILE);
        let profile = whole_profile(name, &top, &mut report);
        top.finish(&[], &mut report);
        profile
    });
    report.judged(profile)
}

fn whole_profile(name: &str, top: &Section<'_>, report: &mut Report<'_>) -> Option<Profile> {
    for key in ["maker", "model", "decoder", "air"] {
        top.require(key, "\"…\"", report);
    }
    let mut text = |key| top.text(key, report).map(|text| (*text.get_ref()).to_owned());
    let (maker, model, air) = (text("maker"), text("model"), text("air"));
    let (firmware, lorawan) = (text("firmware"), text("lorawan"));
    let decoder = top.choice("decoder", &Decoder::ALL, report);
    let sources = texts(top, "sources", report).into_iter().map(str::to_owned).collect();
    let signs = signs(top, report);
    let silence = silence(top, report);
    Some(Profile {
        name: name.to_owned(),
        maker: maker?,
        model: model?,
        firmware,
        lorawan,
        decoder: decoder?,
        signs,
        silence,
        air: air?,
        sources,
    })
}

fn signs(top: &Section<'_>, report: &mut Report<'_>) -> BTreeMap<Sign, SignProfile> {
    let all = section(top, "signs", "[signs]", &SIGNS, report);
    let mut signs = BTreeMap::new();
    for sign in Sign::ALL {
        if all.value(sign.name()).is_none() {
            continue;
        }
        let one = section(&all, sign.name(), "a section of [signs]", SIGN, report);
        one.require("trigger", "\"panic\"", report);
        let shows = shown(&one, "shows", report);
        if let Some(trigger) = trigger(&one, "trigger", report) {
            if let Some(value) = one.value("trigger").filter(|_| trigger.is_covert()) {
                report.refuse(
                    value.span(),
                    "only a site decides which sign is hidden",
                    "write an open meaning, as \"panic\"",
                );
            }
            signs.insert(sign, SignProfile { trigger, shows });
        }
        one.finish(&[], report);
    }
    all.finish(&[], report);
    signs
}

fn silence(top: &Section<'_>, report: &mut Report<'_>) -> Option<Silence> {
    top.value("silence")?;
    let section = section(top, "silence", "[silence]", SILENCE, report);
    for (key, example) in [("port", "85"), ("payload", "\"00ff\""), ("what", "\"…\"")] {
        section.require(key, example, report);
    }
    let port = section.whole("port", &Quantity::new(Unit::Plain, 1..=223), report);
    let payload = section.text("payload", report).and_then(|text| {
        let bytes = bytes(text.get_ref());
        if bytes.is_none() {
            let remedy = "write two hexadecimal digits a byte: \"00ff\"";
            report.refuse(text.span(), "`payload` is no bytes", remedy);
        }
        bytes
    });
    let of = shown(&section, "of", report);
    let what = section.text("what", report).map(|what| (*what.get_ref()).to_owned());
    section.finish(&[], report);
    let port = u8::try_from(port?).expect("the range was checked");
    Some(Silence { downlink: Downlink { port, payload: payload? }, of, what: what? })
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: char| digit.to_digit(16).and_then(|value| u8::try_from(value).ok());
    let digits: Vec<u8> = text.chars().map(digit).collect::<Option<_>>()?;
    let whole = !digits.is_empty() && digits.len() % 2 == 0;
    whole.then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// A list of texts; empty if the key is missing.
fn texts<'t>(section: &Section<'t>, key: &str, report: &mut Report<'_>) -> Vec<&'t str> {
    let Some(value) = section.value(key) else { return Vec::new() };
    let texts = value.get_ref().as_array().and_then(|items| {
        items.iter().map(|item| item.get_ref().as_str()).collect::<Option<Vec<&str>>>()
    });
    texts.unwrap_or_else(|| {
        let remedy = format!("write: {key} = [\"…\", \"…\"]");
        report.refuse(value.span(), format!("`{key}` is a list of texts in quotes"), remedy);
        Vec::new()
    })
}

fn shown(section: &Section<'_>, key: &str, report: &mut Report<'_>) -> BTreeSet<Shown> {
    section.require(key, "[\"light\", \"sound\"], or []", report);
    let mut shown = BTreeSet::new();
    for word in texts(section, key, report) {
        match SHOWN.iter().find(|(known, _)| *known == word) {
            Some((_, one)) => shown.extend([*one]),
            None => report.refuse(
                section.value(key).map_or(section.header(), toml::Spanned::span),
                format!("nothing is shown as {word:?}"),
                "write some of: \"light\", \"sound\", \"vibration\"",
            ),
        }
    }
    shown
}

/// What a sign means, told if it is written wrongly.
pub(super) fn trigger(
    section: &Section<'_>,
    key: &str,
    report: &mut Report<'_>,
) -> Option<Trigger> {
    let text = section.text(key, report)?;
    match text.get_ref().parse() {
        Ok(trigger) => Some(trigger),
        Err(error) => {
            let words: Vec<&str> = Trigger::words().collect();
            let first = text.get_ref().split(' ').next().unwrap_or_default();
            let remedy = match (error, nearest(first, &words)) {
                (TriggerError::Unknown, None) => format!("write one of: {}", words.join(", ")),
                (TriggerError::Minutes, _) => format!("write: {key} = \"{first} 30 min\""),
                (_, word) => format!("write: {key} = \"{}\"", word.unwrap_or(first)),
            };
            report.refuse(text.span(), format!("`{key}`: {error}"), remedy);
            None
        }
    }
}

/// "lights up and sounds", for messages and documents.
#[must_use]
pub fn shown_in_words(shown: &BTreeSet<Shown>) -> String {
    let words: Vec<&str> = shown
        .iter()
        .map(|shown| match shown {
            Shown::Light => "lights up",
            Shown::Sound => "sounds",
            Shown::Vibration => "vibrates",
        })
        .collect();
    words.join(" and ")
}
