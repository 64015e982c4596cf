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
