//! `pendants accept`: enrolments that another gateway shared with this one, all of them
//! or none.

use super::{line, load, names};
use crate::cli::file_fault::remedy;
use crate::cli::progress::Progress;
use crate::cli::{Exit, Failure, control_client, print_json, tell};
use crate::config::{Config, DownlinkRole};
use crate::engine::keyring::{Enrolment, Keyring};
use crate::shell::keyring_files::shared::{
    Code, Likeness, Receiver, SHARED_BYTES_MAX, Sender, Shared, SharedError, compare,
};
use crate::shell::keyring_files::{self, Existing, KeyringFiles};
use crate::shell::store_key::StoreKey;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file that `pendants share` wrote on the other gateway
    file: PathBuf,
    /// The check that it printed there: 20 hexadecimal digits
    #[arg(long, value_name = "CODE")]
    check: Code,
    /// Replace what the pendants have here: other enrolments, wearers, PINs
    #[arg(long)]
    replace: bool,
    /// Print what was taken, or what is wrong, as JSON
    #[arg(long)]
    json: bool,
}

/// What becomes of the pendants.
#[derive(Default)]
struct Judged {
    taken: Vec<Enrolment>,
    unchanged: Vec<Enrolment>,
    mistakes: Vec<String>,
}

pub(super) fn accept(config: &Config, arguments: &Arguments) -> Result<Exit, Failure> {
    let store = &config.store;
    let named = |what: &dyn std::fmt::Display| {
        let file = arguments.file.display();
        Failure::refused(format!("{file}: {what}. Nothing was enrolled"))
    };
    let bytes = read(&arguments.file).map_err(|what| named(&what))?;
    let store_key = StoreKey::read_if_made(&store.key_file, &store.directory)
        .map_err(Failure::failed)?
        // Without a key there was none to seal for.
        .ok_or_else(|| named(&SharedError::Sealed))?;
    if Code::of_file(&bytes) != arguments.check {
        return Err(named(
            &"it does not have this check: a digit was mistyped, or it is not, whole and unaltered, the \
              file that `pendants share` wrote",
        ));
    }
    let Shared { from, enrolments } =
        Receiver::new(&store_key, config.slot).open(&bytes).map_err(|error| named(&error))?;
    if let Some(what) = clashes(config, &from) {
        return Err(named(&what));
    }
    let judged = judge(config, &load(config)?.keyring, enrolments, arguments.replace);
    if !judged.mistakes.is_empty() {
        return refuse(arguments, &from, &judged.mistakes);
    }
    let something = !judged.taken.is_empty();
    if something {
        enrol(config, &store_key, &judged.taken, arguments.replace)?;
    }
    let printed = report(config, arguments, &from, &judged);
    // Whether anybody reads what is printed or not, they are enrolled.
    let exit = if something { control_client::reload(&config.control.socket) } else { Exit::Done };
    printed.map(|()| exit)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(SHARED_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("{error}{}", remedy(error.kind())))?;
    if bytes.len() > SHARED_BYTES_MAX {
        return Err(SharedError::Length.to_string());
    }
    Ok(bytes)
}

/// Two gateways with one slot would answer under one key, and repeat each other's nonces;
/// two with one name would take each other's place at the broker.
fn clashes(config: &Config, from: &Sender) -> Option<String> {
    let Sender { site, gateway, slot, .. } = from;
    if *slot == config.slot {
        let slot = slot.get();
        return Some(format!(
            "it comes from {site}/{gateway}, which has slot {slot}, and so has this gateway: their answers \
             would be sealed alike. Give this gateway a `slot` that no gateway had before, restart it, and \
             have the pendants shared with its new key"
        ));
    }
    let one = *site == config.site && *gateway == config.gateway;
    one.then(|| {
        format!("it comes from {site}/{gateway}, and so is this gateway called: each needs a name of its own")
    })
}

fn judge(config: &Config, keyring: &Keyring, shared: Vec<Enrolment>, replace: bool) -> Judged {
    let mut judged = Judged::default();
    for enrolment in shared {
        let pendant = enrolment.pendant;
        if let Some(device) = config.pendants.devices.get(&pendant) {
            judged.mistakes.push(format!(
                "the configuration says that {pendant} is a {}, not a native pendant",
                device.profile
            ));
            continue;
        }
        let here = keyring.find(pendant);
        let fault = match here.map(|here| compare(here, &enrolment)) {
            Some(Likeness::Same) => {
                judged.unchanged.push(enrolment);
                continue;
            }
            Some(Likeness::HandedOver) => {
                "is enrolled here with another wearer or other PINs; with --replace those of the file count"
            }
            Some(Likeness::Other) => {
                "has another enrolment here; with --replace that one ends, and the key of the file counts"
            }
            None if keyring_files::is_enrolled(&config.store.directory, pendant) => {
                "has a damaged enrolment here; with --replace that of the file takes its place"
            }
            None => {
                judged.taken.push(enrolment);
                continue;
            }
        };
        if replace {
            judged.taken.push(enrolment);
        } else {
            judged.mistakes.push(format!("pendant {pendant} {fault}"));
        }
    }
    judged
}

fn refuse(arguments: &Arguments, from: &Sender, mistakes: &[String]) -> Result<Exit, Failure> {
    if arguments.json {
        let none = json!([]);
        print_json(&json!({
            "from": from_as_json(from), "accepted": none, "unchanged": none, "mistakes": mistakes,
        }))?;
    } else {
        for mistake in mistakes {
            tell(mistake);
        }
        tell("Nothing was enrolled");
    }
    Ok(Exit::Refused)
}

fn enrol(
    config: &Config,
    store_key: &StoreKey,
    enrolments: &[Enrolment],
    replace: bool,
) -> Result<(), Failure> {
    let existing = if replace { Existing::Replace } else { Existing::Keep };
    let mut progress = Progress::new("Writing enrolments");
    let all = enrolments.len();
    KeyringFiles::new(&config.store.directory, store_key)
        .write_all(enrolments, existing, |done| progress.at(done, all))
        .map_err(|fault| Failure::failed(format!("{fault}; nothing was enrolled")))
}

fn from_as_json(from: &Sender) -> Value {
    json!({ "site": from.site, "gateway": from.gateway, "slot": from.slot.get() })
}

fn report(
    config: &Config,
    arguments: &Arguments,
    from: &Sender,
    judged: &Judged,
) -> Result<(), Failure> {
    if arguments.json {
        let of = |all: &[Enrolment]| -> Vec<Value> { all.iter().map(names).collect() };
        print_json(&json!({
            "from": from_as_json(from),
            "accepted": of(&judged.taken),
            "unchanged": of(&judged.unchanged),
            "mistakes": [],
        }))?;
    } else {
        judged.taken.iter().for_each(|enrolment| tell(&line(enrolment)));
        let (taken, unchanged) = (judged.taken.len(), judged.unchanged.len());
        let Sender { site, gateway, .. } = from;
        tell(&format!(
            "{taken} of {site}/{gateway} taken, {unchanged} had been taken before and are the same."
        ));
    }
    if !judged.taken.is_empty() {
        tell(
            "Press each pendant twice where only this gateway hears it: the first press proves nothing.",
        );
    }
    if let Some(advice) = windows(config, from) {
        tell(&advice);
    }
    let file = arguments.file.display();
    tell(&format!("Remove the file here and there (rm {file})."));
    Ok(())
}

/// Two gateways of one site must not answer at once.
fn windows(config: &Config, from: &Sender) -> Option<String> {
    use DownlinkRole::{Primary, Secondary};
    let apart =
        matches!((config.downlink_role, from.role), (Primary, Secondary) | (Secondary, Primary));
    (config.site == from.site && !apart).then(|| {
        format!(
            "Both gateways are on site {}: write downlink_role = \"primary\" into the configuration of one \
             and \"secondary\" into that of the other, and restart them. Until then both answer at once, \
             and neither is heard.",
            config.site
        )
    })
}
