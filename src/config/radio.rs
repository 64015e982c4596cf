//! `[[link]]` of kind `radio` and `virtual-radio`: how a radio is wired, and what
//! it does on the air.

use super::links::one_of;
use super::problem::Report;
use super::quantity::{Quantity, Unit};
use super::reader::Section;
use super::sections::{HOMES, path, whole};
use super::{Air, LinkKind, Network, Radio, VirtualRadio};
use pendant_hal::radio::RadioSettings;
use pendant_hal::radio::boards::{ChipKind, PRESETS, Preset, TCXO_MV};
use pendant_hal::radio::chip::{Amplifier, sx126x_takes, sx127x_takes};
use pendant_hal::region::{Band, Region};
use pendant_protocol::FRAME_BYTES;
use std::ops::RangeInclusive;
use toml::Spanned;

/// Keys of every kind that is on the air.
macro_rules! air_keys {
    ($($more:literal),*) => {
        &[
            "name", "kind", "acknowledge", "region", "frequency_hz", "downlink_frequency_hz",
            "spreading_factor", "bandwidth_hz", "coding_rate", "power_dbm", "antenna_gain_dbi",
            $($more),*
        ]
    };
}
pub(super) use air_keys;

pub(super) const VIRTUAL_RADIO: &[&str] = air_keys!("socket", "network");
pub(super) const RADIO: &[&str] = air_keys!(
    "board",
    "chip",
    "spi",
    "spi_hz",
    "gpiochip",
    "irq_line",
    "reset_line",
    "busy_line",
    "transmit_line",
    "receive_line",
    "enable_lines",
    "tcxo_mv",
    "dcdc",
    "dio2_switches_antenna",
    "pa_boost",
    "receive_boost",
    "network"
);

/// LoRa bandwidths of the SX126x, rounded to hertz as its datasheet does (SX1261/2
/// datasheet rev 2.1, section 6.1.1).
const BANDWIDTHS_HZ: [i64; 10] =
    [7810, 10_420, 15_630, 20_830, 31_250, 41_670, 62_500, 125_000, 250_000, 500_000];

/// Carriers that the SX1262 can be set to, hertz (SX1261/2 datasheet rev 2.1, on its
/// first page).
const FREQUENCY_HZ: RangeInclusive<i64> = 150_000_000..=960_000_000;

/// The slowest clock of SPI, hertz: a frame still takes less than 20 ms.
const SPI_HZ_MIN: i64 = 100_000;

/// The most lines that a GPIO chip of a small computer has, and more.
const LINES: RangeInclusive<i64> = 0..=1023;

/// More than any board wants switched on.
const ENABLE_LINES_MAX: usize = 8;

/// What is on the air where no region says otherwise: a bench.
const BENCH_HZ: u32 = 868_100_000;

pub(super) fn virtual_radio(section: &Section<'_>, report: &mut Report<'_>) -> Option<LinkKind> {
    section.require("socket", "\"/run/…\"", report);
    let socket = path(section, "socket", report);
    let air = heard_air(section, 0..=22, report);
    section.finish(HOMES, report);
    Some(LinkKind::VirtualRadio(VirtualRadio { socket: socket?.into_inner(), air: air? }))
}

pub(super) fn radio(section: &Section<'_>, report: &mut Report<'_>) -> Option<LinkKind> {
    section.require("region", "\"EU868\"", report);
    let boards: Vec<(&str, Preset)> = PRESETS.iter().map(|preset| (preset.name, *preset)).collect();
    let board = section.choice("board", &boards, report);
    let chips = ChipKind::ALL.map(|chip| (chip.name(), chip));
    let chip = section.choice("chip", &chips, report).or(board.map(|board| board.chip));
    let has_busy = chip != Some(ChipKind::Sx1276);
    if section.value("board").is_none() {
        require_wiring(section, has_busy, report);
    }
    let line = |key: &str, preset: Option<u32>, report: &mut Report<'_>| {
        let written = section.whole(key, &Quantity::new(Unit::Plain, LINES), report);
        written.and_then(|line| u32::try_from(line).ok()).or(preset)
    };
    let from_board = |pick: fn(Preset) -> Option<u32>| board.and_then(pick);
    let irq_line = line("irq_line", board.map(|board| board.irq_line), report);
    let reset_line = line("reset_line", board.map(|board| board.reset_line), report);
    let busy_line = line("busy_line", from_board(|board| board.busy_line), report);
    let transmit_line = line("transmit_line", from_board(|board| board.transmit_line), report);
    let receive_line = line("receive_line", from_board(|board| board.receive_line), report);
    let enable_lines = enable_lines(section, report)
        .unwrap_or_else(|| board.map_or_else(Vec::new, |board| board.enable_lines.to_vec()));
    let singles = [
        ("irq_line", irq_line),
        ("reset_line", reset_line),
        ("busy_line", busy_line.filter(|_| has_busy)),
        ("transmit_line", transmit_line),
        ("receive_line", receive_line),
    ];
    refuse_shared_lines(section, &singles, &enable_lines, report);
    let spi = path(section, "spi", report).map(Spanned::into_inner);
    let gpiochip = path(section, "gpiochip", report).map(Spanned::into_inner);
    let spi_hz = Quantity::new(Unit::Hertz, spi_hz(chip.unwrap_or(ChipKind::Sx1262)));
    // Slow enough for a metre of wire, fast enough for a frame in a millisecond.
    let spi_hz = whole(section, "spi_hz", &spi_hz, 2_000_000_u32, report);
    let millivolts = TCXO_MV.map(i64::from);
    let tcxo_mv = one_of(section, "tcxo_mv", Unit::Plain, &millivolts, report)
        .unwrap_or(board.map_or(0, |board| board.tcxo_mv));
    let mut flag = |key, otherwise| section.flag(key, report).unwrap_or(otherwise);
    let dcdc = flag("dcdc", true);
    let dio2 = board.is_none_or(|board| board.dio2_switches_antenna);
    let dio2_switches_antenna = flag("dio2_switches_antenna", dio2);
    let pa_boost = flag("pa_boost", board.is_none_or(|board| board.pa_boost));
    let receive_boost = flag("receive_boost", true);
    let power = power_dbm(chip.unwrap_or(ChipKind::Sx1262), pa_boost);
    let air = heard_air(section, power, report);
    section.finish(HOMES, report);
    let (air, chip) = (air?, chip?);
    refuse_spreading_factor(section, chip, &air, report);
    Some(LinkKind::Radio(Radio {
        board: board.map(|board| board.name.to_owned()),
        chip,
        spi: spi.unwrap_or_else(|| board.map_or("/dev/spidev0.0", |board| board.spi).into()),
        spi_hz,
        gpiochip: gpiochip.unwrap_or_else(|| "/dev/gpiochip0".into()),
        irq_line: irq_line?,
        reset_line: reset_line?,
        busy_line: if has_busy { Some(busy_line?) } else { None },
        transmit_line,
        receive_line,
        enable_lines,
        tcxo_mv,
        dcdc,
        dio2_switches_antenna,
        pa_boost,
        receive_boost,
        air,
    }))
}

/// What a board that is named says by itself.
fn require_wiring(section: &Section<'_>, has_busy: bool, report: &mut Report<'_>) {
    section.require("chip", "\"sx1262\", or name a board", report);
    section.require("irq_line", "16, or name a board", report);
    section.require("reset_line", "18, or name a board", report);
    if has_busy {
        section.require("busy_line", "20, or name a board", report);
    }
}

/// One line cannot be two things.
fn refuse_shared_lines(
    section: &Section<'_>,
    singles: &[(&'static str, Option<u32>)],
    enable_lines: &[u32],
    report: &mut Report<'_>,
) {
    let singles = singles.iter().filter_map(|(key, line)| Some((*key, (*line)?)));
    let all = singles.chain(enable_lines.iter().map(|line| ("enable_lines", *line)));
    let mut taken: Vec<(&str, u32)> = Vec::new();
    for (key, line) in all {
        if let Some((first, _)) = taken.iter().find(|(_, other)| *other == line) {
            // Where it was written: the board's own lines all differ.
            let written = if section.value(key).is_some() { key } else { *first };
            let text = format!("GPIO line {line} is both `{first}` and `{key}`");
            let remedy =
                "give each a line of its own: docs/install.md, \"Wiring\", has the boards'";
            report.refuse(place(section, written), text, remedy);
        }
        taken.push((key, line));
    }
}

/// Clocks of SPI that the chip can follow, hertz (SX1261/2 datasheet rev 2.1, timing of
/// SPI; SX1276/77/78/79 datasheet, digital specification, FSCK).
const fn spi_hz(chip: ChipKind) -> RangeInclusive<i64> {
    match chip {
        ChipKind::Sx1261 | ChipKind::Sx1262 => SPI_HZ_MIN..=16_000_000,
        ChipKind::Sx1276 => SPI_HZ_MIN..=10_000_000,
    }
}

/// What the chip can be set to, dBm.
fn power_dbm(chip: ChipKind, pa_boost: bool) -> RangeInclusive<i64> {
    let amplifier = match chip {
        ChipKind::Sx1261 => Amplifier::Low,
        ChipKind::Sx1262 => Amplifier::High,
        ChipKind::Sx1276 if pa_boost => Amplifier::Boost,
        ChipKind::Sx1276 => Amplifier::Rfo,
    };
    let range = amplifier.range_dbm();
    (*range.start()).into()..=(*range.end()).into()
}

pub(super) fn air(
    section: &Section<'_>,
    power: RangeInclusive<i64>,
    report: &mut Report<'_>,
) -> Option<Air> {
    let regions = Region::ALL.map(|region| (region.name(), region));
    let region = section.choice("region", &regions, report);
    let hertz = Quantity::new(Unit::Hertz, FREQUENCY_HZ);
    let usual = region.map(Region::channels);
    let uplink_hz = usual.map_or(BENCH_HZ, |usual| usual.uplink_hz);
    let frequency_hz = whole(section, "frequency_hz", &hertz, uplink_hz, report);
    let downlink_hz = usual.map_or(frequency_hz, |usual| usual.downlink_hz);
    let downlink_frequency_hz =
        whole(section, "downlink_frequency_hz", &hertz, downlink_hz, report);
    let spreading_factor =
        whole(section, "spreading_factor", &Quantity::new(Unit::Plain, 5..=12), 9, report);
    let bandwidth_hz =
        one_of(section, "bandwidth_hz", Unit::Hertz, &BANDWIDTHS_HZ, report).unwrap_or(125_000);
    let rates = [("4/5", 5), ("4/6", 6), ("4/7", 7), ("4/8", 8)];
    let coding_rate_denominator = section.choice("coding_rate", &rates, report).unwrap_or(5);
    let least_dbm = *power.start();
    let power_dbm = whole(section, "power_dbm", &Quantity::new(Unit::Dbm, power), 14, report);
    let gain = Quantity::new(Unit::Plain, -20..=20);
    let antenna_gain_dbi = whole(section, "antenna_gain_dbi", &gain, 2, report);
    let air = Air {
        region,
        frequency_hz,
        downlink_frequency_hz,
        spreading_factor,
        bandwidth_hz,
        coding_rate_denominator,
        power_dbm,
        antenna_gain_dbi,
        network: Network::default(),
    };
    if let Some(region) = region {
        refuse_unlawful(section, region, &air, least_dbm, report);
    }
    Some(air)
}

/// The air of a radio, which hears one kind of pendant alone.
fn heard_air(
    section: &Section<'_>,
    power: RangeInclusive<i64>,
    report: &mut Report<'_>,
) -> Option<Air> {
    let networks = [("native", Network::Native), ("lorawan", Network::LoRaWan)];
    let network = section.choice("network", &networks, report).unwrap_or_default();
    air(section, power, report).map(|air| Air { network, ..air })
}

/// Where a value stands, or where it would.
pub(super) fn place(section: &Section<'_>, key: &str) -> std::ops::Range<usize> {
    section.value(key).map_or(section.header(), Spanned::span)
}

fn refuse_unlawful(
    section: &Section<'_>,
    region: Region,
    air: &Air,
    least_dbm: i64,
    report: &mut Report<'_>,
) {
    let name = region.name();
    let mut band = |key: &str, frequency_hz| {
        let band = region.band(frequency_hz, air.bandwidth_hz);
        if band.is_none() {
            let bands: Vec<String> = region
                .bands(air.bandwidth_hz)
                .iter()
                .map(|Band { low_hz, high_hz, .. }| format!("{low_hz} to {high_hz}"))
                .collect();
            let text = format!(
                "{frequency_hz} Hz with {} Hz of bandwidth is in no band of {name}",
                air.bandwidth_hz
            );
            let remedy = format!("all of the channel must lie within {}", bands.join(", or "));
            report.refuse(place(section, key), text, remedy);
        }
        band
    };
    band("frequency_hz", air.frequency_hz);
    let Some(band) = band("downlink_frequency_hz", air.downlink_frequency_hz) else { return };
    let eirp_dbm = i32::from(air.power_dbm) + i32::from(air.antenna_gain_dbi);
    if eirp_dbm > band.eirp_dbm_max {
        let allowed = band.eirp_dbm_max - i32::from(air.antenna_gain_dbi);
        let text = format!(
            "{} dBm into an antenna of {} dBi are {eirp_dbm} dBm EIRP; {name} allows {} there",
            air.power_dbm, air.antenna_gain_dbi, band.eirp_dbm_max
        );
        let remedy = match i64::from(allowed) >= least_dbm {
            true => format!("write: power_dbm = {allowed}"),
            false => "take an antenna of less gain: the radio cannot send so little".into(),
        };
        report.refuse(place(section, "power_dbm"), text, remedy);
    }
    let airtime = air.airtime();
    if let Some(dwell) = band.dwell_max.filter(|dwell| airtime > *dwell) {
        let text = format!(
            "a frame takes {} ms at SF{}; {name} allows {} ms",
            airtime.as_millis(),
            air.spreading_factor,
            dwell.as_millis()
        );
        let fits = |factor: &u8| Air { spreading_factor: *factor, ..*air }.airtime() <= dwell;
        let remedy = match (7..air.spreading_factor).rev().find(fits) {
            Some(factor) => format!("write: spreading_factor = {factor}"),
            None => "write: bandwidth_hz = 125000".into(),
        };
        report.refuse(place(section, "spreading_factor"), text, remedy);
    }
}

fn refuse_spreading_factor(
    section: &Section<'_>,
    chip: ChipKind,
    air: &Air,
    report: &mut Report<'_>,
) {
    let takes = |factor: u8| match chip {
        ChipKind::Sx1276 => sx127x_takes(factor, air.bandwidth_hz),
        ChipKind::Sx1261 | ChipKind::Sx1262 => sx126x_takes(factor, air.bandwidth_hz),
    };
    let (factor, bandwidth_hz) = (air.spreading_factor, air.bandwidth_hz);
    if takes(factor) {
        return;
    }
    let others: Vec<u8> = (5..=12).filter(|factor| takes(*factor)).collect();
    let nearest = others.iter().rfind(|other| **other < factor).or(others.first());
    let list: Vec<String> = others.iter().map(|factor| format!("SF{factor}")).collect();
    report.refuse(
        place(section, "spreading_factor"),
        format!("the radio cannot be set to SF{factor} with {bandwidth_hz} Hz"),
        match nearest {
            Some(nearest) => format!(
                "write: spreading_factor = {nearest} (with this bandwidth it can be {})",
                list.join(", ")
            ),
            None => "write: bandwidth_hz = 125000".into(),
        },
    );
}

fn enable_lines(section: &Section<'_>, report: &mut Report<'_>) -> Option<Vec<u32>> {
    let value = section.value("enable_lines")?;
    let lines = value.get_ref().as_array().and_then(|lines| {
        let lines: Option<Vec<u32>> = lines
            .iter()
            .map(|line| {
                let number = line.get_ref().as_integer()?;
                let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
                LINES.contains(&number).then(|| u32::try_from(number).ok()).flatten()
            })
            .collect();
        lines.filter(|lines| lines.len() <= ENABLE_LINES_MAX)
    });
    if lines.is_none() {
        report.refuse(
            value.span(),
            format!("`enable_lines` is a list of at most {ENABLE_LINES_MAX} GPIO lines"),
            "write: enable_lines = [12, 13]",
        );
    }
    lines
}

impl Air {
    /// How the hardware layer is told.
    #[must_use]
    pub fn settings(&self) -> RadioSettings {
        RadioSettings {
            frequency_hz: self.frequency_hz,
            downlink_frequency_hz: self.downlink_frequency_hz,
            spreading_factor: self.spreading_factor,
            bandwidth_hz: self.bandwidth_hz,
            coding_rate_denominator: self.coding_rate_denominator,
            power_dbm: self.power_dbm,
            preamble_symbols: PREAMBLE_SYMBOLS,
            private_network: self.network == Network::Native,
        }
    }

    /// How long one frame of the native protocol is on the air.
    #[must_use]
    pub fn airtime(&self) -> std::time::Duration {
        let bytes = u8::try_from(FRAME_BYTES).expect("a frame fits into a LoRa packet");
        self.settings().shape().frame(bytes)
    }

    /// What holds where answers are sent, if there is a region.
    #[must_use]
    pub fn band(&self) -> Option<Band> {
        self.region?.band(self.downlink_frequency_hz, self.bandwidth_hz)
    }
}

/// Preamble of the native protocol (docs/protocol.md).
const PREAMBLE_SYMBOLS: u16 = 8;
