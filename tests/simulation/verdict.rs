//! What must hold when everything has healed and the time for it has passed.

use super::blame::Promise;
use super::judge::{Answered, Judge, Said, says_session};
use super::reader::Press;
use pendant_protocol::{Body, Outcome};
use std::collections::BTreeSet;

/// A timer fires within this of its time, ms.
const SLACK_MS: u64 = 2_000;
/// So much of a timer is lived twice after a start with an unset clock, ms.
const TICK_MS: u64 = 61_000;
/// An alarm may be lost with a gateway that dies so soon after it, ms: then it
/// comes again at the next start.
const SETTLE_MS: u64 = 130_000;

const LANES: [&str; 3] = ["urgent", "trouble", "routine"];

/// A session as its wearer was told: it falls due between these moments.
struct Session {
    set_by: Press,
    due_us: (u64, u64),
    /// When it was heard first.
    set_us: u64,
}

impl Judge {
    /// Presses that were answered and have not reached the centre, unless damage
    /// at rest took them, and then that is told.
    pub fn owed(&self) -> Vec<Press> {
        let told = self.kinds("journal_damage").next().is_some();
        let owed = self.said.iter().filter(|(press, said)| {
            let taken = self.unwitnessed.contains(press) || (self.hit.contains(press) && told);
            said.answer.is_some() && !self.at_centre.contains(press) && !taken
        });
        owed.map(|(press, _)| *press).collect()
    }

    /// The last presses of pendants that were not answered.
    pub fn unanswered(&self) -> Vec<Press> {
        let wearers: BTreeSet<u32> = self.said.keys().map(|press| press.0).collect();
        let last = |wearer| self.said.range((wearer, 0)..(wearer + 1, 0)).next_back();
        let unanswered = wearers.into_iter().filter_map(last);
        unanswered.filter(|(_, said)| said.answer.is_none()).map(|(press, _)| *press).collect()
    }

    pub fn conclude(&mut self, at_us: u64) {
        self.judge_silence(at_us);
        self.conclude_losses(at_us);
        self.conclude_numbers(at_us);
        self.conclude_timers(at_us);
        self.conclude_troubles(at_us);
        self.conclude_clock(at_us);
    }

    fn kinds(&self, kind: &str) -> impl Iterator<Item = &super::judge::Got> {
        let kind = kind.to_owned();
        self.got.iter().filter(move |got| got.event.data.kind == kind)
    }

    /// P2: what was answered is at the centre.
    fn conclude_losses(&mut self, at_us: u64) {
        let lost = self.owed();
        if !lost.is_empty() {
            let why = format!("{lost:?} were answered and never reached the centre");
            self.blame(at_us, Promise::NoLoss, why);
        }
    }

    /// P8: the numbers of each boot and lane are dense, or their holes are told.
    fn conclude_numbers(&mut self, at_us: u64) {
        let mut holes = Vec::new();
        for (n, life) in self.lives.iter().enumerate() {
            for (lane, name) in LANES.iter().enumerate() {
                let seen = self.numbers.get(&(life.boot, (*name).to_owned()));
                let highest = || seen.and_then(|seen| seen.keys().next_back()).copied();
                let last = match self.ended.get(&life.boot) {
                    Some(last) => last[lane],
                    None if n + 1 == self.lives.len() => highest().unwrap_or(0),
                    // Of a boot that is never named nothing was durable, or what would have
                    // named it, the start of the next, found no room and died with it.
                    None => self.last_durable(life.boot, lane),
                };
                let hole = (1..=last).find(|number| {
                    !seen.is_some_and(|seen| seen.contains_key(number))
                        && !self.is_void(life.boot, name, *number)
                });
                if let Some(hole) = hole.filter(|_| !life.overflowed) {
                    holes.push(format!("{hole} of {last} in {name} of life {}", n + 1));
                }
            }
        }
        let told = self.kinds("journal_damage").next().is_some() || !self.unwitnessed.is_empty();
        let excused = self.was_damaged && told;
        if !holes.is_empty() && !excused {
            self.blame(at_us, Promise::QuietOrLost, format!("missing: {holes:?}"));
        }
    }

    fn last_durable(&self, boot: u64, lane: usize) -> u64 {
        let of_lane = (self.committed.iter())
            .filter(|(press, of, _)| *of == boot && lane_of(&self.said[press].body) == lane);
        of_lane.map(|(_, _, number)| *number).max().unwrap_or(0)
    }

    fn is_void(&self, boot: u64, lane: &str, number: u64) -> bool {
        self.voids.iter().any(|void| {
            void.boot == boot && void.lane == lane && (void.first..=void.last).contains(&number)
        })
    }

    /// P11: what the wearer was told to fall due alarms in time, and what ended
    /// does not.
    fn conclude_timers(&mut self, at_us: u64) {
        if self.was_damaged {
            return;
        }
        let wearers: BTreeSet<u32> = self.said.keys().map(|press| press.0).collect();
        for wearer in wearers {
            if let Err(why) = self.judge_sessions(wearer) {
                self.blame(at_us, Promise::Timers, why);
            }
        }
    }

    fn judge_sessions(&self, wearer: u32) -> Result<(), String> {
        // In the order of counters, in which alone they can act.
        let touching: Vec<(&Press, &Said)> = self
            .said
            .range((wearer, 0)..(wearer + 1, 0))
            .filter(|(_, said)| touches_session(&said.body) && !said.heard.is_empty())
            .filter(|(_, said)| {
                let outcome = kept(said).map(|answer| answer.message.outcome);
                !matches!(outcome, Some(Outcome::Refused | Outcome::WrongPin))
            })
            .collect();
        for (n, (press, said)) in touching.iter().enumerate() {
            let Some(session) = session(**press, said)? else { continue };
            let later = touching[n + 1..].iter();
            let next_us = later.clone().map(|(_, said)| said.heard[0]).min();
            let over_us = later.filter_map(|(_, said)| Some(kept(said)?.at_us)).min();
            self.judge_session(&session, next_us.unwrap_or(u64::MAX), over_us)?;
        }
        Ok(())
    }

    /// `next_us`: when something was heard that may have ended or moved it.
    /// `over_us`: when the wearer was told that it did.
    fn judge_session(
        &self,
        session: &Session,
        next_us: u64,
        over_us: Option<u64>,
    ) -> Result<(), String> {
        let press = session.set_by;
        let grace_us = self.grace_ms * 1000;
        let earliest_us = session.due_us.0 + grace_us;
        let latest_us = self.latest_us(session.due_us.1 + grace_us, session.set_us);
        let fired = self.kinds("overdue").filter(|got| got.event.press() == Some(press));
        let stamps: Vec<u64> = fired.filter_map(|got| got.stamp_us).collect();
        let lies = self.clock.iter().any(|(_, off_ms)| !matches!(off_ms, None | Some(0)));
        if let Some(early) = stamps.iter().find(|at| **at + SLACK_MS * 1000 < earliest_us) {
            if !lies {
                return Err(format!("{press:?} is overdue at {early}, before {earliest_us}"));
            }
        }
        if let Some(over_us) = over_us {
            if stamps.iter().any(|at| *at > over_us) {
                return Err(format!("{press:?} is overdue although it is over at {over_us}"));
            }
        }
        if latest_us < next_us && !stamps.iter().any(|at| *at <= latest_us) {
            return Err(format!("{press:?} is not overdue by {latest_us}, but at {stamps:?}"));
        }
        Ok(())
    }

    /// By when what is due at a moment must have been told. A gateway that is off
    /// tells at its next start; one whose clock cannot say for how long it was off
    /// is late by that, and by what it had not journalled of its age.
    fn latest_us(&self, due_us: u64, set_us: u64) -> u64 {
        let trusted = self.clock.iter().all(|(_, off_ms)| *off_ms == Some(0));
        let mut due_us = due_us;
        for pair in self.lives.windows(2) {
            let Some(ended_us) = pair[0].ended_us else { continue };
            // What was told and could not be kept is told again.
            let keeps = !pair[0].journal_failed && !pair[0].overflowed;
            if ended_us < set_us || (keeps && ended_us > due_us + SETTLE_MS * 1000) {
                continue;
            }
            // Nor can one that found no room for its age, or whose disk took none to its end.
            if !trusted || !keeps {
                let failing_us = pair[0].failing_since_us.map_or(0, |since_us| ended_us - since_us);
                due_us += pair[1].began_us - ended_us + TICK_MS * 1000 + failing_us;
            }
            due_us = due_us.max(pair[1].began_us);
        }
        due_us + SLACK_MS * 1000
    }

    /// P10: what was wrong in the last life is told, since nothing took it back.
    fn conclude_troubles(&mut self, at_us: u64) {
        let Some(life) = self.lives.last() else { return };
        let told = |kind: &str| self.kinds(kind).any(|got| got.event.boot() == life.boot);
        let mut silent = Vec::new();
        if life.centre_lost {
            silent.push("that the centre is back".to_owned());
        }
        if life.journal_failed && !(told("journal_failed") && told("journal_restored")) {
            silent.push("the journal's failure, or its end".to_owned());
        }
        for reason in life.refusals.keys() {
            let about = |got: &super::judge::Got| {
                got.event.data.detail["refused"]["reason"].as_u64() == Some(u64::from(*reason))
            };
            let of_life = |got: &super::judge::Got| got.event.boot() == life.boot;
            if !self.kinds("broker_refused").any(|got| of_life(got) && about(got)) {
                silent.push(format!("the refusal {reason:#x}"));
            }
        }
        if !silent.is_empty() {
            self.blame(at_us, Promise::FailLoud, format!("not told: {silent:?}"));
        }
    }

    /// P9: stamps that were unset can be put right once the clock is set.
    fn conclude_clock(&mut self, at_us: u64) {
        let Some(life) = self.lives.last() else { return };
        let of_life = |got: &&super::judge::Got| got.event.boot() == life.boot;
        let unset = |got: &super::judge::Got| got.event.data.clock.source == "unset";
        let open = self.got.iter().filter(of_life).any(unset);
        let told = self.kinds("clock_set").any(|got| got.event.boot() == life.boot);
        if open && !told {
            let why = "stamps of this boot are unset, and nothing puts them right";
            self.blame(at_us, Promise::HonestTime, why);
        }
    }
}

/// The lane in which a message is told, by its place in `LANES`.
fn lane_of(body: &Body) -> usize {
    match body {
        Body::Tamper { .. } => 1,
        Body::Heartbeat { .. } => 2,
        _ => 0,
    }
}

/// The answer that the wearer got on the journal's word.
fn kept(said: &Said) -> Option<Answered> {
    said.answer.filter(|answer| answer.durable)
}

/// What the wearer was told of a session that begins, or goes on, with a press.
fn session(press: Press, said: &Said) -> Result<Option<Session>, String> {
    let Some(answer) = kept(said).filter(|answer| says_session(answer.message.outcome)) else {
        return Ok(None);
    };
    let left_us = u64::from(answer.message.minutes_left) * 60_000_000;
    // Rounded up; an extension may leave it due as it was.
    let mut rounded_us = if left_us == 0 { u64::MAX } else { 60_000_000 };
    if let Body::SessionStart { minutes, .. } = said.body {
        if answer.message.minutes_left != minutes {
            return Err(format!("{press:?} asked for {minutes} min: {answer:?}"));
        }
        rounded_us = 0;
    }
    let first_us = said.heard[0];
    let last_us = said.heard.iter().rfind(|at| **at < answer.at_us).unwrap_or(&first_us);
    Ok(Some(Session {
        set_by: press,
        set_us: first_us,
        due_us: ((first_us + left_us).saturating_sub(rounded_us), last_us + left_us),
    }))
}

fn touches_session(body: &Body) -> bool {
    matches!(
        body,
        Body::SessionStart { .. }
            | Body::SessionExtend { .. }
            | Body::CheckIn { .. }
            | Body::Pin(_)
    )
}
