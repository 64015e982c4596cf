//! The profiles that the program knows.

use crate::hex;
use crate::vectors::PUBLISHED;
use pendant_gateway::config::devices::{SHIPPED, named, profile, profiles};
use pendant_gateway::engine::device::{Decoder, Device, Profile, Shown, Sign, Trigger};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Decoders whose layout is published, but no payload that has it.
const WITHOUT_EXAMPLE: [&str; 4] =
    ["dragino-trackerd-1.5.4", "dragino-pb01", "meshtastic", "inovonics-echostream"];

fn ws101() -> &'static Profile {
    named("milesight-ws101").expect("known")
}

fn device(name: &str, triggers: &[(Sign, Trigger)]) -> Device {
    let triggers: BTreeMap<Sign, Trigger> = triggers.iter().copied().collect();
    named(name).expect("known").on_site(&triggers, false)
}

#[test]
fn every_file_is_a_profile_of_the_program_and_each_is_whole() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/devices");
    let files: BTreeSet<String> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    let known: BTreeSet<String> = SHIPPED.iter().map(|(name, _)| format!("{name}.toml")).collect();
    assert_eq!(files, known);
    assert_eq!(profiles().len(), SHIPPED.len());
    for profile in profiles() {
        assert!(!profile.signs.is_empty() && !profile.sources.is_empty(), "{}", profile.name);
        let sentences = profile.air.matches(". ").count() + 1;
        assert!(sentences == 1 && profile.air.ends_with('.'), "{}", profile.name);
    }
    for (name, decoder) in Decoder::ALL {
        assert!(profiles().iter().any(|profile| profile.decoder == decoder), "{name}");
        let published = PUBLISHED.iter().any(|vector| vector.decoder == decoder);
        assert_eq!(published, !WITHOUT_EXAMPLE.contains(&name), "{name}");
    }
    for sign in Sign::ALL {
        let said = profiles().iter().any(|profile| profile.signs.contains_key(&sign));
        assert!(said, "nothing says {}", sign.name());
    }
}

/// Text, what is told, remedy.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("maker = \"A\"", "x.toml:1:1: the profile lacks `model`", "write: model = "),
    ("decoder = \"netvox\"", "`decoder` is one of", "write one of:"),
    ("decoder = \"milesight-ws100\"", "`decoder` is one of", "\"milesight-ws101\""),
    ("[signs.pres]\ntrigger = \"panic\"", "unknown key `pres`", "`press`?"),
    ("[signs.press]\nshows = []", "lacks `trigger`", "trigger = \"panic\""),
    ("[signs.press]\ntrigger = \"panic\"", "lacks `shows`", "or []"),
    ("[signs.press]\ntrigger = \"pannic\"\nshows = []", "no meaning of", "= \"panic\""),
    ("[signs.press]\ntrigger = \"duress\"\nshows = []", "only a site decides", "open meaning"),
    ("[signs.press]\ntrigger = \"panic\"\nshows = [\"horn\"]", "nothing is shown as", "\"sound\""),
    ("[signs.press]\ntrigger = \"panic\"\nshows = \"light\"", "`shows` is a list", "[\"…\", "),
    ("[silence]\nport = 0\npayload = \"00\"\nof = []\nwhat = \"x\"", "`port` is a", "1 to 223"),
    ("[silence]\nport = 1\npayload = \"0\"\nof = []\nwhat = \"x\"", "no bytes", "two hexa"),
    ("[silence]\nport = 1\npayload = \"+1\"\nof = []\nwhat = \"x\"", "no bytes", "two hexa"),
    ("colour = 1", "unknown key `colour` in the profile", "the profile has: maker"),
    ("maker = x", "this is no TOML", "texts in quotes"),
];

#[test]
fn mistakes_in_a_profile_are_told_with_place_and_remedy() {
    for (text, told, remedy) in MISTAKES {
        let errors = profile("x", text).expect_err("refused").to_string();
        assert!(errors.contains(told) && errors.contains(remedy), "{text}\n{errors}");
    }
}

/// Nothing vouches for what comes by these: what they say ends nothing.
#[test]
fn only_devices_of_serial_receivers_are_without_proof() {
    let unvouched = Decoder::ALL.iter().filter(|(_, decoder)| decoder.is_unvouched());
    let names: Vec<&str> = unvouched.map(|(name, _)| *name).collect();
    assert_eq!(names, ["meshtastic", "inovonics-echostream"]);
}

#[test]
fn the_gravest_meaning_counts_and_a_safe_never_hides_a_duress() {
    let both = hex("ff34010000 ff34020000 017532");
    for (first, second, said) in [
        (Trigger::Safe, Trigger::Duress, Trigger::Duress),
        (Trigger::Duress, Trigger::Safe, Trigger::Duress),
        (Trigger::Safe, Trigger::DiscreetPanic, Trigger::DiscreetPanic),
        (Trigger::CheckIn, Trigger::Panic, Trigger::Panic),
        (Trigger::Heartbeat, Trigger::CheckIn, Trigger::CheckIn),
    ] {
        let device = device("milesight-ws136", &[(Sign::Key1, first), (Sign::Key2, second)]);
        let (trigger, reading) = device.read(85, &both).expect("a payload");
        assert_eq!((trigger, reading.battery_percent), (said, Some(50)));
    }
}

#[test]
fn a_payload_without_a_sign_is_a_heartbeat_and_what_is_read_goes_with_it() {
    let device = device("sensecap-t1000", &[]);
    let (trigger, reading) =
        device.read(5, &hex("06000008006462248D06CA502801587EC600FE000057")).expect("published");
    assert_eq!((trigger, reading.battery_percent), (Trigger::Heartbeat, Some(87)));
    assert_eq!(reading.temperature_decidegrees, Some(254));
    assert_eq!(reading.position.map(|place| place.latitude_e6), Some(22_576_838));
    assert_eq!(device.read(5, &hex("0557020700")).expect("a status").0, Trigger::Heartbeat);
}

#[test]
fn a_sign_without_a_meaning_is_a_panic() {
    let mut device = device("milesight-ws101", &[(Sign::PressShort, Trigger::CheckIn)]);
    let said = |device: &Device| device.read(85, &hex("ff2e01")).expect("a press").0;
    assert_eq!(said(&device), Trigger::CheckIn);
    device.triggers.clear();
    assert_eq!(said(&device), Trigger::Panic);
}

#[test]
fn a_silenced_device_shows_nothing_and_brings_its_downlink() {
    let ws101 = ws101();
    assert_eq!(ws101.still_shows(Sign::PressLong, false).len(), 2);
    assert!(ws101.still_shows(Sign::PressLong, true).is_empty());
    assert_eq!(ws101.on_site(&BTreeMap::new(), false).silence, None);
    let downlink = ws101.on_site(&BTreeMap::new(), true).silence.expect("asked for");
    assert_eq!((downlink.port, downlink.payload), (85, hex("ff2f00ff3e00")));
    let pb05 = named("dragino-pb05").expect("known");
    assert_eq!(pb05.still_shows(Sign::Key1, true).len(), 1);
}

#[test]
fn a_downlink_that_only_stops_the_sound_leaves_the_light() {
    let text = SHIPPED.iter().find(|(name, _)| *name == "milesight-ws101").expect("known").1;
    let text = text.replace("of = [\"light\", \"sound\"]", "of = [\"sound\"]");
    let half = profile("half", &text).expect("a profile");
    let left: Vec<Shown> = half.still_shows(Sign::PressLong, true).into_iter().collect();
    assert_eq!(left, [Shown::Light]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// What a decoder finds is in the profile of each of its devices, so that no sign of a
    /// shipped device is without a meaning.
    #[test]
    fn every_sign_that_a_decoder_finds_is_in_the_profile(
        which in 0..PUBLISHED.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let vector = &PUBLISHED[which];
        let mut payload = hex(vector.payload);
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        let Ok(reading) = vector.decoder.decode(vector.port, &payload) else { return Ok(()) };
        for profile in profiles().iter().filter(|profile| profile.decoder == vector.decoder) {
            for sign in &reading.signs {
                prop_assert!(profile.signs.contains_key(sign), "{} {}", profile.name, sign.name());
            }
        }
    }
}
