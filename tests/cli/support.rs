//! The report for whoever helps from afar: what stands in it, and what never does.

use super::{DURESS, SAFE, Said, Site, pins, run};
use pendant_hal::base64;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// What a site has decided of alarms and signs; who reads it knows the silent ones.
const DECISIONS: &str = "\
[policy]
wrong_pins_to_alarm = 7
panic_is_covert = true
[response]
procedures.duress = \"police-silent\"
listen_in = \"tel:+441632960961\"
[lorawan]
region = \"EU868\"
[[pendant]]
number = \"00012f\"
device = \"milesight-ws101\"
silence = true
triggers.press_double = \"duress\"
triggers.press_long = \"discreet_panic\"
";

/// Lines as systemd's journal has them: the gateway's own, and what a refused start said.
const JOURNAL: &str = r#"#!/bin/sh
cat <<'END'
{"__REALTIME_TIMESTAMP":"1800000000000000","PRIORITY":"3","TARGET":"pendant_gateway::shell::daemon","MESSAGE":"link down; trying again","LINK":"serial-1"}
{"__REALTIME_TIMESTAMP":"1800000000000000","PRIORITY":"6","_TRANSPORT":"stdout","MESSAGE":"    triggers.press_double = \"duress\""}
{"__REALTIME_TIMESTAMP":"1800000000000000","PRIORITY":"4","TARGET":"pendant_gateway::cli::run","MESSAGE":"a call back after `duress` may tell"}
END
"#;

impl Site {
    /// The report, with a journal and a service manager of the test's own.
    fn support(&self, out: &str) -> Said {
        let programs = self.path("bin");
        fs::create_dir_all(&programs).expect("a folder");
        self.write("bin/journalctl", JOURNAL, 0o755);
        self.write("bin/systemctl", "#!/bin/sh\necho ActiveState=active\n", 0o755);
        let mut command = self.command(&["support", "--out", out]);
        command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        run(command, "")
    }

    fn report(&self) -> String {
        self.support("-").expect(0).out
    }
}

fn bytes_of(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks(2);
    digits
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("digits");
            u8::from_str_radix(pair, 16).expect("hexadecimal")
        })
        .collect()
}

/// Fails if the bytes stand there as they are, in hexadecimal or in base64.
fn assert_absent(report: &str, what: &str, secret: &[u8]) {
    assert!(secret.len() >= 4, "{what} is long enough not to turn up by chance");
    let hexadecimal: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = String::from_utf8(base64::encode(secret)).expect("text");
    // The last characters depend on what follows.
    let base64 = &base64.trim_end_matches('=')[..secret.len() * 4 / 3];
    let raw = report.as_bytes().windows(secret.len()).any(|bytes| bytes == secret);
    assert!(!raw, "{what} stands in the report");
    assert!(!report.to_ascii_lowercase().contains(&hexadecimal), "{what}, in hexadecimal");
    assert!(!report.contains(base64), "{what}, in base64");
}

#[test]
fn it_holds_what_helps_and_no_secret() {
    let site = Site::new();
    let sheet = site.enroll("000130", &pins(), &["--json"]).expect(0).out;
    let sheet: serde_json::Value = serde_json::from_str(&sheet).expect("JSON");
    let text = fs::read_to_string(site.path("gateway.toml")).expect("written");
    site.write("gateway.toml", &format!("{text}{DECISIONS}"), 0o640);
    let report = site.report();
    for part in [
        "Look through it before you send it",
        "== Status ==\nno gateway is running",
        "site = \"harbour\"",
        "[pendant]\nnumber = \"00012f\"\ndevice = \"milesight-ws101\"",
        "password_file = \"",
        "valid 2000-01-01T00:00:00Z to 2100-01-01T00:00:00Z, SHA-256 ",
        "good    keyring: 1 enrolled",
        "0 waiting",
        "store.key: 0600, user ",
        "MemAvailable:",
        "serial by id: ",
        "== Service ==\nActiveState=active",
        "2027-01-15T08:00:00.000Z error link down; trying again link=serial-1",
        "and 2 lines of other origin",
    ] {
        assert!(report.contains(part), "{part}\n{report}");
    }
    assert!(report.chars().all(|c| c == '\n' || !c.is_control()));

    let store_key = fs::read_to_string(site.path("store/store.key")).expect("made");
    assert_absent(&report, "the store's key", &bytes_of(store_key.trim()));
    let key = sheet["key"].as_str().expect("printed this once");
    assert_absent(&report, "the pendant's key", &bytes_of(key));
    for pin in [SAFE, DURESS] {
        assert_absent(&report, "a PIN", pin.as_bytes());
    }
    assert_absent(&report, "the password", b"correct-horse-47");
    assert_absent(&report, "the wearer", b"okafor");
    let pem = fs::read_to_string(site.path("gateway.key")).expect("written");
    let body: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
    let der = base64::decode(body.as_bytes()).expect("PEM");
    // Of a key in PKCS #8 the private number stands at byte 36.
    for part in [&der[..32], &der[36..68]] {
        assert_absent(&report, "the TLS key", part);
    }
    for line in pem.lines() {
        assert!(!report.contains(line), "{line}");
    }
    assert_says_nothing_of_signs(&report);
}

fn assert_says_nothing_of_signs(report: &str) {
    let lower = report.to_ascii_lowercase();
    for word in [
        "duress",
        "discreet",
        "covert",
        "trigger",
        "press_",
        "silence =",
        "police",
        "procedure",
        "listen_in",
        "01632",
        "441632",
        "wrong_pins",
        "do_not_call",
    ] {
        assert!(!lower.contains(word), "{word}\n{report}");
    }
}

#[test]
fn a_refused_configuration_is_named_by_place_alone() {
    let site = Site::new();
    let text = fs::read_to_string(site.path("gateway.toml")).expect("written");
    let slip = DECISIONS.replace("\"duress\"", "\"dures\"").replace("wrong_pins", "wrong_pin");
    site.write("gateway.toml", &format!("{text}{slip}"), 0o640);
    let lines = text.lines().count();
    let report = site.report();
    let places = format!("gateway.toml:{}:1\n", lines + 2);
    assert!(report.contains("== Configuration ==\nrefused;"), "{report}");
    assert!(report.contains(&places), "{places}\n{report}");
    assert!(!report.contains("dures"), "{report}");
    assert_says_nothing_of_signs(&report);
}

#[test]
fn the_file_is_its_owners_alone_and_never_in_the_place_of_another() {
    let site = Site::new();
    let path = site.path("report.txt");
    let out = path.display().to_string();
    let said = site.support(&out).expect(0);
    assert!(said.out.is_empty() && said.err.contains("Look through it before"), "{said:?}");
    let mode = fs::metadata(&path).expect("written").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let said = site.support(&out).expect(1);
    assert!(said.err.contains("report.txt: File exists"), "{}", said.err);
}
