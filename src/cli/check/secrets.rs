//! `check`, who can read what: the gateway's user must be able to read its files, and
//! nobody else its secrets.
//!
//! As root everything can be read. So the files are judged for the gateway's user, which
//! is the owner of its store.

use super::findings::Findings;
use crate::cli::machine::Machine;
use crate::config::{Config, Store};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// The gateway's user and group.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Owner {
    pub(in crate::cli) user: u32,
    pub(in crate::cli) group: u32,
}

impl Owner {
    /// The user that the package has made.
    pub(in crate::cli) fn installed(machine: &Machine) -> Option<Self> {
        let users = machine.text("/etc/passwd")?;
        let fields = users.lines().find_map(|line| line.strip_prefix("pendant-gateway:"))?;
        let mut fields = fields.split(':').skip(1);
        let mut number = || fields.next()?.parse().ok();
        Some(Self { user: number()?, group: number()? })
    }

    /// Whose store it is; `None` while there is none.
    pub(in crate::cli) fn of(store: &Store) -> Option<Self> {
        let metadata = std::fs::metadata(&store.directory).ok()?;
        Some(Self { user: metadata.uid(), group: metadata.gid() })
    }
}

/// `path`: the configuration's own.
pub(super) fn examine(path: &Path, config: &Config, findings: &mut Findings) {
    let Some(owner) = Owner::of(&config.store) else { return };
    examine_readers(path, config, findings);
    must_read(path, "configuration", owner, findings);
    for broker in &config.brokers {
        for (file, about) in
            [(&broker.ca_file, "ca_file"), (&broker.certificate_file, "certificate_file")]
        {
            must_read(file, about, owner, findings);
        }
        let secrets = [
            (Some(&broker.key_file), "key_file"),
            (broker.password_file.as_ref(), "password_file"),
        ];
        for (file, about) in secrets {
            let Some(file) = file else { continue };
            must_read(file, about, owner, findings);
            examine_folder(file, about, findings);
        }
    }
    must_read(&config.store.key_file, "store key", owner, findings);
    examine_folder(&config.store.key_file, "store key", findings);
    examine_store(&config.store.directory, owner, findings);
}

/// What root has put back from a backup is root's.
fn examine_store(store: &Path, owner: Owner, findings: &mut Findings) {
    for part in ["keyring", "journal"] {
        let folder = store.join(part);
        let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut all = std::iter::once(folder.clone()).chain(files.map(|file| file.path()));
        // One says it: the remedy is for all of them.
        let before = findings.0.len();
        let remedy =
            format!("give it to the gateway: chown -R pendant-gateway: {}", folder.display());
        let is_told = |path: std::path::PathBuf| {
            may_or_tell(&path, part, owner, &remedy, findings);
            findings.0.len() > before
        };
        all.any(is_told);
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

/// Files that are not there are told of elsewhere.
fn must_read(path: &Path, about: &str, owner: Owner, findings: &mut Findings) {
    let remedy = format!("give it to the gateway: chown pendant-gateway: {}", path.display());
    may_or_tell(path, about, owner, &remedy, findings);
}

fn may_or_tell(path: &Path, about: &str, owner: Owner, remedy: &str, findings: &mut Findings) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    if may_read(owner, &metadata) {
        return;
    }
    let (shown, mode) = (path.display(), metadata.permissions().mode() & 0o7777);
    findings.wrong(
        about,
        format!(
            "the gateway's user (number {}) may not read {shown} (permissions {mode:04o})",
            owner.user
        ),
        remedy,
    );
}

fn may_read(owner: Owner, metadata: &std::fs::Metadata) -> bool {
    let mode = metadata.permissions().mode();
    let bit = if owner.user == 0 {
        return true;
    } else if metadata.uid() == owner.user {
        0o400
    } else if metadata.gid() == owner.group {
        0o040
    } else {
        0o004
    };
    mode & bit != 0
}

/// Who can write to a folder can put another file there.
fn examine_folder(secret: &Path, about: &str, findings: &mut Findings) {
    let Some(folder) = secret.parent() else { return };
    let Ok(metadata) = std::fs::metadata(folder) else { return };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        let shown = folder.display();
        findings.wrong(
            about,
            format!("others may put another file in the place of {} (permissions of {shown}: {mode:04o})", secret.display()),
            &format!("close it: chmod go-w {shown}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::findings::one;
    use crate::cli::machine::planted::Planted;
    use std::fs::{self, Permissions};

    fn file(mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("gateway.key");
        fs::write(&path, "x").expect("ours");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("ours");
        (folder, path)
    }

    #[test]
    fn a_file_that_the_gateway_s_user_may_not_read_is_wrong() {
        let (_folder, path) = file(0o600);
        let metadata = fs::metadata(&path).expect("there");
        let us = Owner { user: metadata.uid(), group: metadata.gid() };
        let other = Owner { user: 4_000_001, group: 4_000_001 };
        let mut findings = Findings::default();
        must_read(&path, "key_file", us, &mut findings);
        assert!(findings.0.is_empty());
        must_read(&path, "key_file", other, &mut findings);
        let (grade, text, remedy) = one(&findings);
        assert!(grade == "wrong" && text.contains("user (number 4000001) may not read"), "{text}");
        assert!(remedy.contains("chown pendant-gateway:"), "{remedy}");
        for (mode, group, may) in
            [(0o640, us.group, true), (0o604, 4_000_001, true), (0o640, 4_000_001, false)]
        {
            let (_folder, path) = file(mode);
            let metadata = fs::metadata(&path).expect("there");
            assert_eq!(may_read(Owner { group, ..other }, &metadata), may, "{mode:o}");
        }
    }

    #[test]
    fn an_enrolment_that_was_put_back_as_somebody_else_s_is_wrong() {
        let store = tempfile::tempdir().expect("a folder for the test");
        let found = |owner| {
            let mut findings = Findings::default();
            examine_store(store.path(), owner, &mut findings);
            findings
        };
        let keyring = store.path().join("keyring");
        fs::create_dir(&keyring).expect("ours");
        for name in ["00012f.enrolment", "000130.enrolment"] {
            fs::write(keyring.join(name), "x").expect("ours");
            fs::set_permissions(keyring.join(name), Permissions::from_mode(0o600)).expect("ours");
        }
        fs::set_permissions(&keyring, Permissions::from_mode(0o755)).expect("ours");
        let metadata = fs::metadata(&keyring).expect("there");
        assert!(found(Owner { user: metadata.uid(), group: metadata.gid() }).0.is_empty());
        let other = found(Owner { user: 4_000_001, group: 4_000_001 });
        let (grade, text, remedy) = one(&other);
        assert!(grade == "wrong" && text.contains(".enrolment (permissions 0600)"), "{text}");
        assert!(remedy.contains("chown -R") && remedy.ends_with("/keyring"), "{remedy}");
    }

    #[test]
    fn the_user_of_the_package_is_found_by_its_name() {
        let users =
            "root:x:0:0::/root:/bin/sh\npendant-gateway:x:997:995:G:/var/lib/x:/usr/sbin/nologin\n";
        let planted = Planted::new(&[("/etc/passwd", users)]);
        let owner = Owner::installed(&planted.machine()).expect("there");
        assert_eq!((owner.user, owner.group), (997, 995));
        assert!(
            Owner::installed(&Planted::new(&[("/etc/passwd", "x:x:1:1:::\n")]).machine()).is_none()
        );
    }

    #[test]
    fn a_folder_in_which_others_may_replace_a_secret_is_wrong() {
        let (folder, path) = file(0o600);
        for (mode, found) in [(0o777, 1), (0o770, 1), (0o750, 0), (0o1777, 0)] {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).expect("ours");
            let mut findings = Findings::default();
            examine_folder(&path, "key_file", &mut findings);
            assert_eq!(findings.0.len(), found, "{mode:o}");
            if found == 1 {
                assert!(one(&findings).2.contains("chmod go-w"));
            }
        }
    }
}
