//! What lies between lora-phy's driver and the wires, and what it tells the
//! link's task that the driver does not.
//!
//! [`Snoop`] reads the answers to `GetIrqStatus` and `GetPacketStatus` on their
//! way: the driver returns a frame with a CRC error as if it were good, and
//! rounds the signal-to-noise ratio. [`Interface`] ends the driver's wait for an
//! interrupt when a transmission is due, and asks the chip itself now and then,
//! so that a lost interrupt or a reset chip is found.

use super::chip::{Antenna, Lines};
use super::desk::Desk;
use crate::link::{LinkCount, LinkFault, Reception};
use crate::outbox::Outbox;
use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::spi::{ErrorKind, ErrorType, Operation, SpiDevice};
use lora_phy::mod_params::RadioError;
use lora_phy::mod_traits::InterfaceVariant;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Interrupts of an SX126x (SX1261/2 datasheet rev 2.1, table 13-29).
pub(crate) mod irq {
    pub(crate) const HEADER_ERROR: u16 = 0x0020;
    pub(crate) const CRC_ERROR: u16 = 0x0040;
}

/// A silent receiver is asked this often how it is.
const POLL: Duration = Duration::from_secs(1);

/// BUSY is looked at this often without a pause, which bridges the few
/// microseconds of an ordinary command, and then once a millisecond.
const BUSY_LOOKS: u32 = 32;

/// The longest that an SX126x is busy is 3.5 ms, with a TCXO 14 ms
/// (SX1261/2 datasheet rev 2.1, sections 8.3 and 13.3.6).
const BUSY_MAX: Duration = Duration::from_millis(100);

/// Interrupts without a reason, or reasons without an interrupt, in a row, after
/// which the line is held to be broken.
const ODD_INTERRUPTS_MAX: u32 = 3;

/// Registers in the chip's retention list, at most (section 9.6).
const RETAINED_MAX: u8 = 4;

/// Chip mode in bits 6:4 of the status byte (table 13-76).
const MODE_STANDBY_RC: u8 = 2;
const MODE_TX: u8 = 6;

/// What the link's task knows of the chip beside the driver.
#[derive(Clone)]
pub struct Watch {
    state: Arc<Mutex<State>>,
    desk: Desk,
    tally: Tally,
}

/// What the radio's task and the wires below the driver both add to: frames and
/// counts, which never wait.
#[derive(Clone)]
pub(super) struct Tally(Arc<Mutex<Outbox>>);

impl Tally {
    pub(super) fn new(outbox: Outbox) -> Self {
        Self(Arc::new(Mutex::new(outbox)))
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }

    /// Called at every interrupt and every poll, so nothing stays untold for
    /// longer than a poll and the interval of counts.
    fn tell(&self) {
        let mut outbox = self.outbox();
        if outbox.counts_due().is_some_and(|due| due <= Instant::now()) {
            outbox.tell_counts();
        }
    }
}

struct State {
    /// While a transmission runs: when it must have ended at the latest.
    transmit_until: Option<Instant>,
    next_poll: Instant,
    woken_by: Woken,
    irq_at: Instant,
    irq_flags: u16,
    rssi_half_db: u8,
    snr_quarter_db: i8,
    odd_interrupts: u32,
    fault: Option<LinkFault>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Woken {
    /// Nobody has waited yet.
    Not,
    ByLine,
    ByClock,
}

/// What was snooped of the frame that was received last.
pub(super) struct Snooped {
    pub(super) ended: Instant,
    pub(super) crc_error: bool,
    pub(super) rssi_dbm: i16,
    pub(super) snr_quarter_db: i16,
}

impl Watch {
    pub(super) fn new(desk: Desk, tally: Tally) -> Self {
        let now = Instant::now();
        let state = State {
            transmit_until: None,
            next_poll: now + POLL,
            woken_by: Woken::Not,
            irq_at: now,
            irq_flags: 0,
            rssi_half_db: 0,
            snr_quarter_db: 0,
            odd_interrupts: 0,
            fault: None,
        };
        Self { state: Arc::new(Mutex::new(state)), desk, tally }
    }

    /// The next wait is for the end of a transmission that takes so long.
    pub(super) fn transmitting(&self, airtime: Duration) {
        let mut state = self.state();
        let ends = Instant::now() + airtime;
        // A chip that starts with its oscillator off may be late by that.
        state.next_poll = ends + Duration::from_millis(30);
        state.transmit_until = Some(ends + Duration::from_millis(200));
    }

    /// The next wait is for a frame.
    pub(super) fn receiving(&self) {
        self.state().transmit_until = None;
    }

    pub(super) fn snooped(&self) -> Snooped {
        let state = self.state();
        Snooped {
            ended: state.irq_at,
            crc_error: state.irq_flags & irq::CRC_ERROR != 0,
            rssi_dbm: -i16::from(state.rssi_half_db) / 2,
            snr_quarter_db: i16::from(state.snr_quarter_db),
        }
    }

    pub(super) fn count(&self, count: LinkCount) {
        self.tally.outbox().count(count);
    }

    /// Hands a frame over.
    pub(super) fn receive(&self, reception: Reception) {
        self.tally.outbox().receive(reception);
    }

    /// Why the last error came, if more is known than the driver says.
    pub(super) fn take_fault(&self) -> Option<LinkFault> {
        self.state().fault.take()
    }

    fn blame(&self, fault: LinkFault) {
        self.state().fault.get_or_insert(fault);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    /// Learns from an answer of the chip. An error means that no chip speaks.
    fn learn(&self, command: &[u8], answer: &[u8]) -> Result<(), LinkFault> {
        match (command, answer) {
            (&[0x12], &[status, high, low]) => {
                self.learn_irq(status, u16::from_be_bytes([high, low]))
            }
            (&[0x14], &[_, rssi, snr, _]) => {
                let mut state = self.state();
                state.rssi_half_db = rssi;
                state.snr_quarter_db = i8::from_le_bytes([snr]);
                Ok(())
            }
            // The driver trusts this length with its own memory.
            (&[0x1D, 0x02, 0x9F, _], &[retained, ..]) if retained > RETAINED_MAX => {
                Err(LinkFault::NoChip)
            }
            _ => Ok(()),
        }
    }

    fn learn_irq(&self, status: u8, flags: u16) -> Result<(), LinkFault> {
        let mode = status >> 4 & 7;
        if !(MODE_STANDBY_RC..=MODE_TX).contains(&mode) {
            return Err(LinkFault::NoChip);
        }
        let mut state = self.state();
        state.irq_flags = flags;
        if flags & irq::HEADER_ERROR != 0 {
            self.count(LinkCount::PhyHeader(1));
        }
        match (state.woken_by, flags != 0) {
            (Woken::Not, _) => {}
            (Woken::ByLine, true) => state.odd_interrupts = 0,
            (Woken::ByClock, false) => {
                // A chip that was reset has forgotten everything.
                if mode == MODE_STANDBY_RC {
                    return Err(LinkFault::ChipReset);
                }
            }
            (Woken::ByLine, false) => state.odd_interrupts += 1,
            (Woken::ByClock, true) => {
                state.odd_interrupts += 1;
                self.count(LinkCount::LostIrq(1));
            }
        }
        if state.odd_interrupts > ODD_INTERRUPTS_MAX {
            return Err(LinkFault::IrqLine);
        }
        Ok(())
    }
}

/// The SPI bus with an ear on it.
pub struct Snoop<S> {
    spi: S,
    watch: Watch,
}

impl<S> Snoop<S> {
    /// Listens on `spi` for `watch`.
    pub fn new(spi: S, watch: Watch) -> Self {
        Self { spi, watch }
    }
}

/// The bus failed, or no chip is on it; the watch knows which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusError;

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the SPI bus failed or no chip is on it")
    }
}

impl embedded_hal_async::spi::Error for BusError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl<S> ErrorType for Snoop<S> {
    type Error = BusError;
}

/// Longest command or answer that [`Watch::learn`] looks at, bytes.
const SNOOPED_BYTES: usize = 16;

impl<S: SpiDevice<u8>> SpiDevice<u8> for Snoop<S> {
    async fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), BusError> {
        if let Err(error) = self.spi.transaction(operations).await {
            self.watch.blame(LinkFault::Io {
                doing: "talking to the radio over SPI",
                says: format!("{error:?}"),
            });
            return Err(BusError);
        }
        let mut command = Vec::with_capacity(SNOOPED_BYTES);
        let mut answer = Vec::with_capacity(SNOOPED_BYTES);
        for operation in operations.iter() {
            match operation {
                Operation::Write(bytes) if bytes.len() <= SNOOPED_BYTES => command.extend(*bytes),
                Operation::Read(bytes) if bytes.len() <= SNOOPED_BYTES => answer.extend(&**bytes),
                // Payloads tell nothing about the chip.
                _ => return Ok(()),
            }
        }
        self.watch.learn(&command, &answer).map_err(|fault| {
            self.watch.blame(fault);
            BusError
        })
    }
}

/// The single lines as lora-phy wants them.
pub struct Interface<L> {
    lines: L,
    watch: Watch,
}

impl<L: Lines> Interface<L> {
    /// The lines of a chip that `watch` knows.
    pub fn new(lines: L, watch: Watch) -> Self {
        Self { lines, watch }
    }

    /// A wait that nothing but the chip's line and the clock may end.
    async fn await_transmitted(&mut self, until: Instant) -> Result<(), RadioError> {
        let poll = self.watch.state().next_poll.min(until);
        let woken = tokio::select! {
            biased;
            at = self.lines.dio1() => Some(at),
            () = sleep_until(poll) => None,
        };
        match woken {
            Some(at) => self.interrupted(at),
            None if Instant::now() < until => {
                self.asked(Duration::from_millis(30));
                Ok(())
            }
            None => {
                self.watch.blame(LinkFault::TransmitStuck);
                Err(RadioError::Irq)
            }
        }
    }

    /// A wait that also ends, as an error, when a transmission is due.
    async fn await_received(&mut self) -> Result<(), RadioError> {
        let poll = self.watch.state().next_poll;
        let woken = tokio::select! {
            biased;
            at = self.lines.dio1() => Some(at),
            () = self.watch.desk.due() => return Err(RadioError::Irq),
            () = sleep_until(poll) => None,
        };
        match woken {
            Some(at) => self.interrupted(at),
            None => {
                self.asked(POLL);
                Ok(())
            }
        }
    }

    fn interrupted(&mut self, at: std::io::Result<Instant>) -> Result<(), RadioError> {
        self.watch.tally.tell();
        match at {
            Ok(at) => {
                let mut state = self.watch.state();
                state.woken_by = Woken::ByLine;
                state.irq_at = at;
                state.next_poll = Instant::now() + POLL;
                Ok(())
            }
            Err(error) => {
                self.watch.blame(line_fault("waiting for DIO1", &error));
                Err(RadioError::DIO1)
            }
        }
    }

    fn asked(&mut self, again: Duration) {
        self.watch.tally.tell();
        let now = Instant::now();
        let mut state = self.watch.state();
        state.woken_by = Woken::ByClock;
        state.irq_at = now;
        state.next_poll = now + again;
    }

    fn antenna(&mut self, antenna: Antenna, error: RadioError) -> Result<(), RadioError> {
        self.lines.antenna(antenna).map_err(|fault| {
            self.watch.blame(line_fault("switching the antenna", &fault));
            error
        })
    }

    fn reset_line(&mut self, low: bool) -> Result<(), RadioError> {
        self.lines.reset(low).map_err(|fault| {
            self.watch.blame(line_fault("driving the reset line", &fault));
            RadioError::Reset
        })
    }
}

fn line_fault(doing: &'static str, error: &std::io::Error) -> LinkFault {
    LinkFault::Io { doing, says: error.to_string() }
}

impl<L: Lines> InterfaceVariant for Interface<L> {
    /// NRST low for at least 100 us (SX1261/2 datasheet rev 2.1, section 8.1);
    /// the chip is busy until it has started.
    async fn reset(&mut self, delay: &mut impl DelayNs) -> Result<(), RadioError> {
        self.reset_line(true)?;
        delay.delay_ms(1).await;
        self.reset_line(false)?;
        delay.delay_ms(5).await;
        self.wait_on_busy().await
    }

    async fn wait_on_busy(&mut self) -> Result<(), RadioError> {
        let mut until = None;
        for look in 0u32.. {
            match self.lines.busy() {
                Ok(false) => return Ok(()),
                Ok(true) if look < BUSY_LOOKS => std::hint::spin_loop(),
                Ok(true) => {
                    let now = Instant::now();
                    if now >= *until.get_or_insert(now + BUSY_MAX) {
                        break;
                    }
                    sleep(Duration::from_millis(1)).await;
                }
                Err(error) => {
                    self.watch.blame(line_fault("reading BUSY", &error));
                    return Err(RadioError::Busy);
                }
            }
        }
        self.watch.blame(LinkFault::BusyStuck);
        Err(RadioError::Busy)
    }

    async fn await_irq(&mut self) -> Result<(), RadioError> {
        let until = self.watch.state().transmit_until;
        match until {
            Some(until) => self.await_transmitted(until).await,
            None => self.await_received().await,
        }
    }

    async fn enable_rf_switch_rx(&mut self) -> Result<(), RadioError> {
        self.antenna(Antenna::Receive, RadioError::RfSwitchRx)
    }

    async fn enable_rf_switch_tx(&mut self) -> Result<(), RadioError> {
        self.antenna(Antenna::Transmit, RadioError::RfSwitchTx)
    }

    async fn disable_rf_switch(&mut self) -> Result<(), RadioError> {
        self.antenna(Antenna::Off, RadioError::RfSwitchRx)
    }
}
