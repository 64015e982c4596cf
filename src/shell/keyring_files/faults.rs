//! What can be wrong with an enrolment on disk, and why one cannot be changed.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A file in the keyring's directory that is no enrolment of this store.
#[derive(Debug)]
pub struct DamagedEnrolment {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: EnrolmentFault,
}

/// Why a file is no enrolment.
#[derive(Debug)]
pub enum EnrolmentFault {
    /// Its name is not that of a pendant: move it elsewhere.
    Name,
    /// It does not open under this store's key and its name: damaged, copied
    /// from another gateway, or renamed. Enrol the pendant again.
    Seal,
    /// The system refused.
    Io(io::Error),
}

impl EnrolmentFault {
    /// Whether the file was taken away while the others were read: the pendant is revoked.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for DamagedEnrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.fault {
            EnrolmentFault::Name => {
                write!(f, "{path} is not named like an enrolment; move it elsewhere")
            }
            EnrolmentFault::Seal => write!(
                f,
                "{path} is damaged, or was not written by this gateway; \
                 enrol the pendant again with `enroll --replace`, or `revoke` it"
            ),
            EnrolmentFault::Io(error) => write!(f, "{path} cannot be read: {error}"),
        }
    }
}

/// Why a pendant cannot be handed over.
#[derive(Debug)]
pub enum BindError {
    /// The pendant is not enrolled.
    NotEnrolled,
    /// Its enrolment does not open.
    Damaged(DamagedEnrolment),
    /// It is a pendant that was bought, which has no digits for PINs.
    NoPins,
    /// The system refused.
    Io(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnrolled => f.write_str("the pendant is not enrolled"),
            Self::Damaged(damaged) => damaged.fmt(f),
            Self::NoPins => f.write_str("a pendant that was bought has no PINs"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl BindError {
    pub(super) fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotEnrolled,
            _ => Self::Io(error),
        }
    }
}
