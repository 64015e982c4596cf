//! Programs of the system that tests need.

use std::process::Command;

/// Runs a program of the system; what it prints.
pub fn system(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{words:?}: {error}. Is it installed?"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}. Root and loop devices are needed");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
