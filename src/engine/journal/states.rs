//! Where the latest state of each pendant stands, and how many stand in each
//! segment: room is reckoned at every frame, so that must not be a count.

use super::Lsn;
use crate::engine::by_pendant::ByPendant;
use pendant_protocol::PendantId;
use std::collections::BTreeMap;

/// The places of the states.
#[derive(Debug, Default)]
pub(super) struct States {
    places: ByPendant<Lsn>,
    in_segment: BTreeMap<u64, u64>,
}

impl States {
    /// A pendant's latest state stands here now.
    pub(super) fn note(&mut self, pendant: PendantId, lsn: Lsn) {
        let before = self.places.insert(pendant, lsn);
        self.leave(before);
        *self.in_segment.entry(lsn.segment()).or_default() += 1;
    }

    /// A pendant's state need not be kept.
    pub(super) fn forget(&mut self, pendant: PendantId) {
        let before = self.places.remove(pendant);
        self.leave(before);
    }

    fn leave(&mut self, place: Option<Lsn>) {
        let Some(id) = place.map(Lsn::segment) else { return };
        if let Some(count) = self.in_segment.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.in_segment.remove(&id);
            }
        }
    }

    /// Where a pendant's latest state stands.
    pub(super) fn place(&self, pendant: PendantId) -> Option<Lsn> {
        self.places.get(pendant).copied()
    }

    /// Whose latest states stand in a segment, oldest first. Looks at all places:
    /// a segment is asked for once when it is cleaned, a place changes at every frame.
    pub(super) fn in_segment(&self, id: u64) -> Vec<PendantId> {
        if self.count_in_segment(id) == 0 {
            return Vec::new();
        }
        let here = self.places.iter().filter(|(_, lsn)| lsn.segment() == id);
        let mut here: Vec<(Lsn, PendantId)> = here.map(|(pendant, lsn)| (*lsn, pendant)).collect();
        here.sort_unstable();
        here.into_iter().map(|(_, pendant)| pendant).collect()
    }

    /// How many pendants have one.
    pub(super) fn count(&self) -> u64 {
        self.places.len() as u64
    }

    /// How many latest states stand in a segment.
    pub(super) fn count_in_segment(&self, id: u64) -> u64 {
        self.in_segment.get(&id).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_stands_where_it_was_noted_last_until_it_is_forgotten() {
        let mut states = States::default();
        let [one, other] = [1, 2].map(|n| PendantId::new(n).expect("a number"));
        states.note(one, Lsn(5));
        states.note(other, Lsn(6));
        states.note(one, Lsn(3_000));
        assert_eq!([one, other].map(|id| states.place(id)), [Some(Lsn(3_000)), Some(Lsn(6))]);
        assert_eq!([0, 1, 2].map(|id| states.count_in_segment(id)), [1, 1, 0]);
        assert_eq!(states.in_segment(0), [other]);
        states.forget(other);
        assert_eq!([one, other].map(|id| states.place(id)), [Some(Lsn(3_000)), None]);
        assert_eq!([0, 1].map(|id| states.count_in_segment(id)), [0, 1]);
    }

    #[test]
    fn the_counts_are_those_of_the_places() {
        let mut states = States::default();
        let pendant = |n: u32| PendantId::new(n % 7 + 1).expect("a number");
        for n in 0..500u32 {
            if n % 11 == 0 {
                states.forget(pendant(n));
            } else {
                states.note(pendant(n * 3), Lsn(u64::from(n) * 97));
            }
            for id in 0..30 {
                let counted = states.in_segment(id).len() as u64;
                assert_eq!(states.count_in_segment(id), counted, "segment {id} after {n}");
            }
            assert_eq!(states.count(), states.in_segment.values().sum::<u64>(), "after {n}");
        }
    }
}
