//! Serial ports with a receiver behind them.
//!
//! One task a port. It survives unplugging: a port that hangs up is closed at
//! once (a held descriptor makes the kernel give the device another name when it
//! comes back) and opened again by its path, so the path should be one below
//! `/dev/serial/by-id`. What stands on the wire is in `docs/serial.md`.

mod asked;
pub mod cobs;
pub mod e22;
pub mod echostream;
pub mod envelope;
pub mod meshtastic;
mod port;
mod protobuf;
pub mod rak;
pub mod rylr998;
mod session;
mod wire;

use crate::link::{LinkEvent, LinkHandle};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// How to reach a receiver and what it speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialSettings {
    /// The device file; a link below `/dev/serial/by-id` finds the same receiver
    /// in whatever socket it is plugged.
    pub path: PathBuf,
    /// Bits per second; 8 data bits, no parity, 1 stop bit, no flow control.
    pub baud: u32,
    /// What the receiver speaks.
    pub codec: Codec,
}

/// What a serial receiver speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Packets in COBS, delimited by zero.
    Cobs {
        /// Whether each packet is an [`envelope`] that says when and how a frame
        /// was heard and lets the receiver keep the time of answers. Without it a
        /// packet is a bare frame, and the time is the gateway's.
        envelope: bool,
    },
    /// The AT commands of a REYAX RYLR998, frames as base64 text.
    Rylr998,
    /// The AT commands of a RAK module in peer-to-peer mode (RUI3 and before), frames
    /// in hexadecimal digits.
    RakP2p,
    /// Bare frames in COBS through an Ebyte E22 that adds the signal strength.
    E22,
    /// The serial interface of a Meshtastic radio. Receptions are [`meshtastic::Packet`]s,
    /// which nobody has authenticated; nothing can be sent.
    Meshtastic,
    /// An Inovonics EchoStream serial receiver (experimental). Receptions are
    /// [`echostream::Message`]s, which nobody has authenticated; nothing can be sent.
    EchoStream,
}

/// Starts a link on a serial port. Its events bear `tag`.
///
/// # Panics
/// Outside a tokio runtime with I/O and time.
pub fn spawn(
    settings: SerialSettings,
    tag: u8,
    events: mpsc::Sender<(u8, LinkEvent)>,
) -> LinkHandle {
    let (handle, transmissions, running) = LinkHandle::new(tag, events.clone());
    tokio::spawn(async move {
        port::run(settings, tag, events, transmissions).await;
        drop(running);
    });
    handle
}
