use super::super::steps::LABELS;
use super::*;
use crate::sim::{Action, Expectation, Post, WireCodec};
use crate::site::Walk;
use pendant_hal::sim::ether::{Jamming, Position};
use pendant_protocol::{Body, Outcome, PinDigits};
use std::time::Duration;

const ENROLMENT: &str = r#"{"pendant":"00012f","wearer":"alice","enrolment":"01",
    "key":"000102030405060708090a0b0c0d0e0f"}"#;

const SCENARIO: &str = r#"
name = "a shift"

[[wire]]
name = "desk"
kind = "pty"

[[wire]]
name = "cable"
kind = "serial"
path = "/dev/null"
codec = "rylr998"

[[pendant]]
name = "alice"
wire = "desk"
enrolment_file = "alice.json"

[[step]]
pendant = "alice"
do = "session_start"
minutes = 30
expect = "session_started"
within_ms = 1500

[[step]]
pendant = "alice"
do = "wait"
for_ms = 20

[[step]]
pendant = "alice"
do = "pin"
digits_file = "pin"
at_ms = 5000
"#;

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("alice.json"), ENROLMENT).expect("written");
    std::fs::write(directory.path().join("pin"), "2468\n").expect("written");
    directory
}

#[test]
fn a_scenario_is_read_with_its_files() {
    let directory = directory();
    let path = directory.path().join("shift.toml");
    std::fs::write(&path, SCENARIO).expect("written");
    let scenario = Scenario::read(&path).expect("a scenario");
    assert_eq!(scenario.name, "a shift");
    assert!(matches!(
        &scenario.wires[1],
        WireSettings::Serial { baud: 115_200, codec: WireCodec::Rylr998, .. }
    ));
    let alice = &scenario.pendants[0];
    assert_eq!(alice.identity.id.get(), 0x12F);
    assert!(matches!(alice.post, Post::Wire(0)));
    assert_eq!(alice.identity.key.as_bytes()[15], 0x0F);
    assert_eq!(alice.memory, directory.path().join("alice.memory"));
    let [start, wait, pin] = &scenario.steps[..] else { panic!("three steps") };
    assert!(matches!(
        start.action,
        Action::Say {
            body: Body::SessionStart { minutes: 30, place: 0 },
            expect: Expectation::Outcome(Outcome::SessionStarted),
            within,
        } if within == Duration::from_millis(1500)
    ));
    assert!(matches!(wait.action, Action::Wait(time) if time == Duration::from_millis(20)));
    assert_eq!(pin.not_before, Duration::from_secs(5));
    let digits = PinDigits::from_digits("2468").expect("digits");
    assert!(matches!(
        pin.action,
        Action::Say { body: Body::Pin(read), expect: Expectation::Acknowledged, .. }
            if read == digits
    ));
    assert!(!format!("{scenario:?}").contains("2468"));
}

#[test]
fn every_mistake_says_where_it_is() {
    let directory = directory();
    for (from, to, expected) in [
        (
            "minutes = 30",
            "",
            "line 19, column 1: step 1 (session_start of alice): `minutes` is missing",
        ),
        ("for_ms = 20", "minutes = 1", "step 2 (wait of alice): `minutes` has no meaning here"),
        ("do = \"wait\"", "do = \"sleep\"", "is none of: wait, heartbeat"),
        ("digits_file = \"pin\"", "digits = \"12\"", "the digits are no PIN"),
        (
            "digits_file = \"pin\"",
            "digits_env = \"NO_SUCH\"",
            "the environment has no text NO_SUCH",
        ),
        ("digits_file = \"pin\"", "", "give one of `digits`"),
        ("\"session_started\"", "\"started\"", "is none of: acknowledged, nothing, noted"),
        ("wire = \"desk\"", "wire = \"none\"", "pendant \"alice\": there is no wire \"none\""),
        ("alice.json", "pin", "is not what `pendant-gateway enroll --json` prints"),
        ("alice.json", "absent", "No such file"),
        ("name = \"cable\"", "name = \"desk\"", "two times the wire desk"),
        ("kind = \"pty\"", "kind = \"tin can\"", "unknown variant `tin can`"),
        (
            "kind = \"pty\"",
            "kind = \"radio\"\nsocket = \"air\"\nspreading_factor = 13",
            "wire \"desk\": the spreading factor must be 5 to 12",
        ),
        ("name = \"a shift\"", "nane = \"a shift\"", "line 2"),
    ] {
        assert!(SCENARIO.contains(from), "{from}");
        let error = Scenario::parse(&SCENARIO.replacen(from, to, 1), directory.path())
            .expect_err("a mistake")
            .to_string();
        assert!(error.contains(expected), "{error} does not say {expected}");
        assert!(!error.contains("12\"") && !error.contains("0a0b"), "{error} shows a secret");
    }
}

#[test]
fn every_label_has_a_body() {
    let directory = directory();
    for label in LABELS.into_iter().filter(|label| *label != "wait") {
        let more = match label {
            "pin" => "digits = \"1357\"",
            "session_start" | "session_extend" => "minutes = 5",
            _ => "place = 7",
        };
        let step = format!("[[step]]\npendant = \"alice\"\ndo = \"{label}\"\n{more}\n");
        Scenario::parse(&format!("{SCENARIO}\n{step}"), directory.path()).expect(label);
    }
}

const SITE: &str = r#"name = "a yard"
[site]
socket = "air"
region = "EU868"
spreading_factor = 7
gateway_m = [0, 0]
lasts_s = 20
[[site.wall]]
from_m = [-10, 5]
to_m = [10.5, 5]
loss_db = 20
[[site.jammer]]
kind = "pulsed"
at_m = [1, 1]
power_dbm = 10
on_ms = 10
period_ms = 100
from_s = 5
[[site.crew]]
name = "guards"
enrolment_dir = "guards"
count = 2
walk = { round_m = [[0, 0], [50, 0]] }
[[site.crew.habit]]
do = "heartbeat"
every_s = 60
[[pendant]]
name = "alice"
enrolment_file = "alice.json"
walk = { at_m = [1, 2] }
[[step]]
pendant = "guards"
do = "test"
at_ms = 1000
over_ms = 500
[[step]]
pendant = "guards/2"
do = "panic"
"#;

fn site_directory() -> tempfile::TempDir {
    let directory = directory();
    std::fs::create_dir(directory.path().join("empty")).expect("a directory");
    let guards = directory.path().join("guards");
    std::fs::create_dir(&guards).expect("a directory");
    for number in 1..=3 {
        let text = ENROLMENT.replace("00012f", &format!("{number:06x}"));
        std::fs::write(guards.join(format!("{number}.json")), text).expect("written");
    }
    std::fs::write(guards.join("1.memory"), "64").expect("written");
    directory
}

#[test]
fn a_site_is_read_with_its_crews() {
    let directory = site_directory();
    let scenario = Scenario::parse(SITE, directory.path()).expect("a scenario");
    let site = scenario.site.expect("a site");
    assert_eq!(site.socket, directory.path().join("air"));
    assert_eq!(
        (site.radio.frequency_hz, site.radio.downlink_frequency_hz, site.radio.spreading_factor),
        (868_100_000, 869_525_000, 7)
    );
    assert_eq!(site.field.walls[0].to, Position::new(10.5, 5.0));
    let jammer = &site.jammers[0];
    assert!(matches!(jammer.jamming, Jamming::Pulsed { .. }));
    assert_eq!((jammer.from, jammer.until), (Duration::from_secs(5), Duration::from_secs(20)));
    // The third guard stays at home.
    let names: Vec<&str> = scenario.pendants.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["alice", "guards/1", "guards/2"]);
    let Post::Site { walk, habits } = &scenario.pendants[2].post else { panic!("on the site") };
    assert!(matches!(walk, Walk::Rounds { points, .. } if points.len() == 2));
    assert_eq!(habits, &[(Body::Heartbeat { place: 0 }, Duration::from_secs(60))]);
    assert!(scenario.pendants[1].memory.ends_with("guards/1.memory"));
    let steps: Vec<(usize, usize)> =
        scenario.steps.iter().map(|step| (step.number, step.pendant)).collect();
    assert_eq!(steps, [(1, 1), (1, 2), (2, 2)]);
    for step in &scenario.steps[..2] {
        let from = Duration::from_secs(1);
        assert!((from..=from + Duration::from_millis(500)).contains(&step.not_before));
    }
}

#[test]
fn every_mistake_of_a_site_says_line_column_and_fix() {
    let directory = site_directory();
    for (from, to, expected) in [
        ("\"EU868\"", "\"EU863\"", "line 4, column 10: region is none of: EU868, US915"),
        (
            "spreading_factor = 7",
            "spreading_factor = 7\nfrequency_hz = 915000000",
            "line 4, column 10: 915000000 Hz with 125000 Hz of bandwidth is in no band of EU868",
        ),
        ("spreading_factor = 7", "spreading_factor = 4", "line 2, column 1: the spreading factor"),
        ("gateway_m = [0, 0]\n", "", "missing field `gateway_m`"),
        ("[10.5, 5]", "[1e9, 5]", "line 10, column 8: [1000000000, 5]: metres from the origin"),
        ("[10.5, 5]", "[10.5]", "line 10, column 8"),
        ("loss_db = 20", "loss_db = -3", "line 11, column 11: loss_db = -3: write a number from 0"),
        ("lasts_s = 20", "lasts_s = inf", "line 7, column 11: lasts_s = inf: write a number"),
        ("period_ms = 100", "period_ms = 5", "line 12, column 1: \"pulsed\" needs `on_ms`"),
        ("\"pulsed\"", "\"rude\"", "unknown variant `rude`"),
        ("walk = { round_m", "walk = { at_m = [0, 0], round_m", "line 23, column 8: say where"),
        ("[[0, 0], [50, 0]]", "[[0, 0]]", "line 23, column 20: a round has 2 to 100"),
        ("at_m = [1, 2]", "at_m = [1, 2], speed_m_s = 1", "`speed_m_s` is for who walks"),
        ("every_s = 60", "every_s = 0", "line 26, column 11: every_s = 0: write a number from 1"),
        ("\"heartbeat\"", "\"pin\"", "line 24, column 1: do = \"pin\" cannot be a habit"),
        ("count = 2", "count = 4", "line 19, column 1: crew \"guards\": 3 enrolment files in"),
        (
            "dir = \"guards\"",
            "dir = \"absent\"",
            "No such file or directory (os error 2); put there",
        ),
        ("dir = \"guards\"", "dir = \"empty\"", "empty: there is no *.json in it; put there what"),
        ("walk = { at_m = [1, 2] }", "wire = \"desk\"", "on a site it has a `walk`, and no `wire`"),
        ("\"alice\"", "\"guards\"", "two times the pendant guards; give each its own"),
        ("\"guards/2\"", "\"guards/3\"", "there is no pendant \"guards/3\""),
        (
            "[[pendant]]",
            "[[wire]]\nname = \"a\"\nkind = \"pty\"\n[[pendant]]",
            "leave out [[wire]]",
        ),
    ] {
        assert!(SITE.contains(from), "{from}");
        let error = Scenario::parse(&SITE.replacen(from, to, 1), directory.path())
            .expect_err("a mistake")
            .to_string();
        assert!(error.contains(expected), "{error} does not say {expected}");
    }
}

#[test]
fn a_site_has_room_for_so_many_pendants() {
    let directory = site_directory();
    for number in 4..=1_001 {
        let text = ENROLMENT.replace("00012f", &format!("{number:06x}"));
        let file = directory.path().join(format!("guards/{number}.json"));
        std::fs::write(file, text).expect("written");
    }
    let all = SITE.replace("count = 2\n", "");
    let error = Scenario::parse(&all, directory.path()).expect_err("too many").to_string();
    assert!(error.contains("1002 pendants; a site has at most 1000"), "{error}");
}
