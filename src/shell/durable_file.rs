//! Small files that are whole or not there, also after a power cut, and that
//! only their owner can read.

use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// What to do about a file of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it, and fail with `AlreadyExists`.
    Keep,
    /// Put the new one in its place.
    Replace,
}

/// Writes a file of mode 0600: under another name first, synced, then renamed,
/// then the directory synced. It belongs to the owner of its directory, so that
/// what root enrols the gateway's own user can read.
pub(super) fn write(path: &Path, bytes: &[u8], existing: Existing) -> io::Result<()> {
    Staged::new(path, bytes)?.place(existing)?;
    let (directory, _) = directory_and_name(path)?;
    File::open(directory)?.sync_all()
}

/// A file that is written and synced, but under another name: once it is dropped it is
/// gone.
pub(super) struct Staged {
    temporary: PathBuf,
    path: PathBuf,
}

impl Staged {
    pub(super) fn new(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let (directory, name) = directory_and_name(path)?;
        let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let temporary = directory.join(format!(".{name}.{random:016x}.tmp"));
        let staged = Self { temporary, path: path.to_owned() };
        write_new(&staged.temporary, bytes, directory)?;
        Ok(staged)
    }

    /// Gives it its name; durable once its directory is synced.
    pub(super) fn place(self, existing: Existing) -> io::Result<()> {
        let (temporary, path) = (&self.temporary, &self.path);
        match existing {
            Existing::Replace => std::fs::rename(temporary, path),
            Existing::Keep => Ok(renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE)?),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // It has its name by now, or may not be there at all.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

fn write_new(path: &Path, bytes: &[u8], directory: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let (owner, made) = (std::fs::metadata(directory)?, file.metadata()?);
    if (owner.uid(), owner.gid()) != (made.uid(), made.gid()) && made.uid() == 0 {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Removes a file for good, also after a power cut.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let (directory, _) = directory_and_name(path)?;
    std::fs::remove_file(path)?;
    File::open(directory)?.sync_all()
}

/// Makes a directory that only its owner can enter, unless it is there; its
/// owner is that of the directory around it.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            return Ok(());
        }
        made => made?,
    }
    let (parent, _) = directory_and_name(path)?;
    let directory = File::open(path)?;
    let (owner, made) = (std::fs::metadata(parent)?, directory.metadata()?);
    if (owner.uid(), owner.gid()) != (made.uid(), made.gid()) && made.uid() == 0 {
        fchown(&directory, Some(owner.uid()), Some(owner.gid()))?;
    }
    File::open(parent)?.sync_all()
}

fn directory_and_name(path: &Path) -> io::Result<(&Path, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(|name| (directory_around(path), name))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file"))
}

/// The directory in which a path is, also if it is named as seen from there: `gateway.toml`.
pub(crate) fn directory_around(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}
