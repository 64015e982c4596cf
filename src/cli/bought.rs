//! What a pendant that was bought is known by, as it is typed, scanned or imported, and
//! what keeps it from being enrolled.

use crate::config::Config;
use crate::engine::keyring::{Keyring, Secrets};
use crate::engine::lorawan::{Activation, DevNonceRule, Eui, SecretKey};
use pendant_protocol::PendantId;
use zeroize::Zeroizing;

/// By what a device is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Number {
    /// A LoRaWAN device that joins.
    DevEui(Eui),
    /// A LoRaWAN device that was given its session (ABP).
    DevAddr(u32),
    /// One that nobody vouches for.
    Node(u32),
}

impl Number {
    /// By what an enrolled pendant is known, if it was bought.
    pub(super) fn of(secrets: &Secrets) -> Option<Self> {
        match secrets {
            Secrets::Native { .. } => None,
            Secrets::LoRaWan(Activation::Otaa { dev_eui, .. }) => Some(Self::DevEui(*dev_eui)),
            Secrets::LoRaWan(Activation::Abp { dev_addr, .. }) => Some(Self::DevAddr(*dev_addr)),
            Secrets::Claimed { number } => Some(Self::Node(*number)),
        }
    }

    /// Why the gateway would not hear it.
    pub(super) fn unheard(self, config: &Config) -> Option<&'static str> {
        match self {
            Self::Node(_) if !config.hears_unvouched() => Some(
                "no [[link]] listens to such pendants: it has codec = \"meshtastic\" or \"echostream\"",
            ),
            Self::DevEui(_) | Self::DevAddr(_) if config.lorawan.is_none() => Some(
                "this gateway does not listen to LoRaWAN: write a section [lorawan] into the configuration",
            ),
            _ => None,
        }
    }

    /// Another pendant as which this device is enrolled.
    pub(super) fn enrolled_as(self, keyring: &Keyring, pendant: PendantId) -> Option<PendantId> {
        let others = keyring.iter().filter(|other| other.pendant != pendant);
        others
            .filter(|other| Self::of(&other.secrets) == Some(self))
            .map(|other| other.pendant)
            .next()
    }
}

/// What a pendant is, in a word for lists and files.
pub(super) fn kind(secrets: &Secrets) -> &'static str {
    match secrets {
        Secrets::Native { .. } => "native",
        Secrets::LoRaWan(Activation::Otaa { .. }) => "lorawan",
        Secrets::LoRaWan(Activation::Abp { .. }) => "lorawan-abp",
        Secrets::Claimed { .. } => "unvouched",
    }
}

/// How a device numbers its joins, as `--nonces` and the column `nonces` name it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Nonces {
    Random,
    Rising,
}

impl From<Nonces> for DevNonceRule {
    fn from(nonces: Nonces) -> Self {
        match nonces {
            Nonces::Random => Self::Random,
            Nonces::Rising => Self::Rising,
        }
    }
}

/// Digits as makers print them, with or without signs between the bytes.
pub(super) fn read_key(text: &str) -> Option<SecretKey> {
    let mut key = Zeroizing::new([0; 16]);
    let mut digits = text.trim().chars().filter(|sign| !matches!(sign, ' ' | ':' | '-'));
    for byte in key.iter_mut() {
        let (high, low) = (digits.next()?.to_digit(16)?, digits.next()?.to_digit(16)?);
        *byte = (high * 16 + low) as u8;
    }
    digits.next().is_none().then(|| SecretKey::from_bytes(*key))
}

pub(super) fn parse_eui(text: &str) -> Result<Eui, String> {
    let digits: String = text.chars().filter(|sign| !matches!(sign, ':' | '-')).collect();
    let whole = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = whole.then(|| u64::from_str_radix(&digits, 16).ok()).flatten();
    number.map(Eui).ok_or_else(|| "an EUI has 16 hexadecimal digits".to_owned())
}

pub(super) fn parse_address(text: &str) -> Result<u32, String> {
    let whole = text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = whole.then(|| u32::from_str_radix(text, 16).ok()).flatten();
    number.ok_or_else(|| "a device's address or number has 8 hexadecimal digits".to_owned())
}
