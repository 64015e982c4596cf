//! Who may speak: the enrolled pendants with their keys, PINs and wearers.

use super::by_pendant::ByPendant;
use super::device::Device;
use super::event::{Authentication, Boot, EventIdKey};
use super::lorawan::{Activation, Eui};
use super::name::Name;
use super::pin::PinVerifier;
use super::settings::Settings;
use pendant_protocol::{DownlinkKey, EnrolmentKey, PendantId, UplinkKey};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Index;

/// Tells one enrolment of a pendant from every other, also after re-enrolment
/// under the same number. Random; 0 is never used.
pub type EnrolmentId = u64;

/// What `enroll` made for one pendant.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The pendant's number on the air.
    pub pendant: PendantId,
    /// This enrolment.
    pub id: EnrolmentId,
    /// Who wears it.
    pub wearer: Name,
    /// What is shared with the pendant, and with its wearer.
    pub secrets: Secrets,
}

/// What only the pendant, its wearer and the gateways know.
#[derive(Clone, Debug)]
pub enum Secrets {
    /// Of a native pendant.
    Native {
        /// The secret shared with the pendant.
        key: EnrolmentKey,
        /// The wearer's PINs. Until they are typed every PIN that is entered is wrong.
        pins: Option<PinVerifier>,
    },
    /// Of a LoRaWAN pendant, which has no digits.
    LoRaWan(Activation),
    /// Of a pendant that nobody vouches for: none, but a number.
    Claimed {
        /// A Meshtastic node's number, or an Inovonics transmitter's.
        number: u32,
    },
}

/// What is needed of an enrolment, with the keys that are derived from it once, not at
/// every frame.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) pendant: PendantId,
    pub(super) enrolment: EnrolmentId,
    pub(super) wearer: Name,
    pub(super) keys: MemberKeys,
    pub(super) event_id: EventIdKey,
}

/// See [`Secrets`].
#[derive(Clone, Debug)]
pub(super) enum MemberKeys {
    Native { uplink: UplinkKey, downlink: DownlinkKey, pins: Option<PinVerifier> },
    LoRaWan { shared: Activation, device: Option<Device> },
    Claimed { device: Option<Device> },
}

/// Everybody who may speak, and by which addresses LoRaWAN devices are known.
#[derive(Debug, Default)]
pub(super) struct Members {
    all: ByPendant<Member>,
    addresses: BTreeMap<u32, Vec<PendantId>>,
    numbers: BTreeMap<Eui, PendantId>,
    claimed: BTreeMap<u32, PendantId>,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, pendant: PendantId) -> Option<&Member> {
        self.all.get(pendant)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PendantId, &Member)> {
        self.all.iter()
    }

    pub(super) fn speak_lorawan(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Devices that may have this address. As a rule it is one; those with a given
    /// session (ABP) brought theirs along.
    pub(super) fn with_address(&self, dev_addr: u32) -> impl Iterator<Item = PendantId> {
        self.addresses.get(&dev_addr).into_iter().flatten().copied()
    }

    /// The pendant with this number, if nobody vouches for it.
    pub(super) fn claimed(&self, number: u32) -> Option<PendantId> {
        self.claimed.get(&number).copied()
    }

    pub(super) fn with_number(&self, dev_eui: Eui) -> Option<PendantId> {
        self.numbers.get(&dev_eui).copied()
    }
}

impl Index<PendantId> for Members {
    type Output = Member;

    fn index(&self, pendant: PendantId) -> &Member {
        &self.all[pendant]
    }
}

impl Member {
    /// What vouches for what it says.
    pub(super) fn authentication(&self) -> Authentication {
        match self.keys {
            MemberKeys::Native { .. } => Authentication::Native,
            MemberKeys::LoRaWan { .. } => Authentication::LoRaWan,
            MemberKeys::Claimed { .. } => Authentication::None,
        }
    }

    /// A LoRaWAN device's address in its frames: its pendant number, in the network 0,
    /// unless it was given another.
    pub(super) fn dev_addr(&self) -> u32 {
        match &self.keys {
            MemberKeys::LoRaWan { shared: Activation::Abp { dev_addr, .. }, .. } => *dev_addr,
            _ => self.pendant.get(),
        }
    }
}

/// All enrolments, by pendant.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    enrolments: BTreeMap<PendantId, Enrolment>,
    unreadable: BTreeSet<PendantId>,
}

impl Keyring {
    /// An empty keyring: every frame is refused as unknown.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an enrolment; gives back the one that it replaces.
    pub fn insert(&mut self, enrolment: Enrolment) -> Option<Enrolment> {
        self.unreadable.remove(&enrolment.pendant);
        self.enrolments.insert(enrolment.pendant, enrolment)
    }

    /// Revokes: the pendant is unknown from now on.
    pub fn remove(&mut self, pendant: PendantId) -> Option<Enrolment> {
        self.enrolments.remove(&pendant)
    }

    /// A pendant is enrolled, and nobody knows how: it is unknown like one that is revoked,
    /// but the centre is told.
    pub fn insert_unreadable(&mut self, pendant: PendantId) {
        self.enrolments.remove(&pendant);
        self.unreadable.insert(pendant);
    }

    /// Whose enrolment cannot be read, in order.
    #[must_use]
    pub const fn unreadable(&self) -> &BTreeSet<PendantId> {
        &self.unreadable
    }

    /// One pendant's enrolment.
    #[must_use]
    pub fn find(&self, pendant: PendantId) -> Option<&Enrolment> {
        self.enrolments.get(&pendant)
    }

    /// All enrolments in order of pendant.
    pub fn iter(&self) -> impl Iterator<Item = &Enrolment> {
        self.enrolments.values()
    }

    /// How many pendants are enrolled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.enrolments.len()
    }

    /// Whether nobody is enrolled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.enrolments.is_empty()
    }

    /// Derives what a gateway with these settings needs for each pendant in this boot.
    pub(super) fn members(&self, settings: &Settings, boot: Boot) -> Members {
        let mut members = Members::default();
        let all = self.enrolments.values().map(|enrolment| {
            let member = Member::of(enrolment, settings, boot);
            let listened_to = settings.lorawan.is_some();
            if let (MemberKeys::LoRaWan { shared, .. }, true) = (&member.keys, listened_to) {
                members.addresses.entry(member.dev_addr()).or_default().push(enrolment.pendant);
                if let Activation::Otaa { dev_eui, .. } = shared {
                    members.numbers.insert(*dev_eui, enrolment.pendant);
                }
            }
            if let Secrets::Claimed { number } = enrolment.secrets {
                members.claimed.insert(number, enrolment.pendant);
            }
            (enrolment.pendant, member)
        });
        members.all = all.collect();
        members
    }
}

impl Member {
    fn of(enrolment: &Enrolment, settings: &Settings, boot: Boot) -> Self {
        let (keys, event_id) = match &enrolment.secrets {
            Secrets::Native { key, pins } => (
                MemberKeys::Native {
                    uplink: key.uplink(),
                    downlink: key.downlink(settings.slot),
                    pins: pins.clone(),
                },
                EventIdKey::derive(key.as_bytes(), &[]),
            ),
            Secrets::LoRaWan(shared) => {
                let device = settings.devices.get(&enrolment.pendant).cloned();
                let keys = MemberKeys::LoRaWan { shared: shared.clone(), device };
                (keys, lorawan_event_ids(shared, enrolment.id))
            }
            Secrets::Claimed { .. } => {
                let device = settings.devices.get(&enrolment.pendant).cloned();
                // Whoever can claim to be the pendant needs no id to be guessed. Its counters are
                // made here, and those that a power cut takes come again: in another boot.
                let life = [enrolment.id.to_le_bytes(), boot.to_le_bytes()].concat();
                let event_id = EventIdKey::derive(&[0; 16], &life);
                (MemberKeys::Claimed { device }, event_id)
            }
        };
        Self {
            pendant: enrolment.pendant,
            enrolment: enrolment.id,
            wearer: enrolment.wearer.clone(),
            keys,
            event_id,
        }
    }
}

/// A device that joins keeps its key when it is enrolled anew, but its counter begins
/// again here: the enrolment tells its events apart. One with a given session (ABP) counts
/// on, and every gateway that has its keys gives one press one id. Its address is in it,
/// since some makers give all their devices the same keys.
fn lorawan_event_ids(shared: &Activation, enrolment: EnrolmentId) -> EventIdKey {
    match shared {
        Activation::Otaa { app_key, .. } => {
            EventIdKey::derive(app_key.as_bytes(), &enrolment.to_le_bytes())
        }
        Activation::Abp { nwk_s_key, dev_addr, .. } => {
            EventIdKey::derive(nwk_s_key.as_bytes(), &dev_addr.to_le_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pendant_is_enrolled_once_and_is_unknown_when_it_is_revoked() {
        let pendant = |number| PendantId::new(number).expect("a number");
        let enrolment = |number: u32, id| Enrolment {
            pendant: pendant(number),
            id,
            wearer: Name::new("nurse-7").expect("a name"),
            secrets: Secrets::Claimed { number },
        };
        let mut keyring = Keyring::new();
        assert!(keyring.is_empty());
        for number in [1, 2, 3] {
            assert!(keyring.insert(enrolment(number, u64::from(number))).is_none());
        }
        assert_eq!(keyring.insert(enrolment(2, 9)).map(|replaced| replaced.id), Some(2));
        assert!(!keyring.is_empty() && keyring.len() == 3);
        assert_eq!(keyring.remove(pendant(3)).map(|revoked| revoked.id), Some(3));
        assert!(keyring.find(pendant(3)).is_none());
        assert_eq!(keyring.iter().map(|enrolment| enrolment.id).collect::<Vec<_>>(), [1, 9]);
    }
}
