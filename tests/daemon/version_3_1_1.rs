//! The real daemon at a broker that speaks MQTT 3.1.1, which acknowledges what it drops.

use crate::brokers::press;
use crate::end_to_end::{World, next_of};
use crate::pendant::*;
use rustix::process::{Pid, Signal, kill_process};

/// What a gateway may do here besides publishing events.
const SILENCED: &str = "topic readwrite lonework/v1/ward-3/gw1/state\n\
                        topic readwrite lonework/v1/ward-3/gw1/receipt\n\
                        topic readwrite lonework/v1/ward-3/gw1/command\n\
                        topic readwrite lonework/v1/ward-3/gw1/answer\n\
                        topic read lonework/#\n";

#[tokio::test]
async fn what_the_broker_dropped_without_a_word_comes_again_until_it_is_receipted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = folder.path().join("rules");
    std::fs::write(&rules, SILENCED).expect("rules");
    let mut world = World::new(Some(&rules)).await;
    world.site.configure("mqtt = \"3.1.1\"\n");
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut centre = world.centre();
    world.site.start().await;
    world.site.until("connected", |s| s["brokers"][0]["connected"] == true).await;
    let counter = press(&mut wire, &mut pendant).await;
    // The broker answered the publish, and nobody has the event.
    let told = |_: &serde_json::Value| world.site.log().contains("the centre does not receipt");
    let silent = world.site.until("it is told that no receipt comes", told).await;
    assert!(silent["backlog"].as_u64() > Some(0), "kept: {silent}");
    assert_eq!(silent["counters"]["publishes_refused"], 0, "it cannot know");

    let open = format!("{SILENCED}topic readwrite lonework/#\n");
    std::fs::write(&rules, open).expect("rules");
    let broker = world.mosquitto.as_ref().expect("it runs").process();
    let broker = i32::try_from(broker).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(broker, Signal::HUP).expect("it reads its rules again");
    let event = loop {
        let event = next_of(&mut centre, "panic").await;
        if event.data.counter == Some(counter) {
            break event;
        }
    };
    assert!(event.data.replayed, "{event:?}");
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
}
