//! MQTT 3.1.1 against a broker that follows a script to the byte.

use crate::support::{Running, Site, URGENT};
use crate::{
    Broker, EVENT_TAKEN, STATE_TAKEN, Script, events_go_out_without_the_centre_s_messages, fault_in,
};
use pendant_gateway::shell::uplink::{Awaited, BrokerFault};

const CONNACK: &[u8] = &[0x20, 2, 0, 0];
const SUBACK: &[u8] = &[0x90, 4, 0, 1, 1, 1];

async fn fault_by(script: Script) -> (BrokerFault, bool) {
    fault_in(Site::settings_untold, Box::leak(Box::new([script]))).await
}

#[tokio::test]
async fn events_go_out_within_a_window_of_our_own() {
    let script: Script = &[CONNACK, SUBACK, STATE_TAKEN, EVENT_TAKEN, &[]];
    let site = Site::new();
    let mut broker = Broker::start(&site, Box::leak(Box::new([script]))).await;
    let mut running = Running::start(site.settings_untold(broker.port));
    running.up().await;
    running.offer(1, URGENT, "event");
    running.taken(1).await;
    let status = running.status(|status| status.connected).await;
    assert_eq!(status.in_flight_max, 64, "3.1.1 has no receive maximum");
    let packets: Vec<u8> = std::iter::from_fn(|| broker.packets.try_recv().ok()).collect();
    let (connect, subscribe, state, publish) = (0x10, 0x82, 0x33, 0x32);
    assert_eq!(packets, [connect, subscribe, state, publish]);
    running.handle.stop().await;
}

#[tokio::test]
async fn each_refusal_of_the_login_is_told() {
    const CODES: [&[u8]; 5] =
        [&[0x20, 2, 0, 1], &[0x20, 2, 0, 2], &[0x20, 2, 0, 3], &[0x20, 2, 0, 4], &[0x20, 2, 0, 5]];
    for connack in CODES {
        let (fault, was_up) = fault_by(Box::leak(Box::new([connack]))).await;
        match connack[3] {
            2 | 4 | 5 => assert_eq!(fault, BrokerFault::LoginRefused, "{connack:?}"),
            _ => assert!(matches!(fault, BrokerFault::Refused(_)), "{connack:?}: {fault:?}"),
        }
        assert!(!was_up);
    }
}

#[tokio::test]
async fn a_refused_subscription_is_told_and_never_up() {
    let (fault, was_up) = fault_by(&[CONNACK, &[0x90, 4, 0, 1, 0x80, 1]]).await;
    assert_eq!(fault, BrokerFault::SubscribeRefused);
    assert!(!was_up);
}

#[tokio::test]
async fn a_broker_that_keeps_the_centre_s_messages_back_is_told_and_stops_nothing() {
    let script: Script = &[CONNACK, &[0x90, 4, 0, 1, 1, 0x80], STATE_TAKEN, EVENT_TAKEN, &[]];
    events_go_out_without_the_centre_s_messages(Site::settings_untold, script).await;
}

/// As when another client takes the session over, and as some brokers answer a publish
/// that is not allowed.
#[tokio::test]
async fn a_broker_that_hangs_up_without_a_word_is_told_and_dialled_again() {
    const SCRIPTS: &[Script] =
        &[&[CONNACK, SUBACK, STATE_TAKEN], &[CONNACK, SUBACK, STATE_TAKEN, EVENT_TAKEN, &[]]];
    let site = Site::new();
    let broker = Broker::start(&site, SCRIPTS).await;
    let mut running = Running::start(site.settings_untold(broker.port));
    running.up().await;
    running.down().await;
    assert_eq!(running.fault().await, BrokerFault::ClosedUntold);
    running.up().await;
    running.offer(2, URGENT, "offered again");
    running.taken(2).await;
    running.handle.stop().await;
}

#[tokio::test]
async fn a_broker_that_hangs_up_before_connack_is_told() {
    let (fault, _) = fault_by(&[&[]]).await;
    assert_eq!(fault, BrokerFault::ClosedEarly);
}

#[tokio::test]
async fn a_line_on_which_nothing_comes_back_is_given_up() {
    // The broker reads on, and answers neither the ping nor anything else.
    let (fault, was_up) =
        fault_by(&[CONNACK, SUBACK, STATE_TAKEN, &[], &[], &[], &[], &[], &[]]).await;
    assert_eq!(fault, BrokerFault::ProtocolTimeout(Awaited::Traffic));
    assert!(was_up);
}

#[tokio::test]
async fn garbage_ends_the_connection_and_nothing_else() {
    const GARBAGE: [Script; 8] = [
        &[&[0xFF; 64]],
        &[&[0x20, 2, 0, 9]],
        &[CONNACK, &[0x90, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]],
        &[CONNACK, SUBACK, &[0x32, 2, 0xFF, 0xFF]],
        &[CONNACK, SUBACK, &[0x40, 1, 0]],
        // PUBACK of a packet id that was never used.
        &[CONNACK, SUBACK, &[0x40, 2, 1, 44]],
        // What only version 5 has.
        &[CONNACK, SUBACK, &[0xE0, 2, 0x8E, 0]],
        // Longer than anything that is taken.
        &[CONNACK, SUBACK, &[0x32, 0xFF, 0xFF, 0xFF, 0x7F]],
    ];
    for script in GARBAGE {
        let (fault, _) = fault_by(script).await;
        assert!(matches!(fault, BrokerFault::Protocol(_)), "{script:?}: {fault:?}");
    }
}
