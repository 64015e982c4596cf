//! What happens when nothing is heard: sessions fall due, pre-alarms become
//! alarms, pendants fall silent. Pure functions of a pendant's state and the age.

use crate::engine::age::Age;
use crate::engine::event::{Detail, Kind};
use crate::engine::pendant::{PendantState, PreAlarm, Supervision};
use crate::engine::policy::Policy;

/// A timer that fires this much after its time is told as late, ms.
const LATE_MS: u64 = 60_000;

/// An alarm that a timer gives, with the state that it leaves.
pub(in crate::engine) struct Fired {
    pub(in crate::engine) state: PendantState,
    pub(in crate::engine) kind: Kind,
    pub(in crate::engine) detail: Detail,
    /// Counter of the frame that set the timer: with the kind it names the event.
    pub(in crate::engine) counter: u32,
}

/// The next moment at which something is due for this pendant.
pub(in crate::engine) fn next_due(state: &PendantState, policy: &Policy) -> Option<Age> {
    [next_alarm(state, policy), silent_at(state, policy)].into_iter().flatten().min()
}

/// The next moment at which an alarm is due for this pendant.
pub(in crate::engine) fn next_alarm(state: &PendantState, policy: &Policy) -> Option<Age> {
    let pre_alarm = state.apparent.pre_alarm.map(|pre_alarm| pre_alarm.fires);
    [overdue_at(state, policy), pre_alarm].into_iter().flatten().min()
}

/// The alarm that is due first, if one is. To be asked again until there is none.
pub(in crate::engine) fn fire(state: &PendantState, policy: &Policy, age: Age) -> Option<Fired> {
    if let Some(pre_alarm) = state.apparent.pre_alarm.filter(|pre_alarm| pre_alarm.fires <= age) {
        let mut state = state.clone();
        state.apparent.pre_alarm = None;
        state.apparent.alert = state.apparent.alert.or(Some(pre_alarm.counter));
        let kind = if pre_alarm.fall { Kind::Fall } else { Kind::ManDown };
        let detail = late(age.ms_since(pre_alarm.fires));
        return Some(Fired { state, kind, detail, counter: pre_alarm.counter });
    }
    let at = overdue_at(state, policy).filter(|at| *at <= age)?;
    let mut state = state.clone();
    let session = state.apparent.session.as_mut()?;
    session.overdue = true;
    let (minutes, due_unix_ms) = (session.minutes, session.due_unix_ms);
    let late_ms = Some(age.ms_since(at)).filter(|ms| *ms > LATE_MS);
    let detail = Detail::Overdue { minutes, due_unix_ms, late_ms };
    let counter = session.set_by;
    Some(Fired { state, kind: Kind::Overdue, detail, counter })
}

/// Takes back what an alarm, or the word of a pendant's silence, left in its state,
/// so that it is told again: at the age at which it was.
pub(in crate::engine) fn unfire(state: &mut PendantState, kind: Kind, counter: u32, at: Age) {
    match kind {
        Kind::Fall | Kind::ManDown => {
            let pre_alarm = PreAlarm { counter, fires: at, fall: kind == Kind::Fall };
            state.apparent.pre_alarm.get_or_insert(pre_alarm);
        }
        Kind::Overdue => {
            let session = state.apparent.session.as_mut();
            if let Some(session) = session.filter(|session| session.set_by == counter) {
                session.overdue = false;
            }
        }
        Kind::SupervisionLost => state.supervision = Supervision::Heard,
        Kind::SupervisionRestored => state.supervision = Supervision::Lost,
        _ => {}
    }
}

/// Puts off by some ms what frames of this boot have set. True if that is more than
/// silence, which is reckoned anew at every start.
pub(in crate::engine) fn put_off(state: &mut PendantState, off_ms: u64) -> bool {
    let before = state.apparent;
    let is_of_boot = |counter: u32| Some(counter) > state.highest_before;
    if let Some(session) = state.apparent.session.as_mut().filter(|it| is_of_boot(it.set_by)) {
        session.due = session.due.plus_ms(off_ms);
    }
    if let Some(alarm) = state.apparent.pre_alarm.as_mut().filter(|it| is_of_boot(it.counter)) {
        alarm.fires = alarm.fires.plus_ms(off_ms);
    }
    state.heard = state.heard.plus_ms(off_ms);
    state.apparent != before
}

/// Whether a pendant has been silent for too long, and that is news.
pub(in crate::engine) fn is_silent(state: &PendantState, policy: &Policy, age: Age) -> bool {
    silent_at(state, policy).is_some_and(|at| at <= age)
}

fn overdue_at(state: &PendantState, policy: &Policy) -> Option<Age> {
    let session = state.apparent.session.filter(|session| !session.overdue)?;
    Some(session.due.plus_ms(policy.grace_ms))
}

fn silent_at(state: &PendantState, policy: &Policy) -> Option<Age> {
    let supervised = policy.heartbeat_interval_ms > 0
        && state.highest.is_some()
        && state.supervision == Supervision::Heard;
    let wait_ms =
        policy.heartbeat_interval_ms.saturating_mul(u64::from(policy.heartbeats_missed_max));
    supervised.then(|| state.heard.plus_ms(wait_ms))
}

fn late(ms: u64) -> Detail {
    if ms > LATE_MS { Detail::Late { late_ms: ms } } else { Detail::None }
}
