//! Two gateways of one site, each the real daemon, hear one pendant; a desk
//! (`pendant-kit watch`) behind mosquitto puts together what they make of it.

use crate::desk::Watch;
use crate::end_to_end::World;
use crate::mosquitto::VALID;
use crate::pendant::*;
use crate::receivers::{asked_to_send, heard_by, receiver};
use crate::site::{BrokerFiles, Site};
use pendant_gateway::engine::pin::PinVerifier;
use pendant_gateway::shell::keyring_files::{Existing, KeyringFiles};
use pendant_gateway::shell::store_key::StoreKey;
use pendant_kit::wire::Wire;
use pendant_protocol::{Body, FrameBytes, Outcome};
use serde_json::{Value, json};
use std::fs;

fn with_receiver(site: &Site) -> Wire {
    site.configure(&receiver(site.folder.path(), "lora"));
    Wire::pty(Some(&site.path("lora"))).expect("a pseudo terminal").0
}

fn keyring(site: &Site) -> KeyringFiles {
    let store = site.path("store");
    let key = StoreKey::read_or_make(&store.join("store.key"), &store).expect("a key");
    KeyringFiles::new(&store, &key)
}

/// The same enrolment for a second gateway, which does not know the new duress PIN yet.
fn hand_on(pendant: &Pendant, from: &Site, to: &Site) {
    let mut enrolment = keyring(from).find(pendant.id).expect("enrolled");
    let pendant_gateway::engine::keyring::Secrets::Native { pins, .. } = &mut enrolment.secrets
    else {
        panic!("a native pendant");
    };
    *pins = Some(PinVerifier::new([3; 32], digits(SAFE), digits("1234")));
    keyring(to).write(&enrolment, Existing::Keep).expect("written");
}

async fn exchange(wire: &mut Wire, pendant: &mut Pendant, body: Body, snr_db: i8) -> Outcome {
    let frame = pendant.say(body);
    heard_by(wire, &frame, snr_db).await;
    answer(wire, pendant).await
}

async fn answer(wire: &mut Wire, pendant: &mut Pendant) -> Outcome {
    let (tx, _) = asked_to_send(wire).await;
    let frame: FrameBytes = tx.frame.try_into().expect("24 bytes");
    pendant.hear(&frame, pendant.counter).expect("a genuine answer").outcome
}

#[tokio::test]
async fn two_daemons_hear_one_duress_pin_and_the_desk_keeps_the_gravest_and_both() {
    let mut world = World::new(None).await;
    let mut near = with_receiver(&world.site);
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let who = world.authority.issue("gw2", &[], VALID);
    let mut second = Site::new(BrokerFiles {
        certificate: who.certificate,
        key: who.key,
        ..world.site.broker.clone()
    });
    let mut far = with_receiver(&second);
    let path = second.path("gateway.toml");
    let text = fs::read_to_string(&path).expect("the configuration");
    let text = text
        .replace("gateway = \"gw1\"", "gateway = \"gw2\"\ndownlink_role = \"secondary\"")
        .replace("slot = 1", "slot = 2");
    fs::write(&path, text).expect("written");
    hand_on(&pendant, &world.site, &second);
    let mut watch = Watch::start(&world, &[]);
    watch.news("up", |_| true).await;
    world.site.start().await;
    second.start().await;
    let is_up = |s: &Value| s["brokers"][0]["connected"] == true && s["links"][1]["up"] == true;
    world.site.until("the first is up", is_up).await;
    second.until("the second is up", is_up).await;

    // Each has an echo of its own; only the first hears the session begin.
    for _ in 0..2 {
        assert_eq!(exchange(&mut far, &mut pendant, HEARTBEAT, -12).await, Outcome::Noted);
    }
    exchange(&mut near, &mut pendant, HEARTBEAT, 6).await;
    assert_eq!(exchange(&mut near, &mut pendant, start(30), 6).await, Outcome::SessionStarted);

    // The second tells first what it takes the digits for, and the desk is restarted.
    let frame = pendant.say(pin(DURESS));
    heard_by(&mut far, &frame, -12).await;
    let light = watch
        .news("event", |it| it["data"]["counter"] == pendant.counter && it["gateway"] == "gw2")
        .await;
    assert!(["wrong_pin", "late_request"].contains(&light["data"]["kind"].as_str().unwrap_or("?")));
    answer(&mut far, &mut pendant).await;
    second.until("receipted", |s| s["backlog"] == 0).await;
    watch.kill().await;
    let mut watch = Watch::start(&world, &[]);
    watch.news("up", |_| true).await;
    heard_by(&mut near, &frame, 6).await;
    let grave = watch.news("event", |it| it["data"]["kind"] == "duress").await;
    assert_eq!((&grave["id"], &grave["change"]), (&light["id"], &json!("opened")));
    assert_eq!(answer(&mut near, &mut pendant).await, Outcome::Ended);

    // A safe PIN that the second heard as one closes nothing.
    exchange(&mut far, &mut pendant, pin(SAFE), -12).await;
    watch.news("event", |it| it["data"]["counter"] == pendant.counter).await;
    watch.says("incidents").await;
    let all = watch.news("incidents", |_| true).await;
    let [incident] = all["incidents"].as_array().expect("a list").as_slice() else {
        panic!("one press, one incident: {all}");
    };
    let alarm = &incident["alarms"][0];
    assert_eq!((&alarm["kind"], &alarm["covert"]), (&json!("duress"), &json!(true)), "{incident}");
    let mut seen: Vec<_> = alarm["sightings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| (it["gateway"].to_string(), it["rssi_dbm"].clone(), it["snr_db"].clone()))
        .collect();
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    let both = [
        ("\"ward-3/gw1\"".to_owned(), json!(-97), json!(6.0)),
        ("\"ward-3/gw2\"".to_owned(), json!(-97), json!(-12.0)),
    ];
    assert_eq!(seen, both);
    assert!(world.site.terminate().success() && second.terminate().success());
}
