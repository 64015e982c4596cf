//! `pendants`, or `pendants list`: who is enrolled. No secrets.

use super::{Exit, Failure, Json, bind, print, print_json, tell};
use crate::config::Config;
use crate::shell::keyring_files::{KeyringFiles, LoadedKeyring};
use crate::shell::store_key::StoreKey;
use serde_json::json;

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
}

pub(super) fn pendants(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.action {
        None => list(config, arguments.list.json),
        Some(Action::List(Json { json })) => list(config, *json),
        Some(Action::Bind(arguments)) => bind::bind(config, arguments),
    }
}

fn list(config: &Config, as_json: bool) -> Result<Exit, Failure> {
    let loaded = load(config)?;
    let damaged: Vec<String> = loaded.damaged.iter().map(ToString::to_string).collect();
    if as_json {
        let pendants: Vec<_> = loaded
            .keyring
            .iter()
            .map(|enrolment| {
                json!({
                    "pendant": enrolment.pendant.to_string(),
                    "wearer": enrolment.wearer,
                    "enrolment": format!("{:016x}", enrolment.id),
                })
            })
            .collect();
        print_json(&json!({ "pendants": pendants, "damaged": damaged }))?;
    } else {
        let mut text = String::new();
        for enrolment in loaded.keyring.iter() {
            text +=
                &format!("{}  {:016x}  {}\n", enrolment.pendant, enrolment.id, enrolment.wearer);
        }
        print(&text)?;
        let count = loaded.keyring.len();
        tell(&format!("{count} {} enrolled", if count == 1 { "pendant" } else { "pendants" }));
        for fault in &damaged {
            tell(fault);
        }
    }
    Ok(if damaged.is_empty() { Exit::Done } else { Exit::Failed })
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
        .map_err(|error| Failure::failed(format!("{}: {error}", store.directory.display())))
}
