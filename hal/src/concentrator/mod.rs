//! A LoRa concentrator (SX1301, SX1302 and kin) behind a packet forwarder that
//! speaks Semtech's UDP protocol, version 2 (Lora-net/packet_forwarder,
//! PROTOCOL.TXT).
//!
//! The protocol has no authentication and no retransmission. So a link listens to
//! one forwarder, known by its EUI, on a port that should be reached from this
//! machine only; what a frame says is believed for its own tag alone; and a
//! datagram that is lost is a frame that the pendant repeats.

mod clock;
mod datagram;
mod packet;
mod reading;
mod session;

pub use datagram::Eui;
pub use packet::{Heard, Verdict};
pub use reading::{Datagram, Says, read};

use crate::airtime::Shape;
use crate::link::{LinkEvent, LinkFault, LinkHandle};
use crate::radio::account::Account;
use std::net::SocketAddr;
use tokio::sync::mpsc;

/// Where a packet forwarder calls, and how answers leave through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcentratorSettings {
    /// UDP address that the forwarder sends to.
    pub listen: SocketAddr,
    /// The forwarder's own number; others are not listened to.
    pub eui: Eui,
    /// Carrier frequency of answers, Hz.
    pub downlink_frequency_hz: u32,
    /// Bandwidth of answers, Hz.
    pub bandwidth_hz: u32,
    /// Denominator of the coding rate of answers, 4/n, 5 to 8.
    pub coding_rate_denominator: u8,
    /// Spreading factor, 5 to 12, of answers to frames that did not say theirs.
    pub spreading_factor: u8,
    /// Power at the concentrator's output, dBm.
    pub power_dbm: i8,
}

impl ConcentratorSettings {
    /// How long an answer of this spreading factor takes.
    fn shape(&self, spreading_factor: u8) -> Shape {
        Shape {
            spreading_factor,
            bandwidth_hz: self.bandwidth_hz,
            coding_rate_denominator: self.coding_rate_denominator,
            preamble_symbols: 8,
            explicit_header: true,
            payload_crc: true,
        }
    }
}

/// Starts a link to a packet forwarder. Its events bear `tag`.
///
/// # Panics
/// Outside a tokio runtime with I/O and time.
pub fn spawn(
    settings: ConcentratorSettings,
    account: Account,
    tag: u8,
    events: mpsc::Sender<(u8, LinkEvent)>,
) -> LinkHandle {
    let (handle, transmissions, running) = LinkHandle::new(tag, events.clone());
    tokio::spawn(async move {
        session::run(settings, account, tag, events, transmissions).await;
        drop(running);
    });
    handle
}

/// Waits until the forwarder calls, as it does every few seconds.
///
/// # Errors
/// What is wrong, and what to do. If the port is taken, the gateway may be running.
pub async fn probe(settings: &ConcentratorSettings) -> Result<(), LinkFault> {
    session::probe(settings).await
}
