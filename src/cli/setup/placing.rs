//! Puts files in place: whole or not at all, with the owner and the rights that the
//! gateway needs, and what was there before kept as `.bak`.

use crate::cli::Failure;
use crate::cli::check::Owner;
use crate::shell::durable_file::directory_around;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};

/// Whose a file is, and who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The gateway's alone: mode 0600, its own user.
    Secret,
    /// Root's; the gateway's group reads it: mode 0640.
    Configuration,
    /// Root's; anybody may read it: mode 0644.
    Public,
}

impl Kind {
    const fn mode(self) -> u32 {
        match self {
            Self::Secret => 0o600,
            Self::Configuration => 0o640,
            Self::Public => 0o644,
        }
    }
}

/// Writes files for a gateway's user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placer {
    /// `None`: there is no such user here yet, or this is not root. Then what is
    /// written is its writer's.
    owner: Option<Owner>,
}

impl Placer {
    pub(super) fn new(owner: Option<Owner>) -> Self {
        Self { owner: owner.filter(|_| rustix::process::geteuid().is_root()) }
    }

    /// Writes a file; what was there before becomes `NAME.bak`.
    pub(super) fn write(self, path: &Path, bytes: &[u8], kind: Kind) -> Result<(), Failure> {
        keep(path).map_err(|error| Failure::of_file(path, &error))?;
        self.write_over(path, bytes, kind)
    }

    /// Writes a file; what was there before is gone.
    pub(super) fn write_over(self, path: &Path, bytes: &[u8], kind: Kind) -> Result<(), Failure> {
        self.try_write(path, bytes, kind).map_err(|error| Failure::of_file(path, &error))
    }

    fn try_write(self, path: &Path, bytes: &[u8], kind: Kind) -> io::Result<()> {
        let new = beside(path, ".new");
        // What an interrupted run has left.
        remove_if_there(&new)?;
        let mut file = OpenOptions::new().write(true).create_new(true).open(&new)?;
        file.set_permissions(Permissions::from_mode(kind.mode()))?;
        if let Some(owner) = self.owner {
            let user = if kind == Kind::Secret { owner.user } else { 0 };
            fchown(&file, Some(user), Some(owner.group))?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        File::open(directory_around(path))?.sync_all()
    }

    /// Makes a folder that the gateway's group can enter, unless it is there.
    pub(super) fn folder(self, path: &Path) -> Result<(), Failure> {
        self.make(path, 0o750, 0)
    }

    /// Makes the store's folder, which is the gateway's alone, unless it is there.
    pub(super) fn store(self, path: &Path) -> Result<(), Failure> {
        self.make(path, 0o700, self.owner.map_or(0, |owner| owner.user))
    }

    fn make(self, path: &Path, mode: u32, user: u32) -> Result<(), Failure> {
        if path.is_dir() {
            return Ok(());
        }
        let make = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(mode).create(path)?;
            if let Some(owner) = self.owner {
                chown(path, Some(user), Some(owner.group))?;
            }
            Ok(())
        };
        make().map_err(|error| Failure::of_file(path, &error))
    }
}

/// What is there is also called `NAME.bak` from now on, so that it is there at any
/// moment until the new one takes its place.
fn keep(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let kept = beside(path, ".bak");
    remove_if_there(&kept)?;
    std::fs::hard_link(path, kept)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_gets_its_rights_and_the_one_before_is_kept() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("gateway.toml");
        let placer = Placer::new(None);
        for (text, kind, mode) in [
            ("old", Kind::Public, 0o644),
            ("new", Kind::Configuration, 0o640),
            ("key", Kind::Secret, 0o600),
        ] {
            placer.write(&path, text.as_bytes(), kind).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("there"), text);
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, mode);
        }
        assert_eq!(fs::read_to_string(beside(&path, ".bak")).expect("kept"), "new");
        assert_eq!(fs::read_dir(folder.path()).expect("ours").count(), 2, "nothing else is left");
    }
}
