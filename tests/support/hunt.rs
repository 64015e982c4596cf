//! Many seeds, with all processors.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Looks at seeds until one shows something. Gives the lowest that was found to;
/// none below it does.
pub fn hunt<F: Send>(
    seeds: Range<u64>,
    look: impl Fn(u64) -> Option<F> + Sync,
) -> Option<(u64, F)> {
    let next = AtomicU64::new(seeds.start);
    let end = AtomicU64::new(seeds.end);
    let found = Mutex::new(None::<(u64, F)>);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    let Some(shown) = look(seed) else { continue };
                    end.fetch_min(seed, Ordering::Relaxed);
                    let mut found = found.lock().expect("no thread has failed");
                    if found.as_ref().is_none_or(|(earlier, _)| seed < *earlier) {
                        *found = Some((seed, shown));
                    }
                }
            });
        }
    });
    found.into_inner().expect("no thread has failed")
}

/// The seeds that are asked for: `SEED=n` one, else `name=n` so many or `name=n..m`
/// those from one to below another, else the ordinary number of them.
pub fn seeds(name: &str, ordinary: u64) -> Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a number");
    if let Ok(seed) = std::env::var("SEED") {
        let seed = number(&seed);
        return seed..seed + 1;
    }
    match std::env::var(name) {
        Ok(asked) => match asked.split_once("..") {
            Some((from, to)) => number(from)..number(to),
            None => 0..number(&asked),
        },
        Err(_) => 0..ordinary,
    }
}
