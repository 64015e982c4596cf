//! Pendants that were bought: what the command line says of them, and what it does not.

use super::check::{expect_wrong, finding};
use super::enroll::json;
use super::{Site, pins, run};
use pendant_gateway::config::devices::named;
use std::fs;

/// A site on whose WS101 a long press is hidden and a double press means duress.
fn site() -> Site {
    let site = Site::new();
    let text = fs::read_to_string(site.path("gateway.toml")).expect("written");
    let pendant = "[[pendant]]\nnumber = \"000130\"\ndevice = \"milesight-ws101\"\nsilence = true\n\
                   triggers.press_long = \"discreet_panic\"\ntriggers.press_double = \"duress\"\n\
                   [lorawan]\nregion = \"EU868\"\n";
    site.write("gateway.toml", &format!("{text}{pendant}"), 0o640);
    site.enroll("00012f", &pins(), &[]).expect(0);
    let bought = ["enroll", "--pendant", "000130", "--wearer", "m.okafor", "--keys-fd", "0"];
    let device = ["--dev-eui", "24E124ABCDEF0001"];
    run(site.command(&[&bought[..], &device].concat()), &"5C".repeat(16)).expect(0);
    site
}

#[test]
fn pendants_says_what_the_air_shows_of_a_device_and_nothing_of_its_signs() {
    let site = site();
    let air = &named("milesight-ws101").expect("known").air;
    let (text, as_json) =
        (site.run(&["pendants"]).expect(0), site.run(&["pendants", "--json"]).expect(0));
    assert_eq!(text.out.lines().count(), 3, "{}", text.out);
    let last = text.out.lines().last().expect("three");
    assert_eq!(last, format!("        milesight-ws101: {air}"));
    let listed = json(&as_json);
    assert_eq!(listed["pendants"][0]["device"], serde_json::Value::Null);
    assert_eq!(listed["pendants"][1]["device"], "milesight-ws101");
    assert_eq!(listed["pendants"][1]["air"].as_str(), Some(air.as_str()));
    for said in [text.out, text.err, as_json.out] {
        for word in ["discreet", "duress", "press_", "silence", "trigger"] {
            assert!(!said.contains(word), "{said}");
        }
    }
}

#[test]
fn a_configuration_with_devices_that_anyone_may_read_is_wrong() {
    let site = site();
    site.run(&["check", "--offline"]).expect(0);
    // Also without a silent sign: the finding must not tell that there is one.
    site.edit("triggers.press_long = \"discreet_panic\"\ntriggers.press_double = \"duress\"\n", "");
    expect_wrong(&site, "anyone may read it (permissions 0644)", "chmod 640");
}

#[test]
fn a_device_that_would_show_a_hidden_sign_is_a_finding() {
    let site = site();
    site.edit("silence = true\n", "");
    let said = site.run(&["check", "--offline", "--json"]).expect(2);
    let (grade, remedy) = finding(&said, "`press_double` would not stay hidden");
    assert_eq!(grade, "wrong");
    assert!(remedy.contains("ff2f00ff3e00 on port 85"), "{remedy}");
}

#[test]
fn a_refused_start_logs_no_sign_of_a_pendant() {
    let site = site();
    site.edit("silence = true\n", "");
    site.edit("slot = 0", "slot = 99");
    let said = site.run(&["run"]).expect(2).err;
    assert!(said.contains("slot = 99"), "what is wrong elsewhere is shown: {said}");
    assert!(said.contains("this setting of a pendant needs a look"), "{said}");
    assert!(said.contains("pendant-gateway check"), "{said}");
    for word in ["discreet", "duress", "press_", "trigger", "hidden"] {
        assert!(!said.contains(word), "{said}");
    }
}
