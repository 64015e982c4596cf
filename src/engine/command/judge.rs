//! Whether a command is carried out.

use super::Uuid;
use super::message::{Ask, Command, Garbled};
use crate::engine::name::Name;
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
    /// The open covert incident: counter of the frame that opened it.
    pub covert_incident: Option<u32>,
    /// The open incident that everybody on site knows of.
    pub open_incident: Option<u32>,
    /// It can let the centre listen in.
    pub voice: bool,
}

/// What the gateway has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Close the incident; it is open.
    Close {
        /// Whose.
        pendant: PendantId,
        /// Counter of the frame that opened it.
        incident: u32,
    },
    /// Track the pendant silently, or no longer.
    Track {
        /// Which.
        pendant: PendantId,
        /// Whether.
        on: bool,
    },
    /// Open its voice side, by its next first-time acknowledgement.
    Listen(PendantId),
    /// Let it vibrate, by its next first-time acknowledgement.
    Vibrate(PendantId),
    /// Let it blink, by its next first-time acknowledgement.
    Led(PendantId),
    /// From now on another wears it.
    Rebind {
        /// Which pendant.
        pendant: PendantId,
        /// Who.
        wearer: Name,
    },
    /// End its enrolment.
    Revoke(PendantId),
    /// Nothing.
    Ping,
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
    /// This is to be done.
    Carry(Order),
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
            Self::Carry(Order::Close { .. } | Order::Track { .. } | Order::Ping) => {
                Some(First::Done)
            }
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
    ) -> Result<Order, Reason> {
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
            None => Ok(pendant),
        };
        Ok(match ask {
            Ask::Ping => Order::Ping,
            Ask::Close { pendant, incident } => {
                let Standing { covert_incident, open_incident, .. } = of(pendant)?;
                if ![covert_incident, open_incident].contains(&Some(incident)) {
                    return Err(Reason::NoSuchIncident);
                }
                Order::Close { pendant, incident }
            }
            Ask::Track { pendant, on } => of(pendant).map(|_| Order::Track { pendant, on })?,
            Ask::Listen(pendant) if !of(pendant)?.voice => return Err(Reason::Unsupported),
            Ask::Listen(pendant) => Order::Listen(pendant),
            Ask::Vibrate(pendant) => Order::Vibrate(seen(pendant)?),
            Ask::Led(pendant) => Order::Led(seen(pendant)?),
            Ask::Rebind { pendant, wearer } => {
                of(pendant).map(|_| Order::Rebind { pendant, wearer })?
            }
            Ask::Revoke(pendant) => of(pendant).map(|_| Order::Revoke(pendant))?,
        })
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
