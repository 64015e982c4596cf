use super::*;

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
    assert_eq!((alice.identity.id.get(), alice.wire), (0x12F, 0));
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
        ("minutes = 30", "", "step 1 (session_start of alice): `minutes` is missing"),
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
