//! `Authentic` -> `Fresh`, or one of the ways in which it is not.

use super::authenticate::Authentic;
use super::event::Freshness;
use super::mutant::{Mutant, planted};
use super::pendant::{CounterVerdict, PendantState};
use pendant_protocol::FrameBytes;

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
    /// The same bytes as before: this was the answer.
    Again(FrameBytes),
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
    /// a pendant whose window was lost, until it echoes.
    pub(super) fn may_change_state(&self) -> bool {
        self.may_change_state
    }
}

/// Judges a frame by what was heard of its pendant before.
pub(super) fn deduplicate<'k>(authentic: Authentic<'k>, state: &PendantState) -> Heard<'k> {
    let newest = match state.judge_counter(authentic.counter()) {
        CounterVerdict::TooOld => return Heard::TooOld,
        CounterVerdict::Used => {
            return state
                .reply_to(authentic.counter(), authentic.tag())
                .map_or(Heard::Used, Heard::Again);
        }
        CounterVerdict::Newest => true,
        CounterVerdict::Late => false,
    };
    let proven = state.salt != 0 && authentic.message().echo == state.salt;
    Heard::Fresh(Fresh {
        authentic,
        freshness: if proven { Freshness::Proven } else { Freshness::Unproven },
        newest,
        may_change_state: (newest || planted(Mutant::LateFramesAct)) && (proven || !state.suspect),
    })
}
