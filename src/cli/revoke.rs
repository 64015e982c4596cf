//! `revoke`: a pendant is unknown from now on.

use super::{Exit, Failure, control_client, print};
use crate::config::Config;
use crate::shell::keyring_files;
use pendant_protocol::PendantId;
use std::io::ErrorKind;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The pendant's number, six hexadecimal digits
    pendant: PendantId,
}

pub(super) fn revoke(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let pendant = arguments.pendant;
    keyring_files::remove(&config.store.directory, pendant).map_err(|error| {
        match error.kind() {
            ErrorKind::NotFound => Failure::failed(format!(
                "pendant {pendant} is not enrolled; `pendants` lists those that are"
            )),
            _ => Failure::failed(format!("{}: {error}", config.store.directory.display())),
        }
    })?;
    // First of all: that nobody reads what is printed must not keep it from the gateway.
    let exit = control_client::reload(&config.control.socket);
    print(&format!("Pendant {pendant} is revoked.\n"))?;
    Ok(exit)
}
