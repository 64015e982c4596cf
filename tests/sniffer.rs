//! What somebody learns who listens to the air and has no key: when frames
//! came, how long they were, and whose they were.
//!
//! Pendants behave as `docs/protocol.md`, sections 9 and 10, says. Many days
//! without a discreet panic and many with one are simulated; a classifier is
//! trained on half of them and judged by the other half. Its advantage is the
//! best that a threshold gives: true positives less false positives; 0 is a
//! guess, 1 is certainty. `docs/sniffer.md` states the figures.

use proptest::prelude::RngCore;
use proptest::test_runner::{RngAlgorithm, TestRng};

const HOUR_S: f64 = 3_600.0;
const DAY_S: f64 = 24.0 * HOUR_S;
/// The policy's default mean time between heartbeats.
const MEAN_S: f64 = 600.0;
/// Days of either sort; half of them train, half judge.
const DAYS: u64 = 8_000;
/// Frames of which no answer is heard, and that are repeated.
const LOSS: f64 = 0.2;
/// From the end of a frame to the end of the second window.
const LISTENING_S: f64 = 2.1;
const REPETITIONS_MAX: u32 = 4;
const FRAME_BYTES: u8 = 24;

/// How a pendant behaves.
#[derive(Clone, Copy, PartialEq)]
enum Pendant {
    /// As the protocol says.
    Proper,
    /// It sends at once but keeps the heartbeat that was due.
    KeepsSchedule,
    /// Its heartbeats are regular (10 % jitter), and it sends at once.
    Regular,
    /// A panic's frame is longer.
    Longer,
    /// A panic is repeated to the end, also when it was answered.
    Insistent,
}

/// A frame on the air.
#[derive(Clone, Copy)]
struct Heard {
    at_s: f64,
    bytes: u8,
}

struct Air {
    chance: TestRng,
    pendant: Pendant,
    heard: Vec<Heard>,
}

impl Air {
    fn uniform(&mut self) -> f64 {
        // 53 bits: all that a fraction has.
        (self.chance.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Rule 1 of section 9.
    fn interval(&mut self) -> f64 {
        match self.pendant {
            Pendant::Regular => MEAN_S * (0.9 + 0.2 * self.uniform()),
            _ => (-MEAN_S * (1.0 - self.uniform()).ln()).min(4.0 * MEAN_S),
        }
    }

    /// One message with its repetitions; those that `until` finds waiting are dropped.
    fn say(&mut self, at_s: f64, panic: bool, until: f64) {
        let bytes = FRAME_BYTES + u8::from(panic && self.pendant == Pendant::Longer);
        let insists = panic && self.pendant == Pendant::Insistent;
        let mut at_s = at_s;
        for _ in 0..=REPETITIONS_MAX {
            if at_s >= until {
                return;
            }
            self.heard.push(Heard { at_s, bytes });
            if self.uniform() >= LOSS && !insists {
                return;
            }
            at_s += LISTENING_S + 1.0 + 3.0 * self.uniform();
        }
    }

    /// A day, with a discreet panic at `press` if there is one.
    fn day(mut self, press: Option<f64>) -> Vec<Heard> {
        // Begun long before, so that the day does not begin with a frame.
        let mut at_s = -20.0 * MEAN_S * (1.0 + self.uniform());
        let mut press = press;
        while at_s < DAY_S {
            let mut next = at_s + self.interval();
            let pressed = press.take_if(|pressed| *pressed < next);
            // A new message drops the repetitions of the one before.
            self.say(at_s, false, pressed.unwrap_or(next));
            if let Some(pressed) = pressed {
                if !matches!(self.pendant, Pendant::KeepsSchedule | Pendant::Regular) {
                    next = pressed + self.interval();
                }
                self.say(pressed, true, next);
            }
            at_s = next;
        }
        self.heard.retain(|heard| (0.0..DAY_S).contains(&heard.at_s));
        self.heard
    }
}

/// What the sniffer makes of a window of a day: counters tell repetitions from
/// messages, and all else is times and lengths.
fn features(heard: &[Heard], window: (f64, f64)) -> [f64; 6] {
    let within = |at_s: f64| (window.0..window.1).contains(&at_s);
    let mut messages: Vec<(f64, f64)> = Vec::new();
    let mut last_s = f64::NEG_INFINITY;
    for frame in heard {
        // No message of its own comes so soon after another but by chance.
        if frame.at_s - last_s <= LISTENING_S + 4.0 {
            messages.last_mut().expect("there was one").1 += 1.0;
        } else {
            messages.push((frame.at_s, 1.0));
        }
        last_s = frame.at_s;
    }
    let gaps = messages.windows(2).filter(|two| within(two[0].0) || within(two[1].0));
    let gaps: Vec<f64> = gaps.map(|two| two[1].0 - two[0].0).collect();
    let inside = messages.iter().filter(|message| within(message.0));
    let pairs = gaps.windows(2).map(|two| two[0] + two[1]);
    [
        inside.clone().count() as f64,
        gaps.iter().copied().fold(f64::INFINITY, f64::min),
        gaps.iter().copied().fold(0.0, f64::max),
        pairs.fold(f64::INFINITY, f64::min),
        inside.map(|message| message.1).fold(0.0, f64::max),
        heard.iter().map(|frame| f64::from(frame.bytes)).fold(0.0, f64::max),
    ]
}

/// Naive Bayes: how much likelier each feature's value is on a day with a
/// panic, by equally filled bins of what training has shown.
struct Classifier {
    bins: [Vec<(f64, f64)>; 6],
    threshold: f64,
}

const BINS: usize = 12;

impl Classifier {
    fn train(ordinary: &[[f64; 6]], panic: &[[f64; 6]]) -> Self {
        let bins = std::array::from_fn(|feature| {
            let mut all: Vec<f64> = ordinary.iter().chain(panic).map(|f| f[feature]).collect();
            all.sort_by(f64::total_cmp);
            let mut edges: Vec<f64> = (1..=BINS).map(|n| all[n * (all.len() - 1) / BINS]).collect();
            edges.dedup();
            let mut from = f64::NEG_INFINITY;
            let share = |days: &[[f64; 6]], from: f64, to: f64| {
                let inside = days.iter().filter(|f| f[feature] > from && f[feature] <= to);
                (inside.count() as f64 + 1.0) / (days.len() as f64 + BINS as f64)
            };
            let weigh = |to: f64| {
                let weight = (share(panic, from, to) / share(ordinary, from, to)).ln();
                from = to;
                (to, weight)
            };
            edges.into_iter().map(weigh).collect()
        });
        let mut classifier = Self { bins, threshold: 0.0 };
        let scores = |days: &[[f64; 6]]| days.iter().map(|f| classifier.score(f)).collect();
        let (ordinary, panic): (Vec<f64>, Vec<f64>) = (scores(ordinary), scores(panic));
        let mut tried: Vec<f64> = ordinary.iter().chain(&panic).copied().collect();
        tried.sort_by(f64::total_cmp);
        tried.dedup();
        let best = tried.into_iter().max_by(|a, b| {
            let gain = |t: &f64| above(&panic, *t) - above(&ordinary, *t);
            gain(a).total_cmp(&gain(b))
        });
        classifier.threshold = best.expect("there were days");
        classifier
    }

    fn score(&self, features: &[f64; 6]) -> f64 {
        let weight = |(bins, value): (&Vec<(f64, f64)>, &f64)| {
            let bin = bins.iter().find(|(to, _)| value <= to).or(bins.last());
            bin.map_or(0.0, |(_, weight)| *weight)
        };
        self.bins.iter().zip(features).map(weight).sum()
    }
}

fn above(scores: &[f64], threshold: f64) -> f64 {
    scores.iter().filter(|score| **score >= threshold).count() as f64 / scores.len() as f64
}

/// The advantage over days that the classifier has not seen, and how far it
/// may be off with 95 % confidence.
fn advantage(pendant: Pendant, window_s: f64) -> (f64, f64) {
    let sample = |day: u64, panics: bool| {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&day.to_le_bytes());
        seed[8] = u8::from(panics);
        let chance = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut air = Air { chance, pendant, heard: Vec::new() };
        let from = air.uniform() * (DAY_S - window_s);
        let press = from + air.uniform() * window_s;
        features(&air.day(panics.then_some(press)), (from, from + window_s))
    };
    let half = |days: std::ops::Range<u64>| {
        let of = |panics| days.clone().map(|day| sample(day, panics)).collect::<Vec<_>>();
        (of(false), of(true))
    };
    let (ordinary, panic) = half(0..DAYS / 2);
    let classifier = Classifier::train(&ordinary, &panic);
    let (ordinary, panic) = half(DAYS / 2..DAYS);
    let caught = |days: &[[f64; 6]]| {
        let scores: Vec<f64> = days.iter().map(|f| classifier.score(f)).collect();
        let share = above(&scores, classifier.threshold);
        (share, share * (1.0 - share) / days.len() as f64)
    };
    let ((right, right_var), (wrong, wrong_var)) = (caught(&panic), caught(&ordinary));
    (right - wrong, 1.96 * (right_var + wrong_var).sqrt())
}

/// The most that anyone can gain who looks for one more message among those of
/// a Poisson stream: the likeliest count's probability.
fn limit(window_s: f64) -> f64 {
    let mean = window_s / MEAN_S;
    (0..400)
        .scan(-mean, |ln, n| {
            let now = *ln;
            *ln += (mean / f64::from(n + 1)).ln();
            Some(now.exp())
        })
        .fold(0.0, f64::max)
}

#[test]
fn a_day_with_a_discreet_panic_looks_like_any_other() {
    for (window_s, name) in [(DAY_S, "day"), (6.0 * HOUR_S, "6 h"), (HOUR_S, "hour")] {
        let ((gain, error), limit) = (advantage(Pendant::Proper, window_s), limit(window_s));
        println!("{name}: {gain:.3} ± {error:.3}, limit {limit:.3}");
        // Intervals cut at four means leave a trace beside Poisson's.
        assert!(gain - error < limit + 0.02, "{name}: {gain} ± {error}, limit {limit}");
    }
    assert!(advantage(Pendant::Proper, DAY_S).0 < 0.08);
}

/// Nothing hides that a frame came just when somebody was seen to press.
#[test]
fn who_knows_the_moment_knows_more_and_the_limit_says_how_much() {
    for window_s in [600.0, 60.0] {
        let ((gain, error), limit) = (advantage(Pendant::Proper, window_s), limit(window_s));
        println!("{window_s} s: {gain:.3} ± {error:.3}, limit {limit:.3}");
        assert!(gain - error < limit + 0.02 && gain > limit / 2.0, "{gain} ± {error}, {limit}");
    }
}

/// An exponential interval has no memory: whether the heartbeat that was due
/// is kept or drawn anew cannot be heard.
#[test]
fn a_kept_heartbeat_tells_nothing_more() {
    let (gain, error) = advantage(Pendant::KeepsSchedule, DAY_S);
    println!("kept: {gain:.3} ± {error:.3}");
    assert!(gain - error < limit(DAY_S) + 0.02, "{gain} ± {error}");
}

#[test]
fn the_sniffer_knows_bad_pendants() {
    for (pendant, name, least) in [
        (Pendant::Regular, "regular", 0.95),
        (Pendant::Longer, "longer", 0.99),
        (Pendant::Insistent, "insistent", 0.5),
    ] {
        let (gain, error) = advantage(pendant, DAY_S);
        println!("{name}: {gain:.3} ± {error:.3}");
        assert!(gain - error > least, "{name}: {gain} ± {error}");
    }
}
