//! A port by its path: opened, served, and opened again when it went away.

use super::SerialSettings;
use super::session::{End, Session};
use crate::link::{LinkEvent, LinkFault, Transmission};
use crate::outage::Outage;
use crate::outbox::Outbox;
use std::io;
use std::path::Path;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_serial::{ErrorKind, SerialPortBuilderExt, SerialStream};

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
                let opened = Instant::now();
                let session = Session::new(port, &settings, &mut outbox, &mut outage);
                match session.run(&mut transmissions).await {
                    End::Stopped => return,
                    End::Fault(fault) => {
                        outage.had_worked_for(opened.elapsed());
                        fault
                    }
                }
            }
            Err(fault) => fault,
        };
        outage.tell(fault, &mut outbox).await;
        if !outage.pause(&mut outbox, &mut transmissions).await {
            return;
        }
    }
}

async fn open(settings: &SerialSettings) -> Result<SerialStream, LinkFault> {
    let SerialSettings { path, baud, .. } = settings.clone();
    // The driver of a USB adapter may take its time to open.
    let opened = tokio::task::spawn_blocking(move || {
        tokio_serial::new(path.to_string_lossy(), baud).exclusive(true).open_native_async()
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
