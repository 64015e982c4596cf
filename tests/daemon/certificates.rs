//! Certificates that are renewed while pendants press, and ones that near their end.

use crate::clerk::Books;
use crate::dice::Dice;
use crate::end_to_end::World;
use crate::load::{Load, seed};
use crate::mosquitto::{Identity, Subscriber, VALID, replace};
use crate::site::{SOON, Site};
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The longest time without an event that a renewal may cost.
const GAP_MAX: Duration = Duration::from_secs(5);
const PENDANTS: u32 = 12;

/// As `systemctl reload` does it.
fn reload(site: &Site) {
    let process = i32::try_from(site.process()).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(process.expect("a process"), rustix::process::Signal::HUP)
        .expect("it can be told");
}

fn broker(status: &Value) -> &Value {
    &status["brokers"][0]
}

fn has_no_trouble(status: &Value) -> bool {
    broker(status)["certificate_trouble"].is_null()
}

/// The longest pause between two events that the broker hands out.
async fn longest_pause(mut onlooker: Subscriber, mut stop: watch::Receiver<bool>) -> Duration {
    let (mut longest, mut last) = (Duration::ZERO, None::<Instant>);
    loop {
        tokio::select! {
            _ = onlooker.next() => {
                let now = Instant::now();
                longest = longest.max(last.map_or(Duration::ZERO, |last| now - last));
                last = Some(now);
            }
            _ = stop.wait_for(|stop| *stop) => return longest,
        }
    }
}

async fn more_answers(load: &Load, site: &Site) {
    let (before, give_up) = (load.answered(), Instant::now() + SOON);
    while load.answered() < before + PENDANTS as usize {
        assert!(Instant::now() < give_up, "nobody is answered:\n{}", site.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The key of another in the place of our own, and then our own again: the line stays.
async fn try_the_key_of_another(world: &World, load: &Load, place: &Identity) {
    let site = &world.site;
    let other = world.authority.issue("gw2", &[], VALID);
    let own_key = site.path("own.key");
    std::fs::copy(&place.key, &own_key).expect("it can be copied");
    replace(&other.key, &place.key);
    reload(site);
    let refused = |s: &Value| broker(s)["certificate_trouble"].is_string();
    let status = site.until("the wrong key is told", refused).await;
    let trouble = broker(&status)["certificate_trouble"].as_str().expect("just looked");
    assert!(trouble.contains("does not belong to the client certificate"), "{trouble}");
    assert_eq!(
        (&broker(&status)["connected"], &broker(&status)["connections"]),
        (&true.into(), &4.into())
    );
    more_answers(load, site).await;
    // Our own, but open to all: the next start would refuse it, so it is told now.
    let open = site.path("open.key");
    std::fs::copy(&own_key, &open).expect("it can be copied");
    std::fs::set_permissions(&open, Permissions::from_mode(0o644)).expect("its rights set");
    std::fs::rename(open, &place.key).expect("one file system");
    reload(site);
    let is_open = |s: &Value| {
        broker(s)["certificate_trouble"].as_str().is_some_and(|text| text.contains("chmod 600"))
    };
    site.until("the open key is told", is_open).await;
    more_answers(load, site).await;
    std::fs::set_permissions(&place.key, Permissions::from_mode(0o600)).expect("its rights set");
    reload(site);
    site.until("the right key is back", has_no_trouble).await;
}

/// One that ends within 7 days, and its successor.
async fn live_through_a_near_end(world: &World, load: &Load, place: &Identity) {
    let site = &world.site;
    world.authority.issue_for("gw1-short", 6).replace(place);
    reload(site);
    let ending = |s: &Value| {
        broker(s)["certificate_trouble"].as_str().is_some_and(|text| text.contains("within 7 days"))
    };
    site.until("the end is told", ending).await;
    more_answers(load, site).await;
    world.authority.issue("gw1-last", &[], VALID).replace(place);
    reload(site);
    site.until("the successor is in use", has_no_trouble).await;
    more_answers(load, site).await;
}

#[tokio::test]
async fn certificates_are_renewed_under_presses_without_loss_and_without_a_gap() {
    let mut dice = Dice(seed(7));
    let mut world = World::new(None).await;
    let load = Load::start(&world.site, PENDANTS, &mut dice);
    let books = Books::default();
    let _clerk = books.listen(world.site.broker.port, &world.authority);
    world.site.start().await;
    world.site.until("broker connected", |s| broker(s)["connected"] == true).await;
    let place = Identity {
        certificate: world.site.broker.certificate.clone(),
        key: world.site.broker.key.clone(),
    };
    let who = world.authority.issue("onlooker", &[], VALID);
    let mosquitto = world.mosquitto.as_mut().expect("it runs");
    let filter = "lonework/v1/ward-3/gw1/event/+";
    let onlooker = Subscriber::start(mosquitto, &world.authority, &who, filter).await;
    let (stop, stopped) = watch::channel(false);
    let watching = tokio::spawn(longest_pause(onlooker, stopped));
    more_answers(&load, &world.site).await;

    let site = &world.site;
    // The first is found by itself.
    for number in 1..4_u64 {
        world.authority.issue(&format!("gw1-{number}"), &[], VALID).replace(&place);
        if number > 1 {
            reload(site);
        }
        let renewed =
            |s: &Value| broker(s)["connections"] == number + 1 && broker(s)["connected"] == true;
        site.until("the new one is in use", renewed).await;
        more_answers(&load, site).await;
    }

    try_the_key_of_another(&world, &load, &place).await;
    live_through_a_near_end(&world, &load, &place).await;

    let acknowledged = load.finish().await;
    let wrong = books.judge(&acknowledged).await;
    assert_eq!(wrong, Vec::<String>::new(), "log:\n{}", world.site.log());
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    let told = ["refused", "accepted", "ending", "renewed", "ended"]
        .map(|what| books.count_of(&format!("certificate_{what}")));
    // Another's key, and then our own for all to read.
    assert_eq!(told, [2, 1, 1, 1, 0], "log:\n{}", world.site.log());
    stop.send_replace(true);
    let gap = watching.await.expect("it watches");
    println!(
        "{} presses answered, longest pause {gap:?}, {:?}",
        acknowledged.len(),
        books.counts()
    );
    assert!(gap < GAP_MAX, "{gap:?}");
    assert!(world.site.terminate().success());
}
