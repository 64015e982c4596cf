//! `check`: looks at the configuration and at all that it names, and says for
//! each finding what to do.

use super::{Exit, Failure, broker_files, check_bought, check_radio, print, print_json};
use crate::config::{Config, ConfigErrors, LinkKind, Problem, Store};
use crate::shell::keyring_files::{KeyringFiles, is_enrolled};
use crate::shell::store_key::StoreKey;
use rustix::fs::{Access, access, statvfs};
use serde::Serialize;
use serde_json::json;
use std::fmt::Write;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

const BYTES_PER_MIB: u64 = 1024 * 1024;

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    Good,
    /// Works, but should be changed.
    Advice,
    Wrong,
}

#[derive(Debug, Serialize)]
struct Finding {
    grade: Grade,
    /// The setting or part that it is about.
    about: String,
    text: String,
    /// What to do; empty if nothing.
    remedy: String,
    /// Where the configuration says so, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Problem>,
}

/// All that was found, in the order of looking.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn good(&mut self, about: &str, text: String) {
        self.add(Grade::Good, about, text, "");
    }

    pub(super) fn advice(&mut self, about: &str, text: String, remedy: &str) {
        self.add(Grade::Advice, about, text, remedy);
    }

    pub(super) fn wrong(&mut self, about: &str, text: String, remedy: &str) {
        self.add(Grade::Wrong, about, text, remedy);
    }

    fn add(&mut self, grade: Grade, about: &str, text: String, remedy: &str) {
        self.0.push(Finding {
            grade,
            about: about.to_owned(),
            text,
            remedy: remedy.to_owned(),
            place: None,
        });
    }

    fn problem(&mut self, grade: Grade, problem: &Problem) {
        self.0.push(Finding {
            grade,
            about: "configuration".to_owned(),
            text: problem.text.clone(),
            remedy: problem.remedy.clone(),
            place: Some(problem.clone()),
        });
    }

    fn is_well(&self) -> bool {
        self.0.iter().all(|finding| finding.grade != Grade::Wrong)
    }
}

pub(super) fn check(path: &Path, as_json: bool) -> Result<Exit, Failure> {
    let mut findings = Findings::default();
    let refused = match Config::read_text(path) {
        Ok(config) => {
            findings.good("configuration", format!("{} is understood", path.display()));
            examine(&config, &mut findings);
            examine_readers(path, &config, &mut findings);
            false
        }
        Err(ConfigErrors::Refused(problems)) => {
            for problem in &problems {
                findings.problem(Grade::Wrong, problem);
            }
            true
        }
        Err(unreadable) if as_json => {
            findings.wrong(
                "configuration",
                unreadable.to_string(),
                "name the configuration with --config FILE",
            );
            true
        }
        Err(unreadable) => return Err(unreadable.into()),
    };
    if as_json {
        print_json(&json!({ "well": findings.is_well(), "findings": findings.0 }))?;
    } else {
        print(&for_people(&findings))?;
    }
    Ok(match (refused, findings.is_well()) {
        (true, _) => Exit::Refused,
        (false, true) => Exit::Done,
        (false, false) => Exit::Failed,
    })
}

fn for_people(findings: &Findings) -> String {
    let mut text = String::new();
    for finding in &findings.0 {
        let grade = match finding.grade {
            Grade::Good => "good  ",
            Grade::Advice => "advice",
            Grade::Wrong => "WRONG ",
        };
        let told = match &finding.place {
            Some(problem) => writeln!(text, "{grade}  {problem}"),
            None if finding.remedy.is_empty() => {
                writeln!(text, "{grade}  {}: {}", finding.about, finding.text)
            }
            None => writeln!(
                text,
                "{grade}  {}: {}\n  -> {}",
                finding.about, finding.text, finding.remedy
            ),
        };
        told.expect("a String takes everything");
    }
    let count = |grade| findings.0.iter().filter(|finding| finding.grade == grade).count();
    text += &format!("{} wrong, {} to advise\n", count(Grade::Wrong), count(Grade::Advice));
    text
}

fn examine(config: &Config, findings: &mut Findings) {
    for problem in &config.warnings {
        findings.problem(Grade::Advice, problem);
    }
    let file_problems = config.file_problems();
    for problem in &file_problems {
        findings.problem(Grade::Wrong, problem);
    }
    examine_store(&config.store, findings);
    let enrolled = examine_keyring(config, findings);
    examine_policies(config, findings);
    examine_links(config, enrolled, findings);
    examine_interfaces(config, findings);
    // Of files that are not there it is told above.
    if file_problems.is_empty() {
        for broker in &config.brokers {
            broker_files::examine(broker, findings);
        }
    }
}

/// What signs mean is for the gateway alone. Told for any meaning, so that the finding
/// says nothing of silent ones.
fn examine_readers(path: &Path, config: &Config, findings: &mut Findings) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o007 != 0 && !config.pendants.devices.is_empty() {
        let shown = path.display();
        findings.wrong(
            "configuration",
            format!(
                "{shown} says what pendants mean, but anyone may read it (permissions {mode:04o})"
            ),
            &format!("close it: chown root:pendant-gateway {shown} && chmod 640 {shown}"),
        );
    }
}

fn examine_store(store: &Store, findings: &mut Findings) {
    let directory = &store.directory;
    let shown = directory.display();
    let make = format!("make it: install -d -m 0700 -o pendant-gateway {shown}");
    let metadata = match std::fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            return findings.wrong(
                "store",
                format!("{shown} is not a directory"),
                "name a directory",
            );
        }
        Err(error) => return findings.wrong("store", format!("{shown}: {error}"), &make),
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 {
        let text = format!("others may write to {shown} (permissions {mode:04o})");
        findings.wrong("store", text, &format!("close it: chmod 700 {shown}"));
    }
    if access(directory, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let remedy = format!(
            "give it to the gateway's user, or check as that user: chown pendant-gateway {shown}"
        );
        return findings.wrong("store", format!("{shown} is not writable"), &remedy);
    }
    match statvfs(directory) {
        Ok(room) => {
            let free_mib = room.f_bavail.saturating_mul(room.f_frsize) / BYTES_PER_MIB;
            judge_room(store, free_mib, findings);
        }
        Err(error) => {
            findings.wrong("store", format!("{shown}: {error}"), "look at the disk (`dmesg`)")
        }
    }
}

fn judge_room(store: &Store, free_mib: u64, findings: &mut Findings) {
    let used_mib = [store.directory.join("journal"), store.directory.join("history")]
        .iter()
        .filter_map(|part| std::fs::read_dir(part).ok())
        .flatten()
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|metadata| metadata.len())
        .sum::<u64>()
        / BYTES_PER_MIB;
    let wanted_mib = u64::from(store.journal_mib_max) + u64::from(store.history_mib_max);
    let shown = store.directory.display();
    if free_mib + used_mib < wanted_mib {
        findings.wrong(
            "store",
            format!(
                "{shown} has {free_mib} MiB free and {used_mib} MiB in use, but journal and history may grow to \
                 {wanted_mib} MiB"
            ),
            "free some room, or lower journal_mib_max",
        );
    } else {
        findings.good("store", format!("{shown} has {free_mib} MiB free"));
    }
}

/// Says how many are enrolled, as far as that can be read.
fn examine_keyring(config: &Config, findings: &mut Findings) -> usize {
    let store = &config.store;
    let key = match StoreKey::read_if_made(&store.key_file, &store.directory) {
        Ok(Some(key)) => key,
        Ok(None) => {
            nobody_enrolled(findings);
            return 0;
        }
        Err(error) => {
            findings.wrong(
                "store key",
                error.to_string(),
                "nothing in the store can be read without it",
            );
            return 0;
        }
    };
    let loaded = match KeyringFiles::new(&store.directory, &key).load() {
        Ok(loaded) => loaded,
        Err(error) => {
            let text = format!("{}: {error}", store.directory.display());
            findings.wrong(
                "keyring",
                text,
                "let the gateway's user read it, or check as that user",
            );
            return 0;
        }
    };
    for damaged in &loaded.damaged {
        findings.wrong(
            "keyring",
            damaged.to_string(),
            "its pendant is not heard until this is done",
        );
    }
    check_bought::examine(config, &loaded.keyring, findings);
    let enrolled = loaded.keyring.len();
    match enrolled {
        0 => nobody_enrolled(findings),
        count => findings.good("keyring", format!("{count} enrolled")),
    }
    enrolled
}

/// A mistyped number would leave a pendant under the site's policy in silence.
fn examine_policies(config: &Config, findings: &mut Findings) {
    for pendant in config.pendants.policies.pendants.keys() {
        if !is_enrolled(&config.store.directory, *pendant) {
            findings.advice(
                &format!("[[pendant]] {pendant}"),
                format!("pendant {pendant} has settings of its own, but is not enrolled"),
                "correct `number` (`pendants` lists those that are enrolled), or enrol it",
            );
        }
    }
}

fn nobody_enrolled(findings: &mut Findings) {
    let text = "no pendant is enrolled: every frame would be refused".to_owned();
    findings.advice("keyring", text, "enrol the pendants: pendant-gateway enroll --help");
}

/// A mobile network's interface may come and go, but its name must be right.
fn examine_interfaces(config: &Config, findings: &mut Findings) {
    for broker in &config.brokers {
        let Some(interface) = &broker.interface else { continue };
        let about = format!("broker {}", broker.name);
        if Path::new("/sys/class/net").join(interface).exists() {
            findings.good(&about, format!("network interface {interface} is there"));
        } else {
            findings.wrong(
                &about,
                format!("there is no network interface {interface} now"),
                "plug the modem in, or correct `interface` (`ip -brief link` shows what is there)",
            );
        }
    }
}

fn examine_links(config: &Config, enrolled: usize, findings: &mut Findings) {
    for link in &config.links {
        let about = format!("link {}", link.name);
        let (path, is_right, what): (_, fn(&std::fs::FileType) -> bool, _) = match &link.kind {
            LinkKind::Serial { path, .. } => (path, FileTypeExt::is_char_device, "serial port"),
            LinkKind::VirtualRadio(radio) => (&radio.socket, FileTypeExt::is_socket, "socket"),
            LinkKind::Concentrator(concentrator) => {
                check_radio::await_forwarder(&about, concentrator, findings);
                continue;
            }
            LinkKind::Radio(radio) => {
                check_radio::try_out(&about, radio, findings);
                continue;
            }
        };
        let shown = path.display();
        match std::fs::metadata(path) {
            Err(error) => findings.wrong(
                &about,
                format!("there is no {what} {shown}: {error}"),
                "plug the receiver in, or correct the path (`ls -l /dev/serial/by-id` shows what is there)",
            ),
            Ok(metadata) if !is_right(&metadata.file_type()) => {
                findings.wrong(&about, format!("{shown} is no {what}"), "correct the path");
            }
            Ok(_) if access(path, Access::READ_OK | Access::WRITE_OK).is_err() => findings.wrong(
                &about,
                format!("this user may not use {shown}"),
                "let the gateway's user use it: usermod -a -G dialout pendant-gateway; or check as that user",
            ),
            Ok(_) => findings.good(&about, format!("{what} {shown} is there")),
        }
    }
    check_radio::count_answers(config, enrolled, findings);
}
