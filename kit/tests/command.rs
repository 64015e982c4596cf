//! The centre's messages against the gateway's own judgement of them.

use pendant_gateway::engine::command::{
    self, Answered, CentreKeys, Commands, Judgement, PublicKey, Standing, Verdict,
};
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::seam::BrokerId;
use pendant_gateway::engine::time::{Mono, Now, Wall, WallSource};
use pendant_kit::broker::{Broker, BrokerSettings};
use pendant_kit::centre::{
    ANSWER_WIRE_BYTES, Answer, Ask, CENTRE_WIRE_BYTES, Centre, CentreSettings, CommandError, Heard,
    News, SigningKey,
};
use pendant_kit::pki::{Leaf, Pki};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Far beyond what anything here takes; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(50);
const BASE: &str = "lonework/v1/plant/gate-1";
const BOOT: u64 = 0x0123_4567_89ab_cdef;

struct Rig {
    pki: Pki,
    broker: Broker,
    pkcs8: Vec<u8>,
}

impl Rig {
    async fn new() -> Self {
        let pki = Pki::new().expect("an authority");
        let server = pki.issue(&Leaf::server()).expect("a certificate");
        let tls = pki.server_config(&server).expect("TLS");
        let broker = Broker::start(BrokerSettings::new(tls)).await.expect("a broker");
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self { pki, broker, pkcs8: pkcs8.as_ref().to_vec() }
    }

    fn centre(&self, signs: bool) -> Centre {
        let identity = self.pki.issue(&Leaf::client("centre")).expect("a certificate");
        let tls = self.pki.client_config(&identity).expect("TLS");
        let key = SigningKey::new("desk", &self.pkcs8).expect("a key");
        Centre::start(CentreSettings {
            message_interval: Some(INTERVAL),
            signing_key: signs.then(|| Arc::new(key)),
            ..CentreSettings::new("localhost", self.broker.port(), "centre", tls)
        })
    }

    async fn gateway(&self) -> Gateway {
        let identity = self.pki.issue(&Leaf::client("gate-1")).expect("a certificate");
        let tls = self.pki.client_config(&identity).expect("TLS");
        let mut options = MqttOptions::new("gate-1", "localhost", self.broker.port());
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)));
        let (requests, mut events) = AsyncClient::new(options, 100);
        let topic = format!("{BASE}/command");
        requests.subscribe(topic, QoS::AtLeastOnce).await.expect("room");
        let pair = Ed25519KeyPair::from_pkcs8(&self.pkcs8).expect("a key");
        let key = PublicKey(pair.public_key().as_ref().try_into().expect("32 bytes"));
        let name = Name::new("desk").expect("a name");
        let keys = CentreKeys::new([(name, key)]).expect("one key");
        let commands = Commands::new(BASE, BOOT, keys, Answered::default());
        let (send, messages) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                if let Event::Incoming(Packet::Publish(publish)) = event {
                    if send.send(publish).is_err() {
                        return;
                    }
                }
            }
        });
        Gateway { requests, messages, commands }
    }
}

/// Hears by the engine, and answers.
struct Gateway {
    requests: AsyncClient,
    messages: mpsc::UnboundedReceiver<Publish>,
    commands: Commands,
}

impl Gateway {
    async fn say(&self, rest: &str, retained: bool, payload: impl Into<bytes::Bytes>) {
        let topic = format!("{BASE}/{rest}");
        let published = self.requests.publish(topic, QoS::AtLeastOnce, retained, payload.into());
        published.await.expect("room");
    }

    /// What the next message brings; answers it if told to.
    async fn hear(&mut self, answers: bool) -> Vec<Verdict> {
        let message = timeout(PATIENCE, self.messages.recv()).await.expect("a message in time");
        let message = message.expect("a connection that lasts");
        assert_eq!(message.topic.len() + message.payload.len(), CENTRE_WIRE_BYTES);
        assert!(!message.retain);
        let heard = self.commands.hear(&message.payload);
        let wall =
            Wall::Set { unix_ms: 1_000_000_000_000, uncertainty_ms: 0, source: WallSource::Ntp };
        let now = Now { mono: Mono::ZERO, wall };
        let list = heard.commands.clone().unwrap_or_default();
        let standing = Standing { open_incident: Some(7), ..Standing::default() };
        let judged: Vec<Judgement> = list
            .iter()
            .map(|command| {
                let enrolled = |pendant: pendant_protocol::PendantId| {
                    (pendant.get() == 0x12f).then_some(standing)
                };
                self.commands.judge(command, now, enrolled)
            })
            .collect();
        let answer = self.commands.answer(BrokerId(0), &heard, &judged);
        assert_eq!(answer.topic, format!("{BASE}/answer"));
        if answers {
            self.say("answer", false, answer.payload).await;
        }
        judged.into_iter().map(|it| it.verdict).collect()
    }
}

/// The next answer; other news are passed over.
async fn answer(centre: &mut Centre) -> Answer {
    let next = async {
        loop {
            if let News::Heard(Heard::Answer { answer, flaws, .. }) =
                centre.next().await.expect("the centre is there")
            {
                assert_eq!(flaws, []);
                return answer;
            }
        }
    };
    timeout(PATIENCE, next).await.expect("an answer in time")
}

#[test]
fn both_sides_agree_on_sizes() {
    assert_eq!(CENTRE_WIRE_BYTES, command::CENTRE_WIRE_BYTES);
    assert_eq!(ANSWER_WIRE_BYTES, command::ANSWER_WIRE_BYTES);
}

#[tokio::test]
async fn commands_are_signed_carried_out_once_and_answered() {
    let rig = Rig::new().await;
    let mut gateway = rig.gateway().await;
    let mut centre = rig.centre(true);
    let pendant = || "00012f".to_owned();
    let ask = |ask: Ask| centre.command("plant", "gate-1", &ask, None).expect("it is taken");
    let close = ask(Ask::Close { pendant: pendant(), incident: 7 });
    let led = ask(Ask::Led { pendant: pendant() });
    let stranger = ask(Ask::Track { pendant: "000001".into(), on: true });
    let over = SystemTime::UNIX_EPOCH;
    let late = centre.command("plant", "gate-1", &Ask::Ping, Some(over)).expect("it is taken");

    // The centre does not know the boot yet, and learns it from the answer.
    assert_eq!(gateway.hear(true).await, []);
    assert_eq!(answer(&mut centre).await.refused.as_deref(), Some("other_boot"));
    // The answer to the next is lost; the one after says what it was.
    let mut verdicts = gateway.hear(false).await;
    while verdicts.is_empty() {
        verdicts = gateway.hear(false).await;
    }
    assert!(matches!(verdicts[0], Verdict::Carry(command::Ask::Close { incident: 7, .. })));
    assert!(matches!(verdicts[1], Verdict::Carry(command::Ask::Led(_))));
    let again = gateway.hear(true).await;
    assert!(again.iter().all(|verdict| matches!(verdict, Verdict::Refused(_))), "{again:?}");
    let answer = answer(&mut centre).await;
    assert_eq!(answer.boot, format!("{BOOT:016x}"));
    let told: Vec<_> = answer
        .results
        .iter()
        .map(|it| (it.id.as_deref(), it.reason.as_deref(), it.first.as_deref()))
        .collect();
    let expected = [
        (Some(close.as_str()), Some("repeated"), Some("done")),
        (Some(led.as_str()), Some("repeated"), Some("accepted")),
        (Some(stranger.as_str()), Some("unknown_pendant"), None),
        (Some(late.as_str()), Some("expired"), None),
    ];
    assert_eq!(told, expected);
    // What was answered is asked no more, and the messages go on.
    while !gateway.hear(true).await.is_empty() {}
    assert_eq!(gateway.hear(true).await, []);
    centre.stop().await;
}

#[tokio::test]
async fn nine_of_the_longest_commands_need_two_messages() {
    let rig = Rig::new().await;
    let mut gateway = rig.gateway().await;
    let centre = rig.centre(true);
    gateway.say("state", true, format!(r#"{{"state":"online","boot":"{BOOT:016x}"}}"#)).await;
    let expires = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000));
    let wearer = "w".repeat(32);
    let ask = Ask::Rebind { pendant: "00012f".into(), wearer };
    for _ in 0..9 {
        centre.command("plant", "gate-1", &ask, expires).expect("it is taken");
    }
    let mut counts = Vec::new();
    while counts.iter().sum::<usize>() < 9 {
        let verdicts = gateway.hear(true).await;
        let carried = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Carry(_)));
        counts.push(carried.count());
    }
    counts.retain(|count| *count > 0);
    assert_eq!(counts, [8, 1]);
    centre.stop().await;
}

#[tokio::test]
async fn a_centre_without_the_key_is_refused_and_a_deaf_gateway_is_told() {
    let rig = Rig::new().await;
    let mut gateway = rig.gateway().await;
    let mut centre = rig.centre(false);
    gateway.say("state", true, r#"{"state":"online","boot":"x\",\"number\":9"}"#).await;
    assert_eq!(gateway.hear(true).await, []);
    assert_eq!(answer(&mut centre).await.refused.as_deref(), Some("unsigned"));
    let deaf = async {
        loop {
            if let News::Deaf { site, gateway } = centre.next().await.expect("the centre is there")
            {
                return (site, gateway);
            }
        }
    };
    let told = timeout(PATIENCE, deaf).await.expect("in time");
    assert_eq!(told, ("plant".into(), "gate-1".into()));
    centre.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_at_once() {
    let rig = Rig::new().await;
    let centre = rig.centre(true);
    let long = Ask::Revoke { pendant: "0".repeat(200) };
    assert_eq!(centre.command("plant", "gate-1", &long, None), Err(CommandError::TooLong));
    assert_eq!(centre.command("+", "gate-1", &Ask::Ping, None), Err(CommandError::NoGateway));
    for _ in 0..256 {
        centre.command("plant", "gate-1", &Ask::Ping, None).expect("it is taken");
    }
    assert_eq!(centre.command("plant", "gate-1", &Ask::Ping, None), Err(CommandError::Full));
    assert!(SigningKey::new("no name", &rig.pkcs8).is_err());
    assert!(SigningKey::new("desk", b"no key").is_err());
    centre.stop().await;
}
