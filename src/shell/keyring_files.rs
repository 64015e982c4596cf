//! Enrolments on disk: one sealed file a pendant.
//!
//! `keyring/PPPPPP.enrolment`, PPPPPP the pendant's number in six hexadecimal
//! digits, mode 0600:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `LWE2` |
//! | 13 | nonce, random at every writing |
//! | n | the enrolment (postcard), sealed |
//! | 16 | tag |
//!
//! AES-128-CCM under a key derived from the store's key; the first four bytes
//! and the file's name are associated data, so that a file cannot take another's
//! place. A nonce of 104 random bits does not repeat within the few thousand
//! enrolments that a store sees in its life.

use super::durable_file;
use super::store_key::StoreKey;
use crate::engine::keyring::{Enrolment, Keyring, Secrets};
use crate::engine::name::Name;
use crate::engine::pin::PinVerifier;
use aes::Aes128;
use ccm::aead::{AeadInOut, KeyInit};
use ccm::consts::{U13, U16};
use content::Content;
use pendant_protocol::PendantId;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use zeroize::Zeroizing;

pub use super::durable_file::Existing;
pub use content::unsealed;
pub use faults::{BindError, DamagedEnrolment, EnrolmentFault};
pub use many::NotWritten;

mod content;
mod faults;
mod many;
pub mod shared;

type Cipher = ccm::Ccm<Aes128, U16, U13>;

const MAGIC: &[u8; 4] = b"LWE2";
const NONCE_BYTES: usize = 13;
const TAG_BYTES: usize = 16;
/// An enrolment is below 200 bytes; what is longer than this is none.
const FILE_BYTES_MAX: usize = 1024;
const SUFFIX: &str = ".enrolment";

/// The keyring's directory, opened with the store's key.
pub struct KeyringFiles {
    directory: PathBuf,
    cipher: Cipher,
}

/// Whether to wait until another command has changed the keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As long as it takes. For a command.
    Unbounded,
    /// Not at all: fails with `WouldBlock`. For a loop.
    None,
}

/// What was found on disk.
#[derive(Debug, Default)]
pub struct LoadedKeyring {
    /// All that could be opened.
    pub keyring: Keyring,
    /// What could not, by file; the pendants in question are unknown, and in the keyring as
    /// unreadable.
    pub damaged: Vec<DamagedEnrolment>,
}

impl KeyringFiles {
    /// The keyring of a store. Nothing is read or written yet.
    #[must_use]
    pub fn new(store_directory: &Path, key: &StoreKey) -> Self {
        let key = key.derive::<16>("lonework/1 keyring");
        Self { directory: keyring_directory(store_directory), cipher: Cipher::new((&*key).into()) }
    }

    /// Opens every enrolment. One that does not open is told by its file and
    /// keeps none of the others away.
    ///
    /// # Errors
    /// Only if the directory itself cannot be listed; one that is missing is an
    /// empty keyring.
    pub fn load(&self) -> io::Result<LoadedKeyring> {
        let mut loaded = LoadedKeyring { keyring: Keyring::new(), damaged: Vec::new() };
        let entries = match std::fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(loaded),
            entries => entries?,
        };
        let mut paths =
            entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Left over by a writing that a power cut ended: never an enrolment.
            if name.starts_with('.') {
                continue;
            }
            match self.open(&path, &name) {
                Ok(enrolment) => {
                    loaded.keyring.insert(enrolment);
                }
                Err(fault) => {
                    let pendant = pendant_of(&name).filter(|_| !fault.is_gone());
                    if let Some(pendant) = pendant {
                        loaded.keyring.insert_unreadable(pendant);
                    }
                    loaded.damaged.push(DamagedEnrolment { path, fault });
                }
            }
        }
        Ok(loaded)
    }

    /// The same for who has worked with `former` so far: a pendant whose file is there, but
    /// does not open any more, stays as it was. To be unheard, and to lose its session,
    /// because somebody changed another's enrolment would be worse; only a file that is gone
    /// is a revocation.
    ///
    /// # Errors
    /// Like [`Self::load`], and if the directory is gone: a disk that is away, or a backup
    /// that is being put back, revokes nobody.
    pub fn load_again(&self, former: &Keyring) -> io::Result<LoadedKeyring> {
        if !former.is_empty() && !self.directory.try_exists()? {
            let text = format!("{} is gone: put it back", self.directory.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let mut loaded = self.load()?;
        for damaged in &loaded.damaged {
            let name = damaged.path.file_name().unwrap_or_default().to_string_lossy();
            let known = pendant_of(&name).and_then(|pendant| former.find(pendant));
            if let Some(enrolment) = known.filter(|_| !damaged.fault.is_gone()) {
                loaded.keyring.insert(enrolment.clone());
            }
        }
        Ok(loaded)
    }

    /// Writes an enrolment, durable before this returns.
    ///
    /// # Errors
    /// `AlreadyExists` if the pendant is enrolled and `existing` says to keep it.
    pub fn write(&self, enrolment: &Enrolment, existing: Existing) -> io::Result<()> {
        durable_file::make_directory(&self.directory)?;
        let _lock = lock(&self.directory, Patience::Unbounded)?;
        self.put(enrolment, existing)
    }

    /// Hands a pendant over to another wearer, with PINs of its own or the same;
    /// key and enrolment stay. Durable before this returns. Gives who had it.
    ///
    /// # Errors
    /// If it is not enrolled, its enrolment does not open, or cannot be written; with
    /// `WouldBlock` without patience while another changes the keyring.
    pub fn bind(
        &self,
        pendant: PendantId,
        wearer: Name,
        pins: Option<PinVerifier>,
        patience: Patience,
    ) -> Result<Name, BindError> {
        // From the reading to the writing, so that nobody's revocation is undone.
        let _lock = lock(&self.directory, patience).map_err(BindError::of)?;
        let mut enrolment = self.find(pendant)?;
        let former = std::mem::replace(&mut enrolment.wearer, wearer);
        match (&mut enrolment.secrets, pins) {
            (_, None) => {}
            (Secrets::Native { pins: former, .. }, Some(pins)) => *former = Some(pins),
            (Secrets::LoRaWan(_) | Secrets::Claimed { .. }, Some(_)) => {
                return Err(BindError::NoPins);
            }
        }
        self.put(&enrolment, Existing::Replace).map_err(BindError::Io)?;
        Ok(former)
    }

    /// One pendant's enrolment.
    ///
    /// # Errors
    /// If it is not enrolled, or its enrolment does not open.
    pub fn find(&self, pendant: PendantId) -> Result<Enrolment, BindError> {
        let name = file_name(pendant);
        let path = self.directory.join(&name);
        self.open(&path, &name).map_err(|fault| match fault {
            EnrolmentFault::Io(error) => BindError::of(error),
            fault => BindError::Damaged(DamagedEnrolment { path, fault }),
        })
    }

    fn put(&self, enrolment: &Enrolment, existing: Existing) -> io::Result<()> {
        let name = file_name(enrolment.pendant);
        durable_file::write(&self.directory.join(&name), &self.seal(enrolment, &name)?, existing)
    }

    fn seal(&self, enrolment: &Enrolment, name: &str) -> io::Result<Vec<u8>> {
        let content = Content::from(enrolment);
        let mut buffer = Zeroizing::new([0; FILE_BYTES_MAX]);
        let sealed =
            postcard::to_slice(&content, buffer.as_mut()).expect("an enrolment is below 200 bytes");
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce.into(), &associated(name), (&mut *sealed).into())
            .expect("CCM takes texts of this length");
        Ok([MAGIC, &nonce[..], sealed, &tag].concat())
    }

    fn open(&self, path: &Path, name: &str) -> Result<Enrolment, EnrolmentFault> {
        let pendant = pendant_of(name).ok_or(EnrolmentFault::Name)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
            .map_err(EnrolmentFault::Io)?;
        let body = bytes.strip_prefix(MAGIC).ok_or(EnrolmentFault::Seal)?;
        let (nonce, sealed) =
            body.split_first_chunk::<NONCE_BYTES>().ok_or(EnrolmentFault::Seal)?;
        let (text, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(EnrolmentFault::Seal)?;
        let mut text = Zeroizing::new(text.to_vec());
        self.cipher
            .decrypt_inout_detached(
                &(*nonce).into(),
                &associated(name),
                text.as_mut_slice().into(),
                &(*tag).into(),
            )
            .map_err(|_| EnrolmentFault::Seal)?;
        unsealed(pendant, &text).ok_or(EnrolmentFault::Seal)
    }
}

/// Whether a pendant is enrolled. Needs no key.
#[must_use]
pub fn is_enrolled(store_directory: &Path, pendant: PendantId) -> bool {
    keyring_directory(store_directory).join(file_name(pendant)).exists()
}

/// When a pendant was enrolled or handed over last, if its file says so. Needs no key.
#[must_use]
pub fn changed(store_directory: &Path, pendant: PendantId) -> Option<SystemTime> {
    let path = keyring_directory(store_directory).join(file_name(pendant));
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Revokes: removes a pendant's enrolment for good. Needs no key, so that a
/// damaged one can be removed as well.
///
/// # Errors
/// `NotFound` if the pendant is not enrolled; `WouldBlock` without patience while another
/// changes the keyring.
pub fn remove(store_directory: &Path, pendant: PendantId, patience: Patience) -> io::Result<()> {
    let directory = keyring_directory(store_directory);
    let _lock = lock(&directory, patience)?;
    durable_file::remove(&directory.join(file_name(pendant)))
}

/// Held while the keyring is changed, by one command at a time.
fn lock(directory: &Path, patience: Patience) -> io::Result<File> {
    let directory = File::open(directory)?;
    let operation = match patience {
        Patience::Unbounded => FlockOperation::LockExclusive,
        Patience::None => FlockOperation::NonBlockingLockExclusive,
    };
    flock(&directory, operation)?;
    Ok(directory)
}

fn keyring_directory(store_directory: &Path) -> PathBuf {
    store_directory.join("keyring")
}

fn file_name(pendant: PendantId) -> String {
    format!("{pendant}{SUFFIX}")
}

fn pendant_of(name: &str) -> Option<PendantId> {
    let pendant: PendantId = name.strip_suffix(SUFFIX)?.parse().ok()?;
    // One pendant has one name: no upper case, no missing zeros.
    (file_name(pendant) == name).then_some(pendant)
}

fn associated(name: &str) -> Vec<u8> {
    [MAGIC, name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pendant_protocol::{EnrolmentKey, PinDigits};
    use std::os::unix::fs::PermissionsExt;

    struct Store {
        folder: tempfile::TempDir,
        files: KeyringFiles,
    }

    fn store() -> Store {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let key = StoreKey::make(&folder.path().join("store.key")).expect("nothing there");
        Store { files: KeyringFiles::new(folder.path(), &key), folder }
    }

    impl Store {
        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join("keyring").join(name)
        }

        fn load(&self) -> LoadedKeyring {
            self.files.load().expect("a directory that can be listed")
        }
    }

    fn pendant(number: u32) -> PendantId {
        PendantId::new(number).expect("within the range")
    }

    fn enrolment(number: u32) -> Enrolment {
        let pin = |digits: &str| PinDigits::from_digits(digits).expect("digits");
        Enrolment {
            pendant: pendant(number),
            id: 0x0123_4567_89ab_cdef,
            wearer: Name::new("m.okafor").expect("a name"),
            secrets: Secrets::Native {
                key: EnrolmentKey::from_bytes([0xA5; 16]),
                pins: Some(PinVerifier::new([7; 32], pin("2580"), pin("7391"))),
            },
        }
    }

    fn unreadable(loaded: &LoadedKeyring) -> Vec<u32> {
        loaded.keyring.unreadable().iter().map(|pendant| pendant.get()).collect()
    }

    fn secrets(enrolment: &Enrolment) -> (&EnrolmentKey, &PinVerifier) {
        match &enrolment.secrets {
            Secrets::Native { key, pins: Some(pins) } => (key, pins),
            other => panic!("a native pendant with PINs, not {other:?}"),
        }
    }

    #[test]
    fn what_was_written_is_loaded() {
        let store = store();
        assert!(store.load().keyring.is_empty());
        for number in [0x12f, 1, 0xff_ffff] {
            store.files.write(&enrolment(number), Existing::Keep).expect("free");
        }
        let loaded = store.load();
        assert!(loaded.damaged.is_empty());
        assert_eq!(loaded.keyring.len(), 3);
        let read = loaded.keyring.find(pendant(0x12f)).expect("written");
        let written = enrolment(0x12f);
        assert_eq!((read.id, &read.wearer), (written.id, &written.wearer));
        assert_eq!(secrets(read).0.as_bytes(), secrets(&written).0.as_bytes());
        let safe = PinDigits::from_digits("2580").expect("digits");
        assert!(secrets(read).1.judge(safe) == crate::engine::pin::Entered::Safe);
        let mode =
            |path: PathBuf| std::fs::metadata(path).expect("there").permissions().mode() & 0o7777;
        assert_eq!(mode(store.path("00012f.enrolment")), 0o600);
        assert_eq!(mode(store.path("")), 0o700);
        assert_eq!(
            std::fs::read_dir(store.path("")).expect("readable").count(),
            3,
            "nothing is left over"
        );
    }

    #[test]
    fn an_enrolment_is_replaced_only_on_demand_and_removed_for_good() {
        let store = store();
        store.files.write(&enrolment(5), Existing::Keep).expect("free");
        let mut other = enrolment(5);
        other.id = 9;
        let error = store.files.write(&other, Existing::Keep).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(store.load().keyring.find(pendant(5)).map(|e| e.id), Some(enrolment(5).id));
        store.files.write(&other, Existing::Replace).expect("asked for");
        assert_eq!(store.load().keyring.find(pendant(5)).map(|e| e.id), Some(9));
        assert!(is_enrolled(store.folder.path(), pendant(5)));
        remove(store.folder.path(), pendant(5), Patience::Unbounded).expect("there");
        assert!(!is_enrolled(store.folder.path(), pendant(5)));
        let error = remove(store.folder.path(), pendant(5), Patience::Unbounded).expect_err("gone");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn whose_file_is_damaged_stays_as_it_was_and_whose_is_gone_is_revoked() {
        let store = store();
        for number in [1, 2, 3, 4] {
            store.files.write(&enrolment(number), Existing::Keep).expect("free");
        }
        let former = store.load().keyring;
        std::fs::write(store.path("000002.enrolment"), "LWE2").expect("ours");
        remove(store.folder.path(), pendant(3), Patience::Unbounded).expect("there");
        std::fs::remove_file(store.path("000004.enrolment")).expect("there");
        std::fs::create_dir(store.path("000004.enrolment")).expect("free");
        std::fs::write(store.path("000005.enrolment"), "new, and damaged").expect("free");
        let again = store.files.load_again(&former).expect("it can be listed");
        let pendants: Vec<u32> = again.keyring.iter().map(|it| it.pendant.get()).collect();
        assert_eq!((pendants, again.damaged.len()), (vec![1, 2, 4], 3));
        assert_eq!(unreadable(&again), [5], "the others are heard");
        let fresh = store.files.load().expect("it can be listed");
        assert_eq!(unreadable(&fresh), [2, 4, 5]);
    }

    #[test]
    fn a_folder_that_is_gone_revokes_nobody() {
        let store = store();
        assert!(store.files.load_again(&Keyring::new()).expect("none yet").keyring.is_empty());
        store.files.write(&enrolment(1), Existing::Keep).expect("free");
        let former = store.load().keyring;
        std::fs::rename(store.path(""), store.folder.path().join("aside")).expect("ours");
        let error = store.files.load_again(&former).expect_err("gone");
        assert!(error.to_string().contains("is gone: put it back"), "{error}");
        std::fs::rename(store.folder.path().join("aside"), store.path("")).expect("ours");
        remove(store.folder.path(), pendant(1), Patience::Unbounded).expect("there");
        assert!(store.files.load_again(&former).expect("it is there").keyring.is_empty());
    }

    #[test]
    fn without_patience_nobody_waits_for_who_holds_the_keyring() {
        let store = store();
        store.files.write(&enrolment(1), Existing::Keep).expect("free");
        let held = lock(&store.path(""), Patience::Unbounded).expect("free");
        let name = || Name::new("a.silva").expect("a name");
        let refused = store.files.bind(pendant(1), name(), None, Patience::None);
        assert!(
            matches!(refused, Err(BindError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock)
        );
        let refused = remove(store.folder.path(), pendant(1), Patience::None).expect_err("held");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        drop(held);
        store.files.bind(pendant(1), name(), None, Patience::None).expect("free");
    }

    #[test]
    fn a_hand_over_changes_the_wearer_and_on_demand_the_pins_of_one_pendant() {
        use crate::engine::pin::Entered;
        let store = store();
        for number in [5, 6] {
            store.files.write(&enrolment(number), Existing::Keep).expect("free");
        }
        let pin = |digits: &str| PinDigits::from_digits(digits).expect("digits");
        let new_pins = || PinVerifier::new([8; 32], pin("6174"), pin("3908"));
        let name = |text: &str| Name::new(text).expect("a name");
        let entered = |number, digits: &str| {
            let found = store.files.find(pendant(number)).expect("enrolled");
            let (key, pins) = secrets(&found);
            assert_eq!((found.id, key.as_bytes()), (enrolment(5).id, &[0xA5; 16]));
            (found.wearer.to_string(), pins.judge(pin(digits)))
        };
        let former =
            store.files.bind(pendant(5), name("a.silva"), None, Patience::None).expect("enrolled");
        assert_eq!(former.as_str(), "m.okafor");
        assert!(entered(5, "2580") == ("a.silva".into(), Entered::Safe));
        let former =
            store.files.bind(pendant(5), name("b.novak"), Some(new_pins()), Patience::None);
        assert_eq!(former.expect("enrolled").as_str(), "a.silva");
        assert!(entered(5, "2580") == ("b.novak".into(), Entered::Wrong));
        assert!(entered(5, "3908") == ("b.novak".into(), Entered::Duress));
        assert!(entered(6, "2580") == ("m.okafor".into(), Entered::Safe));
        assert_eq!(std::fs::read_dir(store.path("")).expect("readable").count(), 2);

        remove(store.folder.path(), pendant(5), Patience::Unbounded).expect("there");
        let refused =
            store.files.bind(pendant(5), name("a.silva"), Some(new_pins()), Patience::None);
        assert!(matches!(refused, Err(BindError::NotEnrolled)), "{refused:?}");
        assert!(!is_enrolled(store.folder.path(), pendant(5)), "a revocation is not undone");
        std::fs::write(store.path("000006.enrolment"), "garbage").expect("ours");
        let refused = store.files.bind(pendant(6), name("a.silva"), None, Patience::None);
        assert!(matches!(refused, Err(BindError::Damaged(_))), "{refused:?}");
    }

    #[test]
    fn a_file_says_nothing_and_never_the_same_twice() {
        let store = store();
        store.files.write(&enrolment(5), Existing::Keep).expect("free");
        let first = std::fs::read(store.path("000005.enrolment")).expect("written");
        store.files.write(&enrolment(5), Existing::Replace).expect("asked for");
        let second = std::fs::read(store.path("000005.enrolment")).expect("written");
        assert_ne!(first, second);
        for secret in [&[0xA5; 8][..], &[7; 8], b"okafor"] {
            assert!(!first.windows(secret.len()).any(|bytes| bytes == secret));
        }
    }

    #[test]
    fn any_damage_is_told_by_name_and_keeps_no_other_away() {
        let store = store();
        store.files.write(&enrolment(1), Existing::Keep).expect("free");
        store.files.write(&enrolment(2), Existing::Keep).expect("free");
        let path = store.path("000002.enrolment");
        let good = std::fs::read(&path).expect("written");
        let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|length| good[..length].to_vec()).collect();
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << (at % 8);
            bad.push(flipped);
        }
        bad.push([&good[..], b"x"].concat());
        bad.push(vec![0; 100_000]);
        bad.push([&good[..], &[0; 100_000]].concat());
        for bytes in bad {
            std::fs::write(&path, bytes).expect("ours");
            let loaded = store.load();
            assert_eq!(loaded.keyring.len(), 1);
            assert!(loaded.keyring.find(pendant(1)).is_some());
            assert_eq!(loaded.damaged.len(), 1);
            assert!(loaded.damaged[0].to_string().contains("000002.enrolment is damaged"));
        }
        std::fs::write(&path, good).expect("ours");
        assert_eq!(store.load().keyring.len(), 2);
    }

    #[test]
    fn foreign_files_are_told_and_skipped() {
        let (store, other) = (self::store(), self::store());
        store.files.write(&enrolment(1), Existing::Keep).expect("free");
        other.files.write(&enrolment(2), Existing::Keep).expect("free");
        // From another gateway; renamed; no enrolment's name; a directory.
        std::fs::copy(other.path("000002.enrolment"), store.path("000002.enrolment"))
            .expect("free");
        std::fs::copy(store.path("000001.enrolment"), store.path("000003.enrolment"))
            .expect("free");
        for name in ["notes.txt", "3.enrolment", "00000A.enrolment", "000000.enrolment"] {
            std::fs::write(store.path(name), "x").expect("free");
        }
        std::fs::create_dir(store.path("000009.enrolment")).expect("free");
        std::fs::write(store.path(".000001.enrolment.0123.tmp"), "half").expect("free");
        let loaded = store.load();
        assert_eq!(loaded.keyring.len(), 1);
        let told: Vec<String> = loaded.damaged.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 7, "{told:?}");
        assert!(
            told.iter().any(
                |text| text.contains("000003.enrolment is damaged, or was not written by this")
            )
        );
        assert!(told.iter().any(|text| text.contains("notes.txt is not named like an enrolment")));
        assert!(told.iter().any(|text| text.contains("000009.enrolment cannot be read")));
    }
}
