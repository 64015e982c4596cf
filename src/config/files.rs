//! The files that a configuration names.

use super::credential;
use super::problem::Problem;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What a named file must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// There, and readable.
    Readable,
    /// The same, and closed to group and others.
    Secret,
    /// Closed to group and others once it is there.
    SecretOnceMade,
}

/// A file, and where the text names it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NamedFile {
    pub(super) path: PathBuf,
    pub(super) need: Need,
    /// The message to be; its text and remedy are filled in when there is one.
    pub(super) place: Problem,
}

impl NamedFile {
    pub(super) fn problem(&self) -> Option<Problem> {
        let shown = self.path.display();
        let told =
            |text: String, remedy: String| Some(Problem { text, remedy, ..self.place.clone() });
        if let Some(name) = credential::name_of(&self.path) {
            return credential::fault(name).and_then(|(text, remedy)| told(text, remedy));
        }
        let opened = |metadata: Metadata| match metadata.is_file() {
            // Opening anything else (a pipe, a device) could wait for ever.
            true => File::open(&self.path).map(|_| metadata),
            false => Ok(metadata),
        };
        let metadata = match std::fs::metadata(&self.path).and_then(opened) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.need == Need::SecretOnceMade {
                    return None;
                }
                return told(
                    format!("there is no file {shown}"),
                    "put the file there, or correct the path".into(),
                );
            }
            Err(error) => {
                let remedy =
                    format!("let the gateway's user read it: chown pendant-gateway {shown}");
                return told(format!("{shown} cannot be read: {error}"), remedy);
            }
        };
        if !metadata.is_file() {
            return told(format!("{shown} is not a file"), "name a file".into());
        }
        if self.need == Need::Readable {
            return None;
        }
        let fault = secret_file_fault(&self.path, &metadata)?;
        told(fault, format!("close it: chmod 600 {shown}"))
    }
}

/// Says so if a file that holds a secret is open to its group or to others.
#[must_use]
pub fn secret_file_fault(path: &Path, metadata: &Metadata) -> Option<String> {
    let shown = path.display();
    open_mode(metadata).map(|mode| {
        format!("{shown} holds a secret, but its permissions {mode:04o} let others at it")
    })
}

/// The permissions of a file, if its group or others may do something with it.
pub(super) fn open_mode(metadata: &Metadata) -> Option<u32> {
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Reads a file of at most `bytes_max` bytes.
pub(super) fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let text = format!("longer than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}
