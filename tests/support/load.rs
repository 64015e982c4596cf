//! Pendants in use: each presses, repeats until it is answered, and presses
//! again. What they were answered for is written down.

use crate::dice::Dice;
use crate::ledger::Acknowledged;
use crate::pendant::{DISCREET, DURESS, HEARTBEAT, PANIC, SAFE, WRONG, pin, start};
use crate::site::{SOON, Site};
use pendant_kit::bench::{self, Memory, PendantHandle};
use pendant_kit::pendant::{Habits, Pendant, PendantIdentity, Seen, Windows};
use pendant_kit::wire::Wire;
use pendant_protocol::{Body, Outcome};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// `SEED` of the environment, or the one of the ordinary run.
pub fn seed(ordinary: u64) -> u64 {
    std::env::var("SEED").map_or(ordinary, |text| text.parse().expect("SEED is a number"))
}

/// Whether the long mode was asked for.
pub fn is_long() -> bool {
    std::env::var_os("LONG").is_some()
}

/// One window, as the gateway answers, and short pauses: the sooner a press is
/// repeated, the more of them a kill can hit.
const HABITS: Habits = Habits {
    windows: Windows {
        first: Duration::from_millis(980),
        second: Duration::from_millis(980),
        length: Duration::from_millis(900),
    },
    pause: Duration::from_millis(100),
    pause_max: Duration::from_millis(200),
    attempts_max: u32::MAX,
};

/// Pendants at work on one wire.
pub struct Load {
    stop: watch::Sender<bool>,
    acknowledged: Arc<Mutex<BTreeSet<Acknowledged>>>,
    workers: JoinSet<()>,
}

impl Load {
    /// Enrols `pendants` of them and lets them work. The daemon need not run.
    pub fn start(site: &Site, pendants: u32, dice: &mut Dice) -> Self {
        let worn: Vec<(Pendant, Memory)> = (1..=pendants)
            .map(|number| {
                let (id, key) = site.enroll(&format!("{number:06x}"), SAFE, DURESS);
                let identity = PendantIdentity { id, key };
                (Pendant::power_up(identity, HABITS, 0, dice.next()), Memory::Forgetful)
            })
            .collect();
        Self::on(site.wire(), worn, dice)
    }

    fn on(wire: Wire, worn: Vec<(Pendant, Memory)>, dice: &mut Dice) -> Self {
        let names: Vec<String> =
            worn.iter().map(|(pendant, _)| format!("{:06x}", pendant.id().get())).collect();
        let (stop, stopped) = watch::channel(false);
        let acknowledged = Arc::default();
        let mut workers = JoinSet::new();
        for (handle, name) in bench::spawn(wire, worn).into_iter().zip(names) {
            let book = Arc::clone(&acknowledged);
            workers.spawn(work(handle, name, Dice(dice.next()), stopped.clone(), book));
        }
        Self { stop, acknowledged, workers }
    }

    /// How many presses were answered so far.
    pub fn answered(&self) -> usize {
        self.acknowledged.lock().expect("no worker panics").len()
    }

    /// No new presses; waits until the last of each pendant is answered.
    pub async fn finish(mut self) -> BTreeSet<Acknowledged> {
        self.stop.send_replace(true);
        let all = async {
            while let Some(ended) = self.workers.join_next().await {
                ended.expect("no worker panics");
            }
        };
        tokio::time::timeout(SOON, all).await.expect("every last press is answered");
        self.acknowledged.lock().expect("no worker panics").clone()
    }
}

async fn work(
    pendant: PendantHandle,
    name: String,
    mut dice: Dice,
    mut stopped: watch::Receiver<bool>,
    acknowledged: Arc<Mutex<BTreeSet<Acknowledged>>>,
) {
    while !*stopped.borrow() {
        let body = something(&mut dice);
        let seen = pendant.say(body).await.expect("the wire holds");
        let kinds = told_as(body, &seen);
        let press = Acknowledged {
            pendant: name.clone(),
            counter: seen.counter.into(),
            modulus: 1 << 32,
            kinds,
        };
        acknowledged.lock().expect("no worker panics").insert(press);
        // The wearer's own time between two presses.
        let rest = tokio::time::sleep(dice.ms(0, 300));
        tokio::select! { () = rest => {}, _ = stopped.wait_for(|stopped| *stopped) => {} }
    }
}

fn something(dice: &mut Dice) -> Body {
    match dice.below(12) {
        0..3 => PANIC,
        3..7 => HEARTBEAT,
        7 => DISCREET,
        8 => start(600),
        9 => pin(SAFE),
        10 => pin(DURESS),
        _ => pin(WRONG),
    }
}

/// The kinds of event that this press and its answer may be.
fn told_as(body: Body, seen: &Seen) -> &'static [&'static str] {
    let answer = seen.answer.as_ref().expect("pendants repeat until they are answered");
    match (body, answer.message.outcome) {
        (Body::Panic { .. }, _) => &["panic"],
        (Body::Heartbeat { .. }, _) => &["heartbeat", "track_point"],
        (Body::DiscreetPanic { .. }, _) => &["discreet_panic"],
        (Body::Pin(digits), _) if digits == crate::pendant::digits(DURESS) => &["duress"],
        (_, Outcome::Refused) => &["late_request"],
        (Body::SessionStart { .. }, _) => &["session_started"],
        (_, Outcome::WrongPin) => &["wrong_pin", "wrong_pin_repeated"],
        _ => &["session_ended", "safe_pin"],
    }
}
