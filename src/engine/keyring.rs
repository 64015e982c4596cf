//! Who may speak: the enrolled pendants with their keys, PINs and wearers.

use super::by_pendant::ByPendant;
use super::name::Name;
use super::pin::PinVerifier;
use pendant_protocol::{DownlinkKey, EnrolmentKey, PendantId, Slot, UplinkKey};
use std::collections::BTreeMap;

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
    /// The secret shared with the pendant.
    pub key: EnrolmentKey,
    /// Who wears it.
    pub wearer: Name,
    /// The wearer's PINs.
    pub pins: PinVerifier,
}

/// An enrolment with the keys that are derived from it once, not at every frame.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) enrolment: Enrolment,
    pub(super) uplink: UplinkKey,
    pub(super) downlink: DownlinkKey,
    pub(super) event_id: super::event::EventIdKey,
}

/// All enrolments, by pendant.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    enrolments: BTreeMap<PendantId, Enrolment>,
}

impl Keyring {
    /// An empty keyring: every frame is refused as unknown.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an enrolment; gives back the one that it replaces.
    pub fn insert(&mut self, enrolment: Enrolment) -> Option<Enrolment> {
        self.enrolments.insert(enrolment.pendant, enrolment)
    }

    /// Revokes: the pendant is unknown from now on.
    pub fn remove(&mut self, pendant: PendantId) -> Option<Enrolment> {
        self.enrolments.remove(&pendant)
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

    /// Derives what the gateway in `slot` needs for each pendant.
    pub(super) fn members(&self, slot: Slot) -> ByPendant<Member> {
        self.enrolments
            .values()
            .map(|enrolment| {
                let member = Member {
                    uplink: enrolment.key.uplink(),
                    downlink: enrolment.key.downlink(slot),
                    event_id: super::event::EventIdKey::derive(&enrolment.key),
                    enrolment: enrolment.clone(),
                };
                (enrolment.pendant, member)
            })
            .collect()
    }
}
