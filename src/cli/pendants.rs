//! `pendants`, or `pendants list`: who is enrolled, and what the air shows of pendants
//! that were bought. No secrets: not even whether a device is silenced, and never what
//! its signs mean. Whoever reads an installer's screen would know the silent ones.

use super::{Exit, Failure, Json, bind, print, print_json, tell};
use crate::config::{Config, devices};
use crate::engine::device::Profile;
use crate::shell::keyring_files::{KeyringFiles, LoadedKeyring};
use crate::shell::store_key::StoreKey;
use pendant_protocol::PendantId;
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
                let mut pendant = json!({
                    "pendant": enrolment.pendant.to_string(),
                    "wearer": enrolment.wearer,
                    "enrolment": format!("{:016x}", enrolment.id),
                });
                if let Some(profile) = profile(config, enrolment.pendant) {
                    pendant["device"] = json!(profile.name);
                    pendant["air"] = json!(profile.air);
                }
                pendant
            })
            .collect();
        print_json(&json!({ "pendants": pendants, "damaged": damaged }))?;
    } else {
        let mut text = String::new();
        for enrolment in loaded.keyring.iter() {
            text +=
                &format!("{}  {:016x}  {}\n", enrolment.pendant, enrolment.id, enrolment.wearer);
            if let Some(profile) = profile(config, enrolment.pendant) {
                text += &format!("        {}: {}\n", profile.name, profile.air);
            }
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
        .map_err(|error| Failure::failed(format!("{}: {error}", store.directory.display())))
}
