//! `setup` at a terminal: it asks, forgives a slip, and what is pasted is enough.

use super::enroll::Terminal;
use super::{Site, run};
use std::fs;
use std::path::PathBuf;

#[test]
fn it_asks_for_what_it_is_not_told_and_the_authority_is_pasted() {
    let site = Site::new();
    let config: PathBuf = site.path("new/gateway.toml");
    let shown = config.display().to_string();
    let program = super::PROGRAM;
    let (store, control) =
        (site.path("store").display().to_string(), site.path("new.sock").display().to_string());
    fs::create_dir(site.path("new")).expect("free");
    let mut terminal = Terminal::new(&format!(
        "{program} --config {shown} setup --store {store} --control {control}"
    ));
    terminal.wait_for("agreed with the centre: ");
    terminal.types("no such name\n");
    terminal.wait_for("agreed with the centre: ");
    terminal.types("harbour\n");
    for (question, answer) in [
        ("Name of this gateway", "crane-2"),
        ("[0]: ", "7"),
        ("HOST:PORT: ", "mqtt.example.org"),
        ("[mqtt.example.org]: ", ""),
        ("with commas", "/dev/null"),
        ("[cobs]: ", "rylr998"),
        ("[115200]: ", ""),
        ("(- to paste it): ", "-"),
    ] {
        terminal.wait_for(question);
        terminal.types(&format!("{answer}\n"));
    }
    terminal.wait_for("on an empty line:");
    terminal.types(&site.ca.pem);
    terminal.types("\n");
    terminal.wait_for("sends a test alarm.");
    assert!(terminal.child.wait().expect("it ends").success());
    let shown = &terminal.shown;
    assert!(
        shown.contains("BEGIN CERTIFICATE REQUEST") && !shown.contains("PRIVATE KEY"),
        "{shown}"
    );

    let text = fs::read_to_string(&config).expect("written");
    for line in [
        "site = \"harbour\"",
        "gateway = \"crane-2\"",
        "slot = 7",
        "host = \"mqtt.example.org\"",
        "path = \"/dev/null\"",
        "codec = \"rylr998\"",
    ] {
        assert!(text.lines().any(|written| written == line), "{line} is not in\n{text}");
    }
    let ca = fs::read_to_string(site.path("new/tls/ca.pem")).expect("pasted");
    assert_eq!(ca.replace('\r', "").trim(), site.ca.pem.trim());

    // The next time it asks for the certificate, and takes no other's.
    let mut terminal = Terminal::new(&format!("{program} --config {} setup", config.display()));
    terminal.wait_for("(- to paste it) [-]: ");
    terminal.types(&format!("{}\n", site.path("gateway.pem").display()));
    terminal.wait_for("does not belong to this gateway's key");
    assert_eq!(terminal.child.wait().expect("it ends").code(), Some(1));
    assert!(!site.path("new/tls/gateway.pem").exists());
}

/// Typed by somebody who stands in the folder.
#[test]
fn a_configuration_may_be_named_as_seen_from_its_folder() {
    let site = Site::new();
    let new = site.path("new");
    fs::create_dir(&new).expect("free");
    let (store, ca) = (site.path("new/store"), site.path("ca.pem"));
    let mut command = std::process::Command::new(super::PROGRAM);
    command.current_dir(&new).args(["--config", "gateway.toml", "setup", "--yes"]);
    command.args(["--site", "harbour", "--gateway", "crane-2", "--serial", "/dev/null"]);
    command.args(["--broker", "mqtt.example.org", "--store"]).arg(&store).arg("--ca").arg(&ca);
    run(command, "").expect(0);
    for made in ["gateway.toml", "tls/gateway.key", "store"] {
        assert!(new.join(made).exists(), "{made}");
    }
}

#[test]
fn a_mistake_changes_nothing_and_is_told() {
    let site = Site::new();
    let config = site.path("new/gateway.toml");
    fs::create_dir(site.path("new")).expect("free");
    let set_up = |more: &[&str]| {
        let mut command = std::process::Command::new(super::PROGRAM);
        command.arg("--config").arg(&config).args([
            "setup",
            "--yes",
            "--site",
            "harbour",
            "--gateway",
            "crane-2",
        ]);
        command.args(more);
        run(command, "")
    };
    let ca = site.path("ca.pem").display().to_string();
    let leaf = site.path("gateway.pem").display().to_string();
    let good = ["--broker", "mqtt.example.org", "--serial", "/dev/null"];
    for (more, code, words) in [
        (&["--ca", &ca, "--serial", "/dev/null"][..], 2, "--broker is missing"),
        (&[&good[..], &["--ca", &leaf]].concat(), 2, "which is no authority"),
        (&[&good[..], &["--ca", "/nonexistent"]].concat(), 2, "No such file"),
        (&good, 2, "--ca is missing"),
        (&["--broker", "mqtt.example.org", "--serial", "null", "--ca", &ca], 2, "`path`"),
        (&["--broker", "a b"], 2, "write a name or an address"),
        (&["--certificate", "-", "--ca", "-"], 2, "only one of"),
    ] {
        let said = set_up(more).expect(code);
        assert!(said.err.contains(words), "{words}: {}", said.err);
        assert_eq!(fs::read_dir(site.path("new")).expect("ours").count(), 0, "{words}");
    }
    let said = run(site.command(&["setup", "--certificate", "/nonexistent"]), "").expect(2);
    assert!(said.err.contains("No such file"), "{}", said.err);
}
