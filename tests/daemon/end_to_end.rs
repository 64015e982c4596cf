//! A press reaches the centre: real daemon, pseudo terminal, mosquitto with
//! mutual TLS, `mosquitto_sub` as subscriber and a centre that receipts.

use crate::mosquitto::{Authority, Identity, Mosquitto, Subscriber, VALID};
use crate::pendant::*;
use crate::site::{BrokerFiles, SOON, Site, hear};
use pendant_kit::centre::{Centre, CentreSettings, Event};
use pendant_protocol::Outcome;
use serde_json::Value;
use std::time::Duration;

pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) server: crate::mosquitto::Identity,
    pub(crate) more: String,
    pub(crate) mosquitto: Option<Mosquitto>,
    pub(crate) site: Site,
}

impl World {
    /// `rules` are the broker's access rules; without them everybody may all.
    pub(crate) async fn new(rules: Option<&std::path::Path>) -> Self {
        let mut more = "allow_anonymous true\n".to_owned();
        if let Some(rules) = rules {
            more.push_str(&format!("acl_file {}\n", rules.display()));
        }
        let authority = Authority::new("test authority");
        let server = authority.issue("server", &["localhost", "127.0.0.1"], VALID);
        let mosquitto = Mosquitto::start(&authority, &server, &more).await;
        let Identity { certificate, key } = authority.issue("gw1", &[], VALID);
        let files = BrokerFiles::local(mosquitto.port, authority.file(), certificate, key);
        let site = Site::new(files);
        Self { authority, server, more, mosquitto: Some(mosquitto), site }
    }

    pub(crate) fn centre(&self) -> Centre {
        let who = self.authority.issue("centre", &[], VALID);
        let tls = self.authority.client_tls(&who);
        Centre::start(CentreSettings::new("localhost", self.site.broker.port, "centre", tls))
    }

    pub(crate) fn broker_away(&mut self) {
        self.mosquitto = None;
    }

    pub(crate) async fn broker_back(&mut self) {
        let port = self.site.broker.port;
        let again = Mosquitto::restart(port, &self.authority, &self.server, &self.more).await;
        self.mosquitto = Some(again);
    }
}

pub(crate) async fn next_of(centre: &mut Centre, kind: &str) -> Event {
    loop {
        let event = tokio::time::timeout(SOON, centre.next_event()).await;
        let event = event.unwrap_or_else(|_| panic!("no {kind} in time")).expect("it goes on");
        if event.data.kind == kind {
            return event;
        }
    }
}

#[tokio::test]
async fn a_press_reaches_the_centre_and_its_wearer_is_answered() {
    let mut world = World::new(None).await;
    let mut wire = world.site.wire();
    let mut pendant = Pendant::enrolled(world.site.enroll("00012f", SAFE, DURESS));
    let mut centre = world.centre();
    let who = world.authority.issue("onlooker", &[], VALID);
    let mosquitto = world.mosquitto.as_mut().expect("it runs");
    let filter = "lonework/v1/ward-3/gw1/event/+";
    let mut onlooker = Subscriber::start(mosquitto, &world.authority, &who, filter).await;
    world.site.start().await;
    world.site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;
    next_of(&mut centre, "gateway_started").await;
    onlooker.next().await;

    let exchanges = [
        (HEARTBEAT, "heartbeat", "routine", Outcome::Noted),
        (start(30), "session_started", "urgent", Outcome::SessionStarted),
        (DISCREET, "discreet_panic", "urgent", Outcome::Noted),
        (pin(SAFE), "session_ended", "urgent", Outcome::Ended),
        (start(30), "session_started", "urgent", Outcome::SessionStarted),
        (pin(DURESS), "duress", "urgent", Outcome::Ended),
        (HEARTBEAT, "track_point", "routine", Outcome::Noted),
        (PANIC, "panic", "urgent", Outcome::Noted),
    ];
    for (body, kind, lane, outcome) in exchanges {
        let frame = pendant.say(body);
        let sent = wire.send(&frame).await.expect("the wire holds");
        let (answer, heard_at) = hear(&mut wire).await;
        let delay = heard_at - sent;
        let message = pendant.hear(&answer, pendant.counter).expect("a genuine answer");
        assert_eq!(message.outcome, outcome, "{kind}");
        // Counted from the last byte that the daemon read; the bound is the
        // scheduler's under load, the least is the contract's.
        assert!(delay >= Duration::from_millis(999), "{kind}: answered after {delay:?}");
        assert!(delay < Duration::from_millis(1_500), "{kind}: answered after {delay:?}");
        let event = next_of(&mut centre, kind).await;
        assert_eq!((event.data.lane.as_str(), event.data.replayed), (lane, false));
        assert_eq!(event.data.wearer.as_deref(), Some("nurse-7"));
        let (_, topic, payload) = onlooker.next().await;
        assert_eq!(topic, format!("lonework/v1/ward-3/gw1/event/{lane}"));
        let json: Value = serde_json::from_str(&payload).expect("JSON");
        assert_eq!(json["id"], event.id.to_string());
        assert_eq!(topic.len() + payload.len(), 1408);
    }
    assert!(centre.missing().is_empty());
    world.site.until("all receipted and released", |s| s["backlog"] == 0).await;
    assert!(world.site.terminate().success());
}

#[tokio::test]
async fn the_daemon_says_online_and_offline_by_its_retained_state() {
    let mut world = World::new(None).await;
    let _wire = world.site.wire();
    world.site.start().await;
    world.site.until("broker connected", |s| s["brokers"][0]["connected"] == true).await;
    let who = world.authority.issue("onlooker", &[], VALID);
    let mosquitto = world.mosquitto.as_mut().expect("it runs");
    let topic = "lonework/v1/ward-3/gw1/state";
    let mut onlooker = Subscriber::start(mosquitto, &world.authority, &who, topic).await;
    let (retained, _, online) = onlooker.next().await;
    assert!(retained && online.contains("\"online\""), "{online}");
    world.site.kill_9();
    let (_, _, offline) = onlooker.next().await;
    assert!(offline.contains("\"offline\""), "the last will: {offline}");
    assert_eq!(online.len(), offline.len());
    let schema = crate::schema::Schema::of("state");
    for state in [online, offline] {
        schema.must_take(&serde_json::from_str(&state).expect("JSON"));
    }
}
