//! `device`, `silence` and `[pendant.triggers]` of a `[[pendant]]`.

use super::{LEAST, effective, parse, refusal, refusals};
use pendant_gateway::config::Config;
use pendant_gateway::engine::device::{Device, Downlink, Sign, Trigger};
use pendant_protocol::PendantId;
use proptest::prelude::*;

const COVERT: &str = r#"[[pendant]]
number = "000130"
device = "milesight-ws101"
silence = true
[pendant.triggers]
press_short = "session_start 30 min"
press_long = "discreet_panic"
press_double = "duress"
"#;

/// Behind the rest, so that places in the text are those of the pendant's lines.
const LORAWAN: &str = "[lorawan]\nregion = \"EU868\"\n";

fn device(text: &str) -> Device {
    let config = parse(&format!("{LEAST}{text}{LORAWAN}"));
    let number = PendantId::new(0x130).expect("a number");
    config.pendants.devices.get(&number).expect("it has a device").clone()
}

#[test]
fn without_a_word_more_a_device_s_signs_mean_what_its_profile_says() {
    let device = device("[[pendant]]\nnumber = \"000130\"\ndevice = \"moko-lw004-pb\"\n");
    assert_eq!((device.profile.as_str(), &device.silence), ("moko-lw004-pb", &None));
    assert_eq!(device.triggers[&Sign::Sos], Trigger::Panic);
    assert_eq!(device.triggers[&Sign::ManDown], Trigger::ManDown);
    assert_eq!(device.triggers[&Sign::LowBattery], Trigger::LowBattery);
    let config = parse(&format!("{LEAST}[[pendant]]\nnumber = \"000130\"\n"));
    assert!(config.pendants.devices.is_empty());
}

#[test]
fn a_site_s_meanings_stand_on_top_and_silence_brings_the_downlink() {
    let device = device(COVERT);
    assert_eq!(device.triggers[&Sign::PressShort], Trigger::SessionStart { minutes: 30 });
    assert_eq!(device.triggers[&Sign::PressLong], Trigger::DiscreetPanic);
    assert_eq!(device.triggers[&Sign::PressDouble], Trigger::Duress);
    let payload = vec![0xff, 0x2f, 0x00, 0xff, 0x3e, 0x00];
    assert_eq!(device.silence, Some(Downlink { port: 85, payload }));
}

#[test]
fn two_signs_may_mean_the_same() {
    let text = COVERT.replace("session_start 30 min", "duress");
    assert_eq!(device(&text).triggers[&Sign::PressShort], Trigger::Duress);
}

#[test]
fn the_effective_configuration_has_every_meaning_and_reads_back_to_the_same() {
    let other = "[[pendant]]\nnumber = \"000131\"\ngrace_s = 5\ndevice = \"netvox-r312a\"\n";
    let config = parse(&format!("{LEAST}{COVERT}{other}{LORAWAN}"));
    let text = config.to_text();
    let again = parse(&text);
    assert_eq!(again.pendants, config.pendants);
    assert_eq!(effective(&again), text);
    assert!(text.contains("press_short = \"session_start 30 min\"\n"), "{text}");
    assert!(text.contains("low_battery = \"low_battery\"\n"), "{text}");
}

/// What stands in the section behind its number, place and text, remedy.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "device = \"milesight-ws110\"",
        "15:10: `device`: no device \"milesight-ws110\" is known",
        "device = \"milesight-ws101\"",
    ),
    (
        "device = \"dragino-trackerD\"",
        "15:10: `device`: no device",
        "device = \"dragino-trackerd\"",
    ),
    (
        "device = \"dragino-trackerd-1.54\"",
        "15:10: `device`: no device",
        "= \"dragino-trackerd-1.5.4\"",
    ),
    ("device = \"pager\"", "15:10: `device`: no device", "write one of: abeeway-compact-tracker, "),
    ("device = 101", "15:10: `device` is a text in quotes", "device = \"101\""),
    ("silence = true", "15:11: `silence` is for pendants with a `device`", "name the device"),
    ("triggers.sos = \"panic\"", "15:1: `triggers` is for pendants with a", "name the device"),
    (
        "device = \"tektelic-seal\"\ntriggers.key_1 = \"panic\"",
        "16:18: a tektelic-seal cannot say `key_1`",
        "it can say: sos, fall",
    ),
    (
        "device = \"tektelic-seal\"\ntriggers.soss = \"panic\"",
        "16:10: unknown key `soss` in [pendant.triggers]",
        "did you mean `sos`?",
    ),
    (
        "device = \"tektelic-seal\"\ntriggers.sos = \"panik\"",
        "16:16: `sos`: no meaning of that name",
        "sos = \"panic\"",
    ),
    (
        "device = \"tektelic-seal\"\ntriggers.sos = \"alarm\"",
        "16:16: `sos`: no meaning of that name",
        "write one of: duress, discreet_panic, panic,",
    ),
    (
        "device = \"tektelic-seal\"\ntriggers.sos = \"session_start\"",
        "16:16: `sos`: a session has minutes, 1 to 1440",
        "sos = \"session_start 30 min\"",
    ),
    (
        "device = \"tektelic-seal\"\ntriggers.sos = \"safe 5 min\"",
        "16:16: `sos`: only sessions have minutes",
        "sos = \"safe\"",
    ),
    (
        "device = \"tektelic-seal\"\nsilence = true",
        "16:11: no downlink is known that silences a tektelic-seal",
        "leave the line out",
    ),
    (
        "device = \"milesight-ws101\"\nsilence = \"yes\"",
        "16:11: `silence` is true or false",
        "silence = true",
    ),
    (
        "device = \"milesight-ws101\"\ntriggers.press_long = \"duress\"",
        "16:23: `press_long` would not stay hidden: a milesight-ws101 lights up and sounds",
        "silence = true; then the gateway sends ff2f00ff3e00 on port 85, which switches its LED",
    ),
    (
        "device = \"milesight-ws101\"\nsilence = false\ntriggers.press_long = \"discreet_panic\"",
        "17:23: `press_long` would not stay hidden",
        "write: silence = true",
    ),
    (
        "device = \"dragino-pb05\"\ntriggers.key_5 = \"discreet_panic\"",
        "16:18: `key_5` cannot stay hidden: a dragino-pb05 sounds, and no downlink is known",
        "take another device",
    ),
    (
        "device = \"moko-lw004-pb\"\ntriggers.alert = \"duress\"",
        "16:18: `alert` cannot stay hidden: a moko-lw004-pb lights up and sounds and vibrates",
        "write an open meaning",
    ),
];

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_write() {
    for (lines, place, remedy) in MISTAKES {
        let told = refusal(&format!("{LEAST}[[pendant]]\nnumber = \"000130\"\n{lines}\n{LORAWAN}"));
        assert!(told.starts_with(&format!("gateway.toml:{place}")), "{lines}\n{told}");
        let told_remedy = told.rsplit("  -> ").next().unwrap_or_default();
        assert!(told_remedy.contains(remedy), "{lines}\n{told}");
    }
}

/// `panic_is_covert` makes an open panic a hidden one, wherever it is written.
#[test]
fn a_panic_that_the_policy_hides_must_not_show_either() {
    let pendant = "[[pendant]]\nnumber = \"000130\"\ndevice = \"milesight-ws101\"\n";
    let site = "[policy]\npanic_is_covert = true\n";
    let told = refusal(&format!("{LEAST}{site}{pendant}{LORAWAN}"));
    assert!(told.starts_with("gateway.toml:17:10: `press_short`, `press_long`, `press_double`"));
    assert!(told.contains("would not stay hidden: a milesight-ws101 lights up and sounds"));
    assert!(told.contains("write: silence = true"), "{told}");
    parse(&format!("{LEAST}{site}{pendant}silence = true\n{LORAWAN}"));
    parse(&format!("{LEAST}{site}{pendant}panic_is_covert = false\n{LORAWAN}"));

    let seal =
        "[[pendant]]\nnumber = \"000130\"\npanic_is_covert = true\ndevice = \"tektelic-seal\"\n";
    let told = refusal(&format!("{LEAST}{seal}{LORAWAN}"));
    assert!(told.starts_with("gateway.toml:16:10: `sos` cannot stay hidden"), "{told}");
    assert!(told.contains("panic_is_covert = false for this pendant"), "{told}");
    parse(&format!("{LEAST}{seal}triggers.sos = \"test\"\n{LORAWAN}"));
}

/// A T1000 tells that it lies still without a sound, and a press with one.
#[test]
fn a_safe_end_that_sounds_beside_a_duress_that_does_not_is_told() {
    let text = "[[pendant]]\nnumber = \"000130\"\ndevice = \"sensecap-t1000\"\n\
                triggers.press = \"safe\"\ntriggers.motionless = \"duress\"\n";
    let told = refusal(&format!("{LEAST}{text}{LORAWAN}"));
    let place = "gateway.toml:16:18: `press` would tell a safe end from a duress";
    assert!(told.starts_with(place), "{told}");
    assert!(told.contains("sensecap-t1000 lights up and sounds then"), "{told}");
    parse(&format!("{LEAST}{}{LORAWAN}", text.replace("duress", "man_down")));
    parse(&format!("{LEAST}{}{LORAWAN}", text.replace("press = ", "shock = ")));
    parse(&format!("{LEAST}{}{LORAWAN}", COVERT.replace("session_start 30 min", "safe")));
}

#[test]
fn each_sign_that_would_show_is_told() {
    let text = COVERT.replace("silence = true\n", "");
    assert_eq!(refusals(&format!("{LEAST}{text}{LORAWAN}")).len(), 2);
}

proptest! {
    /// Whatever an editor leaves behind is refused or taken, never a crash, and what is
    /// taken reads back to the same.
    #[test]
    fn no_text_makes_it_panic(
        at in 0..COVERT.len(),
        gone in 0..24usize,
        put in prop::sample::select(vec![
            "", "=", "\"", "\n", "\u{0}", "ä", "-1", "true", "[]", "{ sos = 1 }", "\"safe\"", "sos",
            "\"session_start 99999 min\"", "\"session_start  1 min\"", "\"tektelic-seal\"", "duress ",
        ]),
    ) {
        let mut text = COVERT.to_owned();
        // The text is ASCII, so every place is a character's.
        text.replace_range(at..(at + gone).min(COVERT.len()), put);
        match Config::parse(&format!("{LEAST}{text}{LORAWAN}"), "gateway.toml") {
            Ok(config) => prop_assert_eq!(&parse(&config.to_text()).pendants, &config.pendants),
            Err(errors) => prop_assert!(!errors.problems().is_empty()),
        }
    }
}

#[test]
fn what_nobody_vouches_for_may_alarm_and_nothing_else() {
    let pendant = "[[pendant]]\nnumber = \"000140\"\ndevice = \"meshtastic-node\"\n";
    // It needs no [lorawan].
    let config = parse(&format!("{LEAST}{pendant}triggers.press = \"man_down\"\n"));
    assert_eq!(config.pendants.devices.len(), 1);
    for meaning in
        ["safe", "check_in", "cancel_alert", "session_start 5 min", "session_extend 5 min"]
    {
        let told = refusal(&format!("{LEAST}{pendant}triggers.press = \"{meaning}\"\n"));
        assert!(told.contains(&format!("it cannot {meaning}")), "{told}");
    }
}
