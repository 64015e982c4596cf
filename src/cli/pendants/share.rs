//! `pendants share`: enrolments with their keys, sealed for one other gateway, so that it
//! hears the same pendants.

use super::{exit, line, load, names, tell_damaged, write_new};
use crate::cli::file_fault::file_fault;
use crate::cli::{Exit, Failure, print, print_json, tell};
use crate::config::Config;
use crate::engine::keyring::{Enrolment, Secrets};
use crate::engine::lorawan::Activation;
use crate::shell::keyring_files::LoadedKeyring;
use crate::shell::keyring_files::shared::{self, Code, ReceivingKey, Sender};
use pendant_protocol::PendantId;
use serde_json::json;
use std::io;
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub(super) struct Arguments {
    /// The other gateway's receiving key, as `pendants key` prints it there
    #[arg(long, value_name = "KEY")]
    with: ReceivingKey,
    /// A pendant to share; more than one with further --pendant
    #[arg(long, value_name = "NUMBER", group = "which")]
    pendant: Vec<PendantId>,
    /// Share all native pendants
    #[arg(long, group = "which")]
    all: bool,
    /// The file to write, which must not be there yet
    file: PathBuf,
    /// Print what was shared as JSON
    #[arg(long)]
    json: bool,
}

/// Which enrolments go, and which cannot.
#[derive(Default)]
struct Choice {
    enrolments: Vec<Enrolment>,
    left_out: Vec<(PendantId, &'static str)>,
}

pub(super) fn share(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.with.slot() == config.slot {
        return Err(same_slot(config));
    }
    if arguments.file.exists() {
        return Err(is_there(arguments));
    }
    let loaded = load(config)?;
    let choice = choose(&loaded, arguments)?;
    let from = Sender {
        site: config.site.clone(),
        gateway: config.gateway.clone(),
        slot: config.slot,
        role: config.downlink_role,
    };
    let sealed =
        shared::seal(&choice.enrolments, &from, &arguments.with).map_err(Failure::failed)?;
    write_new(&arguments.file, &sealed).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => is_there(arguments),
        _ => {
            Failure::failed(format!("{}; nothing was shared", file_fault(&arguments.file, &error)))
        }
    })?;
    report(arguments, &choice, Code::of_file(&sealed))?;
    if !arguments.all {
        return Ok(Exit::Done);
    }
    tell_damaged(&loaded);
    Ok(exit(&loaded))
}

fn same_slot(config: &Config) -> Failure {
    Failure::refused(format!(
        "the key is that of a gateway in slot {slot}, and so is this one ({}/{}): two gateways that answer \
         the same pendants must not have one slot. Give the other gateway a slot that no gateway had \
         before, restart it, and take its key again (`pendants key`). Nothing was shared",
        config.site,
        config.gateway,
        slot = config.slot.get()
    ))
}

fn is_there(arguments: &Arguments) -> Failure {
    let file = arguments.file.display();
    Failure::refused(format!("{file} is there already; name a new file. Nothing was shared"))
}

/// Why a pendant's enrolment is of no use to a second gateway.
fn why_not(secrets: &Secrets) -> Option<&'static str> {
    match secrets {
        Secrets::Native { .. } => None,
        Secrets::LoRaWan(Activation::Otaa { .. }) => Some(
            "a LoRaWAN pendant has joined one gateway: its session and counters are there alone",
        ),
        Secrets::LoRaWan(Activation::Abp { .. }) => Some(
            "a LoRaWAN pendant's answers are counted by one gateway: a second one would use the same \
             numbers again",
        ),
        Secrets::Claimed { .. } => {
            Some("nobody vouches for it, so there is no key to share: enrol it there by its number")
        }
    }
}

fn choose(loaded: &LoadedKeyring, arguments: &Arguments) -> Result<Choice, Failure> {
    let mut choice = Choice::default();
    for enrolment in loaded.keyring.iter() {
        if !arguments.all && !arguments.pendant.contains(&enrolment.pendant) {
            continue;
        }
        match why_not(&enrolment.secrets) {
            Some(reason) => choice.left_out.push((enrolment.pendant, reason)),
            None => choice.enrolments.push(enrolment.clone()),
        }
    }
    let refused =
        |texts: Vec<String>| Failure::refused(format!("{}\nNothing was shared", texts.join("\n")));
    if arguments.all {
        if choice.enrolments.is_empty() {
            return Err(refused(vec!["no native pendant is enrolled here".to_owned()]));
        }
        return Ok(choice);
    }
    // Who was named goes, or nobody.
    let unknown = arguments.pendant.iter().filter(|named| loaded.keyring.find(**named).is_none());
    let mut faults: Vec<String> = unknown
        .map(|named| format!("pendant {named} is not enrolled here, or its enrolment is damaged"))
        .collect();
    faults.extend(choice.left_out.iter().map(in_words));
    if faults.is_empty() { Ok(choice) } else { Err(refused(faults)) }
}

fn in_words((pendant, reason): &(PendantId, &'static str)) -> String {
    format!("pendant {pendant} cannot be shared: {reason} (docs/install.md)")
}

fn report(arguments: &Arguments, choice: &Choice, check: Code) -> Result<(), Failure> {
    let Choice { enrolments, left_out } = choice;
    let (file, fingerprint) = (arguments.file.display(), arguments.with.fingerprint());
    if arguments.json {
        let left_out: Vec<_> = left_out
            .iter()
            .map(|(pendant, why)| json!({ "pendant": pendant.to_string(), "why": why }))
            .collect();
        return print_json(&json!({
            "file": arguments.file,
            "check": check.to_string(),
            "fingerprint": fingerprint.to_string(),
            "shared": enrolments.iter().map(names).collect::<Vec<_>>(),
            "left_out": left_out,
        }));
    }
    for out in left_out {
        tell(&in_words(out));
    }
    for enrolment in enrolments {
        print(&format!("{}\n", line(enrolment)))?;
    }
    let count = enrolments.len();
    print(&format!(
        "{count} {} in {file}, for the gateway with this key and for no other:\n\
         \x20 fingerprint  {fingerprint}\n\
         Ask there: `pendants key` must show the same fingerprint. If it does not, destroy the file.\n\
         Take the file there and type\n\
         \x20 pendant-gateway pendants accept --check {check} FILE\n\
         Tell the check apart from the file, such as by telephone. Then remove the file on both.\n",
        if count == 1 { "pendant" } else { "pendants" },
    ))
}
