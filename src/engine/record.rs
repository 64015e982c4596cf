//! `Decision` -> `Record`: the event with its identity and number, the state
//! that goes with it, and the sealed reply.

use super::authenticate::{Joining, Way};
use super::decide::Decision;
use super::event::{
    Authentication, Boot, Detail, Event, Freshness, FromPendant, HeardFrame, Kind, Stamp,
};
use super::keyring::Member;
use super::lorawan::{DownlinkBytes, Offer, Plan, join_accept};
use super::mutant::{Mutant, planted};
use super::pendant::{PendantState, Reply};
use super::seam::{LinkId, Signal};
use pendant_protocol::Slot;

/// What is journalled for one frame.
pub(super) struct Record {
    pub(super) event: Event,
    pub(super) state: PendantState,
    /// A LoRaWAN frame that asks for nothing has none.
    pub(super) reply: Option<DownlinkBytes>,
}

impl Record {
    /// Whether the frame proved that it was sent just now.
    pub(super) fn is_fresh(&self) -> bool {
        let heard = self.event.from.as_ref().and_then(|from| from.heard);
        heard.is_some_and(|heard| heard.freshness == Freshness::Proven)
    }

    /// Whether it shows that its pendant is there. One that nobody vouches for never
    /// proves it, and would else be lost for good once it was.
    pub(super) fn shows_life(&self) -> bool {
        let from = self.event.from.as_ref();
        self.is_fresh() || from.is_some_and(|from| from.authentication == Authentication::None)
    }
}

/// Where and how a frame was heard.
#[derive(Clone, Copy)]
pub(super) struct Hearing {
    pub(super) link: LinkId,
    pub(super) signal: Signal,
    pub(super) received: Stamp,
}

/// Makes the record of a decision. A native reply's nonce has the slot, the counter and
/// a random salt, so that neither a second gateway nor a restored card repeats one with
/// another text.
pub(super) fn record(
    decision: Decision<'_>,
    hearing: Hearing,
    (boot, number): (Boot, u64),
    slot: Slot,
    salt: u16,
) -> Record {
    let kind = decision.kind;
    let (fresh, mut state, detail, answer) = decision.into_parts();
    let authentic = fresh.authentic();
    let member = authentic.member();
    let counter = authentic.counter();
    let said = authentic.said();
    let ordinal = if planted(Mutant::ChanceInEventId) { salt.to_le_bytes()[0] } else { 0 };
    let heard = HeardFrame {
        link: hearing.link,
        signal: hearing.signal,
        battery_percent: said.battery_percent,
        place: said.place,
        position: said.position,
        temperature_decidegrees: said.temperature_decidegrees,
        freshness: fresh.freshness(),
    };
    let event = Event {
        id: authentic.event(ordinal),
        kind,
        boot,
        number,
        received: hearing.received,
        from: Some(from(member, counter, heard)),
        detail,
    };
    let reply = match authentic.way() {
        Way::Native { tag, key, .. } => {
            let pendant = authentic.pendant();
            let frame = answer.seal(key, slot, pendant, counter, salt);
            if fresh.is_newest() {
                // Whoever releases an old frame must not make the pendant's echo stale.
                state.salt = salt;
            }
            state.remember(Reply { counter, tag: *tag, frame });
            Some(DownlinkBytes::new(&frame))
        }
        Way::Claimed { tag } => {
            state.claim(*tag, hearing.received.mono);
            None
        }
        Way::LoRaWan { uplink, silencing } => {
            // A device that was silent for long is asked to answer: only so does it prove
            // that its frames are not held back.
            let reply = state.lorawan.take(uplink, state.suspect, silencing.is_some());
            let options = uplink.requests().answers(&hearing.signal, hearing.received.wall);
            reply.map(|reply| uplink.answer(member.dev_addr(), reply, &options, *silencing))
        }
    };
    Record { event, state, reply }
}

fn from(member: &Member, counter: u32, heard: HeardFrame) -> FromPendant {
    FromPendant {
        pendant: member.pendant.get(),
        enrolment: member.enrolment,
        wearer: member.wearer.clone(),
        authentication: member.authentication(),
        counter,
        heard: Some(heard),
    }
}

/// What is journalled for a join, and its answer. `life` is a random number that goes into
/// the ids of all that is said in the session.
pub(super) fn record_join(
    joining: Joining<'_>,
    before: &PendantState,
    hearing: Hearing,
    (boot, number): (Boot, u64),
    (plan, life): (Plan, u32),
) -> Record {
    let Joining { member, app_key, nonces, offer } = joining;
    let mut state = before.clone();
    if !planted(Mutant::ForgetJoins) {
        state.lorawan.offer(Offer { life, ..offer }, nonces);
    }
    let heard = HeardFrame {
        link: hearing.link,
        signal: hearing.signal,
        battery_percent: None,
        place: 0,
        position: None,
        temperature_decidegrees: None,
        freshness: Freshness::Unproven,
    };
    let event = Event {
        id: member.event_id.of_join(offer.join_nonce),
        kind: Kind::Joined,
        boot,
        number,
        received: hearing.received,
        from: Some(from(member, offer.join_nonce, heard)),
        detail: Detail::None,
    };
    let reply = join_accept(app_key, offer, member.dev_addr(), plan);
    Record { event, state, reply: Some(reply) }
}
