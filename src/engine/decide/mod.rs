//! `Fresh` -> `Decision`: what a frame changes, what the site is shown and what
//! the centre is told. Two views, two files: `apparent` cannot see what `actual`
//! knows.

mod actual;
mod apparent;
#[cfg(test)]
mod behaviour_test;
pub(super) mod timers;

use super::age::Age;
use super::deduplicate::Fresh;
use super::event::{Detail, Kind};
use super::pendant::PendantState;
use super::pin::Entered;
use super::policy::Policy;
use super::said::Saying;
use super::time::Now;
use actual::Shown;
use apparent::Request;
use pendant_protocol::{DownlinkMessage, Instruction, Outcome};

/// When something is decided: on the clocks, and in the gateway's life.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Now,
    pub(super) age: Age,
}

/// What is to be done about one fresh frame. Every frame gives exactly one
/// event and one reply, whatever it says.
pub(super) struct Decision<'k> {
    fresh: Fresh<'k>,
    state: PendantState,
    pub(super) kind: Kind,
    detail: Detail,
    pub(super) answer: DownlinkMessage,
}

impl<'k> Decision<'k> {
    /// Takes it apart for its record; only [`decide`] puts one together.
    pub(super) fn into_parts(self) -> (Fresh<'k>, PendantState, Detail, DownlinkMessage) {
        (self.fresh, self.state, self.detail, self.answer)
    }
}

/// Decides. `instruction` is what the centre wants the pendant to do; a reminder
/// that the session is due goes before it.
pub(super) fn decide<'k>(
    fresh: Fresh<'k>,
    before: &PendantState,
    policy: &Policy,
    instruction: Instruction,
    moment: Moment,
) -> Decision<'k> {
    let authentic = fresh.authentic();
    let counter = authentic.counter();
    let saying = authentic.said().saying;

    let mut state = before.clone();
    state.mark(counter);
    if fresh.is_newest() {
        // A recording that is released later is no sign of life.
        state.heard = moment.age;
    }
    if fresh.freshness() == super::event::Freshness::Proven {
        state.suspect = false;
    }
    let request = request(saying, policy);
    let (site, outcome) =
        apparent::step(before.apparent, request, fresh.may_change_state(), counter, moment);
    state.apparent = site;
    let shown = Shown {
        outcome,
        wrong_pins: site.wrong_pins,
        pre_alarm: matches!(request, Request::PreAlarm { .. }),
    };
    let (actual, kind) = actual::step(before.actual, saying, shown, counter, policy);
    state.actual = actual;

    let detail = match (kind, site.session) {
        (Kind::SessionStarted | Kind::SessionExtended | Kind::CheckedIn, Some(session)) => {
            Detail::Session { minutes: session.minutes, due_unix_ms: session.due_unix_ms }
        }
        _ => Detail::None,
    };
    let answer = answer(outcome, &state, instruction, moment.age);
    Decision { fresh, state, kind, detail, answer }
}

fn request(saying: Saying, policy: &Policy) -> Request {
    let pre_alarm = |fall| match policy.pre_alarm_ms {
        0 => Request::Alert,
        ms => Request::PreAlarm { fall, ms },
    };
    match saying {
        Saying::SessionStart { minutes } => Request::Start { minutes },
        Saying::SessionExtend { minutes } => Request::Extend { minutes },
        Saying::CheckIn => Request::CheckIn,
        // Which of the two it was ends here.
        Saying::Pin(entered) => Request::Pin { accepted: entered != Entered::Wrong },
        Saying::Panic if policy.panic_is_covert => Request::Note,
        Saying::Panic => Request::Alert,
        Saying::ManDown => pre_alarm(false),
        Saying::Fall => pre_alarm(true),
        Saying::CancelAlert => Request::CancelAlert,
        Saying::Heartbeat
        | Saying::DiscreetPanic
        | Saying::Tamper
        | Saying::TamperRestored
        | Saying::Test
        | Saying::LowBattery
        | Saying::BatteryRestored
        | Saying::Unknown => Request::Note,
    }
}

fn answer(
    outcome: Outcome,
    state: &PendantState,
    instruction: Instruction,
    age: Age,
) -> DownlinkMessage {
    let session = state.apparent.session;
    let due = session.is_some_and(|session| session.due <= age);
    DownlinkMessage {
        outcome,
        instruction: if due { Instruction::Remind } else { instruction },
        minutes_left: session.map_or(0, |session| session.minutes_left(age)),
    }
}
