//! New certificates at a broker that does not say why it will not have them.

use crate::courier::Place;
use crate::support::{Running, STATE, URGENT};
use pendant_gateway::engine::certificate::{CertificateOf, Unfit};
use pendant_kit::broker::Verdict;

/// As many brokers answer a publish that is not allowed, and all that speak 3.1.1 can.
#[tokio::test]
async fn new_ones_for_which_the_broker_hangs_up_are_told_as_refused() {
    let place = Place::new();
    let broker = place.broker().await;
    let mut states = 0;
    broker.faults().judge(move |offer| {
        states += u32::from(offer.topic == STATE);
        // The second is by the new certificate, the next by the former one again.
        if offer.topic == STATE && states == 2 { Verdict::Close } else { Verdict::Take }
    });
    let mut running = Running::start(place.settings(broker.port(), "gw-1"));
    running.up().await;
    // The first one has its answer.
    running.offer(1, URGENT, "an event");
    running.refused().await;
    place.renew();
    running.handle.look_at_files();
    let refused = (CertificateOf::Gateway, Unfit::BrokerRefused);
    assert_eq!(running.verdict().await, Some(refused));
    let status = running.status(|status| status.connected).await;
    let trouble = status.certificate_trouble.expect("told");
    assert!(trouble.contains("the former ones are"), "{trouble}");
    running.handle.stop().await;
}
