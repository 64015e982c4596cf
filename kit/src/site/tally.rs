//! What became of every transmission on a site: the pendants' side and what the
//! gateway's neighbour saw, put together.

use super::Worn;
use crate::pendant::Seen;
use pendant_hal::sim::witness::{Fate, Sighting};
use pendant_protocol::{PendantId, SealedDownlink, SealedUplink};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// The gateway's radio is deaf this long before it sends: it prepares.
const PREPARES: Duration = Duration::from_millis(20);

/// The gateway's last transmissions that are remembered. No frame of a pendant
/// lasts longer than these together.
const ANSWERS_MAX: usize = 64;

/// Why a transmission was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Too weak at the gateway, even in a silent air.
    OutOfRange,
    /// Another pendant's frame was in the way.
    Collision,
    /// Noise or a jammer was.
    Noise,
    /// The gateway was transmitting itself.
    GatewayDeaf,
    /// It could be heard, and the gateway sent no answer to it.
    NotAnswered,
    /// The gateway answered; the pendant did not hear that.
    AnswerLost,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::OutOfRange,
        Self::Collision,
        Self::Noise,
        Self::GatewayDeaf,
        Self::NotAnswered,
        Self::AnswerLost,
    ];

    /// Its name where a program reads it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OutOfRange => "out_of_range",
            Self::Collision => "collision",
            Self::Noise => "noise",
            Self::GatewayDeaf => "gateway_deaf",
            Self::NotAnswered => "not_answered",
            Self::AnswerLost => "answer_lost",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "out of range",
            Self::Collision => "collided",
            Self::Noise => "drowned by noise",
            Self::GatewayDeaf => "sent while the gateway transmitted",
            Self::NotAnswered => "could be heard, not answered",
            Self::AnswerLost => "answered, but the answer was not heard",
        })
    }
}

/// What happened in the air.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Heartbeats and presses that ended, answered or given up.
    pub said: u64,
    /// Of these answered.
    pub answered: u64,
    /// Still being repeated.
    pub under_way: u64,
    /// Transmissions of pendants whose end is known: all but the last one of what
    /// is under way.
    pub transmissions: u64,
    /// Of these not answered, and why; no entry: none.
    pub losses: BTreeMap<Loss, u64>,
}

impl Account {
    /// Transmissions that were answered, thousandths of all; 1000 if there were none.
    #[must_use]
    pub fn answered_permille(&self) -> u64 {
        (self.answered * 1000).checked_div(self.transmissions).unwrap_or(1000)
    }

    /// Transmissions for one thing said, percent: 100 if nothing is repeated.
    #[must_use]
    pub fn transmissions_a_press_percent(&self) -> u64 {
        let said = self.said + self.under_way;
        (self.transmissions * 100).checked_div(said).unwrap_or(0)
    }
}

/// Something that was said, at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whose: a place in the order in which wearers were given.
    pub place: usize,
    /// Its number.
    pub pendant: PendantId,
    /// The frame's counter.
    pub counter: u32,
    /// What, without what it holds: no digits.
    pub label: &'static str,
    /// How often it was sent.
    pub transmissions: u32,
    /// Whether it was answered.
    pub answered: bool,
}

/// Keeps the books.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) worn: Vec<Worn>,
    /// Places of pendants that failed, and why.
    pub(super) broken: Vec<(usize, String)>,
    account: Account,
    /// What was seen of frames that are not answered yet, by pendant and counter.
    open: BTreeMap<(PendantId, u32), Vec<Transmission>>,
    /// The gateway's last transmissions.
    answers: VecDeque<(Instant, Instant)>,
}

#[derive(Debug)]
struct Transmission {
    started: Instant,
    ended: Instant,
    fate: Fate,
    gateway_sent: bool,
    answer_sent: bool,
}

impl Transmission {
    fn loss(&self) -> Loss {
        match self.fate {
            _ if self.answer_sent => Loss::AnswerLost,
            Fate::TooWeak => Loss::OutOfRange,
            _ if self.gateway_sent => Loss::GatewayDeaf,
            Fate::Collided => Loss::Collision,
            Fate::Drowned => Loss::Noise,
            Fate::Whole | Fate::Elsewhere => Loss::NotAnswered,
        }
    }

    fn meets(&self, (from, until): (Instant, Instant)) -> bool {
        self.started < until && from < self.ended
    }
}

impl Tally {
    pub(super) fn of(wearers: usize) -> Self {
        Self { worn: vec![Worn::default(); wearers], ..Self::default() }
    }

    /// A frame ended at the gateway's antenna.
    pub(super) fn see(&mut self, sighting: &Sighting) {
        let Sighting { arrival, fate } = sighting;
        let (started, ended) = (arrival.started, arrival.ended());
        if let Ok(uplink) = SealedUplink::parse(&arrival.bytes) {
            let mut sent = Transmission {
                started,
                ended,
                fate: *fate,
                gateway_sent: false,
                answer_sent: false,
            };
            sent.gateway_sent = self.answers.iter().any(|answer| sent.meets(*answer));
            self.open.entry((uplink.pendant(), uplink.counter())).or_default().push(sent);
        } else if let Ok(downlink) = SealedDownlink::parse(&arrival.bytes) {
            let from = started.checked_sub(PREPARES).unwrap_or(started);
            if self.answers.len() >= ANSWERS_MAX {
                self.answers.pop_front();
            }
            self.answers.push_back((from, ended));
            for ((pendant, counter), sent) in &mut self.open {
                for it in sent.iter_mut().filter(|it| it.meets((from, ended))) {
                    it.gateway_sent = true;
                }
                let is_ours = *pendant == downlink.pendant()
                    && counter & 0xFFFF == u32::from(downlink.counter_low());
                if let Some(last) = sent.last_mut().filter(|_| is_ours) {
                    last.answer_sent = true;
                }
            }
        }
    }

    /// Something ended.
    pub(super) fn end(&mut self, place: usize, pendant: PendantId, seen: &Seen) {
        let answered = seen.answer.is_some();
        let worn = &mut self.worn[place];
        let (said, transmissions) = (1, seen.attempts);
        *worn = worn.and(Worn { said, answered: u32::from(answered), transmissions });
        self.account.said += 1;
        self.account.answered += u64::from(answered);
        self.account.transmissions += u64::from(seen.attempts);
        let mut sent = self.open.remove(&(pendant, seen.counter)).unwrap_or_default();
        if answered {
            sent.pop();
        }
        lose(&mut self.account, &sent);
    }

    /// How many frames are on their way.
    pub(super) fn under_way(&self) -> usize {
        self.open.len()
    }

    /// All so far.
    pub(super) fn account(&self) -> Account {
        let mut account = self.account.clone();
        for sent in self.open.values() {
            let Some((_, before)) = sent.split_last() else { continue };
            account.under_way += 1;
            account.transmissions += before.len() as u64;
            lose(&mut account, before);
        }
        account
    }
}

fn lose(account: &mut Account, sent: &[Transmission]) {
    for transmission in sent {
        *account.losses.entry(transmission.loss()).or_default() += 1;
    }
}
