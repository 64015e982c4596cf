//! The way of a link's events out of it: never blocks the device's task for
//! long, never loses the state of the link, counts what it drops.
//!
//! Frames and counts are offered without waiting: the air cannot be stopped, and
//! a dropped frame comes again. What changes state (`Up`, `Down`, `Sent`,
//! `NotSent`) waits for room.

use crate::link::{LinkCount, LinkEvent, Reception};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Counts are told at most this often, so that a flood of rubbish makes no
/// flood of events.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// Every kind of [`LinkCount`], in the order of the counters.
const KINDS: [fn(u32) -> LinkCount; 12] = [
    LinkCount::BadCobs,
    LinkCount::Oversize,
    LinkCount::BadEnvelope,
    LinkCount::BadText,
    LinkCount::BadMessage,
    LinkCount::Encrypted,
    LinkCount::PhyCrc,
    LinkCount::PhyHeader,
    LinkCount::LostIrq,
    LinkCount::BadDatagram,
    LinkCount::StrangeForwarder,
    LinkCount::Overflow,
];

/// Events of one link on their way to the gateway.
pub(crate) struct Outbox {
    tag: u8,
    events: mpsc::Sender<(u8, LinkEvent)>,
    untold: [u32; KINDS.len()],
    next_told: Instant,
}

impl Outbox {
    pub(crate) fn new(tag: u8, events: mpsc::Sender<(u8, LinkEvent)>) -> Self {
        Self { tag, events, untold: [0; KINDS.len()], next_told: Instant::now() }
    }

    /// Tells a change of state; waits for room. A gateway that is gone needs no news.
    pub(crate) async fn tell(&mut self, event: LinkEvent) {
        let _ = self.events.send((self.tag, event)).await;
    }

    /// Hands a frame over; false if it found no room, and is counted as dropped.
    pub(crate) fn receive(&mut self, reception: Reception) -> bool {
        let taken = self.offer(LinkEvent::Received(reception));
        if !taken {
            self.count(LinkCount::Overflow(1));
        }
        taken
    }

    /// Adds to a counter; told when its time has come.
    pub(crate) fn count(&mut self, count: LinkCount) {
        let kind = KINDS
            .iter()
            .position(|kind| std::mem::discriminant(&kind(0)) == std::mem::discriminant(&count))
            .expect("KINDS holds every kind");
        self.untold[kind] = self.untold[kind].saturating_add(count.n());
    }

    /// When [`Self::tell_counts`] has something to do.
    pub(crate) fn counts_due(&self) -> Option<Instant> {
        self.untold.iter().any(|&n| n > 0).then_some(self.next_told)
    }

    /// Tells what was counted, as far as there is room; the rest a second later.
    pub(crate) fn tell_counts(&mut self) {
        for (kind, make) in KINDS.iter().enumerate() {
            let n = self.untold[kind];
            if n > 0 && self.offer(LinkEvent::Counted(make(n))) {
                self.untold[kind] = 0;
            }
        }
        self.next_told = Instant::now() + COUNT_INTERVAL;
    }

    /// Hands an event over if there is room; false if there is none.
    pub(crate) fn offer(&self, event: LinkEvent) -> bool {
        self.events.try_send((self.tag, event)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Signal;

    fn reception() -> Reception {
        Reception { ended: Instant::now(), signal: Signal::default(), bytes: vec![1] }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_full_channel_drops_is_told_later() {
        let (sender, mut events) = mpsc::channel(2);
        let mut outbox = Outbox::new(7, sender);
        for _ in 0..5 {
            outbox.receive(reception());
        }
        outbox.tell_counts();
        assert!(events.try_recv().is_ok() && events.try_recv().is_ok());
        assert!(events.try_recv().is_err(), "the count found no room");
        let due = outbox.counts_due().expect("the count is still untold");
        tokio::time::sleep_until(due).await;
        outbox.tell_counts();
        let told = events.try_recv().expect("told at last");
        assert_eq!(told, (7, LinkEvent::Counted(LinkCount::Overflow(3))));
        assert_eq!(outbox.counts_due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_makes_one_event_a_second() {
        let (sender, mut events) = mpsc::channel(100);
        let mut outbox = Outbox::new(0, sender);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            outbox.count(LinkCount::BadCobs(1));
            if outbox.counts_due().is_some_and(|due| due <= Instant::now()) {
                outbox.tell_counts();
            }
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let mut told = 0;
        let mut total = 0;
        while let Ok((_, LinkEvent::Counted(count))) = events.try_recv() {
            told += 1;
            total += count.n();
        }
        assert_eq!(told, 10);
        assert_eq!(total, 9_001, "the last 999 wait for their second");
    }
}
