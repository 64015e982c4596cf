//! `pendants import`: many pendants from a file, all of them or none.

use super::file::{self, Found, Mistake, Row};
use super::load;
use crate::cli::bought::{Number, kind};
use crate::cli::file_fault::file_fault;
use crate::cli::progress::Progress;
use crate::cli::{Exit, Failure, control_client, enroll, print, print_json, provisioning, tell};
use crate::config::{Config, secret_file_fault};
use crate::engine::keyring::{Enrolment, Keyring, Secrets};
use crate::shell::keyring_files::{self, Existing, KeyringFiles};
use crate::shell::store_key::StoreKey;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Some five thousand pendants; a gateway serves a few hundred.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// `00012f,`, a wearer's name, the provisioning text, and quotation marks and names of JSON.
const KEY_LINE_BYTES_MAX: usize = 256;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file, comma-separated values; - for standard input
    file: PathBuf,
    /// Only look whether all of it could be imported
    #[arg(long)]
    dry_run: bool,
    /// Write the keys that native pendants get into this new file, which only its owner may read;
    /// without it they are printed
    #[arg(long, value_name = "FILE")]
    keys_out: Option<PathBuf>,
    /// Print what was imported, or what is wrong, as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn import(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let source = Source::read(&arguments.file)?;
    let mut found = file::read(&source.bytes);
    if let Some(fault) = source.fault.as_ref().filter(|_| found.holds_keys) {
        let remedy = format!("chmod 600 {}", arguments.file.display());
        return Err(Failure::refused(format!("{fault}; close it: {remedy}. Nothing was imported")));
    }
    if let Some(path) = arguments.keys_out.as_ref().filter(|path| path.exists()) {
        return Err(keys_out_is_there(path));
    }
    judge(config, &load(config)?.keyring, &mut found);
    if !found.mistakes.is_empty() {
        return refuse(arguments, found.mistakes);
    }
    if arguments.dry_run {
        return would_do(arguments, &found.rows);
    }
    let unknown = devices_to_be_written(config, &found.rows);
    let holds_keys = found.holds_keys;
    let enrolments = enrol(config, arguments, found.rows)?;
    let printed = report(arguments, &enrolments);
    if printed.is_err() && arguments.keys_out.is_none() && has_native(&enrolments) {
        tell(
            "The keys could not be printed and are lost: revoke these pendants and import them again.",
        );
    }
    // Whether anybody reads what is printed or not, they are enrolled.
    let exit = control_client::reload(&config.control.socket);
    if !unknown.is_empty() {
        tell(&unknown);
    }
    if has_native(&enrolments) {
        tell("Native pendants have no PINs yet: each wearer types theirs with `pendants bind`.");
    }
    if holds_keys && !source.is_standard_input {
        let file = arguments.file.display();
        tell(&format!("{file} holds keys, which nobody needs any more: remove it (rm {file})."));
    }
    printed.map(|()| exit)
}

/// What stands in the file, wiped when it is dropped.
struct Source {
    bytes: Zeroizing<Vec<u8>>,
    is_standard_input: bool,
    /// That others may read it.
    fault: Option<String>,
}

impl Source {
    fn read(path: &Path) -> Result<Self, Failure> {
        let is_standard_input = path == Path::new("-");
        let failed = |error: io::Error| Failure::refused(file_fault(path, &error));
        // With room for all of it, so that no copy of a part is left behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
        let mut take = |file: &mut dyn Read| {
            file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)
        };
        let mut fault = None;
        if is_standard_input {
            // Not `io::stdin`, whose own buffer nobody wipes.
            take(&mut File::open("/dev/stdin").map_err(failed)?)?;
        } else {
            let mut file = File::open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            fault = secret_file_fault(path, &metadata).filter(|_| metadata.is_file());
            take(&mut file)?;
        }
        if bytes.len() > FILE_BYTES_MAX {
            let text = format!("longer than {FILE_BYTES_MAX} bytes; import it in parts");
            return Err(Failure::refused(format!("{}: {text}", path.display())));
        }
        Ok(Self { bytes, is_standard_input, fault })
    }
}

/// What is wrong beside what is enrolled, what the configuration says, and other lines.
fn judge(config: &Config, keyring: &Keyring, found: &mut Found) {
    let (mut numbers, mut devices) = (BTreeMap::new(), BTreeMap::new());
    for row in &found.rows {
        let line = row.line;
        let mut refuse = |column, text| {
            found.mistakes.push(Mistake { line, column: Some(column), text });
        };
        if let Some(first) = numbers.insert(row.pendant, line) {
            refuse("number", format!("this pendant stands in line {first} already"));
        } else if keyring_files::is_enrolled(&config.store.directory, row.pendant) {
            let number = row.pendant;
            refuse(
                "number",
                format!(
                    "pendant {number} is enrolled already: take the line out, or `revoke {number}` first"
                ),
            );
        }
        if let Some((column, text)) = does_not_fit(config, row) {
            refuse(column, text);
        }
        let Some(bought) = &row.bought else { continue };
        if let Some(text) = bought.number.unheard(config) {
            refuse(bought.column, text.to_owned());
        }
        if let Some(first) = devices.insert(bought.number, line) {
            refuse(bought.column, format!("this device stands in line {first} already"));
        } else if let Some(other) = bought.number.enrolled_as(keyring, row.pendant) {
            refuse(bought.column, format!("this device is enrolled as pendant {other}"));
        }
    }
    found.mistakes.sort();
}

/// What the line says of the device, what the configuration does, and how the pendant
/// speaks must fit each other.
fn does_not_fit(config: &Config, row: &Row) -> Option<(&'static str, String)> {
    let number = row.pendant;
    let configured = config.pendants.devices.get(&number);
    let Some(bought) = &row.bought else {
        let device = configured?;
        return Some((
            "number",
            format!(
                "the configuration says that {number} is a {}, not a native pendant",
                device.profile
            ),
        ));
    };
    let named = row.device.map(|profile| profile.name.as_str());
    if let Some(device) =
        configured.filter(|device| named.is_some_and(|name| name != device.profile))
    {
        return Some((
            "device",
            format!("the configuration says that {number} is a {}", device.profile),
        ));
    }
    let decoder =
        row.device.map(|profile| profile.decoder).or(configured.map(|device| device.decoder));
    let unvouched = matches!(bought.number, Number::Node(_));
    (decoder?.is_unvouched() != unvouched)
        .then(|| (bought.column, "that is not how its device speaks".to_owned()))
}

fn refuse(arguments: &Arguments, mistakes: Vec<Mistake>) -> Result<Exit, Failure> {
    if arguments.json {
        let mistakes: Vec<_> = mistakes
            .iter()
            .map(|mistake| json!({ "line": mistake.line, "column": mistake.column, "text": mistake.text }))
            .collect();
        print_json(&json!({ "imported": [], "mistakes": mistakes }))?;
    } else {
        for mistake in &mistakes {
            tell(&format!("{}: {mistake}", arguments.file.display()));
        }
        let count = mistakes.len();
        let them = if count == 1 { "mistake" } else { "mistakes" };
        tell(&format!("{count} {them}; nothing was imported"));
    }
    Ok(Exit::Refused)
}

fn would_do(arguments: &Arguments, rows: &[Row]) -> Result<Exit, Failure> {
    let native = rows.iter().filter(|row| row.bought.is_none()).count();
    let count = rows.len();
    if arguments.json {
        print_json(&json!({ "imported": [], "mistakes": [], "would_import": count }))?;
    } else {
        print(&format!("{count} pendants could be imported, {native} of them native.\n"))?;
    }
    Ok(Exit::Done)
}

/// Makes keys where they are missing and writes all down: the keys first, so that none is
/// in force that nobody can give to its pendant.
fn enrol(
    config: &Config,
    arguments: &Arguments,
    rows: Vec<Row>,
) -> Result<Vec<Enrolment>, Failure> {
    let store = &config.store;
    let enrolments = rows
        .into_iter()
        .map(|row| {
            let secrets = match row.bought {
                Some(bought) => bought.secrets,
                None => Secrets::Native { key: enroll::new_key()?, pins: None },
            };
            enroll::make(row.pendant, row.wearer, secrets)
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let store_key =
        StoreKey::read_or_make(&store.key_file, &store.directory).map_err(Failure::failed)?;
    let keys_out = arguments.keys_out.as_deref().filter(|_| has_native(&enrolments));
    if let Some(path) = keys_out {
        write_keys(path, &keys_as_lines(&enrolments))?;
    }
    let mut progress = Progress::new("Writing enrolments");
    let all = enrolments.len();
    let written = KeyringFiles::new(&store.directory, &store_key).write_all(
        &enrolments,
        Existing::Keep,
        |done| progress.at(done, all),
    );
    drop(progress);
    if let Err(fault) = written {
        // Keys of enrolments that there are not.
        let _ = keys_out.map(std::fs::remove_file);
        return Err(Failure::failed(format!("{fault}; nothing was imported")));
    }
    Ok(enrolments)
}

fn has_native(enrolments: &[Enrolment]) -> bool {
    enrolments.iter().any(|enrolment| matches!(enrolment.secrets, Secrets::Native { .. }))
}

/// For a provisioning station: of each native pendant its number, wearer and text.
fn keys_as_lines(enrolments: &[Enrolment]) -> Zeroizing<String> {
    let room = KEY_LINE_BYTES_MAX * (enrolments.len() + 1);
    let mut lines = Zeroizing::new(String::with_capacity(room));
    lines.push_str("number,wearer,provisioning\n");
    for Enrolment { pendant, wearer, secrets, .. } in enrolments {
        if let Secrets::Native { key, .. } = secrets {
            let text = provisioning::text(*pendant, key);
            writeln!(lines, "{pendant},{wearer},{}", *text).expect("a String takes everything");
        }
    }
    lines
}

fn write_keys(path: &Path, lines: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => keys_out_is_there(path),
        _ => Failure::failed(format!("{}; nothing was imported", file_fault(path, &error))),
    };
    super::write_new(path, lines.as_bytes()).map_err(failed)
}

fn keys_out_is_there(path: &Path) -> Failure {
    Failure::refused(format!(
        "{} is there already; name a new file for the keys. Nothing was imported",
        path.display()
    ))
}

/// What was done; with the keys, unless they were written into a file.
fn report(arguments: &Arguments, enrolments: &[Enrolment]) -> Result<(), Failure> {
    let keys_out = arguments.keys_out.as_deref();
    if arguments.json {
        return print(&report_as_json(enrolments, keys_out.is_none()));
    }
    if keys_out.is_none() && has_native(enrolments) {
        print(&keys_as_lines(enrolments))?;
    }
    let count = enrolments.len();
    tell(&format!("{count} {} imported.", if count == 1 { "pendant" } else { "pendants" }));
    if let Some(path) = keys_out.filter(|_| has_native(enrolments)) {
        let path = path.display();
        tell(&format!(
            "The keys stand in {path}: give them to the pendants, then remove it (rm {path})."
        ));
    }
    Ok(())
}

/// Not by way of `serde_json`, whose values leave copies of keys behind. Numbers and
/// names need no escaping: `Name` sees to that.
fn report_as_json(enrolments: &[Enrolment], with_keys: bool) -> Zeroizing<String> {
    let room = KEY_LINE_BYTES_MAX * (enrolments.len() + 1);
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str("{\"imported\":[");
    for (at, Enrolment { pendant, id, wearer, secrets }) in enrolments.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let kind = kind(secrets);
        write!(
            text,
            "{comma}{{\"pendant\":\"{pendant}\",\"wearer\":\"{wearer}\",\"kind\":\"{kind}\",\
             \"enrolment\":\"{id:016x}\""
        )
        .expect("a String takes everything");
        if let (Secrets::Native { key, .. }, true) = (secrets, with_keys) {
            let provisioning = provisioning::text(*pendant, key);
            write!(text, ",\"provisioning\":\"{}\"", *provisioning)
                .expect("a String takes everything");
        }
        text.push('}');
    }
    text.push_str("],\"mistakes\":[]}\n");
    text
}

/// What the configuration does not say of devices; without it nothing that they say is
/// understood.
fn devices_to_be_written(config: &Config, rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        if row.bought.is_none() || config.pendants.devices.contains_key(&row.pendant) {
            continue;
        }
        if text.is_empty() {
            text.push_str(
                "The configuration does not say which devices these are: write this into it and restart \
                 the gateway.\n",
            );
        }
        let name = row.device.map_or("…", |profile| profile.name.as_str());
        text += &format!("\n[[pendant]]\nnumber = \"{}\"\ndevice = \"{name}\"\n", row.pendant);
    }
    text
}
