//! The real daemon at two brokers, the first of which refuses events for each reason
//! that a broker may have, or takes connections and says nothing. What it does not
//! take is kept, told and tried at the second, and nothing else waits for it.

use crate::brokers::{Post, press};
use crate::end_to_end::next_of;
use crate::pendant::*;
use crate::site::Site;
use pendant_kit::broker::PubAckReason;
use pendant_kit::wire::Wire;
use std::path::Path;

impl Post {
    /// The panic with this counter is here.
    async fn has(&mut self, counter: u32) {
        while next_of(&mut self.centre, "panic").await.data.counter != Some(counter) {}
    }
}

struct Two {
    first: Post,
    second: Post,
    site: Site,
    wire: Wire,
    pendant: Pendant,
}

fn private(from: &Path, to: &Path) {
    std::fs::copy(from, to).expect("it can be copied");
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(to, closed).expect("its rights set");
}

impl Two {
    async fn new() -> Self {
        let (first, second) = (Post::new().await, Post::new().await);
        let mut site = Site::new(first.files.clone());
        let key = site.path("second.key");
        private(&second.files.key, &key);
        site.configure(&format!(
            "[[broker]]\nname = \"second\"\nhost = \"localhost\"\nport = {}\nca_file = \"{}\"\n\
             certificate_file = \"{}\"\nkey_file = \"{}\"\nkeep_alive_s = 5\nsession_expiry_s = 600\n",
            second.files.port,
            second.files.authority.display(),
            second.files.certificate.display(),
            key.display(),
        ));
        let wire = site.wire();
        let pendant = Pendant::enrolled(site.enroll("00012f", SAFE, DURESS));
        site.start().await;
        Self { first, second, site, wire, pendant }
    }

    async fn first_is(&self, connected: bool) {
        let what = format!("the first broker connected: {connected}");
        self.site.until(&what, |s| s["brokers"][0]["connected"] == connected).await;
    }

    async fn both_are_connected(&self) {
        self.first_is(true).await;
        self.site.until("second", |s| s["brokers"][1]["connected"] == true).await;
    }

    async fn press(&mut self) -> u32 {
        press(&mut self.wire, &mut self.pendant).await
    }
}

#[tokio::test]
async fn an_event_that_is_refused_for_any_reason_is_told_and_taken_elsewhere() {
    let reasons = [
        (PubAckReason::NoMatchingSubscribers, 0x10),
        (PubAckReason::UnspecifiedError, 0x80),
        (PubAckReason::ImplementationSpecificError, 0x83),
        (PubAckReason::NotAuthorized, 0x87),
        (PubAckReason::QuotaExceeded, 0x97),
        (PubAckReason::PayloadFormatInvalid, 0x99),
    ];
    let mut two = Two::new().await;
    two.both_are_connected().await;
    for (reason, code) in reasons {
        two.first.broker.faults().refuse(reason, |offer| offer.topic.ends_with("/event/urgent"));
        let counter = two.press().await;
        two.second.has(counter).await;
        // What it does not refuse it goes on to get: the news of the refusal.
        loop {
            let told = next_of(&mut two.first.centre, "broker_refused").await;
            let detail = serde_json::to_value(&told.data).expect("JSON");
            if detail["detail"]["refused"]["reason"] == code {
                break;
            }
        }
        two.first.broker.faults().clear();
        let counter = two.press().await;
        two.first.has(counter).await;
    }
    two.site.until("all is receipted", |s| s["backlog"] == 0).await;
}

#[tokio::test]
async fn a_broker_that_takes_connections_and_says_nothing_holds_nothing_up() {
    let mut two = Two::new().await;
    two.both_are_connected().await;
    two.first.broker.faults().mute(true);
    two.first.broker.stop().await;
    two.first.broker.resume().await.expect("the port is free again");
    two.first_is(false).await;
    let dials = two.first.broker.look(|view| view.dials());
    for _ in 0..3 {
        let counter = two.press().await;
        two.second.has(counter).await;
    }
    two.site.until("all is receipted", |s| s["backlog"] == 0).await;
    let dialled = two.first.broker.look(|view| view.dials()) - dials;
    assert!(dialled < 60, "{dialled} dials");
    two.first.broker.faults().clear();
    two.first_is(true).await;
    let counter = two.press().await;
    two.first.has(counter).await;
}
