//! A port by its path: opened, served, and opened again when it went away.

use super::SerialSettings;
use super::session::{End, Session};
use crate::link::{LinkEvent, LinkFault, SendFault, Transmission};
use crate::outbox::Outbox;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_serial::{ErrorKind, SerialPortBuilderExt, SerialStream};

/// First pause before a port is opened again; udev takes some 50 ms to make the
/// path after a device was plugged in.
const BACK_OFF_MIN: Duration = Duration::from_millis(100);

/// Longest pause: somebody who plugs a receiver in watches for a lamp.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// Serves the port until the link is stopped.
pub(super) async fn run(
    settings: SerialSettings,
    tag: u8,
    events: mpsc::Sender<(u8, LinkEvent)>,
    mut transmissions: mpsc::Receiver<Transmission>,
) {
    let mut outbox = Outbox::new(tag, events);
    let mut outage = Outage::default();
    loop {
        let fault = match open(&settings).await {
            Ok(port) => {
                outage.told = None;
                outbox.tell(LinkEvent::Up).await;
                let opened = Instant::now();
                let session = Session::new(port, &settings, &mut outbox);
                match session.run(&mut transmissions).await {
                    End::Stopped => return,
                    End::Fault(fault) => {
                        // A port that opens and dies at once must not be tried
                        // ten times a second.
                        if opened.elapsed() >= BACK_OFF_MAX {
                            outage.pause = BACK_OFF_MIN;
                        }
                        fault
                    }
                }
            }
            Err(fault) => fault,
        };
        outage.tell(fault, &mut outbox).await;
        if !wait(outage.next_pause(), &mut outbox, &mut transmissions).await {
            return;
        }
    }
}

/// What was told of the present outage, and how long to wait in it.
struct Outage {
    told: Option<LinkFault>,
    pause: Duration,
}

impl Default for Outage {
    fn default() -> Self {
        Self {
            told: None,
            pause: BACK_OFF_MIN,
        }
    }
}

impl Outage {
    async fn tell(&mut self, fault: LinkFault, outbox: &mut Outbox) {
        let news = match (&self.told, &fault) {
            (None, _) => true,
            // An unplugged device leaves no path: the same outage.
            (Some(LinkFault::Gone(_)), LinkFault::Missing(_)) => false,
            (Some(told), fault) => std::mem::discriminant(told) != std::mem::discriminant(fault),
        };
        if news {
            self.told = Some(fault.clone());
            outbox.tell(LinkEvent::Down(fault)).await;
        }
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(BACK_OFF_MAX);
        pause
    }
}

/// Waits, and refuses transmissions meanwhile. False if the link was stopped.
async fn wait(
    pause: Duration,
    outbox: &mut Outbox,
    transmissions: &mut mpsc::Receiver<Transmission>,
) -> bool {
    let until = Instant::now() + pause;
    loop {
        tokio::select! {
            () = sleep_until(until) => return true,
            transmission = transmissions.recv() => match transmission {
                Some(Transmission { ticket, .. }) => {
                    outbox.tell(LinkEvent::NotSent { ticket, fault: SendFault::Down }).await;
                }
                None => return false,
            },
        }
    }
}

async fn open(settings: &SerialSettings) -> Result<SerialStream, LinkFault> {
    let SerialSettings { path, baud, .. } = settings.clone();
    // The driver of a USB adapter may take its time to open.
    let opened = tokio::task::spawn_blocking(move || {
        tokio_serial::new(path.to_string_lossy(), baud)
            .exclusive(true)
            .open_native_async()
    })
    .await;
    match opened {
        Ok(Ok(port)) => Ok(port),
        Ok(Err(error)) => Err(open_fault(&settings.path, &error)),
        Err(_) => Err(LinkFault::Crashed),
    }
}

fn open_fault(path: &Path, error: &tokio_serial::Error) -> LinkFault {
    let path_buf = path.to_path_buf();
    // The library folds these into others.
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return LinkFault::Missing(path_buf);
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return LinkFault::Denied(path_buf);
        }
        Err(_) => {}
        Ok(metadata) => {
            use std::os::unix::fs::FileTypeExt;
            if !metadata.file_type().is_char_device() {
                return LinkFault::WrongKind(path_buf);
            }
        }
    }
    match error.kind {
        ErrorKind::Io(io::ErrorKind::PermissionDenied) => LinkFault::Denied(path_buf),
        // The library's word for EBUSY and for a lock that another program has.
        ErrorKind::NoDevice => LinkFault::Busy(path_buf),
        _ => LinkFault::Io {
            doing: "opening the port",
            says: format!("{}: {}", path.display(), error.description),
        },
    }
}
