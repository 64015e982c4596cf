//! `pendant-kit sim` against a gateway played by the test, over a pseudo terminal.

use pendant_hal::serial::{Codec, SerialSettings};
use pendant_kit::wire::Wire;
use pendant_protocol::{
    Body, DownlinkMessage, EnrolmentKey, Instruction, Outcome, SealedUplink, Slot,
};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdout, Command};
use tokio::time::{sleep_until, timeout};

/// Far beyond what anything here takes; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

const ENROLMENT: &str =
    r#"{"pendant":"00012f","wearer":"alice","key":"09090909090909090909090909090909"}"#;

/// Answers as a gateway would; lets the first transmission of the PIN pass unheard.
async fn gateway(path: PathBuf) {
    let key = EnrolmentKey::from_bytes([9; 16]);
    let slot = Slot::new(0).expect("within range");
    let codec = Codec::Cobs { envelope: false };
    let mut wire = Wire::port(SerialSettings { path, baud: 115_200, codec });
    let mut salt = 0;
    let mut pin_was_heard = false;
    while let Ok((bytes, ended)) = wire.receive().await {
        let sealed = SealedUplink::parse(&bytes).expect("a frame");
        let message = sealed.open(&key.uplink()).expect("a genuine frame");
        assert_eq!(message.echo, salt);
        let outcome = match message.body {
            Body::SessionStart { minutes: 30, .. } => Outcome::SessionStarted,
            Body::Pin(_) if !std::mem::replace(&mut pin_was_heard, true) => continue,
            Body::Pin(_) => Outcome::Ended,
            _ => Outcome::Noted,
        };
        salt += 1;
        let answer = DownlinkMessage { outcome, instruction: Instruction::None, minutes_left: 0 };
        let (id, counter) = (sealed.pendant(), sealed.counter());
        let frame = answer.seal(&key.downlink(slot), slot, id, counter, salt);
        sleep_until(ended + Duration::from_secs(1)).await;
        wire.send(&frame).await.expect("sent");
    }
}

fn scenario(directory: &Path, last_expectation: &str) -> PathBuf {
    std::fs::write(directory.join("alice.json"), ENROLMENT).expect("written");
    let text = format!(
        r#"
name = "a short shift"
[[wire]]
name = "desk"
kind = "pty"
link = "{port}"
[[pendant]]
name = "alice"
wire = "desk"
enrolment_file = "alice.json"
[[step]]
pendant = "alice"
do = "session_start"
minutes = 30
expect = "session_started"
within_ms = 5000
[[step]]
pendant = "alice"
do = "pin"
digits_env = "KIT_TEST_PIN"
expect = "ended"
[[step]]
pendant = "alice"
do = "heartbeat"
expect = "{last_expectation}"
"#,
        port = directory.join("port").display()
    );
    let path = directory.join("shift.toml");
    std::fs::write(&path, text).expect("written");
    path
}

/// Runs the tool; gives its exit code, what it printed, and its report.
async fn run(last_expectation: &str) -> (i32, String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let junit = directory.path().join("report.xml");
    let mut child = Command::new(env!("CARGO_BIN_EXE_pendant-kit"))
        .arg("sim")
        .arg(scenario(directory.path(), last_expectation))
        .arg("--junit")
        .arg(&junit)
        .env("KIT_TEST_PIN", "2468")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the tool starts");
    let stdout: ChildStdout = child.stdout.take().expect("piped");
    let mut lines = BufReader::new(stdout).lines();
    let mut printed = lines.next_line().await.expect("text").expect("a line");
    let port = directory.path().join("port");
    assert_eq!(printed, format!("wire desk is at {}", port.display()));
    let gateway = tokio::spawn(gateway(port));
    while let Some(line) = lines.next_line().await.expect("text") {
        printed = printed + "\n" + &line;
    }
    let code = child.wait().await.expect("ended").code().expect("not by a signal");
    gateway.abort();
    assert!(directory.path().join("alice.memory").exists());
    (code, printed, std::fs::read_to_string(junit).expect("a report"))
}

#[tokio::test]
async fn what_goes_as_expected_gives_a_clean_report() {
    let (code, printed, junit) = timeout(PATIENCE, run("noted")).await.expect("in time");
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("alice        session_start    session_started, 1"), "{printed}");
    assert!(printed.contains("after transmission 2: ok"), "{printed}");
    assert!(junit.contains(r#"tests="3" failures="0""#), "{junit}");
    assert!(!printed.contains("2468") && !junit.contains("2468"));
}

#[tokio::test]
async fn what_does_not_fails_the_run() {
    let (code, printed, junit) = timeout(PATIENCE, run("checked_in")).await.expect("in time");
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("FAILED: noted instead of checked_in"), "{printed}");
    assert!(junit.contains(r#"tests="3" failures="1""#), "{junit}");
    assert!(junit.contains(r#"<failure message="noted instead of checked_in"/>"#), "{junit}");
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_with_a_reason() {
    let output = Command::new(env!("CARGO_BIN_EXE_pendant-kit"))
        .args(["sim", "/nonexistent/shift.toml"])
        .output()
        .await
        .expect("the tool runs");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        text,
        "pendant-kit: /nonexistent/shift.toml: No such file or directory (os error 2)\n"
    );
}
