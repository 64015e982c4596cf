//! `check`, the store: whether it is there, closed, writable, and has room.

use super::findings::Findings;
use crate::config::Store;
use rustix::fs::{Access, access, statvfs};
use std::os::unix::fs::PermissionsExt;

const BYTES_PER_MIB: u64 = 1024 * 1024;

pub(super) fn examine(store: &Store, findings: &mut Findings) {
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
