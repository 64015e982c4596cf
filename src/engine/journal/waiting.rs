//! The events of a journal that wait, as they would be offered to the centre:
//! for reading a journal without running a gateway on it.

use super::segment::Segment;
use super::slot::{self, BootCipher, Header, Record};
use super::survey::{Plan, whole_slots};
use super::{JournalKey, Lsn, Shed};
use crate::engine::payload::Voice;
use crate::engine::seam::{BrokerId, Publish, PublishId};
use crate::engine::settings::Settings;
use crate::engine::time::Now;
use std::collections::BTreeMap;

/// Boots are random; none of a journal is this one, so no event counts as one of
/// the reader's own life.
const NO_BOOT: u64 = 0;

/// Events that wait.
pub struct Waiting {
    plan: Plan,
    store: JournalKey,
    segments: BTreeMap<u64, Segment>,
    voids: Vec<Shed>,
}

impl Waiting {
    pub(super) fn new(
        plan: Plan,
        store: JournalKey,
        segments: BTreeMap<u64, Segment>,
        voids: Vec<Shed>,
    ) -> Self {
        Self { plan, store, segments, voids }
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.segments.values().map(|segment| u64::from(segment.live.count())).sum()
    }

    /// Numbers of events that are known to be missing by damage. For the centre
    /// alone: the lane tells what kind of event it was.
    pub fn missing(&self) -> impl Iterator<Item = &Shed> {
        self.voids.iter()
    }

    /// Files that hold some, in order of reception.
    #[must_use]
    pub fn order(&self) -> Vec<u32> {
        let holds = |segment: &&Segment| segment.live.count() > 0;
        self.segments.values().filter(holds).map(|segment| segment.file).collect()
    }

    /// The events in one file, each as one message: topic and payload of all have
    /// one constant sum of lengths. Also how many could not be opened any more.
    #[must_use]
    pub fn messages(
        &self,
        file: u32,
        bytes: &[u8],
        settings: &Settings,
        now: Now,
    ) -> (Vec<Publish>, u64) {
        let (mut messages, mut gone) = (Vec::new(), 0);
        let Some(planned) = self.plan.segment_of(file) else { return (messages, 0) };
        let Some(segment) = self.segments.get(&planned.first.segment()) else {
            return (messages, 0);
        };
        let voice = Voice::new(settings, NO_BOOT);
        let mut ciphers: BTreeMap<u64, BootCipher> = BTreeMap::new();
        for (index, slot) in (0..).zip(whole_slots(bytes)) {
            if !segment.live.get(index) {
                continue;
            }
            let expected = Lsn(planned.first.0 + index);
            let header = Header::read(slot, index).filter(|header| header.lsn == expected);
            let record = header.and_then(|header| {
                let cipher = ciphers
                    .entry(header.boot)
                    .or_insert_with(|| BootCipher::new(&self.store, header.boot));
                slot::open(cipher, &header, slot)
            });
            match record {
                Some(Record::Event(event, _)) => {
                    messages.push(voice.publish(
                        (PublishId(expected.0), BrokerId(0)),
                        &event,
                        true,
                        now,
                    ));
                }
                _ => gone += 1,
            }
        }
        (messages, gone)
    }
}

#[cfg(test)]
mod tests;
