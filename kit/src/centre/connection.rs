//! The centre's connection: a fresh event loop each time, manual acknowledgement.

use super::register::{Heard, Register};
use super::{CentreSettings, News};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ClientError, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// Messages that the broker may send ahead of our acknowledgements.
const RECEIVE_MAX: u16 = 128;

/// Requests that can wait: for each of those messages a receipt and an
/// acknowledgement, and the subscription.
const REQUESTS_MAX: usize = 2 * RECEIVE_MAX as usize + 8;

/// Largest message taken. One that is larger would otherwise end every
/// connection anew; this way the broker does not send it.
const PACKET_BYTES_MAX: u32 = 256 * 1024;

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

/// Connects again and again until stopped, or until nobody takes the news.
pub(super) async fn run(
    settings: CentreSettings,
    register: Arc<Mutex<Register>>,
    news: mpsc::Sender<News>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut pause = PAUSE_MIN;
    let mut told = String::new();
    loop {
        let mut session = Session::new(&settings, &register, &news);
        match session.serve(&mut stopped).await {
            End::Stopped => return session.leave().await,
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
    register: &'a Mutex<Register>,
    news: &'a mpsc::Sender<News>,
    requests: AsyncClient,
    events: EventLoop,
    is_up: bool,
}

impl<'a> Session<'a> {
    fn new(
        settings: &'a CentreSettings,
        register: &'a Mutex<Register>,
        news: &'a mpsc::Sender<News>,
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
        Self { settings, register, news, requests, events, is_up: false }
    }

    async fn serve(&mut self, stopped: &mut oneshot::Receiver<()>) -> End {
        let patience = self.settings.keep_alive * 3 / 2;
        loop {
            let polled = tokio::select! {
                polled = timeout(patience, self.events.poll()) => polled,
                _ = &mut *stopped => return End::Stopped,
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
                let filters = ["event/+", "state"]
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
            Packet::Publish(publish) => self.take(&publish).await,
            Packet::Disconnect(disconnect) => {
                Err(End::Failed(format!("the broker ends it: {:?}", disconnect.reason_code)))
            }
            _ => Ok(()),
        }
    }

    /// Judges, hands over, receipts, acknowledges, in this order.
    async fn take(&mut self, publish: &Publish) -> Result<(), End> {
        let topic = String::from_utf8_lossy(&publish.topic);
        let heard = {
            // Nothing panics while it holds this lock.
            let mut register = self.register.lock().unwrap_or_else(PoisonError::into_inner);
            register.hear(&topic, &publish.payload, publish.retain)
        };
        let receipt = match &heard {
            Heard::Event { event, .. } if self.settings.receipts => Some((
                format!("lonework/v1/{}/{}/receipt", event.site, event.gateway),
                format!(r#"{{"received":"{}"}}"#, event.id),
            )),
            _ => None,
        };
        self.tell(News::Heard(heard)).await?;
        if let Some((topic, payload)) = receipt {
            let sent = self.requests.try_publish(topic, QoS::AtLeastOnce, false, payload);
            sent.map_err(overflow)?;
        }
        if publish.qos == QoS::AtMostOnce {
            return Ok(());
        }
        self.requests.try_ack(publish).map_err(overflow)
    }

    async fn tell(&mut self, news: News) -> Result<(), End> {
        self.news.send(news).await.map_err(|_| End::Stopped)
    }

    /// Says goodbye after what waits.
    async fn leave(mut self) {
        if !self.is_up || self.requests.try_disconnect().is_err() {
            return;
        }
        let farewell = async { while self.events.poll().await.is_ok() {} };
        // A broker that does not answer is left without a farewell.
        let _ = timeout(FAREWELL_MAX, farewell).await;
    }
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
