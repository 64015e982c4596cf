//! `enroll`: a pendant gets a key and its wearer's PINs; what the pendant must
//! be given is printed once.

use super::pin_entry::{self, Pins};
use super::{Exit, Failure, control_client, parse_name, print, tell};
use crate::config::Config;
use crate::engine::keyring::{Enrolment, Secrets};
use crate::engine::name::Name;
use crate::shell::keyring_files::{self, Existing, KeyringFiles};
use crate::shell::store_key::StoreKey;
use pendant_protocol::{EnrolmentKey, PendantId};
use std::fmt::Write;
use std::io::ErrorKind;
use zeroize::Zeroizing;

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
}

pub(super) fn enroll(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let (pendant, store) = (arguments.pendant, &config.store);
    let taken = || {
        Failure::failed(format!(
            "pendant {pendant} is enrolled already; with --replace its old key and PINs end, and the pendant \
             must be given the new key"
        ))
    };
    // Before the wearer types anything; asked again when writing.
    if !arguments.replace && keyring_files::is_enrolled(&store.directory, pendant) {
        return Err(taken());
    }
    let store_key =
        StoreKey::read_or_make(&store.key_file, &store.directory).map_err(Failure::failed)?;
    let pins = pin_entry::read(arguments.pins_fd)?;
    let key = new_key()?;
    let enrolment = make(pendant, arguments.wearer.clone(), &key, &pins)?;
    let existing = if arguments.replace { Existing::Replace } else { Existing::Keep };
    KeyringFiles::new(&store.directory, &store_key).write(&enrolment, existing).map_err(
        |error| match error.kind() {
            ErrorKind::AlreadyExists => taken(),
            _ => Failure::failed(format!(
                "the enrolment cannot be written to {}: {error}",
                store.directory.display()
            )),
        },
    )?;
    let sheet = if arguments.json {
        sheet_as_json(&enrolment, &key)
    } else {
        sheet_for_people(&enrolment, &key)
    };
    if let Err(failure) = print(&sheet) {
        tell("The pendant's key could not be printed and is lost; enrol again with --replace.");
        return Err(failure);
    }
    Ok(control_client::reload(&config.control.socket))
}

fn new_key() -> Result<EnrolmentKey, Failure> {
    let mut key = Zeroizing::new([0; 16]);
    getrandom::fill(key.as_mut()).map_err(no_chance)?;
    Ok(EnrolmentKey::from_bytes(*key))
}

fn no_chance(error: getrandom::Error) -> Failure {
    Failure::failed(format!("no random numbers: {error}"))
}

fn make(
    pendant: PendantId,
    wearer: Name,
    key: &EnrolmentKey,
    pins: &Pins,
) -> Result<Enrolment, Failure> {
    Ok(Enrolment {
        pendant,
        // 0 is never an enrolment; it comes up once in 2^64.
        id: getrandom::u64().map_err(no_chance)?.max(1),
        wearer,
        secrets: Secrets::Native { key: key.clone(), pins: pins.verifier()? },
    })
}

fn key_hex(key: &EnrolmentKey) -> Zeroizing<String> {
    // All room at once: growing would leave copies behind.
    let mut hex = Zeroizing::new(String::with_capacity(32));
    for byte in key.as_bytes() {
        write!(hex, "{byte:02x}").expect("a String takes everything");
    }
    hex
}

fn sheet_as_json(enrolment: &Enrolment, key: &EnrolmentKey) -> Zeroizing<String> {
    // Numbers and names need no escaping: `Name` sees to that.
    Zeroizing::new(format!(
        "{{\"pendant\":\"{}\",\"wearer\":\"{}\",\"enrolment\":\"{:016x}\",\"key\":\"{}\"}}\n",
        enrolment.pendant,
        enrolment.wearer,
        enrolment.id,
        *key_hex(key)
    ))
}

fn sheet_for_people(enrolment: &Enrolment, key: &EnrolmentKey) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "Pendant {pendant} is enrolled for {wearer} (enrolment {id:016x}).\n\
         \n\
         Give the pendant, by cable, with its maker's provisioning tool:\n\
         \x20 pendant number  {pendant}\n\
         \x20 key (AES-128)   {key}\n\
         \n\
         The key is shown this once. Do not write it down or send it; clear the screen when done.\n\
         The PINs stay here: the pendant does not know them.\n",
        pendant = enrolment.pendant,
        wearer = enrolment.wearer,
        id = enrolment.id,
        key = *key_hex(key),
    ))
}
