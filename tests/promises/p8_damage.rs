//! P8: damage at rest of every kind, by chance. Only what was hit is lost, the loss
//! is told, and every journal opens.
//!
//! `SEED=n` replays one case, `CASES=n` sets how many are tried for each journal.

#[path = "p8_damage/judge.rs"]
mod judge;
#[path = "p8_damage/kinds.rs"]
mod kinds;
#[path = "p8_damage/medium.rs"]
mod medium;
#[path = "p8_damage/past.rs"]
mod past;

use crate::dice::Dice;
use judge::judge;
use kinds::{KINDS, damage};
use past::Past;
use std::collections::BTreeMap;

/// Cases of each of the four journals.
const ORDINARY: u64 = 130;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Cases on the journals with these numbers.
fn every_damage_is_told(journals: std::ops::Range<u64>) {
    let long = std::env::var_os("LONG").is_some();
    let cases = number("CASES").unwrap_or(if long { ORDINARY * 20 } else { ORDINARY });
    let (mut tried, mut hit) = (0, 0);
    let mut of_kind: BTreeMap<&str, u64> = BTreeMap::new();
    for journal in journals {
        let only = number("SEED");
        if only.is_some_and(|seed| seed / 1_000_000 != journal) {
            continue;
        }
        let first = journal * 1_000_000;
        let seeds = only.map_or(first..first + cases, |seed| seed..seed + 1);
        let past = Past::live(journal);
        for seed in seeds {
            let kind = KINDS[(seed % KINDS.len() as u64) as usize];
            let damaged = damage(&past, kind, &mut Dice(seed));
            let name = format!("SEED={seed} ({kind:?},{})", damaged.what);
            // A second start costs as much as the first: of each kind some have one.
            let starts_again = only.is_some() || seed / KINDS.len() as u64 % 4 == 0;
            hit += judge(&past, &damaged, starts_again, &name);
            tried += 1;
            *of_kind.entry(kind.name()).or_default() += 1;
        }
    }
    println!("{tried} cases, {hit} events hit; {of_kind:?}");
    // A run of all seeds that hits next to nothing would show nothing.
    assert!(number("SEED").is_some() || hit > tried, "{hit} events hit in {tried} cases");
}

#[test]
fn damage_at_rest_loses_what_it_hits_and_is_told_first_half() {
    every_damage_is_told(0..2);
}

#[test]
fn damage_at_rest_loses_what_it_hits_and_is_told_second_half() {
    every_damage_is_told(2..4);
}
