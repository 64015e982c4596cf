//! Twins of the devices, for tests, benches and daemons built with `sim`.
//!
//! Radios: a chip ([`sx1262`], [`sx1276`]) on its wires, with a receiver
//! (`demodulator`) in an [`ether`] over a field.

pub mod busy;
pub mod chance;
mod demodulator;
pub mod echostream;
pub mod ether;
mod field;
pub mod forwarder;
mod jammer;
pub mod meshtastic;
pub mod serial;
pub mod socket;
pub mod sx1262;
pub mod sx1276;
pub mod waves;
mod wires;
pub mod witness;

use crate::link::{LinkEvent, LinkHandle, Transmission};
use crate::radio::account::Account;
use crate::radio::chip::Sx127x;
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
    spawn_radio_under(settings, chip, Account::default(), tag, events)
}

/// The same, with an account that limits what it may transmit.
///
/// # Panics
/// Outside a tokio runtime with time.
pub fn spawn_radio_under(
    settings: RadioSettings,
    chip: sx1262::Radio,
    account: Account,
    tag: u8,
    events: mpsc::Sender<(u8, LinkEvent)>,
) -> LinkHandle {
    spawn_link(tag, events, |events, transmissions| {
        radio::run(settings, chip, account, tag, events, transmissions)
    })
}

/// The same, on a virtual SX1276.
///
/// # Panics
/// Outside a tokio runtime with time.
pub fn spawn_sx1276(
    settings: RadioSettings,
    chip: Sx127x<sx1276::Sx1276>,
    tag: u8,
    events: mpsc::Sender<(u8, LinkEvent)>,
) -> LinkHandle {
    spawn_link(tag, events, |events, transmissions| {
        radio::run(settings, chip, Account::default(), tag, events, transmissions)
    })
}

/// With a chip of unknown kind the link's future is not known to be `Send`, so
/// each kind makes its own.
fn spawn_link<F: Future<Output = ()> + Send + 'static>(
    tag: u8,
    events: mpsc::Sender<(u8, LinkEvent)>,
    link: impl FnOnce(mpsc::Sender<(u8, LinkEvent)>, mpsc::Receiver<Transmission>) -> F,
) -> LinkHandle {
    let (handle, transmissions, running) = LinkHandle::new(tag, events.clone());
    let link = link(events, transmissions);
    tokio::spawn(async move {
        link.await;
        drop(running);
    });
    handle
}
