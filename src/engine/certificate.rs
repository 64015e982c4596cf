//! When certificates end: told 30, 7 and 1 days ahead and when it has happened.
//!
//! The shell says which certificates are in use and when they end; here is decided
//! what is told of that, and once. **Only a set clock can say that something
//! ends** (P9): as long as it is not set, nothing is told. What was told is
//! forgotten with the boot, so a start tells what is so then once more; and an
//! hour after it was told if the clock has turned out to have been ahead.

use super::seam::BrokerId;
use super::time::{Mono, Now, Wall};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const DAY_S: i64 = 86_400;
/// A clock that goes to and fro across a threshold is told no more often, ms.
const TELL_AGAIN_MS: u64 = 3_600_000;

/// Whose certificate, of those that the line to one broker needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CertificateOf {
    /// This gateway's own.
    Gateway,
    /// The first to end of the authorities that may vouch for the broker.
    Authority,
    /// The broker's own, as it showed it when the line was made.
    Broker,
}

impl CertificateOf {
    /// The name in payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Authority => "authority",
            Self::Broker => "broker",
        }
    }
}

/// Why new files for TLS are not taken into use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unfit {
    /// A file is missing or may not be read.
    Unreadable,
    /// A file is not what it should be: cut short, or of another format.
    Damaged,
    /// The key is not that of the certificate.
    WrongKey,
    /// The certificate has ended already.
    Ended,
    /// The new authorities do not vouch for the broker.
    BrokerUntrusted,
    /// The broker refused the certificate, or hung up over it.
    BrokerRefused,
}

impl Unfit {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::Unreadable,
        Self::Damaged,
        Self::WrongKey,
        Self::Ended,
        Self::BrokerUntrusted,
        Self::BrokerRefused,
    ];

    /// The name in payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Damaged => "damaged",
            Self::WrongKey => "wrong_key",
            Self::Ended => "ended",
            Self::BrokerUntrusted => "broker_untrusted",
            Self::BrokerRefused => "broker_refused",
        }
    }
}

/// How near a certificate's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// More than 30 days away.
    Far,
    /// 30 days or less.
    Month,
    /// 7 days or less.
    Week,
    /// One day or less.
    Day,
    /// It is over.
    Ended,
}

impl Nearness {
    const TOLD: [Self; 4] = [Self::Month, Self::Week, Self::Day, Self::Ended];

    /// The first second, counted from 1970, at which an end is so near.
    const fn begins(self, ends_unix_s: i64) -> i64 {
        match self {
            Self::Far => i64::MIN,
            Self::Month => ends_unix_s.saturating_sub(30 * DAY_S),
            Self::Week => ends_unix_s.saturating_sub(7 * DAY_S),
            Self::Day => ends_unix_s.saturating_sub(DAY_S),
            // The last second belongs to the certificate's life.
            Self::Ended => ends_unix_s.saturating_add(1),
        }
    }

    fn of(ends_unix_s: i64, now_unix_s: i64) -> Self {
        let reached = |near: &&Self| near.begins(ends_unix_s) <= now_unix_s;
        Self::TOLD.iter().rev().find(reached).copied().unwrap_or(Self::Far)
    }
}

/// A certificate and how near its end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// On the line to which broker.
    pub broker: BrokerId,
    /// Whose.
    pub of: CertificateOf,
    /// Its last second, counted from 1970.
    pub ends_unix_s: i64,
    /// How near that is; `Far` of one that has replaced another.
    pub near: Nearness,
}

#[derive(Clone, Copy, Debug)]
struct InUse {
    ends_unix_s: i64,
    told: Nearness,
    told_at: Mono,
}

/// The certificates in use, and what was told of them.
#[derive(Debug, Default)]
pub(super) struct CertificateWatch {
    in_use: BTreeMap<(BrokerId, CertificateOf), InUse>,
    due: Option<Mono>,
}

impl CertificateWatch {
    /// A certificate is in use from now on. Gives it back if it has replaced one that
    /// ended earlier. Of a broker's only if that one's end was told: behind one name
    /// several brokers may answer, each with its own.
    pub(super) fn in_use(
        &mut self,
        broker: BrokerId,
        of: CertificateOf,
        ends_unix_s: i64,
        now: Mono,
    ) -> Option<Expiry> {
        let new = InUse { ends_unix_s, told: Nearness::Far, told_at: now };
        let before = self.in_use.get(&(broker, of)).copied();
        if before.is_some_and(|before| before.ends_unix_s == ends_unix_s) {
            return None;
        }
        self.in_use.insert((broker, of), new);
        let before = before?;
        let is_news = of != CertificateOf::Broker || before.told > Nearness::Far;
        (is_news && ends_unix_s > before.ends_unix_s).then_some(Expiry {
            broker,
            of,
            ends_unix_s,
            near: Nearness::Far,
        })
    }

    /// What has come nearer since it was last asked.
    pub(super) fn handle_time(&mut self, now: Now) -> Vec<Expiry> {
        let Wall::Set { unix_ms, .. } = now.wall else {
            self.due = None;
            return Vec::new();
        };
        let now_unix_s = unix_ms.div_euclid(1000);
        let mut news = Vec::new();
        for (&(broker, of), known) in &mut self.in_use {
            let near = Nearness::of(known.ends_unix_s, now_unix_s);
            if near > known.told {
                (known.told, known.told_at) = (near, now.mono);
                news.push(Expiry { broker, of, ends_unix_s: known.ends_unix_s, near });
            } else if near < known.told && now.mono.ms_since(known.told_at) >= TELL_AGAIN_MS {
                // The clock was ahead.
                known.told = near;
            }
        }
        self.due = self.next(unix_ms).map(|wait_ms| now.mono.plus_ms(wait_ms));
        news
    }

    /// How long until the next threshold, ms.
    fn next(&self, now_unix_ms: i64) -> Option<u64> {
        let wait = |known: &InUse| {
            let next = Nearness::TOLD.into_iter().find(|near| *near > known.told)?;
            let at_ms = next.begins(known.ends_unix_s).saturating_mul(1000);
            u64::try_from(at_ms.saturating_sub(now_unix_ms)).ok()
        };
        self.in_use.values().filter_map(wait).min()
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.due
    }

    /// Of what was told of a broker's line, the nearest end.
    pub(super) fn nearest(&self, broker: BrokerId) -> Option<Expiry> {
        let told = self
            .in_use
            .iter()
            .filter(|((of, _), known)| *of == broker && known.told > Nearness::Far);
        let nearest = told.min_by_key(|(_, known)| known.ends_unix_s)?;
        let (&(broker, of), &InUse { ends_unix_s, told: near, .. }) = nearest;
        Some(Expiry { broker, of, ends_unix_s, near })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::WallSource;

    #[test]
    fn the_last_second_of_each_stage_is_not_yet_the_next() {
        let ends = 1_800_000_000;
        let stages = [
            (30 * DAY_S + 1, Nearness::Far),
            (30 * DAY_S, Nearness::Month),
            (7 * DAY_S + 1, Nearness::Month),
            (7 * DAY_S, Nearness::Week),
            (DAY_S + 1, Nearness::Week),
            (DAY_S, Nearness::Day),
            (0, Nearness::Day),
            (-1, Nearness::Ended),
        ];
        for (left_s, near) in stages {
            assert_eq!(Nearness::of(ends, ends - left_s), near, "{left_s} s before the end");
        }
        assert_eq!(Nearness::of(i64::MIN, 0), Nearness::Ended);
        assert_eq!(Nearness::of(i64::MAX, i64::MAX), Nearness::Ended);
        assert_eq!(Nearness::of(i64::MAX, 0), Nearness::Far);
    }

    fn now(unix_s: i64) -> Now {
        let wall =
            Wall::Set { unix_ms: unix_s * 1_000, uncertainty_ms: 0, source: WallSource::Ntp };
        Now { mono: Mono::ZERO, wall }
    }

    #[test]
    fn it_is_looked_at_again_when_the_next_stage_of_any_begins() {
        let (broker, ends) = (BrokerId(0), 1_800_000_000);
        let mut watch = CertificateWatch::default();
        watch.in_use(broker, CertificateOf::Gateway, ends, Mono::ZERO);
        watch.in_use(broker, CertificateOf::Authority, ends + 1_000, Mono::ZERO);
        for (at_s, wait_s) in [
            (ends - 30 * DAY_S - 5, Some(5)),
            (ends - 30 * DAY_S, Some(1_000)),
            (ends - DAY_S - 60, Some(60)),
            (ends, Some(1)),
            (ends + 1, Some(1_000)),
            (ends + 1_001, None),
        ] {
            watch.handle_time(now(at_s));
            let due = wait_s.map(|wait_s: u64| Mono::ZERO.plus_ms(wait_s * 1_000));
            assert_eq!(watch.next_deadline(), due, "{} s before the end", ends - at_s);
        }
        watch.handle_time(Now { mono: Mono::ZERO, wall: Wall::Unset });
        assert_eq!(watch.next_deadline(), None);
    }

    /// Behind one name several brokers may answer, each with its own certificate.
    #[test]
    fn a_broker_s_new_certificate_is_news_only_if_the_end_of_the_old_one_was_told() {
        let (broker, of, ends) = (BrokerId(0), CertificateOf::Broker, 1_800_000_000);
        for (left_s, told) in [(31 * DAY_S, false), (29 * DAY_S, true)] {
            let mut watch = CertificateWatch::default();
            assert_eq!(watch.in_use(broker, of, ends, Mono::ZERO), None, "it is the first");
            assert_eq!(watch.handle_time(now(ends - left_s)).len(), usize::from(told));
            let later = ends + 1;
            let news = watch.in_use(broker, of, later, Mono::ZERO);
            let replaced = Expiry { broker, of, ends_unix_s: later, near: Nearness::Far };
            assert_eq!(news, told.then_some(replaced));
        }
    }
}
