//! `pendants`, or `pendants list`: who is enrolled, and what the air shows of pendants
//! that were bought. No secrets: not even whether a device is silenced, and never what
//! its signs mean. Whoever reads an installer's screen would know the silent ones.

use super::bought::kind;
use super::{Exit, Failure, Json, bind, print, print_json, tell};
use crate::config::{Config, devices};
use crate::engine::device::Profile;
use crate::engine::keyring::{Enrolment, Secrets};
use crate::shell::keyring_files::{KeyringFiles, LoadedKeyring};
use crate::shell::store_key::StoreKey;
use pendant_protocol::PendantId;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

mod accept;
mod export;
mod file;
mod import;
mod key;
mod share;

/// What stands under a pendant's line is set in by so much.
const INDENT: &str = "        ";
/// Narrower than that, a text is no longer wrapped at words.
const COLUMNS_MIN: usize = 30;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: Json,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List the enrolled pendants: what happens without a word more
    List(Json),
    /// Hand a pendant over to another wearer, who types PINs of their own
    Bind(bind::Arguments),
    /// Enrol many pendants from a file: all of them, or none
    Import(import::Arguments),
    /// Print all enrolled pendants without secrets, as comma-separated values
    Export(export::Arguments),
    /// Print the key for which another gateway seals enrolments that this one shall have, too
    Key(Json),
    /// Write enrolments with their keys into a file that only one other gateway can open
    Share(share::Arguments),
    /// Take the enrolments that another gateway shared with this one: all of them, or none
    Accept(accept::Arguments),
}

pub(super) fn pendants(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.action {
        None => list(config, arguments.list.json),
        Some(Action::List(Json { json })) => list(config, *json),
        Some(Action::Bind(arguments)) => bind::bind(config, arguments),
        Some(Action::Import(arguments)) => import::import(config, arguments),
        Some(Action::Export(arguments)) => export::export(config, arguments),
        Some(Action::Key(Json { json })) => key::key(config, *json),
        Some(Action::Share(arguments)) => share::share(config, arguments),
        Some(Action::Accept(arguments)) => accept::accept(config, arguments),
    }
}

fn list(config: &Config, as_json: bool) -> Result<Exit, Failure> {
    let loaded = load(config)?;
    if as_json {
        let pendants: Vec<_> =
            loaded.keyring.iter().map(|enrolment| as_value(config, enrolment)).collect();
        let damaged: Vec<String> = loaded.damaged.iter().map(ToString::to_string).collect();
        print_json(&json!({ "pendants": pendants, "damaged": damaged }))?;
    } else {
        // What a program reads is not wrapped.
        let columns = terminal_columns().filter(|columns| *columns >= COLUMNS_MIN);
        let text: String =
            loaded.keyring.iter().map(|enrolment| in_words(config, enrolment, columns)).collect();
        print(&text)?;
        let count = loaded.keyring.len();
        tell(&format!("{count} {} enrolled", if count == 1 { "pendant" } else { "pendants" }));
        tell_damaged(&loaded);
    }
    Ok(exit(&loaded))
}

fn tell_damaged(loaded: &LoadedKeyring) {
    for fault in &loaded.damaged {
        tell(&fault.to_string());
    }
}

fn exit(loaded: &LoadedKeyring) -> Exit {
    if loaded.damaged.is_empty() { Exit::Done } else { Exit::Failed }
}

/// What an enrolment is called, for programs.
fn names(enrolment: &Enrolment) -> Value {
    json!({
        "pendant": enrolment.pendant.to_string(),
        "wearer": enrolment.wearer,
        "enrolment": format!("{:016x}", enrolment.id),
    })
}

/// The same for people.
fn line(Enrolment { pendant, wearer, id, .. }: &Enrolment) -> String {
    format!("{pendant}  {wearer}  {id:016x}")
}

fn as_value(config: &Config, enrolment: &Enrolment) -> Value {
    let mut pendant = names(enrolment);
    pendant["kind"] = json!(kind(&enrolment.secrets));
    if let Secrets::Native { pins, .. } = &enrolment.secrets {
        pendant["has_pins"] = json!(pins.is_some());
    }
    if let Some(profile) = profile(config, enrolment.pendant) {
        pendant["device"] = json!(profile.name);
        pendant["air"] = json!(profile.air);
    }
    pendant
}

fn in_words(config: &Config, enrolment: &Enrolment, columns: Option<usize>) -> String {
    let Enrolment { pendant, secrets, .. } = enrolment;
    let mut text = wrapped(&line(enrolment), columns);
    if let Some(profile) = profile(config, *pendant) {
        text += &wrapped(&format!("{INDENT}{}: {}", profile.name, profile.air), columns);
    }
    if matches!(secrets, Secrets::Native { pins: None, .. }) {
        text += &wrapped(&format!("{INDENT}no PINs yet: pendants bind {pendant}"), columns);
    }
    text
}

/// How wide the terminal is, if the output is one that says so.
pub(super) fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// A line, wrapped at its spaces; what is wrapped is set in.
fn wrapped(line: &str, columns: Option<usize>) -> String {
    let Some(columns) = columns.filter(|columns| line.chars().count() > *columns) else {
        return format!("{line}\n");
    };
    let (mut text, mut width) = (String::new(), 0);
    for word in line.split_inclusive(' ') {
        let signs = word.trim_end().chars().count();
        if signs > 0 && width > INDENT.len() && width + signs > columns {
            text.truncate(text.trim_end().len());
            text += "\n";
            text += INDENT;
            width = INDENT.len();
        }
        text += word;
        width += word.chars().count();
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

/// What is known of a pendant's device, if it was bought.
fn profile(config: &Config, pendant: PendantId) -> Option<&'static Profile> {
    devices::named(&config.pendants.devices.get(&pendant)?.profile)
}

/// The keyring; empty if there never was a store key.
fn load(config: &Config) -> Result<LoadedKeyring, Failure> {
    let store = &config.store;
    let Some(key) =
        StoreKey::read_if_made(&store.key_file, &store.directory).map_err(Failure::failed)?
    else {
        return Ok(LoadedKeyring::default());
    };
    KeyringFiles::new(&store.directory, &key)
        .load()
        .map_err(|error| Failure::of_file(&store.directory, &error))
}

/// Writes a new file of mode 0600, on the disk before this returns.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| {
        // A part of it; that it could not be written is told.
        let _ = std::fs::remove_file(path);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_wrapped_at_words_and_set_in() {
        let line = "00012f  a-wearer-with-the-longest-name.1  0123456789abcdef";
        assert_eq!(wrapped(line, None), format!("{line}\n"));
        assert_eq!(wrapped(line, Some(80)), format!("{line}\n"));
        assert_eq!(
            wrapped(line, Some(40)),
            "00012f  a-wearer-with-the-longest-name.1\n        0123456789abcdef\n"
        );
        let air = format!("{INDENT}device: who listens can tell a press by its time alone.");
        let text = wrapped(&air, Some(36));
        assert_eq!(
            text.split_whitespace().collect::<Vec<_>>(),
            air.split_whitespace().collect::<Vec<_>>()
        );
        assert!(text.lines().all(|line| line.len() <= 36 && line.starts_with(INDENT)), "{text}");
        // A word that is too long has a line of its own.
        assert_eq!(wrapped("a bbbbbbbbbbbbbbbbbbbbbbb", Some(12)), "a bbbbbbbbbbbbbbbbbbbbbbb\n");
    }
}
