//! LoRa radios through lora-phy's driver.
//!
//! One task owns the driver and the chip: a receive or a transmit that is
//! dropped halfway can leave the chip locked, so nothing here ever waits for the
//! driver in a `select!`. Instead the wait for the chip's interrupt, which lies
//! below the driver ([`interface`]), ends by itself when a transmission is due.
//!
//! Native frames invert IQ in neither direction, since serial LoRa modules cannot, and a
//! pendant must hear whichever receiver its site has (docs/protocol.md, section 12). An
//! answer to a LoRaWAN pendant is inverted, and leaves on the carrier and with the
//! spreading factor that the pendant listens with.

pub mod account;
pub mod boards;
pub mod chip;
mod defmt_sink;
mod desk;
mod dialect;
pub mod interface;
#[cfg(target_os = "linux")]
pub mod linux;
mod punctual;
pub mod snoop;
mod tally;
mod task;
pub mod watch;

use crate::airtime::Shape;
use crate::link::{LinkEvent, LinkFault, LinkHandle, Transmission, Wave};
use account::Account;
use chip::Chip;
use lora_phy::mod_params::{Bandwidth, CodingRate, SpreadingFactor};
use punctual::Thread;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::sync::mpsc;

/// How a radio listens and speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RadioSettings {
    /// Carrier frequency that is listened on, Hz.
    pub frequency_hz: u32,
    /// Carrier frequency of answers, Hz.
    pub downlink_frequency_hz: u32,
    /// Spreading factor, 5 to 12.
    pub spreading_factor: u8,
    /// Bandwidth, Hz: one of [`BANDWIDTHS_HZ`].
    pub bandwidth_hz: u32,
    /// Denominator of the coding rate 4/n, 5 to 8.
    pub coding_rate_denominator: u8,
    /// Power at the chip's output, dBm; the driver keeps it to what the chip can.
    pub power_dbm: i8,
    /// Programmed preamble, symbols, at least 6.
    pub preamble_symbols: u16,
    /// Whether the sync word is that of private networks (0x1424) and not
    /// LoRaWAN's (0x3444).
    pub private_network: bool,
}

/// Bandwidths of the SX126x, Hz (SX1261/2 datasheet rev 2.1, section 6.1.1.2).
pub const BANDWIDTHS_HZ: [u32; 10] =
    [7_810, 10_420, 15_630, 20_830, 31_250, 41_670, 62_500, 125_000, 250_000, 500_000];

/// The SX1262's range, Hz (SX1261/2 datasheet rev 2.1, section 3.4).
const FREQUENCIES_HZ: std::ops::RangeInclusive<u32> = 150_000_000..=960_000_000;

/// Shortest preamble that the SX126x's detector takes (section 6.1.1.1).
const PREAMBLE_SYMBOLS_MIN: u16 = 6;

/// Which setting cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsFault {
    /// Not within 150 to 960 MHz.
    Frequency,
    /// Not 5 to 12.
    SpreadingFactor,
    /// Not one of [`BANDWIDTHS_HZ`], or wider than 125 kHz below 400 MHz.
    Bandwidth,
    /// Not 5 to 8.
    CodingRate,
    /// Shorter than 6 symbols.
    Preamble,
    /// A spreading factor that this kind of chip or its driver cannot do with the bandwidth.
    NotWithThisChip,
}

impl fmt::Display for SettingsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frequency => "the frequency must be between 150000000 and 960000000 Hz",
            Self::SpreadingFactor => "the spreading factor must be 5 to 12",
            Self::Bandwidth => {
                "the bandwidth must be one of the chip's, such as 125000 Hz, \
                 and at most 125000 Hz below 400 MHz"
            }
            Self::CodingRate => "the coding rate's denominator must be 5 to 8",
            Self::Preamble => "the preamble must have at least 6 symbols",
            Self::NotWithThisChip => {
                "this kind of chip cannot be set to that spreading factor with that bandwidth"
            }
        })
    }
}

impl std::error::Error for SettingsFault {}

impl RadioSettings {
    /// What benches and tests begin with: one channel of Europe's for both ways.
    pub const BENCH: Self = Self {
        frequency_hz: 868_100_000,
        downlink_frequency_hz: 868_100_000,
        spreading_factor: 9,
        bandwidth_hz: 125_000,
        coding_rate_denominator: 5,
        power_dbm: 14,
        preamble_symbols: 8,
        private_network: true,
    };

    /// Whether a chip can be set so.
    ///
    /// # Errors
    /// Says which setting no chip can be given.
    pub fn check(&self) -> Result<(), SettingsFault> {
        self.driver_terms().map(drop)
    }

    /// The shape of frames under these settings, for their airtime.
    pub fn shape(&self) -> Shape {
        Shape {
            spreading_factor: self.spreading_factor,
            bandwidth_hz: self.bandwidth_hz,
            coding_rate_denominator: self.coding_rate_denominator,
            // The driver lengthens short preambles of these two.
            preamble_symbols: if self.spreading_factor <= 6 {
                self.preamble_symbols.max(12)
            } else {
                self.preamble_symbols
            },
            explicit_header: true,
            payload_crc: true,
        }
    }

    /// As what the radio is set in order to send a wave, and the shape of its frames; `None`
    /// if it cannot.
    fn sending(&self, wave: Wave) -> Option<(Self, Shape)> {
        let shape = wave.shape(self.shape())?;
        if wave != Wave::Native && self.private_network {
            return None;
        }
        let settings = Self {
            downlink_frequency_hz: wave.frequency_hz(self.downlink_frequency_hz),
            spreading_factor: shape.spreading_factor,
            bandwidth_hz: shape.bandwidth_hz,
            coding_rate_denominator: shape.coding_rate_denominator,
            preamble_symbols: shape.preamble_symbols,
            ..self.clone()
        };
        Some((settings, shape))
    }

    fn driver_terms(&self) -> Result<(SpreadingFactor, Bandwidth, CodingRate), SettingsFault> {
        use {Bandwidth as B, CodingRate as C, SpreadingFactor as S};
        let factor = match self.spreading_factor {
            5 => S::_5,
            6 => S::_6,
            7 => S::_7,
            8 => S::_8,
            9 => S::_9,
            10 => S::_10,
            11 => S::_11,
            12 => S::_12,
            _ => return Err(SettingsFault::SpreadingFactor),
        };
        let bandwidths = [
            B::_7KHz,
            B::_10KHz,
            B::_15KHz,
            B::_20KHz,
            B::_31KHz,
            B::_41KHz,
            B::_62KHz,
            B::_125KHz,
            B::_250KHz,
            B::_500KHz,
        ];
        let bandwidth = bandwidths
            .into_iter()
            .find(|bandwidth| bandwidth.hz() == self.bandwidth_hz)
            .ok_or(SettingsFault::Bandwidth)?;
        let rate = match self.coding_rate_denominator {
            5 => C::_4_5,
            6 => C::_4_6,
            7 => C::_4_7,
            8 => C::_4_8,
            _ => return Err(SettingsFault::CodingRate),
        };
        for frequency_hz in [self.frequency_hz, self.downlink_frequency_hz] {
            if !FREQUENCIES_HZ.contains(&frequency_hz) {
                return Err(SettingsFault::Frequency);
            }
            if frequency_hz < 400_000_000 && self.bandwidth_hz > 125_000 {
                return Err(SettingsFault::Bandwidth);
            }
        }
        if self.preamble_symbols < PREAMBLE_SYMBOLS_MIN {
            return Err(SettingsFault::Preamble);
        }
        Ok((factor, bandwidth, rate))
    }
}

/// Starts a link on a radio, on a thread of its own: the driver's bus transfers
/// block, and a radio's answer must leave on time whatever else runs. Its events
/// bear `tag`; what it may transmit stands in its account.
pub fn spawn<C: Chip>(
    settings: RadioSettings,
    chip: C,
    account: Account,
    tag: u8,
    events: mpsc::Sender<(u8, LinkEvent)>,
) -> LinkHandle {
    let (handle, mut transmissions, running) = LinkHandle::new(tag, events.clone());
    let refused = events.clone();
    let thread = std::thread::Builder::new().name(format!("radio-{tag}")).spawn(move || {
        if let Err(error) = punctual::ask_for_priority() {
            tracing::warn!(
                %error,
                "radio-{tag} has no real-time priority: beside busy programs its answers leave \
                 late. Set LimitRTPRIO=10 in the unit, as the shipped one does"
            );
        }
        let mut chip = chip;
        while let Err(fault) =
            run_guarded(&settings, &mut chip, &account, (tag, &events), &mut transmissions)
        {
            // The channel has room unless the gateway is gone.
            let _ = events.try_send((tag, LinkEvent::Down(fault)));
            // Whoever drops the handle meanwhile waits for no more than this.
            std::thread::park_timeout(CRASH_PAUSE);
        }
        drop(running);
    });
    if let Err(error) = thread {
        refuse(tag, &refused, &error);
    }
    handle
}

/// Sets a radio up as its link would, and lets it go: what its link would say of
/// it. Nothing is transmitted. Takes below two seconds.
///
/// # Errors
/// What is wrong.
pub async fn probe<C: Chip>(settings: &RadioSettings, chip: C) -> Result<(), LinkFault> {
    task::probe(settings, chip).await
}

/// A driver that panics over what a chip said is begun anew after this pause.
const CRASH_PAUSE: Duration = Duration::from_secs(5);

/// One life of the link. A panic is an error: one radio's must not be the others',
/// nor the end of this one.
fn run_guarded<C: Chip>(
    settings: &RadioSettings,
    chip: &mut C,
    account: &Account,
    (tag, events): (u8, &mpsc::Sender<(u8, LinkEvent)>),
    transmissions: &mut mpsc::Receiver<Transmission>,
) -> Result<(), LinkFault> {
    let life = AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| LinkFault::Io {
            doing: "starting the radio's thread",
            says: error.to_string(),
        })?;
        let outlet = (tag, events.clone());
        runtime.block_on(task::run(settings, chip, account, outlet, transmissions, Thread::Own));
        Ok(())
    });
    // Whatever a panic left behind, the next life sets up anew: the chip is reset,
    // its wires are opened again.
    catch_unwind(life).unwrap_or(Err(LinkFault::Crashed))
}

fn refuse(tag: u8, events: &mpsc::Sender<(u8, LinkEvent)>, error: &std::io::Error) {
    let fault = LinkFault::Io { doing: "starting the radio's thread", says: error.to_string() };
    // The channel of a gateway that is starting has room.
    let _ = events.try_send((tag, LinkEvent::Down(fault)));
}

/// The link itself, for a caller that has a runtime for it, such as a test with
/// paused time. Ends when every sender of `transmissions` is gone. Must not be
/// dropped before.
pub async fn run<C: Chip>(
    settings: RadioSettings,
    mut chip: C,
    account: Account,
    tag: u8,
    events: mpsc::Sender<(u8, LinkEvent)>,
    mut transmissions: mpsc::Receiver<Transmission>,
) {
    let outlet = (tag, events);
    task::run(&settings, &mut chip, &account, outlet, &mut transmissions, Thread::Shared).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_refused_by_name() {
        let good = RadioSettings {
            downlink_frequency_hz: 869_525_000,
            spreading_factor: 10,
            ..RadioSettings::BENCH
        };
        assert_eq!(good.check(), Ok(()));
        let with = |change: fn(&mut RadioSettings)| {
            let mut settings = good.clone();
            change(&mut settings);
            settings.check()
        };
        assert_eq!(with(|s| s.frequency_hz = 2_400_000_000), Err(SettingsFault::Frequency));
        assert_eq!(with(|s| s.spreading_factor = 13), Err(SettingsFault::SpreadingFactor));
        assert_eq!(with(|s| s.bandwidth_hz = 125), Err(SettingsFault::Bandwidth));
        assert_eq!(with(|s| s.coding_rate_denominator = 4), Err(SettingsFault::CodingRate));
        assert_eq!(with(|s| s.preamble_symbols = 5), Err(SettingsFault::Preamble));
        assert_eq!(with(|s| s.downlink_frequency_hz = 0), Err(SettingsFault::Frequency));
        let low = with(|s| {
            s.frequency_hz = 169_400_000;
            s.bandwidth_hz = 250_000;
        });
        assert_eq!(low, Err(SettingsFault::Bandwidth));
        for bandwidth_hz in BANDWIDTHS_HZ {
            let settings = RadioSettings { bandwidth_hz, ..good.clone() };
            assert_eq!(settings.check(), Ok(()));
        }
    }
}
