//! `enroll`: a native pendant gets a key and its wearer's PINs, and what it must be
//! given is printed once; a pendant that was bought brings its own along.

use super::file_fault::file_fault;
use super::provisioning::{self, key_hex};
use super::{Exit, Failure, control_client, parse_name, print, tell};
use super::{enroll_bought, pendants, pin_entry};
use crate::config::Config;
use crate::engine::keyring::{Enrolment, Secrets};
use crate::engine::name::Name;
use crate::shell::keyring_files::{self, Existing, KeyringFiles};
use crate::shell::store_key::StoreKey;
use pendant_protocol::{EnrolmentKey, PendantId};
use std::fmt::{self, Write};
use std::io::{ErrorKind, IsTerminal};
use zeroize::Zeroizing;

/// A sheet with its QR code has some 3,000.
const SHEET_BYTES_MAX: usize = 4096;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The pendant's number: six hexadecimal digits, printed on it
    #[arg(long)]
    pendant: PendantId,
    /// Who wears it: a name or personnel number, letters, digits, '.', '_', '-'
    #[arg(long, value_parser = parse_name)]
    wearer: Name,
    /// Read the PINs from this open file descriptor, two lines: safe, duress
    #[arg(long, value_name = "N")]
    pins_fd: Option<u32>,
    /// Replace the pendant's present enrolment: its old key and PINs end
    #[arg(long)]
    replace: bool,
    /// Print what the pendant must be given as JSON
    #[arg(long)]
    json: bool,
    /// Draw the QR code also where the output is no terminal
    #[arg(long, conflicts_with_all = ["json", "joins", "dev_addr", "node"])]
    qr: bool,
    #[command(flatten)]
    bought: enroll_bought::BoughtArguments,
}

pub(super) fn enroll(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let (pendant, store) = (arguments.pendant, &config.store);
    arguments.bought.check()?;
    // Before anybody types anything; asked again when writing.
    if !arguments.replace && keyring_files::is_enrolled(&store.directory, pendant) {
        return Err(taken(pendant));
    }
    let store_key =
        StoreKey::read_or_make(&store.key_file, &store.directory).map_err(Failure::failed)?;
    let files = KeyringFiles::new(&store.directory, &store_key);
    let secrets = if arguments.bought.are_given() {
        let loaded = files.load().map_err(Failure::failed)?;
        arguments.bought.secrets(config, &loaded.keyring, pendant)?
    } else {
        let pins = pin_entry::read(arguments.pins_fd)?;
        Secrets::Native { key: new_key()?, pins: Some(pins.verifier()?) }
    };
    let enrolment = make(pendant, arguments.wearer.clone(), secrets)?;
    write(config, &files, &enrolment, arguments)?;
    let printed = print(&sheet(&enrolment, arguments));
    if printed.is_err() && matches!(enrolment.secrets, Secrets::Native { .. }) {
        tell("The pendant's key could not be printed and is lost; enrol again with --replace.");
    }
    // That nobody reads what is printed must not keep it from the gateway.
    let exit = control_client::reload(&config.control.socket);
    printed.map(|()| exit)
}

fn taken(pendant: PendantId) -> Failure {
    Failure::failed(format!(
        "pendant {pendant} is enrolled already; with --replace its old key and PINs end, and the pendant \
         must be given the new key"
    ))
}

fn write(
    config: &Config,
    files: &KeyringFiles,
    enrolment: &Enrolment,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let existing = if arguments.replace { Existing::Replace } else { Existing::Keep };
    files.write(enrolment, existing).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => taken(enrolment.pendant),
        _ => Failure::failed(format!(
            "the enrolment cannot be written to {}",
            file_fault(&config.store.directory, &error)
        )),
    })
}

pub(super) fn new_key() -> Result<EnrolmentKey, Failure> {
    let mut key = Zeroizing::new([0; 16]);
    getrandom::fill(key.as_mut()).map_err(no_chance)?;
    Ok(EnrolmentKey::from_bytes(*key))
}

fn no_chance(error: getrandom::Error) -> Failure {
    Failure::failed(format!("no random numbers: {error}"))
}

/// An enrolment, told from all others.
pub(super) fn make(
    pendant: PendantId,
    wearer: Name,
    secrets: Secrets,
) -> Result<Enrolment, Failure> {
    // 0 is never an enrolment; it comes up once in 2^64.
    let id = getrandom::u64().map_err(no_chance)?.max(1);
    Ok(Enrolment { pendant, id, wearer, secrets })
}

/// A terminal, and not one that is known to be too narrow.
fn terminal_takes_a_qr_code() -> bool {
    let columns = pendants::terminal_columns().unwrap_or(provisioning::QR_COLUMNS);
    std::io::stdout().is_terminal() && columns >= provisioning::QR_COLUMNS
}

/// What the pendant must be given, or that it is enrolled.
fn sheet(enrolment: &Enrolment, arguments: &Arguments) -> Zeroizing<String> {
    let drawn = arguments.qr || terminal_takes_a_qr_code();
    match &enrolment.secrets {
        Secrets::Native { key, .. } if arguments.json => sheet_as_json(enrolment, key),
        Secrets::Native { key, .. } => sheet_for_people(enrolment, key, drawn),
        Secrets::LoRaWan(_) | Secrets::Claimed { .. } => {
            sheet_without_key(enrolment, arguments.json)
        }
    }
}

/// Of a pendant that was bought, which has its key already, or none.
fn sheet_without_key(enrolment: &Enrolment, json: bool) -> Zeroizing<String> {
    let Enrolment { pendant, wearer, id, .. } = enrolment;
    Zeroizing::new(if json {
        format!(
            "{{\"pendant\":\"{pendant}\",\"wearer\":\"{wearer}\",\"enrolment\":\"{id:016x}\"}}\n"
        )
    } else {
        format!(
            "Pendant {pendant} is enrolled for {wearer} (enrolment {id:016x}).\n\
             If the configuration was changed for it, restart the gateway. Switch the pendant off and on, \
             press it once, and look with `status` and at the centre.\n"
        )
    })
}

/// In a text that is wiped, and does not grow: that would leave copies behind.
fn wiped(text: fmt::Arguments<'_>) -> Zeroizing<String> {
    let mut sheet = Zeroizing::new(String::with_capacity(SHEET_BYTES_MAX));
    sheet.write_fmt(text).expect("a String takes everything");
    debug_assert!(sheet.len() <= SHEET_BYTES_MAX);
    sheet
}

fn sheet_as_json(enrolment: &Enrolment, key: &EnrolmentKey) -> Zeroizing<String> {
    // Numbers and names need no escaping: `Name` sees to that.
    wiped(format_args!(
        "{{\"pendant\":\"{}\",\"wearer\":\"{}\",\"enrolment\":\"{:016x}\",\"key\":\"{}\",\
         \"provisioning\":\"{}\"}}\n",
        enrolment.pendant,
        enrolment.wearer,
        enrolment.id,
        *key_hex(key),
        *provisioning::text(enrolment.pendant, key)
    ))
}

fn sheet_for_people(enrolment: &Enrolment, key: &EnrolmentKey, drawn: bool) -> Zeroizing<String> {
    let code = match drawn {
        true => provisioning::qr_code(&provisioning::text(enrolment.pendant, key)),
        false => Zeroizing::default(),
    };
    wiped(format_args!(
        "Pendant {pendant} is enrolled for {wearer} (enrolment {id:016x}).\n\
         \n\
         Give the pendant, by cable, with its maker's provisioning tool:\n\
         \x20 pendant number  {pendant}\n\
         \x20 key (AES-128)   {key}\n\
         {code}\n\
         The key is shown this once. Do not write it down or send it; clear the screen when done.\n\
         The PINs stay here: the pendant does not know them.\n",
        pendant = enrolment.pendant,
        wearer = enrolment.wearer,
        id = enrolment.id,
        key = *key_hex(key),
        code = *code,
    ))
}
