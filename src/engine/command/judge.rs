//! Whether a command is carried out.

use super::Uuid;
use super::message::{Ask, Command, Garbled};
use crate::engine::time::{Now, Wall};
use pendant_protocol::PendantId;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Commands that are remembered: three full messages, and one frame of the journal
/// holds them. A centre repeats a command only until it is answered.
pub const ANSWERED_MAX: usize = 24;

/// What a command's fate depends on: how a pendant that is enrolled here stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The open covert incident: counter of its newest alarm's frame.
    pub covert_incident: Option<u32>,
    /// An alarm of it is still on its way: the centre does not have it, as far as is known.
    pub alarm_under_way: bool,
    /// The open incident that everybody on site knows of: counter of its alarm's frame.
    pub open_incident: Option<u32>,
    /// It can let the centre listen in.
    pub voice: bool,
    /// It obeys no instruction: it was bought.
    pub deaf: bool,
}

/// What a command's first answer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum First {
    /// It was carried out.
    Done,
    /// It was passed on; what comes of it shows elsewhere.
    Accepted,
}

impl First {
    /// The text in `result` and `first`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Accepted => "accepted",
        }
    }
}

/// Why a command is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No command of this version.
    UnknownKind,
    /// A field is missing, too many, or not as it must be.
    Malformed,
    /// A command with this id was let through before.
    Repeated(First),
    /// Its time is certainly over.
    Expired,
    /// No such pendant is enrolled here.
    UnknownPendant,
    /// The pendant has no such open incident.
    NoSuchIncident,
    /// Whoever threatens the wearer would see the pendant vibrate or blink. The
    /// answer is the one that it would have been without the incident.
    CovertIncidentOpen,
    /// The pendant has no voice side.
    Unsupported,
}

impl Reason {
    /// The text in `reason`; `None` where the answer says no reason.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        Some(match self {
            Self::UnknownKind => "unknown_kind",
            Self::Malformed => "malformed",
            Self::Repeated(_) => "repeated",
            Self::Expired => "expired",
            Self::UnknownPendant => "unknown_pendant",
            Self::NoSuchIncident => "no_such_incident",
            Self::Unsupported => "unsupported",
            Self::CovertIncidentOpen => return None,
        })
    }
}

/// What becomes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This is to be done: of a pendant that is enrolled, an incident that is open.
    Carry(Ask),
    /// Nothing is to be done.
    Refused(Reason),
}

/// A command's verdict, for the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The command's id, if it could be read.
    pub id: Option<Uuid>,
    /// What becomes of it.
    pub verdict: Verdict,
}

impl Verdict {
    /// What the answer says of a command that was let through, or seems to be.
    #[must_use]
    pub fn first(&self) -> Option<First> {
        match self {
            Self::Carry(Ask::Close { .. } | Ask::Track { .. } | Ask::Ping) => Some(First::Done),
            // What the pendant or the enrolments have to do is not done yet.
            Self::Carry(_) | Self::Refused(Reason::CovertIncidentOpen) => Some(First::Accepted),
            Self::Refused(_) => None,
        }
    }
}

/// The commands that were let through of late, so that none is carried out twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered(VecDeque<(Uuid, First)>);

impl Answered {
    pub(super) fn judge(
        &mut self,
        command: &Command,
        now: Now,
        standing: impl Fn(PendantId) -> Option<Standing>,
    ) -> Judgement {
        let verdict = match self.weigh(command, now, standing) {
            Ok(order) => Verdict::Carry(order),
            Err(reason) => Verdict::Refused(reason),
        };
        if let (Some(id), Some(first)) = (command.id, verdict.first()) {
            self.0.push_back((id, first));
            while self.0.len() > ANSWERED_MAX {
                self.0.pop_front();
            }
        }
        Judgement { id: command.id, verdict }
    }

    fn weigh(
        &self,
        command: &Command,
        now: Now,
        standing: impl Fn(PendantId) -> Option<Standing>,
    ) -> Result<Ask, Reason> {
        if let Some((_, first)) = self.0.iter().find(|(id, _)| Some(*id) == command.id) {
            return Err(Reason::Repeated(*first));
        }
        let ask = command.ask.clone().map_err(|garbled| match garbled {
            Garbled::UnknownKind => Reason::UnknownKind,
            Garbled::Malformed => Reason::Malformed,
        })?;
        if command.expires_unix_ms.is_some_and(|expires| is_past(expires, now.wall)) {
            return Err(Reason::Expired);
        }
        let of = |pendant| standing(pendant).ok_or(Reason::UnknownPendant);
        let seen = |pendant| match of(pendant)?.covert_incident {
            Some(_) => Err(Reason::CovertIncidentOpen),
            None => Ok(()),
        };
        match ask {
            Ask::Ping => {}
            Ask::Close { pendant, incident } => {
                let Standing { covert_incident, alarm_under_way, open_incident, .. } = of(pendant)?;
                // A closing does not swallow what the centre did not know of, older or newer.
                let covert_incident = covert_incident.filter(|_| !alarm_under_way);
                if ![covert_incident, open_incident].contains(&Some(incident)) {
                    return Err(Reason::NoSuchIncident);
                }
            }
            Ask::Listen(pendant) if !of(pendant)?.voice => return Err(Reason::Unsupported),
            Ask::Vibrate(pendant) | Ask::Led(pendant) if of(pendant)?.deaf => {
                return Err(Reason::Unsupported);
            }
            Ask::Vibrate(pendant) | Ask::Led(pendant) => seen(pendant)?,
            Ask::Listen(pendant)
            | Ask::Track { pendant, .. }
            | Ask::Rebind { pendant, .. }
            | Ask::Revoke(pendant) => drop(of(pendant)?),
        }
        Ok(ask)
    }
}

/// Whether a moment is certainly over: also if the clock is ahead by all that it
/// may be. A clock that is not set proves nothing (P9).
fn is_past(unix_ms: i64, wall: Wall) -> bool {
    match wall {
        Wall::Unset => false,
        Wall::Set { unix_ms: now, uncertainty_ms, .. } => {
            now.saturating_sub(uncertainty_ms.into()) > unix_ms
        }
    }
}
