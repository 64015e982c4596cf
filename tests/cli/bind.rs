//! `pendants bind`, and `pendants` with its subcommands.

use super::enroll::{Terminal, json};
use super::{DURESS, PROGRAM, SAFE, Said, Site, pins, run};
use std::fs;

const NEXT_SAFE: &str = "58291047";
const NEXT_DURESS: &str = "31746920";

impl Site {
    fn bind(&self, pendant: &str, input: &str, more: &[&str]) -> Said {
        let arguments = ["pendants", "bind", pendant, "--wearer", "a.silva"];
        run(self.command(&[&arguments[..], more].concat()), input)
    }
}

fn next_pins() -> String {
    format!("{NEXT_SAFE}\n{NEXT_DURESS}\n")
}

#[test]
fn a_pendant_is_handed_over_and_keeps_its_enrolment() {
    let site = Site::new();
    site.enroll("00012f", &pins(), &[]).expect(0);
    site.enroll("000130", &pins(), &[]).expect(0);
    let before = json(&site.run(&["pendants", "--json"]).expect(0));

    let said = site.bind("00012F", &next_pins(), &["--pins-fd", "0"]).expect(0);
    assert_eq!(said.out, "Pendant 00012f was worn by m.okafor and is now worn by a.silva.\n");
    assert!(said.err.contains("No gateway is running; it will know it"), "{}", said.err);
    let said = site.bind("00012f", "", &["--keep-pins", "--json"]).expect(0);
    let expected = serde_json::json!(
        { "pendant": "00012f", "wearer": "a.silva", "wearer_before": "a.silva" }
    );
    assert_eq!(json(&said), expected);

    let after = json(&site.run(&["pendants", "list", "--json"]).expect(0));
    assert_eq!(after["pendants"][0]["wearer"], "a.silva");
    assert_eq!(after["pendants"][0]["enrolment"], before["pendants"][0]["enrolment"]);
    assert_eq!(after["pendants"][1], before["pendants"][1], "nobody else's");
    let (bare, list) =
        (site.run(&["pendants"]).expect(0), site.run(&["pendants", "list"]).expect(0));
    assert_eq!((bare.out, bare.err), (list.out, list.err));
}

#[test]
fn what_cannot_be_bound_is_refused_and_nothing_changes() {
    let site = Site::new();
    let said = site.bind("00012f", &next_pins(), &["--pins-fd", "0"]).expect(1);
    assert!(said.err.contains("pendant 00012f is not enrolled; `pendants` lists"), "{}", said.err);
    assert!(!site.path("store/store.key").exists(), "binding makes no key");
    site.enroll("00012f", &pins(), &[]).expect(0);
    site.enroll("000130", &pins(), &[]).expect(0);
    let file = site.path("store/keyring/00012f.enrolment");
    let sealed = fs::read(&file).expect("written");

    // The rules for PINs are those of `enroll`.
    for (pins, code, words) in [
        (format!("{SAFE}\n{SAFE}\n"), 1, "the duress PIN is the safe PIN"),
        ("2749\n7249\n".to_owned(), 1, "two neighbouring digits exchanged"),
        (format!("1234\n{DURESS}\n"), 1, "the safe PIN is one that is guessed first"),
        (format!("{SAFE}\n"), 2, "must give two lines"),
    ] {
        let said = site.bind("00012f", &pins, &["--pins-fd", "0"]).expect(code);
        assert!(said.err.contains(words) && said.out.is_empty(), "{said:?}");
    }
    let said = site.bind("00012f", "", &["--pins-fd", "0", "--keep-pins"]).expect(2);
    assert!(said.err.contains("cannot be used with"), "{}", said.err);
    let said = site.bind("000131", "", &["--keep-pins"]).expect(1);
    assert!(said.err.contains("pendant 000131 is not enrolled"), "{}", said.err);
    let arguments = ["pendants", "bind", "00012f", "--wearer", "A. Silva", "--keep-pins"];
    let said = site.run(&arguments).expect(2);
    assert!(said.err.contains("' ' may not stand in a name"), "{}", said.err);
    site.run(&["pendants", "bind", "00012f", "--keep-pins"]).expect(2);
    site.run(&["pendants", "--json", "bind", "00012f", "--wearer", "m", "--keep-pins"]).expect(2);
    assert_eq!(fs::read(&file).expect("there"), sealed);

    site.write("store/keyring/000130.enrolment", "garbage", 0o600);
    let said = site.bind("000130", "", &["--keep-pins"]).expect(1);
    assert!(said.err.contains("000130.enrolment is damaged"), "{}", said.err);
}

#[test]
fn the_new_wearer_types_pins_unseen() {
    let site = Site::new();
    site.enroll("00012f", &pins(), &[]).expect(0);
    let config = site.path("gateway.toml").display().to_string();
    let line = format!("{PROGRAM} --config {config} pendants bind 00012f --wearer a.silva");
    let mut terminal = Terminal::new(&line);
    for (prompt, typed) in [
        ("Safe PIN: ", NEXT_SAFE),
        ("Safe PIN again: ", NEXT_SAFE),
        ("Duress PIN: ", NEXT_DURESS),
        ("Duress PIN again: ", NEXT_DURESS),
    ] {
        terminal.wait_for(prompt);
        terminal.types(&format!("{typed}\n"));
    }
    terminal.wait_for("is now worn by a.silva.");
    assert!(terminal.child.wait().expect("it ends").success());
    for pin in [NEXT_SAFE, NEXT_DURESS] {
        assert!(!terminal.shown.contains(pin), "{}", terminal.shown);
    }
}
