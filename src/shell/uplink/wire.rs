//! The seam to the MQTT library: one line to a broker, in version 5 or 3.1.1.
//!
//! The library (rumqttc) has two clients with types of their own. What the uplink
//! needs of either is said here once; [`v5`] and [`v4`] translate. 3.1.1 tells less:
//! no reason in a PUBACK or at the end of a connection, and no limits in CONNACK.

mod v4;
mod v5;

use super::BrokerSettings;
use crate::config::MqttVersion;
use crate::shell::tls::ClientTls;
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Dialling, TLS and CONNACK. A slow line needs several round trips for them.
pub(super) const CONNECT_WAIT: Duration = Duration::from_secs(15);
/// More is no use to us. A broker of version 5 is told, and drops longer messages
/// itself.
const PACKET_BYTES_MAX: u32 = 256 * 1024;
/// What stands in the socket's buffer can no longer be overtaken.
const SEND_BUFFER_BYTES: u32 = 16 * 1024;

/// Publishes in flight to a broker that names no limit, because its version of MQTT
/// has no word for it. Above the 10 or 20 that brokers allow by default, and few
/// enough that a broker which keeps them all in memory does not notice a gateway.
const IN_FLIGHT_UNTOLD: u16 = 64;

/// The library's limit must be above every number of open offers: at its limit
/// it hands out packet ids that are still in use.
pub(super) const OPEN_MAX: u16 = 600;

/// Hands requests to the library. None of its methods wait.
pub(super) enum Sender {
    V5(rumqttc::v5::AsyncClient),
    V4(rumqttc::AsyncClient),
}

/// The library's queue is full, or it does not take such a topic.
#[derive(Debug)]
pub(super) struct NotTaken;

/// The library's event loop.
pub(super) enum Line {
    V5(Box<rumqttc::v5::EventLoop>),
    V4(Box<rumqttc::EventLoop>),
}

/// What the library tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The broker sent something.
    Heard(Packet),
    /// A publish got this packet id, in the order of the requests.
    Sent(u16),
    /// DISCONNECT was sent.
    Left,
    /// Something else was sent.
    Other,
}

/// What a broker sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// The connection stands.
    ConnAck {
        /// Unacknowledged publishes that the broker allows.
        in_flight_max: u16,
    },
    /// Which filters of the SUBSCRIBE were granted, in their order.
    SubAck(Vec<bool>),
    /// The answer to a publish.
    PubAck {
        packet_id: u16,
        /// MQTT 5 reason code; always 0 in 3.1.1, also where the broker dropped it.
        reason: u8,
    },
    /// A message.
    Publish { topic: Vec<u8>, payload: Vec<u8> },
    /// Anything else.
    Other,
}

/// How the library failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Name resolution or TCP.
    Dial(io::Error),
    /// The stream, TLS included.
    Stream(io::Error),
    /// TLS.
    Tls(rustls::Error),
    /// TLS, in the library's words.
    TlsSaid(String),
    /// No CONNACK in time.
    Late,
    /// CONNACK: client id, user, password or rights.
    LoginRefused,
    /// CONNACK: refused for another reason.
    Refused(String),
    /// The answer to CONNECT was no CONNACK.
    NotConnAck,
    /// The broker hung up.
    HungUp,
    /// The broker hung up with this reason.
    Said(u8),
    /// Another client took the session.
    TakenOver,
    /// No answer to a ping, or nothing could be written.
    NoTraffic,
    /// No answer to a publish whose packet id is wanted again.
    NoAcknowledgement,
    /// An event is longer than the packets that the broker takes.
    PacketLimit(u64),
    /// An event is longer than the messages that the broker takes.
    MessageLimit,
    /// What came is no MQTT, or was not to come.
    Protocol(String),
}

/// A line that is not dialled yet: the first [`Line::poll`] dials.
pub(super) fn line(settings: &BrokerSettings, tls: &ClientTls) -> (Sender, Line) {
    match settings.mqtt {
        MqttVersion::V5 => v5::line(settings, tls),
        MqttVersion::V3_1_1 => v4::line(settings, tls),
    }
}

fn transport(tls: &ClientTls) -> Transport {
    Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(&tls.config)))
}

fn network(settings: &BrokerSettings) -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_tcp_send_buffer_size(SEND_BUFFER_BYTES);
    network.set_connection_timeout(CONNECT_WAIT.as_secs());
    if let Some(interface) = &settings.interface {
        network.set_bind_device(interface);
    }
    network
}

impl Sender {
    /// Publishes with QoS 1.
    pub(super) fn publish(
        &self,
        topic: String,
        retain: bool,
        payload: Vec<u8>,
    ) -> Result<(), NotTaken> {
        match self {
            Self::V5(client) => {
                let qos = rumqttc::v5::mqttbytes::QoS::AtLeastOnce;
                client.try_publish(topic, qos, retain, payload).map_err(|_| NotTaken)
            }
            Self::V4(client) => {
                let qos = rumqttc::QoS::AtLeastOnce;
                client.try_publish(topic, qos, retain, payload).map_err(|_| NotTaken)
            }
        }
    }

    /// Subscribes with QoS 1, in one SUBSCRIBE.
    pub(super) fn subscribe(&self, filters: [&str; 2]) -> Result<(), NotTaken> {
        match self {
            Self::V5(client) => v5::subscribe(client, filters),
            Self::V4(client) => v4::subscribe(client, filters),
        }
    }

    /// Sends DISCONNECT after all that was requested before.
    pub(super) fn disconnect(&self) -> Result<(), NotTaken> {
        match self {
            Self::V5(client) => client.try_disconnect().map_err(|_| NotTaken),
            Self::V4(client) => client.try_disconnect().map_err(|_| NotTaken),
        }
    }
}

impl Line {
    /// The library's next event. Never cancelled except to throw the line away.
    pub(super) async fn poll(&mut self) -> Result<Event, Failure> {
        match self {
            Self::V5(events) => events.poll().await.map(v5::event).map_err(v5::failure),
            Self::V4(events) => events.poll().await.map(v4::event).map_err(v4::failure),
        }
    }

    /// An event that the library had read before it failed.
    pub(super) fn unread(&mut self) -> Option<Event> {
        match self {
            Self::V5(events) => events.state.events.pop_front().map(v5::event),
            Self::V4(events) => events.state.events.pop_front().map(v4::event),
        }
    }

    /// After how much silence the line is probed.
    pub(super) fn keep_alive(&self) -> Duration {
        match self {
            Self::V5(events) => events.options.keep_alive(),
            Self::V4(events) => events.mqtt_options.keep_alive(),
        }
    }

    /// Takes over what the broker wants, which the library has done already, if it is
    /// no longer than `wanted`: longer would find a dead line late, and 0 would make
    /// the library ping without pause. Brokers of 3.1.1 want nothing. True if the library
    /// will ping late for the first time: that cannot be helped.
    pub(super) fn bound_keep_alive(&mut self, wanted: Duration) -> bool {
        let told = self.keep_alive();
        if told.is_zero() || told > wanted {
            match self {
                Self::V5(events) => drop(events.options.set_keep_alive(wanted)),
                Self::V4(events) => drop(events.mqtt_options.set_keep_alive(wanted)),
            }
        }
        told > wanted
    }
}
