//! The centre of a fleet: an operator's desk as `pendant-kit watch` is, on a thread of its
//! own, with its state in files. What it would show is written down.

use super::books::{Books, Heard, Listening};
use super::broker::Badge;
use crate::centre::{CentreSettings, Missing, Since};
use crate::watch::{self, Store};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Bytes of the desk's record of events, of which nothing is read here.
const HISTORY_BYTES: u64 = 64 << 20;

type Ended = io::Result<(Heard, Vec<Missing>)>;

pub(super) struct Desk {
    books: Arc<Books>,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<Ended>,
}

impl Desk {
    pub(super) fn start(
        folder: &Path,
        (host, port): (&str, u16),
        badge: &Badge,
        books: &Arc<Books>,
    ) -> io::Result<Self> {
        let centre = CentreSettings {
            site: "fleet".into(),
            receipts: false,
            since: Since::Start,
            ..CentreSettings::new(host, port, "fleet-desk", badge.tls()?)
        };
        let opened = Store::open(&folder.join("desk"), Since::Start, HISTORY_BYTES)?;
        let settings = watch::Settings {
            centre,
            opened: Some(opened),
            operator: "fleet".into(),
            grace: Duration::from_secs(30),
        };
        let mut listening = Listening::new(Arc::clone(books));
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("desk".into()).spawn(move || {
            let missing = runtime.block_on(async {
                // No operator sits here.
                let (_operator, mut lines) = mpsc::channel(1);
                let stop = async { drop(stopped.await) };
                watch::run(settings, &mut lines, &mut listening, stop).await
            });
            // Who has gone needs no account.
            drop(end.send(missing.map(|missing| (listening.end(), missing))));
        })?;
        Ok(Self { books: Arc::clone(books), stop, ended })
    }

    /// Events that it heard for the first time.
    pub(super) fn told(&self) -> u64 {
        self.books.told.load(Ordering::Relaxed)
    }

    pub(super) async fn stop(self) -> Ended {
        // It stops as well when this is dropped.
        let _ = self.stop.send(());
        self.ended.await.map_err(|_| io::Error::other("the desk ended by itself"))?
    }
}
