//! `pendants bind`: a pendant is handed over to another wearer, at a change of
//! shift. Its key and its running session stay; the PINs are the new wearer's.

use super::file_fault::file_fault;
use super::{Exit, Failure, control_client, parse_name, pin_entry, print, print_json, tell};
use crate::config::{Config, Store};
use crate::engine::keyring::Secrets;
use crate::engine::name::Name;
use crate::shell::keyring_files::{BindError, KeyringFiles, Patience};
use crate::shell::store_key::StoreKey;
use pendant_protocol::PendantId;
use serde_json::json;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The pendant's number, six hexadecimal digits
    pendant: PendantId,
    /// Who wears it from now on: letters, digits, '.', '_', '-'
    #[arg(long, value_parser = parse_name)]
    wearer: Name,
    /// Read the PINs from this open file descriptor, two lines: safe, duress
    #[arg(long, value_name = "N")]
    pins_fd: Option<u32>,
    /// Leave the PINs as they are: the new wearer must know them
    #[arg(long, conflicts_with = "pins_fd")]
    keep_pins: bool,
    /// Print who wore it before and who wears it now as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn bind(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let (pendant, store) = (arguments.pendant, &config.store);
    let refused = |error| refused(pendant, store, error);
    let key = StoreKey::read_if_made(&store.key_file, &store.directory)
        .map_err(Failure::failed)?
        .ok_or_else(|| refused(BindError::NotEnrolled))?;
    let files = KeyringFiles::new(&store.directory, &key);
    // Before the wearer types anything; asked again when writing.
    let present = files.find(pendant).map_err(refused)?;
    if !arguments.keep_pins && !matches!(present.secrets, Secrets::Native { .. }) {
        return Err(refused(BindError::NoPins));
    }
    if arguments.keep_pins && matches!(present.secrets, Secrets::Native { pins: None, .. }) {
        tell(&format!(
            "Pendant {pendant} has no PINs yet: without --keep-pins its wearer types them."
        ));
    }
    let pins = match arguments.keep_pins {
        true => None,
        false => Some(pin_entry::read(arguments.pins_fd)?.verifier()?),
    };
    let now = &arguments.wearer;
    let before = files.bind(pendant, now.clone(), pins, Patience::Unbounded).map_err(refused)?;
    // First of all: that nobody reads what is printed must not keep it from the gateway.
    let exit = control_client::reload(&config.control.socket);
    if arguments.json {
        let number = pendant.to_string();
        print_json(&json!({ "pendant": number, "wearer": now, "wearer_before": before }))?;
    } else {
        print(&format!("Pendant {pendant} was worn by {before} and is now worn by {now}.\n"))?;
    }
    Ok(exit)
}

fn refused(pendant: PendantId, store: &Store, error: BindError) -> Failure {
    match error {
        BindError::NotEnrolled => Failure::failed(format!(
            "pendant {pendant} is not enrolled; `pendants` lists those that are"
        )),
        BindError::Damaged(damaged) => Failure::failed(damaged),
        BindError::NoPins => {
            Failure::failed(format!("pendant {pendant} has no PINs: hand it over with --keep-pins"))
        }
        BindError::Io(error) => Failure::failed(format!(
            "the enrolment of {pendant} cannot be changed in {}",
            file_fault(&store.directory, &error)
        )),
    }
}
