//! Stands where the engine stands: offers an event until it is answered, and
//! writes down what it was told.

use crate::support::{Running, URGENT};
use pendant_gateway::config::MqttVersion;
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::seam::{BrokerInput, PublishId};
use pendant_gateway::shell::tls::TlsFiles;
use pendant_gateway::shell::uplink::{BrokerFault, BrokerSettings};
use pendant_kit::broker::{self, Broker};
use pendant_kit::pki::{IdentityFiles, Leaf, Pki};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep_until};

/// Far beyond what anything here takes; a wait that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// SUBSCRIBE has packet id 1 and the state 2, so the first event has 3.
pub(crate) const TAKEN: [u8; 4] = [0x40, 2, 0, 3];

/// Certificates for a gateway and its broker.
pub(crate) struct Place {
    folder: TempDir,
    pki: Pki,
    files: TlsFiles,
    server: Arc<rustls::ServerConfig>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pki = Pki::new().expect("an authority");
        let authority = pki.write_ca(folder.path()).expect("a file");
        let gateway = issue(&pki, &folder);
        let server = pki.issue(&Leaf::server()).expect("a certificate");
        Self {
            files: TlsFiles { authority, certificate: gateway.certificate, key: gateway.key },
            server: pki.server_config(&server).expect("TLS"),
            folder,
            pki,
        }
    }

    /// Puts another certificate and key into the gateway's files.
    pub(crate) fn renew(&self) {
        issue(&self.pki, &self.folder);
    }

    pub(crate) async fn broker(&self) -> Broker {
        let settings = broker::BrokerSettings::new(Arc::clone(&self.server));
        Broker::start(settings).await.expect("a broker")
    }

    pub(crate) fn settings(&self, port: u16, client_id: &str) -> BrokerSettings {
        let name = |text| Name::new(text).expect("a fine name");
        BrokerSettings {
            name: name("broker-2"),
            interface: None,
            host: "127.0.0.1".into(),
            port,
            mqtt: MqttVersion::V5,
            server_name: "localhost".into(),
            client_id: client_id.into(),
            credentials: None,
            tls: self.files.clone(),
            keep_alive_s: 5,
            session_expiry_s: 60,
            site: name("north"),
            gateway: name("gw-1"),
            boot: 0x0123_4567_89ab_cdef,
        }
    }
}

fn issue(pki: &Pki, folder: &TempDir) -> IdentityFiles {
    let gateway = pki.issue(&Leaf::client("gw-1")).expect("a certificate");
    gateway.write(folder.path(), "gw-1").expect("files")
}

/// How the broker answered an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Taken,
    Refused(u8),
}

/// What came of one event.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub answered: Option<Answered>,
    pub offers: u64,
    /// Times that the uplink was up.
    pub ups: u64,
    pub receipts: usize,
    /// Faults told, in order; the same one twice in a row is one.
    pub faults: Vec<BrokerFault>,
}

/// Brings one event through, however often the connection breaks, until `enough`
/// has come of it.
pub(crate) async fn deliver(
    settings: BrokerSettings,
    mut enough: impl FnMut(&Outcome) -> bool,
) -> Outcome {
    let mut running = Running::start(settings);
    let mut status = running.handle.status();
    let mut outcome = Outcome::default();
    let mut open = None;
    let give_up = Instant::now() + PATIENCE;
    while !enough(&outcome) {
        tokio::select! {
            changed = status.changed() => {
                changed.expect("the uplink runs");
                let fault = status.borrow_and_update().fault.clone();
                outcome.faults.extend(fault.filter(|fault| outcome.faults.last() != Some(fault)));
            }
            news = running.news.recv() => match news.expect("the uplink runs").1 {
                BrokerInput::Up { .. } => {
                    outcome.ups += 1;
                    if outcome.answered.is_none() {
                        outcome.offers += 1;
                        running.offer(outcome.offers, URGENT, "the event");
                        open = Some(PublishId(outcome.offers));
                    }
                }
                BrokerInput::Down => open = None,
                BrokerInput::Taken(id) => {
                    assert_eq!(open.take(), Some(id), "an answer to what is not open");
                    outcome.answered = Some(Answered::Taken);
                }
                BrokerInput::Refused { publish, reason } => {
                    assert_eq!(open.take(), Some(publish), "an answer to what is not open");
                    outcome.answered = Some(Answered::Refused(reason));
                }
                BrokerInput::Receipt(_) => outcome.receipts += 1,
                BrokerInput::CentreMessage(_)
                | BrokerInput::Certificate { .. }
                | BrokerInput::CertificateRefused { .. }
                | BrokerInput::CertificateAccepted => {}
            },
            () = sleep_until(give_up) => panic!("not delivered: {outcome:?}"),
        }
    }
    running.handle.stop().await;
    outcome
}
