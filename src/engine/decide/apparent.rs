//! What the site sees. Nothing here can know which PIN it was: the request
//! says only whether one was accepted. So a safe and a duress PIN cannot lead to
//! different answers (P5); the compiler holds it.

use crate::engine::pendant::{Apparent, Session};
use crate::engine::time::{Now, Wall};
use pendant_protocol::Outcome;

/// A frame, as anyone on site could describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Anything that is answered with "noted": heartbeats and discreet panics alike.
    Note,
    /// An alert for all to see.
    Alert,
    Start {
        minutes: u16,
    },
    Extend {
        minutes: u16,
    },
    CheckIn,
    Pin {
        accepted: bool,
    },
}

/// The site's view after a request, and the answer to it. `allowed` is whether
/// the frame may change state at all.
pub(super) fn step(
    before: Apparent,
    request: Request,
    allowed: bool,
    counter: u32,
    now: Now,
) -> (Apparent, Outcome) {
    let mut after = before;
    let outcome = match request {
        Request::Note => Outcome::Noted,
        Request::Alert => {
            after.alert = true;
            Outcome::Noted
        }
        _ if !allowed => Outcome::Refused,
        Request::Start { minutes: 0 } | Request::Extend { minutes: 0 } => Outcome::Refused,
        Request::Start { minutes } => {
            after.session = Some(session(counter, minutes, now));
            Outcome::SessionStarted
        }
        Request::Extend { minutes } => match &mut after.session {
            None => Outcome::Refused,
            Some(running) => {
                running.minutes = running.minutes.saturating_add(minutes);
                running.due = running.due.plus_ms(u64::from(minutes) * 60_000);
                running.due_unix_ms =
                    running.due_unix_ms.map(|due| due.saturating_add(i64::from(minutes) * 60_000));
                Outcome::SessionExtended
            }
        },
        Request::CheckIn => match &mut after.session {
            None => Outcome::Refused,
            Some(running) => {
                *running = session(running.started, running.minutes, now);
                Outcome::CheckedIn
            }
        },
        Request::Pin { accepted: false } => {
            after.wrong_pins = after.wrong_pins.saturating_add(1);
            Outcome::WrongPin
        }
        Request::Pin { accepted: true } => {
            after = Apparent::default();
            if before.session.is_some() || before.alert {
                Outcome::Ended
            } else {
                Outcome::NothingToEnd
            }
        }
    };
    (after, outcome)
}

fn session(started: u32, minutes: u16, now: Now) -> Session {
    let length_ms = u64::from(minutes) * 60_000;
    Session {
        started,
        minutes,
        due: now.mono.plus_ms(length_ms),
        due_unix_ms: match now.wall {
            Wall::Unset => None,
            Wall::Set { unix_ms, .. } => Some(unix_ms.saturating_add_unsigned(length_ms)),
        },
    }
}
