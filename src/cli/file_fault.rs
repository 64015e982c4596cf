//! What the system says of a file that a command was given, and what to do about it.

use std::io::{Error, ErrorKind};
use std::path::Path;

/// The path, the system's words, and a remedy if the kind of the error has one.
pub(super) fn file_fault(path: &Path, error: &Error) -> String {
    format!("{}: {error}{}", path.display(), remedy(error.kind()))
}

/// What to do, behind the system's words; nothing where it could be anything.
pub(super) const fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::PermissionDenied => "; use sudo",
        ErrorKind::NotFound => "; look at the name, and whether its folder is there",
        ErrorKind::AlreadyExists => "; name another file",
        ErrorKind::IsADirectory => "; name a file in it",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; make room there, or name another place"
        }
        ErrorKind::ReadOnlyFilesystem => "; name a place that can be written to",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn what_an_installer_meets_has_a_remedy() {
        for (errno, words) in [
            (Errno::ACCESS, "use sudo"),
            (Errno::NOENT, "look at the name"),
            (Errno::EXIST, "name another file"),
            (Errno::ISDIR, "a file in it"),
            (Errno::NOSPC, "make room"),
            (Errno::DQUOT, "make room"),
            (Errno::ROFS, "can be written to"),
        ] {
            let told = file_fault(Path::new("/a/b"), &errno.into());
            assert!(told.starts_with("/a/b: ") && told.contains(words), "{told}");
        }
        let told = file_fault(Path::new("/a/b"), &Errno::IO.into());
        assert!(told.ends_with("(os error 5)"), "{told}");
    }
}
