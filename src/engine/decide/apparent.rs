//! What the site sees. Nothing here can know which PIN it was: the request
//! says only whether one was accepted. So a safe and a duress PIN cannot lead to
//! different answers (P5); the compiler holds it.

use super::Moment;
use crate::engine::pendant::{Apparent, PreAlarm, Session};
use crate::engine::time::Wall;
use pendant_protocol::Outcome;

/// A frame, as anyone on site could describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Anything that is answered with "noted": heartbeats and discreet panics alike.
    Note,
    /// An alert for all to see.
    Alert,
    /// A man-down or fall, to become an alert after this time unless cancelled.
    PreAlarm {
        fall: bool,
        ms: u64,
    },
    CancelAlert,
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
    moment: Moment,
) -> (Apparent, Outcome) {
    let mut after = before;
    let outcome = match request {
        Request::Note => Outcome::Noted,
        Request::Alert => {
            after.alert = before.alert.or(Some(counter));
            Outcome::Noted
        }
        Request::PreAlarm { fall, ms } => {
            // A second report must not put the alarm off.
            let fires = moment.age.plus_ms(ms);
            after.pre_alarm = before.pre_alarm.or(Some(PreAlarm { counter, fall, fires }));
            Outcome::Noted
        }
        _ if !allowed => Outcome::Refused,
        Request::Start { minutes: 0 } | Request::Extend { minutes: 0 } => Outcome::Refused,
        Request::CancelAlert => {
            after.pre_alarm = None;
            Outcome::Noted
        }
        Request::Start { minutes } => {
            after.session = Some(session(counter, counter, minutes, moment));
            Outcome::SessionStarted
        }
        Request::Extend { minutes } => match &mut after.session {
            None => Outcome::Refused,
            Some(running) => {
                running.minutes = running.minutes.saturating_add(minutes);
                running.set_by = counter;
                running.overdue = false;
                running.due = running.due.plus_ms(u64::from(minutes) * 60_000);
                running.due_unix_ms =
                    running.due_unix_ms.map(|due| due.saturating_add(i64::from(minutes) * 60_000));
                Outcome::SessionExtended
            }
        },
        Request::CheckIn => match &mut after.session {
            None => Outcome::Refused,
            Some(running) => {
                *running = session(running.started, counter, running.minutes, moment);
                Outcome::CheckedIn
            }
        },
        Request::Pin { accepted: false } => {
            after.wrong_pins = after.wrong_pins.saturating_add(1);
            Outcome::WrongPin
        }
        Request::Pin { accepted: true } => {
            after = Apparent::default();
            if before.session.is_some() || before.alert.is_some() || before.pre_alarm.is_some() {
                Outcome::Ended
            } else {
                Outcome::NothingToEnd
            }
        }
    };
    (after, outcome)
}

fn session(started: u32, set_by: u32, minutes: u16, moment: Moment) -> Session {
    let length_ms = u64::from(minutes) * 60_000;
    Session {
        started,
        set_by,
        minutes,
        due: moment.age.plus_ms(length_ms),
        due_unix_ms: match moment.now.wall {
            Wall::Unset => None,
            Wall::Set { unix_ms, .. } => Some(unix_ms.saturating_add_unsigned(length_ms)),
        },
        overdue: false,
    }
}
