//! What `pendant-gateway check` says of a radio, as an installer reads it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// All but the radio: what has no default.
const SITE: &str = r#"site = "harbour"
gateway = "crane-2"
slot = 0
[[broker]]
host = "mqtt.example.org"
ca_file = "/etc/pendant-gateway/tls/ca.pem"
certificate_file = "/etc/pendant-gateway/tls/gateway.pem"
key_file = "/etc/pendant-gateway/tls/gateway.key"
[[link]]
name = "radio-1"
kind = "radio"
region = "EU868"
"#;

/// Trying a radio out takes below two seconds on a small computer.
const CHECK_MAX: Duration = Duration::from_secs(20);

/// What is said of a radio with these settings: grade, text and remedy.
pub(crate) fn of(settings: &str) -> String {
    as_user(settings, 0)
}

/// The same, said to another user.
pub(crate) fn as_user(settings: &str, user: u32) -> String {
    fs::write("/tmp/gateway.toml", format!("{SITE}{settings}\n")).expect("a file");
    let mut check = Command::new("/bin/pendant-gateway");
    check.args(["--config", "/tmp/gateway.toml", "check", "--offline"]).uid(user);
    let begun = Instant::now();
    let output = check.output().expect("the gateway is in the image");
    assert!(begun.elapsed() < CHECK_MAX, "{settings}: {:?}", begun.elapsed());
    let all = String::from_utf8_lossy(&output.stdout);
    let mut lines = all.lines().skip_while(|line| !line.contains("link radio-1: "));
    let finding = lines.next().unwrap_or_else(|| {
        panic!(
            "{settings}: nothing of the radio:\n{all}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    let remedy = lines.next().filter(|line| line.starts_with("  -> ")).unwrap_or("");
    format!("{finding}\n{remedy}")
}

/// The radio is wrong, for this reason, with this to do.
#[track_caller]
pub(crate) fn wrong(settings: &str, parts: &[&str]) {
    let said = of(settings);
    assert!(said.starts_with("WRONG "), "{settings}\n{said}");
    has(&said, parts);
}

#[track_caller]
pub(crate) fn has(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
}
