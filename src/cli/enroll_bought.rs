//! `enroll` of a pendant that was bought: its numbers and keys stand on its label.

use super::bought::{Nonces, Number, parse_address, parse_eui, read_key};
use super::secret_entry::{QuietTerminal, ask, read_descriptor};
use super::tr005::{self, Label};
use super::{Failure, tell};
use crate::config::Config;
use crate::engine::keyring::{Keyring, Secrets};
use crate::engine::lorawan::{Activation, Eui, SecretKey};
use pendant_protocol::PendantId;
use std::vec::IntoIter;
use zeroize::Zeroizing;

/// Two keys of 32 digits, or a label's text and a key, with line ends, and room to see
/// that there is more.
const LINES_BYTES_MAX: u64 = 640;
/// After so many labels that could not be read something else is wrong.
const SCANS_MAX: usize = 5;

#[derive(clap::Args)]
pub(super) struct BoughtArguments {
    /// DevEUI of a LoRaWAN pendant that joins: 16 hexadecimal digits, on its label
    #[arg(long, value_name = "EUI", value_parser = parse_eui, group = "joins",
          conflicts_with = "pins_fd")]
    dev_eui: Option<Eui>,
    /// Scan the QR code on the label of a LoRaWAN pendant that joins (TR005): a scanner types its
    /// text; the AppKey is asked for
    #[arg(long, group = "joins", conflicts_with_all = ["pins_fd", "join_eui"])]
    scan: bool,
    /// JoinEUI (AppEUI) that it calls; any if left out
    #[arg(long, value_name = "EUI", value_parser = parse_eui, requires = "dev_eui")]
    join_eui: Option<Eui>,
    /// How it numbers its joins: as LoRaWAN 1.0.4 (rising), or 1.0.2 and 1.0.3 (random)
    #[arg(long, value_enum, default_value_t = Nonces::Random, requires = "joins")]
    nonces: Nonces,
    /// Address of a LoRaWAN pendant that was given its session (ABP): 8 hexadecimal digits
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address,
          conflicts_with_all = ["joins", "pins_fd"])]
    dev_addr: Option<u32>,
    /// Number of a Meshtastic node or an Inovonics transmitter, which nobody vouches for: 8
    /// hexadecimal digits
    #[arg(long, value_name = "NUMBER", value_parser = parse_address,
          conflicts_with_all = ["joins", "dev_addr", "pins_fd", "keys_fd"])]
    node: Option<u32>,
    /// Read secrets from this open file descriptor: AppKey, or NwkSKey and AppSKey, or with --scan
    /// the QR code's text and the AppKey, a line each
    #[arg(long, value_name = "N", conflicts_with = "pins_fd")]
    keys_fd: Option<u32>,
}

/// Where what nobody may see comes from.
enum Entry {
    Lines(IntoIter<Zeroizing<String>>),
    Typed { _unseen: QuietTerminal },
}

impl BoughtArguments {
    /// Whether the pendant was bought, and brings along what it has.
    pub(super) fn are_given(&self) -> bool {
        self.scan || self.dev_eui.is_some() || self.dev_addr.is_some() || self.node.is_some()
    }

    /// Keys belong to a device that is named.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.keys_fd.is_some() && !self.are_given() {
            return Err(Failure::refused(
                "--keys-fd is for a pendant with --dev-eui, --scan or --dev-addr",
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
        let look_before = |number| look_before(config, keyring, pendant, number);
        let secrets = if let Some(number) = self.node {
            look_before(Number::Node(number))?;
            Secrets::Claimed { number }
        } else if let Some(dev_addr) = self.dev_addr {
            look_before(Number::DevAddr(dev_addr))?;
            let mut entry = self.entry(&["NwkSKey", "AppSKey"])?;
            let (nwk_s_key, app_s_key) = (entry.key("NwkSKey")?, entry.key("AppSKey")?);
            Secrets::LoRaWan(Activation::Abp { dev_addr, nwk_s_key, app_s_key })
        } else if let Some(dev_eui) = self.dev_eui {
            look_before(Number::DevEui(dev_eui))?;
            let app_key = self.entry(&["AppKey"])?.key("AppKey")?;
            self.joining(dev_eui, self.join_eui, app_key)
        } else {
            let mut entry = self.entry(&["the QR code's text", "AppKey"])?;
            let label = entry.label()?;
            tell(&in_words(&label));
            look_before(Number::DevEui(label.dev_eui))?;
            self.joining(label.dev_eui, Some(label.join_eui), entry.key("AppKey")?)
        };
        refuse_the_same_session(keyring, pendant, &secrets)?;
        Ok(secrets)
    }

    fn joining(&self, dev_eui: Eui, join_eui: Option<Eui>, app_key: SecretKey) -> Secrets {
        let nonces = self.nonces.into();
        Secrets::LoRaWan(Activation::Otaa { dev_eui, join_eui, app_key, nonces })
    }

    fn entry(&self, names: &[&str]) -> Result<Entry, Failure> {
        if let Some(descriptor) = self.keys_fd {
            return Ok(Entry::Lines(lines(descriptor, names)?.into_iter()));
        }
        let unseen = QuietTerminal::open("keys", "--keys-fd")?;
        tell(
            "Scan, type or paste what stands on the pendant's label or in its maker's file; nothing is shown.",
        );
        Ok(Entry::Typed { _unseen: unseen })
    }
}

impl Entry {
    fn next(&mut self, name: &str) -> Result<Zeroizing<String>, Failure> {
        match self {
            Self::Lines(lines) => Ok(lines.next().expect("as many lines as are asked for")),
            Self::Typed { .. } => ask(name),
        }
    }

    fn key(&mut self, name: &str) -> Result<SecretKey, Failure> {
        read_key(&self.next(name)?).ok_or_else(|| {
            Failure::failed(format!("{name} has 32 hexadecimal digits; nothing was changed"))
        })
    }

    /// Scanners misread: whoever stands there scans once more.
    fn label(&mut self) -> Result<Label, Failure> {
        let mut tries = 1;
        loop {
            match tr005::parse(&self.next("QR code")?) {
                Ok(label) => return Ok(label),
                Err(fault) if tries == SCANS_MAX || matches!(self, Self::Lines(_)) => {
                    return Err(Failure::failed(format!(
                        "the QR code's text: {fault}; nothing was changed"
                    )));
                }
                Err(fault) => tell(&format!("That was no label: {fault}.")),
            }
            tries += 1;
        }
    }
}

/// For whoever holds the label to compare.
fn in_words(label: &Label) -> String {
    let Label { dev_eui, join_eui, vendor, vendor_profile } = label;
    format!(
        "The label says: DevEUI {dev_eui}, JoinEUI {join_eui}, maker {vendor:04x}, its profile \
         {vendor_profile:04x}."
    )
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
    number: Number,
) -> Result<(), Failure> {
    if let Some(text) = number.unheard(config) {
        return Err(Failure::failed(text));
    }
    if let Some(other) = number.enrolled_as(keyring, pendant) {
        return Err(Failure::failed(format!(
            "that device is enrolled already, as pendant {other}; revoke it first"
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

fn lines(descriptor: u32, names: &[&str]) -> Result<Vec<Zeroizing<String>>, Failure> {
    let text = read_descriptor(descriptor, "keys", LINES_BYTES_MAX)?;
    let lines: Vec<_> = text.lines().map(|line| Zeroizing::new(line.to_owned())).collect();
    if lines.len() != names.len() {
        let names = names.join(", then ");
        return Err(Failure::refused(format!(
            "file descriptor {descriptor} must give a line each: {names}"
        )));
    }
    Ok(lines)
}
