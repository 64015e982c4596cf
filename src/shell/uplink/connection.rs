//! One connection, from CONNACK to its end.
//!
//! What the library (rumqttc 0.25) needs from us, each learnt from its source:
//! - `poll` is never cancelled except to throw the loop away: it holds packets.
//! - `poll` has no time limit of its own while it writes, so it gets one here.
//! - An error leaves events unread in the loop's state, among them the refusal
//!   after which the broker hung up: they are read before the loop is dropped.
//! - It panics in places that a broker's bytes may reach: that ends only the
//!   connection.
//! - A keep-alive of 0 from the broker would make it ping without pause.

use super::correlation::{Correlation, Offer};
use super::dial::{Dialled, Dialling, PollError, Polled, Undialled, dial, guarded};
use super::fault::{Awaited, BrokerFault, Circumstances};
use super::wire::{Event, Failure, Line, NotTaken, OPEN_MAX, Packet, Sender};
use super::{Denied, Gone, OFFERS_MAX, Uplink, stop_asked};
use crate::engine::command::CENTRE_WIRE_BYTES;
use crate::engine::seam::{Answer, BrokerInput, Publish};
use crate::shell::clock::unix_s;
use crate::shell::tls::ClientTls;
use std::future::{pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

const SUBSCRIBE_WAIT: Duration = Duration::from_secs(15);
/// Longest wait for the PUBACK of what has been open for longest: brokers answer in
/// order, or nearly so.
const ACKNOWLEDGE_WAIT: Duration = Duration::from_secs(30);
/// For the state "offline" and DISCONNECT.
const GOODBYE_WAIT: Duration = Duration::from_secs(3);

// Answers count as offers; beside them go a SUBSCRIBE and two states.
const _: () = assert!(OFFERS_MAX + 3 < OPEN_MAX as usize);

/// More is no use to us.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
const _: () = assert!(CENTRE_WIRE_BYTES < MESSAGE_BYTES_MAX);

/// Places in the SUBSCRIBE and its SUBACK.
const RECEIPTS: usize = 0;
const COMMANDS: usize = 1;

/// How a connection ended.
pub(super) enum Ended {
    /// As asked.
    Stopped,
    /// By a fault.
    Lost {
        /// Which.
        fault: BrokerFault,
        /// The broker answered at least one event.
        progressed: bool,
        /// What it was dialled with, if it never was of use.
        useless: Option<Arc<ClientTls>>,
    },
    /// In favour of another.
    Renewed(Dialling),
}

enum Stage {
    Subscribing,
    /// New certificates are on trial: may they publish as well?
    Proving,
    Up,
    Leaving,
}

pub(super) struct Connection<'a> {
    uplink: &'a mut Uplink,
    sender: Sender,
    correlation: Correlation,
    stage: Stage,
    /// When what is being waited for is overdue; `None` if nothing is.
    due: Option<Instant>,
    /// When the broker was heard last. What we send ourselves proves nothing of the
    /// line.
    heard: Instant,
    /// The broker wants a longer keep-alive than ours, so the library pings too late to
    /// tell a line that is quiet from one that is dead: the state is said again instead.
    pings_late: bool,
    progressed: bool,
    receipt_topic: String,
    command_topic: String,
    tls: Arc<ClientTls>,
    /// An attempt beside this line, to take its place.
    beside: Option<Dialling>,
}

/// Why a connection is given up.
enum Break {
    Fault(BrokerFault),
    Renewed(Dialling),
    Stopped,
}

impl From<BrokerFault> for Break {
    fn from(fault: BrokerFault) -> Self {
        Self::Fault(fault)
    }
}

impl<'a> Connection<'a> {
    /// Serves until the connection ends.
    pub(super) async fn run(uplink: &'a mut Uplink, dialled: Dialled) -> Ended {
        let Dialled { sender, mut line, in_flight_max, tls } = dialled;
        let mut connection = Self {
            receipt_topic: uplink.settings.topic("receipt"),
            command_topic: uplink.settings.topic("command"),
            uplink,
            sender,
            correlation: Correlation::default(),
            stage: Stage::Subscribing,
            due: Some(Instant::now() + SUBSCRIBE_WAIT),
            heard: Instant::now(),
            pings_late: false,
            progressed: false,
            tls,
            beside: None,
        };
        let ended = match connection.connected(&mut line, in_flight_max) {
            Ok(()) => connection.serve(&mut line).await,
            Err(end) => end,
        };
        match (ended, connection.beside.take()) {
            (Break::Stopped, _) => Ended::Stopped,
            // The broker has let the other in and hung up, or was about to.
            (Break::Renewed(beside), _) | (Break::Fault(_), Some(beside)) => Ended::Renewed(beside),
            (Break::Fault(fault), None) => Ended::Lost {
                fault,
                progressed: connection.progressed,
                useless: connection.is_of_no_use().then_some(connection.tls),
            },
        }
    }

    async fn serve(&mut self, line: &mut Line) -> Break {
        loop {
            let polled = match self.poll(line).await {
                Ok(polled) => polled,
                Err(end) => return end,
            };
            let event = match polled {
                Ok(event) => event,
                Err(PollError::Failed(failure)) => {
                    let fault = self.fault(failure);
                    return self.last_events(line).await.err().unwrap_or(fault.into());
                }
                Err(PollError::TimedOut) => return self.overdue(),
                Err(PollError::Panicked) => return BrokerFault::gave_up().into(),
            };
            if matches!(event, Event::Heard(_)) {
                self.heard = Instant::now();
            }
            let handled = match event {
                Event::Heard(Packet::SubAck(granted)) => self.subscribed(&granted).await,
                Event::Left => Err(Break::Stopped),
                other => self.flow(other).await,
            };
            if let Err(end) = handled {
                return end;
            }
        }
    }

    /// Waits for the library's next event, and hands it offers meanwhile.
    async fn poll(&mut self, line: &mut Line) -> Result<Polled, Break> {
        let probe_at = self.heard + line.keep_alive();
        let traffic = self.heard + line.keep_alive().mul_f32(1.5);
        let limit = match (&self.stage, self.due) {
            (Stage::Up, Some(due)) => due.min(traffic),
            (Stage::Up, None) => traffic,
            (_, Some(due)) => due,
            (_, None) => traffic,
        };
        let mut polling = pin!(guarded(line, limit));
        loop {
            let up = matches!(self.stage, Stage::Up);
            let room = self.correlation.open() < OFFERS_MAX;
            let try_at = self.uplink.identity.try_at();
            let may_try = up && self.beside.is_none();
            let may_say = self.correlation.open() == 0 && self.uplink.denied.lets_say_state();
            tokio::select! {
                biased;
                () = stop_asked(&mut self.uplink.stopped), if !matches!(self.stage, Stage::Leaving) => self.leave()?,
                offer = self.uplink.offered.recv(), if up && room => match offer {
                    Some(publish) => self.offer(publish).await?,
                    None => self.leave()?,
                },
                Some(answer) = self.uplink.answered.recv(), if up && room => self.answer(answer),
                looked = self.uplink.identity.looked() => self.uplink.take(looked).await?,
                () = sleep_until(try_at), if may_try => {
                    let tls = self.uplink.identity.attempt(unix_s());
                    self.beside = tls.map(|tls| dial(&self.uplink.settings, tls, self.uplink.turn));
                }
                () = sleep_until(probe_at), if up && self.pings_late && may_say => self.say_state("online")?,
                tried = tried(&mut self.beside) => self.tried(tried).await?,
                polled = &mut polling => return Ok(polled),
            }
        }
    }

    fn connected(&mut self, line: &mut Line, in_flight_max: u16) -> Result<(), Break> {
        self.pings_late = line.bound_keep_alive(self.uplink.settings.keep_alive());
        self.uplink.status.send_modify(|status| {
            status.connections += 1;
            status.in_flight_max = in_flight_max.min(OFFERS_MAX as u16);
        });
        Ok(self.sender.subscribe([&self.receipt_topic, &self.command_topic])?)
    }

    async fn subscribed(&mut self, granted: &[bool]) -> Result<(), Break> {
        if !matches!(self.stage, Stage::Subscribing) {
            return Ok(());
        }
        if !is_granted(granted, RECEIPTS) {
            return Err(BrokerFault::SubscribeRefused.into());
        }
        self.uplink.denied.commands = !is_granted(granted, COMMANDS);
        self.due = None;
        self.uplink.forget_offers();
        self.say_state("online")?;
        // An event that the broker refuses is set apart for long, so what new
        // certificates may do is found out by the state.
        if self.uplink.identity.is_on_trial(&self.tls) && self.correlation.open() > 0 {
            self.stage = Stage::Proving;
            return Ok(());
        }
        self.up().await
    }

    async fn up(&mut self) -> Result<(), Break> {
        self.stage = Stage::Up;
        self.uplink.accepted(&self.tls).await?;
        self.uplink.tell(true, self.uplink.denied.fault());
        let in_flight_max = self.uplink.status.borrow().in_flight_max;
        self.news(BrokerInput::Up { in_flight_max }).await
    }

    /// Events that do not move the connection from stage to stage.
    async fn flow(&mut self, event: Event) -> Result<(), Break> {
        match event {
            Event::Sent(packet_id) => {
                self.correlation.sent(packet_id);
                Ok(())
            }
            Event::Heard(Packet::PubAck { packet_id, reason }) => {
                self.answered(packet_id, reason).await
            }
            Event::Heard(Packet::Publish { topic, payload }) => {
                self.received(&topic, payload).await
            }
            _ => Ok(()),
        }
    }

    async fn answered(&mut self, packet_id: u16, reason: u8) -> Result<(), Break> {
        let Some(offer) = self.correlation.answered(packet_id, Instant::now()) else {
            return Ok(());
        };
        self.due = match (&self.stage, self.correlation.open()) {
            (Stage::Leaving, 0) => {
                let _ = self.sender.disconnect();
                self.due
            }
            (Stage::Leaving, _) => self.due,
            (_, _) => self.correlation.first_since().map(|since| since + ACKNOWLEDGE_WAIT),
        };
        match (offer, reason) {
            (Offer::State, reason) if matches!(self.stage, Stage::Proving) => match reason {
                0..0x80 => {
                    self.uplink.denied.state = None;
                    self.up().await
                }
                reason => Err(BrokerFault::StateRefused(reason).into()),
            },
            (Offer::State, reason) => {
                self.denied(|denied| &mut denied.state, reason);
                Ok(())
            }
            (Offer::Answer, reason) => {
                self.denied(|denied| &mut denied.answer, reason);
                // The quota for which the state was refused may be over: nothing else says
                // the state again as long as the line stands.
                let again = reason < 0x80 && self.uplink.denied.state.is_some();
                if again && matches!(self.stage, Stage::Up) {
                    self.say_state("online")
                } else {
                    Ok(())
                }
            }
            (Offer::Event(publish), reason) => {
                self.progressed = true;
                self.news(match reason {
                    0 => BrokerInput::Taken(publish),
                    reason => BrokerInput::Refused { publish, reason },
                })
                .await
            }
        }
    }

    /// Remembers and tells what the broker does not take, or takes again.
    fn denied(&mut self, which: impl FnOnce(&mut Denied) -> &mut Option<u8>, reason: u8) {
        let refused = (reason >= 0x80).then_some(reason);
        let before = std::mem::replace(which(&mut self.uplink.denied), refused);
        if before.is_some() || refused.is_some() {
            self.uplink.tell(true, self.uplink.denied.fault());
        }
    }

    async fn received(&mut self, topic: &[u8], payload: Vec<u8>) -> Result<(), Break> {
        let input = match topic {
            topic if topic == self.receipt_topic.as_bytes() => BrokerInput::Receipt,
            topic if topic == self.command_topic.as_bytes() => BrokerInput::CentreMessage,
            _ => return Ok(()),
        };
        if payload.len() > MESSAGE_BYTES_MAX {
            self.uplink.status.send_modify(|status| status.messages_dropped += 1);
            return Ok(());
        }
        self.news(input(payload)).await
    }

    async fn offer(&mut self, publish: Publish) -> Result<(), Break> {
        let Publish { id, topic, payload, .. } = publish;
        match self.sender.publish(topic, false, payload) {
            Ok(()) => {
                self.requested(Offer::Event(id));
                Ok(())
            }
            // The library takes no topic with a wildcard. No broker would.
            Err(_) => self.news(BrokerInput::Refused { publish: id, reason: 0x90 }).await,
        }
    }

    fn answer(&mut self, answer: Answer) {
        let Answer { topic, payload, .. } = answer;
        if self.uplink.denied.lets_answer() && self.sender.publish(topic, false, payload).is_ok() {
            self.requested(Offer::Answer);
        }
    }

    fn requested(&mut self, offer: Offer) {
        self.correlation.requested(offer, Instant::now());
        self.due.get_or_insert_with(|| Instant::now() + ACKNOWLEDGE_WAIT);
    }

    fn say_state(&mut self, state: &str) -> Result<(), Break> {
        if !self.uplink.denied.lets_say_state() {
            return Ok(());
        }
        let settings = &self.uplink.settings;
        self.sender.publish(settings.topic("state"), true, settings.state(state))?;
        self.requested(Offer::State);
        Ok(())
    }

    /// Begins the polite end; if nothing was up, ends at once.
    fn leave(&mut self) -> Result<(), Break> {
        if !matches!(self.stage, Stage::Up) {
            return Err(Break::Stopped);
        }
        while self.correlation.open() < OFFERS_MAX {
            let Ok(publish) = self.uplink.offered.try_recv() else {
                break;
            };
            let Publish { id, topic, payload, .. } = publish;
            if self.sender.publish(topic, false, payload).is_ok() {
                self.requested(Offer::Event(id));
            }
        }
        self.say_state("offline")?;
        self.stage = Stage::Leaving;
        self.due = Some(Instant::now() + GOODBYE_WAIT);
        if self.correlation.open() == 0 {
            self.sender.disconnect()?;
        }
        Ok(())
    }

    /// The answers that the library had read before it failed.
    async fn last_events(&mut self, line: &mut Line) -> Result<(), Break> {
        while let Some(event) = line.unread() {
            match event {
                Event::Heard(Packet::SubAck(granted)) if !is_granted(&granted, RECEIPTS) => {
                    return Err(BrokerFault::SubscribeRefused.into());
                }
                event => self.flow(event).await?,
            }
        }
        Ok(())
    }

    /// It ends before any event could go out.
    fn is_of_no_use(&self) -> bool {
        matches!(self.stage, Stage::Subscribing | Stage::Proving)
    }

    fn overdue(&self) -> Break {
        let awaited = match self.stage {
            Stage::Subscribing => Awaited::Subscription,
            Stage::Proving => Awaited::Acknowledgement,
            Stage::Leaving => return Break::Stopped,
            Stage::Up if self.due.is_some_and(|due| due <= Instant::now()) => {
                Awaited::Acknowledgement
            }
            Stage::Up => Awaited::Traffic,
        };
        BrokerFault::ProtocolTimeout(awaited).into()
    }

    fn fault(&self, failure: Failure) -> BrokerFault {
        let (mqtt, own) = (self.uplink.settings.mqtt, self.tls.own);
        Circumstances { answered: true, mqtt, own, now_unix_s: unix_s() }.fault(failure)
    }

    /// An attempt beside this line came to an end.
    async fn tried(&mut self, tried: Result<Dialled, Undialled>) -> Result<(), Break> {
        self.beside = None;
        match tried {
            Ok(dialled) => Err(Break::Renewed(Box::pin(ready(Ok(dialled))))),
            Err(Undialled { tls, fault }) => {
                self.uplink.failed(&tls, &fault).await?;
                Ok(())
            }
        }
    }

    /// Tells the engine.
    async fn news(&mut self, news: BrokerInput) -> Result<(), Break> {
        Ok(self.uplink.news(news).await?)
    }
}

impl From<Gone> for Break {
    fn from(_: Gone) -> Self {
        Self::Stopped
    }
}

/// Waits for an attempt to end; for ever if there is none.
async fn tried(beside: &mut Option<Dialling>) -> Result<Dialled, Undialled> {
    match beside {
        Some(beside) => beside.await,
        None => pending().await,
    }
}

/// The library's request queue holds more than can be open.
impl From<NotTaken> for Break {
    fn from(NotTaken: NotTaken) -> Self {
        BrokerFault::Protocol("the MQTT library takes no request".to_owned()).into()
    }
}

fn is_granted(granted: &[bool], place: usize) -> bool {
    granted.get(place).copied().unwrap_or(false)
}
