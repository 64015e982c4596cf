//! The broker's bad sides, at a test's command.

use super::outbox::Outbox;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, Packet, PubAck, PubAckReason};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A publish that a client offers.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The client's name.
    pub client: &'a str,
    /// Where to.
    pub topic: &'a str,
    /// What.
    pub payload: &'a [u8],
    /// How many publishes the broker saw before this one, of all clients.
    pub place: u64,
}

/// What the broker does with an offer. `Take…` hands it to the subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Takes and acknowledges it.
    Take,
    /// Takes it and acknowledges it twice.
    TakeAckTwice,
    /// Takes it and acknowledges it this much later.
    TakeAckLate(Duration),
    /// Takes it and acknowledges it when [`Faults::release`] is called.
    TakeWithhold,
    /// Takes it and closes the connection without acknowledging it.
    TakeThenClose,
    /// Refuses it with this reason.
    Refuse(PubAckReason),
    /// Refuses it and closes the connection.
    RefuseThenClose(PubAckReason),
    /// Does not take it and closes the connection without a word.
    Close,
    /// Takes it and sends these bytes in place of an acknowledgement, whatever
    /// they are.
    TakeThenSay(&'static [u8]),
}

/// Where a connection breaks, in bytes of MQTT (within TLS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// So many came from the client.
    Received(usize),
    /// So many were sent to the client.
    Sent(usize),
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The broker closes it without a word.
    Close,
    /// It stays open, and in that direction nothing moves any more.
    Stall,
}

/// How and where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// Where.
    pub after: After,
    /// How.
    pub manner: Manner,
}

type Rule = Box<dyn FnMut(&Offer<'_>) -> Verdict + Send>;

#[derive(Default)]
struct State {
    rule: Option<Rule>,
    login: Option<ConnectReturnCode>,
    loses_sessions: bool,
    next_break: Option<Break>,
    withheld: Vec<(Arc<Outbox>, PubAck)>,
}

/// Handle to a broker's faults; copies command the same broker.
#[derive(Clone)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    stalled: watch::Sender<bool>,
    mute: watch::Sender<bool>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults(..)")
    }
}

impl Faults {
    pub(super) fn new() -> Self {
        Self {
            state: Arc::default(),
            stalled: watch::Sender::new(false),
            mute: watch::Sender::new(false),
        }
    }

    /// Judges every publish from now on.
    pub fn judge(&self, rule: impl FnMut(&Offer<'_>) -> Verdict + Send + 'static) {
        self.lock().rule = Some(Box::new(rule));
    }

    /// Refuses with `reason` what falls under `predicate`; takes the rest.
    pub fn refuse(
        &self,
        reason: PubAckReason,
        mut predicate: impl FnMut(&Offer<'_>) -> bool + Send + 'static,
    ) {
        self.judge(
            move |offer| {
                if predicate(offer) { Verdict::Refuse(reason) } else { Verdict::Take }
            },
        );
    }

    /// Refuses every login with `code`; `None` lets clients in again.
    pub fn refuse_login(&self, code: Option<ConnectReturnCode>) {
        self.lock().login = code;
    }

    /// Whether a client that comes back finds its session lost.
    pub fn lose_sessions(&self, loses: bool) {
        self.lock().loses_sessions = loses;
    }

    /// Whether the broker stops reading from its clients, pings included,
    /// while connections stay open.
    pub fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    /// Whether new connections are taken and left without an answer, TLS
    /// included.
    pub fn mute(&self, mute: bool) {
        self.mute.send_replace(mute);
    }

    /// The next connection breaks so, and none after it.
    pub fn break_next(&self, broken: Break) {
        self.lock().next_break = Some(broken);
    }

    /// Sends every PUBACK withheld so far; those of ended connections vanish.
    pub fn release(&self) {
        let withheld = std::mem::take(&mut self.lock().withheld);
        for (outbox, ack) in withheld {
            outbox.push(Packet::PubAck(ack));
        }
    }

    /// A good broker again. What was withheld is sent.
    pub fn clear(&self) {
        {
            let mut state = self.lock();
            state.rule = None;
            state.login = None;
            state.loses_sessions = false;
            state.next_break = None;
        }
        self.stall(false);
        self.mute(false);
        self.release();
    }

    pub(super) fn verdict(&self, offer: &Offer<'_>) -> Verdict {
        self.lock().rule.as_mut().map_or(Verdict::Take, |rule| rule(offer))
    }

    pub(super) fn login_refusal(&self) -> Option<ConnectReturnCode> {
        self.lock().login
    }

    pub(super) fn loses_sessions(&self) -> bool {
        self.lock().loses_sessions
    }

    pub(super) fn withhold(&self, outbox: &Arc<Outbox>, ack: PubAck) {
        self.lock().withheld.push((Arc::clone(outbox), ack));
    }

    pub(super) fn take_break(&self) -> Option<Break> {
        self.lock().next_break.take()
    }

    /// Returns while the broker may read.
    pub(super) async fn may_read(&self) {
        over(&self.stalled).await;
    }

    /// Returns while the broker may answer new connections.
    pub(super) async fn may_answer(&self) {
        over(&self.mute).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panicking rule of a test poisons nothing that later calls rely on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns while the fault is off.
async fn over(fault: &watch::Sender<bool>) {
    if fault.subscribe().wait_for(|on| !on).await.is_err() {
        // The sender is borrowed: this cannot be.
        std::future::pending::<()>().await;
    }
}
