//! What a centre says and hears, whichever version of MQTT the broker speaks. Only here
//! the two differ.
//!
//! MQTT 3.1.1 knows no receive maximum (the broker has a window of its own), no largest
//! packet, no expiry of sessions or messages, and no word before the broker ends it.

use bytes::{Buf, Bytes, BytesMut};
use rumqttc::mqttbytes::{self as v4bytes, v4};
use rumqttc::v5::mqttbytes::{self as v5bytes, v5};
use std::time::Duration;

/// Messages that the broker may send ahead of our acknowledgements.
pub(super) const RECEIVE_MAX: u16 = 1024;

/// Largest message taken. One that is larger would otherwise end every connection anew;
/// this way the broker does not send it.
const PACKET_BYTES_MAX: u32 = 64 * 1024;

/// By MQTT 3.1.1 the broker cannot be told so: of what is larger than this, this much is
/// read. That is the longest topic, and more than any payload of the contract.
const BEGINNING_BYTES: usize = 72 * 1024;

/// The version that the broker speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum MqttVersion {
    /// MQTT 5.
    #[default]
    #[value(name = "5")]
    V5,
    /// MQTT 3.1.1.
    #[value(name = "3.1.1")]
    V311,
}

/// What the centre says.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A session that is kept.
    Connect { client_id: String, keep_alive: Duration, session_expiry: Duration },
    /// To all of them with QoS 1.
    Subscribe { pkid: u16, filters: Vec<String> },
    /// With QoS 1.
    Publish { pkid: u16, topic: String, payload: Bytes, expiry_s: Option<u32> },
    /// An acknowledgement.
    PubAck(u16),
    /// Are you there?
    PingReq,
    /// A farewell.
    Disconnect,
}

/// What the broker says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// We may go on.
    ConnAck {
        /// Our session was kept.
        session_present: bool,
        /// How many publishes of ours may be open, where the broker says so.
        window: Option<u16>,
        /// How often it wants to hear of us, where it says so.
        keep_alive: Option<Duration>,
    },
    /// All that we subscribed to will come.
    SubAck,
    /// A message.
    Publish(Message),
    /// A publish of ours is taken, or refused: an event's gateway then offers it again.
    PubAck(u16),
    /// It ends, or we may not go on.
    End(String),
    /// Nothing that needs an answer.
    Nothing,
}

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    pub(super) retain: bool,
    /// What its acknowledgement needs; none with QoS 0.
    pub(super) pkid: Option<u16>,
}

/// Bytes in, what they say out.
#[derive(Debug)]
pub(super) struct Reader {
    version: MqttVersion,
    /// Still to come of a message that is too large.
    skip: usize,
}

impl MqttVersion {
    /// How many messages may come ahead of our acknowledgements: by 3.1.1 as many as there
    /// are numbers.
    pub(super) fn receive_max(self) -> usize {
        match self {
            Self::V5 => usize::from(RECEIVE_MAX),
            Self::V311 => usize::from(u16::MAX),
        }
    }

    /// Adds the bytes of what is said.
    ///
    /// # Errors
    /// It cannot be said.
    pub(super) fn write(self, said: Outgoing, bytes: &mut BytesMut) -> Result<(), String> {
        match self {
            Self::V5 => write_v5(said, bytes).map_err(|error| error.to_string()),
            Self::V311 => write_v4(said, bytes).map_err(|error| error.to_string()),
        }
    }
}

fn seconds<T: TryFrom<u64>>(duration: Duration, most: T) -> T {
    T::try_from(duration.as_secs()).unwrap_or(most)
}

fn write_v5(said: Outgoing, bytes: &mut BytesMut) -> Result<(), v5bytes::Error> {
    let qos = v5bytes::QoS::AtLeastOnce;
    let packet = match said {
        Outgoing::Connect { client_id, keep_alive, session_expiry } => {
            let properties = v5::ConnectProperties {
                session_expiry_interval: Some(seconds(session_expiry, u32::MAX)),
                receive_maximum: Some(RECEIVE_MAX),
                max_packet_size: Some(PACKET_BYTES_MAX),
                ..v5::ConnectProperties::new()
            };
            let connect = v5::Connect {
                keep_alive: seconds(keep_alive, u16::MAX),
                client_id,
                clean_start: false,
                properties: Some(properties),
            };
            v5::Packet::Connect(connect, None, None)
        }
        Outgoing::Subscribe { pkid, filters } => {
            let filters = filters.into_iter().map(|filter| v5::Filter::new(filter, qos)).collect();
            v5::Packet::Subscribe(v5::Subscribe { pkid, filters, properties: None })
        }
        Outgoing::Publish { pkid, topic, payload, expiry_s } => {
            let properties = expiry_s.map(|expiry_s| v5::PublishProperties {
                message_expiry_interval: Some(expiry_s),
                ..v5::PublishProperties::default()
            });
            let topic = Bytes::from(topic);
            let publish =
                v5::Publish { pkid, topic, payload, qos, properties, ..v5::Publish::default() };
            v5::Packet::Publish(publish)
        }
        Outgoing::PubAck(pkid) => v5::Packet::PubAck(v5::PubAck::new(pkid, None)),
        Outgoing::PingReq => v5::Packet::PingReq(v5::PingReq),
        Outgoing::Disconnect => {
            let reason = v5::DisconnectReasonCode::NormalDisconnection;
            v5::Packet::Disconnect(v5::Disconnect::new(reason))
        }
    };
    packet.write(bytes, None).map(drop)
}

fn write_v4(said: Outgoing, bytes: &mut BytesMut) -> Result<(), v4bytes::Error> {
    let qos = v4bytes::QoS::AtLeastOnce;
    let packet = match said {
        Outgoing::Connect { client_id, keep_alive, session_expiry: _ } => {
            let mut connect = v4::Connect::new(client_id);
            connect.keep_alive = seconds(keep_alive, u16::MAX);
            connect.clean_session = false;
            v4::Packet::Connect(connect)
        }
        Outgoing::Subscribe { pkid, filters } => {
            let filter = |path| v4::SubscribeFilter { path, qos };
            let filters = filters.into_iter().map(filter).collect();
            v4::Packet::Subscribe(v4::Subscribe { pkid, filters })
        }
        Outgoing::Publish { pkid, topic, payload, expiry_s: _ } => {
            let mut publish = v4::Publish::from_bytes(topic, qos, payload);
            publish.pkid = pkid;
            v4::Packet::Publish(publish)
        }
        Outgoing::PubAck(pkid) => v4::Packet::PubAck(v4::PubAck::new(pkid)),
        Outgoing::PingReq => v4::Packet::PingReq,
        Outgoing::Disconnect => v4::Packet::Disconnect,
    };
    packet.write(bytes, usize::MAX).map(drop)
}

impl Reader {
    pub(super) fn new(version: MqttVersion) -> Self {
        Self { version, skip: 0 }
    }

    /// Takes the next from what came; `None`: more bytes are needed.
    ///
    /// # Errors
    /// It is no MQTT.
    pub(super) fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<Incoming>, String> {
        let skipped = self.skip.min(bytes.len());
        bytes.advance(skipped);
        self.skip -= skipped;
        if self.skip > 0 {
            return Ok(None);
        }
        match self.version {
            MqttVersion::V5 => next_v5(bytes),
            MqttVersion::V311 => self.next_v4(bytes),
        }
    }

    fn next_v4(&mut self, bytes: &mut BytesMut) -> Result<Option<Incoming>, String> {
        match v4::Packet::read(bytes, BEGINNING_BYTES) {
            Ok(packet) => Ok(Some(of_v4(packet))),
            Err(v4bytes::Error::InsufficientBytes(_)) => Ok(None),
            Err(v4bytes::Error::PayloadSizeLimitExceeded(_)) => self.beginning(bytes),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Of a message that is too large the beginning, as if it were all; the rest is passed
    /// over. MQTT 3.1.1 cannot tell the broker to keep it.
    fn beginning(&mut self, bytes: &mut BytesMut) -> Result<Option<Incoming>, String> {
        // Its length was read before: it has four digits at most.
        let digits = 1 + bytes.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count();
        if bytes.len() < 1 + digits + BEGINNING_BYTES {
            return Ok(None);
        }
        let length = bytes.iter().skip(1).take(digits).enumerate();
        let length = length.fold(0, |sum, (at, byte)| sum | usize::from(byte & 0x7F) << (7 * at));
        let first = bytes[0];
        bytes.advance(1 + digits);
        let length_digit = |at: usize| (BEGINNING_BYTES >> (7 * at) & 0x7F) as u8;
        let header = [first, length_digit(0) | 0x80, length_digit(1) | 0x80, length_digit(2)];
        let mut whole = BytesMut::with_capacity(header.len() + BEGINNING_BYTES);
        whole.extend_from_slice(&header);
        whole.extend_from_slice(&bytes.split_to(BEGINNING_BYTES));
        self.skip = length - BEGINNING_BYTES;
        match v4::Packet::read(&mut whole, BEGINNING_BYTES) {
            Ok(packet @ v4::Packet::Publish(_)) => Ok(Some(of_v4(packet))),
            Ok(_) => Err("a packet is too large".into()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn next_v5(bytes: &mut BytesMut) -> Result<Option<Incoming>, String> {
    // The codec refuses the shortest form of it (section 3.14.2.1).
    if bytes.starts_with(&[0xE0, 0]) {
        bytes.advance(2);
        return Ok(Some(Incoming::End("the broker ends it".into())));
    }
    match v5::Packet::read(bytes, Some(PACKET_BYTES_MAX)) {
        Ok(packet) => Ok(Some(of_v5(packet))),
        Err(v5bytes::Error::InsufficientBytes(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn of_v5(packet: v5::Packet) -> Incoming {
    let granted = v5::SubscribeReasonCode::Success(v5bytes::QoS::AtLeastOnce);
    match packet {
        v5::Packet::ConnAck(ack) if ack.code != v5::ConnectReturnCode::Success => {
            Incoming::End(format!("the broker refuses the connection: {:?}", ack.code))
        }
        v5::Packet::ConnAck(ack) => {
            let properties = ack.properties.as_ref();
            let keep_alive = properties.and_then(|it| it.server_keep_alive);
            Incoming::ConnAck {
                session_present: ack.session_present,
                window: properties.and_then(|it| it.receive_max),
                keep_alive: keep_alive.map(|it| Duration::from_secs(it.into())),
            }
        }
        v5::Packet::SubAck(ack) if ack.return_codes.iter().all(|code| *code == granted) => {
            Incoming::SubAck
        }
        v5::Packet::SubAck(ack) => {
            Incoming::End(format!("the broker refuses to subscribe: {:?}", ack.return_codes))
        }
        v5::Packet::Publish(publish) => Incoming::Publish(Message {
            pkid: (publish.qos != v5bytes::QoS::AtMostOnce).then_some(publish.pkid),
            topic: publish.topic,
            payload: publish.payload,
            retain: publish.retain,
        }),
        v5::Packet::PubAck(ack) => Incoming::PubAck(ack.pkid),
        v5::Packet::Disconnect(disconnect) => {
            Incoming::End(format!("the broker ends it: {:?}", disconnect.reason_code))
        }
        _ => Incoming::Nothing,
    }
}

fn of_v4(packet: v4::Packet) -> Incoming {
    let granted = v4::SubscribeReasonCode::Success(v4bytes::QoS::AtLeastOnce);
    match packet {
        v4::Packet::ConnAck(ack) if ack.code != v4::ConnectReturnCode::Success => {
            Incoming::End(format!("the broker refuses the connection: {:?}", ack.code))
        }
        v4::Packet::ConnAck(ack) => Incoming::ConnAck {
            session_present: ack.session_present,
            window: None,
            keep_alive: None,
        },
        v4::Packet::SubAck(ack) if ack.return_codes.iter().all(|code| *code == granted) => {
            Incoming::SubAck
        }
        v4::Packet::SubAck(ack) => {
            Incoming::End(format!("the broker refuses to subscribe: {:?}", ack.return_codes))
        }
        v4::Packet::Publish(publish) => Incoming::Publish(Message {
            pkid: (publish.qos != v4bytes::QoS::AtMostOnce).then_some(publish.pkid),
            topic: Bytes::from(publish.topic),
            payload: publish.payload,
            retain: publish.retain,
        }),
        v4::Packet::PubAck(ack) => Incoming::PubAck(ack.pkid),
        _ => Incoming::Nothing,
    }
}

#[cfg(test)]
#[path = "mqtt_tests.rs"]
mod tests;
