//! The chip's single lines as lora-phy's driver wants them.
//!
//! The driver's wait for an interrupt ends by itself when a transmission is due,
//! and the chip is asked now and then, so that a lost interrupt or a reset chip
//! is found.

use super::chip::{Antenna, Lines};
use super::watch::{Waiting, Watch};
use crate::link::LinkFault;
use embedded_hal_async::delay::DelayNs;
use lora_phy::mod_params::RadioError;
use lora_phy::mod_traits::InterfaceVariant;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// BUSY is looked at this often without a pause, which bridges the few
/// microseconds of an ordinary command, and then once a millisecond.
const BUSY_LOOKS: u32 = 32;

/// The longest that an SX126x is busy is 3.5 ms, with a TCXO 14 ms
/// (SX1261/2 datasheet rev 2.1, sections 8.3 and 13.3.6).
const BUSY_MAX: Duration = Duration::from_millis(100);

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
        let poll = self.watch.next_poll().min(until);
        let woken = tokio::select! {
            biased;
            at = self.lines.dio1() => Some(at),
            () = sleep_until(poll) => None,
        };
        match woken {
            Some(at) => self.interrupted(at),
            None if Instant::now() < until => {
                self.watch.asked();
                Ok(())
            }
            None => {
                self.watch.blame(LinkFault::TransmitStuck);
                Err(RadioError::Irq)
            }
        }
    }

    /// A wait that nothing but the line may end well: it is the line's test.
    async fn await_looked(&mut self, until: Instant) -> Result<(), RadioError> {
        tokio::select! {
            biased;
            at = self.lines.dio1() => self.interrupted(at),
            () = sleep_until(until) => Err(RadioError::Irq),
        }
    }

    /// A wait that also ends, as an error, when a transmission is due. One that
    /// has a second chance takes it if a frame is coming in.
    async fn await_received(&mut self) -> Result<(), RadioError> {
        loop {
            let poll = self.watch.next_poll();
            let woken = tokio::select! {
                biased;
                at = self.lines.dio1() => Some(at),
                () = self.watch.desk.due() => {
                    if self.watch.asks_before() {
                        // The driver asks for interrupts, the state of the modem is
                        // asked for beside them, and the wait begins anew.
                        self.watch.asked();
                        return Ok(());
                    }
                    if self.watch.frame_is_coming() && self.watch.desk.defer() {
                        continue;
                    }
                    return Err(RadioError::Irq);
                }
                () = sleep_until(poll) => None,
            };
            return match woken {
                Some(at) => self.interrupted(at),
                None if self.watch.line_is_to_be_tried() && !self.watch.frame_is_coming() => {
                    self.watch.blame(LinkFault::IrqLine);
                    Err(RadioError::Irq)
                }
                None => {
                    self.watch.asked();
                    Ok(())
                }
            };
        }
    }

    fn interrupted(&mut self, at: std::io::Result<Instant>) -> Result<(), RadioError> {
        match at {
            Ok(at) => {
                self.watch.interrupted(at);
                Ok(())
            }
            Err(error) => {
                self.watch.blame(line_fault("waiting for the interrupt line", &error));
                Err(RadioError::DIO1)
            }
        }
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
        match self.watch.waiting() {
            Waiting::Transmitted(until) => self.await_transmitted(until).await,
            Waiting::Looked(until) => self.await_looked(until).await,
            Waiting::Frame => self.await_received().await,
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
