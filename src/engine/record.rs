//! `Decision` -> `Record`: the event with its identity and number, the state
//! that goes with it, and the sealed reply.

use super::decide::Decision;
use super::event::{Boot, Event, Freshness, FromPendant, HeardFrame, Stamp};
use super::mutant::{Mutant, planted};
use super::pendant::{PendantState, Reply};
use super::seam::{LinkId, Signal};
use pendant_protocol::{FrameBytes, Slot};

/// What is journalled for one frame.
pub(super) struct Record {
    pub(super) event: Event,
    pub(super) state: PendantState,
    pub(super) reply: FrameBytes,
}

impl Record {
    /// Whether the frame proved that it was sent just now.
    pub(super) fn is_fresh(&self) -> bool {
        let heard = self.event.from.as_ref().and_then(|from| from.heard);
        heard.is_some_and(|heard| heard.freshness == Freshness::Proven)
    }
}

/// Where and how a frame was heard.
#[derive(Clone, Copy)]
pub(super) struct Hearing {
    pub(super) link: LinkId,
    pub(super) signal: Signal,
    pub(super) received: Stamp,
}

/// Makes the record of a decision. The reply's nonce has the slot, the counter
/// and a random salt, so that neither a second gateway nor a restored card
/// repeats one with another text.
pub(super) fn record(
    decision: Decision<'_>,
    hearing: Hearing,
    (boot, number): (Boot, u64),
    slot: Slot,
    salt: u16,
) -> Record {
    let fresh = decision.fresh();
    let authentic = fresh.authentic();
    let member = authentic.member();
    let message = authentic.message();
    let counter = authentic.counter();
    let reply = decision.answer.seal(&member.downlink, slot, authentic.pendant(), counter, salt);
    let ordinal = if planted(Mutant::ChanceInEventId) { salt.to_le_bytes()[0] } else { 0 };
    let event = Event {
        id: member.event_id.of_frame(counter, ordinal),
        kind: decision.kind,
        boot,
        number,
        received: hearing.received,
        from: Some(FromPendant {
            pendant: authentic.pendant().get(),
            enrolment: member.enrolment.id,
            wearer: member.enrolment.wearer.clone(),
            counter,
            heard: Some(HeardFrame {
                link: hearing.link,
                signal: hearing.signal,
                battery: message.status.battery.fourteenths(),
                place: message.body.place(),
                freshness: fresh.freshness(),
            }),
        }),
        detail: decision.detail.clone(),
    };
    let tag = authentic.tag();
    let newest = fresh.is_newest();
    let mut state = decision.state;
    if newest {
        // Whoever releases an old frame must not make the pendant's echo stale.
        state.salt = salt;
    }
    state.remember(Reply { counter, tag, frame: reply });
    Record { event, state, reply }
}
