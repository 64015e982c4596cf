//! Secrets that the service manager keeps: settings written `"credential:NAME"`.
//!
//! The unit has systemd load two folders, one of secrets as they are and one of
//! secrets that are encrypted to this machine (by its TPM, if it has one). Within
//! the service a credential is then a file of `$CREDENTIALS_DIRECTORY`: `sealed_NAME`,
//! `plain_NAME`, or `NAME` if a drop-in of the site loads it. A command that root
//! gives outside of the service looks into the two folders itself, and has
//! `systemd-creds` decrypt.

use super::files::{open_mode, secret_file_fault};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

/// What a setting begins with that names a credential.
const PREFIX: &str = "credential:";
const NAME_BYTES_MAX: usize = 64;
/// Secrets as they are; for root alone. `systemd/pendant-gateway.service` loads it.
const PLAIN: &str = "/etc/pendant-gateway/credentials";
/// Secrets that `systemd-creds encrypt` wrote, likewise.
const SEALED: &str = "/etc/pendant-gateway/credentials.encrypted";
/// What is said of a failed decryption, at most.
const REASON_BYTES_MAX: u64 = 512;

/// The name, if the setting is written as a credential's. It may be a bad one.
pub(super) fn name_of(written: &Path) -> Option<&str> {
    written.to_str()?.strip_prefix(PREFIX)
}

/// Whether systemd and a folder can both have a credential of this name.
pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Reads a secret of at most `bytes_max` bytes from the file, or the credential, that
/// a setting names.
///
/// # Errors
/// What is wrong, and never a byte of the secret. An ordinary file's own permissions
/// are the caller's to judge.
pub fn read_secret(written: &Path, bytes_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    match name_of(written) {
        Some(name) => Folders::of_this_process().read(name, bytes_max),
        None => read_bounded(File::open(written)?, bytes_max),
    }
}

/// The same of a key in use: of an ordinary file also its permissions are judged, as the
/// configuration's check does at every start. What is taken now would be refused then.
///
/// # Errors
/// Also `PermissionDenied` for a file that others can read or change.
pub fn read_closed_secret(written: &Path, bytes_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    if !is_credential(written) {
        if let Some(mode) = open_mode(&std::fs::metadata(written)?) {
            let shown = written.display();
            let text = format!("its permissions {mode:04o} let others at it; chmod 600 {shown}");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
    }
    read_secret(written, bytes_max)
}

/// Whether a setting names a credential, which is guarded by the folder that it is in.
#[must_use]
pub fn is_credential(written: &Path) -> bool {
    name_of(written).is_some()
}

/// What is wrong with a credential that a setting names: the text, and what to do.
pub(super) fn fault(name: &str) -> Option<(String, String)> {
    let folders = Folders::of_this_process();
    let error = match folders.find(name) {
        Ok(Found::Plain(path)) => match std::fs::metadata(&path) {
            Ok(metadata) => {
                let text = secret_file_fault(&path, &metadata)?;
                return Some((text, format!("close it: chmod 600 {}", path.display())));
            }
            Err(error) => error,
        },
        Ok(Found::Given(_) | Found::Sealed(_)) => return None,
        Err(error) => error,
    };
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => "only root may look for it: use sudo".to_owned(),
        _ => format!(
            "put it into {PLAIN}/{name} (chmod 600), or encrypted into {SEALED}/{name}: \
             docs/install.md, \"Keys as credentials\"; then restart the gateway"
        ),
    };
    Some((error.to_string(), remedy))
}

/// Where a credential was found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// systemd has put it there, for this process alone.
    Given(PathBuf),
    Sealed(PathBuf),
    Plain(PathBuf),
}

/// Where credentials may be.
struct Folders {
    given: Option<PathBuf>,
    sealed: PathBuf,
    plain: PathBuf,
}

impl Folders {
    fn of_this_process() -> Self {
        let given = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self { given, sealed: SEALED.into(), plain: PLAIN.into() }
    }

    /// What systemd gave comes first: it is what the service uses.
    fn find(&self, name: &str) -> io::Result<Found> {
        let given = self.given.iter().flat_map(|folder| {
            [sealed_id(name), plain_id(name), name.to_owned()]
                .map(|id| Found::Given(folder.join(id)))
        });
        let stored = [Found::Sealed(self.sealed.join(name)), Found::Plain(self.plain.join(name))];
        for found in given.chain(stored) {
            match found.path().try_exists() {
                Ok(true) => return Ok(found),
                Ok(false) => {}
                // The service may not look there, and has what systemd gave it.
                Err(_) if self.given.is_some() => {}
                Err(error) => {
                    let text = format!("credential {name}: {}: {error}", found.path().display());
                    return Err(io::Error::new(error.kind(), text));
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no credential {name}")))
    }

    fn read(&self, name: &str, bytes_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        match self.find(name)? {
            Found::Given(path) => read_bounded(File::open(path)?, bytes_max),
            Found::Sealed(path) => decrypt("systemd-creds", &path, name, bytes_max),
            Found::Plain(path) => {
                let file = File::open(&path)?;
                match secret_file_fault(&path, &file.metadata()?) {
                    Some(fault) => Err(io::Error::new(io::ErrorKind::PermissionDenied, fault)),
                    None => read_bounded(file, bytes_max),
                }
            }
        }
    }
}

impl Found {
    fn path(&self) -> &Path {
        match self {
            Self::Given(path) | Self::Sealed(path) | Self::Plain(path) => path,
        }
    }
}

/// What systemd calls a file of the folder that the unit loads as `sealed`.
fn sealed_id(name: &str) -> String {
    format!("sealed_{name}")
}

fn plain_id(name: &str) -> String {
    format!("plain_{name}")
}

fn read_bounded(file: impl Read, bytes_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for all at once: a vector that grows would leave copies behind.
    let room = usize::try_from(bytes_max).unwrap_or(usize::MAX).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let text = format!("longer than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// Only root and this machine's TPM can; the secret comes through a pipe.
fn decrypt(
    program: &str,
    path: &Path,
    name: &str,
    bytes_max: u64,
) -> io::Result<Zeroizing<Vec<u8>>> {
    let failed = |reason: &dyn fmt::Display| {
        io::Error::other(format!("{} cannot be decrypted: {reason}", path.display()))
    };
    let mut child = Command::new(program)
        .arg("decrypt")
        .arg(format!("--name={}", sealed_id(name)))
        .args([path.as_os_str(), "-".as_ref()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&format!("{program}: {error}")))?;
    let secret = child.stdout.take().map(|out| read_bounded(out, bytes_max));
    let mut reason = String::new();
    if let Some(said) = child.stderr.take() {
        said.take(REASON_BYTES_MAX).read_to_string(&mut reason)?;
    }
    if !child.wait()?.success() {
        return Err(failed(&reason.trim()));
    }
    secret.expect("its output is piped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    struct Machine {
        root: tempfile::TempDir,
    }

    impl Machine {
        fn new() -> Self {
            let root = tempfile::tempdir().expect("a folder for the test");
            for folder in ["given", "sealed", "plain"] {
                fs::create_dir(root.path().join(folder)).expect("free");
            }
            Self { root }
        }

        fn put(&self, file: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.root.path().join(file);
            fs::write(&path, text).expect("writable");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("ours");
            path
        }

        fn folders(&self, in_service: bool) -> Folders {
            let at = |folder| self.root.path().join(folder);
            Folders {
                given: in_service.then(|| at("given")),
                sealed: at("sealed"),
                plain: at("plain"),
            }
        }

        fn read(&self, in_service: bool, name: &str) -> io::Result<String> {
            let bytes = self.folders(in_service).read(name, 64)?;
            Ok(String::from_utf8(bytes.to_vec()).expect("text"))
        }
    }

    #[test]
    fn what_systemd_gave_comes_before_the_folders() {
        let machine = Machine::new();
        machine.put("plain/key", "as it is", 0o600);
        assert_eq!(machine.read(true, "key").expect("there"), "as it is");
        // An access list makes systemd's own look as if a group could read them.
        for (file, text) in [("key", "drop-in"), ("plain_key", "plain"), ("sealed_key", "sealed")] {
            machine.put(&format!("given/{file}"), text, 0o440);
            assert_eq!(machine.read(true, "key").expect("there"), text);
        }
        assert_eq!(machine.read(false, "key").expect("there"), "as it is");
    }

    #[test]
    fn an_encrypted_one_comes_before_one_as_it_is() {
        let machine = Machine::new();
        machine.put("plain/key", "as it is", 0o600);
        let sealed = machine.put("sealed/key", "x", 0o600);
        assert_eq!(machine.folders(false).find("key").expect("there"), Found::Sealed(sealed));
    }

    #[test]
    fn the_service_is_told_what_is_missing_not_that_it_may_not_look() {
        let machine = Machine::new();
        for folder in ["plain", "sealed"] {
            fs::remove_dir(machine.root.path().join(folder)).expect("empty");
            // Root may look anywhere: a file in the folder's place cannot be entered either.
            machine.put(folder, "", 0o600);
        }
        let told = machine.read(true, "key").expect_err("nowhere");
        assert_eq!(told.to_string(), "there is no credential key");
        assert_eq!(told.kind(), io::ErrorKind::NotFound);
        let told = machine.read(false, "key").expect_err("nowhere").to_string();
        assert!(told.contains("Not a directory"), "{told}");
    }

    #[test]
    fn one_as_it_is_must_be_closed_and_short() {
        let machine = Machine::new();
        machine.put("plain/key", "sesame", 0o640);
        let told = machine.read(false, "key").expect_err("open").to_string();
        assert!(told.contains("0640") && !told.contains("sesame"), "{told}");
        machine.put("plain/key", &"s".repeat(65), 0o600);
        let told = machine.read(false, "key").expect_err("long").to_string();
        assert!(told.contains("longer than 64 bytes"), "{told}");
    }

    #[test]
    fn decryption_is_told_apart_from_a_secret() {
        let machine = Machine::new();
        let script =
            "#!/bin/sh\n[ \"$1 $2 $4\" = 'decrypt --name=sealed_key -' ] || exit 9\ncat \"$3\"\n";
        let good = machine.put("good", script, 0o700);
        let bad = machine.put("bad", "#!/bin/sh\necho half\necho 'no TPM' >&2\nexit 1\n", 0o700);
        let sealed = machine.put("sealed/key", "open sesame", 0o600);
        let with = |program: &Path| {
            decrypt(program.to_str().expect("text"), &sealed, "key", 64).map(|bytes| bytes.to_vec())
        };
        assert_eq!(with(&good).expect("decrypted"), b"open sesame");
        let told = with(&bad).expect_err("failed").to_string();
        assert!(told.ends_with("sealed/key cannot be decrypted: no TPM"), "{told}");
        let told = with(&machine.root.path().join("none")).expect_err("missing").to_string();
        assert!(told.contains("No such file"), "{told}");
    }

    #[test]
    fn names_are_those_of_files() {
        for good in ["gateway.key", "a", "Store-Key_2", &"n".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", ".key", "a/b", "a b", "ä", &"n".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
