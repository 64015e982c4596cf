//! Where the latest state of each pendant stands, and how many stand in each
//! segment: room is reckoned at every frame, so that must not be a count.

use super::Lsn;
use pendant_protocol::PendantId;
use std::collections::BTreeMap;

/// The places of the states.
#[derive(Debug, Default)]
pub(super) struct States {
    places: BTreeMap<PendantId, Lsn>,
    pendants: BTreeMap<Lsn, PendantId>,
    in_segment: BTreeMap<u64, u64>,
}

impl States {
    /// A pendant's latest state stands here now.
    pub(super) fn note(&mut self, pendant: PendantId, lsn: Lsn) {
        self.forget(pendant);
        self.places.insert(pendant, lsn);
        self.pendants.insert(lsn, pendant);
        *self.in_segment.entry(lsn.segment()).or_default() += 1;
    }

    /// A pendant's state need not be kept.
    pub(super) fn forget(&mut self, pendant: PendantId) {
        let Some(lsn) = self.places.remove(&pendant) else { return };
        self.pendants.remove(&lsn);
        if let Some(count) = self.in_segment.get_mut(&lsn.segment()) {
            *count -= 1;
            if *count == 0 {
                self.in_segment.remove(&lsn.segment());
            }
        }
    }

    /// Where a pendant's latest state stands.
    pub(super) fn place(&self, pendant: PendantId) -> Option<Lsn> {
        self.places.get(&pendant).copied()
    }

    /// Whose latest state stands here.
    pub(super) fn pendant(&self, lsn: Lsn) -> Option<PendantId> {
        self.pendants.get(&lsn).copied()
    }

    /// Whose latest states stand in a segment.
    pub(super) fn in_segment(&self, id: u64) -> impl Iterator<Item = PendantId> + '_ {
        let range = Lsn::first_of(id)..Lsn::first_of(id + 1);
        self.pendants.range(range).map(|(_, pendant)| *pendant)
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
                let counted = states.in_segment(id).count() as u64;
                assert_eq!(states.count_in_segment(id), counted, "segment {id} after {n}");
            }
        }
    }
}
