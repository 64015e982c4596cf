//! `export new-key | open`: the centre's side of `pendant-gateway queue export`.

use super::{Exit, Refusal, say};
use crate::export::{ExportSecret, open};
use serde_json::{Value, json};
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Make a key; print the public half, which goes to the gateways
    NewKey {
        /// Where to write the private half, mode 0600
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Print the events of an export as JSON, one a line, and last its end
    Open {
        /// The private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The export
        export: PathBuf,
    },
}

pub(super) fn export(arguments: &Arguments) -> Result<Exit, Refusal> {
    match &arguments.action {
        Action::NewKey { key } => {
            let public = ExportSecret::make(key)
                .map_err(|error| Refusal(format!("{}: {error}", key.display())))?;
            say(&public)?;
            Ok(Exit::AsExpected)
        }
        Action::Open { key, export } => {
            let named = |path: &PathBuf, error| Refusal(format!("{}: {error}", path.display()));
            let secret = ExportSecret::read(key).map_err(|error| named(key, error))?;
            let file = File::open(export).map_err(|error| named(export, error))?;
            let end = open(BufReader::new(file), &secret, |topic, payload| {
                let event: Value = serde_json::from_slice(payload)?;
                Ok::<(), Refusal>(say(&json!({ "topic": topic, "event": event }).to_string())?)
            })?;
            let whole = end["damaged_frames"] == 0 && end["unreadable"] == 0;
            say(&json!({ "end": end }).to_string())?;
            Ok(if whole { Exit::AsExpected } else { Exit::Unexpected })
        }
    }
}
