//! `docs/devices.md` and `docs/threat-model.md` say what the profiles say.

use pendant_gateway::config::devices::profiles;
use pendant_gateway::engine::device::{Profile, Shown, Sign, Trigger};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

fn document(name: &str) -> String {
    let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(path).expect("the document is there")
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// Signs of a device, those together of which the same is shown.
fn by_what_is_shown(profile: &Profile) -> BTreeMap<Vec<&'static str>, Vec<String>> {
    let mut lines: BTreeMap<Vec<&str>, Vec<String>> = BTreeMap::new();
    for (sign, known) in &profile.signs {
        let word = |shown: &Shown| match shown {
            Shown::Light => "light",
            Shown::Sound => "sound",
            Shown::Vibration => "vibration",
        };
        let meaning = known.trigger.to_string();
        let text = if meaning == sign.name() {
            code(&meaning)
        } else {
            format!("{} = {}", code(sign.name()), code(&meaning))
        };
        lines.entry(known.shows.iter().map(word).collect()).or_default().push(text);
    }
    lines
}

fn row(profile: &Profile) -> String {
    let lines = by_what_is_shown(profile);
    let signs: Vec<String> = lines.values().map(|signs| signs.join(", ")).collect();
    let shows: Vec<String> = lines
        .keys()
        .map(|shown| if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") })
        .collect();
    let silence = profile.silence.as_ref().map_or("-".to_owned(), |silence| {
        let bytes = &silence.downlink.payload;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} on port {}: {}", code(&digits), silence.downlink.port, silence.what)
    });
    let firmware = profile
        .firmware
        .as_ref()
        .map_or(String::new(), |firmware| format!(", firmware {firmware}"));
    let lorawan =
        profile.lorawan.as_ref().map_or(String::new(), |version| format!(", LoRaWAN {version}"));
    format!(
        "| {}: {} {}{firmware}{lorawan} | {} | {} | {silence} | {} |\n",
        code(&profile.name),
        profile.maker,
        profile.model,
        signs.join("<br>"),
        shows.join("<br>"),
        profile.sources.join("; "),
    )
}

#[test]
fn the_table_of_devices_is_that_of_the_profiles() {
    let expected: String = profiles().iter().map(row).collect();
    let text = document("devices.md");
    assert!(text.contains(&format!("|---|---|---|---|---|\n{expected}\n")), "write:\n{expected}");
}

#[test]
fn the_threat_model_says_what_the_air_shows_of_each_device() {
    let expected: String = profiles()
        .iter()
        .map(|profile| format!("- {}: {}\n", code(&profile.name), profile.air))
        .collect();
    let text = document("threat-model.md");
    assert!(text.contains(&format!("\n\n{expected}\n")), "write:\n{expected}");
}

#[test]
fn every_sign_and_every_meaning_is_explained_in_its_order() {
    let text = document("devices.md");
    for sign in Sign::ALL {
        assert!(text.contains(&code(sign.name())), "{}", sign.name());
    }
    let (_, order) = text.split_once("in this order:\n").expect("it stands there");
    let (order, _) = order.split_once(". So").expect("it ends");
    let words: Vec<&str> =
        order.split('`').skip(1).step_by(2).filter(|word| !word.is_empty()).collect();
    let meanings: Vec<Trigger> = words
        .iter()
        .map(|word| {
            let minutes = if word.starts_with("session_") { " 1 min" } else { "" };
            format!("{word}{minutes}").parse().expect("a meaning")
        })
        .collect();
    assert!(meanings.is_sorted(), "{meanings:?}");
    let all: BTreeSet<&str> = Trigger::words().collect();
    assert_eq!(words.iter().copied().collect::<BTreeSet<&str>>(), all);
    let shipped = pendant_gateway::config::DEFAULT_TEXT;
    for word in all {
        assert!(shipped.contains(word), "gateway.toml does not name {word}");
    }
}
