//! The links of the configuration, as the hardware layer's tasks.

use crate::config::{Config, LinkKind, SerialCodec, VirtualRadio};
use crate::engine::seam::{LinkId, Signal};
use pendant_hal::serial::{self, Codec, SerialSettings};
use pendant_hal::{LinkEvent, LinkHandle, Transmission};
use tokio::sync::mpsc;

/// Events that may wait for the loop, of all links together. At SF7 a radio hears
/// at most 16 frames a second; a turn of the loop takes well below a millisecond.
const EVENTS_MAX: usize = 1024;

/// Preamble of the native protocol (docs/protocol.md).
#[cfg(feature = "sim")]
const PREAMBLE_SYMBOLS: u16 = 8;

/// All links, running.
pub struct Links {
    handles: Vec<LinkHandle>,
}

impl Links {
    /// Starts every link of the configuration.
    #[must_use]
    pub fn start(config: &Config) -> (Self, mpsc::Receiver<(u8, LinkEvent)>) {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let handles = (0u8..)
            .zip(&config.links)
            .map(|(tag, link)| start(&link.kind, tag, events.clone()))
            .collect();
        (Self { handles }, receiver)
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

fn start(kind: &LinkKind, tag: u8, events: mpsc::Sender<(u8, LinkEvent)>) -> LinkHandle {
    match kind {
        LinkKind::Serial { path, baud, codec, envelope } => {
            let codec = match codec {
                SerialCodec::Cobs => Codec::Cobs { envelope: *envelope },
                SerialCodec::Rylr998 => Codec::Rylr998,
            };
            serial::spawn(SerialSettings { path: path.clone(), baud: *baud, codec }, tag, events)
        }
        LinkKind::VirtualRadio(radio) => virtual_radio(radio, tag, events),
    }
}

/// A radio in a virtual ether, under the driver of the real one.
#[cfg(feature = "sim")]
fn virtual_radio(
    radio: &VirtualRadio,
    tag: u8,
    events: mpsc::Sender<(u8, LinkEvent)>,
) -> LinkHandle {
    use pendant_hal::radio::{self, RadioSettings};
    use pendant_hal::sim::sx1262::{self, BOARD};

    let settings = RadioSettings {
        frequency_hz: radio.frequency_hz,
        spreading_factor: radio.spreading_factor,
        bandwidth_hz: radio.bandwidth_hz,
        coding_rate_denominator: radio.coding_rate_denominator,
        power_dbm: radio.power_dbm,
        preamble_symbols: PREAMBLE_SYMBOLS,
        private_network: true,
    };
    let (chip, _faults) = sx1262::on_socket(&radio.socket, BOARD);
    radio::spawn(settings, chip, tag, events)
}

#[cfg(not(feature = "sim"))]
fn virtual_radio(_: &VirtualRadio, _: u8, _: mpsc::Sender<(u8, LinkEvent)>) -> LinkHandle {
    unreachable!("the configuration refuses virtual radios in a build without them")
}

/// The engine's form of what a receiver reports.
#[must_use]
pub fn signal(heard: &pendant_hal::Signal) -> Signal {
    Signal {
        rssi_dbm: heard.rssi_dbm,
        snr_quarter_db: heard.snr_quarter_db,
        frequency_hz: heard.frequency_hz,
        spreading_factor: heard.spreading_factor,
    }
}
