//! Commits: what is open is written and synced, one commit at a time, and what is
//! done when one fails.

use super::slot::{self, Header, SLOT_BYTES};
use super::{Journal, Leftovers, Lsn, News, byte_offset};
use crate::engine::mutant::{Mutant, planted};
use crate::engine::seam::{DiskFault, DiskOp, DiskTicket};
use crate::engine::time::Mono;

/// Most frames in one commit: 128 KiB, so that a group never holds the disk long.
pub(super) const COMMIT_SLOTS_MAX: usize = 256;
/// First and longest wait before a failed journal is tried again, ms.
const RETRY_MS: std::ops::RangeInclusive<u64> = 500..=30_000;

/// How long a commit may take, ms. A card that tidies itself up is back within a second or
/// two; beyond this the wearers who wait for an answer get it on the centre's word.
pub(super) const HANGS_AFTER_MS: u64 = 5_000;

pub(super) struct Running {
    pub(super) ticket: DiskTicket,
    pub(super) end: Lsn,
    pub(super) since: Mono,
}

impl Running {
    fn hangs_at(&self) -> Mono {
        self.since.plus_ms(HANGS_AFTER_MS)
    }
}

pub(super) struct Failure {
    pub(super) retry_at: Mono,
    wait_ms: u64,
    /// The open frames may be written again.
    pub(super) reopened: bool,
}

impl Journal {
    pub(super) fn start_commit(&mut self, now: Mono) {
        let blocked = self.failure.as_ref().is_some_and(|failure| !failure.reopened);
        let Some(&(first, _)) = self.open.front() else { return };
        if self.running.is_some() || blocked || self.waits_for_others(now) {
            return;
        }
        if let Some(Leftovers { first, slots }) = self.leftovers {
            let bytes = vec![0; slots as usize * SLOT_BYTES];
            self.commit(first, bytes, self.durable, now);
            return;
        }
        let segment = &self.segments[&first.segment()];
        let after = self.segments.range(first.segment() + 1..).next();
        let next_file = after.map(|(_, next)| next.file).or(self.free.front().copied());
        let cipher = &self.ciphers[&self.boot];
        let mut bytes = Vec::with_capacity(self.open.len().min(COMMIT_SLOTS_MAX) * SLOT_BYTES);
        let mut end = first;
        let same_segment = self.open.iter().take_while(|(lsn, _)| lsn.segment() == first.segment());
        for (lsn, plain) in same_segment.take(COMMIT_SLOTS_MAX) {
            let header = Header {
                lsn: *lsn,
                durable_before: self.durable,
                previous_end: segment.previous_end,
                tail: self.tail,
                boot: self.boot,
                next_file,
            };
            slot::seal(cipher, &header, plain, &mut bytes);
            end = lsn.next();
        }
        self.commit(first, bytes, end, now);
    }

    /// Writes and syncs; then all below `end` is durable.
    fn commit(&mut self, first: Lsn, bytes: Vec<u8>, end: Lsn, now: Mono) {
        let file = self.segments[&first.segment()].file;
        let ticket = self.ticket();
        self.running = Some(Running { ticket, end, since: now });
        self.note_commit(end);
        let offset = byte_offset(first);
        self.operations.push_back(DiskOp::Commit { ticket, file, offset, bytes });
    }

    /// When it is known that the disk hangs, unless it is.
    pub(super) fn hang_deadline(&self) -> Option<Mono> {
        self.running.as_ref().filter(|_| !self.hangs).map(Running::hangs_at)
    }

    /// A commit that takes so long is as good as a failed one to all who wait for it.
    pub(super) fn notice_hang(&mut self, now: Mono) {
        if self.hang_deadline().is_some_and(|at| at <= now) {
            self.hangs = true;
            if self.failure.is_none() {
                self.news.push_back(News::Failed(DiskFault::Hangs));
            }
        }
    }

    pub(super) fn committed(&mut self, ticket: DiskTicket, now: Mono) {
        let Some(running) = self.running.take_if(|running| running.ticket == ticket) else {
            return;
        };
        while self.open.front().is_some_and(|(lsn, _)| *lsn < running.end) {
            self.open.pop_front();
        }
        self.durable = running.end;
        while self.answering.front().is_some_and(|(lsn, _)| *lsn < running.end) {
            let durable = self.answering.pop_front().map(|(_, answered)| answered);
            self.answered_durably = durable.expect("just seen");
        }
        self.leftovers = None;
        // Where each takes so long it is not told of each that the disk works again.
        let in_time = now < running.hangs_at();
        let hung = in_time && std::mem::take(&mut self.hangs);
        let failed = self.failure.take().is_some();
        if (failed || hung) && !self.hangs {
            self.news.push_back(News::Restored);
        }
        self.news.push_back(News::Durable(self.durable()));
    }

    pub(super) fn commit_failed(&mut self, fault: DiskFault, now: Mono) {
        self.running = None;
        let wait_ms = match &self.failure {
            None => *RETRY_MS.start(),
            Some(failure) => (failure.wait_ms * 2).min(*RETRY_MS.end()),
        };
        if self.failure.is_none() && !std::mem::take(&mut self.hangs) {
            self.news.push_back(News::Failed(fault));
        }
        self.failure = Some(Failure { retry_at: now.plus_ms(wait_ms), wait_ms, reopened: false });
    }

    /// After a failed sync the kernel may have dropped the pages and forgotten
    /// the error, so syncing again in place proves nothing: every open frame is
    /// written anew, elsewhere.
    pub(super) fn retry(&mut self, now: Mono) {
        let due = |failure: &&mut Failure| !failure.reopened && failure.retry_at <= now;
        let Some(failure) = self.failure.as_mut().filter(due) else { return };
        failure.retry_at = now.plus_ms(failure.wait_ms);
        if planted(Mutant::SyncAgainInPlace) {
            failure.reopened = true;
            return;
        }
        failure.reopened = true;
        self.unhurried = None;
        match self.reopen() {
            Some(moved) => {
                // The log goes on in another segment; what stands here is void by that.
                self.leftovers = None;
                self.news.push_back(News::Moved(moved));
            }
            None => self.blank_open(),
        }
    }

    /// Without a free file the open frames are written again where they stand, but
    /// zeros are synced there before: bytes that differ from what the failed sync
    /// left in a cache, and which may believe that it has them on the medium. What a torn
    /// commit left behind that stands in the way all the same.
    fn blank_open(&mut self) {
        let Some(&(first, _)) = self.open.front() else { return };
        let written = self.open.iter().take_while(|(lsn, _)| lsn.segment() == first.segment());
        let slots = written.take(COMMIT_SLOTS_MAX).count() as u64;
        let slots = self.leftovers.map_or(slots, |before| before.slots.max(slots));
        self.leftovers = Some(Leftovers { first, slots });
    }
}
