//! The uplink: the line to one broker, MQTT over TLS.
//!
//! What the engine offers goes out at once; what the broker and the centre answer
//! comes back as [`BrokerInput`]. Nothing is kept here: the journal is the only
//! truth, and whatever is open when a connection ends is forgotten, because the
//! engine offers it again under a new number. For each connection a fresh event
//! loop of the library is made: reused, it loses and duplicates silently.
//!
//! The log and the status never tell the fate of a single event (P5).

mod connection;
mod correlation;
mod dial;
mod fault;
mod identity;
mod renewal;
mod settings;
mod told;
mod wire;

pub use fault::{Awaited, BrokerFault};
pub use settings::{BrokerSettings, Credentials, STATE_BYTES};

use crate::engine::seam::{Answer, BrokerId, BrokerInput, Publish};
use crate::shell::tls::ClientTls;
use connection::{Connection, Ended};
use dial::{Dialling, Undialled, dial};
use identity::Identity;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Offers that fit between the engine and the connection: twice the engine's
/// window of at most 256, since offers that a lost connection made void may
/// still stand here when the first new ones come.
pub const OFFERS_MAX: usize = 512;

/// Answers to the centre that fit between the engine and the connection. It asks
/// every 20 s; more come only if somebody floods, and then they may be lost.
pub const ANSWERS_MAX: usize = 4;

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// A connection that stood this long was a good one.
const STOOD: Duration = Duration::from_secs(10);

/// Longest wait for a polite end.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// How the uplink fares. Nothing in it depends on what any single event is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UplinkStatus {
    /// Events can go out.
    pub connected: bool,
    /// The last trouble, until it is over.
    pub fault: Option<BrokerFault>,
    /// How many unacknowledged publishes the broker allows; more wait here in the
    /// order of their offers, so an engine that wants to overtake keeps below it.
    pub in_flight_max: u16,
    /// Connections made since the start.
    pub connections: u64,
    /// Receipts and messages of the centre dropped because they were too long.
    pub messages_dropped: u64,
    /// When our certificate ends, seconds since 1970, if its dates can be read.
    pub certificate_ends_unix_s: Option<i64>,
    /// Why new certificate files are not used.
    pub certificate_trouble: Option<String>,
}

/// Why an offer was not accepted. The engine will have to offer it again.
#[derive(Debug)]
pub enum OfferError {
    /// [`OFFERS_MAX`] offers are waiting: the window was not kept.
    Full(Publish),
    /// The uplink has ended.
    Ended(Publish),
}

/// The uplink's outer end. Dropped, the uplink stops as politely as it can.
#[derive(Debug)]
pub struct UplinkHandle {
    offers: mpsc::Sender<Publish>,
    answers: mpsc::Sender<Answer>,
    status: watch::Receiver<UplinkStatus>,
    stop: watch::Sender<bool>,
    look: Arc<Notify>,
    task: JoinHandle<()>,
}

impl UplinkHandle {
    /// Hands over an offer; never waits.
    ///
    /// # Errors
    /// Gives the offer back if it cannot be taken.
    pub fn offer(&self, publish: Publish) -> Result<(), OfferError> {
        self.offers.try_send(publish).map_err(|e| match e {
            mpsc::error::TrySendError::Full(publish) => OfferError::Full(publish),
            mpsc::error::TrySendError::Closed(publish) => OfferError::Ended(publish),
        })
    }

    /// Sends an answer to the centre, as far as there is a connection and room; never
    /// waits. Says whether it was taken: a lost one is made up by the next.
    pub fn answer(&self, answer: Answer) -> bool {
        self.answers.try_send(answer).is_ok()
    }

    /// How it fares, now and whenever that changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<UplinkStatus> {
        self.status.clone()
    }

    /// Has the certificate files looked at now. What they hold counts at once.
    pub fn look_at_files(&self) {
        self.look.notify_one();
    }

    /// Sends what is offered, then the state "offline", then DISCONNECT; at most
    /// five seconds. News must still be received meanwhile.
    pub async fn stop(self) {
        // Nobody listens any more if the task has ended: then it has stopped.
        let _ = self.stop.send(true);
        let mut task = self.task;
        if tokio::time::timeout(STOP_WAIT, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// Starts the line to a broker. It reports to `news` under that broker's name for
/// the engine, and waits when that is full.
///
/// # Panics
/// Outside a tokio runtime.
#[must_use]
pub fn spawn(
    broker: BrokerId,
    settings: BrokerSettings,
    news: mpsc::Sender<(BrokerId, BrokerInput)>,
) -> UplinkHandle {
    let (offers, offered) = mpsc::channel(OFFERS_MAX);
    let (answers, answered) = mpsc::channel(ANSWERS_MAX);
    let (status_out, status) = watch::channel(UplinkStatus::default());
    let (stop, stopped) = watch::channel(false);
    let look = Arc::new(Notify::new());
    let (files, name) = (settings.tls.clone(), settings.server_name.clone());
    let uplink = Uplink {
        broker,
        identity: Identity::new(files, name, Arc::clone(&look)),
        settings,
        news,
        offered,
        answered,
        status: status_out,
        stopped,
        denied: Denied::default(),
        turn: 0,
    };
    let task = tokio::spawn(uplink.run());
    UplinkHandle { offers, answers, status, stop, look, task }
}

/// What outlives a connection.
struct Uplink {
    broker: BrokerId,
    identity: Identity,
    settings: BrokerSettings,
    news: mpsc::Sender<(BrokerId, BrokerInput)>,
    offered: mpsc::Receiver<Publish>,
    answered: mpsc::Receiver<Answer>,
    status: watch::Sender<UplinkStatus>,
    stopped: watch::Receiver<bool>,
    denied: Denied,
    /// Which of the host's addresses is dialled next: [`dial`].
    turn: usize,
}

/// What the broker does not allow, although events flow. Some brokers hang up on a
/// refused publish; neither a state nor an answer is worth that: once refused (with
/// this reason), it is not published again, unless it was for a quota, which passes.
#[derive(Clone, Copy, Debug, Default)]
struct Denied {
    /// The command topic may not be subscribed to.
    commands: bool,
    answer: Option<u8>,
    state: Option<u8>,
}

/// MQTT 5 reason code of a PUBACK (section 3.4.2.1).
const QUOTA_EXCEEDED: u8 = 0x97;

impl Denied {
    fn lets(reason: Option<u8>) -> bool {
        reason.is_none_or(|reason| reason == QUOTA_EXCEEDED)
    }

    fn lets_answer(self) -> bool {
        Self::lets(self.answer)
    }

    fn lets_say_state(self) -> bool {
        Self::lets(self.state)
    }

    /// The gravest.
    fn fault(self) -> Option<BrokerFault> {
        if self.commands {
            return Some(BrokerFault::CommandsRefused);
        }
        let answer = self.answer.map(BrokerFault::AnswerRefused);
        answer.or(self.state.map(BrokerFault::StateRefused))
    }
}

/// Nobody listens any more: the gateway is ending.
struct Gone;

impl Uplink {
    async fn run(mut self) {
        // An error means that the gateway is ending, and so does an end without one.
        let _: Result<(), Gone> = self.connect_again_and_again().await;
    }

    async fn connect_again_and_again(&mut self) -> Result<(), Gone> {
        let mut retry = RETRY_FIRST;
        let mut begun: Option<Dialling> = None;
        loop {
            let since = Instant::now();
            let dialling = match begun.take() {
                Some(dialling) => dialling,
                None => {
                    let tls = self.certificates().await?;
                    dial(&self.settings, tls, self.turn)
                }
            };
            let dialled = tokio::select! {
                dialled = dialling => dialled,
                () = stop_asked(&mut self.stopped) => return Ok(()),
            };
            let ended = match dialled {
                Ok(dialled) => Connection::run(self, dialled).await,
                Err(Undialled { tls, fault }) => {
                    let unanswered = fault == BrokerFault::ProtocolTimeout(Awaited::Connection);
                    self.turn += usize::from(unanswered || self.turn > 0);
                    Ended::Lost { fault, progressed: false, useless: Some(tls) }
                }
            };
            match ended {
                Ended::Stopped => return Ok(()),
                Ended::Renewed(dialling) => {
                    tracing::info!(broker = self.settings.name.as_str(), "the line is made anew");
                    begun = Some(dialling);
                    self.down(None).await?;
                }
                Ended::Lost { fault, progressed, useless } => {
                    let good = progressed && fault != BrokerFault::TakenOver;
                    if good || since.elapsed() >= STOOD {
                        retry = RETRY_FIRST;
                    }
                    let other = match useless {
                        Some(tls) => self.failed(&tls, &fault).await?,
                        None => false,
                    };
                    self.down(Some(fault)).await?;
                    if !other && self.pause(jittered(retry)).await? {
                        return Ok(());
                    }
                    retry = (retry * 2).min(RETRY_LAST);
                }
            }
        }
    }

    /// What to dial with, as soon as the files hold it.
    async fn certificates(&mut self) -> Result<Arc<ClientTls>, Gone> {
        loop {
            if let Some(tls) = self.identity.to_dial() {
                return Ok(tls);
            }
            tokio::select! {
                looked = self.identity.looked() => {
                    let fault = looked.as_ref().err().cloned().map(BrokerFault::Files);
                    self.take(looked).await?;
                    self.tell(false, fault);
                }
                () = stop_asked(&mut self.stopped) => return Err(Gone),
            }
        }
    }

    /// The connection is over.
    async fn down(&mut self, fault: Option<BrokerFault>) -> Result<(), Gone> {
        let was_up = self.status.borrow().connected;
        self.tell(false, fault);
        self.forget_offers();
        if was_up {
            self.news(BrokerInput::Down).await?;
        }
        Ok(())
    }

    /// Waits, unless there are new certificates to be tried; true if it is time to stop.
    async fn pause(&mut self, pause: Duration) -> Result<bool, Gone> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(false),
            () = stop_asked(&mut self.stopped) => Ok(true),
            looked = self.identity.looked() => {
                self.take(looked).await?;
                Ok(false)
            }
        }
    }

    async fn news(&self, news: BrokerInput) -> Result<(), Gone> {
        self.news.send((self.broker, news)).await.map_err(|_| Gone)
    }

    /// Every offer and answer that waits is of a connection that is over.
    fn forget_offers(&mut self) {
        while self.offered.try_recv().is_ok() {}
        while self.answered.try_recv().is_ok() {}
    }

    /// Publishes the status, and logs a fault when it is a new one.
    fn tell(&self, connected: bool, fault: Option<BrokerFault>) {
        let broker = self.settings.name.as_str();
        self.status.send_if_modified(|status| {
            if status.connected == connected && status.fault == fault {
                return false;
            }
            match &fault {
                Some(fault) if status.fault.as_ref() != Some(fault) => {
                    let message_id = super::message_ids::BROKER_FAULT;
                    tracing::warn!(message_id, broker, "{fault}");
                }
                None if connected => {
                    tracing::info!(broker, "connected");
                }
                _ => {}
            }
            status.connected = connected;
            status.fault = fault;
            true
        });
    }
}

/// Ends when the owner asks for a stop, or has gone.
async fn stop_asked(stopped: &mut watch::Receiver<bool>) {
    // An error means that the handle was dropped, which asks for the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Between half of `pause` and all of it, so that a site's gateways do not all
/// return at once. Without chance it is all of it.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0u8; 4];
    match getrandom::fill(&mut random) {
        Ok(()) => {
            let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
            pause.mul_f64(0.5 + share / 2.0)
        }
        Err(_) => pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_stays_between_half_and_whole() {
        for _ in 0..100 {
            let pause = jittered(RETRY_LAST);
            assert!(pause >= RETRY_LAST / 2 && pause <= RETRY_LAST, "{pause:?}");
        }
    }
}
