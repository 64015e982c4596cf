//! The radios of the configuration, as the hardware layer knows them.

use crate::config::{Air, Concentrator, Radio, VirtualRadio};
use pendant_hal::concentrator::ConcentratorSettings;
use pendant_hal::radio::account::{Account, Ledgers};
use pendant_hal::radio::boards::ChipKind;
use pendant_hal::radio::chip::{Board, Board127, Chip, Sx126x, Sx127x, TcxoCtrlVoltage};
use pendant_hal::radio::linux::Wiring;
use pendant_hal::radio::{self, RadioSettings};
use pendant_hal::region::Carrier;
use pendant_hal::{LinkEvent, LinkFault, LinkHandle};
use tokio::sync::mpsc;

/// What a radio may transmit; without a region it is a bench.
pub(super) fn account(air: &Air, ledgers: &Ledgers) -> Account {
    let answers =
        Carrier { frequency_hz: air.downlink_frequency_hz, bandwidth_hz: air.bandwidth_hz };
    let account = |region| Account::new(region, air.antenna_gain_dbi, answers, ledgers);
    air.region.map_or_else(Account::default, account)
}

/// What the chip's events go to.
pub(super) struct Outlet {
    pub(super) tag: u8,
    pub(super) events: mpsc::Sender<(u8, LinkEvent)>,
}

/// Starts a radio on this machine's pins.
pub(super) fn start(settings: &Radio, account: Account, outlet: Outlet) -> LinkHandle {
    with_chip(settings, Start { account, outlet })
}

/// Sets a radio up as the running gateway would, and lets it go. Nothing is
/// transmitted.
///
/// # Errors
/// What is wrong, and what to do.
pub fn probe(settings: &Radio) -> Result<(), LinkFault> {
    with_chip(settings, Probe)
}

/// A packet forwarder, as the hardware layer is told.
#[must_use]
pub fn concentrator(settings: &Concentrator) -> ConcentratorSettings {
    let Concentrator { listen, eui, air } = settings;
    ConcentratorSettings {
        listen: *listen,
        eui: *eui,
        downlink_frequency_hz: air.downlink_frequency_hz,
        bandwidth_hz: air.bandwidth_hz,
        coding_rate_denominator: air.coding_rate_denominator,
        spreading_factor: air.spreading_factor,
        power_dbm: air.power_dbm,
    }
}

/// Something to be done with a chip, whichever kind it is of.
trait Use {
    type Result;
    fn with<C: Chip>(self, settings: RadioSettings, chip: C) -> Self::Result;
}

struct Start {
    account: Account,
    outlet: Outlet,
}

impl Use for Start {
    type Result = LinkHandle;

    fn with<C: Chip>(self, settings: RadioSettings, chip: C) -> LinkHandle {
        let Outlet { tag, events } = self.outlet;
        radio::spawn(settings, chip, self.account, tag, events)
    }
}

struct Probe;

impl Use for Probe {
    type Result = Result<(), LinkFault>;

    fn with<C: Chip>(self, settings: RadioSettings, chip: C) -> Self::Result {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| LinkFault::Io {
            doing: "starting the radio's thread",
            says: error.to_string(),
        })?;
        runtime.block_on(radio::probe(&settings, chip))
    }
}

fn with_chip<U: Use>(radio: &Radio, do_it: U) -> U::Result {
    let wiring = Wiring {
        spi: radio.spi.clone(),
        spi_hz: radio.spi_hz,
        gpiochip: radio.gpiochip.clone(),
        irq_line: radio.irq_line,
        reset_line: radio.reset_line,
        busy_line: radio.busy_line,
        transmit_line: radio.transmit_line,
        receive_line: radio.receive_line,
        enable_lines: radio.enable_lines.clone(),
    };
    let settings = radio.air.settings();
    if radio.chip == ChipKind::Sx1276 {
        let board = Board127 {
            pa_boost: radio.pa_boost,
            tcxo: radio.tcxo_mv != 0,
            receive_boost: radio.receive_boost,
        };
        return do_it.with(settings, Sx127x::new(wiring, board));
    }
    let board = Board {
        low_power_amplifier: radio.chip == ChipKind::Sx1261,
        tcxo: tcxo(radio.tcxo_mv),
        dcdc: radio.dcdc,
        dio2_switches_antenna: radio.dio2_switches_antenna,
        receive_boost: radio.receive_boost,
    };
    do_it.with(settings, Sx126x::new(wiring, board))
}

/// The configuration allows these voltages only.
fn tcxo(millivolts: u32) -> Option<TcxoCtrlVoltage> {
    Some(match millivolts {
        1600 => TcxoCtrlVoltage::Ctrl1V6,
        1700 => TcxoCtrlVoltage::Ctrl1V7,
        1800 => TcxoCtrlVoltage::Ctrl1V8,
        2200 => TcxoCtrlVoltage::Ctrl2V2,
        2400 => TcxoCtrlVoltage::Ctrl2V4,
        2700 => TcxoCtrlVoltage::Ctrl2V7,
        3000 => TcxoCtrlVoltage::Ctrl3V0,
        3300 => TcxoCtrlVoltage::Ctrl3V3,
        _ => return None,
    })
}

/// A radio in a virtual ether, under the driver of the real one.
#[cfg(feature = "sim")]
pub(super) fn start_virtual(
    settings: &VirtualRadio,
    account: Account,
    Outlet { tag, events }: Outlet,
) -> LinkHandle {
    use pendant_hal::sim::sx1262::{self, BOARD};
    let (chip, _faults) = sx1262::on_socket(&settings.socket, BOARD);
    radio::spawn(settings.air.settings(), chip, account, tag, events)
}

#[cfg(not(feature = "sim"))]
pub(super) fn start_virtual(_: &VirtualRadio, _: Account, _: Outlet) -> LinkHandle {
    unreachable!("the configuration refuses virtual radios in a build without them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use pendant_hal::radio::boards::TCXO_MV;

    #[test]
    fn every_voltage_of_the_configuration_is_one_of_the_driver_s() {
        for millivolts in TCXO_MV {
            assert_eq!(tcxo(millivolts).is_some(), millivolts != 0, "{millivolts}");
        }
    }
}
