//! What a radio may transmit, and what it cost: the ledger of a band's duty
//! cycle, the dwell time, and the time for which the radio was deaf.

use super::meter::ChannelMeter;
use crate::link::SendFault;
use crate::region::Band;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// A duty cycle is measured over any hour (EN 300 220-1, section 4.3.3).
const HOUR: Duration = Duration::from_secs(3600);

/// Transmissions within this time are one entry, which counts until the last of
/// them is an hour old.
const ENTRY: Duration = Duration::from_secs(1);

/// How much of the last hour's allowance of one band is spent.
///
/// What was sent before a restart is not known. So a new ledger counts as spent
/// to the limit, evenly over the hour before: it grants no more than the share of
/// the time that has passed since, and a gateway that restarts for ever stays
/// within its share.
#[derive(Debug)]
pub struct Ledger {
    allowed: Duration,
    begun: Instant,
    /// Oldest first, at most one a second.
    entries: VecDeque<Entry>,
    sum: Duration,
}

#[derive(Debug)]
struct Entry {
    first: Instant,
    last: Instant,
    airtime: Duration,
}

impl Ledger {
    /// A ledger that allows so many thousandths of any hour.
    pub fn new(duty_permille: u16, now: Instant) -> Self {
        let allowed = HOUR * u32::from(duty_permille.min(1000)) / 1000;
        Self { allowed, begun: now, entries: VecDeque::new(), sum: Duration::ZERO }
    }

    /// Most airtime in any hour.
    pub fn allowed(&self) -> Duration {
        self.allowed
    }

    /// Airtime in the hour up to now, with what may have been sent before the
    /// ledger began.
    pub fn spent(&mut self, now: Instant) -> Duration {
        let old = |entry: &&Entry| now.saturating_duration_since(entry.last) >= HOUR;
        while let Some(&Entry { airtime, .. }) = self.entries.front().filter(old) {
            self.entries.pop_front();
            self.sum -= airtime;
        }
        let unknown = HOUR.saturating_sub(now.saturating_duration_since(self.begun));
        self.sum + self.allowed.mul_f64(unknown.as_secs_f64() / HOUR.as_secs_f64())
    }

    /// Enters a transmission; false, and nothing is entered, if it is too much.
    pub fn claim(&mut self, now: Instant, airtime: Duration) -> bool {
        if self.spent(now) + airtime > self.allowed {
            return false;
        }
        match self.entries.back_mut() {
            Some(entry) if now.saturating_duration_since(entry.first) < ENTRY => {
                entry.last = now;
                entry.airtime += airtime;
            }
            _ => self.entries.push_back(Entry { first: now, last: now, airtime }),
        }
        self.sum += airtime;
        true
    }
}

/// One band's ledger, for all radios of the gateway that transmit in it.
pub type SharedLedger = Arc<Mutex<Ledger>>;

/// What one radio may do, and what it did. Clones are the same account.
#[derive(Clone, Debug, Default)]
pub struct Account {
    dwell_max: Option<Duration>,
    ledger: Option<SharedLedger>,
    times: Arc<Times>,
    channel: ChannelMeter,
}

/// Microseconds.
#[derive(Debug, Default)]
struct Times {
    up: AtomicU64,
    deaf: AtomicU64,
}

/// What an account says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Airtime in the last hour, and how much of it was allowed, if it is limited.
    pub airtime: Option<Airtime>,
    /// For how much of its working time the radio could not listen, because it
    /// prepared or sent an answer, thousandths.
    pub deaf_permille: u16,
}

/// Airtime of a band in the last hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Airtime {
    /// Spent.
    pub spent: Duration,
    /// Allowed.
    pub allowed: Duration,
}

impl Account {
    /// The account of a radio that transmits in this band, whose ledger other
    /// radios may share. The default account is of a bench: nothing is limited.
    pub fn new(band: &Band, ledger: Option<SharedLedger>) -> Self {
        Self { dwell_max: band.dwell_max, ledger, ..Self::default() }
    }

    /// What it notices of its channel.
    pub fn channel(&self) -> &ChannelMeter {
        &self.channel
    }

    /// Asks for a transmission, and enters it if it is granted.
    ///
    /// # Errors
    /// It would last too long, or there is no airtime left.
    pub fn claim(&self, now: Instant, airtime: Duration) -> Result<(), SendFault> {
        if self.dwell_max.is_some_and(|dwell_max| airtime > dwell_max) {
            return Err(SendFault::Dwell);
        }
        match &self.ledger {
            Some(ledger) if !lock(ledger).claim(now, airtime) => Err(SendFault::Airtime),
            _ => Ok(()),
        }
    }

    /// What may be shown on site: sums only.
    pub fn balance(&self, now: Instant) -> Balance {
        let airtime = self.ledger.as_ref().map(|ledger| {
            let mut ledger = lock(ledger);
            Airtime { spent: ledger.spent(now), allowed: ledger.allowed() }
        });
        let up = self.times.up.load(Ordering::Relaxed);
        let deaf = self.times.deaf.load(Ordering::Relaxed);
        let deaf_permille = deaf.saturating_mul(1000).checked_div(up).unwrap_or(0);
        Balance { airtime, deaf_permille: u16::try_from(deaf_permille).unwrap_or(1000) }
    }

    /// The radio worked for so long, and could not listen for `deaf` of it.
    pub(super) fn worked(&self, up: Duration, deaf: Duration) {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.times.up.fetch_add(us(up), Ordering::Relaxed);
        self.times.deaf.fetch_add(us(deaf), Ordering::Relaxed);
    }
}

fn lock(ledger: &SharedLedger) -> MutexGuard<'_, Ledger> {
    ledger.lock().expect("nothing panics while it holds the lock")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: Duration = Duration::from_millis(371);

    #[test]
    fn a_restart_grants_no_more_than_the_time_since() {
        let begun = Instant::now();
        let mut ledger = Ledger::new(100, begun);
        assert!(!ledger.claim(begun, FRAME));
        assert!(!ledger.claim(begun + Duration::from_millis(3_700), FRAME));
        assert!(ledger.claim(begun + Duration::from_millis(3_720), FRAME));
        assert!(!ledger.claim(begun + Duration::from_millis(3_720), FRAME));
        let mut granted = 1;
        for second in 4..3600 {
            granted += u32::from(ledger.claim(begun + Duration::from_secs(second), FRAME));
        }
        assert!((960..=970).contains(&granted), "{granted}");
    }

    #[test]
    fn a_quiet_hour_pays_for_all_of_it_at_once() {
        let begun = Instant::now();
        let mut ledger = Ledger::new(100, begun);
        let now = begun + HOUR;
        let granted = (0..2000).filter(|_| ledger.claim(now, FRAME)).count();
        assert_eq!(granted, 970);
        assert!(!ledger.claim(now + HOUR - Duration::from_secs(1), FRAME));
        assert!(ledger.claim(now + HOUR, FRAME));
    }

    proptest! {
        /// Whatever is asked for and when: in no hour is more granted than allowed.
        #[test]
        fn no_sliding_hour_exceeds_the_duty_cycle(
            duty in 1u16..=100,
            asked in prop::collection::vec(
                (prop_oneof![0u64..2_000, 0u64..400_000], 20u64..2000),
                1..600,
            ),
        ) {
            let begun = Instant::now();
            let mut ledger = Ledger::new(duty, begun);
            let mut now = begun;
            let mut granted: Vec<(Instant, Duration)> = Vec::new();
            for (pause_ms, airtime_ms) in asked {
                now += Duration::from_millis(pause_ms);
                let airtime = Duration::from_millis(airtime_ms);
                if ledger.claim(now, airtime) {
                    granted.push((now, airtime));
                }
            }
            for (last, &(end, _)) in granted.iter().enumerate() {
                let sum: Duration = granted[..=last]
                    .iter()
                    .filter(|(at, _)| end.duration_since(*at) < HOUR)
                    .map(|(_, airtime)| *airtime)
                    .sum();
                prop_assert!(sum <= ledger.allowed(), "{sum:?} of {:?}", ledger.allowed());
            }
        }
    }

    #[test]
    fn a_frame_that_dwells_too_long_is_refused_and_costs_nothing() {
        let band = crate::region::Region::Us915.band(915_000_000, 125_000).expect("a band");
        let account = Account::new(&band, None);
        let now = Instant::now();
        assert_eq!(account.claim(now, Duration::from_millis(401)), Err(SendFault::Dwell));
        assert_eq!(account.claim(now, FRAME), Ok(()));
        assert_eq!(account.balance(now).airtime, None);
    }

    #[test]
    fn two_radios_of_one_band_have_one_allowance() {
        let begun = Instant::now();
        let band = crate::region::Region::Eu868.band(869_525_000, 125_000).expect("a band");
        let ledger = Arc::new(Mutex::new(Ledger::new(100, begun)));
        let accounts = [(); 2].map(|()| Account::new(&band, Some(Arc::clone(&ledger))));
        let now = begun + Duration::from_secs(5);
        assert_eq!(accounts[0].claim(now, FRAME), Ok(()));
        assert_eq!(accounts[1].claim(now, FRAME), Err(SendFault::Airtime));
    }
}
