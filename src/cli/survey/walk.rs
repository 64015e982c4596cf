//! A walk test as it is kept: lines of a work file, and what they add up to. Pure.
//!
//! A line is written as soon as its fact is known and never changed, so a file that
//! ends anywhere is a walk test up to there, and goes on where it ended.

use super::answer::Answer;
use crate::margin::Heard;
use serde::{Deserialize, Serialize};

/// Of the work file. Another one is refused.
pub(super) const FORMAT: u32 = 1;

/// A line of the work file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(super) enum Line {
    /// The first one.
    Walk(Head),
    /// The gateway was started, or the walk test met it. Receptions up to this number are
    /// not of the walk.
    Run { boot: String, after: u64 },
    /// Frames from here on are of this place; without a label, of none.
    Place { label: Option<String>, unix_ms: u64 },
    /// A frame was heard.
    Frame(Frame),
    /// At most so many receptions were not seen: the gateway tells the latest only.
    Missed { receptions: u64 },
    /// The installer ended it.
    End { unix_ms: u64, by: Option<String> },
}

/// Whose walk test it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: u32,
    pub(super) site: String,
    pub(super) gateway: String,
    pub(super) began_unix_ms: u64,
    /// Only this pendant counts.
    pub(super) pendant: Option<String>,
    /// What pendants use, where receivers do not say.
    pub(super) spreading_factor: Option<u8>,
    /// Who walks.
    pub(super) by: Option<String>,
}

/// A frame as one receiver heard it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Frame {
    /// Of the reception in its run.
    pub(super) number: u64,
    pub(super) unix_ms: u64,
    pub(super) pendant: String,
    pub(super) link: Option<String>,
    pub(super) counter: u32,
    #[serde(flatten)]
    pub(super) heard: Heard,
}

/// A stretch of the walk: at a place, or on the way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stretch {
    pub(super) label: Option<String>,
    pub(super) from_unix_ms: u64,
    pub(super) frames: Vec<Frame>,
}

/// What all lines add up to.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub(super) head: Head,
    pub(super) stretches: Vec<Stretch>,
    /// At most so many receptions are missing.
    pub(super) missed: u64,
    /// When the last thing happened.
    pub(super) until_unix_ms: u64,
    boot: Option<String>,
    newest: u64,
}

impl Walk {
    pub(super) fn new(head: Head) -> Self {
        Self {
            stretches: Vec::new(),
            missed: 0,
            until_unix_ms: head.began_unix_ms,
            boot: None,
            newest: 0,
            head,
        }
    }

    /// Takes a line in.
    pub(super) fn apply(&mut self, line: Line) {
        match line {
            Line::Walk(_) => {}
            Line::Run { boot, after } => (self.boot, self.newest) = (Some(boot), after),
            Line::Place { label, unix_ms } => {
                self.passed(unix_ms);
                let frames = Vec::new();
                self.stretches.push(Stretch { label, from_unix_ms: unix_ms, frames });
            }
            // A session that was cut off may not know it yet and write beside its successor.
            Line::Frame(frame) if frame.number <= self.newest => {}
            Line::Frame(frame) => {
                self.newest = frame.number;
                self.passed(frame.unix_ms);
                if let Some(stretch) = self.stretches.last_mut() {
                    stretch.frames.push(frame);
                }
            }
            Line::Missed { receptions } => self.missed += receptions,
            Line::End { unix_ms, by } => {
                self.passed(unix_ms);
                self.head.by = by.or(self.head.by.take());
            }
        }
    }

    /// Takes in what the gateway answers, and gives the lines that say the same.
    pub(super) fn take(&mut self, answer: &Answer, now_unix_ms: u64) -> Vec<Line> {
        let mut lines = Vec::new();
        if self.boot.as_ref() != Some(&answer.boot) {
            // What was heard before the walk is not of it; what a restarted gateway heard is.
            let after = if self.boot.is_some() { 0 } else { answer.receptions };
            lines.push(Line::Run { boot: answer.boot.clone(), after });
            (self.boot, self.newest) = (Some(answer.boot.clone()), after);
        }
        let oldest = answer.recent.first().map_or(answer.receptions + 1, |first| first.number);
        let missed = oldest.saturating_sub(self.newest + 1);
        if missed > 0 {
            lines.push(Line::Missed { receptions: missed });
        }
        let of_the_walk =
            |pendant: &str| self.head.pendant.as_deref().is_none_or(|chosen| chosen == pendant);
        let new = answer.recent.iter().filter(|reception| reception.number > self.newest);
        lines.extend(new.filter(|reception| of_the_walk(&reception.pendant)).map(|reception| {
            Line::Frame(Frame {
                number: reception.number,
                unix_ms: now_unix_ms.saturating_sub(reception.age_ms),
                pendant: reception.pendant.clone(),
                link: reception.link.clone(),
                counter: reception.counter,
                heard: reception.heard,
            })
        }));
        lines.iter().cloned().for_each(|line| self.apply(line));
        self.newest = self.newest.max(answer.receptions);
        lines
    }

    /// Where the installer is.
    pub(super) fn place(&self) -> Option<&str> {
        self.stretches.last()?.label.as_deref()
    }

    /// When a stretch ended.
    pub(super) fn ended_unix_ms(&self, stretch: usize) -> u64 {
        self.stretches.get(stretch + 1).map_or(self.until_unix_ms, |next| next.from_unix_ms)
    }

    fn passed(&mut self, unix_ms: u64) {
        self.until_unix_ms = self.until_unix_ms.max(unix_ms);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::answer::Reception;
    use super::*;

    pub(crate) fn head() -> Head {
        Head {
            format: FORMAT,
            site: "ward-3".into(),
            gateway: "gw1".into(),
            began_unix_ms: 1_000_000,
            pendant: None,
            spreading_factor: Some(9),
            by: None,
        }
    }

    pub(crate) fn at_place(label: Option<&str>, unix_ms: u64) -> Line {
        Line::Place { label: label.map(Into::into), unix_ms }
    }

    /// An answer in which the last of `counters` is reception `last`.
    fn answer(boot: &str, last: u64, counters: &[u32]) -> Answer {
        let first = last + 1 - counters.len() as u64;
        let reception = |(number, &counter)| Reception {
            number,
            pendant: if counter % 100 == 99 { "000130" } else { "00012f" }.into(),
            link: Some("roof".into()),
            counter,
            age_ms: 500,
            heard: Heard::default(),
        };
        let recent = (first..).zip(counters).map(reception).collect();
        Answer { boot: boot.into(), receptions: last, recent, ..Answer::default() }
    }

    fn counters(stretch: &Stretch) -> Vec<u32> {
        stretch.frames.iter().map(|frame| frame.counter).collect()
    }

    #[test]
    fn frames_belong_to_the_place_that_was_marked_last() {
        let mut walk = Walk::new(head());
        walk.apply(at_place(Some("lobby"), 1_000_000));
        let lines = walk.take(&answer("a", 2, &[6, 7]), 1_000_000);
        assert_eq!(lines, [Line::Run { boot: "a".into(), after: 2 }], "heard before the walk");
        assert_eq!(walk.take(&answer("a", 4, &[6, 7, 8, 9]), 1_002_000).len(), 2);
        assert_eq!(walk.take(&answer("a", 4, &[6, 7, 8, 9]), 1_003_000), [], "nothing new");
        walk.apply(at_place(None, 1_004_000));
        walk.take(&answer("a", 5, &[10]), 1_005_000);
        walk.apply(at_place(Some("cellar"), 1_006_000));
        walk.take(&answer("a", 6, &[11]), 1_007_000);
        assert_eq!(
            walk.stretches.iter().map(counters).collect::<Vec<_>>(),
            [vec![8, 9], vec![10], vec![11]]
        );
        assert_eq!(walk.stretches[0].frames[0].unix_ms, 1_001_500, "when it was heard");
        assert_eq!((walk.place(), walk.missed), (Some("cellar"), 0));
        assert_eq!((walk.ended_unix_ms(0), walk.ended_unix_ms(2)), (1_004_000, 1_006_500));
    }

    #[test]
    fn a_restarted_gateway_counts_anew_and_what_was_not_seen_is_told() {
        let mut walk = Walk::new(head());
        walk.apply(at_place(Some("lobby"), 1_000_000));
        walk.take(&answer("a", 0, &[]), 1_000_000);
        walk.take(&answer("a", 1, &[1]), 1_001_000);
        walk.take(&answer("a", 5, &[4, 5]), 1_002_000);
        assert_eq!((counters(&walk.stretches[0]), walk.missed), (vec![1, 4, 5], 2));
        let lines = walk.take(&answer("b", 1, &[6]), 1_003_000);
        assert_eq!(lines[0], Line::Run { boot: "b".into(), after: 0 });
        assert_eq!((counters(&walk.stretches[0]), walk.missed), (vec![1, 4, 5, 6], 2));
    }

    #[test]
    fn with_a_chosen_pendant_others_are_neither_frames_nor_missed() {
        let mut walk = Walk::new(Head { pendant: Some("00012f".into()), ..head() });
        walk.apply(at_place(Some("lobby"), 1_000_000));
        walk.take(&answer("a", 0, &[]), 1_000_000);
        walk.take(&answer("a", 2, &[1, 99]), 1_001_000);
        walk.take(&answer("a", 3, &[2]), 1_002_000);
        assert_eq!((counters(&walk.stretches[0]), walk.missed), (vec![1, 2], 0));
    }

    #[test]
    fn lines_read_again_are_the_same_walk_and_it_goes_on() {
        let mut walk = Walk::new(head());
        let mut lines = vec![Line::Walk(head()), at_place(Some("Treppe \"U1\"\n"), 1_000_000)];
        walk.apply(lines[1].clone());
        lines.extend(walk.take(&answer("a", 0, &[]), 1_000_000));
        lines.extend(walk.take(&answer("a", 2, &[1, 2]), 1_001_000));
        lines.push(Line::End { unix_ms: 1_002_000, by: Some("m.okafor".into()) });
        walk.apply(lines[lines.len() - 1].clone());
        let mut again = Walk::new(head());
        for line in &lines {
            let text = serde_json::to_string(line).expect("JSON");
            assert!(!text.contains('\n'), "{text}");
            let read: Line = serde_json::from_str(&text).expect("a line");
            assert_eq!(&read, line);
            again.apply(read);
        }
        assert_eq!(again.stretches, walk.stretches);
        assert_eq!(again.head.by.as_deref(), Some("m.okafor"));
        let after = again.take(&answer("a", 4, &[1, 2, 3, 4]), 1_009_000);
        again.apply(at_place(Some("cellar"), 1_010_000));
        after.into_iter().for_each(|line| again.apply(line));
        assert_eq!(counters(&again.stretches[1]), [0; 0], "written twice, heard once");
        assert_eq!(counters(&again.stretches[0]), [1, 2, 3, 4], "what came in between is kept");
    }
}
