//! `enroll`, `revoke` and `pendants`.

pub(super) use super::terminal::Terminal;
use super::{DURESS, PROGRAM, SAFE, Said, Site, pins, run};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

pub(super) fn json(said: &Said) -> serde_json::Value {
    serde_json::from_str(&said.out).expect("JSON")
}

#[test]
fn a_pendant_is_enrolled_listed_and_revoked() {
    let site = Site::new();
    assert_eq!(
        json(&site.run(&["pendants", "--json"]).expect(0))["pendants"],
        serde_json::json!([])
    );
    assert!(!site.path("store/store.key").exists(), "listing makes nothing");
    let sheet = site.enroll("00012F", &pins(), &[]).expect(0);
    for words in [
        "Pendant 00012f is enrolled for m.okafor",
        "pendant number  00012f",
        "by cable",
        "shown this once",
    ] {
        assert!(sheet.out.contains(words), "{}", sheet.out);
    }
    let key = sheet
        .out
        .lines()
        .find_map(|line| line.trim().strip_prefix("key (AES-128)"))
        .expect("printed");
    assert!(
        key.trim().len() == 32 && key.trim().bytes().all(|digit| digit.is_ascii_hexdigit()),
        "{key}"
    );

    let other = json(&site.enroll("000130", &pins(), &["--json"]).expect(0));
    assert_eq!(
        (other["pendant"].as_str(), other["wearer"].as_str()),
        (Some("000130"), Some("m.okafor"))
    );
    assert_ne!(other["key"].as_str(), Some(key.trim()));
    let listed = json(&site.run(&["pendants", "--json"]).expect(0));
    assert_eq!(listed["pendants"].as_array().map(Vec::len), Some(2));
    assert_eq!(listed["pendants"][1]["enrolment"], other["enrolment"]);
    let said = site.run(&["pendants"]).expect(0);
    assert!(said.out.starts_with("00012f  ") && said.out.contains("m.okafor"), "{}", said.out);
    assert!(said.err.contains("2 pendants enrolled"), "{}", said.err);

    let said = site.run(&["revoke", "00012f"]).expect(0);
    assert_eq!(said.out, "Pendant 00012f is revoked.\n");
    let said = site.run(&["revoke", "00012f"]).expect(1);
    assert!(said.err.contains("pendant 00012f is not enrolled"), "{}", said.err);
    let said = site.run(&["pendants"]).expect(0);
    assert!(said.err.contains("1 pendant enrolled"), "{}", said.err);
}

/// One that was lost must not stay in force because another number was mistyped.
#[test]
fn several_are_revoked_as_far_as_they_are_enrolled() {
    let site = Site::new();
    for pendant in ["00012f", "000130", "000131"] {
        site.enroll(pendant, &pins(), &[]).expect(0);
    }
    let said = site.run(&["revoke", "00012f", "0001ff", "000130"]).expect(1);
    assert_eq!(said.out, "Pendant 00012f is revoked.\nPendant 000130 is revoked.\n");
    assert!(said.err.contains("pendant 0001ff is not enrolled"), "{}", said.err);
    let said = site.run(&["revoke", "0001ff", "000131", "--json"]).expect(1);
    let told = json(&said);
    assert_eq!(told["revoked"], serde_json::json!(["000131"]));
    assert_eq!(told["failed"][0]["pendant"], "0001ff");
    let said = site.run(&["revoke", "0001ff"]).expect(1);
    assert!(!said.err.contains("gateway"), "nothing for it to know: {}", said.err);
    site.run(&["revoke"]).expect(2);
    site.enroll("000131", &pins(), &[]).expect(0);
    assert_eq!(
        json(&site.run(&["revoke", "000131", "--json"]).expect(0))["failed"],
        serde_json::json!([])
    );
}

/// Not into files, pipes and logs, unless somebody asks for it.
#[test]
fn the_key_s_qr_code_is_drawn_on_terminals_and_on_demand() {
    let site = Site::new();
    let plain = site.enroll("00012f", &pins(), &[]).expect(0).out;
    assert!(!plain.contains('█') && !plain.contains('\u{1b}'), "{plain}");
    let drawn = site.enroll("000130", &pins(), &["--qr"]).expect(0).out;
    assert!(drawn.contains("\u{1b}[30;47m") && drawn.contains('█'), "{drawn}");
    assert!(drawn.lines().last().is_some_and(|line| line.contains("The PINs stay here")));
    let told = json(&site.enroll("000131", &pins(), &["--json"]).expect(0));
    let key = told["key"].as_str().expect("printed").to_uppercase();
    assert_eq!(told["provisioning"], format!("LWP1:000131:{key}"));
    site.enroll("000132", &pins(), &["--json", "--qr"]).expect(2);

    site.write("pins", &pins(), 0o600);
    let config = site.path("gateway.toml").display().to_string();
    let pins = site.path("pins").display().to_string();
    let line = format!(
        "exec {PROGRAM} --config {config} enroll --pendant 000133 --wearer m --pins-fd 3 3<{pins}"
    );
    let mut terminal = Terminal::new(&line);
    terminal.wait_for("it will know it when it starts.");
    assert!(terminal.child.wait().expect("it ends").success(), "{}", terminal.shown);
    assert!(terminal.shown.contains("\u{1b}[30;47m"), "{}", terminal.shown);
}

/// A phone has some 40 columns.
#[test]
fn the_list_fits_the_terminal() {
    let site = Site::new();
    for wearer in ["m", "a-wearer-with-the-longest-name.1"] {
        let pendant = if wearer == "m" { "00012f" } else { "000130" };
        let enroll = ["enroll", "--pendant", pendant, "--wearer", wearer, "--pins-fd", "0"];
        run(site.command(&enroll), &pins()).expect(0);
    }
    let config = site.path("gateway.toml").display().to_string();
    let mut terminal =
        Terminal::new(&format!("stty cols 40; {PROGRAM} --config {config} pendants"));
    terminal.wait_for("2 pendants enrolled");
    terminal.child.wait().expect("it ends");
    assert!(terminal.shown.lines().all(|line| line.len() <= 40), "{}", terminal.shown);
    assert!(terminal.shown.lines().count() == 4, "{}", terminal.shown);
}

#[test]
fn an_enrolment_is_replaced_only_on_demand() {
    let site = Site::new();
    let first = json(&site.enroll("00012f", &pins(), &["--json"]).expect(0));
    let said = site.enroll("00012f", &pins(), &[]).expect(1);
    assert!(said.err.contains("is enrolled already; with --replace"), "{}", said.err);
    assert!(said.out.is_empty());
    let listed = json(&site.run(&["pendants", "--json"]).expect(0));
    assert_eq!(listed["pendants"][0]["enrolment"], first["enrolment"]);
    let second = json(&site.enroll("00012f", &pins(), &["--json", "--replace"]).expect(0));
    assert_ne!(second["enrolment"], first["enrolment"]);
    assert_ne!(second["key"], first["key"]);
}

#[test]
fn bad_pins_are_refused_in_words_without_digits() {
    let site = Site::new();
    for (pins, code, words) in [
        (format!("{SAFE}\n{SAFE}\n"), 1, "the duress PIN is the safe PIN"),
        ("2749\n2740\n".to_owned(), 1, "one wrong, missing or additional digit apart"),
        ("2749\n7249\n".to_owned(), 1, "two neighbouring digits exchanged"),
        ("2799\n2800\n".to_owned(), 1, "neighbouring numbers"),
        ("2749\n274918\n".to_owned(), 1, "begins with the whole other PIN"),
        (format!("0000\n{DURESS}\n"), 1, "the safe PIN is one that is guessed first"),
        (format!("{SAFE}\n1234\n"), 1, "the duress PIN is one that is guessed first"),
        (format!("274\n{DURESS}\n"), 1, "the safe PIN must have 4 to 8 digits"),
        (format!("{SAFE}\n{DURESS}1\n"), 1, "the duress PIN must have 4 to 8 digits"),
        (format!("{SAFE} \n{DURESS}\n"), 1, "the safe PIN must have 4 to 8 digits"),
        (String::new(), 2, "must give two lines"),
        (format!("{SAFE}\n"), 2, "must give two lines"),
        (format!("{SAFE}\n{DURESS}\n{DURESS}\n"), 2, "must give two lines"),
        ("7".repeat(100_000), 2, "must give two lines"),
    ] {
        let said = site.enroll("00012f", &pins, &[]).expect(code);
        assert!(said.err.contains(words), "{}", said.err);
        assert!(said.out.is_empty(), "{}", said.out);
        for pin in pins.lines() {
            assert!(!said.err.contains(pin), "{}", said.err);
        }
    }
    assert!(!site.path("store/keyring").exists(), "nothing was enrolled");
}

#[test]
fn pins_come_from_any_descriptor() {
    let site = Site::new();
    site.write("pins", &pins(), 0o600);
    let config = site.path("gateway.toml");
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "exec \"$0\" --config \"$1\" enroll --pendant 00012f --wearer m --pins-fd 3 3<\"$2\"",
            PROGRAM,
        ])
        .args([config, site.path("pins")]);
    run(command, "").expect(0);
    let arguments = ["enroll", "--pendant", "000130", "--wearer", "m", "--pins-fd", "77"];
    let said = site.run(&arguments).expect(2);
    assert!(said.err.contains("PINs from file descriptor 77"), "{}", said.err);
}

#[test]
fn the_wearer_types_each_pin_twice_and_nothing_is_shown() {
    let site = Site::new();
    let config = site.path("gateway.toml").display().to_string();
    let mut terminal = Terminal::new(&format!(
        "{PROGRAM} --config {config} enroll --pendant 00012f --wearer m.okafor"
    ));
    let steps = [
        ("Safe PIN: ", SAFE),
        ("Safe PIN again: ", DURESS),
        // They differ: asked again; then too near; then good.
        ("Safe PIN: ", SAFE),
        ("Safe PIN again: ", SAFE),
        ("Duress PIN: ", "27491837"),
        ("Duress PIN again: ", "27491837"),
        ("Safe PIN: ", SAFE),
        ("Safe PIN again: ", SAFE),
        ("Duress PIN: ", DURESS),
        ("Duress PIN again: ", DURESS),
    ];
    for (prompt, typed) in steps {
        terminal.wait_for(prompt);
        terminal.types(&format!("{typed}\n"));
    }
    terminal.wait_for("it will know it when it starts.");
    let shown = &terminal.shown;
    assert!(terminal.child.wait().expect("it ends").success(), "{shown}");
    assert!(shown.contains("The two entries differ"), "{shown}");
    assert!(shown.contains("one wrong, missing or additional digit apart"), "{shown}");
    for pin in [SAFE, DURESS, "27491837"] {
        assert!(!shown.contains(pin), "{shown}");
    }
    assert!(site.path("store/keyring/00012f.enrolment").exists());
}

#[test]
fn an_interrupted_entry_enrols_nobody_and_leaves_a_terminal_that_shows_what_is_typed() {
    let site = Site::new();
    let config = site.path("gateway.toml").display().to_string();
    let enroll = format!("{PROGRAM} --config {config} enroll --pendant 00012f --wearer m");
    let mut terminal = Terminal::new(&format!("sh -c '{enroll}; echo code $?; stty -a'"));
    terminal.wait_for("Safe PIN: ");
    // Control-C.
    terminal.types("27\u{3}");
    terminal.wait_for("code 1");
    terminal.wait_for(" icanon ");
    terminal.wait_for(" echo ");
    terminal.child.wait().expect("it ends");
    assert!(!site.path("store/keyring").exists());
}

#[test]
fn a_damaged_enrolment_is_told_listed_without_and_can_be_revoked() {
    let site = Site::new();
    site.enroll("00012f", &pins(), &[]).expect(0);
    site.enroll("000130", &pins(), &[]).expect(0);
    site.write("store/keyring/000130.enrolment", "garbage", 0o600);
    let said = site.run(&["pendants"]).expect(1);
    assert!(said.out.contains("00012f") && !said.out.contains("000130"), "{}", said.out);
    assert!(said.err.contains("000130.enrolment is damaged"), "{}", said.err);
    site.run(&["revoke", "000130"]).expect(0);
    site.run(&["pendants"]).expect(0);
}

#[test]
fn a_store_key_that_is_open_or_lost_or_damaged_stops_enrolling() {
    let site = Site::new();
    site.enroll("00012f", &pins(), &[]).expect(0);
    let key = site.path("store/store.key");
    fs::set_permissions(&key, Permissions::from_mode(0o640)).expect("ours");
    let said = site.enroll("000130", &pins(), &[]).expect(1);
    assert!(said.err.contains("chmod 600"), "{}", said.err);
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("ours");
    fs::write(&key, "short\n").expect("ours");
    let said = site.enroll("000130", &pins(), &[]).expect(1);
    assert!(said.err.contains("is not a store key"), "{}", said.err);
    fs::remove_file(&key).expect("there");
    let said = site.enroll("000130", &pins(), &[]).expect(1);
    assert!(said.err.contains("restore the key from the backup"), "{}", said.err);
    assert!(!key.exists());
}
