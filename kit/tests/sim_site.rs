//! `pendant-kit sim` with a site: its gateway is the real radio driver on a
//! virtual chip that joins over the socket, as a daemon's does.

use pendant_hal::radio::account::Account;
use pendant_hal::radio::{self, RadioSettings};
use pendant_hal::sim::sx1262;
use pendant_hal::{LinkEvent, Transmission};
use pendant_kit::sim::RADIO;
use pendant_protocol::{DownlinkMessage, EnrolmentKey, Instruction, Outcome, SealedUplink, Slot};
use std::path::Path;
use std::process::Output;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

const SETTINGS: RadioSettings =
    RadioSettings { downlink_frequency_hz: 869_525_000, spreading_factor: 7, ..RADIO };

/// Three guards at a wall; the fourth is beyond the sea.
const SCENARIO: &str = r#"
name = "a yard"
[site]
socket = "air"
region = "EU868"
spreading_factor = 7
gateway_m = [0, 0]
lasts_s = 5
[[site.wall]]
from_m = [20, -10]
to_m = [20, 10]
loss_db = 8
[[site.crew]]
name = "guards"
enrolment_dir = "guards"
walk = { round_m = [[10, 0], [40, 0]] }
[[site.crew.habit]]
do = "heartbeat"
every_s = 2
[[pendant]]
name = "diver"
enrolment_file = "diver.json"
walk = { at_m = [90000, 0] }
[[step]]
pendant = "guards"
do = "panic"
expect = "noted"
over_ms = 2000
within_ms = 20000
[[step]]
pendant = "diver"
do = "panic"
expect = "nothing"
within_ms = 8000
"#;

/// Answers all that it hears.
async fn gateway(directory: &Path) {
    let (chip, _faults) = sx1262::on_socket(&directory.join("air"), sx1262::BOARD);
    let (sender, mut events) = mpsc::channel(64);
    let link = radio::spawn(SETTINGS, chip, Account::default(), 0, sender);
    let key = EnrolmentKey::from_bytes([9; 16]);
    let slot = Slot::new(0).expect("a slot");
    let mut salt = 0;
    while let Some((_, event)) = events.recv().await {
        let LinkEvent::Received(reception) = event else { continue };
        let Ok(sealed) = SealedUplink::parse(&reception.bytes) else { continue };
        salt += 1;
        let (outcome, instruction) = (Outcome::Noted, Instruction::None);
        let answer = DownlinkMessage { outcome, instruction, minutes_left: 0 };
        let (id, counter) = (sealed.pendant(), sealed.counter());
        let bytes = answer.seal(&key.downlink(slot), slot, id, counter, salt).to_vec();
        let at = reception.ended + Duration::from_secs(1);
        let answer = Transmission::native(salt.into(), at, bytes);
        link.transmit.send(answer).await.expect("the link lives");
    }
}

fn write_files(directory: &Path, scenario: &str) {
    std::fs::create_dir(directory.join("guards")).expect("a directory");
    for (number, file) in [(1, "guards/a"), (2, "guards/b"), (3, "guards/c"), (4, "diver")] {
        let key = "09".repeat(16);
        let text = format!(r#"{{"pendant":"{number:06x}","key":"{key}"}}"#);
        std::fs::write(directory.join(format!("{file}.json")), text).expect("written");
    }
    std::fs::write(directory.join("yard.toml"), scenario).expect("written");
}

async fn run(directory: &Path) -> Output {
    let tool = Command::new(env!("CARGO_BIN_EXE_pendant-kit"))
        .arg("sim")
        .arg(directory.join("yard.toml"))
        .arg("--junit")
        .arg(directory.join("report.xml"))
        .kill_on_drop(true)
        .output();
    tokio::select! {
        output = timeout(PATIENCE, tool) => output.expect("in time").expect("the tool runs"),
        () = gateway(directory) => panic!("the gateway ended"),
    }
}

#[tokio::test]
async fn a_site_is_played_over_the_socket_and_told_in_the_report() {
    let directory = tempfile::tempdir().expect("a directory");
    write_files(directory.path(), SCENARIO);
    let output = run(directory.path()).await;
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    let socket = directory.path().join("air");
    let begin = format!("wire air is at {}\nthe gateway is there: it begins\n", socket.display());
    assert!(printed.starts_with(&begin), "{printed}");
    for part in [
        "[  1/2] guards/a     panic            noted, 10",
        "[  2/2] diver        panic            no acknowledgement within 8000 ms: ok",
        "4 pendants said ",
        " transmissions answered: ",
        " out of range\n",
        "a yard: 4 steps, 0 failed, ",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let junit = std::fs::read_to_string(directory.path().join("report.xml")).expect("a report");
    for part in [
        r#"<testsuite name="a yard" tests="5" failures="0""#,
        r#"<property name="pendants" value="4"/>"#,
        r#"<property name="lost_noise" value="0"/>"#,
        r#"name="the air""#,
    ] {
        assert!(junit.contains(part), "{part}: {junit}");
    }
    // A press can be found again at the centre.
    assert!(junit.contains("; frame counter "), "{junit}");
    assert!(!socket.exists());
}

#[tokio::test]
async fn an_air_that_is_jammed_is_not_as_expected_and_says_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let jammed = SCENARIO
        .replace("lasts_s = 5", "lasts_s = 5\nanswered_percent_min = 50")
        .replace("expect = \"noted\"", "expect = \"nothing\"")
        .replace("within_ms = 20000", "within_ms = 8000")
        .replace(
            "[[site.crew]]",
            "[[site.jammer]]\nkind = \"continuous\"\nat_m = [0, 5]\npower_dbm = 14\n\
             until_s = 60\n[[site.crew]]",
        );
    write_files(directory.path(), &jammed);
    let output = run(directory.path()).await;
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains(" drowned by noise\n"), "{printed}");
    let failure = "0.0 % of the transmissions were answered, not 50 %";
    assert!(printed.contains(&format!("FAILED: {failure}")), "{printed}");
    let junit = std::fs::read_to_string(directory.path().join("report.xml")).expect("a report");
    assert!(junit.contains(&format!("<failure message=\"{failure}\"/>")), "{junit}");
}
