//! What a radio link needs of a chip and of the wires to it.

use super::dialect::Dialect;
use super::interface::Interface;
use super::snoop::Snoop;
use super::watch::Watch;
use super::{RadioSettings, SettingsFault};
use crate::airtime::is_low_data_rate;
use crate::link::LinkFault;
use embedded_hal_async::spi::SpiDevice;
use lora_phy::mod_traits::RadioKind;
pub use lora_phy::sx126x::TcxoCtrlVoltage;
use lora_phy::sx126x::{self, DeviceSel, Sx126xVariant};
use lora_phy::sx127x;
use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::time::Instant;

/// A kind of chip behind some wires, as lora-phy knows it.
pub trait Chip: Send + 'static {
    /// lora-phy's driver of the chip.
    type Kind: RadioKind;

    /// Opens the wires, anew each time: also after an outage.
    ///
    /// # Errors
    /// A device or line that cannot be had, or a chip that does not answer as it should.
    fn open(&mut self, watch: &Watch) -> Result<Self::Kind, LinkFault>;

    /// From the command to transmit until the first symbol leaves.
    fn start_latency(&self) -> Duration;

    /// What sends.
    fn amplifier(&self) -> Amplifier;

    /// Whether chip and driver can be set so, beyond what holds for all chips.
    ///
    /// # Errors
    /// Says which setting this chip cannot be given.
    fn check(settings: &RadioSettings) -> Result<(), SettingsFault>;
}

/// An amplifier of a chip, and the powers that lora-phy 3.0.1 can set it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amplifier {
    /// Of an SX1261.
    Low,
    /// Of an SX1262. For 21 dBm the driver sets 22, so that 20 are sent here.
    High,
    /// PA_BOOST of an SX127x. Above 17 dBm the driver leaves out of its reckoning the 3 dB that
    /// the setting for 20 dBm adds, and 5 to 7 dBm would leave.
    Boost,
    /// RFO of an SX127x.
    Rfo,
}

impl Amplifier {
    /// Least and most that it can be set to, dBm. Below 0 the driver overflows.
    #[must_use]
    pub const fn range_dbm(self) -> RangeInclusive<i8> {
        match self {
            Self::Low => 0..=15,
            Self::High => 0..=22,
            Self::Boost => 2..=17,
            Self::Rfo => 0..=14,
        }
    }

    /// The most that it can be set to within a limit, dBm; `None` if it cannot be set to so
    /// little.
    #[must_use]
    pub fn at_most_dbm(self, limit_dbm: i8) -> Option<i8> {
        let range = self.range_dbm();
        let power_dbm = match limit_dbm.min(*range.end()) {
            21 if self == Self::High => 20,
            power_dbm => power_dbm,
        };
        range.contains(&power_dbm).then_some(power_dbm)
    }
}

/// The wires to a chip: an SPI bus with chip select, and single lines.
pub trait Bus: Send + 'static {
    /// The SPI bus. One transaction is one assertion of chip select.
    type Spi: SpiDevice<u8>;
    /// The single lines.
    type Lines: Lines;

    /// Opens the wires.
    ///
    /// # Errors
    /// A device or line that cannot be had.
    fn open(&mut self) -> Result<(Self::Spi, Self::Lines), LinkFault>;
}

/// The single lines of a chip. No method may block longer than a GPIO access.
pub trait Lines {
    /// Waits until the interrupt line (DIO1; DIO0 of an SX127x) is high and says since
    /// when, as far as it is known. Must look at the level before it waits for an edge,
    /// and lose nothing if the caller stops waiting. An error if the line cannot be read.
    fn dio1(&mut self) -> impl Future<Output = io::Result<Instant>> + Send;

    /// Whether BUSY is high. A chip without that line, such as an SX127x, is not.
    ///
    /// # Errors
    /// The line cannot be read.
    fn busy(&mut self) -> io::Result<bool>;

    /// Pulls NRST low, or lets it go.
    ///
    /// # Errors
    /// The line cannot be driven.
    fn reset(&mut self, low: bool) -> io::Result<()>;

    /// Connects the antenna, if lines of the host switch it.
    ///
    /// # Errors
    /// A line cannot be driven.
    fn antenna(&mut self, antenna: Antenna) -> io::Result<()>;
}

/// What the antenna is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Antenna {
    /// Nothing.
    Off,
    /// The receiver.
    Receive,
    /// The power amplifier.
    Transmit,
}

/// What stands around an SX126x on its board.
#[derive(Clone, Copy)]
pub struct Board {
    /// Whether the chip is an SX1261 (up to 15 dBm), not an SX1262 (up to 22 dBm).
    pub low_power_amplifier: bool,
    /// Supply of a temperature-compensated oscillator on DIO3, if there is one.
    pub tcxo: Option<TcxoCtrlVoltage>,
    /// Whether the board has the inductor for the DC-DC converter.
    pub dcdc: bool,
    /// Whether DIO2 switches the antenna.
    pub dio2_switches_antenna: bool,
    /// 3 dB more sensitivity for 2 mA more current.
    pub receive_boost: bool,
}

impl Sx126xVariant for Board {
    fn get_device_sel(&self) -> DeviceSel {
        if self.low_power_amplifier { DeviceSel::LowPowerPA } else { DeviceSel::HighPowerPA }
    }

    fn use_dio2_as_rfswitch(&self) -> bool {
        self.dio2_switches_antenna
    }
}

/// An SX1261 or SX1262 on a bus.
pub struct Sx126x<B> {
    bus: B,
    board: Board,
}

impl<B: Bus> Sx126x<B> {
    /// A chip on this bus and board.
    pub fn new(bus: B, board: Board) -> Self {
        Self { bus, board }
    }
}

/// From STDBY_RC to TX (SX1261/2 datasheet rev 2.1, table 8-2).
const STANDBY_TO_TX: Duration = Duration::from_micros(126);

/// What the driver grants a TCXO to start; the chip waits as long each time it
/// leaves STDBY_RC (SX1261/2 datasheet rev 2.1, section 13.3.6).
const TCXO_START: Duration = Duration::from_millis(10);

impl<B: Bus> Chip for Sx126x<B> {
    type Kind = sx126x::Sx126x<Snoop<B::Spi>, Interface<B::Lines>, Board>;

    fn open(&mut self, watch: &Watch) -> Result<Self::Kind, LinkFault> {
        let (spi, lines) = self.bus.open()?;
        let config = sx126x::Config {
            chip: self.board,
            tcxo_ctrl: self.board.tcxo,
            use_dcdc: self.board.dcdc,
            rx_boost: self.board.receive_boost,
        };
        Ok(sx126x::Sx126x::new(
            Snoop::new(spi, Dialect::Sx126x, watch.clone()),
            Interface::new(lines, watch.clone()),
            config,
        ))
    }

    fn start_latency(&self) -> Duration {
        match self.board.tcxo {
            Some(_) => TCXO_START + STANDBY_TO_TX,
            None => STANDBY_TO_TX,
        }
    }

    fn amplifier(&self) -> Amplifier {
        if self.board.low_power_amplifier { Amplifier::Low } else { Amplifier::High }
    }

    fn check(settings: &RadioSettings) -> Result<(), SettingsFault> {
        refuse_unless(sx126x_takes(settings.spreading_factor, settings.bandwidth_hz))
    }
}

/// Whether an SX126x can be set to a spreading factor with a bandwidth, Hz. The driver knows
/// three pairs that need low data rate optimisation; in others that need it nobody would
/// hear it, and it nobody.
#[must_use]
pub fn sx126x_takes(spreading_factor: u8, bandwidth_hz: u32) -> bool {
    let optimised = matches!((spreading_factor, bandwidth_hz), (11 | 12, 125_000) | (12, 250_000));
    optimised == is_low_data_rate(spreading_factor, bandwidth_hz)
}

fn refuse_unless(takes: bool) -> Result<(), SettingsFault> {
    if takes { Ok(()) } else { Err(SettingsFault::NotWithThisChip) }
}

/// What stands around an SX127x on its board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board127 {
    /// Whether the antenna is on PA_BOOST, as on an RFM95, not on RFO.
    pub pa_boost: bool,
    /// Whether an oscillator of its own feeds the chip, not a crystal.
    pub tcxo: bool,
    /// More gain of the receiver for more current.
    pub receive_boost: bool,
}

/// An SX1276 to SX1279 on a bus.
pub struct Sx127x<B> {
    bus: B,
    board: Board127,
}

impl<B: Bus> Sx127x<B> {
    /// A chip on this bus and board.
    pub fn new(bus: B, board: Board127) -> Self {
        Self { bus, board }
    }
}

/// Whether an SX127x can be set to a spreading factor with a bandwidth, Hz. The chip has no
/// SF5, and no explicit header at SF6 (SX1276/77/78/79 datasheet rev 7, section 4.1.1.2). The
/// driver reckons a symbol in whole milliseconds, takes 16.4 for 16, and leaves low data rate
/// optimisation off: neither an SX126x nor a pendant would hear it.
#[must_use]
pub fn sx127x_takes(spreading_factor: u8, bandwidth_hz: u32) -> bool {
    if !(7..=12).contains(&spreading_factor) {
        return false;
    }
    let symbols_per_s = bandwidth_hz >> spreading_factor;
    let optimised = symbols_per_s > 0 && 1_000 / symbols_per_s > 16;
    optimised == is_low_data_rate(spreading_factor, bandwidth_hz)
}

/// From standby to the first symbol: start of the synthesiser and ramp of the
/// amplifier (SX1276/77/78/79 datasheet rev 7, table 7: TS_TR).
const SX127X_STANDBY_TO_TX: Duration = Duration::from_micros(120);

impl<B: Bus> Chip for Sx127x<B> {
    type Kind = sx127x::Sx127x<Snoop<B::Spi>, Interface<B::Lines>, sx127x::Sx1276>;

    fn open(&mut self, watch: &Watch) -> Result<Self::Kind, LinkFault> {
        let (spi, lines) = self.bus.open()?;
        let config = sx127x::Config {
            chip: sx127x::Sx1276,
            tcxo_used: self.board.tcxo,
            tx_boost: self.board.pa_boost,
            rx_boost: self.board.receive_boost,
        };
        Ok(sx127x::Sx127x::new(
            Snoop::new(spi, Dialect::Sx127x, watch.clone()),
            Interface::new(lines, watch.clone()),
            config,
        ))
    }

    fn start_latency(&self) -> Duration {
        SX127X_STANDBY_TO_TX
    }

    fn amplifier(&self) -> Amplifier {
        if self.board.pa_boost { Amplifier::Boost } else { Amplifier::Rfo }
    }

    fn check(settings: &RadioSettings) -> Result<(), SettingsFault> {
        refuse_unless(sx127x_takes(settings.spreading_factor, settings.bandwidth_hz))
    }
}
