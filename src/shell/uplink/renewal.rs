//! Looks whether the files for TLS have changed, and reads them if so.
//!
//! Key and certificate are two files, so whoever replaces them leaves a moment in
//! which they do not fit, and a copy in progress is cut short: what cannot be used
//! is looked at again for [`SETTLE`] before it counts. A reload says that all is in
//! place, so then it counts at once.

use crate::shell::tls::{ClientTls, TlsFiles, TlsFilesError, client_tls};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

/// How often is looked whether a file is another one now. A look reads no file.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// And while what was found cannot be used.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// So long may files not fit one another before that is told.
const SETTLE: Duration = Duration::from_secs(30);

/// What was found in the files.
pub(super) type Looked = Result<Arc<ClientTls>, TlsFilesError>;

/// Tells a file from what it was: device, number, length, and the time of its last
/// change in nanoseconds, which no copy and no tool takes over from another file.
type Print = Option<(u64, u64, u64, i64, i64)>;

/// Looks for ever, and tells what is new in the files; first what they hold now.
pub(super) async fn look(
    files: TlsFiles,
    server_name: String,
    found: mpsc::Sender<Looked>,
    now: Arc<Notify>,
) {
    let mut judged: Option<[Print; 3]> = None;
    let mut unfit_since: Option<Instant> = None;
    let mut asked = true;
    loop {
        let prints = prints(&files).await;
        if judged != Some(prints) {
            let read = read(&files, &server_name).await;
            let since = *unfit_since.get_or_insert_with(Instant::now);
            let counts = match &read {
                // Else it was replaced under the reading.
                Ok(_) => self::prints(&files).await == prints,
                Err(_) => asked || since.elapsed() >= SETTLE,
            };
            if counts {
                (judged, unfit_since) = (Some(prints), None);
                if found.send(read.map(Arc::new)).await.is_err() {
                    return;
                }
            }
        } else {
            unfit_since = None;
        }
        let pause = if unfit_since.is_some() { LOOK_AGAIN } else { LOOK_EVERY };
        asked = timeout(pause, now.notified()).await.is_ok();
    }
}

async fn prints(files: &TlsFiles) -> [Print; 3] {
    let files = files.clone();
    let print = |path: &Path| {
        let of = std::fs::metadata(path).ok()?;
        Some((of.dev(), of.ino(), of.size(), of.ctime(), of.ctime_nsec()))
    };
    blocking(move || [print(&files.authority), print(&files.certificate), print(&files.key)]).await
}

async fn read(files: &TlsFiles, server_name: &str) -> Result<ClientTls, TlsFilesError> {
    let (files, name) = (files.clone(), server_name.to_owned());
    blocking(move || client_tls(&files, &name)).await
}

/// The card may be slow: that must not hold up the loop.
async fn blocking<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(look).await.expect("reading certificates does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::certificate::Unfit;
    use crate::shell::tls::TlsFile;
    use rcgen::{CertificateParams, KeyPair};
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    /// A folder with files that are looked at, in the runtime's own time.
    struct Watched {
        folder: TempDir,
        found: mpsc::Receiver<Looked>,
        now: Arc<Notify>,
    }

    impl Watched {
        async fn new() -> Self {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let place = |name: &str| folder.path().join(name);
            let files = TlsFiles {
                authority: place("ca.pem"),
                certificate: place("gateway.pem"),
                key: place("gateway.key"),
            };
            let (tell, found) = mpsc::channel(1);
            let now = Arc::new(Notify::new());
            let mut watched = Self { folder, found, now };
            let (certificate, key) = pair();
            for (name, text) in
                [("ca.pem", &certificate), ("gateway.pem", &certificate), ("gateway.key", &key)]
            {
                watched.put(name, text);
            }
            tokio::spawn(look(files, "broker.site".into(), tell, Arc::clone(&watched.now)));
            assert!(watched.next().await.is_ok(), "what they hold is told first");
            watched
        }

        fn put(&self, name: &str, text: &str) {
            let beside = self.folder.path().join("beside");
            std::fs::write(&beside, text).expect("written");
            std::fs::set_permissions(&beside, Permissions::from_mode(0o600)).expect("ours");
            std::fs::rename(beside, self.folder.path().join(name)).expect("renamed");
        }

        async fn next(&mut self) -> Looked {
            self.found.recv().await.expect("it looks for ever")
        }

        /// Nothing is told for so long.
        async fn quiet_for(&mut self, quiet: Duration) {
            let told = timeout(quiet, self.found.recv()).await;
            assert!(told.is_err(), "{told:?}");
        }
    }

    /// A certificate and its key.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["gw-1".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    #[tokio::test(start_paused = true)]
    async fn a_pair_that_is_replaced_one_by_one_is_waited_for_and_told_once() {
        let mut watched = Watched::new().await;
        watched.quiet_for(Duration::from_secs(3600)).await;
        let (certificate, key) = pair();
        watched.put("gateway.key", &key);
        watched.quiet_for(SETTLE - LOOK_EVERY - LOOK_AGAIN).await;
        watched.put("gateway.pem", &certificate);
        assert!(watched.next().await.is_ok());
        watched.quiet_for(Duration::from_secs(3600)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_unfit_is_told_after_a_while_and_once() {
        let mut watched = Watched::new().await;
        let (certificate, key) = pair();
        let half = &certificate[..certificate.len() / 2];
        let faults = [
            ("gateway.key", &*key, TlsFile::Key, Unfit::WrongKey),
            ("gateway.pem", half, TlsFile::Certificate, Unfit::Damaged),
            ("ca.pem", "", TlsFile::Authority, Unfit::Damaged),
        ];
        for (name, text, which, unfit) in faults {
            watched.put(name, text);
            let begun = Instant::now();
            let error = watched.next().await.expect_err("unfit");
            assert_eq!((error.which, error.unfit), (which, unfit), "{error}");
            let waited = begun.elapsed();
            assert!(waited >= SETTLE && waited <= SETTLE + LOOK_EVERY + LOOK_AGAIN, "{waited:?}");
            watched.quiet_for(Duration::from_secs(3600)).await;
        }
        for (name, text) in [("ca.pem", &certificate), ("gateway.pem", &certificate)] {
            watched.put(name, text);
        }
        assert!(watched.next().await.is_ok(), "mended");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_reload_what_is_unfit_counts_at_once() {
        let mut watched = Watched::new().await;
        watched.quiet_for(Duration::from_secs(60)).await;
        watched.put("gateway.key", &pair().1);
        let begun = Instant::now();
        watched.now.notify_one();
        assert!(watched.next().await.is_err());
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
