//! The uplink against a broker that follows a script to the byte: what
//! mosquitto does not do, or not reliably.

#[allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "uplink/script_3_1_1.rs"]
mod script_3_1_1;
#[path = "support/uplink.rs"]
mod support;

use pendant_gateway::engine::seam::BrokerInput;
use pendant_gateway::shell::uplink::{Awaited, BrokerFault, BrokerSettings};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::sync::Arc;
use support::{Running, Site, URGENT, news_there};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Answers to CONNECT, SUBSCRIBE (packet id 1), the state (2), events (3 and on),
/// in the order in which these packets come; then the broker hangs up.
type Script = &'static [&'static [u8]];

const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];
const SUBACK: &[u8] = &[0x90, 5, 0, 1, 0, 1, 1];
const STATE_TAKEN: &[u8] = &[0x40, 2, 0, 2];
const EVENT_TAKEN: &[u8] = &[0x40, 2, 0, 3];

/// A broker that serves one connection after another, each by its script, and
/// tells of each packet's first byte.
struct Broker {
    port: u16,
    task: tokio::task::JoinHandle<()>,
    packets: tokio::sync::mpsc::UnboundedReceiver<u8>,
}

impl Broker {
    async fn start(site: &Site, scripts: &'static [Script]) -> Self {
        let chain = CertificateDer::from_pem_file(&site.server.certificate).expect("just written");
        let key = PrivateKeyDer::from_pem_file(&site.server.key).expect("just written");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (tell, packets) = tokio::sync::mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            for &script in scripts {
                let (tcp, _) = listener.accept().await.expect("the uplink dials");
                let Ok(mut tls) = acceptor.accept(tcp).await else {
                    continue;
                };
                for &answer in script {
                    let Ok(first) = read_packet(&mut tls).await else {
                        break;
                    };
                    let _ = tell.send(first);
                    if tls.write_all(answer).await.and(tls.flush().await).is_err() {
                        break;
                    }
                }
            }
        });
        Self { port, task, packets }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_packet(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<u8> {
    let first = stream.read_u8().await?;
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let digit = stream.read_u8().await?;
        length |= usize::from(digit & 0x7F) << shift;
        if digit & 0x80 == 0 {
            break;
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(first)
}

#[tokio::test]
async fn a_refusal_right_before_the_broker_hangs_up_is_not_lost() {
    let refused: Script = &[CONNACK, SUBACK, STATE_TAKEN, &[0x40, 3, 0, 3, 0x87]];
    let taken: Script = &[CONNACK, SUBACK, STATE_TAKEN, EVENT_TAKEN, &[]];
    let scripts: &'static [Script] = Box::leak(Box::new([refused, taken]));
    let site = Site::new();
    let broker = Broker::start(&site, scripts).await;
    let mut running = Running::start(site.settings(broker.port));
    running.up().await;
    running.offer(1, URGENT, "poison");
    assert_eq!(running.refused().await, (1, 0x87));
    running.down().await;
    running.up().await;
    running.offer(2, URGENT, "the next");
    running.taken(2).await;
    running.handle.stop().await;
}

#[tokio::test]
async fn an_acknowledgement_that_nobody_waits_for_takes_nothing() {
    // Packet id 300 was never used; the library gives the connection up over it.
    const SCRIPTS: &[Script] = &[
        &[CONNACK, SUBACK, STATE_TAKEN, &[0x40, 2, 1, 44]],
        &[CONNACK, SUBACK, STATE_TAKEN, EVENT_TAKEN, &[]],
    ];
    let site = Site::new();
    let broker = Broker::start(&site, SCRIPTS).await;
    let mut running = Running::start(site.settings(broker.port));
    running.up().await;
    running.offer(1, URGENT, "offered");
    running.down().await;
    assert!(matches!(running.fault().await, BrokerFault::Protocol(_)));
    running.up().await;
    running.offer(2, URGENT, "offered again");
    running.taken(2).await;
    running.handle.stop().await;
}

#[tokio::test]
async fn a_keep_alive_of_zero_does_not_make_a_storm_of_pings() {
    // CONNACK with the property Server Keep Alive = 0; then one ping (the library
    // cannot be kept from it), and no other before the event.
    const SCRIPTS: &[Script] = &[&[
        &[0x20, 6, 0, 0, 3, 0x13, 0, 0],
        &[],
        &[0x90, 4, 0, 1, 0, 1, 0xD0, 0],
        STATE_TAKEN,
        EVENT_TAKEN,
        &[],
    ]];
    let site = Site::new();
    let mut broker = Broker::start(&site, SCRIPTS).await;
    let mut running = Running::start(site.settings(broker.port));
    running.up().await;
    running.offer(1, URGENT, "event");
    running.taken(1).await;
    let mut packets = Vec::new();
    while let Ok(packet) = broker.packets.try_recv() {
        packets.push(packet);
    }
    packets.sort_unstable();
    let (connect, publish, state, subscribe, ping) = (0x10, 0x32, 0x33, 0x82, 0xC0);
    assert_eq!(packets, [connect, publish, state, subscribe, ping]);
    running.handle.stop().await;
}

/// The library takes it over for its first ping, and nothing else is said on the line.
#[tokio::test]
async fn a_keep_alive_longer_than_ours_does_not_make_a_quiet_line_look_dead() {
    // CONNACK with the property Server Keep Alive = 3600.
    const SCRIPTS: &[Script] = &[&[
        &[0x20, 6, 0, 0, 3, 0x13, 0x0E, 0x10],
        SUBACK,
        STATE_TAKEN,
        &[0x40, 2, 0, 3],
        &[0x40, 2, 0, 4],
        &[],
    ]];
    let site = Site::new();
    let mut broker = Broker::start(&site, SCRIPTS).await;
    let mut running = Running::start(site.settings(broker.port));
    running.up().await;
    let (connect, subscribe, state) = (0x10, 0x82, 0x33);
    for expected in [connect, subscribe, state, state] {
        assert_eq!(broker.packets.recv().await, Some(expected));
    }
    running.offer(1, URGENT, "event");
    running.taken(1).await;
    running.handle.stop().await;
}

/// Version 5 or 3.1.1 of a site's settings.
type Version = fn(&Site, u16) -> BrokerSettings;

/// The fault after connections that follow these scripts, and whether the first was up.
async fn fault_in(version: Version, scripts: &'static [Script]) -> (BrokerFault, bool) {
    let site = Site::new();
    let broker = Broker::start(&site, scripts).await;
    let mut running = Running::start(version(&site, broker.port));
    let fault = running.fault().await;
    let was_up = matches!(news_there(&mut running.news), Some(BrokerInput::Up { .. }));
    running.handle.stop().await;
    (fault, was_up)
}

async fn fault_by(scripts: &'static [Script]) -> (BrokerFault, bool) {
    fault_in(Site::settings, scripts).await
}

/// By this SUBACK receipts are granted and the centre's messages are not.
async fn events_go_out_without_the_centre_s_messages(version: Version, script: Script) {
    let site = Site::new();
    let broker = Broker::start(&site, Box::leak(Box::new([script]))).await;
    let mut running = Running::start(version(&site, broker.port));
    running.up().await;
    assert_eq!(running.fault().await, BrokerFault::CommandsRefused);
    running.offer(1, URGENT, "all the same");
    running.taken(1).await;
    running.handle.stop().await;
}

#[tokio::test]
async fn a_refused_subscription_is_told_and_never_up() {
    let (fault, was_up) = fault_by(&[&[CONNACK, &[0x90, 5, 0, 1, 0, 0x87, 1]]]).await;
    assert_eq!(fault, BrokerFault::SubscribeRefused);
    assert!(!was_up);
}

#[tokio::test]
async fn a_broker_that_keeps_the_centre_s_messages_back_is_told_and_stops_nothing() {
    let script: Script = &[CONNACK, &[0x90, 5, 0, 1, 0, 1, 0x87], STATE_TAKEN, EVENT_TAKEN, &[]];
    events_go_out_without_the_centre_s_messages(Site::settings, script).await;
}

#[tokio::test]
async fn a_taken_over_session_is_told() {
    let (fault, _) = fault_by(&[&[CONNACK, SUBACK, &[0xE0, 2, 0x8E, 0]]]).await;
    assert_eq!(fault, BrokerFault::TakenOver);
}

#[tokio::test]
async fn a_broker_that_shuts_down_is_told_with_its_reason() {
    let (fault, _) = fault_by(&[&[CONNACK, SUBACK, &[0xE0, 2, 0x8B, 0]]]).await;
    assert_eq!(fault, BrokerFault::Closed(Some(0x8B)));
    let (fault, _) = fault_by(&[&[CONNACK, SUBACK, &[0xE0, 0]]]).await;
    assert_eq!(fault, BrokerFault::Closed(None));
}

#[tokio::test]
async fn a_broker_that_takes_only_short_packets_is_told() {
    let (fault, _) = fault_by(&[&[&[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 64], SUBACK, &[], &[]]]).await;
    assert_eq!(fault, BrokerFault::PacketLimit(64));
}

#[tokio::test]
async fn garbage_ends_the_connection_and_nothing_else() {
    const GARBAGE: [&[Script]; 5] = [
        &[&[&[0xFF; 64]]],
        &[&[CONNACK, &[0x90, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]]],
        &[&[CONNACK, SUBACK, &[0x32, 2, 0xFF, 0xFF]]],
        &[&[CONNACK, SUBACK, &[0x40, 1, 0]]],
        &[&[CONNACK, SUBACK, &[0x40, 3, 0, 2, 0x42]]],
    ];
    for script in GARBAGE {
        let (fault, _) = fault_by(script).await;
        assert!(matches!(fault, BrokerFault::Protocol(_)), "{script:?}: {fault:?}");
    }
}

#[tokio::test]
async fn a_port_that_never_answers_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let site = Site::new();
    let running = Running::start(site.settings(port));
    let silent = listener.accept().await.expect("the uplink dials");
    let fault = running.fault().await;
    assert_eq!(fault, BrokerFault::ProtocolTimeout(Awaited::Connection));
    drop(silent);
    running.handle.stop().await;
}
