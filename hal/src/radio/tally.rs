//! What the radio's task and the wires below the driver both add to, and what
//! never waits: frames, counts, and once a second what the channel was like.

use crate::link::{AIR_INTERVAL, AirQuality, LinkCount, LinkEvent, Reception};
use crate::outbox::Outbox;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::time::Instant;

/// Clones are the same tally.
#[derive(Clone)]
pub(super) struct Tally(Arc<Mutex<Sums>>);

struct Sums {
    outbox: Outbox,
    air: AirQuality,
    /// When the channel is told of next; `None` while the chip is being set up.
    air_due: Option<Instant>,
}

impl Tally {
    pub(super) fn new(outbox: Outbox) -> Self {
        Self(Arc::new(Mutex::new(Sums { outbox, air: AirQuality::default(), air_due: None })))
    }

    /// Called at every interrupt and every poll, so nothing stays untold for
    /// longer than a poll and the interval of what it is.
    pub(super) fn tell(&self) {
        let now = Instant::now();
        let mut sums = self.sums();
        if sums.outbox.counts_due().is_some_and(|due| due <= now) {
            sums.outbox.tell_counts();
        }
        let Some(due) = sums.air_due.filter(|due| *due <= now) else { return };
        let air = sums.air;
        // What finds no room goes with the next.
        if sums.outbox.offer(LinkEvent::Air(air)) {
            sums.air = AirQuality::default();
            let next = due + AIR_INTERVAL;
            sums.air_due = Some(if next > now { next } else { now + AIR_INTERVAL });
        }
    }

    /// The chip listens from now on: the channel is told of.
    pub(super) fn begin_air(&self) {
        let mut sums = self.sums();
        sums.air = AirQuality::default();
        sums.air_due = Some(Instant::now() + AIR_INTERVAL);
    }

    /// The chip is being set up: what it says of the channel is not to be trusted.
    pub(super) fn end_air(&self) {
        self.sums().air_due = None;
    }

    pub(super) fn count(&self, count: LinkCount) {
        let mut sums = self.sums();
        match count {
            LinkCount::PhyCrc(n) => sums.air.crc_failures += n,
            LinkCount::PhyHeader(n) => sums.air.header_failures += n,
            _ => {}
        }
        sums.outbox.count(count);
    }

    pub(super) fn receive(&self, reception: Reception) {
        let mut sums = self.sums();
        sums.air.frames += 1;
        sums.outbox.receive(reception);
    }

    /// The power on the channel while nothing is received.
    pub(super) fn sample(&self, noise_dbm: i16) {
        let mut sums = self.sums();
        let lowest = sums.air.noise_dbm.map_or(noise_dbm, |lowest| lowest.min(noise_dbm));
        sums.air.noise_dbm = Some(lowest);
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}
