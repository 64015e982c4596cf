//! Broker away, daemon killed: nothing that was acknowledged is lost.

use crate::end_to_end::{World, next_of};
use crate::pendant::*;
use crate::site::{SOON, hear};
use std::collections::BTreeSet;
use std::time::Duration;

#[tokio::test]
async fn a_thousand_events_stored_offline_survive_kill_9() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.broker_away();
    world.site.start().await;
    for n in 0..1_000 {
        let body = if n % 100 == 0 { PANIC } else { HEARTBEAT };
        wire.send(&pendant.say(body)).await.expect("the wire holds");
        if n % 100 == 99 {
            let heard = move |s: &serde_json::Value| s["counters"]["frames_heard"] == n + 1;
            world.site.until("all frames so far are heard", heard).await;
        }
    }
    // Until the journal has made its files, what is not urgent may find no room at once.
    let kept = |s: &serde_json::Value| s["backlog"].as_u64() >= Some(1_001);
    world.site.until("all have a place in the journal", kept).await;
    // A link holds few answers at a time, so the last frame is said until it is
    // answered. The answer proves that it is durable, and so all before it.
    let last = pendant.say(PANIC);
    let mut answered = false;
    while !answered {
        wire.send(&last).await.expect("the wire holds");
        let listen = async {
            loop {
                let (answer, _) = hear(&mut wire).await;
                if pendant.clone().hear(&answer, pendant.counter).is_some() {
                    return;
                }
            }
        };
        answered = tokio::time::timeout(Duration::from_millis(2_500), listen).await.is_ok();
    }
    world.site.kill_9();
    world.site.start().await;
    let stored = world.site.status().expect("it answers")["backlog"].as_u64().expect("a count");
    assert!(stored >= 1_001, "{stored} events in store");

    let mut centre = world.centre();
    world.broker_back().await;
    let mut counters = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut routine = Vec::new();
    while counters.len() < 1_001 {
        let event = tokio::time::timeout(SOON, centre.next_event()).await;
        let event = event.expect("events in time").expect("the centre goes on");
        if let Some(counter) = event.data.counter {
            assert!(counters.insert(counter), "{counter} came twice under different ids");
            assert!(ids.insert(event.id.to_string()));
            if event.data.lane == "routine" {
                routine.push(counter);
            }
        }
    }
    assert!(routine.is_sorted(), "order is kept within a lane");
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    assert!(centre.missing().is_empty(), "{:?}", centre.missing());
}

#[tokio::test]
async fn a_broker_that_comes_and_goes_gets_everything() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut centre = world.centre();
    world.site.start().await;
    for round in 0..3 {
        world.site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;
        world.broker_away();
        for _ in 0..50 {
            wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
        }
        let heard = move |s: &serde_json::Value| s["counters"]["frames_heard"] == 50 * (round + 1);
        world.site.until("frames heard", heard).await;
        if round == 0 && std::env::var_os("LONG").is_some() {
            // The long mode: the real clock's minute, not a condition.
            tokio::time::sleep(Duration::from_secs(65)).await;
        }
        world.broker_back().await;
    }
    for _ in 0..150 {
        next_of(&mut centre, "panic").await;
    }
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
}

#[tokio::test]
async fn what_mosquitto_refuses_and_hangs_up_on_blocks_nothing_else() {
    let rules = tempfile::NamedTempFile::new().expect("a file");
    // Everybody may read; the gateway may write all but the urgent lane.
    let text = "topic read lonework/#\n\
                topic write lonework/v1/ward-3/gw1/event/routine\n\
                topic write lonework/v1/ward-3/gw1/event/trouble\n\
                topic write lonework/v1/ward-3/gw1/state\n\
                topic write lonework/v1/ward-3/gw1/receipt\n";
    std::fs::write(rules.path(), text).expect("rules");
    let mut world = World::new(Some(rules.path())).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut centre = world.centre();
    world.site.start().await;
    world.site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;
    wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    for _ in 0..20 {
        wire.send(&pendant.say(HEARTBEAT)).await.expect("the wire holds");
    }
    for _ in 0..20 {
        next_of(&mut centre, "heartbeat").await;
    }
    let status = world.site.until("the refusal is counted", |s| {
        s["counters"]["publishes_refused"].as_u64() >= Some(1)
    });
    status.await;
    assert!(world.site.log().contains("does not authorise our topic"), "{}", world.site.log());
    world.site.until("only the refused one is left", |s| s["backlog"] == 1).await;
}
