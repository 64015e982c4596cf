//! A small MQTT 5 broker in the process: TLS with required client
//! certificates, kept sessions, retained messages, last wills, QoS 0 and 1.
//!
//! It serves the demonstration, and it is the hostile broker of tests: see
//! [`Faults`]. It is no broker to run a monitoring centre on: nothing outlives
//! the process. [`Broker::stop`] and [`Broker::resume`] keep sessions, as a
//! broker with persistence does; [`Broker::forget`] loses them.
//!
//! A will is published at once (Will Delay Interval is ignored), and Message
//! Expiry Interval is forwarded but not acted upon.

mod brittle;
mod connection;
mod core;
mod faults;
mod filter;
mod outbox;

pub use faults::{After, Break, Faults, Manner, Offer, Verdict};
pub use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, PubAckReason};

use bytes::Bytes;
use rustls::ServerConfig;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// Pause after a failed accept.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

/// How a broker is set up.
#[derive(Clone)]
pub struct BrokerSettings {
    /// TLS, with the clients' authority: see [`crate::pki::Pki::server_config`].
    pub tls: Arc<ServerConfig>,
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// QoS 1 messages that wait in one session; beyond, publishes are refused
    /// with 0x97 instead of being lost in silence.
    pub queue_max: usize,
    /// QoS 1 messages sent to one client and not yet acknowledged.
    pub inflight_max: u16,
    /// Publishes kept in the record; the oldest make room.
    pub record_max: usize,
}

impl BrokerSettings {
    /// Settings for tests and the demonstration.
    #[must_use]
    pub fn new(tls: Arc<ServerConfig>) -> Self {
        Self { tls, port: 0, queue_max: 100_000, inflight_max: 128, record_max: 100_000 }
    }
}

impl fmt::Debug for BrokerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerSettings").field("port", &self.port).finish_non_exhaustive()
    }
}

/// A publish that the broker saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Who sent it.
    pub client: String,
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// Whether it was to be retained.
    pub retain: bool,
    /// Whether the broker took it (also when nobody subscribes).
    pub taken: bool,
    /// When.
    pub at: Instant,
}

impl Seen {
    /// Bytes of topic and payload, which every event has the same number of.
    #[must_use]
    pub fn size(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}

/// What a test may wait for.
#[derive(Debug)]
pub struct View<'a> {
    record: &'a Record,
    core: &'a core::Core,
    dials: u64,
}

impl View<'_> {
    /// The record, oldest first.
    pub fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.record.entries.iter()
    }

    /// How many publishes were seen, also those that the record has let go.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.record.seen()
    }

    /// Whether this client is connected.
    #[must_use]
    pub fn is_connected(&self, client: &str) -> bool {
        self.core.connected().any(|name| name == client)
    }

    /// How many TCP connections were made so far.
    #[must_use]
    pub fn dials(&self) -> u64 {
        self.dials
    }

    /// How many logins succeeded so far.
    #[must_use]
    pub fn logins(&self) -> u64 {
        self.core.connections()
    }
}

#[derive(Debug)]
struct Record {
    entries: VecDeque<Seen>,
    entries_max: usize,
    seen: u64,
}

impl Record {
    fn seen(&self) -> u64 {
        self.seen
    }

    fn add(&mut self, offer: &Offer<'_>, retain: bool, taken: bool) {
        self.seen += 1;
        if self.entries.len() >= self.entries_max {
            self.entries.pop_front();
        }
        self.entries.push_back(Seen {
            client: offer.client.to_owned(),
            topic: offer.topic.to_owned(),
            payload: Bytes::copy_from_slice(offer.payload),
            retain,
            taken,
            at: Instant::now(),
        });
    }
}

struct State {
    core: core::Core,
    record: Record,
    dials: u64,
}

struct Shared {
    state: Mutex<State>,
    faults: Faults,
    changed: watch::Sender<()>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned lock means that a defect of ours panicked elsewhere; tests see that panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changed.send_replace(());
    }
}

/// A running (or stopped) broker. Dropping it ends it.
pub struct Broker {
    shared: Arc<Shared>,
    tls: TlsAcceptor,
    address: SocketAddr,
    serving: Option<Serving>,
}

/// The accepting task; it ends, with all connections, when `stop` is dropped.
struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Broker {
    /// Listens on 127.0.0.1 and serves.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn start(settings: BrokerSettings) -> io::Result<Self> {
        let limits =
            core::Limits { queue_max: settings.queue_max, inflight_max: settings.inflight_max };
        let record =
            Record { entries: VecDeque::new(), entries_max: settings.record_max.max(1), seen: 0 };
        let mut broker = Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State { core: core::Core::new(limits), record, dials: 0 }),
                faults: Faults::new(),
                changed: watch::Sender::new(()),
            }),
            tls: TlsAcceptor::from(settings.tls),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port)),
            serving: None,
        };
        broker.resume().await?;
        Ok(broker)
    }

    /// Serves again on the same port, with all sessions. Does nothing while
    /// it serves.
    ///
    /// # Errors
    /// When the port cannot be had any more.
    pub async fn resume(&mut self) -> io::Result<()> {
        if self.serving.is_some() {
            return Ok(());
        }
        let listener = TcpListener::bind(self.address).await?;
        self.address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let accepting = accept(listener, Arc::clone(&self.shared), self.tls.clone(), stopped);
        self.serving = Some(Serving { stop, task: tokio::spawn(accepting) });
        Ok(())
    }

    /// Cuts all connections without a word and frees the port.
    pub async fn stop(&mut self) {
        if let Some(Serving { stop, task }) = self.serving.take() {
            drop(stop);
            // It ends by what we just did, or had panicked, which its panic told.
            let _ = task.await;
        }
        self.shared.lock().core.cut_all(Instant::now());
        self.shared.tell();
    }

    /// Loses the sessions of all clients that are not connected.
    pub fn forget(&self) {
        self.shared.lock().core.lose_session(None);
    }

    /// Sends a connected client these bytes, whatever they are; says whether it
    /// is connected.
    pub fn say(&self, client: &str, bytes: impl Into<Bytes>) -> bool {
        self.shared.lock().core.say(client, bytes.into())
    }

    /// The port, also while stopped.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Commands the broker's bad sides.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// A copy of the record, oldest first.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().record.entries.iter().cloned().collect()
    }

    /// Looks at the broker's state now.
    pub fn look<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let state = self.shared.lock();
        look(&View { record: &state.record, core: &state.core, dials: state.dials })
    }

    /// Returns what `look` gives as soon as it gives something.
    pub async fn wait<T>(&self, mut look: impl FnMut(&View<'_>) -> Option<T>) -> T {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(found) = self.look(&mut look) {
                return found;
            }
            if changed.changed().await.is_err() {
                // The sender lives in `self.shared`: this cannot be.
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    tls: TlsAcceptor,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    shared.lock().dials += 1;
                    shared.tell();
                    connections.spawn(connection::serve(Arc::clone(&shared), tls.clone(), socket));
                }
                // Out of descriptors or the like, which only time mends.
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
            },
            Some(_) = connections.join_next() => {}
            _ = &mut stopped => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}
