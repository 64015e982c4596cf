//! `check`, the enrolments, and what the configuration says of single pendants.

use super::bought;
use super::findings::Findings;
use crate::config::Config;
use crate::shell::keyring_files::{KeyringFiles, is_enrolled};
use crate::shell::store_key::StoreKey;

/// Says how many are enrolled, as far as that can be read.
pub(super) fn examine(config: &Config, findings: &mut Findings) -> usize {
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
    bought::examine(config, &loaded.keyring, findings);
    let enrolled = loaded.keyring.len();
    match enrolled {
        0 => nobody_enrolled(findings),
        count => findings.good("keyring", format!("{count} enrolled")),
    }
    enrolled
}

/// A mistyped number would leave a pendant under the site's policy in silence.
pub(super) fn examine_policies(config: &Config, findings: &mut Findings) {
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
