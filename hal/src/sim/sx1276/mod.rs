//! A virtual SX1276 under the real driver, at the level of its registers.
//!
//! The chip is a state machine that is told the time (`core`); `registers` knows
//! what they mean. Modelled: the LoRa page as far as lora-phy's driver uses it
//! and a little more: modes, the FIFO with its pointers and wrap, latched flags
//! with mask and DIO0 mapping, airtime, continuous and single reception,
//! timeouts, CRC errors, channel activity detection, RSSI, frequency error,
//! output power. Not modelled: FSK, frequency hopping, the other DIOs, gain.

mod core;
mod registers;
#[cfg(test)]
mod tests;

use self::core::Core;
use super::ether::{Antenna, Ether};
use super::wires::{Device, Place, Shared, Spi, Wires};
use crate::link::LinkFault;
use crate::radio::chip::Bus;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A virtual chip with its wires. Its interrupt line is DIO0; it has no BUSY.
pub struct Sx1276(Device<Core>);

impl Bus for Sx1276 {
    type Spi = Spi<Core>;
    type Lines = Wires<Core>;

    fn open(&mut self) -> Result<(Self::Spi, Self::Lines), LinkFault> {
        self.0.open()
    }
}

/// A chip in an ether of this process, and the means to break it.
pub fn in_ether(ether: &Ether) -> (Sx1276, Faults) {
    at(ether, &Antenna::default())
}

/// A chip on this antenna, and the means to break it.
pub fn at(ether: &Ether, antenna: &Antenna) -> (Sx1276, Faults) {
    chip(Place::Here(ether.clone(), antenna.clone()))
}

/// A chip in the ether behind a socket, which may come and go.
pub fn on_socket(path: &Path) -> (Sx1276, Faults) {
    chip(Place::Socket(path.to_path_buf()))
}

fn chip(place: Place) -> (Sx1276, Faults) {
    let shared = Shared::new(Core::new(Instant::now()));
    let faults = Faults(Arc::clone(&shared));
    (Sx1276(Device { place, shared }), faults)
}

/// Means to break the chip while it runs.
#[derive(Clone)]
pub struct Faults(Arc<Shared<Core>>);

impl Faults {
    /// Lets the payload CRC of the next `n` frames fail.
    pub fn corrupt_payloads(&self, n: u32) {
        self.0.with(|chip, _| chip.faults.corrupt_payloads = n);
    }

    /// Cuts the DIO0 line, or mends it.
    pub fn cut_interrupts(&self, cut: bool) {
        self.0.change(|chip, _| chip.faults.interrupts_cut = cut);
    }

    /// Lets MISO read this byte only, or the chip again.
    pub fn hold_miso(&self, byte: Option<u8>) {
        self.0.with(|chip, _| chip.faults.miso_held = byte);
    }

    /// Lets every transfer take so long, as on a slow or loaded host.
    pub fn slow_bus(&self, transfer: Duration) {
        self.0.slow_down(transfer);
    }

    /// Interrupts the supply for a moment: the chip forgets everything.
    pub fn brown_out(&self) {
        self.0.change(|chip, now| chip.restart(now));
    }

    /// Lets transmissions begin and never end.
    pub fn hold_transmissions(&self, hold: bool) {
        self.0.with(|chip, _| chip.faults.transmissions_held = hold);
    }

    /// What a real chip would have ignored or answered with undefined behaviour.
    /// A good driver leaves this empty.
    pub fn violations(&self) -> Vec<String> {
        self.0.with(|chip, _| chip.violations.clone())
    }
}
