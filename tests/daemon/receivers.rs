//! Several receivers on one gateway, and a gateway that leaves the first window to
//! another one: the real daemon on pseudo terminals that keep the time.

use crate::end_to_end::{World, next_of};
use crate::mosquitto::free_port;
use crate::pendant::*;
use crate::site::{SOON, hear};
use pendant_hal::concentrator::Eui;
use pendant_hal::serial::envelope::{Envelope, Rx, Tx};
use pendant_hal::sim::forwarder::Forwarder;
use pendant_kit::wire::Wire;
use pendant_protocol::{FrameBytes, Outcome};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// A receiver that says how well it heard, at this name in the folder.
pub(crate) fn receiver(folder: &Path, name: &str) -> String {
    format!(
        "[[link]]\nname = \"{name}\"\nkind = \"serial\"\npath = \"{}\"\nbaud = 115200\n\
         codec = \"cobs\"\nenvelope = true\n",
        folder.join(name).display()
    )
}

/// Two receivers beside the site's own.
fn near_and_far(folder: &Path) -> String {
    ["far", "near"].map(|name| receiver(folder, name)).concat()
}

pub(crate) async fn heard_by(wire: &mut Wire, frame: &FrameBytes, snr_db: i8) {
    let rx = Rx { age_us: 0, rssi_dbm: -97, snr_quarter_db: snr_db * 4, frame: frame.to_vec() };
    wire.send(&Envelope::Rx(rx).to_bytes()).await.expect("the wire holds");
}

pub(crate) async fn asked_to_send(wire: &mut Wire) -> (Tx, Instant) {
    loop {
        let packet = tokio::time::timeout(SOON, wire.receive()).await.expect("a packet in time");
        let (packet, at) = packet.expect("the wire holds");
        if let Some(Envelope::Tx(tx)) = Envelope::parse(&packet) {
            return (tx, at);
        }
    }
}

#[tokio::test]
async fn a_press_that_two_receivers_hear_is_one_event_and_the_better_one_answers() {
    let mut world = World::new(None).await;
    world.site.configure(&near_and_far(world.site.folder.path()));
    let port = |name: &str| Wire::pty(Some(&world.site.path(name))).expect("a pseudo terminal").0;
    let (mut far, mut near) = (port("far"), port("near"));
    let _bare = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut centre = world.centre();
    world.site.start().await;
    let all_up = |s: &serde_json::Value| (0..3).all(|n| s["links"][n]["up"] == true);
    world.site.until("all receivers up", all_up).await;

    for better_first in [false, true] {
        let frame = pendant.say(PANIC);
        if better_first {
            heard_by(&mut near, &frame, 6).await;
            heard_by(&mut far, &frame, -12).await;
        } else {
            heard_by(&mut far, &frame, -12).await;
            heard_by(&mut near, &frame, 6).await;
        }
        let (tx, _) = asked_to_send(&mut near).await;
        let answer: FrameBytes = tx.frame.try_into().expect("24 bytes");
        let heard = pendant.hear(&answer, pendant.counter).expect("a genuine answer");
        assert_eq!(heard.outcome, Outcome::Noted);
        next_of(&mut centre, "panic").await;
    }
    let status = world.site.until("all released", |s| s["backlog"] == 0).await;
    assert_eq!(status["counters"]["frames_heard"], 2);
    assert_eq!(status["counters"]["frames_heard_beside"], 2);
    assert_eq!(status["counters"]["frames_heard_again"], 0);
    // What went to the other one would have come first.
    let silent = tokio::time::timeout(Duration::from_millis(1), far.receive()).await;
    assert!(silent.is_err(), "both receivers were asked to send");
    assert!(centre.missing().is_empty());
}

#[tokio::test]
async fn a_secondary_leaves_the_first_window_to_the_primary() {
    let mut world = World::new(None).await;
    let path = world.site.path("gateway.toml");
    let text = std::fs::read_to_string(&path).expect("the configuration");
    std::fs::write(&path, format!("downlink_role = \"secondary\"\n{text}")).expect("written");
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.site.start().await;
    let sent = wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    let (answer, heard_at) = hear(&mut wire).await;
    assert!(pendant.hear(&answer, pendant.counter).is_some());
    assert!(heard_at - sent >= Duration::from_millis(1_999), "{:?}", heard_at - sent);
}

/// A concentrator hears eight channels at every speed; a pendant is answered at its own.
#[tokio::test]
async fn a_press_that_a_concentrator_heard_is_answered_through_its_forwarder() {
    let mut world = World::new(None).await;
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let more = format!(
        "[[link]]\nname = \"roof\"\nkind = \"concentrator\"\nlisten = \"{server}\"\n\
         eui = \"AA:55:5A:00:00:00:01:01\"\nregion = \"US915\"\npower_dbm = 20\n"
    );
    world.site.configure(&(more + &near_and_far(world.site.folder.path())));
    let _bare = world.site.wire();
    let mut far = Wire::pty(Some(&world.site.path("far"))).expect("a pseudo terminal").0;
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut centre = world.centre();
    world.site.start().await;
    let eui = Eui([0xAA, 0x55, 0x5A, 0, 0, 0, 1, 1]);
    let mut forwarder = Forwarder::start(server, eui, u32::MAX - 500_000).await.expect("a port");
    forwarder.pull().await.expect("the daemon answers");
    world
        .site
        .until("both up", |s| s["links"][1]["up"] == true && s["links"][2]["up"] == true)
        .await;
    // Also when another receiver heard it before, but not as well: an answer through
    // the forwarder counts from the concentrator's own stamp.
    for (spreading_factor, first_by_far) in [(7, false), (10, false), (9, true)] {
        let signal = pendant_hal::Signal {
            rssi_dbm: Some(-101),
            snr_quarter_db: Some(-20),
            frequency_hz: Some(868_300_000),
            spreading_factor: Some(spreading_factor),
            ..Default::default()
        };
        let frame = pendant.say(PANIC);
        if first_by_far {
            heard_by(&mut far, &frame, -18).await;
            next_of(&mut centre, "panic").await;
        }
        let stamp = forwarder.counter(Instant::now());
        forwarder.push(stamp, &signal, &frame).await.expect("acknowledged");
        let asked = tokio::time::timeout(SOON, forwarder.next_downlink()).await.expect("in time");
        let downlink = asked.expect("a downlink").expect("asked for in time");
        assert_eq!(downlink.tmst_us, stamp.wrapping_add(1_000_000));
        // With several receivers it is held until then (src/engine/downlinks.rs).
        assert!(downlink.tmst_us.wrapping_sub(downlink.asked_us) > 250_000);
        assert_eq!(downlink.txpk["datr"], format!("SF{spreading_factor}BW125"));
        let answer: FrameBytes = downlink.bytes.try_into().expect("24 bytes");
        assert!(pendant.hear(&answer, pendant.counter).is_some());
        if !first_by_far {
            next_of(&mut centre, "panic").await;
        }
    }
}
