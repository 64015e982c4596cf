use crate::sim::lorawan::{Answered, DeviceAction, Payload, Plan, Sending, Spoils};
use crate::sim::{Scenario, WireSettings};
use std::time::Duration;

const SCENARIO: &str = r#"name = "buttons"
[[wire]]
name = "roof"
kind = "forwarder"
server = "127.0.0.1:1700"
eui = "AA:55:5A:00:00:00:01:01"
region = "US915"
sub_band = 2
uplinks_lost_percent = 10
[[wire]]
name = "desk"
kind = "pty"
[[device]]
name = "gate"
wire = "roof"
dev_eui = "24e124abcdef0201"
keys_file = "gate.keys"
spreading_factor = 10
[[device]]
name = "van"
wire = "roof"
dev_addr = "26010203"
keys_file = "van.keys"
memory_file = "counters"
[[pendant]]
name = "alice"
wire = "desk"
enrolment_file = "alice.json"
[[step]]
pendant = "gate"
do = "join"
lose_downlinks = 1
[[step]]
pendant = "gate"
do = "confirmed"
payload = "017510FF2E01"
port = 2
at_ms = 500
within_ms = 4000
[[step]]
pendant = "alice"
do = "panic"
[[step]]
pendant = "van"
do = "unconfirmed"
expect = "answered"
"#;

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let key = "000102030405060708090a0b0c0d0e0f";
    let enrolment = format!(r#"{{"pendant":"00012f","key":"{key}"}}"#);
    for (file, text) in [
        ("gate.keys", format!("{key}\n")),
        ("van.keys", format!("{}\n{key}\n", "FF".repeat(16))),
        ("alice.json", enrolment),
    ] {
        std::fs::write(directory.path().join(file), text).expect("written");
    }
    directory
}

#[test]
fn devices_are_read_with_their_keys() {
    let directory = directory();
    let scenario = Scenario::parse(SCENARIO, directory.path()).expect("a scenario");
    let WireSettings::Forwarder(wire) = &scenario.wires[0] else { panic!("a forwarder") };
    assert_eq!((wire.eui.to_string().as_str(), wire.counter_us), ("aa555a0000000101", 0));
    let [gate, van] = &scenario.devices[..] else { panic!("two devices") };
    assert_eq!((gate.wire, gate.plan, gate.attempts_max), (0, Plan::Us915 { sub_band: 2 }, 8));
    assert_eq!((gate.device.dev_eui, gate.device.app_key[15]), (0x24E1_24AB_CDEF_0201, 15));
    assert_eq!((gate.spreading_factor, van.spreading_factor), (10, 9));
    assert_eq!(gate.memory, directory.path().join("gate.memory"));
    assert_eq!(van.memory, directory.path().join("counters"));
    let session = van.device.session.as_ref().expect("given");
    assert_eq!((session.dev_addr, session.nwk_s_key[0]), (0x2601_0203, 0xFF));
    assert_eq!(session.app_s_key[15], 15);
    let numbers: Vec<_> = scenario.device_steps.iter().map(|it| (it.number, it.device)).collect();
    assert_eq!((numbers, scenario.steps[0].number), (vec![(1, 0), (2, 0), (4, 1)], 3));
    assert_eq!(scenario.last_step(), 4);
    let DeviceAction::Send { what: Sending::Join, expect: Answered::Joined, spoils, .. } =
        &scenario.device_steps[0].action
    else {
        panic!("a join")
    };
    assert_eq!(*spoils, Spoils { downlinks: 1, ..Spoils::default() });
    let press = &scenario.device_steps[1];
    assert_eq!(press.not_before, Duration::from_millis(500));
    let DeviceAction::Send { what: Sending::Confirmed(payload), within, .. } = &press.action else {
        panic!("a press")
    };
    let bytes = vec![0x01, 0x75, 0x10, 0xFF, 0x2E, 0x01];
    assert_eq!(*payload, Payload { port: 2, bytes });
    assert_eq!(*within, Duration::from_secs(4));
}

#[test]
fn every_mistake_says_where_it_is_and_what_to_write() {
    let directory = directory();
    for (from, to, expected) in [
        ("\"US915\"", "\"US916\"", "unknown variant `US916`, expected `EU868` or `US915`"),
        ("sub_band = 2", "", "line 2, column 1: wire \"roof\": give `sub_band`, 1 to 8, in US915"),
        ("sub_band = 2", "sub_band = 9", "give `sub_band`, 1 to 8"),
        ("percent = 10", "percent = 101", "uplinks_lost_percent = 101: write 0 to 100"),
        ("AA:55", "AA:5", "`eui` is not 16 hexadecimal digits"),
        ("sub_band = 2", "sub_bend = 2", "unknown field `sub_bend`"),
        ("wire = \"roof\"", "wire = \"attic\"", "line 13, column 1: device \"gate\": there is no"),
        (
            "wire = \"roof\"",
            "wire = \"desk\"",
            "wire \"desk\" is no packet forwarder: give it kind = \"forwarder\"",
        ),
        (
            "wire = \"desk\"",
            "wire = \"roof\"",
            "wire \"roof\" is a packet forwarder: it hears each [[device]]",
        ),
        ("abcdef0201", "abcdef020", "`dev_eui` is not 16 hexadecimal digits"),
        ("26010203", "2601020", "`dev_addr` is not 8 hexadecimal digits"),
        ("dev_addr = \"26010203\"\n", "", "give `dev_eui` (and `join_eui`) of a device that joins"),
        ("gate.keys", "van.keys", "32 hexadecimal digits a line: AppKey"),
        ("van.keys", "gate.keys", "32 hexadecimal digits a line: NwkSKey, then AppSKey"),
        ("van.keys", "absent.keys", "No such file"),
        ("factor = 10", "factor = 12", "spreading_factor = 12: write 7 to 10"),
        ("spreading_factor = 10", "attempts_max = 0", "attempts_max = 0 would say nothing"),
        ("\"counters\"", "\"gate.memory\"", "two times the memory "),
        ("name = \"van\"", "name = \"alice\"", "two times the pendant alice"),
        (
            "do = \"join\"",
            "do = \"panic\"",
            "line 29, column 1: step 1 (panic of gate): do = \"panic\" is none of: wait, join",
        ),
        ("do = \"panic\"", "do = \"join\"", "do = \"join\" is none of: wait, heartbeat"),
        ("do = \"panic\"", "do = \"panic\"\npayload = \"00\"", "`payload` has no meaning here"),
        ("port = 2", "minutes = 2", "`minutes` has no meaning here"),
        ("port = 2", "port = 224", "port = 224: write 1 to 223"),
        ("017510FF2E01", "017510FF2E0", "`payload` is no bytes"),
        ("017510FF2E01", "017510FF2E01017510FF2E01", "`payload` has 12 bytes; SF10 takes 11"),
        ("expect = \"answered\"", "expect = \"acknowledged\"", "is none of: answered, nothing"),
        ("do = \"confirmed\"", "do = \"replay\"", "`port` has no meaning here"),
        ("do = \"unconfirmed\"\nexpect = \"answered\"", "do = \"join\"", "does not join"),
        (
            "do = \"unconfirmed\"\nexpect = \"answered\"",
            "do = \"replay\"",
            "there is no `confirmed` before",
        ),
        (
            "do = \"unconfirmed\"\nexpect = \"answered\"",
            "do = \"replay_join\"",
            "there is no `join` before",
        ),
        ("do = \"unconfirmed\"\nexpect = \"answered\"", "do = \"wait\"", "`for_ms` is missing"),
    ] {
        assert!(SCENARIO.contains(from), "{from}");
        let error = Scenario::parse(&SCENARIO.replacen(from, to, 1), directory.path())
            .expect_err("a mistake")
            .to_string();
        assert!(error.contains(expected), "{error} does not say {expected}");
        assert!(!error.contains("0a0b"), "{error} shows a key");
    }
}
