//! A journal with a past: several lives on one medium, of several pendants, with
//! times at which the centre was away, and cleaning.

use super::judge::{Account, CHANGES};
use super::medium::{Image, SECTOR, SLOTS, frame, segment_of};
use crate::dice::Dice;
use crate::pendant::*;
use crate::rig::*;
use pendant_gateway::engine::journal::recover::{Replay, Survey};
use pendant_protocol::{Body, FrameBytes};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// An event that waits in the journal, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) id: String,
    pub(super) boot: String,
    pub(super) lane: String,
    pub(super) number: u64,
    pub(super) position: u64,
}

pub(super) struct Past {
    pub(super) pendants: Vec<Pendant>,
    /// Frames as they were heard, oldest first.
    pub(super) heard: Vec<(u32, u32, FrameBytes)>,
    pub(super) image: Image,
    /// The same medium at earlier times, oldest first.
    pub(super) before: Vec<Image>,
    /// What the centre has not got of it.
    pub(super) waiting: Vec<Waiting>,
    /// Ids of all that each frame (pendant, counter) said.
    pub(super) ids: BTreeMap<(u64, u64), BTreeSet<String>>,
    /// Ids by boot, number and lane.
    pub(super) numbers: BTreeMap<String, BTreeMap<u64, BTreeMap<String, String>>>,
    /// What the centre knows of the numbers.
    pub(super) account: Account,
    pub(super) boots: u8,
    pub(super) now_us: u64,
}

const LIVES: u32 = 5;
const NEVER_US: u64 = 1_000_000_000_000;

/// A gateway on an image, at the end of the past.
pub(super) fn gateway(pendants: &[Pendant], image: Image) -> Rig {
    let mut rig = Rig::off(&pendants.iter().collect::<Vec<_>>());
    rig.settings.journal.files_max = 8;
    // So few that nothing is given up for room, also if copies come back.
    rig.settings.journal.files_reserved = 2;
    rig.disk.files = image;
    rig
}

fn body(chance: &mut Dice) -> Body {
    match chance.below(24) {
        0..=2 => PANIC,
        3 => start(30),
        4 => pin(SAFE),
        5 => pin(DURESS),
        6 => DISCREET,
        _ => HEARTBEAT,
    }
}

/// Who said what an event tells: pendant and counter.
pub(super) fn speaker(json: &Value) -> Option<(u64, u64)> {
    let pendant = u64::from_str_radix(json["data"]["pendant"].as_str()?, 16).ok()?;
    Some((pendant, json["data"]["counter"].as_u64()?))
}

/// A gateway that lives several times on one medium.
struct Lives {
    rig: Rig,
    chance: Dice,
    pendants: Vec<Pendant>,
    /// As in [`Past`].
    heard: Vec<(u32, u32, FrameBytes)>,
    /// As in [`Past`].
    before: Vec<Image>,
}

impl Lives {
    /// From a start to a crash. The centre is away for a part of it; it does not come
    /// back in the last.
    fn one_more(&mut self, last: bool) {
        self.rig.start();
        self.rig.run_ms(200);
        // Who never echoed an answer may start and end nothing.
        for place in 0..self.pendants.len() {
            for _ in 0..2 {
                self.say(place, HEARTBEAT);
                self.rig.run_ms(1_500);
                self.rig.answer_to(&mut self.pendants[place]).expect("an answer");
            }
        }
        let frames = 2_800 + self.chance.below(500);
        let away = if last { frames - self.chance.below(200) } else { self.chance.below(frames) };
        let back = away + 30 + self.chance.below(120);
        for n in 0..frames {
            if n == away {
                self.rig.broker_away();
            } else if n == back && !last {
                self.rig.broker_back();
            }
            let place = self.chance.below(4) as usize;
            let body = body(&mut self.chance);
            self.say(place, body);
            self.rig.run_ms(1 + self.chance.below(12));
            if n % 100 == 0 {
                self.rig.site.clear();
                self.rig.downlinks.clear();
                self.rig.notices.clear();
            }
            if self.chance.below(700) == 0 {
                self.before.push(self.rig.disk.files.clone());
            }
        }
        self.rig.run_ms(self.chance.below(400));
        self.before.push(self.rig.disk.files.clone());
        self.rig.crash();
    }

    fn say(&mut self, place: usize, body: Body) {
        let pendant = &mut self.pendants[place];
        let frame = pendant.say(body);
        self.heard.push((pendant.id.get(), pendant.counter, frame));
        self.rig.frame(0, &frame);
    }
}

impl Past {
    pub(super) fn live(seed: u64) -> Self {
        let chance = Dice(seed ^ 0x00DA_4A6E);
        let pendants: Vec<Pendant> = (1..=4).map(Pendant::new).collect();
        let mut rig = gateway(&pendants, Image::new());
        // So many that it is not cleaned before several segments stand.
        rig.settings.journal.files_reserved = 6;
        // A part of what is told is lost on its way, and waits everywhere in the log.
        rig.settings.delivery.receipt_wait_ms = 1_000_000_000;
        rig.settings.delivery.escalate_after_ms = 1_000_000_000;
        rig.receipt_us = |seen| match seen.lane() == "trouble" || seen.number() % 17 == 4 {
            true => NEVER_US,
            false => 2_000,
        };
        let mut lives = Lives { rig, chance, pendants, heard: Vec::new(), before: Vec::new() };
        for life in 0..LIVES {
            lives.one_more(life + 1 == LIVES);
        }
        let Lives { rig, pendants, heard, mut before, .. } = lives;
        before.pop();
        assert!(!before.is_empty());
        let image = rig.disk.files.clone();
        let waiting = waiting(&rig, &image);
        let mut past = Self {
            pendants,
            heard,
            image,
            before,
            waiting: Vec::new(),
            ids: BTreeMap::new(),
            numbers: BTreeMap::new(),
            account: Account::default(),
            boots: rig.boots,
            now_us: rig.now_us,
        };
        past.take_what_the_centre_has(&rig, waiting);
        let delivered: usize = past.numbers.values().map(BTreeMap::len).sum();
        past.is_rich(seed, delivered);
        past
    }

    /// What the centre was told and receipted, and what it was not.
    fn take_what_the_centre_has(&mut self, rig: &Rig, waiting: Vec<(Waiting, Value)>) {
        let lost: BTreeSet<&str> = waiting.iter().map(|(event, _)| event.id.as_str()).collect();
        for seen in rig.seen.iter().filter(|seen| !lost.contains(seen.id())) {
            let boot = self.numbers.entry(seen.boot().to_owned()).or_default();
            let lanes = boot.entry(seen.number()).or_default();
            lanes.insert(seen.lane().to_owned(), seen.id().to_owned());
            self.account.take(seen);
            if let Some(speaker) = speaker(&seen.json) {
                self.ids.entry(speaker).or_default().insert(seen.id().to_owned());
            }
        }
        let acts = |seen: &Seen| CHANGES.contains(&seen.kind());
        assert!(rig.seen.iter().filter(|seen| acts(seen)).count() > 100, "nothing changed states");
        for (event, json) in waiting {
            if let Some(speaker) = speaker(&json) {
                self.ids.entry(speaker).or_default().insert(event.id.clone());
            }
            self.waiting.push(event);
        }
    }

    /// Without these the cases would try little.
    fn is_rich(&self, seed: u64, delivered: usize) {
        let segments: Vec<u64> =
            self.image.values().filter_map(|bytes| segment_of(bytes)).collect();
        let lives = |file: &Vec<u8>| {
            let sectors = (0..).zip(file.chunks_exact(SECTOR));
            let ids = sectors.filter_map(|(index, sector)| frame(index, sector));
            ids.map(|frame| frame.position / SLOTS).collect::<BTreeSet<u64>>().len()
        };
        let hold: BTreeSet<u64> = self.waiting.iter().map(|event| event.position / SLOTS).collect();
        println!(
            "journal {seed}: {} files, segments {segments:?}, {} events wait, {delivered} are delivered",
            self.image.len(),
            self.waiting.len(),
        );
        assert!(self.image.values().any(|file| lives(file) > 1), "no file was used again");
        assert!(hold.len() >= 3, "what waits stands in segments {hold:?} alone");
        assert!(self.waiting.len() > 100 && delivered > 1_000);
        for lane in ["urgent", "routine", "trouble"] {
            assert!(self.waiting.iter().any(|event| event.lane == lane), "none of lane {lane}");
        }
    }
}

/// What waits in an undamaged journal.
fn waiting(rig: &Rig, image: &Image) -> Vec<(Waiting, Value)> {
    let mut survey = Survey::new();
    image.iter().for_each(|(file, bytes)| survey.file(*file, bytes));
    let mut replay = Replay::new(survey.plan().expect("ours"), rig.journal_key.clone());
    for file in replay.order() {
        replay.file(file, &image[&file]);
    }
    assert_eq!(replay.findings().damaged, 0, "nothing is damaged yet");
    let waiting = replay.into_waiting().expect("ours");
    let mut events = Vec::new();
    for file in waiting.order() {
        let (messages, gone) = waiting.messages(file, &image[&file], &rig.settings, rig.now());
        assert_eq!(gone, 0);
        for message in messages {
            let json: Value = serde_json::from_slice(&message.payload).expect("valid JSON");
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let event = Waiting {
                id: text(&json["id"]),
                boot: text(&json["data"]["boot"]),
                lane: text(&json["data"]["lane"]),
                number: json["data"]["number"].as_u64().expect("a number"),
                position: message.id.0,
            };
            events.push((event, json));
        }
    }
    events
}
