//! A line that goes dead without a word, and how the uplink comes back.

use crate::courier::{Answered, PATIENCE, Place, deliver};
use crate::support::{Running, URGENT};
use pendant_gateway::shell::uplink::{Awaited, BrokerFault, BrokerSettings};
use pendant_kit::broker::Broker;
use pendant_kit::line::Line;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// As in the settings of these tests.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(1_000);
/// How late a look at the lines, one every 5 ms, may be on a busy machine.
const LOOK_LATE: Duration = Duration::from_millis(100);

fn line(broker: &Broker) -> Line {
    Line::start(SocketAddr::from(([127, 0, 0, 1], broker.port()))).expect("a line")
}

/// How long a line that goes dead `after` so much silence is believed in.
async fn found_after(place: Arc<Place>, after: Duration, with_event: bool) -> Duration {
    let broker = place.broker().await;
    let line = line(&broker);
    let mut running = Running::start(place.settings(line.port(), "gw-1"));
    running.up().await;
    // Not a wait for anything: where in the rhythm of pings the line dies.
    sleep(after).await;
    line.black(true);
    let dead = Instant::now();
    if with_event {
        running.offer(1, URGENT, "into the dark");
    }
    running.down().await;
    let fault = running.fault().await;
    assert!(matches!(fault, BrokerFault::ProtocolTimeout(Awaited::Traffic)), "{fault:?}");
    let found = dead.elapsed();
    running.handle.stop().await;
    found
}

#[tokio::test]
async fn a_dead_line_is_found_within_one_and_a_half_keep_alives() {
    let place = Arc::new(Place::new());
    let mut running = JoinSet::new();
    for step in 0..16 {
        let after = KEEP_ALIVE * step / 12;
        running.spawn(found_after(Arc::clone(&place), after, step % 2 == 0));
    }
    let found = running.join_all().await;
    let longest = found.iter().max().expect("some");
    println!("dead lines found after {:?} at the longest of {}", longest, found.len());
    assert!(*longest < KEEP_ALIVE * 3 / 2 + SLACK, "{found:?}");
}

#[tokio::test]
async fn it_comes_back_ever_more_seldom_and_not_in_step_with_others() {
    let place = Place::new();
    let mut lines = Vec::new();
    let mut uplinks = Vec::new();
    for _ in 0..8 {
        let line = Line::start(SocketAddr::from(([127, 0, 0, 1], closed_port()))).expect("a line");
        uplinks.push(Running::start(place.settings(line.port(), "gw-1")));
        lines.push(line);
    }
    // What is measured is a rate, so this long is looked at.
    let end = Instant::now() + Duration::from_secs(9);
    let mut dials: Vec<Vec<Duration>> = vec![Vec::new(); lines.len()];
    let begun = Instant::now();
    while Instant::now() < end {
        for (line, dials) in lines.iter().zip(&mut dials) {
            if line.dials() > dials.len() as u64 {
                dials.push(begun.elapsed());
            }
        }
        sleep_until(Instant::now() + Duration::from_millis(5)).await;
    }
    for dials in &dials {
        // 1 + 2 + 4 + 8 s, each shortened by up to half: at least 4 dials, 5 at most.
        assert!((4..=5).contains(&dials.len()), "{dials:?}");
        let pauses: Vec<Duration> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (pause, whole_s) in pauses.iter().zip([1, 2, 4, 8, 16]) {
            let whole = Duration::from_secs(whole_s);
            // The dial before may have been noticed late.
            assert!(*pause + LOOK_LATE >= whole / 2 && *pause < whole + SLACK, "{pauses:?}");
        }
    }
    let mut second: Vec<u128> = dials.iter().map(|dials| dials[2].as_millis()).collect();
    second.sort_unstable();
    second.dedup();
    assert!(second.len() > 1, "all in step: {dials:?}");
    for uplink in uplinks {
        uplink.handle.stop().await;
    }
}

/// A port where nobody listens: the line takes connections and closes them.
fn closed_port() -> u16 {
    crate::mosquitto::free_port()
}

#[tokio::test]
async fn an_event_that_was_under_way_when_the_line_died_gets_through() {
    let place = Place::new();
    let broker = place.broker().await;
    let line = line(&broker);
    let shared = &line;
    let mut black = false;
    broker.faults().judge(|_| pendant_kit::broker::Verdict::TakeThenSay(b"\x40\x02\x00\x02"));
    let faults = broker.faults();
    let outcome = deliver(place.settings(line.port(), "gw-1"), |outcome| {
        if outcome.offers == 1 && !std::mem::replace(&mut black, true) {
            shared.black(true);
        }
        if !outcome.faults.is_empty() {
            shared.black(false);
            faults.judge(|_| pendant_kit::broker::Verdict::TakeThenSay(&crate::courier::TAKEN));
        }
        outcome.answered.is_some()
    })
    .await;
    assert_eq!(outcome.answered, Some(Answered::Taken));
    assert!(!outcome.faults.is_empty(), "{outcome:?}");
}

/// In the environment of the test below: the host whose first address is dark.
const DARK_FIRST: &str = "TEST_HOST_DARK_FIRST";

/// A host has two addresses, and what has the first takes no connection and refuses none,
/// as behind a router when a machine has no power. The names of hosts are the system's, so
/// the test runs itself again where that name is known.
#[test]
fn a_dark_address_does_not_hide_the_host_s_other_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hosts = folder.path().join("hosts");
    // The system puts the address first that is nearer to its own.
    let text = "127.0.0.1 dark-first.test\n127.0.0.9 dark-first.test\n";
    std::fs::write(&hosts, text).expect("written");
    let script = format!("set -e; mount --bind {} /etc/hosts; exec \"$0\" \"$@\"", hosts.display());
    let namespace: &[&str] = match rustix::process::geteuid().is_root() {
        true => &["--mount"],
        false => &["--user", "--map-root-user", "--mount"],
    };
    let done = std::process::Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", &script])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "line::in_a_place_where_the_first_address_is_dark", "--nocapture"])
        .env(DARK_FIRST, "dark-first.test")
        .status();
    assert!(done.expect("unshare is part of util-linux").success());
}

/// Of use only where the test above runs it.
#[tokio::test]
async fn in_a_place_where_the_first_address_is_dark() {
    let Ok(host) = std::env::var(DARK_FIRST) else { return };
    let place = Place::new();
    let broker = place.broker().await;
    let (dark, _waiting) = dark().await;
    let port = dark.local_addr().expect("it is bound").port();
    let lit = TcpListener::bind(("127.0.0.9", port)).await.expect("nobody else has it");
    tokio::spawn(async move {
        let to_broker = ("127.0.0.1", broker.port());
        let (mut taken, _) = lit.accept().await.expect("the uplink dials");
        let mut there = TcpStream::connect(to_broker).await.expect("the broker is there");
        // It ends with the test.
        let _ = copy_bidirectional(&mut taken, &mut there).await;
    });
    let settings = BrokerSettings { host, ..place.settings(port, "gw-1") };
    let running = Running::start(settings);
    let begun = Instant::now();
    let mut status = running.handle.status();
    let up = timeout(PATIENCE, status.wait_for(|status| status.connected)).await.is_ok();
    assert!(up, "{:?}", running.handle.status().borrow().fault);
    println!("up after {:?}", begun.elapsed());
    running.handle.stop().await;
}

/// A port of 127.0.0.1 that takes no more connections: a listener with a full queue.
async fn dark() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("it is bound");
    let mut waiting = Vec::new();
    while let Ok(taken) = timeout(LOOK_LATE, TcpStream::connect(address)).await {
        waiting.push(taken.expect("it refuses none"));
    }
    (listener, waiting)
}
