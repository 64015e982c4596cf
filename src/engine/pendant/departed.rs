//! What was heard of enrolments that have ended, as long as the boot lives. One may begin
//! again as it was: its file was put back, or could not be read for a while. Then frames of
//! before are still no new ones, and no id names two presses (P3, P8).

use super::PendantState;
use crate::engine::age::Age;
use crate::engine::keyring::EnrolmentId;
use pendant_protocol::PendantId;
use std::collections::VecDeque;

/// Most that are kept; beyond it the one that ended first is forgotten.
const DEPARTED_MAX: usize = 1024;

/// The last states of those who are not enrolled any more, in the order of departure.
#[derive(Default)]
pub(in crate::engine) struct Departed(VecDeque<PendantState>);

impl Departed {
    /// An enrolment has ended.
    pub(in crate::engine) fn add(&mut self, state: PendantState) {
        if self.0.len() == DEPARTED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(state);
    }

    /// With what an enrolment begins at this age: from then on it has to be heard.
    pub(in crate::engine) fn enrol(
        &mut self,
        pendant: PendantId,
        enrolment: EnrolmentId,
        age: Age,
    ) -> PendantState {
        let is_same =
            |state: &PendantState| state.pendant == pendant.get() && state.enrolment == enrolment;
        let before = self.0.iter().rposition(is_same).and_then(|at| self.0.remove(at));
        let begun = match before {
            Some(before) => before.enrolled_again(pendant),
            None => PendantState::new(pendant, enrolment),
        };
        PendantState { heard: age, ..begun }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pendant::Supervision;

    fn pendant() -> PendantId {
        PendantId::new(5).expect("a number")
    }

    fn heard(enrolment: EnrolmentId, counter: u32) -> PendantState {
        let mut state = PendantState::new(pendant(), enrolment);
        state.mark(counter);
        state.suspect = false;
        state.apparent.alert = Some(counter);
        state.actual.covert_incident = Some(counter);
        state
    }

    #[test]
    fn an_enrolment_that_begins_again_knows_its_counters_and_nothing_that_ran() {
        let mut departed = Departed::default();
        departed.add(heard(1, 40));
        departed.add(heard(2, 9));
        let begun = Age::default().plus_ms(7);
        let again = departed.enrol(pendant(), 1, begun);
        let new = PendantState { heard: begun, ..PendantState::new(pendant(), 1) };
        let mut expected = new.clone();
        expected.mark(40);
        assert_eq!(again, expected);
        assert_eq!(departed.enrol(pendant(), 1, begun), new, "it is here");
        let other = PendantId::new(6).expect("a number");
        assert_eq!(departed.enrol(other, 2, begun).highest, None);
        assert_eq!(departed.enrol(pendant(), 2, begun).highest, Some(9));
    }

    #[test]
    fn who_was_told_as_missing_still_is_and_who_was_missing_with_many_has_its_own_time() {
        let again = |supervision| {
            let mut departed = Departed::default();
            departed.add(PendantState { supervision, ..heard(1, 40) });
            departed.enrol(pendant(), 1, Age::default()).supervision
        };
        let all = [Supervision::Heard, Supervision::Lost, Supervision::LostWithMany];
        let expected = [Supervision::Heard, Supervision::Lost, Supervision::Heard];
        assert_eq!(all.map(again), expected);
    }

    #[test]
    fn the_first_that_departed_is_forgotten_first() {
        let mut departed = Departed::default();
        (0..=DEPARTED_MAX as u64).for_each(|enrolment| departed.add(heard(enrolment, 3)));
        assert_eq!(departed.0.len(), DEPARTED_MAX);
        assert_eq!(departed.enrol(pendant(), 0, Age::default()).highest, None);
        assert_eq!(departed.enrol(pendant(), 1, Age::default()).highest, Some(3));
    }
}
