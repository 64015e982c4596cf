//! Sessions, subscriptions, retained messages: what the broker knows, without
//! sockets and without a clock of its own.

use super::filter;
use super::outbox::{Outbox, Saying};
use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Disconnect, DisconnectReasonCode, Filter, Packet, PubAckReason, Publish, RetainForwardRule,
    SubscribeReasonCode,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Limits of one broker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// QoS 1 messages that wait in one session; beyond, publishes are refused.
    pub(super) queue_max: usize,
    /// QoS 1 messages sent to one client and not acknowledged.
    pub(super) inflight_max: u16,
}

/// A client's wishes at CONNECT.
pub(super) struct Arrival {
    pub(super) client: String,
    pub(super) clean_start: bool,
    /// `u32::MAX` seconds: for ever.
    pub(super) expiry: Duration,
    pub(super) receive_max: u16,
    pub(super) will: Option<Publish>,
    pub(super) outbox: Arc<Outbox>,
}

/// One connection of one client; a later one has another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionId(u64);

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    outbox: Arc<Outbox>,
    will: Option<Publish>,
}

#[derive(Debug, Default)]
struct Session {
    subscriptions: Vec<Filter>,
    waiting: VecDeque<Publish>,
    /// In order of sending; the second is whether it was sent in this connection.
    inflight: VecDeque<(Publish, bool)>,
    last_pkid: u16,
    receive_max: u16,
    expiry: Duration,
    connection: Option<Connection>,
    gone_since: Option<Instant>,
}

impl Session {
    fn is_expired(&self, now: Instant) -> bool {
        self.gone_since.is_some_and(|since| now.duration_since(since) >= self.expiry)
    }

    /// Sends as much of what waits as the client takes at once.
    fn pump(&mut self) {
        let Some(connection) = &self.connection else {
            return;
        };
        while self.inflight.len() < usize::from(self.receive_max) {
            let Some(mut publish) = self.waiting.pop_front() else {
                return;
            };
            self.last_pkid = self.last_pkid.checked_add(1).unwrap_or(1);
            while self.inflight.iter().any(|(open, _)| open.pkid == self.last_pkid) {
                self.last_pkid = self.last_pkid.checked_add(1).unwrap_or(1);
            }
            publish.pkid = self.last_pkid;
            connection.outbox.push(Packet::Publish(publish.clone()));
            self.inflight.push_back((publish, true));
        }
    }

    /// The widest subscription under which `topic` falls.
    fn subscription(&self, topic: &str) -> Option<&Filter> {
        self.subscriptions
            .iter()
            .filter(|subscription| filter::matches(&subscription.path, topic))
            .max_by_key(|subscription| subscription.qos as u8)
    }
}

/// What the broker knows.
#[derive(Debug)]
pub(super) struct Core {
    limits: Limits,
    sessions: BTreeMap<String, Session>,
    retained: BTreeMap<String, Publish>,
    connections: u64,
}

impl Core {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, sessions: BTreeMap::new(), retained: BTreeMap::new(), connections: 0 }
    }

    /// Takes a client in; says whether its session was kept. Its former
    /// connection, if any, is closed (section 3.1.4).
    pub(super) fn connect(&mut self, arrival: Arrival, now: Instant) -> (ConnectionId, bool) {
        self.sessions.retain(|_, session| !session.is_expired(now));
        if let Some(old) =
            self.sessions.get(&arrival.client).and_then(|session| session.connection.as_ref())
        {
            let id = old.id;
            old.outbox.close(Some(disconnect(DisconnectReasonCode::SessionTakenOver)));
            self.gone(&arrival.client, id, false, now);
        }
        if arrival.clean_start {
            self.sessions.remove(&arrival.client);
        }
        let present = self.sessions.contains_key(&arrival.client);
        self.connections += 1;
        let id = ConnectionId(self.connections);
        let session = self.sessions.entry(arrival.client).or_default();
        session.receive_max = arrival.receive_max.min(self.limits.inflight_max).max(1);
        session.expiry = arrival.expiry;
        session.gone_since = None;
        session.connection = Some(Connection { id, outbox: arrival.outbox, will: arrival.will });
        (id, present)
    }

    /// Sends again what a kept session had not acknowledged, then what waits.
    /// Comes after CONNACK.
    pub(super) fn resume(&mut self, client: &str) {
        let Some(session) = self.sessions.get_mut(client) else {
            return;
        };
        let Some(connection) = &session.connection else {
            return;
        };
        for (publish, sent) in session.inflight.iter_mut().filter(|(_, sent)| !sent) {
            publish.dup = true;
            *sent = true;
            connection.outbox.push(Packet::Publish(publish.clone()));
        }
        session.pump();
    }

    /// A connection ended. Without a proper DISCONNECT its will is published.
    pub(super) fn gone(&mut self, client: &str, id: ConnectionId, proper: bool, now: Instant) {
        let Some(session) = self.sessions.get_mut(client) else {
            return;
        };
        if session.connection.as_ref().is_none_or(|connection| connection.id != id) {
            return;
        }
        let will = session.connection.take().and_then(|connection| connection.will);
        session.gone_since = Some(now);
        for (_, sent) in &mut session.inflight {
            *sent = false;
        }
        if session.expiry.is_zero() {
            self.sessions.remove(client);
        }
        if let Some(will) = will.filter(|_| !proper) {
            self.publish(client, &will, now);
        }
    }

    /// Forgets a client's session, as a broker without persistence does when
    /// it restarts; with `None`, everything but retained messages.
    pub(super) fn lose_session(&mut self, client: Option<&str>) {
        self.sessions.retain(|name, session| {
            session.connection.is_some() || client.is_some_and(|client| client != name)
        });
    }

    pub(super) fn subscribe(&mut self, client: &str, wanted: Filter) -> SubscribeReasonCode {
        if !filter::is_valid(&wanted.path) {
            return SubscribeReasonCode::TopicFilterInvalid;
        }
        let Some(session) = self.sessions.get_mut(client) else {
            return SubscribeReasonCode::Unspecified;
        };
        let granted = if wanted.qos == QoS::AtMostOnce { wanted.qos } else { QoS::AtLeastOnce };
        let subscription = Filter { qos: granted, ..wanted };
        let before = session.subscriptions.len();
        session.subscriptions.retain(|old| old.path != subscription.path);
        let is_new = session.subscriptions.len() == before;
        let retained = match subscription.retain_forward_rule {
            RetainForwardRule::OnEverySubscribe => true,
            RetainForwardRule::OnNewSubscribe => is_new,
            RetainForwardRule::Never => false,
        };
        if retained {
            let matching = self
                .retained
                .iter()
                .filter(|(topic, _)| filter::matches(&subscription.path, topic));
            for (_, publish) in matching {
                let copy = Publish { retain: true, ..publish.clone() };
                enqueue(session, copy, granted);
            }
        }
        session.subscriptions.push(subscription);
        SubscribeReasonCode::Success(granted)
    }

    /// Ends a subscription; says whether there was one.
    pub(super) fn unsubscribe(&mut self, client: &str, filter: &str) -> bool {
        let Some(session) = self.sessions.get_mut(client) else {
            return false;
        };
        let before = session.subscriptions.len();
        session.subscriptions.retain(|subscription| subscription.path != filter);
        session.subscriptions.len() < before
    }

    /// Sends what waits, after the answer to a subscription.
    pub(super) fn pump(&mut self, client: &str) {
        if let Some(session) = self.sessions.get_mut(client) {
            session.pump();
        }
    }

    /// Hands a publish to all whom it concerns, or to nobody: then the reason
    /// says why. Nobody concerned is told as mosquitto does, by 0x10.
    pub(super) fn publish(&mut self, from: &str, publish: &Publish, now: Instant) -> PubAckReason {
        let Ok(topic) = std::str::from_utf8(&publish.topic) else {
            return PubAckReason::TopicNameInvalid;
        };
        if topic.is_empty() || topic.contains(['+', '#']) {
            return PubAckReason::TopicNameInvalid;
        }
        let mut concerned: Vec<(&mut Session, QoS, bool)> = Vec::new();
        for (name, session) in &mut self.sessions {
            if session.is_expired(now) {
                continue;
            }
            let Some(subscription) = session.subscription(topic) else {
                continue;
            };
            if subscription.nolocal && name == from {
                continue;
            }
            let qos = if publish.qos == QoS::AtMostOnce { publish.qos } else { subscription.qos };
            if qos == QoS::AtLeastOnce && session.waiting.len() >= self.limits.queue_max {
                return PubAckReason::QuotaExceeded;
            }
            let retain = publish.retain && subscription.preserve_retain;
            concerned.push((session, qos, retain));
        }
        let nobody = concerned.is_empty();
        for (session, qos, retain) in concerned {
            enqueue(session, Publish { retain, ..publish.clone() }, qos);
            session.pump();
        }
        if publish.retain {
            if publish.payload.is_empty() {
                self.retained.remove(topic);
            } else {
                self.retained.insert(topic.to_owned(), publish.clone());
            }
        }
        if nobody { PubAckReason::NoMatchingSubscribers } else { PubAckReason::Success }
    }

    /// A client acknowledged a message.
    pub(super) fn acknowledged(&mut self, client: &str, pkid: u16) {
        let Some(session) = self.sessions.get_mut(client) else {
            return;
        };
        session.inflight.retain(|(publish, _)| publish.pkid != pkid);
        session.pump();
    }

    /// Ends all connections at once, as when the broker's machine dies.
    pub(super) fn cut_all(&mut self, now: Instant) {
        for session in self.sessions.values_mut() {
            if let Some(connection) = session.connection.take() {
                connection.outbox.abort();
                session.gone_since = Some(now);
            }
            for (_, sent) in &mut session.inflight {
                *sent = false;
            }
        }
        self.sessions.retain(|_, session| !session.expiry.is_zero());
    }

    /// Clients that are connected.
    pub(super) fn connected(&self) -> impl Iterator<Item = &str> {
        self.sessions
            .iter()
            .filter(|(_, session)| session.connection.is_some())
            .map(|(client, _)| client.as_str())
    }

    /// Sends a connected client these bytes, whatever they are; says whether it is
    /// connected.
    pub(super) fn say(&self, client: &str, bytes: Bytes) -> bool {
        let session = self.sessions.get(client);
        let Some(connection) = session.and_then(|session| session.connection.as_ref()) else {
            return false;
        };
        connection.outbox.say(Saying::Bytes(bytes));
        true
    }

    /// How many logins succeeded so far.
    pub(super) fn connections(&self) -> u64 {
        self.connections
    }
}

/// A message for one session. Aliases and subscription numbers belong to the
/// publisher's connection and end here.
fn enqueue(session: &mut Session, mut publish: Publish, qos: QoS) {
    publish.qos = qos;
    publish.dup = false;
    publish.pkid = 0;
    if let Some(properties) = &mut publish.properties {
        properties.topic_alias = None;
        properties.subscription_identifiers.clear();
    }
    if qos == QoS::AtLeastOnce {
        session.waiting.push_back(publish);
    } else if let Some(connection) = &session.connection {
        connection.outbox.push_if_room(Packet::Publish(publish));
    }
}

pub(super) fn disconnect(reason_code: DisconnectReasonCode) -> Packet {
    Packet::Disconnect(Disconnect { reason_code, properties: None })
}
