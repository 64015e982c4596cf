//! The people of one gateway: what they press and when, each with a pendant of its own.
//! Their frames neither collide nor get lost: how that goes is [`crate::site`]'s.

use crate::pendant::{Habits, Pendant, PendantIdentity, PendantOutput, Seen};
use pendant_gateway::engine::keyring::{Enrolment, Keyring, Secrets};
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::pin::PinVerifier;
use pendant_hal::sim::chance::Chance;
use pendant_protocol::{
    Body, EnrolmentKey, FrameBytes, PendantId, PinDigits, SealedDownlink, SealedUplink,
};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The digits of everybody; at this bench they are no secret.
const SAFE: &str = "4711";
const DURESS: &str = "8052";
const WRONG: &str = "9360";

/// How often people do something.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Mean time between two heartbeats of a pendant.
    pub heartbeat: Duration,
    /// Mean time between two things that its wearer does.
    pub press: Duration,
}

#[derive(Debug)]
struct Wearer {
    pendant: Pendant,
    heartbeat_at: Instant,
    press_at: Instant,
    /// Counter of the newest frame.
    last: u32,
    /// Things said and not ended yet.
    open: usize,
}

/// A frame leaves a pendant.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) frame: FrameBytes,
    pub(super) pendant: u32,
    pub(super) counter: u32,
    /// It was not sent before.
    pub(super) is_first: bool,
}

/// Everybody at one gateway.
#[derive(Debug)]
pub(super) struct Wearers {
    all: Vec<Wearer>,
    places: BTreeMap<PendantId, usize>,
    /// They have begun.
    are_at_work: bool,
    pace: Pace,
    chance: Chance,
}

impl Wearers {
    /// So many people with pendants from this number on, and what their gateway is to
    /// know of them.
    pub(super) fn new(first: u32, count: u32, pace: Pace, seed: u64) -> (Self, Keyring) {
        let mut chance = Chance(seed);
        let mut keyring = Keyring::new();
        let now = Instant::now();
        let mut all = Vec::new();
        let mut places = BTreeMap::new();
        for number in first..first + count {
            let id = PendantId::new(number).expect("a fleet has less than 2^24 pendants");
            let mut key = [0; 16];
            key[..8].copy_from_slice(&chance.next().to_le_bytes());
            key[8..].copy_from_slice(&chance.next().to_le_bytes());
            let key = EnrolmentKey::from_bytes(key);
            keyring.insert(enrolment(id, &key, chance.next()));
            let identity = PendantIdentity { id, key };
            let pendant = Pendant::power_up(identity, Habits::default(), 0, chance.next());
            places.insert(id, all.len());
            all.push(Wearer { pendant, heartbeat_at: now, press_at: now, last: 0, open: 0 });
        }
        (Self { all, places, are_at_work: false, pace, chance }, keyring)
    }

    /// When [`Self::turn`] has something to do.
    pub(super) fn next_deadline(&self, is_quiet: bool) -> Option<Instant> {
        let own = self.all.iter().filter_map(|it| it.pendant.next_deadline());
        let habits = self.all.iter().filter(|_| !is_quiet);
        own.chain(habits.map(|it| it.heartbeat_at.min(it.press_at))).min()
    }

    /// Somebody still waits for an answer.
    pub(super) fn is_waiting(&self) -> bool {
        self.all.iter().any(|it| it.open > 0)
    }

    /// Does what is due.
    pub(super) fn turn(&mut self, now: Instant, is_quiet: bool) {
        if !is_quiet && !self.are_at_work {
            self.begin(now);
        }
        for wearer in &mut self.all {
            if wearer.pendant.next_deadline().is_some_and(|at| at <= now) {
                wearer.pendant.handle_timer(now);
            }
            if is_quiet {
                continue;
            }
            if wearer.heartbeat_at <= now {
                wearer.heartbeat_at = now + self.chance.pause(self.pace.heartbeat);
                wearer.say(Body::Heartbeat { place: 0 }, now);
            }
            if wearer.press_at <= now {
                wearer.press_at = now + self.chance.pause(self.pace.press);
                wearer.say(something(&mut self.chance), now);
            }
        }
    }

    /// Times are drawn when the work begins: a fleet that took a minute to start would
    /// else begin with all that fell due meanwhile.
    fn begin(&mut self, now: Instant) {
        self.are_at_work = true;
        for wearer in &mut self.all {
            wearer.heartbeat_at = now + self.chance.pause(self.pace.heartbeat);
            wearer.press_at = now + self.chance.pause(self.pace.press);
        }
    }

    /// What leaves the pendants, and what their wearers see.
    pub(super) fn drain(&mut self, now: Instant, mut sees: impl FnMut(u32, &Seen)) -> Vec<Leaving> {
        let mut leaving = Vec::new();
        for wearer in &mut self.all {
            while let Some(output) = wearer.pendant.poll_output() {
                match output {
                    // Nobody takes the power of these.
                    PendantOutput::Remember(_) => {}
                    PendantOutput::Transmit(frame) => {
                        let sealed = SealedUplink::parse(&frame).expect("a pendant's own frame");
                        let counter = sealed.counter();
                        let is_first = counter > wearer.last;
                        wearer.last = wearer.last.max(counter);
                        wearer.pendant.handle_sent(now);
                        let pendant = wearer.pendant.id().get();
                        leaving.push(Leaving { frame, pendant, counter, is_first });
                    }
                    PendantOutput::Show(seen) => {
                        wearer.open -= 1;
                        sees(wearer.pendant.id().get(), &seen);
                    }
                }
            }
        }
        leaving
    }

    /// The gateway's answer comes.
    pub(super) fn hear(&mut self, frame: &[u8], now: Instant) {
        let to = SealedDownlink::parse(frame).map(|it| it.pendant());
        if let Some(place) = to.ok().and_then(|id| self.places.get(&id).copied()) {
            self.all[place].pendant.handle_heard(frame, now);
        }
    }
}

impl Wearer {
    /// A pendant that is full of presses does without this one.
    fn say(&mut self, body: Body, now: Instant) {
        if self.pendant.press(body, now).is_ok() {
            self.open += 1;
        }
    }
}

fn enrolment(id: PendantId, key: &EnrolmentKey, number: u64) -> Enrolment {
    let pins = PinVerifier::new([7; 32], digits(SAFE), digits(DURESS));
    Enrolment {
        pendant: id,
        id: number,
        wearer: Name::new(&format!("w{:06}", id.get())).expect("letters and digits"),
        secrets: Secrets::Native { key: key.clone(), pins: Some(pins) },
    }
}

fn digits(text: &str) -> PinDigits {
    PinDigits::from_digits(text).expect("four digits")
}

/// What people do, sessions and PINs most.
fn something(chance: &mut Chance) -> Body {
    let place = 0;
    match chance.next() % 16 {
        0..=3 => Body::SessionStart { minutes: 60, place },
        4 => Body::SessionExtend { minutes: 30, place },
        5 | 6 => Body::CheckIn { place },
        7..=9 => Body::Pin(digits(SAFE)),
        10 => Body::Pin(digits(DURESS)),
        11 => Body::Pin(digits(WRONG)),
        12 => Body::DiscreetPanic { place },
        13 => Body::Panic { place },
        14 => Body::ManDown { place },
        _ => Body::Test { place },
    }
}
