//! `[[wire]]`: what carries frames.

use pendant_hal::radio::RadioSettings;
use pendant_hal::serial::Codec;
use serde::Deserialize;
use std::path::PathBuf;

/// One wire.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum WireSettings {
    /// A pseudo terminal that the gateway opens as a serial port.
    Pty {
        /// The name by which pendants refer to it.
        name: String,
        /// Where a symbolic link to it is made.
        link: Option<PathBuf>,
    },
    /// A real serial port.
    Serial {
        /// The name by which pendants refer to it.
        name: String,
        /// The device file.
        path: PathBuf,
        /// Bits per second.
        #[serde(default = "default_baud")]
        baud: u32,
        /// What is spoken on it.
        #[serde(default)]
        codec: WireCodec,
    },
    /// A virtual air, which the gateway joins through a socket.
    Radio {
        /// The name by which pendants refer to it.
        name: String,
        /// The socket that is made.
        socket: PathBuf,
        /// Carrier frequency, Hz.
        #[serde(default = "default_frequency_hz")]
        frequency_hz: u32,
        /// Carrier frequency of answers, Hz. If left out: the same.
        downlink_frequency_hz: Option<u32>,
        /// Spreading factor, 5 to 12.
        #[serde(default = "default_spreading_factor")]
        spreading_factor: u8,
        /// Bandwidth, Hz.
        #[serde(default = "default_bandwidth_hz")]
        bandwidth_hz: u32,
    },
}

/// What is spoken on a real serial port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireCodec {
    /// Bare frames in COBS.
    #[default]
    Cobs,
    /// The AT commands of a REYAX RYLR998.
    Rylr998,
}

impl From<WireCodec> for Codec {
    fn from(codec: WireCodec) -> Self {
        match codec {
            WireCodec::Cobs => Self::Cobs { envelope: false },
            WireCodec::Rylr998 => Self::Rylr998,
        }
    }
}

/// A pendant's radio where nothing else is said.
pub const RADIO: RadioSettings = RadioSettings::BENCH;

fn default_baud() -> u32 {
    115_200
}

fn default_frequency_hz() -> u32 {
    RADIO.frequency_hz
}

fn default_spreading_factor() -> u8 {
    RADIO.spreading_factor
}

fn default_bandwidth_hz() -> u32 {
    RADIO.bandwidth_hz
}

impl WireSettings {
    /// How the radio is set, if it is one: as a gateway's `virtual-radio` link
    /// is, whose other settings are fixed.
    #[must_use]
    pub fn radio(&self) -> Option<RadioSettings> {
        let Self::Radio {
            frequency_hz, downlink_frequency_hz, spreading_factor, bandwidth_hz, ..
        } = *self
        else {
            return None;
        };
        let downlink_frequency_hz = downlink_frequency_hz.unwrap_or(frequency_hz);
        Some(RadioSettings {
            frequency_hz,
            downlink_frequency_hz,
            spreading_factor,
            bandwidth_hz,
            ..RADIO
        })
    }

    /// The name by which pendants refer to it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Pty { name, .. } | Self::Serial { name, .. } | Self::Radio { name, .. } => name,
        }
    }
}
