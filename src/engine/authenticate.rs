//! First steps of a frame: bytes -> `Sealed` (one of ours, perhaps) ->
//! `Authentic` (made with the pendant's key). Costs at most one decryption.

use super::by_pendant::ByPendant;
use super::keyring::Member;
use super::notice::Refusal;
use pendant_protocol::{Message, PendantId, SealedUplink};

/// A frame that names an enrolled pendant. Nothing in it is believed yet.
pub(super) struct Sealed<'k> {
    frame: SealedUplink,
    member: &'k Member,
}

/// A frame that was made with the pendant's key. It may be old.
pub(super) struct Authentic<'k> {
    member: &'k Member,
    counter: u32,
    tag: u64,
    message: Message,
}

impl<'k> Sealed<'k> {
    /// Finds whose frame it claims to be.
    pub(super) fn identify(bytes: &[u8], members: &'k ByPendant<Member>) -> Result<Self, Refusal> {
        let frame = SealedUplink::parse(bytes).map_err(|_| Refusal::Malformed)?;
        let member = members.get(frame.pendant()).ok_or(Refusal::UnknownPendant)?;
        Ok(Self { frame, member })
    }

    /// Opens it with that pendant's key.
    pub(super) fn authenticate(self) -> Result<Authentic<'k>, Refusal> {
        let message = self.frame.open(&self.member.uplink).map_err(|_| Refusal::Forged)?;
        Ok(Authentic {
            member: self.member,
            counter: self.frame.counter(),
            tag: self.frame.tag(),
            message,
        })
    }
}

impl<'k> Authentic<'k> {
    pub(super) fn member(&self) -> &'k Member {
        self.member
    }

    pub(super) fn pendant(&self) -> PendantId {
        self.member.enrolment.pendant
    }

    pub(super) fn counter(&self) -> u32 {
        self.counter
    }

    pub(super) fn tag(&self) -> u64 {
        self.tag
    }

    pub(super) fn message(&self) -> &Message {
        &self.message
    }
}
