//! Two real brokers, each with an authority of its own: what one does not carry
//! the other does, nothing is lost, and the first is returned to.

use crate::brokers::press;
use crate::clerk::Books;
use crate::dice::Dice;
use crate::end_to_end::next_of;
use crate::load::{Load, is_long, seed};
use crate::mosquitto::{Authority, Identity, Mosquitto, VALID};
use crate::pendant::*;
use crate::site::{BrokerFiles, SOON, Site};
use pendant_kit::centre::{Centre, CentreSettings, Event, News};
use std::time::Duration;
use tokio::time::timeout;

/// A broker with its authority.
struct Post {
    authority: Authority,
    server: Identity,
    more: String,
    port: u16,
    mosquitto: Option<Mosquitto>,
}

impl Post {
    async fn new(name: &str, rules: Option<&str>) -> Self {
        let authority = Authority::new(name);
        let server = authority.issue("server", &["localhost", "127.0.0.1"], VALID);
        let mut more = "allow_anonymous true\n".to_owned();
        if let Some(rules) = rules {
            let file = authority.file().with_file_name("rules");
            std::fs::write(&file, rules).expect("rules");
            more.push_str(&format!("acl_file {}\n", file.display()));
        }
        let mosquitto = Mosquitto::start(&authority, &server, &more).await;
        Self { port: mosquitto.port, authority, server, more, mosquitto: Some(mosquitto) }
    }

    /// The gateway's own files for this broker.
    fn files(&self) -> BrokerFiles {
        let Identity { certificate, key } = self.authority.issue("gw1", &[], VALID);
        BrokerFiles::local(self.port, self.authority.file(), certificate, key)
    }

    fn centre(&self, name: &str, receipts: bool) -> Centre {
        let who = self.authority.issue(name, &[], VALID);
        let tls = self.authority.client_tls(&who);
        let mut settings = CentreSettings::new("localhost", self.port, name, tls);
        settings.receipts = receipts;
        Centre::start(settings)
    }

    /// `kill -9`.
    fn dies(&mut self) {
        self.mosquitto = None;
    }

    async fn returns(&mut self) {
        let again = Mosquitto::restart(self.port, &self.authority, &self.server, &self.more).await;
        self.mosquitto = Some(again);
    }
}

struct Two {
    first: Post,
    second: Post,
    site: Site,
}

impl Two {
    async fn new(rules_of_first: Option<&str>) -> Self {
        let first = Post::new("first authority", rules_of_first).await;
        let second = Post::new("second authority", None).await;
        let site = Site::new(first.files());
        let BrokerFiles { host, port, authority, certificate, key } = second.files();
        let own = site.path("second.key");
        std::fs::copy(key, &own).expect("the key can be copied");
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&own, closed).expect("its rights set");
        site.configure(&format!(
            "[[broker]]\nname = \"second\"\nhost = \"{host}\"\nport = {port}\nca_file = \"{}\"\n\
             certificate_file = \"{}\"\nkey_file = \"{}\"\nkeep_alive_s = 5\nsession_expiry_s = 600\n",
            authority.display(),
            certificate.display(),
            own.display(),
        ));
        Self { first, second, site }
    }

    async fn both_connected(&self) {
        let both = |s: &serde_json::Value| {
            s["brokers"][0]["connected"] == true && s["brokers"][1]["connected"] == true
        };
        self.site.until("both brokers connected", both).await;
    }

    async fn first_is(&self, connected: bool) {
        let what = format!("the first broker connected: {connected}");
        self.site.until(&what, |s| s["brokers"][0]["connected"] == connected).await;
    }
}

/// The event of this press, at this centre.
async fn arrives(centre: &mut Centre, counter: u32) -> Event {
    loop {
        let event = next_of(centre, "panic").await;
        if event.data.counter == Some(counter) {
            return event;
        }
    }
}

/// Before that, a broker says that nobody listens.
async fn subscribed(centre: &mut Centre) {
    let up = async { while !matches!(centre.next().await, Some(News::Up { .. })) {} };
    timeout(SOON, up).await.expect("it comes up in time");
}

/// Panics that are here already.
async fn here(centre: &mut Centre) -> Vec<u32> {
    let mut counters = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::from_millis(50), centre.next_event()).await {
        counters.extend(event.data.counter.filter(|_| event.data.kind == "panic"));
    }
    counters
}

#[tokio::test]
async fn the_first_dies_the_second_carries_and_the_first_is_returned_to() {
    let mut two = Two::new(None).await;
    let mut wire = two.site.wire();
    let mut pendant = Pendant::enrolled(two.site.enroll("00012f", SAFE, DURESS));
    let mut at_first = two.first.centre("centre", true);
    let mut at_second = two.second.centre("centre", true);
    for centre in [&mut at_first, &mut at_second] {
        subscribed(centre).await;
    }
    two.site.start().await;
    two.both_connected().await;
    let counter = press(&mut wire, &mut pendant).await;
    arrives(&mut at_first, counter).await;
    assert!(here(&mut at_second).await.is_empty(), "while the first is well");

    two.first.dies();
    two.first_is(false).await;
    let counter = press(&mut wire, &mut pendant).await;
    let event = arrives(&mut at_second, counter).await;
    assert!(!event.data.replayed, "it went out at once: {event:?}");

    two.first.returns().await;
    two.first_is(true).await;
    subscribed(&mut at_first).await;
    // The first may have said that nobody listens; one event shows that it is well.
    let counter = press(&mut wire, &mut pendant).await;
    arrives(&mut at_first, counter).await;
    let counter = press(&mut wire, &mut pendant).await;
    arrives(&mut at_first, counter).await;
    assert!(!here(&mut at_second).await.contains(&counter), "the first is well again");
    two.site.until("all receipted and released", |s| s["backlog"] == 0).await;
}

#[tokio::test]
async fn a_dead_centre_behind_a_living_broker_sends_the_stream_through_both() {
    let mut two = Two::new(None).await;
    let mut wire = two.site.wire();
    let mut pendant = Pendant::enrolled(two.site.enroll("00012f", SAFE, DURESS));
    let mut dead = two.first.centre("onlooker", false);
    let mut at_second = two.second.centre("centre", true);
    for centre in [&mut dead, &mut at_second] {
        subscribed(centre).await;
    }
    two.site.start().await;
    two.both_connected().await;
    let silent = press(&mut wire, &mut pendant).await;
    arrives(&mut dead, silent).await;
    // Nobody receipts it at the first: it is offered at the second, and told there.
    let (mut offered, mut told) = (false, false);
    while !offered || !told {
        let event = timeout(SOON, at_second.next_event()).await;
        let event = event.expect("both in time").expect("it goes on");
        offered |= event.data.kind == "panic" && event.data.counter == Some(silent);
        told |= event.data.kind == "centre_silent";
    }
    let counter = press(&mut wire, &mut pendant).await;
    let event = arrives(&mut at_second, counter).await;
    assert!(!event.data.replayed, "the live stream goes there: {event:?}");
    arrives(&mut dead, counter).await;

    let mut living = two.first.centre("centre", true);
    subscribed(&mut living).await;
    // A receipt through the first is what brings it back.
    let mut heard = false;
    for _ in 0..5 {
        let counter = press(&mut wire, &mut pendant).await;
        arrives(&mut living, counter).await;
        heard |= two.site.log().contains("receipts again");
    }
    assert!(heard, "the first is never relied on again:\n{}", two.site.log());
    here(&mut at_second).await;
    let counter = press(&mut wire, &mut pendant).await;
    arrives(&mut living, counter).await;
    assert!(!here(&mut at_second).await.contains(&counter), "the first is well again");
    two.site.until("all receipted and released", |s| s["backlog"] == 0).await;
}

#[tokio::test]
async fn what_the_first_refuses_the_second_takes() {
    let rules = "topic read lonework/#\n\
                 topic write lonework/v1/ward-3/gw1/event/routine\n\
                 topic write lonework/v1/ward-3/gw1/event/trouble\n\
                 topic write lonework/v1/ward-3/gw1/state\n\
                 topic write lonework/v1/ward-3/gw1/receipt\n\
                 topic write lonework/v1/ward-3/gw1/command\n\
                 topic write lonework/v1/ward-3/gw1/answer\n";
    let mut two = Two::new(Some(rules)).await;
    let mut wire = two.site.wire();
    let mut pendant = Pendant::enrolled(two.site.enroll("00012f", SAFE, DURESS));
    let mut at_first = two.first.centre("centre", true);
    let mut at_second = two.second.centre("centre", true);
    for centre in [&mut at_first, &mut at_second] {
        subscribed(centre).await;
    }
    two.site.start().await;
    two.both_connected().await;
    for _ in 0..3 {
        let counter = press(&mut wire, &mut pendant).await;
        arrives(&mut at_second, counter).await;
    }
    let refused = |s: &serde_json::Value| s["counters"]["publishes_refused"].as_u64() >= Some(3);
    two.site.until("the refusals are counted", refused).await;
    two.site.until("all receipted and released", |s| s["backlog"] == 0).await;
}

#[tokio::test]
async fn brokers_die_in_mid_stream_and_nothing_is_lost() {
    let seed = seed(7);
    let mut dice = Dice(seed);
    let mut two = Two::new(None).await;
    let load = Load::start(&two.site, 20, &mut dice);
    let books = Books::default();
    let _clerks = [&two.first, &two.second].map(|post| books.listen(post.port, &post.authority));
    two.site.start().await;
    two.both_connected().await;
    let deaths = if is_long() { 50 } else { 4 };
    for round in 0..deaths {
        // Not a wait for anything: the moments are the dice's.
        tokio::time::sleep(dice.ms(300, 1_800)).await;
        let post = if round % 2 == 0 { &mut two.first } else { &mut two.second };
        post.dies();
        tokio::time::sleep(dice.ms(0, 700)).await;
        post.returns().await;
    }
    two.both_connected().await;
    let acknowledged = load.finish().await;
    two.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    let wrong = books.judge(&acknowledged).await;
    assert_eq!(wrong, Vec::<String>::new(), "seed {seed}\n{}", two.site.log());
    println!(
        "seed {seed}: {deaths} brokers killed, {} presses acknowledged, {:?}",
        acknowledged.len(),
        books.counts()
    );
    assert!(acknowledged.len() > 20, "there was load");
}
