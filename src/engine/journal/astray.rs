//! Frames that went astray: a write that the medium carried out in another file than
//! it was meant for.

use super::Lsn;
use super::survey::{Found, Survey};

impl Survey {
    /// If the file of a newer segment is gone, its frames that went astray pass for a
    /// newer life of the file in which they stand, and that file's own segment for an
    /// earlier one. But a file is used again only when the tail is above what it held,
    /// or when nothing of it was durable. So of two segments in one file that stand at
    /// or above the tail one went astray if the older one was durable: the fuller one
    /// is the file's own. Not so if the newer one's first frame is there: a file that
    /// the disk did not give at one start may have been taken for free.
    pub(super) fn set_astray_aside(&mut self) {
        let tail = self.tail.segment();
        let ids: Vec<u64> = self.found.keys().copied().collect();
        for id in ids {
            let newest = &self.found[&id];
            if newest.valid.get(0) {
                continue;
            }
            let is_in_log = |held: &&Found| {
                let was_durable = held.durable > Lsn::first_of(held.segment);
                held.segment >= tail && was_durable && !self.found.contains_key(&held.segment)
            };
            let fullest = newest.earlier.iter().filter(is_in_log).max_by_key(|h| h.valid.count());
            let fuller = fullest.filter(|held| held.valid.count() > newest.valid.count());
            let Some(mut own) = fuller.cloned() else { continue };
            self.found.remove(&id);
            self.astray = self.astray.max(Some(id));
            // As with a copy: the file is made anew before it is used again.
            own.full_length = false;
            self.keep(own);
        }
    }
}

#[cfg(test)]
mod tests;
