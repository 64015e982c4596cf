//! A radio on this machine's own pins: SPI through spidev, single lines through
//! the GPIO character device.
//!
//! Transfers block the radio's thread for as long as they take on the wire: a
//! frame of 24 bytes at 2 MHz, 0.1 ms. The interrupt line's edges bear the
//! kernel's time, so that the end of a frame is known however late the thread
//! wakes; its level is looked at before any wait, since an edge that came before
//! tells nothing any more.

use super::chip::{Antenna, Bus, Lines};
use crate::link::{LineFault, LinkFault};
use embedded_hal_async::spi::{ErrorKind, ErrorType, Operation, SpiDevice};
use gpiocdev::Request;
use gpiocdev::line::{Drive, EdgeDetection, EdgeKind, Value};
use spidev::{SpiModeFlags, Spidev, SpidevOptions, SpidevTransfer};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// What this program calls itself to the kernel, which shows it to whoever asks
/// for the holder of a line.
pub const CONSUMER: &str = "pendant-gateway";

/// How a radio is wired to this machine. Lines are numbered as on the GPIO chip,
/// not as on the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// The SPI device: its bus and chip select.
    pub spi: PathBuf,
    /// Clock of the SPI bus, Hz.
    pub spi_hz: u32,
    /// The GPIO chip of all lines.
    pub gpiochip: PathBuf,
    /// DIO1 of an SX126x, DIO0 of an SX127x.
    pub irq_line: u32,
    /// NRESET.
    pub reset_line: u32,
    /// BUSY; an SX127x has none.
    pub busy_line: Option<u32>,
    /// High while the radio transmits.
    pub transmit_line: Option<u32>,
    /// High while the radio receives.
    pub receive_line: Option<u32>,
    /// Always high: what else the board wants switched on.
    pub enable_lines: Vec<u32>,
}

impl Bus for Wiring {
    type Spi = Spi;
    type Lines = GpioLines;

    fn open(&mut self) -> Result<(Spi, GpioLines), LinkFault> {
        let spi = self.open_spi()?;
        Ok((spi, GpioLines::open(self)?))
    }
}

impl Wiring {
    fn open_spi(&self) -> Result<Spi, LinkFault> {
        let path = &self.spi;
        let mut device = Spidev::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LinkFault::NoSpi(path.clone()),
            io::ErrorKind::PermissionDenied => LinkFault::Denied(path.clone()),
            _ => LinkFault::Io {
                doing: "opening the SPI device",
                says: format!("{}: {error}", path.display()),
            },
        })?;
        let options = SpidevOptions::new()
            .bits_per_word(8)
            .max_speed_hz(self.spi_hz)
            .mode(SpiModeFlags::SPI_MODE_0)
            .build();
        device.configure(&options).map_err(|error| match error.raw_os_error() {
            // Every SPI device takes these options. A GPIO chip finds them invalid.
            Some(libc::ENOTTY | libc::EINVAL) => LinkFault::WrongKind(path.clone()),
            _ => LinkFault::Io { doing: "setting up the SPI device", says: error.to_string() },
        })?;
        Ok(Spi(device))
    }

    /// One line, with what a fault of it is called.
    fn line(
        &self,
        role: &'static str,
        line: u32,
        set: impl FnOnce(&mut gpiocdev::request::Builder),
    ) -> Result<Request, LinkFault> {
        let mut builder = Request::builder();
        builder.on_chip(&self.gpiochip).with_consumer(CONSUMER).with_line(line);
        set(&mut builder);
        builder.request().map_err(|error| self.line_fault(role, line, &error))
    }

    fn line_fault(&self, role: &'static str, line: u32, error: &gpiocdev::Error) -> LinkFault {
        let chip = self.gpiochip.clone();
        let why = match error {
            gpiocdev::Error::GpioChip(..) => return LinkFault::WrongKind(chip),
            _ => match system_error(error) {
                Some(libc::ENOENT) => return LinkFault::NoGpio(chip),
                Some(libc::EACCES | libc::EPERM) => return LinkFault::Denied(chip),
                Some(libc::EBUSY) => LineFault::Taken { by: self.holder(line) },
                Some(libc::EINVAL) => LineFault::Absent,
                Some(libc::ENXIO) => LineFault::NoEdges,
                _ => LineFault::Io(error.to_string()),
            },
        };
        LinkFault::Line { role, line, why }
    }

    /// What the holder of a line calls itself.
    fn holder(&self, line: u32) -> String {
        let chip = gpiocdev::Chip::from_path(&self.gpiochip);
        let info = chip.and_then(|chip| chip.line_info(line));
        info.map(|info| info.consumer).unwrap_or_default()
    }
}

/// The number of the operating system's error, if it is one.
fn system_error(error: &gpiocdev::Error) -> Option<i32> {
    match error {
        gpiocdev::Error::Os(errno) | gpiocdev::Error::Uapi(_, gpiocdev_uapi::Error::Os(errno)) => {
            Some(errno.0)
        }
        _ => None,
    }
}

/// An SPI device of this machine.
pub struct Spi(Spidev);

/// The kernel's word about a transfer.
#[derive(Debug)]
pub struct SpiError(io::Error);

impl fmt::Display for SpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
    /// One message to the kernel, so one assertion of chip select.
    async fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), SpiError> {
        let mut transfers: Vec<SpidevTransfer<'_, '_>> = operations
            .iter_mut()
            .map(|operation| match operation {
                Operation::Read(into) => SpidevTransfer::read(into),
                Operation::Write(bytes) => SpidevTransfer::write(bytes),
                Operation::Transfer(into, bytes) => SpidevTransfer::read_write(bytes, into),
                Operation::TransferInPlace(_) => {
                    unreachable!("lora-phy's driver only reads and writes")
                }
                Operation::DelayNs(ns) => {
                    SpidevTransfer::delay(ns.div_ceil(1000).try_into().unwrap_or(u16::MAX))
                }
            })
            .collect();
        self.0.transfer_multiple(&mut transfers).map_err(SpiError)
    }
}

/// The single lines of a radio.
pub struct GpioLines {
    irq: AsyncFd<Request>,
    /// When the line rose, of an edge that nobody was told of yet.
    rose: Option<Instant>,
    clock: KernelClock,
    irq_line: u32,
    reset: (Request, u32),
    busy: Option<(Request, u32)>,
    transmit: Option<(Request, u32)>,
    receive: Option<(Request, u32)>,
    /// Held high for as long as they are held.
    _enable: Vec<Request>,
}

impl GpioLines {
    fn open(wiring: &Wiring) -> Result<Self, LinkFault> {
        let output = |role, line: u32, value| {
            wiring.line(role, line, |builder| {
                builder.as_output(value);
            })
        };
        let switch = |role, line: Option<u32>| {
            line.map(|line| Ok((output(role, line, Value::Inactive)?, line))).transpose()
        };
        let irq = wiring.line("interrupt", wiring.irq_line, |builder| {
            builder.as_input().with_edge_detection(EdgeDetection::RisingEdge);
        })?;
        let busy = wiring.busy_line.map(|line| {
            let request = wiring.line("BUSY", line, |builder| {
                builder.as_input();
            });
            Ok((request?, line))
        });
        // The chip pulls it up by itself; the SX127x wants it left alone.
        let reset = wiring.line("RESET", wiring.reset_line, |builder| {
            builder.as_output(Value::Active).with_drive(Drive::OpenDrain);
        })?;
        let enable = wiring.enable_lines.iter();
        // SAFETY: a `Request` owns its file descriptor, which stays the same and
        // open for as long as the request lives, and the `AsyncFd` owns the request.
        #[expect(unsafe_code, reason = "tokio asks for a promise about the file descriptor")]
        let irq = unsafe { AsyncFd::register_with_interest(irq, Interest::READABLE) };
        let irq = irq.map_err(|error| LinkFault::Io {
            doing: "watching the interrupt line",
            says: io::Error::from(error).to_string(),
        })?;
        Ok(Self {
            irq,
            rose: None,
            clock: KernelClock::new(),
            irq_line: wiring.irq_line,
            reset: (reset, wiring.reset_line),
            busy: busy.transpose()?,
            transmit: switch("antenna to transmitter", wiring.transmit_line)?,
            receive: switch("antenna to receiver", wiring.receive_line)?,
            _enable: enable
                .map(|line| output("always on", *line, Value::Active))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Takes all edges that have come; the last one counts.
    fn take_edges(&mut self) -> io::Result<()> {
        while self.irq.get_ref().has_edge_event().map_err(io_error)? {
            let edge = self.irq.get_ref().read_edge_event().map_err(io_error)?;
            if edge.kind == EdgeKind::Rising {
                self.rose = Some(self.clock.instant_of(edge.timestamp_ns));
            }
        }
        Ok(())
    }
}

impl Lines for GpioLines {
    async fn dio1(&mut self) -> io::Result<Instant> {
        loop {
            self.take_edges()?;
            let level = self.irq.get_ref().value(self.irq_line).map_err(io_error)?;
            // An edge is told once: a line that stays high rose before.
            let rose = self.rose.take();
            if level == Value::Active {
                return Ok(rose.unwrap_or_else(Instant::now));
            }
            // Cleared before the edges are taken above, so none is missed.
            self.irq.readable().await?.clear_ready();
        }
    }

    fn busy(&mut self) -> io::Result<bool> {
        match &self.busy {
            Some((request, line)) => Ok(request.value(*line).map_err(io_error)? == Value::Active),
            None => Ok(false),
        }
    }

    fn reset(&mut self, low: bool) -> io::Result<()> {
        let value = if low { Value::Inactive } else { Value::Active };
        self.reset.0.set_value(self.reset.1, value).map_err(io_error)
    }

    fn antenna(&mut self, antenna: Antenna) -> io::Result<()> {
        let set = |switch: &Option<(Request, u32)>, on: bool| match switch {
            Some((request, line)) => {
                let value = if on { Value::Active } else { Value::Inactive };
                request.set_value(*line, value).map_err(io_error)
            }
            None => Ok(()),
        };
        // Never both at once.
        if antenna == Antenna::Transmit {
            set(&self.receive, false)?;
            set(&self.transmit, true)
        } else {
            set(&self.transmit, false)?;
            set(&self.receive, antenna == Antenna::Receive)
        }
    }
}

fn io_error(error: gpiocdev::Error) -> io::Error {
    match system_error(&error) {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::other(error),
    }
}

/// The kernel's monotonic clock in the runtime's terms. They are one clock, but
/// neither tells its number in the other's; so both are read at one moment, once:
/// a thread that is interrupted between two readings would be off by that.
#[derive(Clone, Copy)]
struct KernelClock {
    now: Instant,
    ns: u64,
}

/// Of so many pairs of readings the closest counts.
const READINGS: u32 = 32;

impl KernelClock {
    fn new() -> Self {
        let reading = |_| {
            let (before_ns, now, after_ns) = (kernel_ns(), Instant::now(), kernel_ns());
            (after_ns - before_ns, Self { now, ns: before_ns.midpoint(after_ns) })
        };
        let (_, closest) =
            (0..READINGS).map(reading).min_by_key(|(apart, _)| *apart).expect("there are some");
        closest
    }

    fn instant_of(self, timestamp_ns: u64) -> Instant {
        let apart = Duration::from_nanos(timestamp_ns.abs_diff(self.ns));
        let at = if timestamp_ns < self.ns {
            self.now.checked_sub(apart)
        } else {
            self.now.checked_add(apart)
        };
        at.unwrap_or(self.now)
    }
}

fn kernel_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let whole = |part| u64::try_from(part).expect("the monotonic clock is not negative");
    whole(time.tv_sec) * 1_000_000_000 + whole(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn wiring(folder: &Path) -> Wiring {
        Wiring {
            spi: folder.join("spidev0.0"),
            spi_hz: 2_000_000,
            gpiochip: folder.join("gpiochip0"),
            irq_line: 16,
            reset_line: 18,
            busy_line: Some(20),
            transmit_line: None,
            receive_line: None,
            enable_lines: vec![],
        }
    }

    /// What can be seen of faults without the hardware: files in the places of
    /// devices. With devices: `tests/guest`.
    #[test]
    fn what_is_missing_or_no_device_is_told_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let wiring = wiring(folder.path());
        let fault = |result: Result<_, LinkFault>| result.err().map(|fault| fault.to_string());
        let told = fault(wiring.open_spi().map(drop)).expect("there is nothing");
        assert!(told.contains("dtparam=spi=on"), "{told}");
        std::fs::write(&wiring.spi, []).expect("a file");
        assert_eq!(wiring.open_spi().err(), Some(LinkFault::WrongKind(wiring.spi.clone())));
        let told = fault(wiring.line("BUSY", 20, |_| {}).map(drop)).expect("there is nothing");
        assert!(told.contains("gpiodetect"), "{told}");
        std::fs::write(&wiring.gpiochip, []).expect("a file");
        let not_one = wiring.line("BUSY", 20, |_| {}).err();
        assert_eq!(not_one, Some(LinkFault::WrongKind(wiring.gpiochip.clone())));
    }

    #[test]
    fn faults_of_a_line_say_which_and_what_to_do() {
        let wiring = wiring(Path::new("/dev"));
        let fault = |errno| {
            let error = gpiocdev::Error::Os(gpiocdev_uapi::Errno(errno));
            wiring.line_fault("BUSY", 20, &error).to_string()
        };
        // Who holds it can be asked of a kernel only: `tests/guest`.
        assert!(fault(libc::EBUSY).contains("line 20 (BUSY) is held by somebody else"));
        assert!(fault(libc::ENXIO).contains("line 20 (BUSY) tells of no edges"));
        assert!(fault(libc::EINVAL).contains("no line 20 (BUSY)"));
        assert!(fault(libc::EACCES).contains("gpio"));
    }

    #[test]
    fn the_kernel_s_time_of_an_edge_becomes_the_runtime_s() {
        let clock = KernelClock::new();
        for _ in 0..100 {
            let (before, ns, after) = (Instant::now(), kernel_ns(), Instant::now());
            let at = clock.instant_of(ns);
            let slack = Duration::from_micros(5);
            assert!(before - slack < at && at < after + slack, "{:?}", at - before);
            let earlier = clock.instant_of(ns - 1_000_000_000);
            assert_eq!(at - earlier, Duration::from_secs(1));
        }
    }
}
