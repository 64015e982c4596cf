//! `enroll` of a pendant that was bought: its numbers and keys stand on its label.

use super::secret_entry::{QuietTerminal, ask, read_descriptor};
use super::{Failure, tell};
use crate::config::Config;
use crate::engine::keyring::{Keyring, Secrets};
use crate::engine::lorawan::{Activation, DevNonceRule, Eui, SecretKey};
use pendant_protocol::PendantId;
use zeroize::Zeroizing;

/// Two keys of 32 digits with line ends, and room to see that there is more.
const KEYS_BYTES_MAX: u64 = 128;

#[derive(clap::Args)]
pub(super) struct BoughtArguments {
    /// DevEUI of a LoRaWAN pendant that joins: 16 hexadecimal digits, on its label
    #[arg(long, value_name = "EUI", value_parser = parse_eui, conflicts_with = "pins_fd")]
    dev_eui: Option<Eui>,
    /// JoinEUI (AppEUI) that it calls; any if left out
    #[arg(long, value_name = "EUI", value_parser = parse_eui, requires = "dev_eui")]
    join_eui: Option<Eui>,
    /// How it numbers its joins: as LoRaWAN 1.0.4 (rising), or 1.0.2 and 1.0.3 (random)
    #[arg(long, value_enum, default_value_t = Nonces::Random, requires = "dev_eui")]
    nonces: Nonces,
    /// Address of a LoRaWAN pendant that was given its session (ABP): 8 hexadecimal digits
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address,
          conflicts_with_all = ["dev_eui", "pins_fd"])]
    dev_addr: Option<u32>,
    /// Number of a Meshtastic node or an Inovonics transmitter, which nobody vouches for: 8
    /// hexadecimal digits
    #[arg(long, value_name = "NUMBER", value_parser = parse_address,
          conflicts_with_all = ["dev_eui", "dev_addr", "pins_fd", "keys_fd"])]
    node: Option<u32>,
    /// Read keys from this open file descriptor: AppKey, or NwkSKey and AppSKey, a line each
    #[arg(long, value_name = "N", conflicts_with = "pins_fd")]
    keys_fd: Option<u32>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Nonces {
    Random,
    Rising,
}

impl BoughtArguments {
    /// Whether the pendant was bought, and brings along what it has.
    pub(super) fn are_given(&self) -> bool {
        self.dev_eui.is_some() || self.dev_addr.is_some() || self.node.is_some()
    }

    /// Keys belong to a device that is named.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.keys_fd.is_some() && !self.are_given() {
            return Err(Failure::refused(
                "--keys-fd is for a pendant with --dev-eui or --dev-addr",
            ));
        }
        Ok(())
    }

    /// What the pendant brings along. What could not work is refused before anybody types a
    /// key.
    pub(super) fn secrets(
        &self,
        config: &Config,
        keyring: &Keyring,
        pendant: PendantId,
    ) -> Result<Secrets, Failure> {
        look_before(config, keyring, pendant, self)?;
        let secrets = self.read()?;
        refuse_the_same_session(keyring, pendant, &secrets)?;
        Ok(secrets)
    }

    fn read(&self) -> Result<Secrets, Failure> {
        if let Some(number) = self.node {
            return Ok(Secrets::Claimed { number });
        }
        let activation = match (self.dev_eui, self.dev_addr) {
            (Some(dev_eui), _) => {
                let [app_key] = self.keys(["AppKey"])?;
                Activation::Otaa {
                    dev_eui,
                    join_eui: self.join_eui,
                    app_key,
                    nonces: match self.nonces {
                        Nonces::Random => DevNonceRule::Random,
                        Nonces::Rising => DevNonceRule::Rising,
                    },
                }
            }
            (None, dev_addr) => {
                let [nwk_s_key, app_s_key] = self.keys(["NwkSKey", "AppSKey"])?;
                Activation::Abp { dev_addr: dev_addr.unwrap_or_default(), nwk_s_key, app_s_key }
            }
        };
        Ok(Secrets::LoRaWan(activation))
    }

    fn keys<const N: usize>(&self, names: [&str; N]) -> Result<[SecretKey; N], Failure> {
        let texts = match self.keys_fd {
            Some(descriptor) => from_descriptor(descriptor, names)?,
            None => from_installer(names)?,
        };
        let mut keys = names.map(|_| SecretKey::from_bytes([0; 16]));
        for ((key, text), name) in keys.iter_mut().zip(&texts).zip(names) {
            *key = read_key(text).ok_or_else(|| {
                Failure::failed(format!("{name} has 32 hexadecimal digits; nothing was changed"))
            })?;
        }
        Ok(keys)
    }
}

/// A device with a given session (ABP) counts on in it, or begins again and repeats the
/// counters that it has used: with the same keys it cannot be told from a replay.
fn refuse_the_same_session(
    keyring: &Keyring,
    pendant: PendantId,
    secrets: &Secrets,
) -> Result<(), Failure> {
    let given = |secrets: &Secrets| match secrets {
        Secrets::LoRaWan(Activation::Abp { nwk_s_key, .. }) => Some(nwk_s_key.clone()),
        _ => None,
    };
    let known = keyring.find(pendant).and_then(|enrolment| given(&enrolment.secrets));
    if known.is_some() && known == given(secrets) {
        return Err(Failure::failed(format!(
            "pendant {pendant} is enrolled with this session; if its counter began again, give it new \
             session keys, or let it join (--dev-eui): with the old ones its presses cannot be told from \
             recorded ones. Nothing was changed"
        )));
    }
    Ok(())
}

fn look_before(
    config: &Config,
    keyring: &Keyring,
    pendant: PendantId,
    arguments: &BoughtArguments,
) -> Result<(), Failure> {
    refuse_unheard(config, arguments)?;
    let other = keyring.iter().find(|other| {
        let same = match &other.secrets {
            Secrets::Native { .. } => false,
            Secrets::Claimed { number } => Some(*number) == arguments.node,
            Secrets::LoRaWan(Activation::Otaa { dev_eui, .. }) => {
                Some(*dev_eui) == arguments.dev_eui
            }
            Secrets::LoRaWan(Activation::Abp { dev_addr, .. }) => {
                Some(*dev_addr) == arguments.dev_addr
            }
        };
        same && other.pendant != pendant
    });
    if let Some(other) = other {
        return Err(Failure::failed(format!(
            "that device is enrolled already, as pendant {}; revoke it first",
            other.pendant
        )));
    }
    if !config.pendants.devices.contains_key(&pendant) {
        tell(&format!(
            "The configuration does not say which device {pendant} is: without it nothing that it says \
             is understood. Write a [[pendant]] with number = \"{pendant}\" and its device."
        ));
    }
    Ok(())
}

fn refuse_unheard(config: &Config, arguments: &BoughtArguments) -> Result<(), Failure> {
    let text = match arguments.node {
        Some(_) if !config.hears_unvouched() => {
            "no [[link]] listens to such pendants: it has codec = \"meshtastic\" or \"echostream\""
        }
        None if config.lorawan.is_none() => {
            "this gateway does not listen to LoRaWAN: write a section [lorawan] into the configuration"
        }
        _ => return Ok(()),
    };
    Err(Failure::failed(text))
}

fn from_descriptor<const N: usize>(
    descriptor: u32,
    names: [&str; N],
) -> Result<Vec<Zeroizing<String>>, Failure> {
    let text = read_descriptor(descriptor, "keys", KEYS_BYTES_MAX)?;
    let lines: Vec<_> = text.lines().map(|line| Zeroizing::new(line.to_owned())).collect();
    if lines.len() != N {
        let names = names.join(", then ");
        return Err(Failure::refused(format!(
            "file descriptor {descriptor} must give a line each: {names}"
        )));
    }
    Ok(lines)
}

fn from_installer<const N: usize>(names: [&str; N]) -> Result<Vec<Zeroizing<String>>, Failure> {
    let _quiet = QuietTerminal::open("keys", "--keys-fd")?;
    tell(
        "Type or paste what stands on the pendant's label or in its maker's file; nothing is shown.",
    );
    names.into_iter().map(ask).collect()
}

/// Digits as makers print them, with or without signs between the bytes.
fn read_key(text: &str) -> Option<SecretKey> {
    let mut key = Zeroizing::new([0; 16]);
    let mut digits = text.trim().chars().filter(|sign| !matches!(sign, ' ' | ':' | '-'));
    for byte in key.iter_mut() {
        let (high, low) = (digits.next()?.to_digit(16)?, digits.next()?.to_digit(16)?);
        *byte = (high * 16 + low) as u8;
    }
    digits.next().is_none().then(|| SecretKey::from_bytes(*key))
}

fn parse_eui(text: &str) -> Result<Eui, String> {
    let digits: String = text.chars().filter(|sign| !matches!(sign, ':' | '-')).collect();
    let whole = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = whole.then(|| u64::from_str_radix(&digits, 16).ok()).flatten();
    number.map(Eui).ok_or_else(|| "an EUI has 16 hexadecimal digits".to_owned())
}

fn parse_address(text: &str) -> Result<u32, String> {
    let whole = text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = whole.then(|| u32::from_str_radix(text, 16).ok()).flatten();
    number.ok_or_else(|| "a device's address or number has 8 hexadecimal digits".to_owned())
}
