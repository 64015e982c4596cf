//! `[[wire]]`: what carries frames.

use super::lorawan::{Plan, PlanName};
use pendant_hal::concentrator::Eui;
use pendant_hal::radio::RadioSettings;
use pendant_hal::serial::Codec;
use serde::{Deserialize, Deserializer, de};
use std::net::SocketAddr;
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
    /// A packet forwarder, through which LoRaWAN pendants are heard.
    Forwarder(ForwarderSettings),
}

/// A simulated packet forwarder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwarderSettings {
    /// The name by which devices refer to it.
    pub name: String,
    /// Where it calls: `listen` of the gateway's link.
    pub server: SocketAddr,
    /// Its number.
    #[serde(deserialize_with = "eui")]
    pub eui: Eui,
    /// Its counter at the start, microseconds.
    #[serde(default)]
    pub counter_us: u32,
    /// The band plan.
    #[serde(default)]
    pub region: PlanName,
    /// Of US915: the eight channels that are heard.
    pub sub_band: Option<u8>,
    /// Transmissions that the gateway does not hear, percent.
    #[serde(default)]
    pub uplinks_lost_percent: u8,
    /// Answers that the device does not hear, percent.
    #[serde(default)]
    pub downlinks_lost_percent: u8,
    /// Answers that it refuses first as too late, percent.
    #[serde(default)]
    pub too_late_percent: u8,
    /// Everything that is chance follows from it.
    #[serde(default)]
    pub seed: u64,
}

fn eui<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Eui, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| de::Error::custom("`eui` is not 16 hexadecimal digits"))
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

    /// The band plan, if it is a forwarder whose settings are right.
    #[must_use]
    pub fn plan(&self) -> Option<Plan> {
        let Self::Forwarder(settings) = self else { return None };
        Plan::new(settings.region, settings.sub_band)
    }

    /// What cannot be meant, and what to write.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(radio) = self.radio() {
            radio.check().map_err(|fault| fault.to_string())?;
        }
        let Self::Forwarder(settings) = self else { return Ok(()) };
        if self.plan().is_none() {
            return Err("give `sub_band`, 1 to 8, in US915, and none elsewhere".to_owned());
        }
        let percents = [
            ("uplinks_lost_percent", settings.uplinks_lost_percent),
            ("downlinks_lost_percent", settings.downlinks_lost_percent),
            ("too_late_percent", settings.too_late_percent),
        ];
        match percents.into_iter().find(|(_, percent)| *percent > 100) {
            Some((name, percent)) => Err(format!("{name} = {percent}: write 0 to 100")),
            None => Ok(()),
        }
    }

    /// The name by which pendants refer to it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Pty { name, .. } | Self::Serial { name, .. } | Self::Radio { name, .. } => name,
            Self::Forwarder(settings) => &settings.name,
        }
    }
}
