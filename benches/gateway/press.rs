//! How long a press takes to the centre: with an empty queue, and with a backlog
//! that drains.

use crate::Outcome;
use crate::backlog;
use crate::broker::Broker;
use crate::mqtt::{From, Publisher, Subscriber, bare_gateway};
use crate::site::{AS_SHIPPED, Site, UNPACED};
use crate::stats::{SOON, median, now, percentile, print, print_noise, us};
use pendant_kit::wire::Wire;
use pendant_protocol::FRAME_BYTES;
use std::fs::File;
use std::io::Read;
use std::sync::mpsc;

const ROUNDS: usize = 80;
const PRESSES: usize = 50;
/// As P7 promises.
const BACKLOG: usize = 1_000_000;
/// Most presses while it drains: a slow drain outlasts them.
const OVERTAKING_MAX: usize = 4_000;

pub(crate) fn to_centre() -> Outcome {
    let broker = Broker::start()?;
    let mut subscriber = Subscriber::start(&broker)?;
    let publisher = Publisher::start(&broker)?;
    let mut site = Site::new(&broker, broker.port, UNPACED)?;
    site.start()?;
    subscriber.next(From::Trouble)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut wire, port) = runtime.block_on(async { Wire::pty(None) })?;
    bare_gateway(&broker, &port)?;
    let mut bare_press = |subscriber: &mut Subscriber| -> Outcome<f64> {
        let begun = now();
        runtime.block_on(wire.send(&[0x5A; FRAME_BYTES]))?;
        Ok(us(subscriber.next(From::Floor)? - begun))
    };
    let (mut ours, mut bare, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    // The first round warms all up and does not count.
    for round in 0..=ROUNDS {
        let (mut our, mut least, mut floor) = (Vec::new(), Vec::new(), Vec::new());
        // Each a millisecond after the one before, so that no sync of that is under way; the
        // floors as well, since cores that have fallen asleep take longer.
        for _ in 0..PRESSES {
            our.push(press(&mut site, &mut subscriber)?);
            site.clear_wire();
        }
        for _ in 0..PRESSES {
            least.push(bare_press(&mut subscriber)?);
            site.clear_wire();
        }
        for _ in 0..PRESSES {
            let begun = publisher.publish(1)?;
            floor.push(us(subscriber.next(From::Floor)? - begun));
            site.clear_wire();
        }
        if round > 0 {
            ours.push(our);
            bare.push(least);
            floors.push(floor);
        }
    }
    let noise: Vec<f64> = floors.iter().map(|floor| median(floor)).collect();
    print_noise("bare publisher, medians", &noise, "us");
    let (over_floor, over_bare) = (ratios(&ours, &floors), ratios(&ours, &bare));
    let (ours, bare, floors) = (ours.concat(), bare.concat(), floors.concat());
    print("press_to_centre.p50_ratio", median(&over_floor), "x");
    print("press_to_centre.p99_ratio", percentile(&ours, 99) / percentile(&floors, 99), "x");
    print("press_to_centre.over_bare_gateway.p50_ratio", median(&over_bare), "x");
    let over_bare_p99 = percentile(&ours, 99) / percentile(&bare, 99);
    print("press_to_centre.over_bare_gateway.p99_ratio", over_bare_p99, "x");
    for (what, values) in [("", &ours), ("bare_gateway_", &bare), ("floor_", &floors)] {
        print(&format!("press_to_centre.{what}p50_us"), median(values), "us");
        print(&format!("press_to_centre.{what}p99_us"), percentile(values, 99), "us");
    }
    print("press_to_centre.terminal_p50_us", median(&terminal()?), "us");
    Ok(())
}

/// Of each round, the medians' ratio.
fn ratios(ours: &[Vec<f64>], floors: &[Vec<f64>]) -> Vec<f64> {
    ours.iter().zip(floors).map(|(our, floor)| median(our) / median(floor)).collect()
}

/// What the kernel's pseudo terminal takes of it: a frame's bytes from one end to a
/// thread that reads at the other.
fn terminal() -> Outcome<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut wire, path) = runtime.block_on(async { Wire::pty(None) })?;
    let mut port = File::open(path)?;
    let (sender, read) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        while port.read(&mut bytes).is_ok_and(|length| length > 0) && sender.send(now()).is_ok() {}
    });
    let mut times = Vec::new();
    for _ in 0..ROUNDS * PRESSES {
        let begun = now();
        runtime.block_on(wire.send(&[0x5A; FRAME_BYTES]))?;
        times.push(us(read.recv_timeout(SOON)? - begun));
    }
    Ok(times)
}

/// Presses while a backlog drains, over as many while there is none: as fast as the
/// line takes it, and at the rate of the shipped configuration.
pub(crate) fn overtake() -> Outcome {
    let broker = Broker::start()?;
    overtake_at(&broker, AS_SHIPPED, "overtake")?;
    overtake_at(&broker, UNPACED, "overtake.unpaced")
}

fn overtake_at(broker: &Broker, drain_per_s_max: u32, name: &str) -> Outcome {
    let mut subscriber = Subscriber::start(broker)?;
    let mut site = Site::new(broker, broker.port, drain_per_s_max)?;
    backlog::make(&mut site, BACKLOG)?;
    site.start()?;
    subscriber.next(From::Routine)?;
    let mut during = Vec::new();
    while subscriber.routine < BACKLOG && during.len() < OVERTAKING_MAX {
        if during.len() % PRESSES == 0 {
            site.clear_wire();
        }
        during.push(press(&mut site, &mut subscriber)?);
    }
    if subscriber.routine == BACKLOG {
        // The backlog was gone before the last one came.
        during.pop();
    }
    site.stop()?;
    let mut site = Site::new(broker, broker.port, drain_per_s_max)?;
    site.start()?;
    let mut idle = Vec::new();
    for n in 0..during.len() {
        if n % PRESSES == 0 {
            site.clear_wire();
        }
        idle.push(press(&mut site, &mut subscriber)?);
    }
    println!("# {name}: {} presses while {BACKLOG} events drained, as many without", during.len());
    let print = |figure: &str, value, unit| print(&format!("{name}.{figure}"), value, unit);
    print("p99_ratio", percentile(&during, 99) / percentile(&idle, 99), "x");
    print("p50_ratio", median(&during) / median(&idle), "x");
    print("p99_us", percentile(&during, 99), "us");
    print("idle_p99_us", percentile(&idle, 99), "us");
    Ok(())
}

fn press(site: &mut Site, subscriber: &mut Subscriber) -> Outcome<f64> {
    let begun = site.press()?;
    Ok(us(subscriber.next(From::Urgent)? - begun))
}
