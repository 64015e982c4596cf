//! The centre's connection: a fresh event loop each time, manual acknowledgement.

use super::command::GATEWAYS_MAX;
use super::event::PAYLOAD_BYTES_MAX;
use super::register::{Heard, Register};
use super::{Call, CentreSettings, Done, Known, Message, News, Ticket, lock};
use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish, PublishProperties, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ClientError, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

/// Messages that the broker may send ahead of our acknowledgements.
const RECEIVE_MAX: u16 = 1024;

/// Requests that can wait: for each of those messages a receipt and an
/// acknowledgement, the subscription, and a message to each gateway.
const REQUESTS_MAX: usize = 2 * RECEIVE_MAX as usize + 8 + GATEWAYS_MAX;

/// The broker keeps a message to a gateway that is away for so many intervals.
const MESSAGE_EXPIRY_INTERVALS: u32 = 3;

/// Largest message taken. One that is larger would otherwise end every
/// connection anew; this way the broker does not send it.
const PACKET_BYTES_MAX: u32 = 64 * 1024;

/// First and longest pause before the next attempt.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Longest farewell.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Why a connection ended.
enum End {
    /// Somebody wants us to stop.
    Stopped,
    /// This went wrong.
    Failed(String),
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
        let mut session = Session::new(&settings, &known, &news, number);
        match session.serve(&mut calls, &mut stopped).await {
            End::Stopped => return session.leave(&mut calls).await,
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

/// One connection.
struct Session<'a> {
    settings: &'a CentreSettings,
    known: &'a Known,
    news: &'a mpsc::Sender<News>,
    clock: Option<Interval>,
    requests: AsyncClient,
    events: EventLoop,
    is_up: bool,
    /// Counts connections: acknowledgements belong to theirs.
    number: u64,
}

impl<'a> Session<'a> {
    fn new(
        settings: &'a CentreSettings,
        known: &'a Known,
        news: &'a mpsc::Sender<News>,
        number: u64,
    ) -> Self {
        let expiry_s = u32::try_from(settings.session_expiry.as_secs()).unwrap_or(u32::MAX);
        let mut options = MqttOptions::new(&settings.client_id, &settings.host, settings.port);
        options
            .set_transport(Transport::Tls(TlsConfiguration::Rustls(Arc::clone(&settings.tls))))
            .set_keep_alive(settings.keep_alive)
            .set_clean_start(false)
            .set_session_expiry_interval(Some(expiry_s))
            .set_receive_maximum(Some(RECEIVE_MAX))
            .set_max_packet_size(Some(PACKET_BYTES_MAX))
            .set_manual_acks(true);
        let mut network = options.network_options();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (requests, events) = AsyncClient::new(options, REQUESTS_MAX);
        let clock = settings.message_interval.map(|period| {
            let mut clock = interval(period);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            clock
        });
        Self { settings, known, news, clock, requests, events, is_up: false, number }
    }

    async fn serve(
        &mut self,
        calls: &mut mpsc::UnboundedReceiver<Call>,
        stopped: &mut oneshot::Receiver<()>,
    ) -> End {
        let patience = self.settings.keep_alive * 3 / 2;
        loop {
            // `poll` holds packets: it is not cancelled when the clock strikes.
            let polled = {
                let mut polling = pin!(timeout(patience, self.events.poll()));
                loop {
                    tokio::select! {
                        polled = &mut polling => break polled,
                        () = strike(&mut self.clock), if self.is_up => {
                            for news in speak(self.settings, self.known, &self.requests) {
                                if self.news.send(news).await.is_err() {
                                    return End::Stopped;
                                }
                            }
                        }
                        Some(call) = calls.recv(), if self.is_up => {
                            if let Err(end) = carry_out(&self.requests, self.number, call) {
                                return end;
                            }
                        }
                        _ = &mut *stopped => return End::Stopped,
                    }
                }
            };
            let packet = match polled {
                Ok(Ok(Event::Incoming(packet))) => packet,
                Ok(Ok(Event::Outgoing(_))) => continue,
                Ok(Err(error)) => return End::Failed(reason(&error)),
                Err(_) => return End::Failed("the broker is silent".into()),
            };
            let handled = tokio::select! {
                handled = self.handle(packet) => handled,
                _ = &mut *stopped => return End::Stopped,
            };
            if let Err(end) = handled {
                return end;
            }
        }
    }

    async fn handle(&mut self, packet: Packet) -> Result<(), End> {
        match packet {
            Packet::ConnAck(ack) => {
                if ack.session_present {
                    // Its subscriptions are kept as well, and what waited comes at once.
                    self.is_up = true;
                    self.tell(News::Up { session_kept: true }).await?;
                }
                let base = format!("lonework/v1/{}/{}", self.settings.site, self.settings.gateway);
                let filters = ["event/+", "state", "answer"]
                    .map(|rest| Filter::new(format!("{base}/{rest}"), QoS::AtLeastOnce));
                self.requests.try_subscribe_many(filters).map_err(overflow)
            }
            Packet::SubAck(ack) => {
                let granted = |code: &SubscribeReasonCode| {
                    matches!(code, SubscribeReasonCode::Success(QoS::AtLeastOnce))
                };
                if !ack.return_codes.iter().all(granted) {
                    let codes = &ack.return_codes;
                    return Err(End::Failed(format!("the broker refuses to subscribe: {codes:?}")));
                }
                if self.is_up {
                    return Ok(());
                }
                self.is_up = true;
                self.tell(News::Up { session_kept: false }).await
            }
            Packet::Publish(publish) => match &self.known.register {
                Some(register) => self.take(register, &publish).await,
                None => self.hand_over(publish).await,
            },
            Packet::Disconnect(disconnect) => {
                Err(End::Failed(format!("the broker ends it: {:?}", disconnect.reason_code)))
            }
            _ => Ok(()),
        }
    }

    /// Judges, hands over, receipts, acknowledges, in this order.
    async fn take(&mut self, register: &Mutex<Register>, publish: &Publish) -> Result<(), End> {
        let topic = String::from_utf8_lossy(&publish.topic);
        let heard = lock(register).hear(&topic, &publish.payload, publish.retain);
        lock(&self.known.desks).hear(&topic, &publish.payload);
        let receipt = match &heard {
            Heard::Event { event, .. } if self.settings.receipts => Some((
                format!("lonework/v1/{}/{}/receipt", event.site, event.gateway),
                event.receipt(),
            )),
            _ => None,
        };
        self.tell(News::Heard(heard)).await?;
        if let Some((topic, payload)) = receipt {
            let sent = self.requests.try_publish(topic, QoS::AtLeastOnce, false, payload);
            if publish.qos != QoS::AtMostOnce {
                sent.map_err(overflow)?;
            }
        }
        if publish.qos == QoS::AtMostOnce {
            return Ok(());
        }
        self.requests.try_ack(publish).map_err(overflow)
    }

    /// Leaves judging, receipting and acknowledging to who takes it.
    async fn hand_over(&mut self, publish: Publish) -> Result<(), End> {
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        lock(&self.known.desks).hear(&topic, &publish.payload);
        // Many of the longest would fill the memory; beyond this nothing is read.
        let payload = match publish.payload.get(..=PAYLOAD_BYTES_MAX) {
            Some(beginning) => Bytes::copy_from_slice(beginning),
            None => publish.payload,
        };
        let pkid = (publish.qos != QoS::AtMostOnce).then_some(publish.pkid);
        let ticket = Ticket { connection: self.number, pkid };
        self.tell(News::Message(Message { topic, payload, retained: publish.retain, ticket })).await
    }

    async fn tell(&mut self, news: News) -> Result<(), End> {
        self.news.send(news).await.map_err(|_| End::Stopped)
    }

    /// Says goodbye after what waits.
    async fn leave(mut self, calls: &mut mpsc::UnboundedReceiver<Call>) {
        while let Ok(call) = calls.try_recv() {
            // What has no room comes again.
            let _ = carry_out(&self.requests, self.number, call);
        }
        if !self.is_up || self.requests.try_disconnect().is_err() {
            return;
        }
        let farewell = async { while self.events.poll().await.is_ok() {} };
        // A broker that does not answer is left without a farewell.
        let _ = timeout(FAREWELL_MAX, farewell).await;
    }
}

/// Receipts, acknowledges.
fn carry_out(requests: &AsyncClient, connection: u64, call: Call) -> Result<(), End> {
    let qos = QoS::AtLeastOnce;
    match call {
        // Without room the broker has stopped taking; the gateway offers again what has
        // no receipt.
        Call::Receipt(topic, payload) => drop(requests.try_publish(topic, qos, false, payload)),
        Call::Done(all) => {
            for Done { receipt, ticket } in all {
                if let Some((topic, payload)) = receipt {
                    let sent = requests.try_publish(topic, qos, false, payload);
                    // Against the contract it came by QoS 0, which has no window.
                    ticket.pkid.map_or(Ok(()), |_| sent.map_err(overflow))?;
                }
                // What came by a connection that ended comes again by this one.
                if let Some(pkid) = ticket.pkid.filter(|_| ticket.connection == connection) {
                    let mut publish = Publish::new("", qos, "", None);
                    publish.pkid = pkid;
                    requests.try_ack(&publish).map_err(overflow)?;
                }
            }
        }
    }
    Ok(())
}

/// Ends when it is time for the centre's messages.
async fn strike(clock: &mut Option<Interval>) {
    match clock {
        Some(clock) => drop(clock.tick().await),
        None => std::future::pending().await,
    }
}

/// Sends every gateway its message; tells who does not answer.
fn speak(settings: &CentreSettings, known: &Known, requests: &AsyncClient) -> Vec<News> {
    #[expect(clippy::disallowed_methods, reason = "a centre dates its messages")]
    let now = SystemTime::now();
    let round = lock(&known.desks).round(settings.signing_key.as_deref(), now);
    let interval = settings.message_interval.unwrap_or_default();
    let expiry_s = (interval * MESSAGE_EXPIRY_INTERVALS).as_secs().max(1);
    let properties = PublishProperties {
        message_expiry_interval: u32::try_from(expiry_s).ok(),
        ..PublishProperties::default()
    };
    for (topic, payload) in round.messages {
        let properties = properties.clone();
        // Without room the broker has stopped taking; the next message makes up for it.
        drop(requests.try_publish_with_properties(
            topic,
            QoS::AtLeastOnce,
            false,
            payload,
            properties,
        ));
    }
    round.deaf.into_iter().map(|(site, gateway)| News::Deaf { site, gateway }).collect()
}

/// The requests are bounded by the broker's window, unless the broker keeps no window.
fn overflow(_: ClientError) -> End {
    End::Failed("the broker sends more than it was allowed to".into())
}

/// What went wrong, with its causes.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
