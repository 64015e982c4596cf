//! `kill -9` at random moments under load: what was acknowledged arrives, one
//! press has one id, and the numbers have no hole.
//!
//! `SEED=n` replays the load and the moments, as far as a scheduler allows;
//! `KILLS=n` sets how many.

use crate::dice::Dice;
use crate::end_to_end::World;
use crate::ledger::Ledger;
use crate::load::{Load, is_long, seed};
use crate::mosquitto::Subscriber;
use crate::pendant::*;
use crate::site::{SOON, hear};
use std::collections::BTreeSet;
use std::time::Duration;

const PENDANTS: u32 = 40;

#[tokio::test]
async fn what_was_acknowledged_survives_kills_at_random_moments() {
    let kills = match std::env::var("KILLS") {
        Ok(text) => text.parse().expect("KILLS is a number"),
        Err(_) if is_long() => 250,
        Err(_) => 20,
    };
    let seed = seed(4);
    let mut dice = Dice(seed);
    let mut world = World::new(None).await;
    let load = Load::start(&world.site, PENDANTS, &mut dice);
    let who = world.authority.issue("books", &[], crate::mosquitto::VALID);
    let mosquitto = world.mosquitto.as_mut().expect("it runs");
    let mut books =
        Subscriber::start(mosquitto, &world.authority, &who, "lonework/v1/ward-3/gw1/event/+")
            .await;
    let mut centre = world.centre();
    let receipting = tokio::spawn(async move { while centre.next().await.is_some() {} });

    let mut while_starting = 0;
    for _ in 0..kills {
        world.site.spawn();
        // Not a wait for anything: the moment of the kill is the dice's.
        tokio::time::sleep(moment(&mut dice)).await;
        while_starting += u32::from(!world.site.path("control.sock").exists());
        world.site.kill_9();
        // The next start's socket, not this one's.
        drop(std::fs::remove_file(world.site.path("control.sock")));
    }
    world.site.start().await;
    let acknowledged = load.finish().await;
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;

    let mut ledger = Ledger::default();
    while let Some((_, topic, payload)) = books.try_next() {
        ledger.hear(&topic, &payload);
    }
    while !ledger.judge(&acknowledged).is_empty() {
        let Ok((_, topic, payload)) = tokio::time::timeout(SOON / 2, books.next()).await else {
            break;
        };
        ledger.hear(&topic, &payload);
    }
    let wrong = ledger.judge(&acknowledged);
    assert_eq!(wrong, Vec::<String>::new(), "seed {seed}, log:\n{}", world.site.log());
    let pressed: BTreeSet<_> = acknowledged.iter().map(|press| &press.pendant).collect();
    println!(
        "seed {seed}: {kills} kills ({while_starting} while starting), {} presses of {} pendants \
         acknowledged, {:?}",
        acknowledged.len(),
        pressed.len(),
        ledger.counts()
    );
    assert!(acknowledged.len() > kills, "there was load: {}", acknowledged.len());
    assert_eq!(world.site.log().matches("panicked").count(), 0, "{}", world.site.log());
    receipting.abort();
}

/// How long a life lasts: some end in the start, when the journal is read; some
/// last until releases are written.
fn moment(dice: &mut Dice) -> Duration {
    match dice.below(10) {
        0..2 => dice.ms(0, 150),
        2..9 => dice.ms(150, 2_500),
        _ => dice.ms(5_000, 6_500),
    }
}

/// A failing supply, or a service that is restarted over and over.
#[tokio::test]
async fn a_loop_of_starts_and_kills_does_not_use_the_store_up() {
    let mut world = World::new(None).await;
    world.site.journal_mib_max = 16;
    world.site.configure("");
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    for _ in 0..40 {
        world.site.spawn();
        // What the gateway says of its start is durable, or nearly.
        world.site.until("it answers", |_| true).await;
        world.site.kill_9();
    }
    world.site.start().await;
    wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    let heard = tokio::time::timeout(SOON / 3, hear(&mut wire)).await;
    let (answer, _) = heard.unwrap_or_else(|_| panic!("no answer:\n{}", world.site.log()));
    assert!(pendant.hear(&answer, pendant.counter).is_some());
    assert!(!world.site.log().contains("no room"), "{}", world.site.log());
}
