//! What a wearer did for a session at another gateway than the one that keeps it: the end
//! that only the neighbour heard, the session begun anew on the next site.
//!
//! It ends nothing: a session is the gateway's that acknowledged it, and what another says
//! may be a rogue's. But who deals with an overdue alarm is told of it.

use super::incident::UnixMs;
use super::people::heard_there_ms;
use super::text::clean;
use crate::centre::Event;
use serde::{Deserialize, Serialize};

/// What shows that the wearer was well enough to do it.
const KINDS: [&str; 6] = [
    "session_started",
    "session_extended",
    "checked_in",
    "session_ended",
    "safe_pin",
    "late_request",
];
/// Of one incident are kept.
const MAX: usize = 8;

/// A gateway says that the wearer did something.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Act {
    /// Site and gateway.
    pub gateway: String,
    /// What, in the contract's words.
    pub kind: String,
    /// The frame's counter.
    pub counter: u32,
    /// When, by our clock as well as can be told.
    pub at_ms: UnixMs,
}

impl Act {
    pub(super) fn of(at_ms: UnixMs, event: &Event) -> Option<Self> {
        let kind = KINDS.into_iter().find(|kind| *kind == event.data.kind)?;
        Some(Self {
            gateway: clean(&event.gateway_path()),
            kind: kind.to_owned(),
            counter: event.data.counter?,
            at_ms: heard_there_ms(at_ms, event),
        })
    }
}

/// Adds to an incident's; of one gateway the newest counts. False if nothing is new.
pub(super) fn add(acts: &mut Vec<Act>, act: Act) -> bool {
    if let Some(known) = acts.iter_mut().find(|it| it.gateway == act.gateway) {
        let is_newer = known.counter < act.counter;
        if is_newer {
            *known = act;
        }
        return is_newer;
    }
    let has_room = acts.len() < MAX;
    if has_room {
        acts.push(act);
    }
    has_room
}
