//! Many enrolments at once: all of them, or none.

use super::{KeyringFiles, Patience, file_name, lock};
use crate::engine::keyring::Enrolment;
use crate::shell::durable_file::{self, Existing, Staged};
use pendant_protocol::PendantId;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

/// Why none of many enrolments was written.
#[derive(Debug)]
pub struct NotWritten {
    /// The pendant at which it failed, if it was one.
    pub pendant: Option<PendantId>,
    /// Why.
    pub error: io::Error,
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pendant {
            Some(pendant) if self.error.kind() == io::ErrorKind::AlreadyExists => {
                write!(f, "pendant {pendant} was enrolled by somebody else just now")
            }
            Some(pendant) => write!(f, "pendant {pendant}: {}", self.error),
            None => self.error.fmt(f),
        }
    }
}

impl From<io::Error> for NotWritten {
    fn from(error: io::Error) -> Self {
        Self { pendant: None, error }
    }
}

impl KeyringFiles {
    /// Writes enrolments, durable before this returns; `existing` says what becomes of
    /// those that the pendants have. `progress` hears after each how many are on the disk.
    ///
    /// First all are written under other names; what can fail for want of room fails
    /// there. Then they get their names, one after the other: a power cut between two
    /// of them leaves the first ones enrolled.
    ///
    /// # Errors
    /// If one cannot be written, or is enrolled already and that is to be kept: then none
    /// is, and what was replaced is back.
    pub fn write_all(
        &self,
        enrolments: &[Enrolment],
        existing: Existing,
        mut progress: impl FnMut(usize),
    ) -> Result<(), NotWritten> {
        let at = |pendant| move |error| NotWritten { pendant: Some(pendant), error };
        durable_file::make_directory(&self.directory)?;
        let mut staged = Vec::with_capacity(enrolments.len());
        for enrolment in enrolments {
            let name = file_name(enrolment.pendant);
            let path = self.directory.join(&name);
            let file = self.seal(enrolment, &name).and_then(|bytes| Staged::new(&path, &bytes));
            staged.push((enrolment.pendant, file.map_err(at(enrolment.pendant))?));
            progress(staged.len());
        }
        // Only now: somebody who stops the command at its progress holds nobody up.
        let _lock = lock(&self.directory, Patience::Unbounded)?;
        let mut placed = Placed { directory: &self.directory, pendants: Vec::new() };
        for (pendant, file) in staged {
            let former = self.former(pendant, existing).map_err(at(pendant))?;
            file.place(existing).map_err(at(pendant))?;
            placed.pendants.push((pendant, former));
        }
        File::open(&self.directory)?.sync_all()?;
        placed.pendants.clear();
        Ok(())
    }

    /// The file that will be replaced, sealed as it is.
    fn former(&self, pendant: PendantId, existing: Existing) -> io::Result<Option<Vec<u8>>> {
        if existing == Existing::Keep {
            return Ok(None);
        }
        match std::fs::read(self.directory.join(file_name(pendant))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => file.map(Some),
        }
    }
}

/// Enrolments that go again, unless all are there, and the files in whose place they came.
struct Placed<'d> {
    directory: &'d Path,
    pendants: Vec<(PendantId, Option<Vec<u8>>)>,
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        for (pendant, former) in &self.pendants {
            let path = self.directory.join(file_name(*pendant));
            // As far as it goes: the error that brought us here is told.
            let _ = match former {
                Some(bytes) => durable_file::write(&path, bytes, Existing::Replace),
                None => durable_file::remove(&path),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::remove;
    use super::*;
    use crate::engine::keyring::Secrets;
    use crate::engine::name::Name;
    use crate::shell::store_key::StoreKey;
    use pendant_protocol::EnrolmentKey;

    fn enrolment(number: u32) -> Enrolment {
        Enrolment {
            pendant: PendantId::new(number).expect("within the range"),
            id: 7,
            wearer: Name::new("m.okafor").expect("a name"),
            secrets: Secrets::Native { key: EnrolmentKey::from_bytes([0xA5; 16]), pins: None },
        }
    }

    #[test]
    fn all_are_written_or_none() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let key = StoreKey::make(&folder.path().join("store.key")).expect("nothing there");
        let files = KeyringFiles::new(folder.path(), &key);
        let found = || {
            let loaded = files.load().expect("it can be listed");
            assert!(loaded.damaged.is_empty());
            loaded.keyring.iter().map(|enrolment| enrolment.pendant.get()).collect::<Vec<_>>()
        };
        let many: Vec<_> = [3, 1, 2].map(enrolment).into();
        let mut heard = Vec::new();
        files.write_all(&many, Existing::Keep, |done| heard.push(done)).expect("free");
        assert_eq!((heard, found()), (vec![1, 2, 3], vec![1, 2, 3]));
        assert!(matches!(
            files.find(many[0].pendant).expect("written").secrets,
            Secrets::Native { pins: None, .. }
        ));

        // 4 has its name already when it turns out that 2 is taken.
        let more: Vec<_> = [4, 2, 5].map(enrolment).into();
        let refused = files.write_all(&more, Existing::Keep, |_| {}).expect_err("taken");
        assert_eq!(refused.pendant.map(PendantId::get), Some(2));
        assert_eq!(found(), [1, 2, 3]);

        // 1 has been replaced when it turns out that 6 cannot be written.
        let handed_over = |number| Enrolment { id: 8, ..enrolment(number) };
        let blocked = folder.path().join("keyring").join("000006.enrolment");
        std::fs::create_dir(&blocked).expect("free");
        let more: Vec<_> = [4, 1, 6].map(handed_over).into();
        let refused = files.write_all(&more, Existing::Replace, |_| {}).expect_err("a directory");
        assert_eq!(refused.pendant.map(PendantId::get), Some(6));
        std::fs::remove_dir(&blocked).expect("empty");
        assert_eq!(found(), [1, 2, 3]);
        let id = |number: usize| files.find(many[number].pendant).expect("written").id;
        assert_eq!((id(0), id(1), id(2)), (7, 7, 7), "what was replaced is back");
        files.write_all(&more[..2], Existing::Replace, |_| {}).expect("free");
        assert_eq!((found(), id(1)), (vec![1, 2, 3, 4], 8));
        remove(folder.path(), more[0].pendant, Patience::Unbounded).expect("written");
        let left = std::fs::read_dir(folder.path().join("keyring")).expect("there").count();
        assert_eq!(left, 3, "nothing is left over");
    }
}
