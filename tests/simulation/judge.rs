//! The judge: a model of what was promised, fed with what went into the world
//! (what pendants said, which answers they heard, what the medium kept) and what
//! came out at the centre's side. It shares no code with the engine: the journal
//! is read by `reader`, events by `centre`.
//!
//! Here are the facts, and what can be judged at once. What must hold when
//! everything has healed is in `verdict`.

use super::blame::{Blame, Promise, SAME_NONCE};
use super::centre::Event;
use super::disk::Place;
use super::reader::{Frame, Kept, Press, Reader};
use super::swarm::Swarm;
use super::world::{STORE_KEY, is_of_timer};
use crate::pendant::{DURESS, pin};
use crate::rig::EPOCH_MS;
use pendant_gateway::engine::notice::Notice;
use pendant_protocol::{Body, DownlinkMessage, FrameBytes, Outcome};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One thing that a pendant said.
pub struct Said {
    pub body: Body,
    /// When a running gateway's receiver got it, intact.
    pub heard: Vec<u64>,
    pub answer: Option<Answered>,
}

#[derive(Clone, Copy, Debug)]
pub struct Answered {
    pub at_us: u64,
    pub message: DownlinkMessage,
    /// By the journal, not by the centre's word.
    pub durable: bool,
}

/// One run of the gateway.
pub struct Life {
    pub boot: u64,
    pub began_us: u64,
    pub ended_us: Option<u64>,
    /// Its journal had no room for something.
    pub overflowed: bool,
    pub journal_failed: bool,
    /// Since when it cannot be written, if it cannot be.
    pub failing_since_us: Option<u64>,
    /// Until when it could not be, before.
    restored_us: u64,
    /// Reasons with which the broker refused, and when first.
    pub refusals: BTreeMap<u8, u64>,
    /// Brokers that are connected.
    lines: BTreeSet<usize>,
    /// Since when the centre's message is waited for.
    waits_us: u64,
    /// That it does not come was told.
    pub centre_lost: bool,
}

/// An event as the centre first got it.
pub struct Got {
    pub event: Event,
    /// When it says that it happened, on the world's clock.
    pub stamp_us: Option<u64>,
}

/// Numbers that will never come.
pub struct Void {
    pub boot: u64,
    pub lane: String,
    pub first: u64,
    pub last: u64,
}

pub struct Judge {
    pub grace_ms: u64,
    silence_ms: u64,
    /// The highest counter that was heard of each pendant.
    newest: BTreeMap<u32, u32>,
    /// Else the broker's word counts.
    receipts_asked: bool,
    pub said: BTreeMap<Press, Said>,
    frames: BTreeMap<FrameBytes, Press>,
    reader: Reader,
    /// Whole frames on the medium.
    medium: BTreeMap<Place, Frame>,
    pub durable: BTreeMap<Press, Vec<Kept>>,
    /// What successful syncs covered: press, boot, number.
    pub committed: BTreeSet<(Press, u64, u64)>,
    /// Presses whose frames were damaged at rest, or cut off by damage that
    /// nothing on the medium could tell from a torn tail.
    pub hit: BTreeSet<Press>,
    pub unwitnessed: BTreeSet<Press>,
    pub was_damaged: bool,
    pub lives: Vec<Life>,
    pub clock: Vec<(u64, Option<i64>)>,
    pub got: Vec<Got>,
    ids: BTreeMap<String, String>,
    named: BTreeMap<String, String>,
    pub numbers: BTreeMap<(u64, String), BTreeMap<u64, String>>,
    pub voids: Vec<Void>,
    /// Boots whose last numbers were declared.
    pub ended: BTreeMap<u64, [u64; 3]>,
    pub at_centre: BTreeSet<Press>,
    receipts: BTreeSet<String>,
    downlinks: BTreeMap<[u8; 8], FrameBytes>,
    /// When the centre asked to close an incident of a pendant.
    closings: BTreeMap<u32, Vec<u64>>,
    tracked: BTreeSet<u32>,
    blame: Option<Blame>,
}

impl Judge {
    pub fn new(swarm: &Swarm, silence_ms: u64) -> Self {
        Self {
            grace_ms: swarm.grace_ms,
            silence_ms,
            newest: BTreeMap::new(),
            receipts_asked: swarm.receipts,
            said: BTreeMap::new(),
            frames: BTreeMap::new(),
            reader: Reader::new(STORE_KEY),
            medium: BTreeMap::new(),
            durable: BTreeMap::new(),
            committed: BTreeSet::new(),
            hit: BTreeSet::new(),
            unwitnessed: BTreeSet::new(),
            was_damaged: false,
            lives: Vec::new(),
            clock: Vec::new(),
            got: Vec::new(),
            ids: BTreeMap::new(),
            named: BTreeMap::new(),
            numbers: BTreeMap::new(),
            voids: Vec::new(),
            ended: BTreeMap::new(),
            at_centre: BTreeSet::new(),
            receipts: BTreeSet::new(),
            downlinks: BTreeMap::new(),
            closings: BTreeMap::new(),
            tracked: BTreeSet::new(),
            blame: None,
        }
    }

    pub fn blame(&mut self, at_us: u64, promise: Promise, why: impl Into<String>) {
        self.blame.get_or_insert(Blame { at_us, promise, why: why.into() });
    }

    pub fn is_content(&self) -> bool {
        self.blame.is_none()
    }

    pub fn into_blame(self) -> Option<Blame> {
        self.blame
    }

    pub fn said(&mut self, press: Press, body: Body, frame: &FrameBytes) {
        self.frames.insert(*frame, press);
        self.said.entry(press).or_insert(Said { body, heard: Vec::new(), answer: None });
    }

    /// Something reached a running gateway; gives the press if it is one, intact.
    pub fn heard(&mut self, at_us: u64, bytes: &[u8]) -> Option<Press> {
        let frame: FrameBytes = bytes.try_into().ok()?;
        let press = *self.frames.get(&frame)?;
        self.said.get_mut(&press)?.heard.push(at_us);
        Some(press)
    }

    /// P4, P9: what is new and genuine is taken, whatever came before and whatever
    /// the clock says.
    pub fn handled(&mut self, at_us: u64, press: Press, taken: bool) {
        let newest = self.newest.entry(press.0).or_default();
        let is_new = press.1 > *newest;
        *newest = press.1.max(*newest);
        if is_new && !taken {
            let unset = matches!(self.clock.last(), Some((_, None)));
            let promise = if unset { Promise::HonestTime } else { Promise::NobodyElse };
            self.blame(at_us, promise, format!("{press:?} is new, and was not taken"));
        }
    }

    /// A broker is connected to the gateway, or is not any more.
    pub fn line(&mut self, at_us: u64, broker: usize, up: bool) {
        self.judge_silence(at_us);
        let Some(life) = self.lives.last_mut() else { return };
        life.waits_us = at_us;
        if up {
            life.lines.insert(broker)
        } else {
            life.lines.remove(&broker)
        };
    }

    /// The centre's message reached the gateway.
    pub fn message(&mut self, at_us: u64) {
        self.judge_silence(at_us);
        let Some(life) = self.lives.last_mut() else { return };
        life.waits_us = at_us;
        life.centre_lost = false;
    }

    /// P10: that the centre's message does not come is told.
    pub fn judge_silence(&mut self, at_us: u64) {
        let Some(life) = self.lives.last().filter(|life| life.ended_us.is_none()) else { return };
        let late = at_us > life.waits_us + (self.silence_ms + 2_000) * 1000;
        if late && !life.lines.is_empty() && !life.centre_lost {
            let why = format!("no message of the centre since {}, not told", life.waits_us);
            self.blame(at_us, Promise::FailLoud, why);
        }
    }

    /// P1: what a pendant is told to be kept is on the medium, or the journal has
    /// failed and the centre has said that it has it.
    pub fn acknowledged(&mut self, at_us: u64, press: Press, message: DownlinkMessage) {
        let durable = self.durable.contains_key(&press);
        let heard_us = self.said.get(&press).map_or(0, |said| said.heard[0]);
        // What was answered beside a failure may have been so by the centre's word.
        let by_journal = self
            .lives
            .last()
            .is_some_and(|life| life.failing_since_us.is_none() && life.restored_us < heard_us);
        let receipted =
            self.named.get(&frame_name(press)).is_some_and(|id| self.receipts.contains(id));
        let told = self.lives.iter().any(|life| life.overflowed || life.journal_failed);
        let delivered =
            if self.receipts_asked { receipted } else { self.at_centre.contains(&press) };
        let assured = durable || (delivered && told);
        if !assured {
            self.blame(at_us, Promise::Custody, format!("{press:?} was answered and is not kept"));
        }
        if let Some(said) = self.said.get_mut(&press) {
            said.answer = Some(Answered { at_us, message, durable: durable && by_journal });
        }
    }

    /// A downlink left. Its header is its nonce.
    pub fn answered_with(&mut self, at_us: u64, frame: &FrameBytes) {
        let header: [u8; 8] = frame[..8].try_into().expect("8 bytes");
        if self.downlinks.insert(header, *frame).is_some_and(|before| before != *frame) {
            self.blame(at_us, Promise::NobodyElse, SAME_NONCE);
        }
    }

    /// These bytes are on the medium now; by a sync that said so, or by chance.
    pub fn synced(&mut self, place: Place, sector: &[u8; 512], said_so: bool) {
        match self.reader.frame(place.1, sector) {
            None => drop(self.medium.remove(&place)),
            Some(frame) => {
                if let Some(kept) = frame.event.filter(|_| said_so) {
                    self.durable.entry(kept.press).or_default().push(kept);
                    self.committed.insert((kept.press, kept.boot, kept.number));
                }
                self.medium.insert(place, frame);
            }
        }
    }

    /// These sectors are not any more what they were. What stands above every
    /// durable mark on the medium has no witness: damage there looks like a torn
    /// tail, and cuts off what comes after it.
    pub fn damaged(&mut self, places: &[Place]) {
        self.was_damaged |= !places.is_empty();
        let mark = self.medium.values().map(|frame| frame.durable_mark).max().unwrap_or(0);
        for place in places {
            let Some(frame) = self.medium.remove(place) else { continue };
            self.hit.extend(frame.event.map(|kept| kept.press));
            // The marks may be lost with the frames.
            let below = self.medium.values().map(|frame| frame.durable_mark).max().unwrap_or(0);
            if frame.position >= mark.min(below) {
                let cut = self.medium.values().filter(|other| other.position >= below);
                self.unwitnessed.extend(cut.filter_map(|other| other.event).map(|kept| kept.press));
                self.unwitnessed.extend(frame.event.map(|kept| kept.press));
            }
        }
    }

    pub fn began(&mut self, at_us: u64, boot: u64, damaged: u64) {
        if self.lives.iter().any(|life| life.boot == boot) {
            self.blame(at_us, Promise::QuietOrLost, "two boots with one number");
        }
        if damaged > 0 && !self.was_damaged {
            let why = format!("{damaged} frames are told as damaged, and none was");
            self.blame(at_us, Promise::QuietOrLost, why);
        }
        // What is read back at a start is on the medium, however it came there.
        for kept in self.medium.values().filter_map(|frame| frame.event) {
            let known = self.durable.entry(kept.press).or_default();
            if !known.contains(&kept) {
                known.push(kept);
            }
        }
        self.lives.push(Life {
            boot,
            began_us: at_us,
            ended_us: None,
            overflowed: false,
            journal_failed: false,
            failing_since_us: None,
            restored_us: 0,
            refusals: BTreeMap::new(),
            lines: BTreeSet::new(),
            waits_us: at_us,
            centre_lost: false,
        });
    }

    pub fn ended(&mut self, at_us: u64) {
        if let Some(life) = self.lives.last_mut() {
            life.ended_us = Some(at_us);
        }
    }

    pub fn told(&mut self, at_us: u64, notice: Notice) {
        let Some(life) = self.lives.last_mut() else { return };
        match notice {
            Notice::JournalOverflow => life.overflowed = true,
            Notice::JournalFailed { .. } => {
                life.journal_failed = true;
                life.failing_since_us.get_or_insert(at_us);
            }
            Notice::JournalRestored => {
                life.failing_since_us = None;
                life.restored_us = at_us;
            }
            Notice::CentreMessages { come } => life.centre_lost = !come,
            _ => {}
        }
    }

    /// P10: a journal that cannot be written says so.
    pub fn commit_failed(&mut self, at_us: u64, works: bool) {
        let told = self.lives.last().is_some_and(|life| life.journal_failed);
        if works || !told {
            self.blame(at_us, Promise::FailLoud, "a commit failed and nothing says so");
        }
    }

    pub fn refused(&mut self, at_us: u64, reason: u8) {
        if let Some(life) = self.lives.last_mut() {
            life.refusals.entry(reason).or_insert(at_us);
        }
    }

    /// The wall clock from now on: how far it is off, or unset.
    pub fn clock(&mut self, at_us: u64, off_ms: Option<i64>) {
        self.clock.push((at_us, off_ms));
    }

    pub fn commanded(&mut self, at_us: u64, command: &Value) {
        let pendant = command["pendant"].as_str().map(|text| u32::from_str_radix(text, 16));
        let Some(Ok(pendant)) = pendant else { return };
        match command["kind"].as_str() {
            Some("close") => self.closings.entry(pendant).or_default().push(at_us),
            Some("track") => drop(self.tracked.insert(pendant)),
            _ => {}
        }
    }

    pub fn receipted(&mut self, id: &str) {
        self.receipts.insert(id.to_owned());
    }

    pub fn centre_got(&mut self, at_us: u64, event: &Event) {
        let life = self.lives.iter().find(|life| life.boot == event.boot());
        let stamp_us = life.map(|life| life.began_us + event.data.mono_ms * 1000);
        self.judge_once(at_us, event);
        self.judge_origin(at_us, event, stamp_us);
        self.judge_time(at_us, event, stamp_us);
        self.judge_covert(at_us, event, stamp_us);
        if event.press().is_some() && !is_of_timer(&event.data.kind) {
            self.at_centre.extend(event.press());
        }
        self.note_numbers(event);
        if event.data.kind == "journal_damage" && !self.was_damaged {
            self.blame(at_us, Promise::QuietOrLost, "damage is told, and there was none");
        }
        self.got.push(Got { event: event.clone(), stamp_us });
    }

    /// P3: one press, one id; one number, one event.
    fn judge_once(&mut self, at_us: u64, event: &Event) {
        let name = match event.press() {
            Some(press) if is_of_timer(&event.data.kind) => {
                format!("{press:?} {}", event.data.kind)
            }
            Some(press) => frame_name(press),
            None => format!("{} {} {}", event.data.boot, event.data.lane, event.data.number),
        };
        let id = &event.id;
        let same = |known: &mut BTreeMap<String, String>, key: &str, value: &str| {
            known.entry(key.to_owned()).or_insert_with(|| value.to_owned()) == value
        };
        if !same(&mut self.named, &name, id) || !same(&mut self.ids, id, &name) {
            let why = format!("{name} and {:?} share an id, or have two", self.ids.get(id));
            self.blame(at_us, Promise::Once, why);
        }
        let room = self.numbers.entry((event.boot(), event.data.lane.clone())).or_default();
        let holder = room.entry(event.data.number).or_insert_with(|| id.clone());
        let taken = holder != id;
        let twice = room.iter().any(|(number, other)| other == id && *number != event.data.number);
        if taken || twice {
            let why = format!("{} of {name}: a number twice, or an event", event.data.number);
            self.blame(at_us, Promise::Once, why);
        }
    }

    /// P4: every event of a pendant is of something that it said, and an old frame
    /// starts, extends and ends nothing.
    fn judge_origin(&mut self, at_us: u64, event: &Event, stamp_us: Option<u64>) {
        let Some(press) = event.press() else { return };
        let kind = event.data.kind.as_str();
        let said = self.said.get(&press).filter(|said| !said.heard.is_empty());
        if !said.is_some_and(|said| may_become(&said.body, kind)) {
            let why = format!("{kind} of {press:?}, which did not say so");
            self.blame(at_us, Promise::NobodyElse, why);
            return;
        }
        let acts = [
            "session_started",
            "session_extended",
            "checked_in",
            "session_ended",
            "safe_pin",
            "wrong_pin",
            "wrong_pin_repeated",
            "alert_cancelled",
        ];
        let stamp_us = stamp_us.unwrap_or(0);
        let later = self.said.range((press.0, press.1 + 1)..(press.0 + 1, 0)).any(|(_, later)| {
            later.answer.is_some_and(|answer| answer.durable && answer.at_us < stamp_us)
        });
        if acts.contains(&kind) && later && !self.was_damaged {
            let why = format!("{kind} of {press:?}, after a later frame was answered");
            self.blame(at_us, Promise::NobodyElse, why);
        }
    }

    /// P6: as long as the centre has not closed it, a covert incident is open: no
    /// heartbeat comes as an ordinary one.
    fn judge_covert(&mut self, at_us: u64, event: &Event, stamp_us: Option<u64>) {
        let (Some(press), Some(stamp_us)) = (event.press(), stamp_us) else { return };
        if event.data.kind != "heartbeat" || self.was_damaged {
            return;
        }
        let closings = self.closings.get(&press.0).map_or(&[][..], Vec::as_slice);
        let open = self.said.range((press.0, 0)..press).any(|(_, said)| {
            let kept = said.answer.filter(|answer| answer.durable && answer.at_us < stamp_us);
            let opened_us = said.heard.first().copied().unwrap_or(0);
            opens(&said.body) && kept.is_some() && closings.iter().all(|at| *at < opened_us)
        });
        if open {
            let why = format!("{press:?} is a heartbeat although a covert incident is open");
            self.blame(at_us, Promise::CovertStays, why);
        }
    }

    /// P9: what a stamp says of itself is true to the clock that was given.
    fn judge_time(&mut self, at_us: u64, event: &Event, stamp_us: Option<u64>) {
        let Some(stamp_us) = stamp_us else { return };
        let life =
            self.lives.iter().find(|life| life.boot == event.boot()).expect("it has a stamp");
        let until_us = life.ended_us.unwrap_or(at_us);
        // A frame's stamp is reckoned back from its handling.
        let near = stamp_us.saturating_sub(10_000)..stamp_us + 4_000_000;
        let mut then: Vec<Option<i64>> = Vec::new();
        for (n, (from, off_ms)) in self.clock.iter().enumerate() {
            let to = self.clock.get(n + 1).map_or(u64::MAX, |(next, _)| *next);
            if *from < near.end && to > near.start {
                then.push(*off_ms);
            }
        }
        let was_unset = then.contains(&None);
        let later = self.clock.iter().filter(|(from, _)| *from >= stamp_us && *from <= until_us);
        let mut possible: Vec<i64> = then.iter().flatten().copied().collect();
        if was_unset {
            possible.extend(later.filter_map(|(_, off_ms)| *off_ms));
        }
        let honest = match (event.unix_ms(), event.data.clock.source.as_str()) {
            (None, "unset") => was_unset && event.data.clock.uncertainty_ms.is_none(),
            (Some(unix_ms), source) => possible.iter().any(|off_ms| {
                let exact = EPOCH_MS + off_ms + i64::try_from(stamp_us / 1000).expect("short");
                (unix_ms - exact).abs() <= 5
                    && source == if *off_ms == 0 { "ntp" } else { "unverified" }
            }),
            _ => false,
        };
        if !honest {
            let why =
                format!("{} says {:?} by {:?}", event.data.kind, event.time, event.data.clock);
            self.blame(at_us, Promise::HonestTime, why);
        }
    }

    fn note_numbers(&mut self, event: &Event) {
        let detail = &event.data.detail;
        let number = |value: &Value, field: &str| value[field].as_u64().expect("a number");
        if let Some(ended) = detail.get("previous") {
            let boot = super::centre::number_of_boot(ended["boot"].as_str().expect("a boot"));
            let last =
                ["last_urgent", "last_trouble", "last_routine"].map(|lane| number(ended, lane));
            self.ended.insert(boot, last);
        }
        if let Some(void) = detail.get("void") {
            self.voids.push(Void {
                boot: super::centre::number_of_boot(void["boot"].as_str().expect("a boot")),
                lane: void["room"].as_str().expect("a lane").to_owned(),
                first: number(void, "first"),
                last: number(void, "last"),
            });
        }
    }
}

fn frame_name(press: Press) -> String {
    format!("{press:?}")
}

/// What opens a covert incident, whatever else is.
pub fn opens(body: &Body) -> bool {
    *body == pin(DURESS) || matches!(body, Body::DiscreetPanic { .. })
}

/// What a message may be told as (docs/behaviour.md, "What the centre is told").
fn may_become(body: &Body, kind: &str) -> bool {
    if matches!(kind, "supervision_lost" | "supervision_restored") {
        return true;
    }
    let sets_timer = matches!(
        body,
        Body::SessionStart { .. } | Body::SessionExtend { .. } | Body::CheckIn { .. }
    );
    if kind == "overdue" {
        return sets_timer;
    }
    match body {
        Body::Heartbeat { .. } => matches!(kind, "heartbeat" | "track_point"),
        Body::SessionStart { .. } => matches!(kind, "session_started" | "late_request"),
        Body::SessionExtend { .. } => matches!(kind, "session_extended" | "late_request"),
        Body::CheckIn { .. } => matches!(kind, "checked_in" | "late_request"),
        Body::Pin(_) if *body == pin(DURESS) => kind == "duress",
        Body::Pin(_) if *body == pin(crate::pendant::SAFE) => {
            matches!(kind, "session_ended" | "safe_pin" | "late_request")
        }
        Body::Pin(_) => matches!(kind, "wrong_pin" | "wrong_pin_repeated" | "late_request"),
        Body::DiscreetPanic { .. } => kind == "discreet_panic",
        Body::Panic { .. } => kind == "panic",
        Body::ManDown { .. } => matches!(kind, "pre_alarm" | "man_down"),
        Body::Fall { .. } => matches!(kind, "pre_alarm" | "fall"),
        Body::CancelAlert { .. } => matches!(kind, "alert_cancelled" | "late_request"),
        Body::Tamper { .. } => kind == "tamper",
        Body::Test { .. } => kind == "test",
        _ => false,
    }
}

/// What an answer says of the wearer's session.
pub fn says_session(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::SessionStarted | Outcome::SessionExtended | Outcome::CheckedIn)
}
