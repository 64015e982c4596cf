//! What the bridge tells its operator, line by line.

use super::state::Key;
use serde::Serialize;
use std::fmt;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "news", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Told {
    /// Connected to the broker.
    BrokerUp,
    /// Not connected to the broker.
    BrokerDown {
        /// Why.
        why: String,
    },
    /// The receiver has an event.
    Acknowledged {
        /// The message's number.
        sequence: u16,
        /// The event's id.
        id: String,
        /// What happened.
        kind: String,
        /// Under which account.
        account: String,
    },
    /// The receiver does not understand an event. It is not sent again: somebody must
    /// look after it.
    Refused {
        /// The message's number.
        sequence: u16,
        /// The event's id.
        id: String,
        /// What happened.
        kind: String,
        /// Under which account.
        account: String,
    },
    /// The receiver answers, but not to this event; others pass it.
    SetApart {
        /// The event's id.
        id: String,
        /// What happened.
        kind: String,
        /// Why.
        why: String,
    },
    /// The receiver does not answer. Gateways keep their events.
    ReceiverDown {
        /// Why.
        why: String,
        /// Events that wait.
        waiting: usize,
    },
    /// The receiver answers.
    ReceiverUp,
    /// A message is no event of the contract; it is passed over.
    Malformed {
        /// Where it came.
        topic: String,
        /// Why.
        why: String,
    },
    /// Too many events of a gateway wait; it keeps this one, and offers it again.
    NoRoom {
        /// Site and gateway.
        gateway: String,
    },
    /// A gateway is online and does not answer the centre's messages.
    Deaf {
        /// Site and gateway.
        gateway: String,
    },
}

impl Told {
    pub(super) fn acknowledged(sequence: u16, key: &Key, account: &str) -> Self {
        let Key { id, kind } = key.clone();
        Self::Acknowledged { sequence, id, kind, account: account.to_owned() }
    }

    pub(super) fn refused(sequence: u16, key: &Key, account: &str) -> Self {
        let Key { id, kind } = key.clone();
        Self::Refused { sequence, id, kind, account: account.to_owned() }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BrokerUp => f.write_str("-- connected to the broker"),
            Self::BrokerDown { why } => write!(f, "-- NO BROKER: {why}"),
            Self::Acknowledged { sequence, id, kind, account } => {
                write!(f, "{sequence:04} {account} {kind} {id}")
            }
            Self::Refused { sequence, id, kind, account } => {
                write!(f, "-- REFUSED by the receiver: {sequence:04} {account} {kind} {id}")
            }
            Self::SetApart { id, kind, why } => {
                write!(f, "-- NOT TAKEN by the receiver: {kind} {id}: {why}")
            }
            Self::ReceiverDown { why, waiting } => {
                write!(f, "-- NO RECEIVER, {waiting} events wait: {why}")
            }
            Self::ReceiverUp => f.write_str("-- the receiver answers"),
            Self::Malformed { topic, why } => {
                write!(f, "-- WRONG: a message on {topic:?}: {why}")
            }
            Self::NoRoom { gateway } => write!(f, "-- FULL: {gateway} keeps its events"),
            Self::Deaf { gateway } => write!(f, "-- NO ANSWER from {gateway}"),
        }
    }
}
