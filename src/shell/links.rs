//! The links of the configuration, as the hardware layer's tasks.

use super::radios::{self, Outlet};
use crate::config::{Config, LinkKind, SerialCodec};
use crate::engine::air::AirReport;
use crate::engine::seam::{self, LinkId, Signal};
use pendant_hal::concentrator;
use pendant_hal::radio::account::{Account, Balance, Ledgers};
use pendant_hal::serial::{self, Codec, SerialSettings};
use pendant_hal::{AirQuality, LinkEvent, LinkHandle, Transmission, Wave};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Events that may wait for the loop, of all links together. At SF7 a radio hears
/// at most 16 frames a second; a turn of the loop takes well below a millisecond.
const EVENTS_MAX: usize = 1024;

/// All links, running.
pub struct Links {
    handles: Vec<LinkHandle>,
    /// Of each link that is a radio.
    accounts: Vec<Option<Account>>,
}

impl Links {
    /// Starts every link of the configuration.
    #[must_use]
    pub fn start(config: &Config) -> (Self, mpsc::Receiver<(u8, LinkEvent)>) {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let ledgers = Ledgers::new(Instant::now());
        let mut started = Self { handles: Vec::new(), accounts: Vec::new() };
        for (tag, link) in (0u8..).zip(&config.links) {
            let outlet = Outlet { tag, events: events.clone() };
            let account = link.kind.air().map(|air| radios::account(air, &ledgers));
            started.handles.push(start(&link.kind, account.clone().unwrap_or_default(), outlet));
            started.accounts.push(account);
        }
        (started, receiver)
    }

    /// What a link may transmit and what it did, if it is a radio.
    #[must_use]
    pub fn balance(&self, link: LinkId) -> Option<Balance> {
        let account = self.accounts.get(usize::from(link.0))?.as_ref()?;
        Some(account.balance(Instant::now()))
    }

    /// Hands a transmission to its link. False if the link does not take it now.
    pub fn transmit(&self, link: LinkId, transmission: Transmission) -> bool {
        self.handles
            .get(usize::from(link.0))
            .is_some_and(|handle| handle.transmit.try_send(transmission).is_ok())
    }

    /// Stops all and waits until they have let go of their devices.
    pub async fn stop(self) {
        for handle in self.handles {
            handle.stop().await;
        }
    }
}

fn start(kind: &LinkKind, account: Account, outlet: Outlet) -> LinkHandle {
    match kind {
        LinkKind::Serial { path, baud, codec, envelope, .. } => {
            let codec = match codec {
                SerialCodec::Cobs => Codec::Cobs { envelope: *envelope },
                SerialCodec::Rylr998 => Codec::Rylr998,
                SerialCodec::RakP2p => Codec::RakP2p,
                SerialCodec::E22 => Codec::E22,
                SerialCodec::Meshtastic => Codec::Meshtastic,
                SerialCodec::EchoStream => Codec::EchoStream,
            };
            let settings = SerialSettings { path: path.clone(), baud: *baud, codec };
            serial::spawn(settings, outlet.tag, outlet.events)
        }
        LinkKind::Concentrator(concentrator) => {
            let settings = radios::concentrator(concentrator);
            concentrator::spawn(settings, account, outlet.tag, outlet.events)
        }
        LinkKind::Radio(radio) => radios::start(radio, account, outlet),
        LinkKind::VirtualRadio(radio) => radios::start_virtual(radio, account, outlet),
    }
}

/// The engine's form of what a radio reports of its channel.
#[must_use]
pub const fn air_report(air: &AirQuality) -> AirReport {
    let failures = air.crc_failures.saturating_add(air.header_failures);
    AirReport { noise_dbm: air.noise_dbm, failures, frames: air.frames }
}

/// How a downlink is sent, in the hardware layer's words.
pub(super) fn wave(wave: seam::Wave) -> Wave {
    match wave {
        seam::Wave::Native => Wave::Native,
        seam::Wave::LoRaWan { frequency_hz, spreading_factor, bandwidth_hz } => {
            Wave::LoRaWan { frequency_hz, spreading_factor, bandwidth_hz }
        }
    }
}

/// The engine's form of what a receiver reports.
#[must_use]
pub fn signal(heard: &pendant_hal::Signal) -> Signal {
    Signal {
        rssi_dbm: heard.rssi_dbm,
        snr_quarter_db: heard.snr_quarter_db,
        frequency_hz: heard.frequency_hz,
        spreading_factor: heard.spreading_factor,
        frequency_error_hz: heard.frequency_error_hz,
    }
}
