//! `Authentic` -> `Fresh`, or one of the ways in which it is not.

use super::authenticate::{Authentic, Way};
use super::event::{EventId, Freshness};
use super::lorawan::{DownlinkBytes, Standing};
use super::mutant::{Mutant, planted};
use super::pendant::{CounterVerdict, PendantState};
use super::time::Mono;

/// A frame that was never heard before.
pub(super) struct Fresh<'k> {
    authentic: Authentic<'k>,
    freshness: Freshness,
    newest: bool,
    may_change_state: bool,
}

/// What an authentic frame turns out to be.
pub(super) enum Heard<'k> {
    /// New.
    Fresh(Fresh<'k>),
    /// The same bytes as before: what they said, and the answer if it had one.
    Again(EventId, Option<DownlinkBytes>),
    /// The counter was used and the answer is not known any more, or other
    /// bytes bear it: no answer.
    Used,
    /// Below the window.
    TooOld,
}

impl<'k> Fresh<'k> {
    pub(super) fn authentic(&self) -> &Authentic<'k> {
        &self.authentic
    }

    pub(super) fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// Whether nothing that was sent after it has been heard.
    pub(super) fn is_newest(&self) -> bool {
        self.newest
    }

    /// Whether it may start, extend or end anything. A frame that was jammed
    /// and released after a later one was heard may alarm, no more (P4); so may
    /// a pendant whose window was lost, until it echoes, and one that nobody vouches for.
    pub(super) fn may_change_state(&self) -> bool {
        self.may_change_state
    }
}

/// Judges a frame by what was heard of its pendant before.
pub(super) fn deduplicate<'k>(
    authentic: Authentic<'k>,
    state: &PendantState,
    now: Mono,
) -> Heard<'k> {
    let (newest, proven) = match authentic.way() {
        Way::Native { tag, echo, .. } => match state.judge_counter(authentic.counter()) {
            CounterVerdict::TooOld => return Heard::TooOld,
            CounterVerdict::Used => {
                let reply = state.reply_to(authentic.counter(), *tag);
                return reply.map_or(Heard::Used, |frame| {
                    Heard::Again(authentic.event(0), Some(DownlinkBytes::new(&frame)))
                });
            }
            verdict => (verdict == CounterVerdict::Newest, state.salt != 0 && *echo == state.salt),
        },
        // Its counters only rise: what was skipped is never taken later.
        Way::LoRaWan { uplink, silencing } => match uplink.standing {
            Standing::Old => return Heard::TooOld,
            Standing::Again => {
                let reply = state.lorawan.reply();
                let address = authentic.member().dev_addr();
                let answer = reply.map(|reply| uplink.answer(address, reply, &[], *silencing));
                return Heard::Again(authentic.event(0), answer);
            }
            Standing::Next => (true, uplink.proves),
        },
        Way::Claimed { tag } if state.is_claimed_again(*tag, now) => {
            return Heard::Again(authentic.event(0), None);
        }
        Way::Claimed { .. } => (true, false),
    };
    let vouched_for = !matches!(authentic.way(), Way::Claimed { .. });
    let in_order = newest || planted(Mutant::LateFramesAct);
    Heard::Fresh(Fresh {
        authentic,
        freshness: if proven { Freshness::Proven } else { Freshness::Unproven },
        newest,
        may_change_state: vouched_for && in_order && (proven || !state.suspect),
    })
}
