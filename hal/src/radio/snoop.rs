//! An ear on the SPI bus between lora-phy's driver and the chip.

use super::dialect::Dialect;
use super::watch::Watch;
use crate::link::LinkFault;
use embedded_hal_async::spi::{ErrorKind, ErrorType, Operation, SpiDevice};
use std::fmt;

/// The SPI bus with an ear on it. It also puts the few questions that the driver
/// does not ask: who is there, and, of an SX127x, in which mode.
pub struct Snoop<S> {
    spi: S,
    dialect: Dialect,
    watch: Watch,
    greeted: bool,
}

impl<S> Snoop<S> {
    /// Listens on `spi` for `watch` to a chip of this family.
    pub fn new(spi: S, dialect: Dialect, watch: Watch) -> Self {
        watch.hears_headers(dialect.tells_headers());
        Self { spi, dialect, watch, greeted: false }
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

/// Longest command or answer that is looked at, bytes.
const SNOOPED_BYTES: usize = 16;

/// Longest answer to a question of our own, bytes.
const ANSWER_BYTES: usize = 4;

impl<S: SpiDevice<u8>> Snoop<S> {
    /// Asks the chip, between two transactions of the driver. The driver waits
    /// for BUSY after its own; a question keeps the chip busy for less than the
    /// microseconds that the next transaction takes to begin.
    async fn ask(
        &mut self,
        (question, bytes): (&[u8], usize),
    ) -> Result<[u8; ANSWER_BYTES], BusError> {
        let mut answer = [0; ANSWER_BYTES];
        let mut operations = [Operation::Write(question), Operation::Read(&mut answer[..bytes])];
        self.exchange(&mut operations).await?;
        Ok(answer)
    }

    async fn exchange(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), BusError> {
        self.spi.transaction(operations).await.map_err(|error| {
            self.blame(LinkFault::Io {
                doing: "talking to the radio over SPI",
                says: format!("{error:?}"),
            })
        })
    }

    fn blame(&self, fault: LinkFault) -> BusError {
        self.watch.blame(fault);
        BusError
    }

    fn learn(&self, command: &[u8], answer: &[u8]) -> Result<(), BusError> {
        self.watch.learn(self.dialect, command, answer).map_err(|fault| self.blame(fault))
    }
}

impl<S: SpiDevice<u8>> SpiDevice<u8> for Snoop<S> {
    async fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), BusError> {
        if !self.greeted {
            let greeting = self.dialect.greeting();
            let answer = self.ask(greeting).await?;
            let met = self.watch.greet(self.dialect, &answer[..greeting.1]);
            met.map_err(|fault| self.blame(fault))?;
            self.greeted = true;
        }
        let mut command = Vec::with_capacity(SNOOPED_BYTES);
        for operation in operations.iter() {
            match operation {
                Operation::Write(bytes) if command.len() + bytes.len() <= SNOOPED_BYTES => {
                    command.extend(*bytes);
                }
                _ => {}
            }
        }
        if let Some(question) = self.dialect.beside_interrupts(&command) {
            let answer = self.ask(question).await?;
            self.learn(question.0, &answer[..question.1])?;
        }
        self.exchange(operations).await?;
        let mut answer = Vec::with_capacity(SNOOPED_BYTES);
        for operation in operations.iter_mut() {
            match operation {
                Operation::Read(bytes) if bytes.len() <= SNOOPED_BYTES => {
                    answer.extend(&**bytes);
                    self.dialect.soften(&command, bytes);
                }
                Operation::Write(bytes) if bytes.len() <= SNOOPED_BYTES => {}
                // Payloads tell nothing about the chip.
                _ => return Ok(()),
            }
        }
        self.learn(&command, &answer)?;
        let further = [
            self.watch.examination(self.dialect),
            self.dialect.beside_signal(&command),
            self.watch.measurement(self.dialect, &command),
        ];
        for question in further.into_iter().flatten() {
            let answer = self.ask(question).await?;
            self.learn(question.0, &answer[..question.1])?;
        }
        Ok(())
    }
}
