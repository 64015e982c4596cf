//! What the package takes from `examples/manuals.rs`: a man page for every command,
//! and completions that their shells can read.

#[path = "../examples/manuals.rs"]
#[expect(dead_code, reason = "its `main` is the program's")]
mod manuals;

use clap::Command;
use std::fs;
use std::path::Path;

fn names(command: &Command, into: &mut Vec<String>) {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    into.push(name);
    for below in command.get_subcommands() {
        names(below, into);
    }
}

fn written(folder: &Path) -> Command {
    let command = pendant_gateway::cli::command();
    manuals::write(&command, folder).expect("an empty folder");
    let mut command = command.disable_help_subcommand(true);
    command.build();
    command
}

#[test]
fn every_command_has_a_page_that_names_its_options() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let command = written(folder.path());
    let mut expected = Vec::new();
    names(&command, &mut expected);
    assert!(expected.contains(&"pendant-gateway-queue-export".to_owned()), "{expected:?}");
    let pages = folder.path().join("man8");
    for name in &expected {
        let page = fs::read_to_string(pages.join(format!("{name}.8"))).expect(name);
        assert!(page.contains(".SH SYNOPSIS") && page.contains("\\-\\-config"), "{name}");
        assert!(page.contains(env!("CARGO_PKG_VERSION")), "{name}");
    }
    assert_eq!(fs::read_dir(pages).expect("made").count(), expected.len());
}

#[test]
fn completions_know_every_command() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let command = written(folder.path());
    for file in ["pendant-gateway.bash", "_pendant-gateway", "pendant-gateway.fish"] {
        let text = fs::read_to_string(folder.path().join("completions").join(file)).expect(file);
        for below in command.get_subcommands() {
            assert!(text.contains(below.get_name()), "{file} lacks {}", below.get_name());
        }
    }
    let bash = std::process::Command::new("bash")
        .arg("-n")
        .arg(folder.path().join("completions/pendant-gateway.bash"))
        .output()
        .expect("bash");
    assert!(bash.status.success(), "{}", String::from_utf8_lossy(&bash.stderr));
}
