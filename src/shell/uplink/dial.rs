//! From dialling to CONNACK, with one set of certificates. A line that stands may
//! be dialled beside: the broker gives the session to whoever connects last, and
//! only once it has accepted the new certificate.

use super::BrokerSettings;
use super::connection::OPEN_MAX;
use super::fault::{Awaited, BrokerFault, Circumstances};
use crate::shell::clock::unix_s;
use crate::shell::tls::ClientTls;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, LastWill, LastWillProperties, Packet};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Dialling, TLS and CONNACK. A slow line needs several round trips for them.
const CONNECT_WAIT: Duration = Duration::from_secs(15);
/// More is no use to us. The broker is told, and drops longer messages itself.
const PACKET_BYTES_MAX: u32 = 256 * 1024;
/// Messages that the broker may have on the way to us.
const MESSAGES_IN_FLIGHT_MAX: u16 = 512;
/// What stands in the socket's buffer can no longer be overtaken.
const SEND_BUFFER_BYTES: u32 = 16 * 1024;

/// A line whose session another one takes over within this time is no gateway that
/// is gone, s.
const WILL_DELAY_S: u32 = 2;

/// What one wait for the library brought.
pub(super) type Polled = Result<Event, PollError>;

pub(super) enum PollError {
    Failed(Box<ConnectionError>),
    TimedOut,
    Panicked,
}

/// A broker that has said CONNACK.
pub(super) struct Dialled {
    pub(super) client: AsyncClient,
    pub(super) event_loop: EventLoop,
    pub(super) connack: ConnAck,
    /// With what.
    pub(super) tls: Arc<ClientTls>,
}

/// The attempt failed.
pub(super) struct Undialled {
    /// With what.
    pub(super) tls: Arc<ClientTls>,
    pub(super) fault: BrokerFault,
}

/// An attempt; dropped, it is given up.
pub(super) type Dialling = Pin<Box<dyn Future<Output = Result<Dialled, Undialled>> + Send>>;

/// Dials.
pub(super) fn dial(settings: &BrokerSettings, tls: Arc<ClientTls>) -> Dialling {
    let options = options(settings, &tls);
    Box::pin(async move {
        let (client, mut event_loop) = AsyncClient::new(options, OPEN_MAX.into());
        let fault = match guarded(&mut event_loop, Instant::now() + CONNECT_WAIT).await {
            Ok(Event::Incoming(Packet::ConnAck(connack))) => {
                return Ok(Dialled { client, event_loop, connack, tls });
            }
            Ok(_) => BrokerFault::Protocol("it did not answer CONNECT with CONNACK".to_owned()),
            Err(PollError::Failed(error)) => {
                let own = tls.own;
                Circumstances { answered: false, own, now_unix_s: unix_s() }.fault(&error)
            }
            Err(PollError::TimedOut) => BrokerFault::ProtocolTimeout(Awaited::Connection),
            Err(PollError::Panicked) => BrokerFault::gave_up(),
        };
        Err(Undialled { tls, fault })
    })
}

fn options(settings: &BrokerSettings, tls: &ClientTls) -> MqttOptions {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_tcp_send_buffer_size(SEND_BUFFER_BYTES);
    if let Some(interface) = &settings.interface {
        network.set_bind_device(interface);
    }
    let will = settings.state("offline");
    let delayed = LastWillProperties {
        delay_interval: Some(WILL_DELAY_S),
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    let topic = settings.topic("state");
    let will = LastWill::new(topic, will, QoS::AtLeastOnce, true, Some(delayed));
    let transport = TlsConfiguration::Rustls(Arc::clone(&tls.config));

    let mut options = MqttOptions::new(&settings.client_id, &settings.host, settings.port);
    options
        .set_transport(Transport::tls_with_config(transport))
        .set_network_options(network)
        .set_connection_timeout(CONNECT_WAIT.as_secs())
        .set_keep_alive(settings.keep_alive())
        .set_clean_start(false)
        .set_session_expiry_interval(Some(settings.session_expiry_s))
        .set_max_packet_size(Some(PACKET_BYTES_MAX))
        .set_receive_maximum(Some(MESSAGES_IN_FLIGHT_MAX))
        .set_outgoing_inflight_upper_limit(OPEN_MAX)
        .set_last_will(will);
    if let Some(login) = &settings.credentials {
        options.set_credentials(&login.user, login.password.as_str());
    }
    options
}

/// Polls the library until `limit`, and survives it.
pub(super) async fn guarded(event_loop: &mut EventLoop, limit: Instant) -> Polled {
    let mut polling = pin!(timeout_at(limit, event_loop.poll()));
    poll_fn(|context| {
        let once = AssertUnwindSafe(|| polling.as_mut().poll(context));
        match catch_unwind(once) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(polled))) => {
                Poll::Ready(polled.map_err(|error| PollError::Failed(Box::new(error))))
            }
            Ok(Poll::Ready(Err(_))) => Poll::Ready(Err(PollError::TimedOut)),
            Err(_) => Poll::Ready(Err(PollError::Panicked)),
        }
    })
    .await
}
