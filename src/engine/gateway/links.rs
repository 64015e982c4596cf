//! The receivers: which of them can be used, and what is told of it.

use super::Gateway;
use crate::engine::event::{Detail, Kind};
use crate::engine::notice::Notice;
use crate::engine::seam::LinkId;
use crate::engine::time::{Mono, Now};

/// A receiver that went again so soon after its return was told has a loose plug or a weak
/// supply, ms.
const SOON_MS: u64 = 600_000;
/// The next return of such a one is told when it has stayed for this long, ms: else each of
/// its comings and goings, which may be thousands in a day, would be.
const STAYS_MS: u64 = 60_000;

/// What is known of a receiver, and what was told of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinkWatch {
    pub(super) up: bool,
    told_down: bool,
    /// It did not stay when it came last.
    unsteady: bool,
    /// When its return was told last.
    back_told: Option<Mono>,
    /// When its return is to be told, if it stays.
    back_at: Option<Mono>,
}

impl LinkWatch {
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.back_at
    }

    /// It works. True if its return is to be told now.
    fn comes(&mut self, now: Mono) -> bool {
        if self.told_down && !self.up {
            self.back_at = Some(if self.unsteady { now.plus_ms(STAYS_MS) } else { now });
        }
        self.up = true;
        self.handle_time(now)
    }

    /// It does not work. True if that is to be told.
    fn goes(&mut self, now: Mono) -> bool {
        if self.up {
            let soon = self.back_told.is_some_and(|told| now.ms_since(told) < SOON_MS);
            self.unsteady = soon || self.back_at.is_some();
        }
        (self.up, self.back_at) = (false, None);
        !std::mem::replace(&mut self.told_down, true)
    }

    fn handle_time(&mut self, now: Mono) -> bool {
        let back = self.back_at.take_if(|at| *at <= now).is_some();
        if back {
            (self.told_down, self.back_told) = (false, Some(now));
        }
        back
    }
}

impl Gateway {
    pub(super) fn link(&mut self, link: LinkId, up: bool, now: Now) {
        let known = self.links.contains_key(&link);
        let watch = self.links.entry(link).or_default();
        // A second reason of one outage is no second outage.
        let went = !up && (watch.up || !known);
        let told = if up { watch.comes(now.mono) } else { watch.goes(now.mono) };
        if went {
            self.air.link_down(link);
        }
        self.notice(Notice::Link { link, up });
        if told {
            self.tell(if up { Kind::LinkUp } else { Kind::LinkDown }, Detail::Link(link), now);
        }
    }

    pub(super) fn handle_links(&mut self, now: Now) {
        let due =
            |(link, watch): (&LinkId, &mut LinkWatch)| watch.handle_time(now.mono).then_some(*link);
        let back: Vec<LinkId> = self.links.iter_mut().filter_map(due).collect();
        for link in back {
            self.tell(Kind::LinkUp, Detail::Link(link), now);
        }
    }
}
