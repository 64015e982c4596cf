//! The real daemon and brokers that are hostile, killed, too small or deaf. On
//! site everything goes on; what was acknowledged arrives when the broker is
//! well; what is wrong is told.

use crate::clerk::Books;
use crate::dice::Dice;
use crate::end_to_end::{World, next_of};
use crate::load::{Load, is_long, seed};
use crate::pendant::*;
use crate::site::{BrokerFiles, SOON, Site, hear};
use pendant_kit::broker::{Broker, BrokerSettings, ConnectReturnCode, Faults, Verdict};
use pendant_kit::centre::{Centre, CentreSettings, News};
use pendant_kit::line::Line;
use pendant_kit::pki::{Leaf, Pki};
use pendant_kit::wire::Wire;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

/// One press, repeated until it is answered. Gives its counter.
pub(crate) async fn press(wire: &mut Wire, pendant: &mut Pendant) -> u32 {
    let frame = pendant.say(PANIC);
    let give_up = Instant::now() + SOON;
    loop {
        wire.send(&frame).await.expect("the wire holds");
        let listen = async {
            loop {
                let (answer, _) = hear(wire).await;
                if pendant.hear(&answer, pendant.counter).is_some() {
                    return;
                }
            }
        };
        if timeout(Duration::from_millis(2_500), listen).await.is_ok() {
            return pendant.counter;
        }
        assert!(Instant::now() < give_up, "never answered");
    }
}

/// A broker with its authority, and the centre at it.
pub(crate) struct Post {
    _folder: TempDir,
    pub(crate) broker: Broker,
    pub(crate) centre: Centre,
    pub(crate) files: BrokerFiles,
}

impl Post {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pki = Pki::new().expect("an authority");
        let issue = |leaf: &Leaf| pki.issue(leaf).expect("a certificate");
        let tls = pki.server_config(&issue(&Leaf::server())).expect("TLS");
        let broker = Broker::start(BrokerSettings::new(tls)).await.expect("a broker");
        let gateway = issue(&Leaf::client("gw1")).write(folder.path(), "gw1").expect("files");
        let files = BrokerFiles {
            host: "localhost".into(),
            port: broker.port(),
            authority: pki.write_ca(folder.path()).expect("a file"),
            certificate: gateway.certificate,
            key: gateway.key,
        };
        let tls = pki.client_config(&issue(&Leaf::client("centre"))).expect("TLS");
        let settings = CentreSettings::new("localhost", broker.port(), "centre", tls);
        let mut centre = Centre::start(settings);
        // Before there is anything to hear: what nobody subscribes to is held back.
        let up = async { while !matches!(centre.next().await, Some(News::Up { .. })) {} };
        timeout(SOON, up).await.expect("it comes up in time");
        Self { _folder: folder, broker, centre, files }
    }
}

/// A daemon at the embedded broker.
struct Hostile {
    _folder: TempDir,
    broker: Broker,
    site: Site,
    centre: Centre,
}

impl Hostile {
    async fn new() -> Self {
        let Post { _folder, broker, centre, files } = Post::new().await;
        Self { _folder, broker, site: Site::new(files), centre }
    }

    /// Lines of the log that warn of this.
    fn warnings(&self, of: &str) -> usize {
        let log = self.site.log();
        log.lines().filter(|line| line.contains(" WARN ") && line.contains(of)).count()
    }

    fn gateway_is_hurt(faults: &Faults, verdict: Verdict) {
        faults.judge(move |offer| match offer.topic.contains("/event/") {
            true => verdict,
            false => Verdict::Take,
        });
    }
}

#[tokio::test]
async fn whatever_a_broker_does_presses_are_answered_and_arrive() {
    type Evil = fn(&Faults);
    // What the broker does, and a word of what must be told.
    let evils: [(&str, Evil, &str); 8] = [
        ("refuses the login", |f| f.refuse_login(Some(ConnectReturnCode::Banned)), "refused"),
        ("loses sessions", |f| f.lose_sessions(true), ""),
        ("closes instead of answering", |f| Hostile::gateway_is_hurt(f, Verdict::Close), "hung up"),
        ("takes and hangs up", |f| Hostile::gateway_is_hurt(f, Verdict::TakeThenClose), "hung up"),
        (
            "acknowledges what it never got",
            |f| Hostile::gateway_is_hurt(f, Verdict::TakeThenSay(&[0x40, 2, 3, 0xE7])),
            "protocol",
        ),
        ("acknowledges twice", |f| Hostile::gateway_is_hurt(f, Verdict::TakeAckTwice), "protocol"),
        (
            "talks nonsense",
            |f| Hostile::gateway_is_hurt(f, Verdict::TakeThenSay(&[0xFF; 300])),
            "protocol",
        ),
        ("stops reading", |f| f.stall(true), ""),
    ];
    let mut hostile = Hostile::new().await;
    let mut wire = hostile.site.wire();
    let mut pendant = Pendant::enrolled(hostile.site.enroll("00012f", SAFE, DURESS));
    hostile.site.start().await;
    for (name, evil, told) in evils {
        hostile.site.until("connected", |s| s["brokers"][0]["connected"] == true).await;
        let warned = hostile.warnings(told);
        evil(hostile.broker.faults());
        let dials = hostile.broker.look(|view| view.dials());
        if told.is_empty() || told == "refused" {
            // A good connection notices nothing: it is ended once.
            hostile.broker.stop().await;
            hostile.broker.resume().await.expect("the port is free again");
        }
        let begun = Instant::now();
        press(&mut wire, &mut pendant).await;
        // A fault may be over before `status` could show it; the log keeps it.
        let give_up = Instant::now() + SOON;
        while hostile.warnings(told) <= warned && !told.is_empty() {
            assert!(Instant::now() < give_up, "{name}: not told\n{}", hostile.site.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Dials a second, at most, and a centre's besides.
        let dialled = hostile.broker.look(|view| view.dials()) - dials;
        assert!(dialled <= 6 + 4 * begun.elapsed().as_secs(), "{name}: {dialled} dials");
        hostile.broker.faults().clear();
        loop {
            let event = next_of(&mut hostile.centre, "panic").await;
            if event.data.counter == Some(pendant.counter) {
                break;
            }
        }
    }
    hostile.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    assert!(hostile.centre.missing().is_empty(), "{:?}", hostile.centre.missing());
}

#[tokio::test]
async fn mosquitto_is_killed_in_mid_stream_and_nothing_is_lost() {
    let seed = seed(11);
    let mut dice = Dice(seed);
    let mut world = World::new(None).await;
    let load = Load::start(&world.site, 20, &mut dice);
    let books = Books::default();
    let _clerk = books.listen(world.site.broker.port, &world.authority);
    world.site.start().await;
    let deaths = if is_long() { 50 } else { 4 };
    for _ in 0..deaths {
        // Not a wait for anything: the moments are the dice's.
        tokio::time::sleep(dice.ms(300, 2_000)).await;
        world.broker_away();
        tokio::time::sleep(dice.ms(0, 500)).await;
        world.broker_back().await;
    }
    let acknowledged = load.finish().await;
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    let wrong = books.judge(&acknowledged).await;
    assert_eq!(wrong, Vec::<String>::new(), "seed {seed}\n{}", world.site.log());
    println!(
        "seed {seed}: {deaths} brokers killed, {} presses acknowledged, {:?}",
        acknowledged.len(),
        books.counts()
    );
    assert!(acknowledged.len() > 20, "there was load");
}

/// A world whose mosquitto has `more` in its configuration until it is mended.
async fn spoilt_and_mended(more: &str, told: &str) {
    let mut world = World::new(None).await;
    let good = std::mem::replace(&mut world.more, more.to_owned());
    world.broker_away();
    world.broker_back().await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    world.site.start().await;
    for _ in 0..3 {
        press(&mut wire, &mut pendant).await;
    }
    let give_up = Instant::now() + SOON;
    while !world.site.log().contains(told) {
        assert!(Instant::now() < give_up, "not told: {told}\n{}", world.site.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = world.site.status().expect("it answers");
    assert!(status["backlog"].as_u64() >= Some(3), "all is kept: {status}");
    world.more = good;
    world.broker_away();
    // What a broker refused waits a minute and more; a start offers it at once.
    world.site.terminate();
    world.broker_back().await;
    let mut centre = world.centre();
    world.site.start().await;
    let mut counters = std::collections::BTreeSet::new();
    while counters.len() < 3 {
        counters.extend(next_of(&mut centre, "panic").await.data.counter);
    }
}

#[tokio::test]
async fn a_broker_that_refuses_every_topic() {
    let rules = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(rules.path(), "topic read lonework/#\n").expect("rules");
    let more = format!("allow_anonymous true\nacl_file {}\n", rules.path().display());
    spoilt_and_mended(&more, "does not authorise our topic").await;
}

#[tokio::test]
async fn a_broker_whose_packets_are_too_small() {
    let more = "allow_anonymous true\nmax_packet_size 600\n";
    spoilt_and_mended(more, "longer than the packets").await;
}

#[tokio::test]
async fn a_broker_whose_messages_are_too_small() {
    let more = "allow_anonymous true\nmessage_size_limit 600\n";
    spoilt_and_mended(more, "longer than the messages").await;
}

/// mosquitto acknowledges what it then drops because a subscriber's queue is full.
#[tokio::test]
async fn a_broker_that_drops_what_it_acknowledged() {
    const EVENTS: usize = 100;
    let mut world = World::new(None).await;
    world.more.push_str("max_queued_messages 5\nmax_inflight_messages 5\n");
    world.broker_away();
    world.broker_back().await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut centre = world.centre();
    while !matches!(centre.next().await, Some(News::Up { .. })) {}
    // Its session stays at the broker, and events are taken for it.
    centre.stop().await;
    world.site.start().await;
    world.site.until("connected", |s| s["brokers"][0]["connected"] == true).await;
    for _ in 0..EVENTS {
        wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    }
    world.site.until("heard", |s| s["counters"]["frames_heard"] == EVENTS).await;
    world.site.until("the silence is told", |s| s["centre_heard"] == false).await;
    let mut centre = world.centre();
    let mut counters = std::collections::BTreeSet::new();
    while counters.len() < EVENTS {
        counters.extend(next_of(&mut centre, "panic").await.data.counter);
    }
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    assert!(centre.missing().is_empty(), "{:?}", centre.missing());
}

#[tokio::test]
async fn a_broker_to_which_nobody_listens() {
    spoilt_and_mended("allow_anonymous true\n", "nobody subscribes").await;
}

/// How long a fresh alarm takes to the centre over a slow line, with nothing
/// behind it and with a backlog behind it.
#[tokio::test]
async fn a_fresh_alarm_overtakes_the_backlog_on_a_line_of_64_kbit_s() {
    const BACKLOG: usize = 400;
    let mut world = World::new(None).await;
    let port = world.site.broker.port;
    let line = Line::start(SocketAddr::from(([127, 0, 0, 1], port))).expect("a line");
    line.shape(Some(64_000));
    let mut centre = world.centre();
    world.site.broker.port = line.port();
    world.site.configure("");
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut crowd = Pendant::enrolled(world.site.enroll("000130", SAFE, DURESS));
    world.site.start().await;
    world.site.until("connected", |s| s["brokers"][0]["connected"] == true).await;
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    let mut idle = Vec::new();
    for _ in 0..5 {
        idle.push(alarm(&mut wire, &mut pendant, &mut centre).await);
    }

    line.cut();
    line.black(true);
    world.site.until("gone", |s| s["brokers"][0]["connected"] == false).await;
    for n in 1..=BACKLOG {
        wire.send(&crowd.say(HEARTBEAT)).await.expect("the wire holds");
        if n % 100 == 0 {
            let heard = move |s: &Value| s["counters"]["frames_heard"] == 5 + n;
            world.site.until("heard", heard).await;
        }
    }
    line.black(false);
    world.site.until("connected", |s| s["brokers"][0]["connected"] == true).await;
    next_of(&mut centre, "heartbeat").await;
    let mut behind = Vec::new();
    for _ in 0..10 {
        behind.push(alarm(&mut wire, &mut pendant, &mut centre).await);
    }
    let left = world.site.status().expect("it answers")["backlog"].as_u64();
    assert!(left > Some(50), "the backlog still drains: {left:?}");
    for delays in [&mut idle, &mut behind] {
        delays.sort_unstable();
    }
    println!("64 kbit/s: idle {idle:?}, with {BACKLOG} behind {behind:?}, {left:?} left");
    // An event of 1.4 kB takes 0.2 s; the whole backlog would take more than a minute.
    assert!(behind[9] < Duration::from_secs(2), "{behind:?}, idle {idle:?}");
}

/// From a press to the centre.
async fn alarm(wire: &mut Wire, pendant: &mut Pendant, centre: &mut Centre) -> Duration {
    wire.send(&pendant.say(PANIC)).await.expect("the wire holds");
    let sent = Instant::now();
    let event = next_of(centre, "panic").await;
    assert_eq!(event.data.counter, Some(pendant.counter));
    sent.elapsed()
}
