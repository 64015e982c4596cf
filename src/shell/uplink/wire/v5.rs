//! MQTT 5 by rumqttc's `v5`.

use super::{
    CONNECT_WAIT, Event, Failure, Line, NotTaken, OPEN_MAX, PACKET_BYTES_MAX, Packet, Sender,
    network, transport,
};
use crate::shell::tls::ClientTls;
use crate::shell::uplink::BrokerSettings;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, DisconnectReasonCode, Filter, LastWill, LastWillProperties,
    Packet as Incoming, PubAckReason, SubAck, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error as CodecError, QoS};
use rumqttc::v5::{AsyncClient, ConnectionError, Event as Told, MqttOptions, StateError, TlsError};

/// Messages that the broker may have on the way to us.
const MESSAGES_IN_FLIGHT_MAX: u16 = 512;

/// A line whose session another one takes over within this time is no gateway that
/// is gone, s.
const WILL_DELAY_S: u32 = 2;

/// MQTT 5 reason code (section 2.4).
const PACKET_TOO_LARGE: u8 = 0x95;

pub(super) fn line(settings: &BrokerSettings, tls: &ClientTls) -> (Sender, Line) {
    let delayed = LastWillProperties {
        delay_interval: Some(WILL_DELAY_S),
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    let (topic, offline) = (settings.topic("state"), settings.state("offline"));
    let will = LastWill::new(topic, offline, QoS::AtLeastOnce, true, Some(delayed));

    let mut options = MqttOptions::new(&settings.client_id, &settings.host, settings.port);
    options
        .set_transport(transport(tls))
        .set_network_options(network(settings))
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
    let (client, events) = AsyncClient::new(options, OPEN_MAX.into());
    (Sender::V5(client), Line::V5(Box::new(events)))
}

pub(super) fn subscribe(client: &AsyncClient, filters: [&str; 2]) -> Result<(), NotTaken> {
    let filters = filters.map(|filter| Filter::new(filter, QoS::AtLeastOnce));
    client.try_subscribe_many(filters).map_err(|_| NotTaken)
}

pub(super) fn event(told: Told) -> Event {
    match told {
        Told::Incoming(packet) => Event::Heard(self::packet(packet)),
        Told::Outgoing(Outgoing::Publish(packet_id)) => Event::Sent(packet_id),
        Told::Outgoing(Outgoing::Disconnect) => Event::Left,
        Told::Outgoing(_) => Event::Other,
    }
}

fn packet(packet: Incoming) -> Packet {
    match packet {
        Incoming::ConnAck(connack) => Packet::ConnAck { in_flight_max: receive_max(&connack) },
        Incoming::SubAck(suback) => Packet::SubAck(granted(&suback)),
        Incoming::PubAck(puback) => {
            Packet::PubAck { packet_id: puback.pkid, reason: reason_code(puback.reason) }
        }
        Incoming::Publish(message) => {
            Packet::Publish { topic: message.topic.into(), payload: message.payload.into() }
        }
        _ => Packet::Other,
    }
}

fn receive_max(connack: &ConnAck) -> u16 {
    let properties = connack.properties.as_ref();
    properties.and_then(|properties| properties.receive_max).unwrap_or(u16::MAX)
}

fn granted(suback: &SubAck) -> Vec<bool> {
    let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
    suback.return_codes.iter().map(granted).collect()
}

/// MQTT 5 section 3.4.2.1.
fn reason_code(reason: PubAckReason) -> u8 {
    match reason {
        PubAckReason::Success => 0x00,
        PubAckReason::NoMatchingSubscribers => 0x10,
        PubAckReason::UnspecifiedError => 0x80,
        PubAckReason::ImplementationSpecificError => 0x83,
        PubAckReason::NotAuthorized => 0x87,
        PubAckReason::TopicNameInvalid => 0x90,
        PubAckReason::PacketIdentifierInUse => 0x91,
        PubAckReason::QuotaExceeded => 0x97,
        PubAckReason::PayloadFormatInvalid => 0x99,
    }
}

pub(super) fn failure(error: ConnectionError) -> Failure {
    match error {
        ConnectionError::Timeout(_) => Failure::Late,
        ConnectionError::Io(e) => Failure::Dial(e),
        ConnectionError::Tls(TlsError::Io(e)) => Failure::Stream(e),
        ConnectionError::Tls(TlsError::TLS(e)) => Failure::Tls(e),
        ConnectionError::Tls(e) => Failure::TlsSaid(e.to_string()),
        ConnectionError::ConnectionRefused(code) => refused(code),
        ConnectionError::NotConnAck(_) => Failure::NotConnAck,
        ConnectionError::MqttState(e) => state_failure(e),
        ConnectionError::RequestsDone => Failure::HungUp,
    }
}

fn state_failure(error: StateError) -> Failure {
    match error {
        StateError::Io(e) | StateError::Deserialization(CodecError::Io(e)) => Failure::Stream(e),
        StateError::ConnectionAborted
        // A DISCONNECT without a reason, which the library cannot read.
        | StateError::Deserialization(CodecError::PayloadRequired) => Failure::HungUp,
        StateError::AwaitPingResp => Failure::NoTraffic,
        StateError::CollisionTimeout => Failure::NoAcknowledgement,
        StateError::OutgoingPacketTooLarge { max, .. }
        | StateError::Deserialization(CodecError::OutgoingPacketTooLarge { max, .. }) => {
            Failure::PacketLimit(u64::from(max))
        }
        // mosquitto's answer to a message that is too long, which is no PUBACK
        // reason of the standard.
        StateError::Deserialization(CodecError::InvalidConnectReturnCode(PACKET_TOO_LARGE)) => {
            Failure::MessageLimit
        }
        StateError::ServerDisconnect { reason_code, .. } => match reason_code {
            DisconnectReasonCode::SessionTakenOver => Failure::TakenOver,
            code => Failure::Said(code as u8),
        },
        StateError::ConnFail { reason } => refused(reason),
        e => Failure::Protocol(e.to_string()),
    }
}

fn refused(code: ConnectReturnCode) -> Failure {
    use ConnectReturnCode as C;
    match code {
        C::BadClientId
        | C::ClientIdentifierNotValid
        | C::BadUserNamePassword
        | C::NotAuthorized
        | C::Banned
        | C::BadAuthenticationMethod => Failure::LoginRefused,
        other => Failure::Refused(format!("{other:?}")),
    }
}
