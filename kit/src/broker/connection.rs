//! One client's connection: TLS, packets in, packets out in batches.

use super::Shared;
use super::brittle::Brittle;
use super::core::{Arrival, ConnectionId, disconnect};
use super::faults::{Offer, Verdict};
use super::outbox::{Outbox, Saying};
use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnAckProperties, Connect, ConnectReturnCode, DisconnectReasonCode, LastWill, Packet,
    PingResp, PubAck, PubAckReason, Publish, SubAck, Subscribe, UnsubAck, UnsubAckReason,
    Unsubscribe,
};
use rumqttc::v5::mqttbytes::{self, QoS};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

/// A client that has not logged in by then is sent away.
const LOGIN_MAX: Duration = Duration::from_secs(10);

/// Largest packet taken or announced, bytes.
const PACKET_BYTES_MAX: u32 = 1 << 20;

/// Publishes that a client may have open (Receive Maximum, section 3.2.2.3.3).
const RECEIVE_MAX: u16 = 1024;

/// Why a connection ended.
enum End {
    /// By DISCONNECT: the will is void.
    Proper,
    /// Any other way.
    Abrupt,
}

/// Serves one client until either side has enough.
pub(super) async fn serve(shared: Arc<Shared>, acceptor: TlsAcceptor, socket: TcpStream) {
    // Small packets must leave at once; failing that the broker is slow, not wrong.
    let _ = socket.set_nodelay(true);
    shared.faults.may_answer().await;
    let login = async {
        let stream = acceptor.accept(socket).await.ok()?;
        let stream = Brittle::new(stream, shared.faults.take_break());
        let (reader, mut writer) = tokio::io::split(stream);
        let mut packets = Packets { reader, buffer: BytesMut::with_capacity(16 * 1024) };
        let login = log_in(&shared, &mut packets, &mut writer).await?;
        Some((packets, writer, login))
    };
    let Ok(Some((packets, writer, login))) = timeout(LOGIN_MAX, login).await else {
        return;
    };
    let Login { client, id, outbox, keep_alive } = login;
    let reader = Reader { shared: Arc::clone(&shared), client: client.clone(), outbox };
    let outbox = Arc::clone(&reader.outbox);
    let end = tokio::select! {
        end = reader.run(packets, keep_alive) => end,
        () = write(&outbox, writer) => End::Abrupt,
    };
    outbox.abort();
    let proper = matches!(end, End::Proper);
    shared.lock().core.gone(&client, id, proper, Instant::now());
    shared.tell();
}

struct Login {
    client: String,
    id: ConnectionId,
    outbox: Arc<Outbox>,
    keep_alive: Duration,
}

/// Packets from a byte stream.
struct Packets<R> {
    reader: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Packets<R> {
    /// The next packet; `None` at the stream's end or at what is no MQTT.
    async fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = short_disconnect(&mut self.buffer) {
                return Some(packet);
            }
            match Packet::read(&mut self.buffer, Some(PACKET_BYTES_MAX)) {
                Ok(packet) => return Some(packet),
                Err(mqttbytes::Error::InsufficientBytes(more)) => self.buffer.reserve(more),
                // The length itself may be incomplete; five bytes settle it.
                Err(mqttbytes::Error::MalformedRemainingLength) if self.buffer.len() < 5 => {}
                Err(_) => return None,
            }
            if self.reader.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }
}

/// DISCONNECT without properties (section 3.14.2.1), which the codec refuses.
fn short_disconnect(buffer: &mut BytesMut) -> Option<Packet> {
    let reason = match buffer[..] {
        [0xE0, 0, ..] => 0,
        [0xE0, 1, reason, ..] => reason,
        _ => return None,
    };
    let _ = buffer.split_to(2 + usize::from(buffer[1]));
    let reason = DisconnectReasonCode::try_from(reason);
    Some(disconnect(reason.unwrap_or(DisconnectReasonCode::UnspecifiedError)))
}

/// CONNECT to CONNACK.
async fn log_in<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    shared: &Arc<Shared>,
    packets: &mut Packets<R>,
    writer: &mut W,
) -> Option<Login> {
    shared.faults.may_read().await;
    let Packet::Connect(connect, will, _) = packets.next().await? else {
        return None;
    };
    let refusal = shared.faults.login_refusal().or_else(|| {
        connect.client_id.is_empty().then_some(ConnectReturnCode::ClientIdentifierNotValid)
    });
    if let Some(code) = refusal {
        let mut bytes = BytesMut::new();
        let answer = ConnAck { session_present: false, code, properties: None };
        answer.write(&mut bytes).ok()?;
        writer.write_all(&bytes).await.ok()?;
        writer.shutdown().await.ok()?;
        return None;
    }
    let keep_alive = Duration::from_secs(connect.keep_alive.into());
    let outbox = Arc::new(Outbox::default());
    let client = connect.client_id.clone();
    let arrival = arrival(connect, will, Arc::clone(&outbox));
    let loses = shared.faults.loses_sessions();
    let id = {
        let mut state = shared.lock();
        if loses {
            state.core.lose_session(Some(&client));
        }
        let (id, session_present) = state.core.connect(arrival, Instant::now());
        outbox.push(Packet::ConnAck(connack(session_present)));
        state.core.resume(&client);
        id
    };
    shared.tell();
    Some(Login { client, id, outbox, keep_alive })
}

fn arrival(connect: Connect, will: Option<LastWill>, outbox: Arc<Outbox>) -> Arrival {
    let properties = connect.properties.as_ref();
    let expiry_s = properties.and_then(|p| p.session_expiry_interval).unwrap_or(0);
    let expiry =
        if expiry_s == u32::MAX { Duration::MAX } else { Duration::from_secs(expiry_s.into()) };
    Arrival {
        client: connect.client_id,
        clean_start: connect.clean_start,
        expiry,
        receive_max: properties.and_then(|p| p.receive_maximum).unwrap_or(u16::MAX),
        will: will.map(|will| Publish {
            qos: will.qos,
            retain: will.retain,
            topic: will.topic,
            payload: will.message,
            ..Publish::default()
        }),
        outbox,
    }
}

fn connack(session_present: bool) -> ConnAck {
    let properties = ConnAckProperties {
        session_expiry_interval: None,
        receive_max: Some(RECEIVE_MAX),
        max_qos: Some(1),
        retain_available: None,
        max_packet_size: Some(PACKET_BYTES_MAX),
        assigned_client_identifier: None,
        topic_alias_max: None,
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: None,
        subscription_identifiers_available: Some(0),
        shared_subscription_available: Some(0),
        server_keep_alive: None,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    };
    ConnAck { session_present, code: ConnectReturnCode::Success, properties: Some(properties) }
}

/// Writes what the outbox holds, one batch and one flush at a time.
async fn write<W: AsyncWrite + Unpin>(outbox: &Outbox, mut writer: W) {
    let mut bytes = BytesMut::with_capacity(16 * 1024);
    while let Some(packets) = outbox.take().await {
        bytes.clear();
        for saying in packets {
            if saying.write(&mut bytes).is_none() {
                return;
            }
        }
        if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
    // The peer may be gone already; then there is nobody to say goodbye to.
    let _ = writer.shutdown().await;
}

struct Reader {
    shared: Arc<Shared>,
    client: String,
    outbox: Arc<Outbox>,
}

impl Reader {
    async fn run<R: AsyncRead + Unpin>(self, mut packets: Packets<R>, keep_alive: Duration) -> End {
        let patience = if keep_alive.is_zero() { Duration::MAX } else { keep_alive * 3 / 2 };
        loop {
            self.shared.faults.may_read().await;
            let Ok(Some(packet)) = timeout(patience, packets.next()).await else {
                return End::Abrupt;
            };
            self.shared.faults.may_read().await;
            match packet {
                Packet::Publish(publish) => {
                    if !self.publish(&publish) {
                        // The outbox is closing: the writer ends this connection.
                        return std::future::pending().await;
                    }
                }
                Packet::PubAck(ack) => {
                    self.shared.lock().core.acknowledged(&self.client, ack.pkid);
                }
                Packet::Subscribe(subscribe) => self.subscribe(subscribe),
                Packet::Unsubscribe(unsubscribe) => self.unsubscribe(&unsubscribe),
                Packet::PingReq(_) => self.outbox.push(Packet::PingResp(PingResp)),
                Packet::Disconnect(disconnect) => {
                    let with_will = DisconnectReasonCode::DisconnectWithWillMessage;
                    let proper = disconnect.reason_code != with_will;
                    return if proper { End::Proper } else { End::Abrupt };
                }
                _ => return End::Abrupt,
            }
            self.outbox.room().await;
        }
    }

    fn subscribe(&self, subscribe: Subscribe) {
        let mut state = self.shared.lock();
        let return_codes = subscribe
            .filters
            .into_iter()
            .map(|filter| state.core.subscribe(&self.client, filter))
            .collect();
        let ack = SubAck { pkid: subscribe.pkid, return_codes, properties: None };
        self.outbox.push(Packet::SubAck(ack));
        state.core.pump(&self.client);
        drop(state);
        self.shared.tell();
    }

    fn unsubscribe(&self, unsubscribe: &Unsubscribe) {
        let mut state = self.shared.lock();
        let reasons = unsubscribe
            .filters
            .iter()
            .map(|filter| match state.core.unsubscribe(&self.client, filter) {
                true => UnsubAckReason::Success,
                false => UnsubAckReason::NoSubscriptionExisted,
            })
            .collect();
        let ack = UnsubAck { pkid: unsubscribe.pkid, reasons, properties: None };
        self.outbox.push(Packet::UnsubAck(ack));
    }

    /// Judges and hands on one publish; false when the connection is to end.
    fn publish(&self, publish: &Publish) -> bool {
        let topic = String::from_utf8_lossy(&publish.topic);
        if publish.qos == QoS::ExactlyOnce || publish.topic.is_empty() {
            let reason = match publish.topic.is_empty() {
                true => DisconnectReasonCode::TopicAliasInvalid,
                false => DisconnectReasonCode::QoSNotSupported,
            };
            self.outbox.close(Some(disconnect(reason)));
            return false;
        }
        let place = self.shared.lock().record.seen();
        let offer = Offer { client: &self.client, topic: &topic, payload: &publish.payload, place };
        let verdict = self.shared.faults.verdict(&offer);
        let reason = {
            let mut state = self.shared.lock();
            let reason = match verdict {
                Verdict::Refuse(reason) | Verdict::RefuseThenClose(reason) => Some(reason),
                Verdict::Close => None,
                _ => Some(state.core.publish(&self.client, publish, Instant::now())),
            };
            let taken = !matches!(
                verdict,
                Verdict::Refuse(_) | Verdict::RefuseThenClose(_) | Verdict::Close
            ) && matches!(
                reason,
                Some(PubAckReason::Success | PubAckReason::NoMatchingSubscribers)
            );
            state.record.add(&offer, publish.retain, taken);
            reason
        };
        self.shared.tell();
        self.answer(publish, verdict, reason)
    }

    fn answer(&self, publish: &Publish, verdict: Verdict, reason: Option<PubAckReason>) -> bool {
        let wanted = publish.qos == QoS::AtLeastOnce;
        let ack = reason.filter(|_| wanted).map(|reason| PubAck {
            pkid: publish.pkid,
            reason,
            properties: None,
        });
        match (verdict, ack) {
            (Verdict::Close | Verdict::TakeThenClose, _) => {
                self.outbox.close(None);
                return false;
            }
            (Verdict::RefuseThenClose(_), ack) => {
                self.outbox.close(ack.map(Packet::PubAck));
                return false;
            }
            (Verdict::TakeThenSay(bytes), _) => {
                self.outbox.say(Saying::Bytes(Bytes::from_static(bytes)));
            }
            (Verdict::TakeAckTwice, Some(ack)) => {
                self.outbox.push(Packet::PubAck(ack.clone()));
                self.outbox.push(Packet::PubAck(ack));
            }
            (Verdict::TakeWithhold, Some(ack)) => self.shared.faults.withhold(&self.outbox, ack),
            (Verdict::TakeAckLate(delay), Some(ack)) => {
                let outbox = Arc::clone(&self.outbox);
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    outbox.push(Packet::PubAck(ack));
                });
            }
            (_, Some(ack)) => self.outbox.push(Packet::PubAck(ack)),
            (_, None) => {}
        }
        true
    }
}
