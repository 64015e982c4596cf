//! What a radio may transmit, and what it cost: carriers, power, dwell time, the ledger
//! of each band's duty cycle, and the time for which the radio was deaf.

use crate::link::SendFault;
use crate::region::{Band, Carrier, Region};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
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

/// The ledgers of all bands, for all radios of a gateway. Clones are the same ledgers.
#[derive(Clone, Debug)]
pub struct Ledgers {
    /// Also of a ledger that is opened later: nobody has used it since.
    begun: Instant,
    /// By the lower edge of their bands, Hz.
    open: Arc<Mutex<BTreeMap<u32, Ledger>>>,
}

impl Ledgers {
    /// New ones.
    pub fn new(now: Instant) -> Self {
        Self { begun: now, open: Arc::default() }
    }

    /// Looks into the ledger of a band; `None` if it needs none.
    fn with<T>(&self, band: &Band, look: impl FnOnce(&mut Ledger) -> T) -> Option<T> {
        let new = |permille| Ledger::new(permille, self.begun);
        let permille = band.duty_permille?;
        let mut open = self.open.lock().expect("nothing panics while it holds the lock");
        Some(look(open.entry(band.low_hz).or_insert_with(|| new(permille))))
    }
}

/// Least power that every link can be set to, dBm: with less lora-phy 3.0.1 overflows
/// (SX126x), or sets the other amplifier to its most (SX127x).
const POWER_DBM_MIN: i8 = 0;

/// The rules that a radio keeps.
#[derive(Clone, Debug)]
struct Law {
    region: Region,
    antenna_gain_dbi: i8,
    answers: Carrier,
    ledgers: Ledgers,
}

/// What one radio may do, and what it did. Clones are the same account.
#[derive(Clone, Debug, Default)]
pub struct Account {
    law: Option<Law>,
    times: Arc<Times>,
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
    /// Airtime in the last hour in the band in which the radio answers pendants as it is
    /// set, and how much of it was allowed, if it is limited.
    pub airtime: Option<Airtime>,
    /// For how much of its working time the radio could not listen, because it
    /// prepared or sent an answer, thousandths.
    pub deaf_permille: u16,
}

/// Airtime of a band in the last hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Airtime {
    /// Time on the air that was used.
    pub spent: Duration,
    /// Time on the air that the region allows in any hour.
    pub allowed: Duration,
}

impl Account {
    /// The account of a radio in this region with this antenna (its gain less the loss of
    /// its cable), which answers on this carrier as it is set. The default account is of a
    /// bench: nothing is limited.
    pub fn new(region: Region, antenna_gain_dbi: i8, answers: Carrier, ledgers: &Ledgers) -> Self {
        let law = Law { region, antenna_gain_dbi, answers, ledgers: ledgers.clone() };
        Self { law: Some(law), times: Arc::default() }
    }

    /// Asks for a transmission at this power, dBm, and enters it if it is granted: at as
    /// much power as the region allows.
    ///
    /// # Errors
    /// The region has no such carrier, or it would last too long, or there is no airtime
    /// left in its band.
    pub fn claim(
        &self,
        now: Instant,
        carrier: Carrier,
        airtime: Duration,
        power_dbm: i8,
    ) -> Result<i8, SendFault> {
        let Some(law) = &self.law else { return Ok(power_dbm) };
        let band = law.band(carrier).ok_or(SendFault::Carrier)?;
        let allowed_dbm = band.eirp_dbm_max - i32::from(law.antenna_gain_dbi);
        let allowed_dbm = i8::try_from(allowed_dbm).unwrap_or(i8::MAX);
        if allowed_dbm < POWER_DBM_MIN {
            return Err(SendFault::Carrier);
        }
        if band.dwell_max.is_some_and(|dwell_max| airtime > dwell_max) {
            return Err(SendFault::Dwell);
        }
        match law.ledgers.with(&band, |ledger| ledger.claim(now, airtime)) {
            Some(false) => Err(SendFault::Airtime),
            Some(true) | None => Ok(power_dbm.min(allowed_dbm)),
        }
    }

    /// What may be shown on site: sums only.
    pub fn balance(&self, now: Instant) -> Balance {
        let airtime = self.law.as_ref().and_then(|law| {
            law.ledgers.with(&law.band(law.answers)?, |ledger| Airtime {
                spent: ledger.spent(now),
                allowed: ledger.allowed(),
            })
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

impl Law {
    fn band(&self, carrier: Carrier) -> Option<Band> {
        self.region.band(carrier.frequency_hz, carrier.bandwidth_hz)
    }
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

    /// Where a radio in Europe answers as it is set.
    const ANSWERS: Carrier = Carrier { frequency_hz: 869_525_000, bandwidth_hz: 125_000 };

    fn account(region: Region, antenna_gain_dbi: i8, ledgers: &Ledgers) -> Account {
        Account::new(region, antenna_gain_dbi, ANSWERS, ledgers)
    }

    #[test]
    fn a_frame_that_dwells_too_long_is_refused_and_costs_nothing() {
        let now = Instant::now();
        let account = account(Region::Us915, 2, &Ledgers::new(now));
        let narrow = Carrier { frequency_hz: 915_000_000, bandwidth_hz: 125_000 };
        let long = Duration::from_millis(401);
        assert_eq!(account.claim(now, narrow, long, 14), Err(SendFault::Dwell));
        assert_eq!(account.claim(now, narrow, FRAME, 14), Ok(14));
        let wide = Carrier { bandwidth_hz: 500_000, ..narrow };
        assert_eq!(account.claim(now, wide, long, 14), Ok(14));
        assert_eq!(account.balance(now).airtime, None);
    }

    #[test]
    fn two_radios_of_one_band_have_one_allowance() {
        let begun = Instant::now();
        let ledgers = Ledgers::new(begun);
        let accounts = [(); 2].map(|()| account(Region::Eu868, 2, &ledgers));
        let now = begun + Duration::from_secs(5);
        assert_eq!(accounts[0].claim(now, ANSWERS, FRAME, 14), Ok(14));
        assert_eq!(accounts[1].claim(now, ANSWERS, FRAME, 14), Err(SendFault::Airtime));
    }

    /// The first claim on a band opens its ledger, which began with the others.
    #[test]
    fn each_carrier_is_charged_to_its_own_band() {
        let begun = Instant::now();
        let account = account(Region::Eu868, 2, &Ledgers::new(begun));
        let other = Carrier { frequency_hz: 868_100_000, ..ANSWERS };
        let now = begun + Duration::from_secs(40);
        assert_eq!(account.claim(now, other, FRAME, 14), Ok(14));
        assert_eq!(account.claim(now, other, FRAME, 14), Err(SendFault::Airtime));
        let before = account.balance(now).airtime.expect("a limit").spent;
        assert_eq!(account.claim(now, ANSWERS, FRAME, 14), Ok(14));
        assert_eq!(account.balance(now).airtime.expect("a limit").spent, before + FRAME);
    }

    #[test]
    fn each_band_has_its_power_and_no_carrier_is_used_outside_of_all() {
        let now = Instant::now() + HOUR;
        let claim = |gain, frequency_hz| {
            let account = account(Region::Eu868, gain, &Ledgers::new(now - HOUR));
            account.claim(now, Carrier { frequency_hz, ..ANSWERS }, FRAME, 20)
        };
        assert_eq!(claim(2, 869_525_000), Ok(20));
        assert_eq!(claim(2, 868_100_000), Ok(14));
        assert_eq!(claim(-20, 868_100_000), Ok(20));
        assert_eq!(claim(16, 868_100_000), Ok(0));
        assert_eq!(claim(17, 868_100_000), Err(SendFault::Carrier));
        for frequency_hz in [869_300_000, 915_000_000, 0, u32::MAX] {
            assert_eq!(claim(2, frequency_hz), Err(SendFault::Carrier));
        }
    }
}
