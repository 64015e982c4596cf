//! A simulated native pendant: what firmware does, without the hardware.
//!
//! [`Pendant`] is a state machine. Time and bytes go in, [`PendantOutput`]s
//! come out; a wire (serial line or air) carries them. It keeps the rules
//! of the protocol that a pendant must keep:
//!
//! - Counters never repeat. They are reserved in blocks of [`COUNTER_BLOCK`] in
//!   memory that outlives the power; at power-up the rest of a block is skipped.
//! - What nobody acknowledged is sent again, byte for byte the same, after a
//!   random pause that grows.
//! - It listens only in two windows after its own frame, and believes only
//!   what opens under its key.
//! - The salt of the last downlink that it believed returns in its next frame.

mod windows;

pub use windows::Windows;

use pendant_hal::sim::chance::Chance;
use pendant_protocol::{
    Body, DownlinkMessage, EnrolmentKey, FrameBytes, Message, PendantId, SealedDownlink, Slot,
    Status, UplinkKey,
};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Counters reserved by one write to the memory that outlives the power.
pub const COUNTER_BLOCK: u32 = 64;

/// Presses that wait for those before them; more are refused, as a pendant
/// with little memory must.
pub const WAITING_MAX: usize = 16;

/// How a pendant behaves.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// When it listens.
    pub windows: Windows,
    /// Mean pause before the first retransmission, from the end of listening.
    pub pause: Duration,
    /// Longest mean pause.
    pub pause_max: Duration,
    /// Transmissions of one frame before it gives up.
    pub attempts_max: u32,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            windows: Windows::default(),
            pause: Duration::from_secs(1),
            pause_max: Duration::from_secs(60),
            attempts_max: 50,
        }
    }
}

/// What a pendant was given at enrolment.
#[derive(Clone, Debug)]
pub struct PendantIdentity {
    /// Its number.
    pub id: PendantId,
    /// Its key.
    pub key: EnrolmentKey,
}

/// One thing that the wearer did, or the pendant by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PressId(u64);

/// How a press ended, as its wearer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which press.
    pub press: PressId,
    /// The frame's counter.
    pub counter: u32,
    /// How often it was sent.
    pub attempts: u32,
    /// When it was sent first.
    pub sent_at: Instant,
    /// The answer, or that there was none.
    pub answer: Option<Answer>,
}

/// A downlink that was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it says.
    pub message: DownlinkMessage,
    /// Who sent it.
    pub slot: Slot,
    /// Its bytes on the air.
    pub frame: FrameBytes,
    /// From the end of the frame that it answers to its own end.
    pub delay: Duration,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendantOutput {
    /// Write to the memory that outlives the power, before what follows:
    /// counters below this one may be used.
    Remember(u32),
    /// Send at once, then call [`Pendant::handle_sent`].
    Transmit(FrameBytes),
    /// Show to the wearer.
    Show(Seen),
}

/// Why a press was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PressError {
    /// [`WAITING_MAX`] presses wait already.
    Full,
    /// All counters are used up: the pendant must be enrolled anew.
    CountersUsedUp,
}

/// What was not believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Heard outside the windows.
    pub out_of_window: u32,
    /// For somebody else, for another frame, or no downlink at all.
    pub not_ours: u32,
    /// Did not open under our key.
    pub forged: u32,
}

#[derive(Debug)]
struct Press {
    id: PressId,
    body: Body,
    /// Set when it is first sent, and the same ever after.
    sealed: Option<Sealed>,
}

impl Press {
    /// Whether it must go before what is being repeated.
    fn is_new_alarm(&self) -> bool {
        is_alarm(&self.body) && self.sealed.is_none()
    }
}

#[derive(Debug)]
struct Sealed {
    counter: u32,
    frame: FrameBytes,
    attempts: u32,
    sent_at: Instant,
}

/// Where the radio is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing is under way.
    Idle,
    /// The frame is leaving.
    Sending,
    /// It left then; the windows count from there.
    Listening { since: Instant },
    /// Nobody answered; send again then.
    Pausing { until: Instant },
}

/// A pendant under power.
#[derive(Debug)]
pub struct Pendant {
    identity: PendantIdentity,
    uplink: UplinkKey,
    habits: Habits,
    status: Status,
    echo: u16,
    counter_next: u32,
    /// Counters below are reserved.
    reserved: u32,
    chance: Chance,
    presses_made: u64,
    /// The first is under way.
    presses: VecDeque<Press>,
    phase: Phase,
    outputs: VecDeque<PendantOutput>,
    ignored: Ignored,
}

impl Pendant {
    /// Powers up. `remembered` is what the last [`PendantOutput::Remember`]
    /// said, 0 for a new pendant; `seed` feeds the pauses.
    #[must_use]
    pub fn power_up(identity: PendantIdentity, habits: Habits, remembered: u32, seed: u64) -> Self {
        Self {
            uplink: identity.key.uplink(),
            identity,
            habits,
            status: Status::default(),
            echo: 0,
            counter_next: remembered.max(1),
            reserved: remembered.max(1),
            chance: Chance(seed),
            presses_made: 0,
            presses: VecDeque::new(),
            phase: Phase::Idle,
            outputs: VecDeque::new(),
            ignored: Ignored::default(),
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> PendantId {
        self.identity.id
    }

    /// How it is from now on; told in every frame that is made from now on.
    pub fn set_status(&mut self, status: Status) {
        self.status = status;
    }

    /// What was heard and not believed.
    #[must_use]
    pub fn ignored(&self) -> Ignored {
        self.ignored
    }

    /// Something is to be said. Presses leave in order, one at a time, but an
    /// alarm goes before all that is no alarm, also before what is being
    /// repeated in vain.
    ///
    /// # Errors
    /// Says why it will not be said.
    pub fn press(&mut self, body: Body, now: Instant) -> Result<PressId, PressError> {
        if self.presses.len() >= WAITING_MAX {
            return Err(PressError::Full);
        }
        let waiting = self.presses.iter().filter(|press| press.sealed.is_none()).count();
        let needed = u32::try_from(waiting).expect("at most WAITING_MAX") + 1;
        if self.counter_next.checked_add(needed).is_none() {
            return Err(PressError::CountersUsedUp);
        }
        self.presses_made += 1;
        let id = PressId(self.presses_made);
        let press = Press { id, body, sealed: None };
        let under_way = matches!(self.phase, Phase::Sending | Phase::Listening { .. });
        if !is_alarm(&body) {
            self.presses.push_back(press);
        } else if under_way {
            let before = self.presses.iter().skip(1).take_while(|press| press.is_new_alarm());
            let place = 1 + before.count();
            self.presses.insert(place, press);
        } else {
            self.presses.push_front(press);
            self.phase = Phase::Idle;
        }
        if matches!(self.phase, Phase::Idle) {
            self.send(now);
        }
        Ok(id)
    }

    /// What [`PendantOutput::Transmit`] asked for has been done: the last
    /// symbol or byte left at `ended`.
    pub fn handle_sent(&mut self, ended: Instant) {
        if matches!(self.phase, Phase::Sending) {
            self.phase = Phase::Listening { since: ended };
        }
    }

    /// Something was heard; its last symbol or byte at `ended`.
    pub fn handle_heard(&mut self, bytes: &[u8], ended: Instant) {
        let Phase::Listening { since } = self.phase else {
            self.ignored.out_of_window += 1;
            return;
        };
        if !self.habits.windows.contain(since, ended) {
            self.ignored.out_of_window += 1;
            return;
        }
        // While it listens, the first press is the one it listens for.
        let Some(press) = self.presses.front() else {
            return;
        };
        let Some(sealed) = &press.sealed else { return };
        let downlink = match SealedDownlink::parse(bytes) {
            Ok(downlink) if self.answers(&downlink, sealed.counter) => downlink,
            _ => {
                self.ignored.not_ours += 1;
                return;
            }
        };
        let key = self.identity.key.downlink(downlink.slot());
        let Ok(message) = downlink.open(&key, sealed.counter) else {
            self.ignored.forged += 1;
            return;
        };
        self.echo = downlink.salt();
        let answer = Answer {
            message,
            slot: downlink.slot(),
            frame: bytes.try_into().expect("a parsed downlink has 24 bytes"),
            delay: ended.duration_since(since),
        };
        self.finish(Some(answer));
        self.send(ended);
    }

    /// `next_deadline` has come.
    pub fn handle_timer(&mut self, now: Instant) {
        match self.phase {
            Phase::Listening { since } if now >= self.habits.windows.end(since) => {
                let sealed = self.presses.front().and_then(|press| press.sealed.as_ref());
                let attempts = sealed.map_or(0, |sealed| sealed.attempts);
                if attempts >= self.habits.attempts_max {
                    self.finish(None);
                    self.send(now);
                } else {
                    self.phase = Phase::Pausing { until: now + self.pause(attempts) };
                    self.let_alarm_pass(now);
                }
            }
            Phase::Pausing { until } if now >= until => self.send(now),
            _ => {}
        }
    }

    /// When [`Self::handle_timer`] is to be called, if ever.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Idle | Phase::Sending => None,
            Phase::Listening { since } => Some(self.habits.windows.end(since)),
            Phase::Pausing { until } => Some(until),
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<PendantOutput> {
        self.outputs.pop_front()
    }

    fn answers(&self, downlink: &SealedDownlink, counter: u32) -> bool {
        let low = u16::try_from(counter & 0xFFFF).expect("16 bits");
        downlink.pendant() == self.identity.id && downlink.counter_low() == low
    }

    /// Sends the first press, for the first time or again.
    fn send(&mut self, now: Instant) {
        let Some(mut press) = self.presses.pop_front() else {
            self.phase = Phase::Idle;
            return;
        };
        let mut sealed = match press.sealed.take() {
            Some(sealed) => sealed,
            None => self.seal(press.body, now),
        };
        sealed.attempts += 1;
        self.outputs.push_back(PendantOutput::Transmit(sealed.frame));
        press.sealed = Some(sealed);
        self.presses.push_front(press);
        self.phase = Phase::Sending;
    }

    fn seal(&mut self, body: Body, now: Instant) -> Sealed {
        let counter = self.counter_next;
        // `press` made sure that there is a next one.
        self.counter_next += 1;
        if counter >= self.reserved {
            self.reserved = counter.saturating_add(COUNTER_BLOCK);
            self.outputs.push_back(PendantOutput::Remember(self.reserved));
        }
        let message = Message { status: self.status, echo: self.echo, body };
        let frame = message.seal(&self.uplink, self.identity.id, counter);
        Sealed { counter, frame, attempts: 0, sent_at: now }
    }

    fn finish(&mut self, answer: Option<Answer>) {
        self.phase = Phase::Idle;
        let Some(press) = self.presses.pop_front() else {
            return;
        };
        let Some(sealed) = press.sealed else { return };
        self.outputs.push_back(PendantOutput::Show(Seen {
            press: press.id,
            counter: sealed.counter,
            attempts: sealed.attempts,
            sent_at: sealed.sent_at,
            answer,
        }));
    }

    /// After a vain transmission an alarm that waits goes first.
    fn let_alarm_pass(&mut self, now: Instant) {
        let Some(place) = self.presses.iter().position(Press::is_new_alarm) else {
            return;
        };
        let alarm = self.presses.remove(place).expect("the place was just found");
        self.presses.push_front(alarm);
        self.send(now);
    }

    /// Doubles with each attempt up to its limit; half of it is chance, so that
    /// pendants that were drowned out together do not meet again.
    fn pause(&mut self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(16);
        let mean = self.habits.pause.saturating_mul(1 << doublings).min(self.habits.pause_max);
        mean.mul_f64(0.5 + self.chance.fraction())
    }
}

/// What must not wait behind anything else.
fn is_alarm(body: &Body) -> bool {
    matches!(
        body,
        Body::DiscreetPanic { .. } | Body::Panic { .. } | Body::ManDown { .. } | Body::Fall { .. }
    )
}

#[cfg(test)]
mod tests;
