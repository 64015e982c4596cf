//! Pendants and their wearers, the air between them and the receivers, and who
//! else is on the air.

use super::chance::Chance;
use super::swarm::{Fault, Swarm};
use super::world::{Due, World};
use crate::pendant::{DURESS, SAFE, WRONG, enrolment, pin};
use pendant_gateway::engine::keyring::Enrolment;
use pendant_gateway::engine::seam::{Input, LinkId, Signal};
use pendant_gateway::engine::time::Mono;
use pendant_kit::pendant::{Habits, Pendant, PendantIdentity, PendantOutput};
use pendant_protocol::{Body, EnrolmentKey, FrameBytes, PendantId, SealedUplink};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// A frame is on the air for so long.
const AIRTIME_US: u64 = 50_000;
/// Frames that a listener keeps.
const RECORDED_MAX: usize = 64;

/// A pendant and who wears it.
pub struct Wearer {
    pendant: Pendant,
    id: PendantId,
    key: EnrolmentKey,
}

impl Wearer {
    pub fn enrolment(&self) -> Enrolment {
        enrolment(self.id, &self.key)
    }
}

pub struct Air {
    pub wearers: Vec<Wearer>,
    press_every_ms: u64,
    base: Instant,
    habit: Chance,
    chance: Chance,
    recorded: VecDeque<FrameBytes>,
    jammed: Vec<FrameBytes>,
}

impl Air {
    pub fn new(swarm: &Swarm) -> Self {
        let base = Instant::now();
        let habits = Habits { attempts_max: swarm.attempts_max, ..Habits::default() };
        let wearer = |number: u32| {
            let mut key = [0x5A; 16];
            key[..4].copy_from_slice(&number.to_le_bytes());
            let id = PendantId::new(number).expect("a valid number");
            let key = EnrolmentKey::from_bytes(key);
            let identity = PendantIdentity { id, key: key.clone() };
            let seed = swarm.seed ^ u64::from(number) << 32;
            Wearer { pendant: Pendant::power_up(identity, habits, 0, seed), id, key }
        };
        Self {
            wearers: (1..=swarm.pendants).map(wearer).collect(),
            press_every_ms: swarm.press_every_ms,
            base,
            habit: Chance::of(swarm.seed, "habit"),
            chance: Chance::of(swarm.seed, "air"),
            recorded: VecDeque::new(),
            jammed: Vec::new(),
        }
    }

    fn instant(&self, us: u64) -> Instant {
        self.base + Duration::from_micros(us)
    }

    pub fn next_press_ms(&mut self) -> u64 {
        self.habit.around(self.press_every_ms)
    }

    pub fn next_deadline_us(&self) -> Option<u64> {
        let next = self.wearers.iter().filter_map(|wearer| wearer.pendant.next_deadline()).min()?;
        // Pauses are fractions; the world's time is in whole microseconds.
        Some(
            u64::try_from(next.duration_since(self.base).as_nanos().div_ceil(1000)).expect("short"),
        )
    }

    /// What a wearer does next.
    fn next_body(&mut self) -> Body {
        let minutes = u16::try_from(self.habit.within(1..6)).expect("few");
        let place = 0;
        match self.habit.below(24) {
            0..=7 => Body::Heartbeat { place },
            8..=11 => Body::SessionStart { minutes, place },
            12 => Body::SessionExtend { minutes: 1, place },
            13 => Body::CheckIn { place },
            14 | 15 => pin(SAFE),
            16 => pin(DURESS),
            17 => pin(WRONG),
            18 => Body::DiscreetPanic { place },
            19 => Body::ManDown { place },
            20 => Body::CancelAlert { place },
            21 => Body::Tamper { place },
            22 => Body::Test { place },
            _ => Body::Panic { place },
        }
    }
}

impl World {
    pub fn press(&mut self, wearer: usize) {
        if self.healed {
            return;
        }
        let body = self.air.next_body();
        self.press_body(wearer, body);
        let wait_ms = self.air.next_press_ms();
        self.later_ms(wait_ms, Due::Press(wearer));
    }

    pub fn press_body(&mut self, wearer: usize, body: Body) {
        let now = self.air.instant(self.now_us);
        // A pendant with too much to say takes no more.
        let taken = self.air.wearers[wearer].pendant.press(body, now);
        self.trace.note(self.now_us, (wearer, taken.is_ok()), || {
            format!(
                "wearer {}: {body:?}{}",
                wearer + 1,
                if taken.is_ok() { "" } else { ", refused" }
            )
        });
        self.pendant_outputs(wearer);
    }

    pub fn pendant_timers(&mut self) {
        let now = self.air.instant(self.now_us);
        for wearer in 0..self.air.wearers.len() {
            let pendant = &mut self.air.wearers[wearer].pendant;
            if pendant.next_deadline().is_some_and(|at| at <= now) {
                pendant.handle_timer(now);
                self.pendant_outputs(wearer);
            }
        }
    }

    fn pendant_outputs(&mut self, wearer: usize) {
        while let Some(output) = self.air.wearers[wearer].pendant.poll_output() {
            match output {
                PendantOutput::Remember(_) => {}
                PendantOutput::Transmit(frame) => {
                    self.note_said(wearer, &frame);
                    self.later_us(AIRTIME_US, Due::Sent(wearer, frame));
                }
                PendantOutput::Show(seen) => {
                    let press = (self.air.wearers[wearer].id.get(), seen.counter);
                    let shown = seen.answer.as_ref().map(|answer| answer.message);
                    self.trace.note(self.now_us, format!("{shown:?}"), || {
                        format!("pendant {press:?} shows {shown:?}")
                    });
                    if let Some(answer) = shown {
                        self.judge.acknowledged(self.now_us, press, answer);
                    }
                }
            }
        }
    }

    fn note_said(&mut self, wearer: usize, frame: &FrameBytes) {
        let Wearer { id, key, .. } = &self.air.wearers[wearer];
        let sealed = SealedUplink::parse(frame).expect("a pendant's frame");
        let message = sealed.open(&key.uplink()).expect("its own key");
        let press = (id.get(), sealed.counter());
        self.judge.said(press, message.body, frame);
    }

    /// The frame's last byte has left the pendant.
    pub fn sent(&mut self, wearer: usize, frame: &FrameBytes) {
        let now = self.air.instant(self.now_us);
        self.air.wearers[wearer].pendant.handle_sent(now);
        self.pendant_outputs(wearer);
        self.air.recorded.push_back(*frame);
        if self.air.recorded.len() > RECORDED_MAX {
            self.air.recorded.pop_front();
        }
        if self.is_on(Fault::Jamming) {
            self.air.jammed.push(*frame);
            return;
        }
        for link in 0..self.swarm.receivers {
            self.reach(LinkId(link), frame);
        }
    }

    fn reach(&mut self, link: LinkId, frame: &FrameBytes) {
        if self.strikes(Fault::Loss) {
            return;
        }
        let copies = 1 + u32::from(self.strikes(Fault::Duplication));
        for _ in 0..copies {
            let mut bytes = frame.to_vec();
            if self.strikes(Fault::Corruption) {
                let at = self.air.chance.place(bytes.len());
                bytes[at] ^= 1 << self.air.chance.below(8);
            }
            let longest_us = if self.strikes(Fault::Reordering) { 3_000_000 } else { 20_000 };
            let wait_us = self.air.chance.within(500..longest_us);
            self.later_us(wait_us, Due::Heard(link, bytes, self.now_us));
        }
    }

    fn strikes(&mut self, fault: Fault) -> bool {
        let rate = self.rate(fault);
        self.air.chance.hits(rate)
    }

    /// A receiver hands something to the gateway.
    pub fn heard(&mut self, link: LinkId, bytes: Vec<u8>, ended_us: u64) {
        let Some(process) = &self.process else { return };
        let ended = Mono::from_us(ended_us.saturating_sub(process.began_us));
        let about = self.judge.heard(self.now_us, &bytes);
        self.trace.note(self.now_us, &bytes, || match about {
            Some(press) => format!("receiver {} hears {press:?}", link.0),
            None => format!("receiver {} hears {} bytes of garbage", link.0, bytes.len()),
        });
        let signal = Signal { rssi_dbm: Some(-101), ..Signal::default() };
        self.input(Input::Frame { link, ended, signal, bytes }, about);
    }

    pub fn transmit(&mut self, at_us: u64, frame: FrameBytes) {
        self.trace.note(self.now_us, (at_us, frame), || "sends a downlink".into());
        if !self.strikes(Fault::Loss) {
            self.later_us(at_us - self.now_us + AIRTIME_US, Due::Downlink(frame));
        }
        self.judge.answered_with(self.now_us, &frame);
    }

    pub fn downlink(&mut self, frame: &FrameBytes) {
        let now = self.air.instant(self.now_us);
        for wearer in 0..self.air.wearers.len() {
            self.air.wearers[wearer].pendant.handle_heard(frame, now);
            self.pendant_outputs(wearer);
        }
    }

    /// Who is on the air without a key: repeats what was recorded, releases what
    /// was jammed, makes up frames.
    pub fn adversary(&mut self) {
        let wait_ms = self.air.chance.around(4_000);
        self.later_ms(wait_ms, Due::Adversary);
        if self.healed {
            return;
        }
        let link = LinkId(0);
        let air = &mut self.air;
        if self.swarm.has(Fault::Replay) && !air.recorded.is_empty() {
            let at = air.chance.place(air.recorded.len());
            let frame = air.recorded[at].to_vec();
            self.later_us(1, Due::Heard(link, frame, self.now_us));
        }
        if !self.air.jammed.is_empty() && self.air.chance.below(4) == 0 {
            let at = self.air.chance.place(self.air.jammed.len());
            let frame = self.air.jammed.swap_remove(at).to_vec();
            self.later_us(2, Due::Heard(link, frame, self.now_us));
        }
        if self.swarm.has(Fault::Forgery) {
            let bytes = self.forged();
            self.later_us(3, Due::Heard(link, bytes, self.now_us));
        }
    }

    fn forged(&mut self) -> Vec<u8> {
        let chance = &mut self.air.chance;
        let length = if chance.below(4) == 0 { chance.place(80) } else { 24 };
        let mut bytes: Vec<u8> = (0..length).map(|_| chance.next().to_le_bytes()[0]).collect();
        if bytes.len() == 24 && chance.below(4) != 0 {
            let pendant = chance.within(1..u64::from(self.swarm.pendants) + 1);
            bytes[0] = 0x40;
            bytes[1..4].copy_from_slice(&pendant.to_le_bytes()[..3]);
            bytes[4..8].copy_from_slice(&chance.below(200).to_le_bytes()[..4]);
        }
        if chance.below(3) == 0 && !self.air.recorded.is_empty() {
            // A counter or a message of one frame under another's tag.
            let at = chance.place(self.air.recorded.len());
            bytes = self.air.recorded[at].to_vec();
            bytes[4 + chance.place(12)] ^= 1 << chance.below(8);
        }
        bytes
    }
}
