//! A virtual SX1262 under the real driver, at the level of SPI transactions.
//!
//! The chip is a state machine that is told the time (`core`); commands are
//! executed in `commands`, what the antenna hears in `reception`. This file
//! puts it on a [`Bus`] and joins it to an ether. It has no task of its own: it
//! catches up whenever somebody looks at its lines or speaks to it, so it runs
//! in paused time as well.
//!
//! Modelled: the commands and registers that lora-phy uses and a few more, BUSY
//! with the switching times of the datasheet's table 8-2, latched interrupts with
//! mask and DIO1 mapping, status bits, the data buffer with base addresses and
//! wrap, airtime, continuous and single reception, timeouts, collisions on one
//! channel, channel activity detection, instant RSSI, TCXO start, sleep. Not
//! modelled: FSK, duty-cycled reception, power, image calibration.

mod commands;
mod core;
mod reception;
#[cfg(test)]
mod tests;

use self::core::Core;
use super::ether::{Arrival, Ether, Port};
use super::socket;
use crate::link::LinkFault;
use crate::radio::chip::{Antenna, Board, Bus, Lines, Sx126x};
use embedded_hal_async::spi::{ErrorKind, ErrorType, Operation, SpiDevice};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

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
    radio(Air::Here(ether.clone()), board)
}

/// A radio in the ether behind a socket. The socket may appear later, and go
/// away and come back: to the link it is a radio that is down.
pub fn on_socket(path: &Path, board: Board) -> (Radio, Faults) {
    radio(Air::Socket(path.to_path_buf()), board)
}

fn radio(air: Air, board: Board) -> (Radio, Faults) {
    let shared =
        Arc::new(Shared { core: Mutex::new(Core::new(Instant::now())), changed: Notify::new() });
    let faults = Faults(Arc::clone(&shared));
    (Sx126x::new(Sx1262 { air, shared }, board), faults)
}

/// A virtual chip with its wires.
pub struct Sx1262 {
    air: Air,
    shared: Arc<Shared>,
}

enum Air {
    Here(Ether),
    Socket(PathBuf),
}

struct Shared {
    core: Mutex<Core>,
    changed: Notify,
}

impl Shared {
    /// The chip as it is now.
    fn core(&self) -> MutexGuard<'_, Core> {
        let mut core = self.core.lock().expect("nothing panics while it holds the lock");
        core.advance(Instant::now());
        core
    }
}

impl Bus for Sx1262 {
    type Spi = Spi;
    type Lines = Wires;

    fn open(&mut self) -> Result<(Spi, Wires), LinkFault> {
        let Port { outlet, arrivals } = match &self.air {
            Air::Here(ether) => ether.port(),
            Air::Socket(path) => socket::connect(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => LinkFault::Missing(path.clone()),
                io::ErrorKind::ConnectionRefused => LinkFault::Gone(path.clone()),
                io::ErrorKind::PermissionDenied => LinkFault::Denied(path.clone()),
                _ => LinkFault::Io {
                    doing: "connecting to the virtual ether",
                    says: error.to_string(),
                },
            })?,
        };
        self.shared.core().outlet = Some(outlet);
        let wires = Wires { arrivals, shared: Arc::clone(&self.shared) };
        Ok((Spi(Arc::clone(&self.shared)), wires))
    }
}

/// Means to break the chip while it runs.
#[derive(Clone)]
pub struct Faults(Arc<Shared>);

impl Faults {
    /// Holds BUSY high, or lets it go.
    pub fn hold_busy(&self, hold: bool) {
        self.0.core().faults.busy_held = hold;
    }

    /// Lets the payload CRC of the next `n` frames fail.
    pub fn corrupt_payloads(&self, n: u32) {
        self.0.core().faults.corrupt_payloads = n;
    }

    /// Lets the header of the next `n` frames fail.
    pub fn corrupt_headers(&self, n: u32) {
        self.0.core().faults.corrupt_headers = n;
    }

    /// Cuts the DIO1 line, or mends it.
    pub fn cut_interrupts(&self, cut: bool) {
        self.0.core().faults.interrupts_cut = cut;
        self.0.changed.notify_one();
    }

    /// Lets MISO read this byte only, or the chip again.
    pub fn hold_miso(&self, byte: Option<u8>) {
        self.0.core().faults.miso_held = byte;
    }

    /// Interrupts the supply for a moment: the chip forgets everything.
    pub fn brown_out(&self) {
        let now = Instant::now();
        self.0.core().restart(now);
        self.0.changed.notify_one();
    }

    /// Lets transmissions begin and never end.
    pub fn hold_transmissions(&self, hold: bool) {
        self.0.core().faults.transmissions_held = hold;
    }

    /// What a real chip would have answered with undefined behaviour, such as a
    /// transfer while BUSY was high. A good driver leaves this empty.
    pub fn violations(&self) -> Vec<String> {
        self.0.core().violations.clone()
    }
}

/// The SPI bus to a virtual chip.
pub struct Spi(Arc<Shared>);

/// A virtual bus does not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpiError;

impl fmt::Display for SpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a transfer that SPI knows")
    }
}

impl embedded_hal_async::spi::Error for SpiError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl ErrorType for Spi {
    type Error = SpiError;
}

impl SpiDevice<u8> for Spi {
    async fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), SpiError> {
        // Chip select is low for the whole transaction: one exchange of bytes.
        let mut mosi = Vec::new();
        for operation in operations.iter() {
            match operation {
                Operation::Write(bytes) => mosi.extend_from_slice(bytes),
                Operation::Read(bytes) => mosi.resize(mosi.len() + bytes.len(), 0),
                Operation::Transfer(read, write) => {
                    mosi.extend_from_slice(write);
                    mosi.resize(mosi.len() + read.len().saturating_sub(write.len()), 0);
                }
                Operation::TransferInPlace(bytes) => mosi.extend_from_slice(bytes),
                Operation::DelayNs(_) => {}
            }
        }
        let miso = self.0.core().exchange(&mosi, Instant::now());
        let mut at = 0;
        for operation in operations.iter_mut() {
            match operation {
                Operation::Write(bytes) => at += bytes.len(),
                Operation::Transfer(read, write) => {
                    read.copy_from_slice(&miso[at..at + read.len()]);
                    at += read.len().max(write.len());
                }
                Operation::Read(bytes) | Operation::TransferInPlace(bytes) => {
                    bytes.copy_from_slice(&miso[at..at + bytes.len()]);
                    at += bytes.len();
                }
                Operation::DelayNs(_) => {}
            }
        }
        self.0.changed.notify_one();
        Ok(())
    }
}

/// The single lines of a virtual chip, and its antenna.
pub struct Wires {
    arrivals: mpsc::Receiver<Arrival>,
    shared: Arc<Shared>,
}

impl Lines for Wires {
    async fn dio1(&mut self) -> io::Result<Instant> {
        loop {
            let next = {
                let core = self.shared.core();
                if let Some(since) = core.dio1() {
                    return Ok(since);
                }
                core.next_event()
            };
            tokio::select! {
                biased;
                arrival = self.arrivals.recv() => match arrival {
                    Some(arrival) => self.shared.core().hear(arrival),
                    None => return Err(io::Error::new(
                        io::ErrorKind::NotConnected,
                        "the virtual ether went away",
                    )),
                },
                () = self.shared.changed.notified() => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    fn busy(&mut self) -> io::Result<bool> {
        Ok(self.shared.core().is_busy(Instant::now()))
    }

    fn reset(&mut self, low: bool) -> io::Result<()> {
        self.shared.core().reset(low, Instant::now());
        Ok(())
    }

    fn antenna(&mut self, _antenna: Antenna) -> io::Result<()> {
        // DIO2 switches it.
        Ok(())
    }
}
