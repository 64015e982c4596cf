//! Broker away, daemon killed: nothing that was acknowledged is lost.

use crate::end_to_end::{World, next_of};
use crate::pendant::*;
use crate::site::{SOON, hear};
use std::collections::BTreeSet;

#[tokio::test]
async fn a_thousand_events_stored_offline_survive_kill_9() {
    let mut world = World::new("").await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.broker_away();
    world.site.start().await;
    for n in 0..1_000 {
        let body = if n % 100 == 0 { PANIC } else { HEARTBEAT };
        wire.send(&pendant.say(body)).await.expect("the wire holds");
        if n == 500 {
            let heard = |s: &serde_json::Value| s["counters"]["frames_heard"] == 501;
            world.site.until("501 frames heard", heard).await;
        }
    }
    // The last answer proves that the last frame is durable, and so all before it.
    let mut answered = false;
    while !answered {
        let (answer, _) = hear(&mut wire).await;
        answered = pendant.clone().hear(&answer, pendant.counter).is_some();
    }
    world.site.kill_9();
    world.site.start().await;
    let stored = world.site.status().expect("it answers")["backlog"].as_u64().expect("a count");
    assert!(stored >= 1_000, "{stored} events in store");

    let mut centre = world.centre();
    world.broker_back().await;
    let mut counters = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut routine = Vec::new();
    while counters.len() < 1_000 {
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
    let mut world = World::new("").await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut centre = world.centre();
    world.site.start().await;
    for round in 0..3 {
        world.site.until("broker connected", |s| s["broker"]["connected"] == true).await;
        world.broker_away();
        for _ in 0..50 {
            wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
        }
        let heard = move |s: &serde_json::Value| s["counters"]["frames_heard"] == 50 * (round + 1);
        world.site.until("frames heard", heard).await;
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
    let more: &'static str = Box::leak(
        format!("acl_file {}\nallow_anonymous true", rules.path().display()).into_boxed_str(),
    );
    let mut world = World::new(more).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut centre = world.centre();
    world.site.start().await;
    world.site.until("broker connected", |s| s["broker"]["connected"] == true).await;
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
