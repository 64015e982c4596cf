//! First pass of recovery: the frames' headers tell which segments there are,
//! how far the log was durable, and where it ends.

use super::segment::Bits;
use super::slot::{self, Header, SLOT_BYTES, Slot};
use super::{Lsn, SEGMENT_BYTES, SLOTS_PER_SEGMENT};
use crate::engine::mutant::{Mutant, planted};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A boot begins no further in a segment than here: it needs a few frames at once.
const GOES_ON_MAX: u64 = SLOTS_PER_SEGMENT - 64;
/// Without a free file no further than here, since else it could write nothing, not even
/// what makes one free: two frames with which it begins, and the new tail.
const GOES_ON_LAST: u64 = SLOTS_PER_SEGMENT - 3;
/// Ids that are passed over when the newest segments are missing: more than there
/// can be files, so that theirs are not used again.
const IDS_OF_THE_MISSING: u64 = 65_536;

/// Why the journal cannot be used. Nothing was changed on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoverError {
    /// Whole frames, but none opens: the store key belongs to another store.
    ForeignKey,
    /// Written by a version whose frames this build cannot read.
    OtherVersion,
}

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ForeignKey => {
                "the journal was sealed with another store key: put the key file of this \
                 store back, or move the journal folder away to begin a new one"
            }
            Self::OtherVersion => {
                "the journal was written by another version of the gateway: start that \
                 version until its events are delivered, or move the journal folder away"
            }
        })
    }
}

impl std::error::Error for RecoverError {}

/// The newest segment in a file.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) file: u32,
    pub(super) full_length: bool,
    pub(super) segment: u64,
    /// Frames that are whole.
    pub(super) valid: Bits,
    /// Frames that are neither whole nor zero.
    ragged: Bits,
    previous_end: Lsn,
    /// The durable mark in the last of them.
    pub(super) durable: Lsn,
    /// The file in which the log goes on.
    next_file: Option<u32>,
    /// What the file holds of its earlier lives, the newest last.
    pub(super) earlier: Vec<Found>,
}

/// What the headers of one file say. Files can be looked at in any order, also at
/// the same time; [`Survey::take`] brings them together.
pub struct Headers {
    file: u32,
    full_length: bool,
    newest: Option<Found>,
    durable: Lsn,
    tail: Lsn,
    other_version: bool,
}

impl Headers {
    /// Looks at one segment file, whatever is in it.
    #[must_use]
    pub fn read(file: u32, bytes: &[u8]) -> Self {
        let full_length = bytes.len() == SEGMENT_BYTES as usize;
        let mut headers = Self {
            file,
            full_length,
            newest: None,
            durable: Lsn(0),
            tail: Lsn(0),
            other_version: false,
        };
        let mut segments: BTreeMap<u64, (Bits, Header)> = BTreeMap::new();
        let mut ragged = Bits::default();
        for (index, slot) in (0..SLOTS_PER_SEGMENT).zip(whole_slots(bytes)) {
            let Some(header) = Header::read(slot, index) else {
                headers.other_version |= slot::is_of_other_version(slot);
                if *slot != [0; SLOT_BYTES] {
                    ragged.set(index);
                }
                continue;
            };
            headers.durable = headers.durable.max(header.durable_before);
            headers.tail = headers.tail.max(header.tail);
            let (valid, last) =
                segments.entry(header.lsn.segment()).or_insert_with(|| (Bits::default(), header));
            valid.set(index);
            *last = header;
        }
        // A recycled file still holds frames of its earlier lives: the newest counts.
        let found = |(segment, (valid, last)): (u64, (Bits, Header))| Found {
            file,
            full_length,
            segment,
            valid,
            ragged: ragged.clone(),
            previous_end: last.previous_end,
            durable: last.durable_before,
            next_file: last.next_file,
            earlier: Vec::new(),
        };
        headers.newest = segments.pop_last().map(&found);
        if let Some(newest) = &mut headers.newest {
            newest.earlier = segments.into_iter().map(found).collect();
        }
        headers
    }
}

/// First pass: headers only.
#[derive(Default)]
pub struct Survey {
    pub(super) found: BTreeMap<u64, Found>,
    free: Vec<u32>,
    short: Vec<u32>,
    files: u32,
    durable: Lsn,
    pub(super) tail: Lsn,
    other_version: bool,
    newest_id: u64,
    void_frames: u64,
    /// The newest segment of which nothing but frames that went astray is left.
    pub(super) astray: Option<u64>,
    /// Segments that stand in two files.
    doubled: BTreeSet<u64>,
    /// The newest segment of which each file holds a frame, and how many it holds.
    holds: BTreeMap<u32, (u64, u32)>,
}

impl Survey {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one segment file, whatever is in it.
    pub fn file(&mut self, file: u32, bytes: &[u8]) {
        self.take(Headers::read(file, bytes));
    }

    /// Takes what the headers of one file say. Of two files with the same segment
    /// that are equally full, the one that is taken first counts.
    pub fn take(&mut self, headers: Headers) {
        self.files = self.files.max(headers.file + 1);
        self.durable = self.durable.max(headers.durable);
        self.tail = self.tail.max(headers.tail);
        self.other_version |= headers.other_version;
        match headers.newest {
            Some(found) => {
                self.newest_id = self.newest_id.max(found.segment);
                self.holds.insert(found.file, (found.segment, found.valid.count()));
                self.keep(found);
            }
            None => self.set_free(headers.file, headers.full_length),
        }
    }

    fn set_free(&mut self, file: u32, full_length: bool) {
        if full_length { self.free.push(file) } else { self.short.push(file) }
    }

    /// Of two files with the same segment the fuller one counts. The other one may
    /// have its frames from a write that went astray: what else it holds is looked at.
    pub(super) fn keep(&mut self, new: Found) {
        let segment = new.segment;
        let other = match self.found.remove(&segment) {
            Some(old) if old.valid.count() >= new.valid.count() => {
                self.found.insert(segment, old);
                new
            }
            old => {
                self.found.insert(segment, new);
                let Some(old) = old else { return };
                old
            }
        };
        self.doubled.insert(segment);
        let Found { file, mut earlier, .. } = other;
        match earlier.pop() {
            Some(before) => self.keep(Found { earlier, full_length: false, ..before }),
            // A copy must not lie in a file that is named as the next one.
            None => self.set_free(file, false),
        }
    }

    /// Whether segments are missing behind the newest one that is left. It names the
    /// file in which the log was to go on: that was free then, so it is there, and
    /// is no copy of a segment of the log. And no file is ever made shorter.
    fn end_is_missing(&self, cut: Lsn) -> bool {
        let Some((_, last)) = self.found.last_key_value() else { return false };
        let next_is_missing = last.next_file.is_some_and(|file| match self.holds.get(&file) {
            Some((id, count)) => {
                self.found.get(id).is_some_and(|in_log| in_log.valid.count() == *count)
            }
            None => !self.free.contains(&file),
        });
        let cut_short = !last.full_length && cut <= Lsn::first_of(last.segment + 1);
        let is_astray = self.astray.is_some_and(|id| id > last.segment);
        next_is_missing || cut_short || is_astray
    }

    /// The last frames of the log, for which nothing on the medium vouches: they may
    /// stand in the kernel's memory alone, if only the gateway died and not the
    /// machine. They must be written again and synced before `plan` may be believed.
    #[must_use]
    pub fn unvouched(&mut self) -> Option<Unvouched> {
        self.set_astray_aside();
        let cut = self.cut();
        let last = (cut > self.durable).then(|| Lsn(cut.0 - 1))?;
        let found = self.found.get(&last.segment())?;
        let first = self.durable.max(Lsn::first_of(last.segment()));
        Some(Unvouched {
            file: found.file,
            offset: first.index() * SLOT_BYTES as u64,
            bytes: (cut.0 - first.0) as usize * SLOT_BYTES,
        })
    }

    /// Ends the first pass.
    ///
    /// # Errors
    /// `OtherVersion` if the frames are of another format.
    pub fn plan(mut self) -> Result<Plan, RecoverError> {
        self.set_astray_aside();
        let cut = self.cut();
        self.plan_to(cut, cut)
    }

    /// Ends the first pass where the medium took no sync: pendants may have been answered on
    /// the frames for which nothing vouches, so they are read; but none is on them from now on.
    ///
    /// # Errors
    /// `OtherVersion` if the frames are of another format.
    pub fn plan_unsettled(mut self) -> Result<Plan, RecoverError> {
        self.set_astray_aside();
        let (cut, settled) = (self.cut(), self.durable);
        self.plan_to(cut, settled)
    }

    fn plan_to(mut self, cut: Lsn, settled: Lsn) -> Result<Plan, RecoverError> {
        if self.found.is_empty() && self.other_version {
            return Err(RecoverError::OtherVersion);
        }
        let tail_segment = self.tail.segment();
        let stale: Vec<u64> = self.found.range(..tail_segment).map(|(id, _)| *id).collect();
        for id in stale {
            self.discard(id);
        }
        let beyond: Vec<u64> =
            self.found.keys().copied().filter(|id| Lsn::first_of(*id) >= cut).collect();
        for id in beyond {
            self.discard_void(id);
        }
        self.discard_skipped();
        let present: BTreeSet<u32> = (self.found.values().map(|found| found.file))
            .chain(self.free.iter().copied())
            .collect();
        let vacant = (0..self.files).filter(|file| !present.contains(file)).collect();
        let ends: Vec<Lsn> =
            (self.found.values().skip(1).map(|next| next.previous_end)).chain([cut]).collect();
        let end_is_missing = self.end_is_missing(cut);
        let goes_on = self.goes_on_at(cut).filter(|_| !end_is_missing);
        if end_is_missing {
            self.newest_id += IDS_OF_THE_MISSING;
        }
        // The file that is named for the next segment comes next also after a start.
        let next_file = self.found.last_key_value().and_then(|(_, last)| last.next_file);
        if let Some(place) = self.free.iter().position(|file| Some(*file) == next_file) {
            self.free[..=place].rotate_right(1);
        }
        let mut segments = Vec::new();
        for (found, next) in self.found.into_values().zip(ends) {
            let first = Lsn::first_of(found.segment);
            let end =
                if next.segment() == found.segment { next.index() } else { SLOTS_PER_SEGMENT };
            let within = |index: &u64| found.valid.get(*index) || found.ragged.get(*index);
            self.void_frames += (end..SLOTS_PER_SEGMENT).filter(within).count() as u64;
            let Found { file, valid, previous_end, .. } = found;
            segments.push(Planned { file, first, end, valid, previous_end });
        }
        Ok(Plan {
            by_file: segments.iter().enumerate().map(|(place, s)| (s.file, place)).collect(),
            segments,
            free: self.free,
            short: self.short.len() as u64,
            vacant,
            files: self.files,
            cut,
            settled,
            tail: self.tail,
            newest_id: self.newest_id,
            void_frames: self.void_frames,
            goes_on,
            end_is_missing,
        })
    }

    /// Whether the log can go on where it ends, so that a start costs frames and
    /// not a segment; and which frames stand behind that.
    fn goes_on_at(&self, cut: Lsn) -> Option<GoesOn> {
        let (id, last) = self.found.last_key_value()?;
        // A segment that was begun later, and is void, names the same end.
        let alone = *id == self.newest_id && !self.doubled.contains(id);
        let most = if self.free.is_empty() { GOES_ON_LAST } else { GOES_ON_MAX };
        let within = cut.segment() == *id && (1..=most).contains(&cut.index());
        if !alone || !within || !last.full_length {
            return None;
        }
        let stands = |index: &u64| last.valid.get(*index) || last.ragged.get(*index);
        let behind = (cut.index()..SLOTS_PER_SEGMENT).rfind(stands);
        Some(GoesOn { leftovers: behind.map_or(0, |index| index + 1 - cut.index()) })
    }

    fn discard(&mut self, id: u64) -> u64 {
        let Some(found) = self.found.remove(&id) else { return 0 };
        self.set_free(found.file, found.full_length);
        u64::from(found.valid.count())
    }

    fn discard_void(&mut self, id: u64) {
        self.void_frames += self.discard(id);
    }

    /// Where the log ends: from the durable mark on, the first frame that is
    /// not whole, stepping over the ends of segments that were left early.
    fn cut(&self) -> Lsn {
        let mut at = self.durable;
        loop {
            // Torn first commits of earlier boots may name the same end: the
            // newest segment that does is the one that went on from there.
            let successor = (self.found.range(at.segment() + 1..))
                .rfind(|(_, found)| found.previous_end == at)
                .map(|(_, found)| found);
            if let Some(next) = successor {
                if !next.valid.get(0) {
                    return at;
                }
                at = Lsn::first_of(next.segment);
                continue;
            }
            match self.found.get(&at.segment()) {
                Some(found) if found.valid.get(at.index()) => at = at.next(),
                Some(found)
                    if planted(Mutant::TornTailCounts)
                        && found.valid.next(at.index()).is_some() =>
                {
                    at = at.next();
                }
                _ => return at,
            }
        }
    }

    /// Segments that their successor skipped hold nothing that was ever durable.
    fn discard_skipped(&mut self) {
        let mut newer = self.found.keys().next_back().copied();
        while let Some(id) = newer {
            let end = self.found[&id].previous_end;
            let before =
                if end.index() == 0 { end.segment().wrapping_sub(1) } else { end.segment() };
            let skipped: Vec<u64> = match before {
                u64::MAX => self.found.range(..id).map(|(id, _)| *id).collect(),
                before => self.found.range(before + 1..id).map(|(id, _)| *id).collect(),
            };
            for id in skipped {
                self.discard_void(id);
            }
            newer = self.found.range(..id).next_back().map(|(id, _)| *id);
        }
    }
}

/// A stretch of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unvouched {
    /// Number of the file.
    pub file: u32,
    /// From which byte of it on.
    pub offset: u64,
    /// How many bytes.
    pub bytes: usize,
}

/// The log goes on in its last segment.
#[derive(Clone, Copy)]
pub(super) struct GoesOn {
    /// So many frames from there on stand in the way.
    pub(super) leftovers: u64,
}

/// A segment of the log.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) file: u32,
    pub(super) first: Lsn,
    /// The index at which the log leaves it.
    pub(super) end: u64,
    pub(super) valid: Bits,
    pub(super) previous_end: Lsn,
}

/// What the first pass found: the files to read again, in this order.
#[derive(Clone)]
pub struct Plan {
    pub(super) segments: Vec<Planned>,
    by_file: BTreeMap<u32, usize>,
    pub(super) free: Vec<u32>,
    pub(super) short: u64,
    pub(super) vacant: Vec<u32>,
    pub(super) files: u32,
    pub(super) cut: Lsn,
    /// What is below is on the medium, whatever becomes of the kernel.
    pub(super) settled: Lsn,
    pub(super) tail: Lsn,
    /// The highest segment id ever seen; ids below it may stand in torn leftovers
    /// and are never given again.
    pub(super) newest_id: u64,
    /// Frames of commits that did not succeed.
    pub(super) void_frames: u64,
    pub(super) goes_on: Option<GoesOn>,
    /// Segments are missing behind the cut.
    pub(super) end_is_missing: bool,
}

impl Plan {
    /// Files to give to `Replay::file`, in order.
    #[must_use]
    pub fn order(&self) -> Vec<u32> {
        self.segments.iter().map(|segment| segment.file).collect()
    }

    /// Whether the log ends where it does in a later one.
    #[must_use]
    pub fn ends_as(&self, later: &Self) -> bool {
        self.cut == later.cut
    }

    pub(super) fn segment_of(&self, file: u32) -> Option<&Planned> {
        self.by_file.get(&file).map(|place| &self.segments[*place])
    }

    /// Whether all that this plan reads still stands at the same places in a later
    /// one: then no file was used again meanwhile.
    #[must_use]
    pub fn still_stands_in(&self, later: &Self) -> bool {
        self.segments.iter().all(|segment| {
            later.segment_of(segment.file).is_some_and(|now| now.first == segment.first)
        })
    }
}

pub(super) fn whole_slots(bytes: &[u8]) -> impl Iterator<Item = &Slot> {
    bytes.chunks_exact(SLOT_BYTES).map(|slot| slot.try_into().expect("chunks are of this length"))
}

#[cfg(test)]
mod tests;
