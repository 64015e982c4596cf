//! Boards that a site can buy, as they are wired to a Raspberry Pi.
//!
//! Sources: the makers' pages and schematics, checked against the settings that
//! the Meshtastic project ships for the same boards. None has been tried with
//! this program yet.

/// A kind of chip, as the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChipKind {
    /// Up to 15 dBm.
    Sx1261,
    /// Up to 22 dBm.
    Sx1262,
    /// SX1276 to SX1279 and modules of it, such as the RFM95: up to 20 dBm.
    Sx1276,
}

impl ChipKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Sx1261, Self::Sx1262, Self::Sx1276];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sx1261 => "sx1261",
            Self::Sx1262 => "sx1262",
            Self::Sx1276 => "sx1276",
        }
    }
}

/// How a board is wired and what stands on it. Lines are numbered as on the GPIO chip, not
/// as on the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Its chip.
    pub chip: ChipKind,
    /// SPI device of the usual overlay.
    pub spi: &'static str,
    /// Line of DIO1 (DIO0 of an SX1276).
    pub irq_line: u32,
    /// Line of NRESET.
    pub reset_line: u32,
    /// Line of BUSY.
    pub busy_line: Option<u32>,
    /// Line that is high while transmitting.
    pub transmit_line: Option<u32>,
    /// Line that is high while receiving.
    pub receive_line: Option<u32>,
    /// Lines that are always high.
    pub enable_lines: &'static [u32],
    /// Supply of the TCXO on DIO3 of an SX126x, millivolts; 0: a crystal.
    pub tcxo_mv: u32,
    /// Whether DIO2 of an SX126x switches the antenna.
    pub dio2_switches_antenna: bool,
    /// Whether the antenna of an SX1276 is on PA_BOOST.
    pub pa_boost: bool,
}

const SX1262: Preset = Preset {
    name: "",
    chip: ChipKind::Sx1262,
    spi: "/dev/spidev0.0",
    irq_line: 16,
    reset_line: 18,
    busy_line: Some(20),
    transmit_line: None,
    receive_line: None,
    enable_lines: &[],
    tcxo_mv: 0,
    dio2_switches_antenna: true,
    pa_boost: false,
};

const RFM95: Preset = Preset {
    chip: ChipKind::Sx1276,
    busy_line: None,
    dio2_switches_antenna: false,
    pa_boost: true,
    ..SX1262
};

/// All that are known by name.
pub const PRESETS: [Preset; 6] = [
    // Chip select on GPIO 21; GPIO 6 supplies the antenna switch.
    Preset { name: "waveshare-sx1262-hat", enable_lines: &[6], ..SX1262 },
    // Slot 1 of the carrier; GPIO 12 and 13 supply module and switch.
    Preset {
        name: "rak6421-rak13300",
        irq_line: 22,
        reset_line: 16,
        busy_line: Some(24),
        enable_lines: &[12, 13],
        tcxo_mv: 1800,
        ..SX1262
    },
    // DIO2 wired to TXEN on the carrier, RXEN to GPIO 12.
    Preset { name: "e22-900m22s", reset_line: 24, receive_line: Some(12), tcxo_mv: 1800, ..SX1262 },
    // TXEN to GPIO 13, RXEN to GPIO 12; chip select on GPIO 21.
    Preset {
        name: "e22-900m30s",
        transmit_line: Some(13),
        receive_line: Some(12),
        tcxo_mv: 1800,
        dio2_switches_antenna: false,
        ..SX1262
    },
    // Chip select CE1.
    Preset {
        name: "adafruit-rfm95-bonnet",
        spi: "/dev/spidev0.1",
        irq_line: 22,
        reset_line: 25,
        ..RFM95
    },
    // Chip select on GPIO 25.
    Preset { name: "dragino-lora-gps-hat", irq_line: 4, reset_line: 17, ..RFM95 },
];

/// The voltages that an SX126x can supply to a TCXO (SX1261/2 datasheet rev 2.1,
/// table 13-35), millivolts; 0: none.
pub const TCXO_MV: [u32; 9] = [0, 1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Lines of SPI0 on the header: MISO, MOSI, SCLK, and the chip selects.
    const OF_SPI: [u32; 3] = [9, 10, 11];

    #[test]
    fn no_board_uses_a_line_twice_and_names_are_its_own() {
        let names: BTreeSet<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        assert_eq!(names.len(), PRESETS.len());
        for preset in PRESETS {
            let single = [Some(preset.irq_line), Some(preset.reset_line), preset.busy_line];
            let switches = [preset.transmit_line, preset.receive_line];
            let lines: Vec<u32> = single
                .into_iter()
                .chain(switches)
                .flatten()
                .chain(preset.enable_lines.iter().copied())
                .chain(OF_SPI)
                .collect();
            let unique: BTreeSet<u32> = lines.iter().copied().collect();
            assert_eq!(unique.len(), lines.len(), "{}: {lines:?}", preset.name);
            assert!(lines.iter().all(|line| *line < 28), "{}: {lines:?}", preset.name);
            assert!(TCXO_MV.contains(&preset.tcxo_mv), "{}", preset.name);
            assert_eq!(preset.busy_line.is_none(), preset.chip == ChipKind::Sx1276);
        }
    }
}
