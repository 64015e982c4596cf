//! Judges a start on a damaged journal as the subscriber sees it, with what the
//! medium says in clear, and without the engine's recovery.

use super::kinds::Damaged;
use super::medium::{SLOTS, frames};
use super::past::{Past, Waiting, gateway, speaker};
use crate::rig::*;
use std::collections::{BTreeMap, BTreeSet};

/// Kinds of events that tell that a state changed in a way that no alarm does.
pub(super) const CHANGES: [&str; 4] =
    ["session_started", "session_extended", "session_ended", "alert_cancelled"];

/// What of the log is left: every position of which a whole frame stands in the file
/// that counts for its segment.
struct Left {
    whole: BTreeSet<u64>,
    /// From here on no frame that is left vouches for anything.
    unvouched_from: u64,
    /// The frame is gone that made older copies of some events void.
    tail_is_back: bool,
    /// Boots by the positions of the frames that they wrote, in the whole log.
    boots: BTreeMap<u64, u64>,
}

impl Left {
    fn of(past: &Past, damaged: &Damaged) -> Self {
        let before: BTreeMap<u64, u64> =
            frames(&past.image).map(|(_, frame)| (frame.position, frame.boot)).collect();
        let after: Vec<_> = frames(&damaged.image).map(|(_, frame)| frame).collect();
        // Of two files with frames of one segment the fuller counts.
        let mut segments: BTreeMap<u64, BTreeMap<u32, BTreeSet<u64>>> = BTreeMap::new();
        for (file, frame) in frames(&damaged.image) {
            let files = segments.entry(frame.position / SLOTS).or_default();
            files.entry(file).or_default().insert(frame.position);
        }
        let log_from = after.iter().map(|frame| frame.tail).max().unwrap_or(0) / SLOTS;
        keep_fullest(&mut segments, log_from);
        // Of equally full ones either may: what both have is left for sure.
        let common = |files: BTreeMap<u32, BTreeSet<u64>>| {
            files.into_values().reduce(|one, other| &one & &other).unwrap_or_default()
        };
        let whole: BTreeSet<u64> = segments.into_values().flat_map(common).collect();
        let mark = after.iter().map(|frame| frame.durable_mark).max().unwrap_or(0);
        let hole = before.range(mark..).map(|(position, _)| *position);
        let unvouched_from =
            hole.into_iter().find(|position| !whole.contains(position)).unwrap_or(u64::MAX);
        let tail = |image| frames(image).map(|(_, frame)| frame.tail).max();
        let tail_is_back = tail(&damaged.image) < tail(&past.image);
        Self { whole, unvouched_from, tail_is_back, boots: before }
    }

    fn has(&self, event: &Waiting) -> bool {
        self.whole.contains(&event.position)
    }

    /// Whether a frame behind an event, which is left, names its number or a higher
    /// one of its boot and lane.
    fn names(&self, event: &Waiting, waiting: &[Waiting]) -> bool {
        let boot = self.boots[&event.position];
        if named(boot) != event.boot {
            // It was carried there by cleaning, and its number told before.
            return false;
        }
        let by_event = waiting.iter().any(|other| {
            other.position > event.position
                && (&other.boot, &other.lane) == (&event.boot, &event.lane)
                && other.number > event.number
                && self.has(other)
                && other.position < self.unvouched_from
        });
        let by_beginning =
            self.boots.range(event.position + 1..self.unvouched_from).any(|(position, other)| {
                position % SLOTS == 0 && *other == boot && self.whole.contains(position)
            });
        by_event || by_beginning
    }
}

/// Of the files with frames of one segment the fullest count. And a file is that of one
/// segment of the log: if it counts for several, of the newest if that begins there, else
/// of the fullest. The others' frames went astray, and their own files are gone: they are
/// lost with them. What the file itself holds is not.
fn keep_fullest(segments: &mut BTreeMap<u64, BTreeMap<u32, BTreeSet<u64>>>, log_from: u64) {
    let mut lengths: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (segment, files) in segments.iter_mut() {
        let most = files.values().map(BTreeSet::len).max();
        files.retain(|_, held| Some(held.len()) == most);
        for (file, held) in files.iter().filter(|_| *segment >= log_from) {
            lengths.entry(*file).or_default().push(held.len());
        }
    }
    // The newest first.
    let (mut seen, mut owned) = (BTreeSet::new(), BTreeSet::new());
    for (segment, files) in segments.range_mut(log_from..).rev() {
        files.retain(|file, held| {
            let begins = seen.insert(*file) && held.contains(&(segment * SLOTS));
            let as_long = lengths[file].iter().filter(|length| **length >= held.len()).count();
            let own = begins || (as_long == 1 && !owned.contains(file));
            owned.extend(own.then_some(*file));
            own
        });
    }
}

/// Numbers of (boot, lane) as the subscriber knows them.
#[derive(Clone, Default)]
pub(super) struct Account {
    void: BTreeMap<(String, String), Vec<(u64, u64)>>,
    ended: BTreeMap<(String, String), u64>,
}

impl Account {
    pub(super) fn take(&mut self, seen: &Seen) {
        let detail = &seen.json["data"]["detail"];
        if let Some(void) = detail.get("void") {
            let text = |name: &str| void[name].as_str().expect("a text").to_owned();
            let number = |name: &str| void[name].as_u64().expect("a number");
            let room = (text("boot"), text("room"));
            self.void.entry(room).or_default().push((number("first"), number("last")));
        }
        if let Some(previous) = detail.get("previous").filter(|previous| previous.is_object()) {
            let boot = previous["boot"].as_str().expect("a boot");
            for lane in ["urgent", "trouble", "routine"] {
                let last = previous[format!("last_{lane}")].as_u64().expect("a number");
                self.ended.insert((boot.to_owned(), lane.to_owned()), last);
            }
        }
    }

    fn is_void(&self, event: &Waiting) -> bool {
        let ranges = self.void.get(&(event.boot.clone(), event.lane.clone()));
        ranges.is_some_and(|ranges| {
            ranges.iter().any(|(first, last)| (*first..=*last).contains(&event.number))
        })
    }

    fn is_beyond_the_end(&self, event: &Waiting) -> bool {
        let room = (event.boot.clone(), event.lane.clone());
        self.ended.get(&room).is_none_or(|last| event.number > *last)
    }
}

/// A boot as events name it.
fn named(boot: u64) -> String {
    format!("{boot:016x}")
}

/// How many events were hit. Panics with `name` if anything is wrong.
pub(super) fn judge(past: &Past, damaged: &Damaged, starts_again: bool, name: &str) -> u64 {
    let mut rig = gateway(&past.pendants, damaged.image.clone());
    rig.boots = past.boots;
    rig.now_us = past.now_us;
    rig.try_start().unwrap_or_else(|error| panic!("{name}: does not open: {error}"));
    let report = rig.report.expect("started");
    rig.run_ms(30_000);
    assert_eq!(rig.backlog(), 0, "{name}: all that is there is delivered");

    let left = Left::of(past, damaged);
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    rig.seen.iter().for_each(|seen| *times.entry(seen.id()).or_default() += 1);
    let mut account = past.account.clone();
    rig.seen.iter().for_each(|seen| account.take(seen));
    let mut hit = 0;
    for event in &past.waiting {
        let came = times.get(event.id.as_str()).copied().unwrap_or(0);
        let unvouched = event.position >= left.unvouched_from;
        if left.has(event) && !unvouched {
            let once = came == 1 || (came == 2 && left.tail_is_back);
            assert!(once, "{name}: {event:?} was not hit, and came {came} times; {report:?}");
            continue;
        }
        hit += 1;
        if came > 0 || unvouched {
            continue;
        }
        assert!(report.damaged > 0, "{name}: {event:?} is lost in silence");
        let told = account.is_void(event);
        assert!(
            told || !left.names(event, &past.waiting),
            "{name}: {event:?} is lost, and its number not told; {report:?}"
        );
        let ended_last = report.previous.is_some_and(|end| named(end.boot) == event.boot);
        assert!(
            told || !ended_last || account.is_beyond_the_end(event),
            "{name}: {event:?} is said to come, and does not; {report:?}"
        );
    }
    if report.damaged > 0 {
        let told = rig.seen.iter().any(|seen| seen.kind() == "journal_damage");
        assert!(told, "{name}: the centre is not told of {report:?}");
    }
    if damaged.end_is_seen_missing {
        assert!(report.damaged > 0, "{name}: the end is missing and nothing is told");
    }
    repeat_old_presses(past, &mut rig, report.damaged > 0, name);
    no_number_twice(past, &rig, name);
    if starts_again {
        start_again(&mut rig, name);
    }
    hit
}

fn start_again(rig: &mut Rig, name: &str) {
    let report = rig.report.expect("started");
    // A later start finds nothing that this one did not.
    rig.restart();
    let again = rig.report.expect("started");
    rig.run_ms(30_000);
    assert!(again.damaged <= report.damaged, "{name}: {report:?}, then {again:?}");
    assert_eq!(rig.backlog(), 0, "{name}: at the second start");
}

/// A listener repeats what it recorded.
fn repeat_old_presses(past: &Past, rig: &mut Rig, told: bool, name: &str) {
    let before = rig.seen.len();
    let step = past.heard.len() / 40;
    let old = past.heard.iter().step_by(step).chain(past.heard.iter().rev().take(60));
    for (_, _, frame) in old {
        rig.frame(0, frame);
        rig.run_ms(600);
    }
    rig.run_ms(25_000);
    for seen in &rig.seen[before..] {
        let Some(speaker) = speaker(&seen.json) else { continue };
        let ids = past.ids.get(&speaker);
        assert!(
            ids.is_some_and(|ids| ids.contains(seen.id())),
            "{name}: an old press has a new id: {} of {speaker:?}",
            seen.kind()
        );
        assert!(
            !told || !CHANGES.contains(&seen.kind()),
            "{name}: an old press changed a state: {}",
            seen.kind()
        );
    }
}

/// One number of one boot and lane never names two events.
fn no_number_twice(past: &Past, rig: &Rig, name: &str) {
    let mut new: BTreeMap<(&str, &str, u64), &str> = BTreeMap::new();
    for seen in &rig.seen {
        let place = (seen.boot(), seen.lane(), seen.number());
        let before = past.numbers.get(seen.boot()).and_then(|boot| boot.get(&place.2));
        let before = before.and_then(|lanes| lanes.get(place.1)).map(String::as_str);
        let id = *new.entry(place).or_insert_with(|| before.unwrap_or_else(|| seen.id()));
        assert_eq!(id, seen.id(), "{name}: number {place:?} twice");
    }
}
