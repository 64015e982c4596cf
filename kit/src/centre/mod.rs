//! A monitoring centre: hears events, knows them again, proves that none is
//! missing, and answers each with the `received` receipt.
//!
//! Receipts are the same for every event of every lane, so that the site learns
//! nothing from them. A message is acknowledged to the broker only after it was
//! handed over and its receipt is on its way; the session at the broker outlives
//! the connection. So neither a restart here nor one of the broker loses an event.
//!
//! To each gateway that it has heard of it sends one message of constant size at fixed
//! times, in which commands travel.

mod command;
mod connection;
mod data;
mod describe;
mod event;
mod ledger;
mod link;
mod mqtt;
mod queue;
mod register;

pub use command::{
    ANSWER_WIRE_BYTES, Answer, Ask, CENTRE_WIRE_BYTES, CommandError, CommandResult, SigningKey,
};
pub(crate) use command::{GATEWAYS_MAX, uuid};
pub use describe::COVERT_ADVICE;
pub(crate) use event::is_name;
pub use event::{Data, Detail, EVENT_WIRE_BYTES, Event, Malformed, Topic};
pub use ledger::{Ledger, Missing, Series, Since};
pub use mqtt::MqttVersion;
pub use register::{Flaw, Heard, Register};

use bytes::Bytes;
use command::Desks;
use rustls::ClientConfig;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// News that wait to be taken; beyond, the broker keeps the rest.
const NEWS_MAX: usize = 4096;

/// How to reach the broker, and what to hear.
#[derive(Clone)]
pub struct CentreSettings {
    /// The broker's host, as in its certificate.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Our name at the broker; the session is kept under it.
    pub client_id: String,
    /// TLS with our own certificate.
    pub tls: Arc<ClientConfig>,
    /// The version of MQTT that it speaks.
    pub mqtt: MqttVersion,
    /// The site to hear, or `+` for all.
    pub site: String,
    /// The gateway to hear, or `+` for all.
    pub gateway: String,
    /// Whether to answer with receipts at once. An onlooker beside the true centre must
    /// not; who has events durably only later calls [`Centre::receipt`] then.
    pub receipts: bool,
    /// How often each gateway is sent the centre's message; `None`: never, as an
    /// onlooker beside the true centre.
    pub message_interval: Option<Duration>,
    /// What the messages are signed with.
    pub signing_key: Option<Arc<SigningKey>>,
    /// From where on every number is expected.
    pub since: Since,
    /// How often the connection shows that it lives.
    pub keep_alive: Duration,
    /// How long the broker keeps what we miss.
    pub session_expiry: Duration,
}

impl CentreSettings {
    /// A centre that hears everything from the start and answers with receipts.
    #[must_use]
    pub fn new(host: &str, port: u16, client_id: &str, tls: Arc<ClientConfig>) -> Self {
        Self {
            host: host.into(),
            port,
            client_id: client_id.into(),
            tls,
            mqtt: MqttVersion::V5,
            site: "+".into(),
            gateway: "+".into(),
            receipts: true,
            message_interval: Some(Duration::from_secs(20)),
            signing_key: None,
            since: Since::Start,
            keep_alive: Duration::from_secs(20),
            session_expiry: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

impl fmt::Debug for CentreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CentreSettings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// What a centre is told.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// Connected and subscribed.
    Up {
        /// The broker had kept our session.
        session_kept: bool,
    },
    /// Not connected, for this reason; it goes on trying. Told again only when
    /// the reason changes.
    Down(String),
    /// A message came.
    Heard(Heard),
    /// A message came, to a centre that does not judge: [`Centre::start_unjudged`].
    Message(Message),
    /// A gateway is online and has not answered several messages in a row; told once
    /// until it answers.
    Deaf {
        /// The site.
        site: String,
        /// The gateway.
        gateway: String,
    },
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Where.
    pub topic: String,
    /// What; of what is too large to be read only the beginning.
    pub payload: Bytes,
    /// It stood at the broker before we came.
    pub retained: bool,
    /// What its acknowledgement needs.
    pub ticket: Ticket,
}

/// By which connection a message came, and under which number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    connection: u64,
    pkid: Option<u16>,
}

/// A message that is dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Topic and payload of its receipt, if it has one.
    pub receipt: Option<(String, String)>,
    /// The message's.
    pub ticket: Ticket,
}

/// What the connection is asked for.
#[derive(Debug)]
enum Call {
    Receipt(String, String),
    Done(Vec<Done>),
}

/// What outlives a connection.
#[derive(Debug)]
struct Known {
    /// Absent if others judge.
    register: Option<Mutex<Register>>,
    desks: Mutex<Desks>,
}

/// Nothing panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A centre at work.
#[derive(Debug)]
pub struct Centre {
    news: mpsc::Receiver<News>,
    known: Arc<Known>,
    called: mpsc::UnboundedSender<Call>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Centre {
    /// Begins; goes on until [`Self::stop`] or until it is dropped.
    #[must_use]
    pub fn start(settings: CentreSettings) -> Self {
        let register = Register::new(settings.since);
        Self::begin(settings, Some(Mutex::new(register)))
    }

    /// Begins a centre that hands messages over as they come ([`News::Message`]), for who
    /// judges and keeps them. Nothing is receipted, nor acknowledged to the broker, but by
    /// [`Self::done`].
    #[must_use]
    pub fn start_unjudged(settings: CentreSettings) -> Self {
        Self::begin(settings, None)
    }

    fn begin(settings: CentreSettings, register: Option<Mutex<Register>>) -> Self {
        let (news_sender, news) = mpsc::channel(NEWS_MAX);
        let (called, calls) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let known = Arc::new(Known { register, desks: Mutex::default() });
        let ways = connection::Ways { news: news_sender, calls, stopped };
        let task = tokio::spawn(connection::run(settings, Arc::clone(&known), ways));
        Self { news, known, called, stop, task }
    }

    /// The next news. They must be taken: events that are not taken are not
    /// receipted.
    pub async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }

    /// News that are here already.
    pub fn try_next(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// The next event that did not come before; other news are passed over.
    pub async fn next_event(&mut self) -> Option<Event> {
        loop {
            if let News::Heard(Heard::Event { event, again: false, .. }) = self.next().await? {
                return Some(*event);
            }
        }
    }

    /// Sends a receipt, where [`CentreSettings::receipts`] is off. It may be lost with the
    /// connection: the gateway then offers the event again.
    pub fn receipt(&self, topic: String, payload: String) {
        drop(self.called.send(Call::Receipt(topic, payload)));
    }

    /// Receipts and acknowledges messages, in this order. Without a connection that may be
    /// in vain; then they come again.
    pub fn done(&self, messages: Vec<Done>) {
        // The task ends only with this centre. Bounded by what the broker sends ahead.
        drop(self.called.send(Call::Done(messages)));
    }

    /// From now on this gateway is sent the centre's message, though nothing was heard
    /// of it.
    pub fn know(&self, site: &str, gateway: &str) {
        lock(&self.known.desks).know(site, gateway);
    }

    /// Which numbers are missing now: on their way, or lost.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        self.known.register.as_ref().map_or_else(Vec::new, |register| lock(register).missing())
    }

    /// Has a gateway asked for something, in its next message and in each after that
    /// until it has answered. Gives the command's id; the answer comes as
    /// [`Heard::Answer`].
    ///
    /// # Errors
    /// It cannot be asked; nothing was changed.
    pub fn command(
        &self,
        site: &str,
        gateway: &str,
        ask: &Ask,
        expires: Option<SystemTime>,
    ) -> Result<String, CommandError> {
        let id = command::uuid();
        lock(&self.known.desks).command((site, gateway), &id, ask, expires)?;
        Ok(id)
    }

    /// The same, under an id that the command has already: a gateway carries it out once.
    ///
    /// # Errors
    /// It cannot be asked; nothing was changed.
    pub fn command_again(
        &self,
        site: &str,
        gateway: &str,
        id: &str,
        ask: &Ask,
    ) -> Result<(), CommandError> {
        lock(&self.known.desks).command((site, gateway), id, ask, None)
    }

    /// Leaves the broker properly; the session stays there.
    pub async fn stop(self) {
        drop(self.news);
        drop(self.stop);
        // Ends by what we just did; a panic in it has told of itself.
        let _ = self.task.await;
    }
}
