//! P8: (boot, lane, number) is dense; recovery declares where the boot before
//! ended; damage is told.

use crate::pendant::*;
use crate::rig::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn assert_dense(rig: &Rig) {
    for ((boot, lane), numbers) in rig.numbers() {
        let last = numbers.last().copied().unwrap_or(0);
        assert_eq!(numbers.len() as u64, last, "gap in {lane} of boot {boot}: {numbers:?}");
    }
}

#[test]
fn numbers_are_dense_within_boot_and_lane() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    for n in 0..50 {
        let body = if n % 7 == 0 { PANIC } else { HEARTBEAT };
        rig.exchange(&mut pendant, body);
        if n % 10 == 9 {
            rig.run_ms(50);
            rig.restart();
            rig.run_ms(50);
        }
    }
    rig.run_ms(60_000);
    assert_dense(&rig);
    assert_eq!(
        rig.numbers().keys().map(|(boot, _)| boot).collect::<std::collections::BTreeSet<_>>().len(),
        6
    );
}

#[test]
fn a_start_declares_how_the_boot_before_ended() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    for _ in 0..3 {
        rig.exchange(&mut pendant, PANIC);
    }
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.run_ms(60_000);
    let boot = rig.seen[0].boot().to_owned();
    rig.restart();
    rig.run_ms(500);
    let previous = &rig.seen.last().expect("the start").json["data"]["detail"]["previous"];
    assert_eq!(previous["boot"], boot.as_str());
    assert_eq!(previous["last_urgent"], 3);
    assert_eq!(previous["last_routine"], 1);
    assert_eq!(previous["last_trouble"], 1);
    rig.run_ms(30_000);
    rig.restart();
    rig.run_ms(500);
    let previous = &rig.seen.last().expect("the start").json["data"]["detail"]["previous"];
    assert_ne!(previous["boot"], boot.as_str());
    assert_eq!(previous["last_urgent"], 0);
}

#[test]
fn what_was_told_and_not_durable_is_void_not_missing() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, PANIC);
    rig.disk.commit_us = 10_000_000;
    rig.frame(0, &pendant.say(PANIC));
    rig.run_ms(100);
    assert_eq!(rig.count("panic"), 2);
    rig.disk.commit_us = 200;
    rig.restart();
    rig.run_ms(500);
    let started = rig.seen.iter().rfind(|s| s.kind() == "gateway_started").expect("started");
    assert_eq!(started.json["data"]["detail"]["previous"]["last_urgent"], 1);
}

/// Fills a journal without a broker; gives the rig and how many presses it holds.
fn filled(presses: u32) -> (Rig, Pendant) {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.run_ms(1_000);
    rig.broker_away();
    for _ in 0..presses {
        rig.frame(0, &pendant.say(PANIC));
        rig.run_ms(2);
    }
    rig.run_ms(5_000);
    rig.crash();
    (rig, pendant)
}

#[test]
fn one_bad_sector_loses_one_event_and_tells_its_number() {
    let (mut rig, _) = filled(300);
    let file = *rig.disk.files.keys().next().expect("a file");
    rig.disk.files.get_mut(&file).expect("it is there")[512 * 100..512 * 101].fill(0xEE);
    rig.start();
    rig.broker_back();
    rig.run_ms(60_000);
    assert_eq!(rig.count("panic"), 299);
    let told: Vec<_> = rig.seen.iter().filter(|s| s.kind() == "journal_damage").collect();
    assert_eq!(told.len(), 2, "how many frames, and which numbers");
    let numbers: Vec<u64> =
        rig.seen.iter().filter(|s| s.kind() == "panic").map(Seen::number).collect();
    let missing: Vec<u64> = (1..=300).filter(|n| !numbers.contains(n)).collect();
    let void =
        told.iter().find_map(|s| s.json["data"]["detail"].get("void")).expect("a range of numbers");
    assert_eq!(missing.len(), 1);
    assert_eq!(void["first"], missing[0]);
    assert_eq!(void["last"], missing[0]);
}

#[test]
fn a_missing_segment_is_told() {
    let (mut rig, _) = filled(5_000);
    assert!(rig.disk.files.len() >= 3);
    let middle = 1;
    rig.disk.files.remove(&middle);
    rig.start();
    rig.broker_back();
    rig.run_ms(60_000);
    assert!(rig.report.expect("started").damaged >= 2_047);
    let void: u64 =
        rig.seen.iter().filter_map(|s| s.json["data"]["detail"]["void"]["count"].as_u64()).sum();
    assert_eq!(rig.count("panic") as u64 + void, 5_000);
}

/// A write that went astray left a frame of a newer segment in the oldest one's file,
/// and the newer one's own file is gone: the oldest loses that frame alone.
#[test]
fn a_frame_that_went_astray_costs_no_more_than_its_place() {
    // In the middle of the log, and at its end.
    for (gone, left) in [(1, 5_000 - 2_048 - 1), (2, 2 * 2_040)] {
        let (mut rig, _) = filled(5_000);
        assert_eq!(rig.disk.files.keys().copied().take(3).collect::<Vec<_>>(), [0, 1, 2]);
        let place = 512 * 500..512 * 501;
        let frame = rig.disk.files.remove(&gone).expect("it is there")[place.clone()].to_vec();
        rig.disk.files.get_mut(&0).expect("it is there")[place].copy_from_slice(&frame);
        rig.start();
        rig.broker_back();
        rig.run_ms(60_000);
        assert!(rig.count("panic") >= left, "{} came without file {gone}", rig.count("panic"));
        assert!(rig.report.expect("started").damaged > 1, "file {gone} is gone in silence");
    }
}

#[test]
fn a_foreign_journal_is_refused_and_left_alone() {
    let (mut rig, _) = filled(10);
    for bytes in rig.disk.files.values_mut() {
        // Whole frames of another store: reseal is not possible without its key, so
        // damage the tag and repair the checksum as a foreign key would look.
        for (index, slot) in bytes.chunks_exact_mut(512).enumerate() {
            let lsn = u64::from_le_bytes(slot[8..16].try_into().expect("8 bytes"));
            if lsn % 2048 == index as u64 && lsn != 0 {
                slot[500] ^= 1;
                let seed = crc32c::crc32c(&(lsn / 2048).to_le_bytes());
                let crc = crc32c::crc32c_append(seed, &slot[4..]);
                slot[..4].copy_from_slice(&crc.to_le_bytes());
            }
        }
    }
    let before = rig.disk.files.clone();
    assert_eq!(
        rig.try_start(),
        Err(pendant_gateway::engine::journal::recover::RecoverError::ForeignKey)
    );
    assert_eq!(rig.disk.files, before);
}

proptest! {
    #![proptest_config(cases(60))]

    /// Damage at rest anywhere: no panic, the journal opens, and what is missing
    /// was declared.
    #[test]
    fn damage_at_rest_is_told(hits in prop::collection::vec((0..400usize, any::<u8>()), 1..12), cut in prop::option::of(0..200_000usize)) {
        let (mut rig, _) = filled(350);
        let bytes = rig.disk.files.get_mut(&0).expect("the first file");
        for (slot, value) in hits {
            bytes[slot * 512..(slot + 1) * 512].fill(value);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut);
        }
        rig.start();
        rig.broker_back();
        rig.run_ms(60_000);
        let have: std::collections::BTreeSet<u64> =
            rig.seen.iter().filter(|s| s.kind() == "panic").map(Seen::number).collect();
        let mut declared = BTreeMap::new();
        for seen in &rig.seen {
            if let Some(void) = seen.json["data"]["detail"].get("void") {
                let first = void["first"].as_u64().expect("first");
                let last = void["last"].as_u64().expect("last");
                declared.extend((first..=last).map(|n| (n, ())));
            }
        }
        let last = rig
            .seen
            .iter()
            .rfind(|s| s.kind() == "gateway_started")
            .and_then(|s| s.json["data"]["detail"]["previous"]["last_urgent"].as_u64())
            .unwrap_or(0);
        for number in 1..=last {
            prop_assert!(have.contains(&number) || declared.contains_key(&number), "press {number} is lost in silence; last {last}");
        }
    }
}
