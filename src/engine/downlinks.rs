//! Which receiver a downlink leaves by. Where a site has several, it is held back
//! until shortly before its time and then handed to the one that heard its
//! pendant best, of those that are up. When that is depends on nothing but the
//! frame's end (P5).

use super::acknowledge::{Released, Windows};
use super::event::EventId;
use super::seam::{LinkId, Signal};
use super::time::Mono;
use std::collections::BTreeMap;

/// A held downlink goes to its link this long before its time: a packet forwarder
/// wants 300 ms (its network may be slow), a radio begins to prepare 25 ms before, a
/// serial line of 2400 baud takes 250 ms for the bytes.
const HAND_OVER_MS: u64 = 350;

/// Most downlinks that are held; the channel carries a fraction of that in two
/// seconds. What is more goes to its link at once.
const HELD_MAX: usize = 1024;

/// More receivers than any configuration may have.
const RECEIVERS_MAX: usize = 16;

/// How one receiver heard a transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ear {
    pub(super) link: LinkId,
    pub(super) signal: Signal,
    /// When the frame ended, as this receiver reckons. It keeps its own time: an
    /// answer through it counts from here, to the microsecond.
    pub(super) ended: Mono,
}

/// Receivers that heard one transmission and may answer it, the first one first.
#[derive(Clone, Debug, Default)]
pub(super) struct Receivers(Vec<Ear>);

impl Receivers {
    pub(super) fn add(&mut self, ear: Ear) {
        if self.0.len() < RECEIVERS_MAX && self.0.iter().all(|known| known.link != ear.link) {
            self.0.push(ear);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The best one: up before down, then by signal, then the first. Where one of
    /// two does not tell a quantity, the earlier stays.
    pub(super) fn best(&self, is_up: impl Fn(LinkId) -> bool) -> Option<Ear> {
        let mut best = *self.0.first()?;
        for ear in &self.0[1..] {
            let better = match (is_up(best.link), is_up(ear.link)) {
                (false, true) => true,
                (true, false) => false,
                _ => is_better(&ear.signal, &best.signal),
            };
            if better {
                best = *ear;
            }
        }
        Some(best)
    }
}

fn is_better(other: &Signal, than: &Signal) -> bool {
    let louder = |other: Option<i16>, than: Option<i16>| other.zip(than).map(|(a, b)| a.cmp(&b));
    let by_snr = louder(other.snr_quarter_db, than.snr_quarter_db);
    let by_rssi = louder(other.rssi_dbm, than.rssi_dbm);
    by_snr.filter(|by| by.is_ne()).or(by_rssi).is_some_and(std::cmp::Ordering::is_gt)
}

/// Released downlinks that wait for their hand-over.
#[derive(Default)]
pub(super) struct Downlinks {
    /// By the moment of the hand-over, then in the order of their release.
    held: BTreeMap<(Mono, u64), (Released, Windows)>,
    order: u64,
}

impl Downlinks {
    /// Holds a downlink back; gives it back if its time has come.
    pub(super) fn hold(
        &mut self,
        released: Released,
        windows: Windows,
        now: Mono,
    ) -> Option<(Released, Windows)> {
        let at_us = released.begins(windows).us();
        let hand_over = Mono::from_us(at_us.saturating_sub(HAND_OVER_MS * 1000));
        if hand_over <= now || self.held.len() >= HELD_MAX {
            return Some((released, windows));
        }
        self.order += 1;
        self.held.insert((hand_over, self.order), (released, windows));
        None
    }

    /// Another receiver heard the frame that one of them may answer.
    pub(super) fn heard_too(&mut self, event: EventId, ear: Ear) {
        let found = self.held.values_mut().filter(|(released, _)| released.event() == event);
        for (released, _) in found {
            released.heard_too(ear);
        }
    }

    /// The next one whose time has come.
    pub(super) fn take_due(&mut self, now: Mono) -> Option<(Released, Windows)> {
        let first = self.held.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.held.keys().next().map(|(hand_over, _)| *hand_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(snr_db: Option<i16>, rssi_dbm: Option<i16>) -> Signal {
        Signal { snr_quarter_db: snr_db.map(|db| db * 4), rssi_dbm, ..Signal::default() }
    }

    fn ear(link: u8, signal: Signal) -> Ear {
        Ear { link: LinkId(link), signal, ended: Mono::from_us(0) }
    }

    fn best(heard: &[(u8, Signal)], down: u8) -> Option<LinkId> {
        let mut receivers = Receivers::default();
        for (link, signal) in heard {
            receivers.add(ear(*link, *signal));
        }
        receivers.best(|link| link.0 != down).map(|best| best.link)
    }

    #[test]
    fn the_best_signal_wins_and_the_first_a_tie() {
        let nobody = 99;
        let weak = signal(Some(-10), Some(-110));
        let strong = signal(Some(5), Some(-90));
        assert_eq!(best(&[], nobody), None);
        assert_eq!(best(&[(0, weak), (1, strong), (2, weak)], nobody), Some(LinkId(1)));
        assert_eq!(best(&[(0, strong), (1, strong)], nobody), Some(LinkId(0)));
        // Strong signals saturate the signal-to-noise ratio.
        let near = signal(Some(5), Some(-40));
        assert_eq!(best(&[(0, strong), (1, near)], nobody), Some(LinkId(1)));
        // Who does not tell is not thought worse.
        assert_eq!(best(&[(0, signal(None, None)), (1, strong)], nobody), Some(LinkId(0)));
    }

    #[test]
    fn a_receiver_that_is_down_answers_only_if_no_other_can() {
        let weak = signal(Some(-10), Some(-110));
        let strong = signal(Some(5), Some(-90));
        assert_eq!(best(&[(0, strong), (1, weak)], 0), Some(LinkId(1)));
        assert_eq!(best(&[(0, weak), (1, strong)], 1), Some(LinkId(0)));
        assert_eq!(best(&[(0, strong)], 0), Some(LinkId(0)));
    }

    #[test]
    fn a_receiver_counts_once() {
        let mut receivers = Receivers::default();
        for n in 0..100 {
            receivers.add(ear(n % 20, signal(None, None)));
        }
        assert_eq!(receivers.0.len(), RECEIVERS_MAX);
    }
}
