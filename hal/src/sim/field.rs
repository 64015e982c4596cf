//! How much of a signal arrives where: log-distance path loss, walls, shadowing
//! and fading, all of them functions of a seed.

use super::chance::mix;
use std::sync::{Arc, Mutex};

/// Free-space loss at one metre and 868 MHz, dB: 20 log10(4 pi d / lambda).
const LOSS_AT_1_M_DB: f64 = 31.2;

/// Shadowing is the same within squares of this side, metres: about as far as
/// one has to go to leave the shadow of a machine or a corner.
const SHADOW_M: f64 = 10.0;

/// A place on the site, metres.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Position {
    /// Metres to the east.
    pub x_m: f64,
    /// Metres to the north.
    pub y_m: f64,
}

impl Position {
    /// A place, metres to the east and to the north.
    pub fn new(x_m: f64, y_m: f64) -> Self {
        Self { x_m, y_m }
    }

    /// How far another place is, metres.
    pub fn distance_m(self, other: Self) -> f64 {
        (self.x_m - other.x_m).hypot(self.y_m - other.y_m)
    }
}

/// Something that moves, or stands, with a radio.
#[derive(Clone, Debug, Default)]
pub struct Antenna(Arc<Mutex<Position>>);

impl Antenna {
    /// An antenna at a place.
    pub fn at(position: Position) -> Self {
        Self(Arc::new(Mutex::new(position)))
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        *self.0.lock().expect("nothing panics while it holds the lock")
    }

    /// Whether both are the same antenna, and not merely at one place.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// It goes elsewhere; frames under way are not changed.
    pub fn move_to(&self, position: Position) {
        *self.0.lock().expect("nothing panics while it holds the lock") = position;
    }
}

/// A wall that damps what passes through it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wall {
    /// One end.
    pub from: Position,
    /// The other end.
    pub to: Position,
    /// What it takes, dB: a light partition 3, brick 8, concrete 15, a metal hall 25.
    pub loss_db: f64,
}

impl Wall {
    fn stands_between(&self, a: Position, b: Position) -> bool {
        let side = |p: Position, q: Position, r: Position| {
            (q.x_m - p.x_m) * (r.y_m - p.y_m) - (q.y_m - p.y_m) * (r.x_m - p.x_m)
        };
        let (w, v) = (self.from, self.to);
        side(a, b, w) * side(a, b, v) < 0.0 && side(w, v, a) * side(w, v, b) < 0.0
    }
}

/// The site, as radio waves find it.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// What is lost over the first metre, dB.
    pub loss_at_1_m_db: f64,
    /// How fast it goes on: 2 in free space, 2.7 to 3.5 among buildings.
    pub exponent: f64,
    /// Standard deviation of what depends on the two places, dB.
    pub shadowing_db: f64,
    /// Standard deviation of what differs from frame to frame, dB.
    pub fading_db: f64,
    /// The walls.
    pub walls: Vec<Wall>,
    /// Shadowing and fading are functions of it.
    pub seed: u64,
}

impl Default for Field {
    /// An industrial site without walls.
    fn default() -> Self {
        Self {
            loss_at_1_m_db: LOSS_AT_1_M_DB,
            exponent: 3.0,
            shadowing_db: 4.0,
            fading_db: 2.0,
            walls: Vec::new(),
            seed: 0,
        }
    }
}

impl Field {
    /// A field in which everyone loses so much to everyone, dB.
    pub fn flat(loss_db: f64) -> Self {
        Self {
            loss_at_1_m_db: loss_db,
            exponent: 0.0,
            shadowing_db: 0.0,
            fading_db: 0.0,
            walls: Vec::new(),
            seed: 0,
        }
    }

    /// Loss between two places, dB. The same in both directions.
    pub fn loss_db(&self, a: Position, b: Position) -> f64 {
        let distance_db = 10.0 * self.exponent * a.distance_m(b).max(1.0).log10();
        let walls = self.walls.iter().filter(|wall| wall.stands_between(a, b));
        let walls_db: f64 = walls.map(|wall| wall.loss_db).sum();
        self.loss_at_1_m_db + distance_db + walls_db + self.shadow_db(a, b)
    }

    /// What the `nth` wave gains or loses on its way to the antenna `to`, dB: all
    /// radios on one antenna hear it alike.
    pub fn fade_db(&self, nth: u64, to: u64) -> f64 {
        if self.fading_db == 0.0 {
            return 0.0;
        }
        self.fading_db * normal(self.seed ^ mix(nth) ^ mix(to.wrapping_add(1 << 32)))
    }

    fn shadow_db(&self, a: Position, b: Position) -> f64 {
        if self.shadowing_db == 0.0 {
            return 0.0;
        }
        let square = |p: Position| {
            let cell = |m: f64| (m / SHADOW_M).floor() as i64 as u64;
            mix(cell(p.x_m)) ^ mix(cell(p.y_m)).rotate_left(32)
        };
        // A sum, so that both directions are one.
        self.shadowing_db * normal(self.seed ^ mix(square(a).wrapping_add(square(b))))
    }
}

/// Nearly normal with mean 0 and deviation 1, and never beyond 3.5: twelve
/// uniform numbers less six.
fn normal(seed: u64) -> f64 {
    let mut sum = -6.0;
    let mut state = seed;
    for _ in 0..12 {
        state = mix(state);
        sum += (state >> 11) as f64 / (1u64 << 53) as f64;
    }
    sum.clamp(-3.5, 3.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn loss_grows_with_distance_and_walls() {
        let wall =
            Wall { from: Position::new(50.0, -10.0), to: Position::new(50.0, 10.0), loss_db: 15.0 };
        let field = Field { shadowing_db: 0.0, walls: vec![wall], ..Field::default() };
        let origin = Position::default();
        let loss_db = |x_m, y_m| field.loss_db(origin, Position::new(x_m, y_m));
        assert!((loss_db(1.0, 0.0) - 31.2).abs() < 0.01);
        assert!((loss_db(10.0, 0.0) - 61.2).abs() < 0.01, "30 dB a decade");
        assert!((loss_db(100.0, 0.0) - 106.2).abs() < 0.01, "through the wall");
        assert!((loss_db(0.0, 100.0) - 91.2).abs() < 0.01, "past the wall");
    }

    #[test]
    fn shadowing_and_fading_have_the_spread_that_is_asked_for() {
        let field = Field { shadowing_db: 4.0, fading_db: 2.0, exponent: 0.0, ..Field::default() };
        let spread = |values: Vec<f64>| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            (mean, (square / values.len() as f64).sqrt())
        };
        let away = |n: u32| Position::new(f64::from(n) * 25.0, 7.0);
        let shadows = (0..2_000).map(|n| field.loss_db(Position::default(), away(n)) - 31.2);
        let (mean, deviation) = spread(shadows.collect());
        assert!(mean.abs() < 0.5 && (deviation - 4.0).abs() < 0.3, "{mean} {deviation}");
        let (mean, deviation) = spread((0..2_000).map(|n| field.fade_db(n, 3)).collect());
        assert!(mean.abs() < 0.3 && (deviation - 2.0).abs() < 0.2, "{mean} {deviation}");
    }

    proptest! {
        #[test]
        fn both_directions_are_one(x in -500.0..500.0, y in -500.0..500.0, seed: u64) {
            let field = Field { seed, ..Field::default() };
            let (a, b) = (Position::new(x, y), Position::new(y, -x));
            prop_assert_eq!(field.loss_db(a, b), field.loss_db(b, a));
        }
    }
}
