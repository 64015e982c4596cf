//! Many enrolments at once: all of them, or none.

use super::{KeyringFiles, file_name, lock};
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
    /// Writes enrolments of pendants that have none, durable before this returns.
    /// `progress` hears after each how many are on the disk.
    ///
    /// First all are written under other names; what can fail for want of room fails
    /// there. Then they get their names, one after the other: a power cut between two
    /// of them leaves the first ones enrolled.
    ///
    /// # Errors
    /// If one cannot be written or is enrolled already: then none is.
    pub fn write_all(
        &self,
        enrolments: &[Enrolment],
        mut progress: impl FnMut(usize),
    ) -> Result<(), NotWritten> {
        let at = |pendant| move |error| NotWritten { pendant: Some(pendant), error };
        durable_file::make_directory(&self.directory)?;
        let _lock = lock(&self.directory)?;
        let mut staged = Vec::with_capacity(enrolments.len());
        for enrolment in enrolments {
            let name = file_name(enrolment.pendant);
            let path = self.directory.join(&name);
            let file = self.seal(enrolment, &name).and_then(|bytes| Staged::new(&path, &bytes));
            staged.push((enrolment.pendant, file.map_err(at(enrolment.pendant))?));
            progress(staged.len());
        }
        let mut placed = Placed { directory: &self.directory, pendants: Vec::new() };
        for (pendant, file) in staged {
            file.place(Existing::Keep).map_err(at(pendant))?;
            placed.pendants.push(pendant);
        }
        File::open(&self.directory)?.sync_all()?;
        placed.pendants.clear();
        Ok(())
    }
}

/// Enrolments that go again, unless all are there.
struct Placed<'d> {
    directory: &'d Path,
    pendants: Vec<PendantId>,
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        for pendant in &self.pendants {
            // As far as it goes: the error that brought us here is told.
            let _ = durable_file::remove(&self.directory.join(file_name(*pendant)));
        }
    }
}

#[cfg(test)]
mod tests {
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
        files.write_all(&many, |done| heard.push(done)).expect("free");
        assert_eq!((heard, found()), (vec![1, 2, 3], vec![1, 2, 3]));
        assert!(matches!(
            files.find(many[0].pendant).expect("written").secrets,
            Secrets::Native { pins: None, .. }
        ));

        // 4 has its name already when it turns out that 2 is taken.
        let more: Vec<_> = [4, 2, 5].map(enrolment).into();
        let refused = files.write_all(&more, |_| {}).expect_err("taken");
        assert_eq!(refused.pendant.map(PendantId::get), Some(2));
        assert_eq!(found(), [1, 2, 3]);
        let left = std::fs::read_dir(folder.path().join("keyring")).expect("there").count();
        assert_eq!(left, 3, "nothing is left over");
    }
}
