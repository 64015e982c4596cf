//! `Fresh` -> `Decision`: what a frame changes, what the site is shown and what
//! the centre is told. Two views, two files: `apparent` cannot see what `actual`
//! knows.

mod actual;
mod apparent;

use super::deduplicate::Fresh;
use super::event::{Detail, Kind};
use super::pendant::PendantState;
use super::time::Now;
use apparent::Request;
use pendant_protocol::{Body, DownlinkMessage, Instruction, Outcome};

/// What is to be done about one fresh frame. Every frame gives exactly one
/// event and one reply, whatever it says.
pub(super) struct Decision<'k> {
    fresh: Fresh<'k>,
    pub(super) state: PendantState,
    pub(super) kind: Kind,
    pub(super) detail: Detail,
    pub(super) answer: DownlinkMessage,
}

impl<'k> Decision<'k> {
    pub(super) fn fresh(&self) -> &Fresh<'k> {
        &self.fresh
    }
}

/// Decides.
pub(super) fn decide<'k>(fresh: Fresh<'k>, before: &PendantState, now: Now) -> Decision<'k> {
    let authentic = fresh.authentic();
    let counter = authentic.counter();
    let body = &authentic.message().body;
    let entered = match body {
        Body::Pin(digits) => Some(authentic.member().enrolment.pins.judge(*digits)),
        _ => None,
    };

    let mut state = before.clone();
    state.mark(counter);
    if fresh.freshness() == super::event::Freshness::Proven {
        state.suspect = false;
    }
    let request = request(body, entered.map(|pin| pin != super::pin::Entered::Wrong));
    let (site, outcome) =
        apparent::step(before.apparent, request, fresh.may_change_state(), counter, now);
    state.apparent = site;
    let (actual, kind) =
        actual::step(before.actual, body, entered, outcome, site.wrong_pins, counter);
    state.actual = actual;

    let detail = match (kind, site.session) {
        (Kind::SessionStarted | Kind::SessionExtended | Kind::CheckedIn, Some(session)) => {
            Detail::Session { minutes: session.minutes, due_unix_ms: session.due_unix_ms }
        }
        _ => Detail::None,
    };
    let answer = answer(outcome, &state, now);
    Decision { fresh, state, kind, detail, answer }
}

fn request(body: &Body, pin_accepted: Option<bool>) -> Request {
    match *body {
        Body::SessionStart { minutes, .. } => Request::Start { minutes },
        Body::SessionExtend { minutes, .. } => Request::Extend { minutes },
        Body::CheckIn { .. } => Request::CheckIn,
        Body::Pin(_) => Request::Pin { accepted: pin_accepted.unwrap_or(false) },
        Body::Panic { .. } | Body::ManDown { .. } | Body::Fall { .. } => Request::Alert,
        Body::Heartbeat { .. }
        | Body::DiscreetPanic { .. }
        | Body::Tamper { .. }
        | Body::TamperRestored { .. }
        | Body::CancelAlert { .. }
        | Body::Test { .. }
        | Body::LowBattery { .. }
        | Body::BatteryRestored { .. }
        | Body::Unknown { .. } => Request::Note,
    }
}

fn answer(outcome: Outcome, state: &PendantState, now: Now) -> DownlinkMessage {
    DownlinkMessage {
        outcome,
        instruction: Instruction::None,
        minutes_left: state.apparent.session.map_or(0, |session| session.minutes_left(now)),
    }
}
