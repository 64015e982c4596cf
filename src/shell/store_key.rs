//! The key under which everything in the store directory is sealed.
//!
//! 32 random bytes as 64 hexadecimal digits and a line feed, mode 0600. Each use
//! derives a key of its own from it, so that no two uses share one.

use super::durable_file::{self, Existing};
use crate::config::{is_credential, read_secret, secret_file_fault};
use hkdf::Hkdf;
use sha2::Sha256;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const KEY_BYTES: usize = 32;
const HEX_BYTES: usize = 2 * KEY_BYTES;

/// The store's key. Says nothing of itself when printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct StoreKey([u8; KEY_BYTES]);

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(..)")
    }
}

/// Why there is no store key. Each says what to do.
#[derive(Debug)]
pub enum StoreKeyError {
    /// No such file: make one if the store is empty, else restore it.
    Missing(PathBuf),
    /// No such file, but a store that was sealed under it: restore it.
    Lost {
        /// Where the key should be.
        key_file: PathBuf,
        /// What was sealed under it.
        store: PathBuf,
    },
    /// Others can read or change it.
    Open(String),
    /// Not what this program writes.
    Damaged(PathBuf),
    /// The system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for StoreKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => {
                write!(f, "there is no store key {}; the first `enroll` makes it", path.display())
            }
            Self::Lost { key_file, store } => write!(
                f,
                "there is no store key {}, but {} holds what was sealed under it; restore the key from the \
                 backup, or move {0} away with the store to begin anew (then all pendants must be enrolled again)",
                key_file.display(),
                store.display()
            ),
            Self::Open(fault) => write!(f, "{fault}; close it with chmod 600"),
            Self::Damaged(path) => write!(
                f,
                "{} is not a store key (64 hexadecimal digits); restore it from the backup",
                path.display()
            ),
            Self::Io(path, error) => {
                let shown = path.display();
                write!(f, "{shown}: {error}")?;
                match error.kind() {
                    // Where it is the error says; this is no path.
                    _ if is_credential(path) => {
                        write!(f, "; see docs/install.md, \"Keys as credentials\"")
                    }
                    io::ErrorKind::PermissionDenied => write!(
                        f,
                        "; it is for the gateway's user and root alone: use sudo, or if the gateway \
                         itself says this: chown pendant-gateway {shown}"
                    ),
                    io::ErrorKind::NotFound => {
                        write!(f, "; make its folder, or correct the path under [store]")
                    }
                    io::ErrorKind::StorageFull => write!(f, "; make room there"),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for StoreKeyError {}

impl StoreKey {
    /// Reads the key.
    ///
    /// # Errors
    /// If it is missing, open to others, or damaged.
    pub fn read(path: &Path) -> Result<Self, StoreKeyError> {
        let failed = |error: io::Error| match error.kind() {
            // A credential is never made here, so it is not said to be.
            io::ErrorKind::NotFound if !is_credential(path) => {
                StoreKeyError::Missing(path.to_owned())
            }
            io::ErrorKind::FileTooLarge => StoreKeyError::Damaged(path.to_owned()),
            _ => StoreKeyError::Io(path.to_owned(), error),
        };
        if !is_credential(path) {
            let metadata = std::fs::metadata(path).map_err(failed)?;
            if let Some(fault) = secret_file_fault(path, &metadata) {
                return Err(StoreKeyError::Open(fault));
            }
        }
        let text = read_secret(path, HEX_BYTES as u64 + 1).map_err(failed)?;
        let digits = text.strip_suffix(b"\n").unwrap_or(&text);
        let mut key = Self([0; KEY_BYTES]);
        if digits.len() != HEX_BYTES {
            return Err(StoreKeyError::Damaged(path.to_owned()));
        }
        for (byte, pair) in key.0.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| {
                char::from(pair[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
            };
            let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                return Err(StoreKeyError::Damaged(path.to_owned()));
            };
            *byte = high << 4 | low;
        }
        Ok(key)
    }

    /// Makes a key that is not there yet, durable before this returns.
    ///
    /// # Errors
    /// If there is one (it stays), if the path names a credential, or the system
    /// refuses.
    pub fn make(path: &Path) -> Result<Self, StoreKeyError> {
        let mut key = Self([0; KEY_BYTES]);
        let failed = |error| StoreKeyError::Io(path.to_owned(), error);
        if is_credential(path) {
            let text = "a credential is not made by the gateway: docs/install.md";
            return Err(failed(io::Error::other(text)));
        }
        getrandom::fill(&mut key.0).map_err(|error| failed(io::Error::other(error.to_string())))?;
        let mut text = Zeroizing::new(Vec::with_capacity(HEX_BYTES + 1));
        for byte in key.0 {
            for nibble in [byte >> 4, byte & 0xF] {
                text.push(b"0123456789abcdef"[usize::from(nibble)]);
            }
        }
        text.push(b'\n');
        durable_file::write(path, &text, Existing::Keep).map_err(failed)?;
        Ok(key)
    }

    /// Reads the key, or makes it if it is missing and nothing in the store
    /// was sealed under it.
    ///
    /// # Errors
    /// Like [`Self::read`] and [`Self::make`]; [`StoreKeyError::Lost`] if the key
    /// is missing but the store is not empty.
    pub fn read_or_make(path: &Path, store_directory: &Path) -> Result<Self, StoreKeyError> {
        if let Some(key) = Self::read_if_made(path, store_directory)? {
            return Ok(key);
        }
        durable_file::make_directory(store_directory)
            .map_err(|error| StoreKeyError::Io(store_directory.to_owned(), error))?;
        match Self::make(path) {
            // Another command was first: its key is the key.
            Err(StoreKeyError::Io(_, error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::read(path)
            }
            made => made,
        }
    }

    /// Reads the key; `None` if it is missing and nothing was sealed under it.
    ///
    /// # Errors
    /// Like [`Self::read`]; [`StoreKeyError::Lost`] if the key is missing but the
    /// store is not empty.
    pub fn read_if_made(
        path: &Path,
        store_directory: &Path,
    ) -> Result<Option<Self>, StoreKeyError> {
        match Self::read(path) {
            Err(StoreKeyError::Missing(_)) => match sealed_part(store_directory)? {
                Some(store) => Err(StoreKeyError::Lost { key_file: path.to_owned(), store }),
                None => Ok(None),
            },
            found => found.map(Some),
        }
    }

    /// A key for one purpose: HKDF-SHA-256 (RFC 5869) with `purpose` as info.
    #[must_use]
    pub fn derive<const BYTES: usize>(&self, purpose: &str) -> Zeroizing<[u8; BYTES]> {
        let mut key = Zeroizing::new([0; BYTES]);
        Hkdf::<Sha256>::new(None, &self.0)
            .expand(purpose.as_bytes(), key.as_mut())
            .expect("keys of a cipher are within HKDF's limit");
        key
    }
}

/// A part of the store that holds something.
fn sealed_part(store_directory: &Path) -> Result<Option<PathBuf>, StoreKeyError> {
    for part in ["keyring", "journal"] {
        let part = store_directory.join(part);
        match std::fs::read_dir(&part).map(|mut entries| entries.next().is_some()) {
            Ok(true) => return Ok(Some(part)),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreKeyError::Io(part, error)),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder for the test")
    }

    #[test]
    fn a_key_that_cannot_be_had_is_told_with_what_to_do() {
        for (kind, words) in [
            (io::ErrorKind::PermissionDenied, "use sudo"),
            (io::ErrorKind::NotFound, "correct the path under [store]"),
            (io::ErrorKind::StorageFull, "make room"),
        ] {
            let told = StoreKeyError::Io("/a/store.key".into(), kind.into()).to_string();
            assert!(told.starts_with("/a/store.key: ") && told.contains(words), "{told}");
            let told = StoreKeyError::Io("credential:store.key".into(), kind.into()).to_string();
            assert!(told.contains("Keys as credentials") && !told.contains(words), "{told}");
        }
    }

    #[test]
    fn a_key_is_made_once_closed_and_reads_back() {
        let folder = folder();
        let path = folder.path().join("store.key");
        let made = StoreKey::read_or_make(&path, folder.path()).expect("an empty store");
        let mode = std::fs::metadata(&path).expect("made").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let read = StoreKey::read_or_make(&path, folder.path()).expect("it is there");
        assert_eq!(made.0, read.0);
        assert_eq!(made.derive::<16>("a"), read.derive::<16>("a"));
        assert_ne!(made.derive::<16>("a"), made.derive::<16>("b"));
        assert!(StoreKey::make(&path).is_err());
        assert_eq!(StoreKey::read(&path).expect("unchanged").0, made.0);
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("readable").count(),
            1,
            "nothing is left over"
        );
        assert_eq!(format!("{made:?}"), "StoreKey(..)");
    }

    #[test]
    fn a_key_that_is_open_to_others_is_refused() {
        let folder = folder();
        let path = folder.path().join("store.key");
        StoreKey::make(&path).expect("an empty store");
        for mode in [0o640, 0o604, 0o620, 0o666] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("ours");
            let error = StoreKey::read(&path).expect_err("open to others");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_lost_key_is_not_made_anew_over_a_store() {
        for part in ["keyring/00012f.enrolment", "journal/00000000.seg"] {
            let folder = folder();
            let sealed = folder.path().join(part);
            std::fs::create_dir(sealed.parent().expect("in a folder")).expect("free");
            std::fs::write(sealed, "x").expect("writable");
            let path = folder.path().join("store.key");
            let error = StoreKey::read_or_make(&path, folder.path()).expect_err("lost");
            assert!(matches!(error, StoreKeyError::Lost { .. }), "{error}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_damaged_key_is_refused_and_not_repeated() {
        let folder = folder();
        let path = folder.path().join("store.key");
        StoreKey::make(&path).expect("an empty store");
        let good = std::fs::read_to_string(&path).expect("text");
        for bad in [
            "",
            "\n",
            &good[1..],
            &format!("{good}0"),
            &good.replace(&good[..1], "g"),
            &good.repeat(2),
        ] {
            std::fs::write(&path, bad).expect("writable");
            let error = StoreKey::read(&path).expect_err("damaged");
            assert!(matches!(error, StoreKeyError::Damaged(_)), "{error}");
            assert!(!error.to_string().contains(&good[4..40]));
        }
    }
}
