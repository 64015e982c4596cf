//! The network dies without a word under the real daemon: that is found in time,
//! presses are answered meanwhile, and all arrives when it is back. In the ordinary
//! run the network is a proxy; the long mode takes a network namespace as well,
//! whose cable is pulled (that needs root).

use crate::end_to_end::{World, next_of};
use crate::load::is_long;
use crate::pendant::*;
use crate::site::hear;
use pendant_kit::line::Line;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// As the site's configuration says.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What a busy machine and the asking for the status may add.
const SLACK: Duration = Duration::from_millis(1_500);

/// A network namespace with one cable to this one.
struct Namespace {
    name: String,
    cable: String,
    here: Ipv4Addr,
}

impl Namespace {
    fn new() -> Self {
        let process = std::process::id();
        let name = format!("pendant-{process}");
        let (cable, end) = (format!("pg{process}a"), format!("pg{process}b"));
        let third = u8::try_from(process % 250).expect("below 250");
        let (here, there) = (Ipv4Addr::new(10, 231, third, 1), Ipv4Addr::new(10, 231, third, 2));
        let namespace = Self { name, cable, here };
        let (name, cable) = (&namespace.name, &namespace.cable);
        ip(&format!("netns add {name}"));
        ip(&format!("link add {cable} type veth peer name {end} netns {name}"));
        ip(&format!("addr add {here}/30 dev {cable}"));
        ip(&format!("link set {cable} up"));
        ip(&format!("-n {name} addr add {there}/30 dev {end}"));
        ip(&format!("-n {name} link set {end} up"));
        namespace
    }

    fn plugged(&self, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        ip(&format!("link set {} {state}", self.cable));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The cable goes with it.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(words: &str) {
    let done = Command::new("ip").args(words.split(' ')).status();
    let done = done.expect("ip is missing: install the Debian package iproute2");
    assert!(done.success(), "ip {words}: namespaces need root");
}

async fn found_and_left_behind(namespace: Option<Namespace>) {
    let mut world = World::new(None).await;
    let broker = SocketAddr::from((Ipv4Addr::LOCALHOST, world.site.broker.port));
    let mut centre = world.centre();
    let here = namespace.as_ref().map_or(Ipv4Addr::LOCALHOST, |namespace| namespace.here);
    let line = Line::start_at(here, broker).expect("a line");
    world.site.broker.host = here.to_string();
    world.site.broker.port = line.port();
    world.site.configure("server_name = \"localhost\"\n");
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    if let Some(namespace) = &namespace {
        world.site.wrapper = ["ip", "netns", "exec", &namespace.name].map(str::to_owned).to_vec();
    }
    let dead = |dead: bool| match &namespace {
        Some(namespace) => namespace.plugged(!dead),
        None => line.black(dead),
    };
    world.site.start().await;
    for _ in 0..if is_long() { 3 } else { 1 } {
        world.site.until("connected", |s| s["brokers"][0]["connected"] == true).await;
        dead(true);
        let died = Instant::now();
        wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
        let (answer, _) = hear(&mut wire).await;
        assert!(pendant.hear(&answer, pendant.counter).is_some(), "answered from the journal");
        world.site.until("found", |s| s["brokers"][0]["connected"] == false).await;
        let found = died.elapsed();
        assert!(found < KEEP_ALIVE * 3 / 2 + SLACK, "found after {found:?}");
        dead(false);
        while next_of(&mut centre, "panic").await.data.counter != Some(pendant.counter) {}
    }
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    assert!(world.site.log().contains("the line to the broker is dead"), "{}", world.site.log());
}

#[tokio::test]
async fn a_dead_network_is_found_in_time_and_nothing_is_lost() {
    found_and_left_behind(None).await;
    if is_long() {
        found_and_left_behind(Some(Namespace::new())).await;
    }
}
