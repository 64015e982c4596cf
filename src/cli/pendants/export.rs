//! `pendants export`: who is enrolled, for a spreadsheet or another gateway. No secrets:
//! an import of it makes new keys for native pendants, and has to be given the others'.

use super::{exit, load, profile, tell_damaged};
use crate::cli::bought::kind;
use crate::cli::{Exit, Failure, print, print_json};
use crate::config::Config;
use crate::engine::keyring::{Enrolment, Secrets};
use crate::engine::lorawan::Activation;
use crate::shell::keyring_files;
use pendant_protocol::PendantId;
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// In this order, which `pendants import` takes as well.
const COLUMNS: [&str; 10] = [
    "number", "wearer", "kind", "device", "dev_eui", "join_eui", "dev_addr", "node", "changed",
    "has_pins",
];

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn export(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load(config)?;
    let rows = loaded.keyring.iter().map(|enrolment| row(config, enrolment));
    if arguments.json {
        let pendants: Vec<_> = rows.map(as_object).collect();
        let damaged: Vec<String> = loaded.damaged.iter().map(ToString::to_string).collect();
        print_json(&json!({ "pendants": pendants, "damaged": damaged }))?;
    } else {
        // Nothing here needs quoting: names, digits, dates and words without a comma.
        let lines = rows.map(|row| row.map(Option::unwrap_or_default).join(",") + "\n");
        let header = COLUMNS.join(",") + "\n";
        print(&std::iter::once(header).chain(lines).collect::<String>())?;
        tell_damaged(&loaded);
    }
    Ok(exit(&loaded))
}

/// One pendant's values, in the order of the columns.
fn row(config: &Config, enrolment: &Enrolment) -> [Option<String>; COLUMNS.len()] {
    let Enrolment { pendant, wearer, secrets, .. } = enrolment;
    let device = profile(config, *pendant).map(|profile| profile.name.clone());
    let (mut dev_eui, mut join_eui, mut dev_addr, mut node, mut has_pins) = Default::default();
    match secrets {
        Secrets::Native { pins, .. } => {
            has_pins = Some(if pins.is_some() { "yes" } else { "no" }.to_owned());
        }
        Secrets::LoRaWan(Activation::Otaa { dev_eui: own, join_eui: joins, .. }) => {
            dev_eui = Some(own.to_string());
            join_eui = joins.map(|eui| eui.to_string());
        }
        Secrets::LoRaWan(Activation::Abp { dev_addr: own, .. }) => {
            dev_addr = Some(format!("{own:08x}"));
        }
        Secrets::Claimed { number } => node = Some(format!("{number:08x}")),
    }
    [
        Some(pendant.to_string()),
        Some(wearer.to_string()),
        Some(kind(secrets).to_owned()),
        device,
        dev_eui,
        join_eui,
        dev_addr,
        node,
        changed(config, *pendant),
        has_pins,
    ]
}

/// When it was enrolled or handed over last, in UTC.
fn changed(config: &Config, pendant: PendantId) -> Option<String> {
    let changed: SystemTime = keyring_files::changed(&config.store.directory, pendant)?;
    Some(humantime::format_rfc3339_seconds(changed).to_string())
}

fn as_object(row: [Option<String>; COLUMNS.len()]) -> Value {
    let members =
        COLUMNS.into_iter().zip(row).map(|(column, value)| (column.to_owned(), json!(value)));
    Value::Object(members.collect::<Map<_, _>>())
}
