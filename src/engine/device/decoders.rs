//! One decoder for each layout of payloads, by maker. Garbage is refused, not
//! guessed: a wrong length, an unknown tag, a value that cannot be.

mod abeeway;
mod browan;
mod dragino;
mod mclimate;
mod milesight;
mod moko;
mod netvox;
mod sensecap;
mod tektelic;
mod unvouched;

use super::reading::Reading;
use std::fmt;

/// A layout of payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named for the devices that have it")]
pub enum Decoder {
    MilesightWs101,
    MilesightWs1x6,
    MilesightAt101,
    NetvoxButton,
    BrowanTbpb100,
    MclimateButton,
    SensecapT1000,
    /// TrackerD up to firmware 1.5.3.
    DraginoTrackerd,
    /// TrackerD from firmware 1.5.4 on: speed and course stand before the alarm.
    DraginoTrackerd154,
    DraginoPb01,
    DraginoPb05,
    /// All trackers with AT2 firmware.
    AbeewayAt2,
    MokoLw004,
    MokoLw001,
    TektelicSeal,
    MeshtasticNode,
    InovonicsEchostream,
}

/// Why a payload cannot be read. It holds nothing of the payload, which may be covert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The device does not use this port.
    Port,
    /// Too short or too long.
    Length,
    /// A tag or kind of message that is not known.
    Tag,
    /// A value that cannot be.
    Value,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Port => "a port that this device does not use",
            Self::Length => "too short or too long for this device",
            Self::Tag => "a part that this device's decoder does not know",
            Self::Value => "a value that cannot be",
        })
    }
}

impl std::error::Error for Unreadable {}

impl Decoder {
    /// All decoders with their names in profiles.
    pub const ALL: [(&'static str, Self); 17] = [
        ("milesight-ws101", Self::MilesightWs101),
        ("milesight-ws1x6", Self::MilesightWs1x6),
        ("milesight-at101", Self::MilesightAt101),
        ("netvox-button", Self::NetvoxButton),
        ("browan-tbpb100", Self::BrowanTbpb100),
        ("mclimate-button", Self::MclimateButton),
        ("sensecap-t1000", Self::SensecapT1000),
        ("dragino-trackerd", Self::DraginoTrackerd),
        ("dragino-trackerd-1.5.4", Self::DraginoTrackerd154),
        ("dragino-pb01", Self::DraginoPb01),
        ("dragino-pb05", Self::DraginoPb05),
        ("abeeway-at2", Self::AbeewayAt2),
        ("moko-lw004", Self::MokoLw004),
        ("moko-lw001", Self::MokoLw001),
        ("tektelic-seal", Self::TektelicSeal),
        ("meshtastic", Self::MeshtasticNode),
        ("inovonics-echostream", Self::InovonicsEchostream),
    ];

    /// Whether devices of this layout come by a serial receiver, with nothing that vouches
    /// for what they say. All others speak LoRaWAN.
    #[must_use]
    pub const fn is_unvouched(self) -> bool {
        matches!(self, Self::MeshtasticNode | Self::InovonicsEchostream)
    }

    /// Reads a decrypted payload.
    ///
    /// # Errors
    /// It is no payload of this layout.
    pub fn decode(self, port: u8, payload: &[u8]) -> Result<Reading, Unreadable> {
        match self {
            Self::MilesightWs101 => milesight::ws101(port, payload),
            Self::MilesightWs1x6 => milesight::ws1x6(port, payload),
            Self::MilesightAt101 => milesight::at101(port, payload),
            Self::NetvoxButton => netvox::button(port, payload),
            Self::BrowanTbpb100 => browan::tbpb100(port, payload),
            Self::MclimateButton => mclimate::button(port, payload),
            Self::SensecapT1000 => sensecap::t1000(port, payload),
            Self::DraginoTrackerd => dragino::trackerd(port, payload),
            Self::DraginoTrackerd154 => dragino::trackerd_1_5_4(port, payload),
            Self::DraginoPb01 => dragino::pb01(port, payload),
            Self::DraginoPb05 => dragino::pb05(port, payload),
            Self::AbeewayAt2 => abeeway::at2(port, payload),
            Self::MokoLw004 => moko::lw004(port, payload),
            Self::MokoLw001 => moko::lw001(port, payload),
            Self::TektelicSeal => tektelic::seal(port, payload),
            Self::MeshtasticNode => unvouched::meshtastic(port, payload),
            Self::InovonicsEchostream => unvouched::echostream(port, payload),
        }
    }
}
