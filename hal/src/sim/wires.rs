//! A virtual chip on its bus: the SPI bus, the single lines, the antenna.
//!
//! A chip is a state machine that is told the time ([`Machine`]). It has no task
//! of its own: it catches up whenever somebody looks at its lines or speaks to
//! it, so it runs in paused time as well.

use super::ether::{Ether, Outlet, Port};
use super::field;
use super::socket;
use super::waves::Wave;
use crate::link::LinkFault;
use crate::radio::chip::{Antenna, Bus, Lines};
use embedded_hal_async::spi::{ErrorKind, ErrorType, Operation, SpiDevice};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

/// A chip as its pins show it.
pub trait Machine: Send + 'static {
    /// Everything that happens up to `now`, in order.
    fn advance(&mut self, now: Instant);

    /// When something happens next by itself.
    fn next_event(&self) -> Option<Instant>;

    /// One assertion of chip select: as many bytes out as in.
    fn exchange(&mut self, mosi: &[u8], now: Instant) -> Vec<u8>;

    /// Since when the interrupt line is high, if it is.
    fn interrupt(&self) -> Option<Instant>;

    /// Whether the BUSY line is high; a chip without one is never busy.
    fn is_busy(&self, now: Instant) -> bool;

    /// The reset line goes low, or high again.
    fn reset(&mut self, low: bool, now: Instant);

    /// Something begins to arrive at the antenna.
    fn hear(&mut self, wave: Wave);

    /// Where it transmits to from now on.
    fn attach(&mut self, outlet: Outlet);
}

/// Where a chip's antenna is. It is joined to the air anew each time that the
/// bus is opened.
pub(super) enum Place {
    Here(Ether, field::Antenna),
    Socket(PathBuf),
}

impl Place {
    fn port(&self) -> Result<Port, LinkFault> {
        match self {
            Self::Here(ether, antenna) => Ok(ether.port_at(antenna)),
            Self::Socket(path) => socket::connect(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => LinkFault::Missing(path.clone()),
                io::ErrorKind::ConnectionRefused => LinkFault::Gone(path.clone()),
                io::ErrorKind::PermissionDenied => LinkFault::Denied(path.clone()),
                _ => LinkFault::Io {
                    doing: "connecting to the virtual ether",
                    says: error.to_string(),
                },
            }),
        }
    }
}

/// A chip that its pins, its faults and a test look at.
pub(super) struct Shared<M> {
    bench: Mutex<Bench<M>>,
    changed: Notify,
}

struct Bench<M> {
    machine: M,
    /// How long one transfer takes, and until when the last one took.
    transfer: Duration,
    bus_busy_until: Instant,
}

impl<M: Machine> Shared<M> {
    pub(super) fn new(machine: M) -> Arc<Self> {
        let bench = Bench { machine, transfer: Duration::ZERO, bus_busy_until: Instant::now() };
        Arc::new(Self { bench: Mutex::new(bench), changed: Notify::new() })
    }

    /// Does something with the chip as it is now.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut M, Instant) -> T) -> T {
        let now = Instant::now();
        let mut bench = self.bench();
        bench.machine.advance(now);
        look(&mut bench.machine, now)
    }

    /// As [`Self::with`], where the interrupt line may change by it.
    pub(super) fn change<T>(&self, look: impl FnOnce(&mut M, Instant) -> T) -> T {
        let result = self.with(look);
        self.changed.notify_one();
        result
    }

    /// Every transfer takes so long from now on. Virtual time does not pass
    /// meanwhile: the chip is ahead of it until the others catch up.
    pub(super) fn slow_down(&self, transfer: Duration) {
        self.bench().transfer = transfer;
    }

    fn exchange(&self, mosi: &[u8]) -> Vec<u8> {
        let mut bench = self.bench();
        let at = Instant::now().max(bench.bus_busy_until) + bench.transfer;
        bench.bus_busy_until = at;
        bench.machine.advance(at);
        let miso = bench.machine.exchange(mosi, at);
        drop(bench);
        self.changed.notify_one();
        miso
    }

    fn bench(&self) -> MutexGuard<'_, Bench<M>> {
        self.bench.lock().expect("nothing panics while it holds the lock")
    }
}

/// A chip's SPI bus and lines, which can be opened again and again.
pub(super) struct Device<M> {
    pub(super) place: Place,
    pub(super) shared: Arc<Shared<M>>,
}

impl<M: Machine> Bus for Device<M> {
    type Spi = Spi<M>;
    type Lines = Wires<M>;

    fn open(&mut self) -> Result<(Spi<M>, Wires<M>), LinkFault> {
        let Port { outlet, waves } = self.place.port()?;
        self.shared.with(|machine, _| machine.attach(outlet));
        let wires = Wires { waves, shared: Arc::clone(&self.shared) };
        Ok((Spi(Arc::clone(&self.shared)), wires))
    }
}

/// The SPI bus to a virtual chip.
pub struct Spi<M>(Arc<Shared<M>>);

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

impl<M> ErrorType for Spi<M> {
    type Error = SpiError;
}

impl<M: Machine> SpiDevice<u8> for Spi<M> {
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
        let miso = self.0.exchange(&mosi);
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
        Ok(())
    }
}

/// The single lines of a virtual chip, and its antenna.
pub struct Wires<M> {
    waves: mpsc::Receiver<Wave>,
    shared: Arc<Shared<M>>,
}

impl<M: Machine> Lines for Wires<M> {
    async fn dio1(&mut self) -> io::Result<Instant> {
        loop {
            // What has begun to arrive is there before time goes on.
            while let Ok(wave) = self.waves.try_recv() {
                self.shared.with(|machine, _| machine.hear(wave));
            }
            let (since, next) =
                self.shared.with(|machine, _| (machine.interrupt(), machine.next_event()));
            if let Some(since) = since {
                return Ok(since);
            }
            tokio::select! {
                biased;
                wave = self.waves.recv() => match wave {
                    Some(wave) => self.shared.with(|machine, _| machine.hear(wave)),
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
        // Whoever looks has waited for the bus.
        let ahead = self.shared.bench().bus_busy_until;
        Ok(self.shared.with(|machine, now| machine.is_busy(now.max(ahead))))
    }

    fn reset(&mut self, low: bool) -> io::Result<()> {
        self.shared.with(|machine, now| machine.reset(low, now));
        Ok(())
    }

    fn antenna(&mut self, _antenna: Antenna) -> io::Result<()> {
        // The chip switches it.
        Ok(())
    }
}
