//! What the gateway knows of one pendant: the absolute state that is journalled
//! with every event of it, so that an event and what it changed are one frame.

mod departed;

use super::age::Age;
use super::event::EventId;
use super::keyring::EnrolmentId;
use super::lorawan::LoRaWanState;
use super::seam::LinkId;
use super::time::Mono;
pub(super) use departed::Departed;
use pendant_protocol::{FrameBytes, PendantId};
use serde::{Deserialize, Serialize};

/// Replies kept for retransmissions. Two, since a panic may interrupt the
/// retries of the message before it.
const REPLIES_KEPT: usize = 2;

/// Copies of one frame that arrive through another receiver within this time
/// are the same transmission; later ones are repetitions that want an answer.
const SAME_TRANSMISSION_MS: u64 = 500;

const HOUR_MS: u64 = 3_600_000;
/// More than a device asks for that tries to join all the while (LoRaWAN 1.0.4, section 7:
/// within its 1 % of airtime in the first hour).
const JOINS_PER_HOUR_MAX: u8 = 30;
/// Copies by several repeaters come mixed.
const CLAIMS_KEPT: usize = 4;
/// A pendant that nobody vouches for says a thing several times within this time, ms.
const CLAIMED_AGAIN_MS: u64 = 10_000;

/// A reply with the frame that it answers. A retransmission is known by its
/// tag: 64 bits that nobody without the key can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) counter: u32,
    pub(super) tag: u64,
    pub(super) frame: FrameBytes,
}

/// A session as everybody on site knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// Counter of the frame that started it.
    pub(super) started: u32,
    /// Counter of the frame that set the due time: names its overdue alarm.
    pub(super) set_by: u32,
    /// Minutes asked for, extensions included.
    pub(super) minutes: u16,
    /// When it falls due.
    pub(super) due: Age,
    /// The same on the wall clock, ms since 1970, if it was set.
    pub(super) due_unix_ms: Option<i64>,
    /// Its overdue alarm was given.
    pub(super) overdue: bool,
}

/// A man-down or fall that the wearer may still cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PreAlarm {
    /// Counter of the frame that reported it: names the alarm.
    pub(super) counter: u32,
    /// Whether it was a fall, else no motion.
    pub(super) fall: bool,
    /// When it becomes an alarm.
    pub(super) fires: Age,
}

impl Session {
    /// Whole minutes until it falls due, rounded up; 0 if it is due.
    #[must_use]
    pub(super) fn minutes_left(&self, age: Age) -> u16 {
        let left_ms = self.due.ms_since(age);
        u16::try_from(left_ms.div_ceil(60_000)).unwrap_or(u16::MAX)
    }
}

/// What anyone on site can know. Nothing in here, and nothing computed from it,
/// depends on which of the two PINs was entered (P5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Apparent {
    /// The running session.
    pub(super) session: Option<Session>,
    /// Counter of the frame that raised an alert for all to see, while it is open.
    pub(super) alert: Option<u32>,
    /// A man-down or fall that may still be cancelled.
    pub(super) pre_alarm: Option<PreAlarm>,
    /// Wrong PINs in a row, as the pendant's user has seen them.
    pub(super) wrong_pins: u8,
}

/// What only the centre may know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Actual {
    /// Counter of the frame that opened the covert incident, or alarmed anew while
    /// it was open. Only the centre closes it (P6); no frame can.
    pub(super) covert_incident: Option<u32>,
    /// The centre wants to follow this pendant.
    pub(super) tracked: bool,
}

/// Whether a pendant is heard as often as it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Supervision {
    /// It is, as far as is known.
    #[default]
    Heard,
    /// It is not, and the centre was told so.
    Lost,
    /// It fell silent together with many others; the centre was told that.
    LostWithMany,
}

/// The latest frame of a pendant, to tell a second receiver's copy from a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Latest {
    pub(super) event: EventId,
    pub(super) link: LinkId,
    pub(super) ended: Mono,
}

/// Everything about one enrolment of one pendant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PendantState {
    pub(super) pendant: u32,
    pub(super) enrolment: EnrolmentId,
    /// Highest counter heard; `None` before the first frame.
    pub(super) highest: Option<u32>,
    /// Bit `n`: counter `highest - n` was heard.
    pub(super) window: u64,
    pub(super) replies: [Option<Reply>; REPLIES_KEPT],
    /// Salt of the last downlink made; 0 none.
    pub(super) salt: u16,
    /// The window may be behind: it is new, or the journal lost frames. Until the
    /// pendant echoes, it may alarm and nothing else.
    pub(super) suspect: bool,
    pub(super) apparent: Apparent,
    pub(super) actual: Actual,
    /// When its last new frame was heard.
    pub(super) heard: Age,
    pub(super) supervision: Supervision,
    /// Of a LoRaWAN pendant, beside all that.
    pub(super) lorawan: LoRaWanState,
    /// The highest counter before this boot.
    #[serde(skip)]
    pub(super) highest_before: Option<u32>,
    /// When stale counters were last told, to limit the rate. Of this boot.
    #[serde(skip)]
    pub(super) stale_told: Option<Mono>,
    /// Of this boot.
    #[serde(skip)]
    pub(super) latest: Option<Latest>,
    /// The last frames of a pendant that nobody vouches for. Of this boot.
    #[serde(skip)]
    pub(super) claimed: [Option<(u64, Mono)>; CLAIMS_KEPT],
    /// When joins were first counted in this hour, and how many. Of this boot.
    #[serde(skip)]
    pub(super) joins: Option<(Mono, u8)>,
}

/// What the centre changed of a pendant: absolute, so that it may be read twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) pendant: u32,
    pub(super) alert: Option<u32>,
    pub(super) actual: Actual,
}

/// What a counter says of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CounterVerdict {
    /// Above all that was heard.
    Newest,
    /// Not heard, but something sent after it was.
    Late,
    /// Heard.
    Used,
    /// Below the window: cannot be told from a replay.
    TooOld,
}

impl Latest {
    /// Whether this is the same transmission, through another receiver.
    pub(super) fn is_heard_beside(&self, event: EventId, link: LinkId, ended: Mono) -> bool {
        self.event == event
            && self.link != link
            && ended.ms_since(self.ended) < SAME_TRANSMISSION_MS
    }
}

impl PendantState {
    pub(super) fn new(pendant: PendantId, enrolment: EnrolmentId) -> Self {
        Self {
            pendant: pendant.get(),
            enrolment,
            highest: None,
            window: 0,
            replies: [None; REPLIES_KEPT],
            salt: 0,
            suspect: true,
            apparent: Apparent::default(),
            actual: Actual::default(),
            heard: Age::default(),
            supervision: Supervision::default(),
            lorawan: LoRaWanState::default(),
            highest_before: None,
            stale_told: None,
            latest: None,
            claimed: [None; CLAIMS_KEPT],
            joins: None,
        }
    }

    /// Its enrolment has ended and begins again as it was: all that ran is over and the
    /// pendant in doubt, but what was heard was heard. Who was told as missing still is: told
    /// again it would have the id that it had (P3).
    fn enrolled_again(mut self, pendant: PendantId) -> Self {
        self.forget_replies();
        self.doubt();
        let is_lost = self.supervision == Supervision::Lost;
        Self {
            highest: self.highest,
            window: self.window,
            supervision: if is_lost { Supervision::Lost } else { Supervision::Heard },
            lorawan: self.lorawan,
            highest_before: self.highest_before,
            claimed: self.claimed,
            joins: self.joins,
            ..Self::new(pendant, self.enrolment)
        }
    }

    /// What it said until now may be old: it may alarm and nothing else, until it proves
    /// that it is there.
    pub(super) fn doubt(&mut self) {
        self.suspect = true;
        self.lorawan.doubt();
    }

    /// Whether a frame that nobody vouches for was heard already, as far as can be known.
    pub(super) fn is_claimed_again(&self, tag: u64, now: Mono) -> bool {
        let lately = |at: Mono| now.ms_since(at) < CLAIMED_AGAIN_MS;
        self.claimed.iter().flatten().any(|(last, at)| *last == tag && lately(*at))
    }

    /// Counts a join; false if there were too many in this hour. Each costs a commit and
    /// airtime, and whoever has recorded enough of a device's requests could go on for ever.
    pub(super) fn may_join(&mut self, now: Mono) -> bool {
        let this_hour = self.joins.filter(|(since, _)| now.ms_since(*since) < HOUR_MS);
        let (since, count) = this_hour.unwrap_or((now, 0));
        self.joins = Some((since, count.saturating_add(1)));
        count < JOINS_PER_HOUR_MAX
    }

    /// Takes note of one; the oldest is forgotten.
    pub(super) fn claim(&mut self, tag: u64, now: Mono) {
        self.claimed.rotate_right(1);
        self.claimed[0] = Some((tag, now));
    }

    /// The part of the state that the centre may change.
    pub(super) fn change(&self) -> Change {
        Change { pendant: self.pendant, alert: self.apparent.alert, actual: self.actual }
    }

    pub(super) fn apply(&mut self, change: &Change) {
        self.apparent.alert = change.alert;
        self.actual = change.actual;
    }

    pub(super) fn judge_counter(&self, counter: u32) -> CounterVerdict {
        let Some(highest) = self.highest else {
            return CounterVerdict::Newest;
        };
        if counter > highest {
            return CounterVerdict::Newest;
        }
        match 1u64.checked_shl(highest - counter) {
            None => CounterVerdict::TooOld,
            Some(bit) if self.window & bit == 0 => CounterVerdict::Late,
            Some(_) => CounterVerdict::Used,
        }
    }

    /// Marks a counter as heard. The caller has judged it `Newest` or `Late`.
    pub(super) fn mark(&mut self, counter: u32) {
        match self.highest {
            Some(highest) if counter <= highest => self.window |= 1u64 << (highest - counter),
            Some(highest) => {
                self.window = self.window.checked_shl(counter - highest).unwrap_or(0) | 1;
                self.highest = Some(counter);
            }
            None => {
                self.window = 1;
                self.highest = Some(counter);
            }
        }
    }

    /// Takes back that a frame was heard: what it led to is not kept, so that its
    /// repetition must be taken anew and not merely answered.
    pub(super) fn unsay(&mut self, counter: u32) {
        self.forget_reply(counter);
        self.lorawan.unsay(counter);
        let Some(behind) = self.highest.and_then(|highest| highest.checked_sub(counter)) else {
            return;
        };
        self.window &= !1u64.checked_shl(behind).unwrap_or(0);
        let newer = self.window.trailing_zeros();
        // With nothing left in the window its place must stay: all below it is used.
        let highest = self.highest.and_then(|highest| highest.checked_sub(newer));
        if let Some(highest) = highest.filter(|_| newer > 0 && self.window != 0) {
            self.highest = Some(highest);
            // What comes into the window from below was heard, as far as is known.
            self.window = self.window >> newer | !(u64::MAX >> newer);
        }
    }

    /// A repetition of this frame is not answered any more.
    pub(super) fn forget_reply(&mut self, counter: u32) {
        for reply in &mut self.replies {
            reply.take_if(|reply| reply.counter == counter);
        }
        self.lorawan.forget_reply(counter);
    }

    /// No repetition of what was heard until now is answered any more.
    pub(super) fn forget_replies(&mut self) {
        self.replies = [None; REPLIES_KEPT];
        if let Some(highest) = self.highest {
            self.lorawan.forget_reply(highest);
        }
    }

    /// The counter of the next frame of a pendant that has none of its own.
    pub(super) fn next_counter(&self) -> Option<u32> {
        self.highest.map_or(Some(0), |highest| highest.checked_add(1))
    }

    /// Keeps the answers to the highest counters: frames that were held back and
    /// are released now must not cost the newest one its answer.
    pub(super) fn remember(&mut self, reply: Reply) {
        let lowest = self.replies.iter_mut().min_by_key(|kept| kept.map(|kept| kept.counter));
        if let Some(kept) = lowest.filter(|kept| kept.is_none_or(|k| k.counter < reply.counter)) {
            *kept = Some(reply);
        }
    }

    pub(super) fn reply_to(&self, counter: u32, tag: u64) -> Option<FrameBytes> {
        self.replies
            .iter()
            .flatten()
            .find(|reply| reply.counter == counter && reply.tag == tag)
            .map(|reply| reply.frame)
    }
}

#[cfg(test)]
mod tests;
