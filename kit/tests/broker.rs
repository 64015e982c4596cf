//! The embedded broker against a client that others wrote, over mutual TLS.

use pendant_kit::broker::{Broker, BrokerSettings, ConnectReturnCode, PubAckReason, Verdict};
use pendant_kit::pki::{Leaf, Pki};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, Publish};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use rumqttc::{TlsConfiguration, Transport};
use std::time::Duration;
use tokio::time::timeout;

/// Far beyond what anything here takes; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    pki: Pki,
    broker: Broker,
}

impl Rig {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut BrokerSettings)) -> Self {
        let pki = Pki::new().expect("an authority");
        let server = pki.issue(&Leaf::server()).expect("a certificate");
        let mut settings = BrokerSettings::new(pki.server_config(&server).expect("TLS"));
        change(&mut settings);
        let broker = Broker::start(settings).await.expect("a broker");
        Self { pki, broker }
    }

    fn options(&self, name: &str) -> MqttOptions {
        let mut options = MqttOptions::new(name, "localhost", self.broker.port());
        let identity = self.pki.issue(&Leaf::client(name)).expect("a certificate");
        let tls = self.pki.client_config(&identity).expect("TLS");
        options
            .set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)))
            .set_clean_start(false)
            .set_session_expiry_interval(Some(3600))
            .set_keep_alive(Duration::from_secs(30));
        options
    }

    /// A connected client, and whether the broker had kept its session.
    async fn client(&self, name: &str) -> (Client, bool) {
        Client::connect(self.options(name)).await.expect("a connection")
    }

    /// A connected client that subscribes to everything.
    async fn subscriber(&self, name: &str) -> Client {
        let (mut client, _) = self.client(name).await;
        client.requests.subscribe("#", QoS::AtLeastOnce).await.expect("room");
        client.until(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
        client
    }
}

struct Client {
    requests: AsyncClient,
    events: EventLoop,
}

impl Client {
    async fn connect(options: MqttOptions) -> Result<(Self, bool), ConnectionError> {
        let (requests, events) = AsyncClient::new(options, 100);
        let mut client = Self { requests, events };
        let present = client
            .attempt(|packet| match packet {
                Packet::ConnAck(ack) => Some(ack.session_present),
                _ => None,
            })
            .await?;
        Ok((client, present))
    }

    async fn attempt<T>(
        &mut self,
        mut wanted: impl FnMut(&Packet) -> Option<T>,
    ) -> Result<T, ConnectionError> {
        let found = timeout(PATIENCE, async {
            loop {
                let Event::Incoming(packet) = self.events.poll().await? else {
                    continue;
                };
                if let Some(found) = wanted(&packet) {
                    return Ok(found);
                }
            }
        });
        found.await.expect("an answer in time")
    }

    async fn until<T>(&mut self, wanted: impl FnMut(&Packet) -> Option<T>) -> T {
        self.attempt(wanted).await.expect("a connection that lasts")
    }

    /// Runs until the connection ends.
    async fn until_end(&mut self) {
        let ended = self.attempt(|_| None::<()>).await;
        assert!(ended.is_err());
    }

    async fn offer(&self, topic: &str, payload: &str) {
        self.offer_retained(topic, payload, false).await;
    }

    async fn offer_retained(&self, topic: &str, payload: &str, retain: bool) {
        let payload = payload.as_bytes().to_vec();
        self.requests.publish(topic, QoS::AtLeastOnce, retain, payload).await.expect("room");
    }

    async fn puback(&mut self) -> PubAckReason {
        self.until(|packet| match packet {
            Packet::PubAck(ack) => Some(ack.reason),
            _ => None,
        })
        .await
    }

    async fn message(&mut self) -> Publish {
        self.until(|packet| match packet {
            Packet::Publish(publish) => Some(publish.clone()),
            _ => None,
        })
        .await
    }

    async fn text(&mut self) -> String {
        String::from_utf8(self.message().await.payload.to_vec()).expect("text")
    }
}

#[tokio::test]
async fn carries_qos_1_both_ways_and_records() {
    let rig = Rig::new().await;
    let (mut gateway, present) = rig.client("gateway").await;
    assert!(!present);
    gateway.offer("a/b", "nobody listens").await;
    assert_eq!(gateway.puback().await, PubAckReason::NoMatchingSubscribers);

    let mut centre = rig.subscriber("centre").await;
    gateway.offer("a/b", "press").await;
    assert_eq!(gateway.puback().await, PubAckReason::Success);
    let message = centre.message().await;
    assert_eq!((&message.payload[..], message.retain), (&b"press"[..], false));

    gateway.requests.subscribe("receipt/+", QoS::AtLeastOnce).await.expect("room");
    gateway.until(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    centre.offer("receipt/1", "received").await;
    centre.puback().await;
    assert_eq!(gateway.text().await, "received");

    let seen = rig.broker.seen();
    let texts: Vec<_> = seen.iter().map(|seen| (&seen.payload[..], seen.size())).collect();
    let expected: [(&[u8], usize); 3] = [(b"nobody listens", 17), (b"press", 8), (b"received", 17)];
    assert_eq!(texts, expected);
    assert!(seen.iter().all(|seen| seen.taken));
}

#[tokio::test]
async fn keeps_retained_messages_until_they_are_emptied() {
    let rig = Rig::new().await;
    let (mut gateway, _) = rig.client("gateway").await;
    gateway.offer_retained("g/state", "online", true).await;
    gateway.puback().await;
    let mut centre = rig.subscriber("centre").await;
    let message = centre.message().await;
    assert_eq!((&message.payload[..], message.retain), (&b"online"[..], true));

    gateway.offer_retained("g/state", "", true).await;
    gateway.puback().await;
    let mut other = rig.subscriber("other").await;
    gateway.offer("g/event", "live").await;
    gateway.puback().await;
    assert_eq!(other.text().await, "live");
}

#[tokio::test]
async fn publishes_the_will_of_who_vanishes_and_not_of_who_leaves() {
    let rig = Rig::new().await;
    let mut centre = rig.subscriber("centre").await;
    for (leaves, expected) in [(true, "still here"), (false, "offline")] {
        let mut options = rig.options("gateway");
        options.set_last_will(LastWill::new("g/state", "offline", QoS::AtLeastOnce, true, None));
        let (mut gateway, _) = Client::connect(options).await.expect("a connection");
        if leaves {
            gateway.requests.disconnect().await.expect("room");
            gateway.until_end().await;
            rig.broker.wait(|view| (!view.is_connected("gateway")).then_some(())).await;
            let (mut another, _) = rig.client("another").await;
            another.offer("x", "still here").await;
            another.puback().await;
        } else {
            drop(gateway);
        }
        assert_eq!(centre.text().await, expected);
    }
}

#[tokio::test]
async fn keeps_sessions_over_a_restart_and_loses_them_when_told() {
    let mut rig = Rig::new().await;
    let port = rig.broker.port();
    let mut centre = rig.subscriber("centre").await;
    centre.requests.disconnect().await.expect("room");
    centre.until_end().await;
    let (mut gateway, _) = rig.client("gateway").await;
    gateway.offer("a", "while away").await;
    assert_eq!(gateway.puback().await, PubAckReason::Success);

    rig.broker.stop().await;
    gateway.until_end().await;
    assert!(Client::connect(rig.options("centre")).await.is_err());
    rig.broker.resume().await.expect("the same port");
    assert_eq!(rig.broker.port(), port);
    let (mut centre, present) = rig.client("centre").await;
    assert!(present);
    assert_eq!(centre.text().await, "while away");

    drop(centre);
    rig.broker.wait(|view| (!view.is_connected("centre")).then_some(())).await;
    rig.broker.faults().lose_sessions(true);
    let (_, present) = rig.client("centre").await;
    assert!(!present);
}

#[tokio::test]
async fn a_second_login_takes_the_session_over() {
    let rig = Rig::new().await;
    let mut first = rig.subscriber("centre").await;
    let (mut second, present) = rig.client("centre").await;
    assert!(present);
    first.until_end().await;
    let (gateway, _) = rig.client("gateway").await;
    let mut gateway = gateway;
    gateway.offer("a", "to the second").await;
    gateway.puback().await;
    assert_eq!(second.text().await, "to the second");
}

#[tokio::test]
async fn sends_again_what_was_not_acknowledged() {
    let rig = Rig::new().await;
    let mut options = rig.options("centre");
    options.set_manual_acks(true);
    let (mut centre, _) = Client::connect(options.clone()).await.expect("a connection");
    centre.requests.subscribe("a", QoS::AtLeastOnce).await.expect("room");
    centre.until(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    let (mut gateway, _) = rig.client("gateway").await;
    gateway.offer("a", "press").await;
    gateway.puback().await;
    assert!(!centre.message().await.dup);
    drop(centre);
    let (mut centre, _) = Client::connect(options).await.expect("a connection");
    let again = centre.message().await;
    assert_eq!((&again.payload[..], again.dup), (&b"press"[..], true));
}

#[tokio::test]
async fn refuses_what_it_is_told_to() {
    let rig = Rig::new().await;
    let mut centre = rig.subscriber("centre").await;
    let (mut gateway, _) = rig.client("gateway").await;
    for reason in [
        PubAckReason::NotAuthorized,
        PubAckReason::QuotaExceeded,
        PubAckReason::NoMatchingSubscribers,
    ] {
        rig.broker.faults().refuse(reason, |offer| offer.payload == b"bad");
        gateway.offer("a", "bad").await;
        assert_eq!(gateway.puback().await, reason);
    }
    gateway.offer("a", "good").await;
    assert_eq!(gateway.puback().await, PubAckReason::Success);
    assert_eq!(centre.text().await, "good");
    let taken: Vec<_> = rig.broker.seen().iter().map(|seen| seen.taken).collect();
    assert_eq!(taken, [false, false, false, true]);
}

#[tokio::test]
async fn closes_with_and_without_a_word() {
    let rig = Rig::new().await;
    let mut centre = rig.subscriber("centre").await;
    for (verdict, expected_ack, arrives) in [
        (
            Verdict::RefuseThenClose(PubAckReason::NotAuthorized),
            Some(PubAckReason::NotAuthorized),
            false,
        ),
        (Verdict::Close, None, false),
        (Verdict::TakeThenClose, None, true),
    ] {
        let (mut gateway, _) = rig.client("gateway").await;
        rig.broker.faults().judge(move |_| verdict);
        gateway.offer("a", "press").await;
        gateway.until_end().await;
        // What came in one batch with the end is left behind in the client's state.
        let ack = gateway.events.state.events.iter().find_map(|event| match event {
            Event::Incoming(Packet::PubAck(ack)) => Some(ack.reason),
            _ => None,
        });
        assert_eq!(ack, expected_ack, "{verdict:?}");
        if arrives {
            assert_eq!(centre.text().await, "press");
        }
    }
}

#[tokio::test]
async fn withholds_delays_and_doubles_acknowledgements() {
    let rig = Rig::new().await;
    let mut centre = rig.subscriber("centre").await;
    let (mut gateway, _) = rig.client("gateway").await;
    let faults = rig.broker.faults();
    faults.judge(|_| Verdict::TakeWithhold);
    gateway.offer("a", "1").await;
    // Polling is what sends; the message arrives although its acknowledgement does not.
    tokio::select! {
        _ = gateway.puback() => panic!("acknowledged before release"),
        text = centre.text() => assert_eq!(text, "1"),
    }
    faults.release();
    assert_eq!(gateway.puback().await, PubAckReason::Success);

    let delay = Duration::from_millis(100);
    faults.judge(move |_| Verdict::TakeAckLate(delay));
    let before = tokio::time::Instant::now();
    gateway.offer("a", "2").await;
    assert_eq!(gateway.puback().await, PubAckReason::Success);
    assert!(before.elapsed() >= delay);

    faults.judge(|_| Verdict::TakeAckTwice);
    gateway.offer("a", "3").await;
    // The client takes the second one for a protocol error.
    let ended = gateway.attempt(|_| None::<()>).await;
    assert!(matches!(ended, Err(ConnectionError::MqttState(StateError::Unsolicited(_)))));
}

#[tokio::test]
async fn refuses_logins_and_stalls() {
    let rig = Rig::new().await;
    let faults = rig.broker.faults();
    faults.refuse_login(Some(ConnectReturnCode::NotAuthorized));
    let refused = Client::connect(rig.options("gateway")).await.map(|_| ());
    assert!(matches!(
        refused,
        Err(ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized))
    ));
    faults.clear();

    let (mut gateway, _) = rig.client("gateway").await;
    faults.stall(true);
    gateway.offer("a", "press").await;
    let quiet = timeout(Duration::from_millis(200), gateway.puback()).await;
    assert!(quiet.is_err());
    assert!(rig.broker.seen().is_empty());
    faults.clear();
    assert_eq!(gateway.puback().await, PubAckReason::NoMatchingSubscribers);
}

#[tokio::test]
async fn a_full_queue_refuses_instead_of_losing() {
    let rig = Rig::with(|settings| {
        settings.queue_max = 2;
        settings.inflight_max = 1;
    })
    .await;
    drop(rig.subscriber("centre").await);
    rig.broker.wait(|view| (!view.is_connected("centre")).then_some(())).await;
    let (mut gateway, _) = rig.client("gateway").await;
    for expected in [PubAckReason::Success, PubAckReason::Success, PubAckReason::QuotaExceeded] {
        gateway.offer("a", "x").await;
        assert_eq!(gateway.puback().await, expected);
    }
    let (mut centre, _) = rig.client("centre").await;
    assert_eq!((centre.text().await, centre.text().await), ("x".into(), "x".into()));
}

#[tokio::test]
async fn only_certificates_of_its_authority_are_let_in() {
    let rig = Rig::new().await;
    let other = Pki::new().expect("an authority");
    let cases = [
        (&rig.pki, rig.pki.issue(&Leaf::client("late").expired())),
        (&rig.pki, other.issue(&Leaf::client("stranger"))),
        (&rig.pki, rig.pki.issue(&Leaf::server())),
        (&other, rig.pki.issue(&Leaf::client("trusts the wrong authority"))),
    ];
    for (trusted, identity) in cases {
        let tls = trusted.client_config(&identity.expect("a certificate")).expect("TLS");
        let mut options = rig.options("gateway");
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)));
        assert!(Client::connect(options).await.is_err());
    }
    assert_eq!(rig.broker.look(|view| view.logins()), 0);
}

#[tokio::test]
async fn garbage_ends_the_connection_and_nothing_else() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let rig = Rig::new().await;
    let identity = rig.pki.issue(&Leaf::client("rogue")).expect("a certificate");
    let tls = tokio_rustls::TlsConnector::from(rig.pki.client_config(&identity).expect("TLS"));
    for garbage in [&[0xFF; 64][..], &[0x10, 0xFF, 0xFF, 0xFF, 0x7F], &[0x30, 0x02, 0x00, 0x09]] {
        let socket = tokio::net::TcpStream::connect(("127.0.0.1", rig.broker.port()))
            .await
            .expect("a connection");
        let name = "localhost".try_into().expect("a host name");
        let mut stream = tls.connect(name, socket).await.expect("a handshake");
        stream.write_all(garbage).await.expect("sent");
        let mut answer = Vec::new();
        // An abrupt end is as good as a proper one.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
        assert!(answer.is_empty());
    }
    rig.client("gateway").await;
}
