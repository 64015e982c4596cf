//! The centre's connection: dials, subscribes, hands over, receipts and acknowledges, again
//! and again. What of it is MQTT stands in `mqtt`, what is a connection in `link`.

use super::command::GATEWAYS_MAX;
use super::event::PAYLOAD_BYTES_MAX;
use super::link::Link;
use super::mqtt::{self, Incoming};
use super::queue::Overflow;
use super::register::{Heard, Register};
use super::{Call, CentreSettings, Done, Known, Message, News, Ticket, lock};
use bytes::Bytes;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};

/// The broker keeps a message to a gateway that is away for so many intervals.
const MESSAGE_EXPIRY_INTERVALS: u32 = 3;

/// First and longest pause before the next attempt.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Shortest pause between two signs of life.
const PING_PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest farewell.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Why a connection ended.
enum End {
    /// Somebody wants us to stop.
    Stopped,
    /// This went wrong.
    Failed(String),
}

impl From<String> for End {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// What waits is bounded by the broker's window, unless the broker keeps no window.
impl From<Overflow> for End {
    fn from(_: Overflow) -> Self {
        Self::Failed("the broker sends more than it was allowed to".into())
    }
}

/// The ways between the centre and its connection.
pub(super) struct Ways {
    pub(super) news: mpsc::Sender<News>,
    pub(super) calls: mpsc::UnboundedReceiver<Call>,
    pub(super) stopped: oneshot::Receiver<()>,
}

/// Connects again and again until stopped, or until nobody takes the news.
pub(super) async fn run(settings: CentreSettings, known: Arc<Known>, ways: Ways) {
    let Ways { news, mut calls, mut stopped } = ways;
    let mut pause = PAUSE_MIN;
    let mut told = String::new();
    for number in 0_u64.. {
        let (settings, known, news) = (&settings, &known, &news);
        let mut session = Session { settings, known, news, is_up: false, number };
        let mut link = None;
        let ended = tokio::select! {
            // What it is dropped with comes again: it was not acknowledged.
            Err(end) = session.serve(&mut link, &mut calls) => end,
            _ = &mut stopped => End::Stopped,
        };
        match ended {
            End::Stopped => return session.leave(link, &mut calls).await,
            End::Failed(reason) => {
                if session.is_up {
                    pause = PAUSE_MIN;
                }
                if session.is_up || reason != told {
                    told.clone_from(&reason);
                    if news.send(News::Down(reason)).await.is_err() {
                        return;
                    }
                }
            }
        }
        tokio::select! {
            () = sleep(pause) => {}
            _ = &mut stopped => return,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What of a connection is not its link.
struct Session<'a> {
    settings: &'a CentreSettings,
    known: &'a Known,
    news: &'a mpsc::Sender<News>,
    is_up: bool,
    /// Counts connections: acknowledgements belong to theirs.
    number: u64,
}

impl Session<'_> {
    /// Goes on until something fails.
    async fn serve(
        &mut self,
        link: &mut Option<Link>,
        calls: &mut mpsc::UnboundedReceiver<Call>,
    ) -> Result<Infallible, End> {
        let (dialled, session_kept) = Link::dial(self.settings, GATEWAYS_MAX).await?;
        let link = link.insert(dialled);
        let base = format!("lonework/v1/{}/{}", self.settings.site, self.settings.gateway);
        let filters = ["event/+", "state", "answer"].map(|rest| format!("{base}/{rest}"));
        link.subscribe(filters.into())?;
        if session_kept {
            // Its subscriptions are kept as well, and what waited comes at once.
            self.is_up = true;
            self.tell(News::Up { session_kept }).await?;
        }
        let patience = link.keep_alive * 3 / 2;
        let mut ping = regularly((link.keep_alive / 2).max(PING_PAUSE_MIN));
        let mut clock = self.settings.message_interval.map(regularly);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                turned = link.turn() => {
                    turned?;
                    while let Some(incoming) = link.next()? {
                        self.handle(link, incoming).await?;
                        heard = Instant::now();
                    }
                }
                Some(call) = calls.recv(), if self.is_up => self.carry_out(link, call)?,
                () = strike(&mut clock), if self.is_up => self.speak(link).await?,
                _ = ping.tick() => {
                    if heard.elapsed() >= patience {
                        return Err(End::Failed("the broker is silent".into()));
                    }
                    link.ping()?;
                }
            }
        }
    }

    async fn handle(&mut self, link: &mut Link, incoming: Incoming) -> Result<(), End> {
        match incoming {
            Incoming::SubAck if !self.is_up => {
                self.is_up = true;
                self.tell(News::Up { session_kept: false }).await
            }
            Incoming::Publish(message) => match &self.known.register {
                Some(register) => self.take(link, register, &message).await,
                None => self.hand_over(message).await,
            },
            Incoming::End(why) => Err(End::Failed(why)),
            _ => Ok(()),
        }
    }

    /// Judges, hands over, receipts, acknowledges, in this order.
    async fn take(
        &self,
        link: &mut Link,
        register: &Mutex<Register>,
        message: &mqtt::Message,
    ) -> Result<(), End> {
        let topic = String::from_utf8_lossy(&message.topic);
        let heard = lock(register).hear(&topic, &message.payload, message.retain);
        lock(&self.known.desks).hear(&topic, &message.payload);
        let receipt = match &heard {
            Heard::Event { event, .. } if self.settings.receipts => Some((
                format!("lonework/v1/{}/{}/receipt", event.site, event.gateway),
                event.receipt(),
            )),
            _ => None,
        };
        self.tell(News::Heard(heard)).await?;
        answer(link, receipt, message.pkid, message.pkid)
    }

    /// Leaves judging, receipting and acknowledging to who takes it.
    async fn hand_over(&self, message: mqtt::Message) -> Result<(), End> {
        let topic = String::from_utf8_lossy(&message.topic).into_owned();
        lock(&self.known.desks).hear(&topic, &message.payload);
        // Many of the longest would fill the memory; beyond this nothing is read.
        let payload = match message.payload.get(..=PAYLOAD_BYTES_MAX) {
            Some(beginning) => Bytes::copy_from_slice(beginning),
            None => message.payload,
        };
        let ticket = Ticket { connection: self.number, pkid: message.pkid };
        self.tell(News::Message(Message { topic, payload, retained: message.retain, ticket })).await
    }

    async fn tell(&self, news: News) -> Result<(), End> {
        self.news.send(news).await.map_err(|_| End::Stopped)
    }

    /// Receipts, acknowledges.
    fn carry_out(&self, link: &mut Link, call: Call) -> Result<(), End> {
        match call {
            // Without room the broker has stopped taking; the gateway offers again what has
            // no receipt.
            Call::Receipt(topic, payload) => drop(link.publish(topic, payload, None)),
            Call::Done(all) => {
                for Done { receipt, ticket } in all {
                    // What came by a connection that ended comes again by this one.
                    let pkid = ticket.pkid.filter(|_| ticket.connection == self.number);
                    answer(link, receipt, ticket.pkid, pkid)?;
                }
            }
        }
        Ok(())
    }

    /// Sends every gateway its message; tells who does not answer.
    async fn speak(&self, link: &mut Link) -> Result<(), End> {
        #[expect(clippy::disallowed_methods, reason = "a centre dates its messages")]
        let now = SystemTime::now();
        let round = lock(&self.known.desks).round(self.settings.signing_key.as_deref(), now);
        let interval = self.settings.message_interval.unwrap_or_default();
        let expiry_s = (interval * MESSAGE_EXPIRY_INTERVALS).as_secs().max(1);
        for (topic, payload) in round.messages {
            // Without room the broker has stopped taking; the next message makes up for it.
            drop(link.publish(topic, payload, u32::try_from(expiry_s).ok()));
        }
        for (site, gateway) in round.deaf {
            self.tell(News::Deaf { site, gateway }).await?;
        }
        Ok(())
    }

    /// Says goodbye after what waits.
    async fn leave(&self, link: Option<Link>, calls: &mut mpsc::UnboundedReceiver<Call>) {
        let Some(mut link) = link.filter(|_| self.is_up) else { return };
        while let Ok(call) = calls.try_recv() {
            // What has no room comes again.
            let _ = self.carry_out(&mut link, call);
        }
        // A broker that does not answer is left without a farewell.
        let _ = timeout(FAREWELL_MAX, link.leave()).await;
    }
}

/// A message's receipt, then its acknowledgement.
fn answer(
    link: &mut Link,
    receipt: Option<(String, String)>,
    came_as: Option<u16>,
    acknowledged: Option<u16>,
) -> Result<(), End> {
    if let Some((topic, payload)) = receipt {
        let sent = link.publish(topic, payload, None);
        // Against the contract it came by QoS 0, which has no window.
        came_as.map_or(Ok(()), |_| sent)?;
    }
    acknowledged.map_or(Ok(()), |pkid| link.acknowledge(pkid))?;
    Ok(())
}

fn regularly(period: Duration) -> Interval {
    let mut clock = interval(period);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock
}

/// Ends when it is time for the centre's messages.
async fn strike(clock: &mut Option<Interval>) {
    match clock {
        Some(clock) => drop(clock.tick().await),
        None => std::future::pending().await,
    }
}
