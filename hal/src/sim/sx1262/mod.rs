//! A virtual SX1262 under the real driver, at the level of SPI transactions.
//!
//! The chip is a state machine that is told the time (`core`); commands are
//! executed in `commands`, what the antenna hears in `reception`. This file
//! puts it on a [`Bus`] and joins it to an ether.
//!
//! Modelled: the commands and registers that lora-phy uses and a few more, BUSY
//! with the switching times of the datasheet's table 8-2, latched interrupts with
//! mask and DIO1 mapping, status bits, the data buffer with base addresses and
//! wrap, airtime, continuous and single reception, timeouts, errors of header and
//! CRC, channel activity detection, instant RSSI, frequency error, output power,
//! TCXO start, sleep. Not modelled: FSK, duty-cycled reception, image calibration,
//! the air of a continuous wave.

mod commands;
mod core;
mod reception;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;

use self::core::Core;
use super::ether::{Antenna, Ether};
use super::wires::{Device, Place, Shared, Spi, Wires};
use crate::link::LinkFault;
use crate::radio::chip::{Board, Bus, Sx126x};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The chip on its bus, as [`crate::radio::spawn`] takes it.
pub type Radio = Sx126x<Sx1262>;

/// A board with nothing around the chip but what an SX1262 always has.
pub const BOARD: Board = Board {
    low_power_amplifier: false,
    tcxo: None,
    dcdc: true,
    dio2_switches_antenna: true,
    receive_boost: false,
};

/// A radio in an ether of this process, and the means to break it.
pub fn in_ether(ether: &Ether, board: Board) -> (Radio, Faults) {
    at(ether, &Antenna::default(), board)
}

/// A radio on this antenna, and the means to break it.
pub fn at(ether: &Ether, antenna: &Antenna, board: Board) -> (Radio, Faults) {
    radio(Place::Here(ether.clone(), antenna.clone()), board)
}

/// A radio in the ether behind a socket. The socket may appear later, and go
/// away and come back: to the link it is a radio that is down.
pub fn on_socket(path: &Path, board: Board) -> (Radio, Faults) {
    radio(Place::Socket(path.to_path_buf()), board)
}

fn radio(place: Place, board: Board) -> (Radio, Faults) {
    let shared = Shared::new(Core::new(Instant::now()));
    let faults = Faults(Arc::clone(&shared));
    (Sx126x::new(Sx1262(Device { place, shared }), board), faults)
}

/// A virtual chip with its wires.
pub struct Sx1262(Device<Core>);

impl Bus for Sx1262 {
    type Spi = Spi<Core>;
    type Lines = Wires<Core>;

    fn open(&mut self) -> Result<(Self::Spi, Self::Lines), LinkFault> {
        self.0.open()
    }
}

/// Means to break the chip while it runs.
#[derive(Clone)]
pub struct Faults(Arc<Shared<Core>>);

impl Faults {
    /// Holds BUSY high, or lets it go.
    pub fn hold_busy(&self, hold: bool) {
        self.0.with(|chip, _| chip.faults.busy_held = hold);
    }

    /// Lets the payload CRC of the next `n` frames fail.
    pub fn corrupt_payloads(&self, n: u32) {
        self.0.with(|chip, _| chip.faults.corrupt_payloads = n);
    }

    /// Lets the header of the next `n` frames fail.
    pub fn corrupt_headers(&self, n: u32) {
        self.0.with(|chip, _| chip.faults.corrupt_headers = n);
    }

    /// Cuts the DIO1 line, or mends it.
    pub fn cut_interrupts(&self, cut: bool) {
        self.0.change(|chip, _| chip.faults.interrupts_cut = cut);
    }

    /// The next `n` times that DIO1 ought to rise, it does not.
    pub fn lose_interrupts(&self, n: u32) {
        self.0.with(|chip, _| chip.faults.interrupts_lost = n);
    }

    /// Lets MISO read this byte only, or the chip again.
    pub fn hold_miso(&self, byte: Option<u8>) {
        self.0.with(|chip, _| chip.faults.miso_held = byte);
    }

    /// Lets MISO read rubbish in the next `n` transfers.
    pub fn garble_miso(&self, n: u32) {
        self.0.with(|chip, _| chip.faults.miso_garbled = n);
    }

    /// Lets every transfer take so long, as on a slow or loaded host.
    pub fn slow_bus(&self, transfer: Duration) {
        self.0.slow_down(transfer);
    }

    /// The board's oscillator is a TCXO that DIO3 feeds: nothing but standby
    /// works until the driver has said so (section 13.3.6).
    pub fn need_tcxo(&self) {
        self.0.with(|chip, _| chip.faults.needs_tcxo = true);
    }

    /// Interrupts the supply for a moment: the chip forgets everything.
    pub fn brown_out(&self) {
        self.0.change(|chip, now| chip.restart(now));
    }

    /// Lets transmissions begin and never end.
    pub fn hold_transmissions(&self, hold: bool) {
        self.0.with(|chip, _| chip.faults.transmissions_held = hold);
    }

    /// What a real chip would have answered with undefined behaviour, such as a
    /// transfer while BUSY was high. A good driver leaves this empty.
    pub fn violations(&self) -> Vec<String> {
        self.0.with(|chip, _| chip.violations.clone())
    }
}
