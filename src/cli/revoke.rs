//! `revoke`: pendants are unknown from now on. As many as can be: one that is not
//! enrolled keeps none of the others in force.

use super::file_fault::file_fault;
use super::{Exit, Failure, control_client, print, print_json, tell};
use crate::config::Config;
use crate::shell::keyring_files::{self, Patience};
use pendant_protocol::PendantId;
use serde_json::json;
use std::io::ErrorKind;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Pendants' numbers, six hexadecimal digits each
    #[arg(required = true)]
    pendants: Vec<PendantId>,
    /// Print which were revoked, and why others were not, as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn revoke(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let (mut revoked, mut failed) = (Vec::new(), Vec::new());
    for pendant in &arguments.pendants {
        match keyring_files::remove(&config.store.directory, *pendant, Patience::Unbounded) {
            Ok(()) => revoked.push(pendant.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => failed.push((
                pendant,
                format!("pendant {pendant} is not enrolled; `pendants` lists those that are"),
            )),
            Err(error) => {
                let fault = file_fault(&config.store.directory, &error);
                failed.push((pendant, format!("pendant {pendant}: {fault}")));
            }
        }
    }
    // First of all: that nobody reads what is printed must not keep it from the gateway.
    let reloaded = match revoked.is_empty() {
        true => Exit::Done,
        false => control_client::reload(&config.control.socket),
    };
    if arguments.json {
        let failed: Vec<_> = failed
            .iter()
            .map(|(pendant, text)| json!({ "pendant": pendant.to_string(), "error": text }))
            .collect();
        print_json(&json!({ "revoked": revoked, "failed": failed }))?;
    } else {
        let lines = revoked.iter().map(|pendant| format!("Pendant {pendant} is revoked.\n"));
        print(&lines.collect::<String>())?;
        for (_, text) in &failed {
            tell(text);
        }
    }
    Ok(if failed.is_empty() { reloaded } else { Exit::Failed })
}
