//! An uplink under test, with the certificates of a site.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use crate::mosquitto::{Authority, Identity, Mosquitto, SOON, Subscriber, VALID};
use pendant_gateway::config::MqttVersion;
use pendant_gateway::engine::certificate::{CertificateOf, Unfit};
use pendant_gateway::engine::event::Lane;
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::seam::{Answer, BrokerId, BrokerInput, Publish, PublishId};
use pendant_gateway::shell::tls::TlsFiles;
use pendant_gateway::shell::uplink::{
    self, BrokerFault, BrokerSettings, UplinkHandle, UplinkStatus,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

pub const STATE: &str = "lonework/v1/north/gw-1/state";
pub const RECEIPT: &str = "lonework/v1/north/gw-1/receipt";
pub const COMMAND: &str = "lonework/v1/north/gw-1/command";
pub const ANSWER: &str = "lonework/v1/north/gw-1/answer";
pub const URGENT: &str = "lonework/v1/north/gw-1/event/urgent";
pub const OPEN_TO_ALL: &str = "allow_anonymous true";
/// Any but the first, so that news under a fixed name would show.
const BROKER: BrokerId = BrokerId(1);

/// An authority, its broker's identity, and clients.
pub struct Site {
    pub authority: Authority,
    pub server: Identity,
    pub gateway: Identity,
    pub centre: Identity,
}

impl Site {
    pub fn new() -> Self {
        let authority = Authority::new("site authority");
        Self {
            server: authority.issue("broker", &["127.0.0.1", "broker.site"], VALID),
            gateway: authority.issue("gw-1", &[], VALID),
            centre: authority.issue("centre", &[], VALID),
            authority,
        }
    }

    pub async fn broker(&self, more: &str) -> Mosquitto {
        Mosquitto::start(&self.authority, &self.server, more).await
    }

    pub async fn subscriber(&self, broker: &mut Mosquitto, filter: &str) -> Subscriber {
        Subscriber::start(broker, &self.authority, &self.centre, filter).await
    }

    /// The same in MQTT 3.1.1.
    pub fn settings_untold(&self, port: u16) -> BrokerSettings {
        BrokerSettings { mqtt: MqttVersion::V3_1_1, ..self.settings(port) }
    }

    pub fn settings(&self, port: u16) -> BrokerSettings {
        let name = |text| Name::new(text).expect("a fine name");
        BrokerSettings {
            name: name("broker-2"),
            host: "127.0.0.1".into(),
            port,
            mqtt: MqttVersion::V5,
            interface: None,
            server_name: "broker.site".into(),
            client_id: "gw-1".into(),
            credentials: None,
            tls: TlsFiles {
                authority: self.authority.file(),
                certificate: self.gateway.certificate.clone(),
                key: self.gateway.key.clone(),
            },
            keep_alive_s: 5,
            session_expiry_s: 60,
            site: name("north"),
            gateway: name("gw-1"),
            boot: 0x0123_4567_89ab_cdef,
        }
    }
}

pub struct Running {
    pub handle: UplinkHandle,
    pub news: mpsc::Receiver<(BrokerId, BrokerInput)>,
}

impl Running {
    pub fn start(settings: BrokerSettings) -> Self {
        let (send, news) = mpsc::channel(16);
        Self { handle: uplink::spawn(BROKER, settings, send), news }
    }

    /// The next news of the connection; those of certificates are passed over.
    pub async fn next(&mut self) -> BrokerInput {
        loop {
            let news = self.next_of_any().await;
            if !is_of_certificates(&news) {
                return news;
            }
        }
    }

    async fn next_of_any(&mut self) -> BrokerInput {
        let news = timeout(SOON, self.news.recv()).await;
        let (broker, news) = news.expect("news in time").expect("the uplink runs");
        assert_eq!(broker, BROKER);
        news
    }

    /// Passes over what is no verdict on new certificates: the reason of a refusal, or
    /// `None` if they were accepted.
    pub async fn verdict(&mut self) -> Option<(CertificateOf, Unfit)> {
        loop {
            match self.next_of_any().await {
                BrokerInput::CertificateRefused { of, why } => return Some((of, why)),
                BrokerInput::CertificateAccepted => return None,
                _ => {}
            }
        }
    }

    pub async fn down(&mut self) {
        let news = self.next().await;
        assert!(matches!(news, BrokerInput::Down), "{news:?}");
    }

    pub async fn up(&mut self) {
        let news = self.next().await;
        assert!(matches!(news, BrokerInput::Up { .. }), "{news:?}");
    }

    pub fn offer(&self, id: u64, topic: &str, payload: &str) {
        let offer = Publish {
            id: PublishId(id),
            broker: BROKER,
            lane: Lane::Urgent,
            topic: topic.into(),
            payload: payload.into(),
        };
        self.handle.offer(offer).expect("the uplink has room");
    }

    /// Whether the uplink took an answer of this text.
    pub fn answer(&self, text: &str) -> bool {
        self.handle.answer(Answer { broker: BROKER, topic: ANSWER.into(), payload: text.into() })
    }

    pub async fn taken(&mut self, id: u64) {
        let news = self.next().await;
        assert!(matches!(news, BrokerInput::Taken(PublishId(n)) if n == id), "{news:?}, not {id}");
    }

    /// Which offer was refused, and why.
    pub async fn refused(&mut self) -> (u64, u8) {
        match self.next().await {
            BrokerInput::Refused { publish: PublishId(id), reason } => (id, reason),
            other => panic!("{other:?}, not Refused"),
        }
    }

    pub async fn status(&self, wanted: impl Fn(&UplinkStatus) -> bool) -> UplinkStatus {
        let mut status = self.handle.status();
        let found = timeout(SOON, status.wait_for(|status| wanted(status))).await;
        match found {
            Ok(found) => found.expect("the uplink runs").clone(),
            Err(_) => panic!("still {:?}", *self.handle.status().borrow()),
        }
    }

    pub async fn fault(&self) -> BrokerFault {
        let status = self.status(|status| status.fault.is_some()).await;
        let fault = status.fault.expect("just looked");
        eprintln!("{fault}");
        fault
    }
}

fn is_of_certificates(news: &BrokerInput) -> bool {
    matches!(
        news,
        BrokerInput::Certificate { .. }
            | BrokerInput::CertificateRefused { .. }
            | BrokerInput::CertificateAccepted
    )
}

/// The next news of the connection, if they are there already.
pub fn news_there(news: &mut mpsc::Receiver<(BrokerId, BrokerInput)>) -> Option<BrokerInput> {
    let news = std::iter::from_fn(|| news.try_recv().ok());
    news.map(|(_, news)| news).find(|news| !is_of_certificates(news))
}

/// The fault that these settings meet, while nothing is told to the engine and
/// the uplink still stops at once.
pub async fn fault_of(settings: BrokerSettings) -> BrokerFault {
    let mut running = Running::start(settings);
    let fault = running.fault().await;
    let stopping = Instant::now();
    running.handle.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(2), "stops although it cannot connect");
    assert!(news_there(&mut running.news).is_none(), "never up, so never down");
    fault
}
