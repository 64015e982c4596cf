//! Enrolments that change, or are damaged, while the daemon starts or runs.

use crate::end_to_end::{World, next_of};
use crate::mosquitto::VALID;
use crate::pendant::*;
use crate::site::{SOON, hear};
use pendant_kit::centre::{Ask, Centre, CentreSettings, Detail, Heard, News};
use pendant_protocol::Outcome;
use rustix::fs::{FlockOperation, flock};
use serde_json::json;
use std::fs;
use std::time::Duration;

#[tokio::test]
async fn whose_file_is_damaged_is_heard_on_when_another_is_enrolled() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.site.start().await;
    let answered = async |wire: &mut _, pendant: &mut Pendant, body, outcome| {
        let frame = pendant.say(body);
        pendant_kit::wire::Wire::send(wire, &frame).await.expect("the wire holds");
        let (answer, _) = hear(wire).await;
        let message = pendant.hear(&answer, pendant.counter).expect("a genuine answer");
        assert_eq!(message.outcome, outcome);
    };
    // The first frame of an enrolment proves nothing.
    answered(&mut wire, &mut pendant, HEARTBEAT, Outcome::Noted).await;
    answered(&mut wire, &mut pendant, start(30), Outcome::SessionStarted).await;
    let file = world.site.path("store/keyring/00012f.enrolment");
    let mut bytes = fs::read(&file).expect("its enrolment");
    bytes[30] ^= 1;
    fs::write(&file, bytes).expect("ours");
    world.site.enroll("000130", "1470", "8632");
    world.site.until("both are known", |s| s["pendants"] == 2).await;
    assert!(world.site.log().contains("00012f.enrolment is damaged"), "{}", world.site.log());
    // Its session goes on, and is ended by its PIN.
    answered(&mut wire, &mut pendant, pin(SAFE), Outcome::Ended).await;
    // Revoked it is unknown, damaged or not.
    let revoked = world.site.command(&["revoke", "00012f"]).output().expect("it runs");
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    world.site.until("the other is left", |s| s["pendants"] == 1).await;
}

#[tokio::test]
async fn whose_file_is_damaged_at_the_start_is_told_to_the_centre() {
    let mut world = World::new(None).await;
    world.site.enroll("00012f", SAFE, DURESS);
    let file = world.site.path("store/keyring/00012f.enrolment");
    fs::write(file, "LWE2, and no more").expect("ours");
    let mut centre = world.centre();
    world.site.start().await;
    let told = next_of(&mut centre, "enrolment_unreadable").await;
    let Some(Detail::Other(detail)) = told.data.detail else { panic!("it says whose") };
    assert_eq!(detail["unreadable"], json!({ "enrolments": 1, "pendants": ["00012f"] }));
}

#[tokio::test]
async fn who_is_enrolled_while_the_gateway_starts_is_known_to_it() {
    let mut world = World::new(None).await;
    // Between the reading of the keyring and the socket a long journal can be read: here
    // the kernel takes its time for the socket's name.
    let late = "inject=bind:delay_enter=4000000:when=1";
    world.site.wrapper = ["strace", "-f", "-e", "trace=bind", "-e", late, "-o"]
        .iter()
        .map(|word| (*word).to_owned())
        .chain([world.site.path("trace").display().to_string()])
        .collect();
    world.site.spawn();
    let journal = world.site.path("store/journal");
    while !journal.exists() {
        tokio::task::yield_now().await;
    }
    world.site.enroll("00012f", SAFE, DURESS);
    assert!(world.site.status().is_none(), "it was not there to be told");
    world.site.until("it is known", |s| s["pendants"] == 1).await;
}

/// A command that somebody has stopped keeps the keyring to itself for as long as he likes.
#[tokio::test]
async fn who_holds_the_keyring_holds_nobody_up() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let who = world.authority.issue("centre", &[], VALID);
    let mut centre = Centre::start(CentreSettings {
        message_interval: Some(Duration::from_millis(50)),
        ..CentreSettings::new(
            "localhost",
            world.site.broker.port,
            "centre",
            world.authority.client_tls(&who),
        )
    });
    world.site.start().await;
    next_of(&mut centre, "gateway_started").await;
    let held = fs::File::open(world.site.path("store/keyring")).expect("it is there");
    flock(&held, FlockOperation::LockExclusive).expect("free");
    let ask = Ask::Rebind { pendant: "00012f".into(), wearer: "a.silva".into() };
    let id = centre.command("ward-3", "gw1", &ask, None).expect("it is taken");
    let answered = async {
        loop {
            let Some(News::Heard(Heard::Answer { answer, .. })) = centre.next().await else {
                continue;
            };
            if answer.results.iter().any(|result| result.id.as_ref() == Some(&id)) {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, answered).await.expect("the centre is answered in time");
    wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    hear(&mut wire).await;
    assert_eq!(next_of(&mut centre, "panic").await.data.wearer.as_deref(), Some("nurse-7"));
    drop(held);
    let handed_over = async {
        loop {
            wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
            hear(&mut wire).await;
            if next_of(&mut centre, "panic").await.data.wearer.as_deref() == Some("a.silva") {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, handed_over).await.expect("the order is carried out in time");
}
