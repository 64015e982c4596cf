//! Bad input from the air, the disk and the installer: a clear message, a
//! counter, no crash, no busy loop, nothing lost.

use crate::end_to_end::World;
use crate::pendant::*;
use crate::site::{SOON, hear};
use pendant_hal::sim::serial::PtyPort;
use pendant_kit::wire::Wire;
use pendant_protocol::EnrolmentKey;
use tokio::io::AsyncWriteExt;

async fn answered(world: &World, wire: &mut Wire, pendant: &mut Pendant) {
    wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    let heard = tokio::time::timeout(SOON / 2, hear(wire)).await;
    let (answer, _) = heard
        .unwrap_or_else(|_| panic!("no answer:\n{}\n{:?}", world.site.log(), world.site.status()));
    assert!(pendant.hear(&answer, pendant.counter).is_some(), "{}", world.site.log());
}

#[tokio::test]
async fn garbage_half_frames_and_strangers_are_counted_and_pass_by() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut stranger = Pendant::new(0x77);
    let mut forger = pendant.clone();
    forger.key = EnrolmentKey::from_bytes([3; 16]);
    world.site.start().await;
    answered(&world, &mut wire, &mut pendant).await;

    let recorded = pendant.say(HEARTBEAT);
    for frame in [&recorded[..], &recorded[..11], &stranger.say(PANIC)[..], &forger.say(PANIC)[..]]
    {
        wire.send(frame).await.expect("the wire holds");
    }
    hear(&mut wire).await;
    for _ in 0..3 {
        answered(&world, &mut wire, &mut pendant).await;
    }
    wire.send(&recorded).await.expect("the wire holds");
    let refused = world.site.until("all are counted", |s| {
        let refused = &s["counters"]["frames_refused"];
        refused["malformed"] == 1
            && refused["unknown_pendant"] == 1
            && refused["forged"] == 1
            && refused["replayed"] == 1
    });
    refused.await;
    let log = world.site.log();
    for said in ["not enrolled", "wrong key", "old frame replayed"] {
        assert!(log.contains(said), "{said}: {log}");
    }
}

#[tokio::test]
async fn ten_megabytes_without_a_delimiter_cost_bounded_memory() {
    let mut world = World::new(None).await;
    let (mut port, path) = PtyPort::open().expect("a pseudo terminal");
    std::os::unix::fs::symlink(path, world.site.path("port")).expect("a link");
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.site.start().await;
    world.site.until("the port is up", |s| s["links"][0]["up"] == true).await;
    let before = resident_kib(world.site.process());
    port.write_all(&vec![0x55; 10 * 1024 * 1024]).await.expect("the port takes it");
    port.write_all(&[0]).await.expect("the port takes it");
    let mut wire = Wire::stream(port);
    answered(&world, &mut wire, &mut pendant).await;
    let grown = resident_kib(world.site.process()).saturating_sub(before);
    assert!(grown < 2_048, "grew by {grown} KiB");
    let status = world.site.status().expect("it answers");
    assert!(status["counters"]["link_drops"]["oversize"].as_u64() >= Some(1), "{status}");
}

#[tokio::test]
async fn a_port_that_does_not_exist_is_told_without_a_busy_loop() {
    let mut world = World::new(None).await;
    world.site.start().await;
    let status =
        world.site.until("the fault is shown", |s| s["links"][0]["fault"].is_string()).await;
    let fault = status["links"][0]["fault"].as_str().expect("a text");
    assert!(fault.contains("does not exist"), "{fault}");
    let before = cpu_ticks(world.site.process());
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(2);
    tokio::time::sleep_until(until).await;
    let ticks = cpu_ticks(world.site.process()) - before;
    assert!(ticks < 20, "{ticks} hundredths of a second of work in 2 s without a port");
    // It comes to life when the receiver is plugged in.
    let _wire = world.site.wire();
    world.site.until("the port is up", |s| s["links"][0]["up"] == true).await;
}

#[tokio::test]
async fn a_foreign_journal_is_refused_with_what_to_do_and_left_alone() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.site.start().await;
    answered(&world, &mut wire, &mut pendant).await;
    world.site.terminate();
    let key = world.site.path("store/store.key");
    let text = std::fs::read_to_string(&key).expect("the key");
    let other: String = text.chars().map(|c| if c == 'a' { 'b' } else { c }).collect();
    let other = if other == text { text.replace('1', "2") } else { other };
    std::fs::write(&key, other).expect("another key");
    assert!(!world.site.try_start().await, "it must not start on a foreign journal");
    assert!(world.site.log().contains("sealed with another store key"), "{}", world.site.log());
    std::fs::write(&key, text).expect("the key again");
    world.site.start().await;
    answered(&world, &mut wire, &mut pendant).await;
}

#[tokio::test]
async fn an_unreadable_journal_is_refused_with_its_place() {
    let mut world = World::new(None).await;
    let _wire = world.site.wire();
    world.site.enroll("00012f", SAFE, DURESS);
    let journal = world.site.path("store/journal");
    std::fs::create_dir_all(&journal).expect("the folder");
    std::fs::create_dir(journal.join("00000000.seg")).expect("a folder where a file should be");
    assert!(!world.site.try_start().await, "it must not start without its journal");
    let log = world.site.log();
    assert!(log.contains("00000000.seg") && log.contains("directory"), "{log}");
}

#[tokio::test]
async fn a_damaged_journal_is_told_and_the_rest_goes_on() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.broker_away();
    world.site.start().await;
    for _ in 0..5 {
        answered(&world, &mut wire, &mut pendant).await;
    }
    world.site.kill_9();
    let segment = world.site.path("store/journal/00000000.seg");
    let mut bytes = std::fs::read(&segment).expect("the first segment");
    bytes[3 * 512..4 * 512].fill(0xA5);
    std::fs::write(&segment, bytes).expect("the segment damaged");
    world.site.start().await;
    let status = world.site.status().expect("it answers");
    assert_eq!(status["counters"]["journal_frames_damaged"], 1);
    assert!(world.site.log().contains("journal is damaged"), "{}", world.site.log());
    answered(&world, &mut wire, &mut pendant).await;
}

fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

fn cpu_ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("proc");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<u64>().expect("a number");
    ticks(11) + ticks(12)
}
