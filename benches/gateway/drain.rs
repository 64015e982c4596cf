//! How fast a backlog leaves.

use crate::Outcome;
use crate::backlog;
use crate::broker::Broker;
use crate::mqtt::{From, Publisher, Subscriber, WINDOW};
use crate::site::{Site, UNPACED};
use crate::stats::{median, print, print_noise};

const ROUNDS: usize = 7;
const BACKLOG: usize = 20_000;

pub(crate) fn drain() -> Outcome {
    let broker = Broker::start()?;
    let mut subscriber = Subscriber::start(&broker)?;
    let publisher = Publisher::start(&broker)?;
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut site = Site::new(&broker, broker.port, UNPACED)?;
        backlog::make(&mut site, BACKLOG)?;
        site.start()?;
        ours.push(rate(&mut subscriber, From::Routine)?);
        site.stop()?;
        publisher.publish(BACKLOG)?;
        floors.push(rate(&mut subscriber, From::Floor)?);
    }
    let ratios: Vec<f64> = ours.iter().zip(&floors).map(|(our, floor)| our / floor).collect();
    print_noise(&format!("bare publisher, {WINDOW} in flight"), &floors, "1/s");
    print("drain.events_per_s_ratio", median(&ratios), "x");
    print("drain.events_per_s", median(&ours), "1/s");
    print("drain.floor_events_per_s", median(&floors), "1/s");
    Ok(())
}

/// Events a second at the subscriber, from the first to the last.
fn rate(subscriber: &mut Subscriber, from: From) -> Outcome<f64> {
    let first = subscriber.next(from)?;
    let mut last = first;
    for _ in 1..BACKLOG {
        last = subscriber.next(from)?;
    }
    Ok((BACKLOG - 1) as f64 / (last - first).as_secs_f64())
}
