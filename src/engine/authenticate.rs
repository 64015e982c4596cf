//! First steps of a frame: bytes -> one of ours, perhaps -> `Authentic` (made with the
//! pendant's key). Costs at most one decryption natively; in LoRaWAN a few integrity
//! codes for each pendant with the frame's address. The one exception, a frame that only
//! claims to be a pendant's, is marked as such for good ([`Way::Claimed`]).

use super::by_pendant::ByPendant;
use super::claimed::{Brought, Claim};
use super::device::Downlink;
use super::event::EventId;
use super::keyring::{Member, MemberKeys, Members};
use super::lorawan::{DataUp, DevNonceRule, Frame, JoinRequest, Offer, Request, SecretKey, Uplink};
use super::notice::Refusal;
use super::pendant::PendantState;
use super::said::Said;
use super::time::Wall;
use pendant_protocol::{DownlinkKey, PendantId, SealedUplink};

/// A frame that was made with the pendant's key. It may be old.
pub(super) struct Authentic<'k> {
    member: &'k Member,
    counter: u32,
    said: Said,
    way: Way<'k>,
}

/// By which protocol a frame came, with what only that has.
pub(super) enum Way<'k> {
    Native {
        /// Tells a repetition from another frame: nobody without the key can choose it.
        tag: u64,
        /// The salt that the pendant heard last.
        echo: u16,
        key: &'k DownlinkKey,
    },
    LoRaWan {
        uplink: Uplink,
        /// What keeps the device from showing its signs, if it is to be sent.
        silencing: Option<&'k Downlink>,
    },
    /// Nobody vouches for it.
    Claimed {
        /// Tells a repetition from another frame, as far as anything does.
        tag: u64,
    },
}

/// A LoRaWAN device's request for a session, which may be granted.
pub(super) struct Joining<'k> {
    pub(super) member: &'k Member,
    pub(super) app_key: &'k SecretKey,
    pub(super) nonces: DevNonceRule,
    pub(super) offer: Offer,
}

/// What an authentic frame is about.
pub(super) enum Arrived<'k> {
    Message(Authentic<'k>),
    Joining(Joining<'k>),
    /// A request whose nonce was used, for the join with this event if it is the last.
    JoinedAgain(PendantId, Option<EventId>),
}

/// Takes what a link brought.
pub(super) fn arrive<'k>(
    brought: Option<Brought<'_>>,
    members: &'k Members,
    states: &ByPendant<PendantState>,
    now: Wall,
) -> Result<Arrived<'k>, Refusal> {
    match brought.ok_or(Refusal::Malformed)? {
        Brought::Frame(bytes) => authenticate(bytes, members, states, now),
        Brought::Claim(claim) => claimed(&claim, members, states).map(Arrived::Message),
    }
}

/// Whose frame it claims to be. That is all that is known of it.
fn claimed<'k>(
    claim: &Claim<'_>,
    members: &'k Members,
    states: &ByPendant<PendantState>,
) -> Result<Authentic<'k>, Refusal> {
    let pendant = members.claimed(claim.number).ok_or(Refusal::UnknownPendant)?;
    let (member, state) = (&members[pendant], &states[pendant]);
    let MemberKeys::Claimed { device } = &member.keys else {
        return Err(Refusal::UnknownPendant);
    };
    Ok(Authentic {
        member,
        // It has none of its own.
        counter: state.next_counter().ok_or(Refusal::Replayed)?,
        said: Said::by_device(Some((claim.port, claim.payload)), device.as_ref()),
        way: Way::Claimed { tag: claim.tag },
    })
}

/// Finds whose frame it claims to be, and whether it is.
fn authenticate<'k>(
    bytes: &[u8],
    members: &'k Members,
    states: &ByPendant<PendantState>,
    now: Wall,
) -> Result<Arrived<'k>, Refusal> {
    let why = match native(bytes, members) {
        Ok(authentic) => return Ok(Arrived::Message(authentic)),
        Err(why) if members.speak_lorawan() => why,
        Err(why) => return Err(why),
    };
    match Frame::parse(bytes) {
        Some(Frame::Join(request)) => join(&request, members, states, now),
        // A native frame may look like one of LoRaWAN; never does it bear its code.
        Some(Frame::Data(frame)) => {
            data(&frame, members, states).map(Arrived::Message).map_err(|other| why.max(other))
        }
        None => Err(why),
    }
}

fn native<'k>(bytes: &[u8], members: &'k Members) -> Result<Authentic<'k>, Refusal> {
    let frame = SealedUplink::parse(bytes).map_err(|_| Refusal::Malformed)?;
    let member = members.get(frame.pendant()).ok_or(Refusal::UnknownPendant)?;
    let MemberKeys::Native { uplink, downlink, pins } = &member.keys else {
        return Err(Refusal::UnknownPendant);
    };
    let message = frame.open(uplink).map_err(|_| Refusal::Forged)?;
    Ok(Authentic {
        member,
        counter: frame.counter(),
        said: Said::natively(&message, pins.as_ref()),
        way: Way::Native { tag: frame.tag(), echo: message.echo, key: downlink },
    })
}

fn data<'k>(
    frame: &DataUp<'_>,
    members: &'k Members,
    states: &ByPendant<PendantState>,
) -> Result<Authentic<'k>, Refusal> {
    let mut refusal = Refusal::UnknownPendant;
    for pendant in members.with_address(frame.dev_addr()) {
        let (member, state) = (&members[pendant], &states[pendant]);
        let MemberKeys::LoRaWan { shared, device } = &member.keys else { continue };
        match state.lorawan.authenticate(frame, shared, state.highest) {
            Ok(uplink) => {
                return Ok(Authentic {
                    member,
                    counter: uplink.counter(),
                    said: Said::by_device(uplink.payload(), device.as_ref()),
                    way: Way::LoRaWan {
                        uplink,
                        silencing: device.as_ref().and_then(|device| device.silence.as_ref()),
                    },
                });
            }
            Err(why) => refusal = why,
        }
    }
    Err(refusal)
}

fn join<'k>(
    request: &JoinRequest<'_>,
    members: &'k Members,
    states: &ByPendant<PendantState>,
    now: Wall,
) -> Result<Arrived<'k>, Refusal> {
    let pendant = members.with_number(request.dev_eui()).ok_or(Refusal::UnknownPendant)?;
    let (member, state) = (&members[pendant], &states[pendant]);
    let MemberKeys::LoRaWan { shared, .. } = &member.keys else {
        return Err(Refusal::UnknownPendant);
    };
    Ok(match state.lorawan.join(request, shared, now)? {
        Request::New { offer, app_key, nonces } => {
            Arrived::Joining(Joining { member, app_key, nonces, offer })
        }
        Request::Used(offer) => {
            let event = offer.map(|offer| member.event_id.of_join(offer.join_nonce));
            Arrived::JoinedAgain(pendant, event)
        }
    })
}

impl<'k> Authentic<'k> {
    pub(super) fn member(&self) -> &'k Member {
        self.member
    }

    pub(super) fn pendant(&self) -> PendantId {
        self.member.pendant
    }

    pub(super) fn counter(&self) -> u32 {
        self.counter
    }

    /// The id of the `ordinal`-th thing that it says.
    pub(super) fn event(&self, ordinal: u8) -> EventId {
        let life = match &self.way {
            Way::LoRaWan { uplink, .. } => uplink.life(),
            Way::Native { .. } | Way::Claimed { .. } => 0,
        };
        self.member.event_id.of_frame(life, self.counter, ordinal)
    }

    pub(super) fn said(&self) -> &Said {
        &self.said
    }

    pub(super) fn way(&self) -> &Way<'k> {
        &self.way
    }
}
