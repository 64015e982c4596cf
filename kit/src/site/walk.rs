//! Where wearers are, and how they walk about.

use pendant_hal::sim::chance::Chance;
use pendant_hal::sim::ether::{Antenna, Position};
use std::time::Duration;
use tokio::time::sleep;

/// Wearers move in steps of this time.
const STEP: Duration = Duration::from_secs(1);

/// Longest stay of a wanderer at one place: half an hour.
const STAY_STEPS_MAX: u64 = 1_800;

/// Where a wearer is.
#[derive(Clone, Debug, PartialEq)]
pub enum Walk {
    /// Stands here.
    Stands(Position),
    /// Goes from one way-point to the next, and from the last to the first.
    Rounds {
        /// At least one.
        points: Vec<Position>,
        /// Begins anywhere on the way, as one of a crew does, and not at the first.
        anywhere: bool,
        /// Metres a second.
        speed_m_s: f64,
    },
    /// Goes from one place to another, and often stays a while.
    Wanders {
        /// Two opposite corners of where.
        area: [Position; 2],
        /// Metres a second.
        speed_m_s: f64,
    },
}

/// A wearer under way.
pub(super) struct Walker {
    pub(super) antenna: Antenna,
    walk: Walk,
    goal: Position,
    /// The way-point that is the goal.
    next: usize,
    /// Steps that he stays where he is.
    stays: u64,
    chance: Chance,
}

impl Walker {
    pub(super) fn new(walk: Walk, mut chance: Chance) -> Self {
        let mut next = 0;
        let (here, goal) = match &walk {
            Walk::Stands(place) => (*place, *place),
            Walk::Rounds { points, anywhere, .. } => {
                let count = points.len().max(1);
                let last = if *anywhere { chance.next() as usize % count } else { 0 };
                next = (last + 1) % count;
                let [from, to] = [last, next].map(|at| points.get(at).copied().unwrap_or_default());
                let part = if *anywhere { chance.fraction() } else { 0.0 };
                (between(from, to, part), to)
            }
            Walk::Wanders { area, .. } => (within(*area, &mut chance), within(*area, &mut chance)),
        };
        Self { antenna: Antenna::at(here), walk, goal, next, stays: 0, chance }
    }

    /// One [`STEP`] on.
    fn step(&mut self) {
        let (Walk::Rounds { speed_m_s, .. } | Walk::Wanders { speed_m_s, .. }) = self.walk else {
            return;
        };
        if self.stays > 0 {
            self.stays -= 1;
            return;
        }
        let step_m = speed_m_s * STEP.as_secs_f64();
        let here = self.antenna.position();
        let left_m = here.distance_m(self.goal);
        if left_m <= step_m {
            self.antenna.move_to(self.goal);
            self.arrive();
            return;
        }
        self.antenna.move_to(between(here, self.goal, step_m / left_m));
    }

    fn arrive(&mut self) {
        match &self.walk {
            Walk::Stands(_) => {}
            Walk::Rounds { points, .. } => {
                self.next = (self.next + 1) % points.len().max(1);
                self.goal = points.get(self.next).copied().unwrap_or(self.goal);
            }
            Walk::Wanders { area, .. } => {
                self.goal = within(*area, &mut self.chance);
                self.stays = self.chance.next() % STAY_STEPS_MAX;
            }
        }
    }
}

/// Moves all of them.
pub(super) async fn walk(mut walkers: Vec<Walker>) {
    loop {
        sleep(STEP).await;
        walkers.iter_mut().for_each(Walker::step);
    }
}

fn between(from: Position, to: Position, part: f64) -> Position {
    let x_m = from.x_m + (to.x_m - from.x_m) * part;
    Position::new(x_m, from.y_m + (to.y_m - from.y_m) * part)
}

fn within([a, b]: [Position; 2], chance: &mut Chance) -> Position {
    let x_m = a.x_m + (b.x_m - a.x_m) * chance.fraction();
    Position::new(x_m, a.y_m + (b.y_m - a.y_m) * chance.fraction())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_go_from_point_to_point_at_their_speed() {
        let points =
            [(0.0, 0.0), (3.0, 0.0), (3.0, 4.0)].map(|(x, y)| Position::new(x, y)).to_vec();
        let walk = |anywhere| Walk::Rounds { points: points.clone(), anywhere, speed_m_s: 1.0 };
        let begins: Vec<Position> =
            (0..9).map(|n| Walker::new(walk(true), Chance(n)).antenna.position()).collect();
        assert!(begins.iter().all(|place| begins.iter().filter(|it| *it == place).count() == 1));
        let mut walker = Walker::new(walk(false), Chance(1));
        let mut passed = Vec::new();
        // 3 + 4 + 5 metres.
        for _ in 0..13 {
            let before = walker.antenna.position();
            walker.step();
            let here = walker.antenna.position();
            assert!(before.distance_m(here) <= 1.0 + 1e-9);
            if points.contains(&here) && before != here {
                passed.push(here);
            }
        }
        assert_eq!(passed, [points[1], points[2], points[0]]);
    }

    #[test]
    fn wanderers_stay_in_their_area_and_go_about_in_it() {
        let area = [Position::new(-5.0, 10.0), Position::new(5.0, 20.0)];
        let mut walker = Walker::new(Walk::Wanders { area, speed_m_s: 1.5 }, Chance(3));
        let mut west_m = f64::MAX;
        let mut east_m = f64::MIN;
        for _ in 0..100_000 {
            walker.step();
            let Position { x_m, y_m } = walker.antenna.position();
            assert!((-5.0..=5.0).contains(&x_m) && (10.0..=20.0).contains(&y_m));
            (west_m, east_m) = (west_m.min(x_m), east_m.max(x_m));
        }
        assert!(west_m < -3.0 && east_m > 3.0, "{west_m} {east_m}");
    }
}
