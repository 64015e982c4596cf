//! MQTT 3.1.1 (protocol level 4) by rumqttc's first client.
//!
//! What its source says: the longest packet is 10 KiB unless raised, and a longer
//! message that waits in the session ends every connection again; a failed write is
//! given up after the connection timeout; a CONNACK code above 5 is an error of the
//! codec.

use super::{
    Event, Failure, IN_FLIGHT_UNTOLD, Line, NotTaken, OPEN_MAX, PACKET_BYTES_MAX, Packet, Sender,
    network, transport,
};
use crate::shell::tls::ClientTls;
use crate::shell::uplink::BrokerSettings;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Error as CodecError, Event as Told, LastWill,
    MqttOptions, Outgoing, Packet as Incoming, QoS, StateError, SubAck, SubscribeFilter,
    SubscribeReasonCode, TlsError,
};

pub(super) fn line(settings: &BrokerSettings, tls: &ClientTls) -> (Sender, Line) {
    let (topic, offline) = (settings.topic("state"), settings.state("offline"));
    let longest = PACKET_BYTES_MAX as usize;
    let mut options = MqttOptions::new(&settings.client_id, &settings.host, settings.port);
    options
        .set_transport(transport(tls))
        .set_keep_alive(settings.keep_alive())
        .set_clean_session(false)
        .set_max_packet_size(longest, longest)
        .set_inflight(OPEN_MAX)
        .set_last_will(LastWill::new(topic, offline, QoS::AtLeastOnce, true));
    if let Some(login) = &settings.credentials {
        options.set_credentials(&login.user, login.password.as_str());
    }
    let (client, mut events) = AsyncClient::new(options, OPEN_MAX.into());
    events.set_network_options(network(settings));
    (Sender::V4(client), Line::V4(Box::new(events)))
}

pub(super) fn subscribe(client: &AsyncClient, filters: [&str; 2]) -> Result<(), NotTaken> {
    let filters = filters.map(|path| SubscribeFilter::new(path.to_owned(), QoS::AtLeastOnce));
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
        Incoming::ConnAck(_) => Packet::ConnAck { in_flight_max: IN_FLIGHT_UNTOLD },
        Incoming::SubAck(suback) => Packet::SubAck(granted(&suback)),
        // Taken, or dropped because it is not allowed: the receipt will tell.
        Incoming::PubAck(puback) => Packet::PubAck { packet_id: puback.pkid, reason: 0 },
        Incoming::Publish(message) => {
            Packet::Publish { topic: message.topic.into(), payload: message.payload.into() }
        }
        _ => Packet::Other,
    }
}

fn granted(suback: &SubAck) -> Vec<bool> {
    let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
    suback.return_codes.iter().map(granted).collect()
}

pub(super) fn failure(error: ConnectionError) -> Failure {
    match error {
        ConnectionError::NetworkTimeout => Failure::Late,
        ConnectionError::FlushTimeout => Failure::NoTraffic,
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
        StateError::ConnectionAborted => Failure::HungUp,
        StateError::AwaitPingResp => Failure::NoTraffic,
        StateError::CollisionTimeout => Failure::NoAcknowledgement,
        e => Failure::Protocol(e.to_string()),
    }
}

fn refused(code: ConnectReturnCode) -> Failure {
    use ConnectReturnCode as C;
    match code {
        C::BadClientId | C::BadUserNamePassword | C::NotAuthorized => Failure::LoginRefused,
        other => Failure::Refused(format!("{other:?}")),
    }
}
