//! Twins of the devices, for tests, benches and daemons built with `sim`.

pub mod ether;
pub mod serial;
pub mod socket;
pub mod sx1262;

use crate::link::{LinkEvent, LinkHandle};
use crate::radio::{self, RadioSettings};
use tokio::sync::mpsc;

/// Starts a link on a virtual radio as a task of the present runtime, so that it
/// runs in that runtime's time, paused or not. [`radio::spawn`] takes a virtual
/// radio too and gives it a thread, as a real one has.
///
/// # Panics
/// Outside a tokio runtime with time.
pub fn spawn_radio(
    settings: RadioSettings,
    chip: sx1262::Radio,
    tag: u8,
    events: mpsc::Sender<(u8, LinkEvent)>,
) -> LinkHandle {
    let (handle, transmissions, running) = LinkHandle::new(tag, events.clone());
    tokio::spawn(async move {
        radio::run(settings, chip, tag, events, transmissions).await;
        drop(running);
    });
    handle
}
