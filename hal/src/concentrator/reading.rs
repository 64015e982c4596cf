//! What one datagram says, without a link: for whoever checks the reading of what
//! anybody may send to the port.

use super::datagram::{Body, Eui, FromForwarder};
use super::packet::{Heard, Verdict, read_push, read_tx_ack};
use crate::link::LinkCount;

/// A datagram of the right form.
#[derive(Clone, Debug, PartialEq)]
pub struct Datagram {
    /// The forwarder that it claims to come from.
    pub eui: Eui,
    /// What a link that listens to this forwarder answers at once.
    pub acknowledgement: Option<[u8; 4]>,
    /// What it says.
    pub says: Says,
}

/// What a forwarder says.
#[derive(Clone, Debug, PartialEq)]
pub enum Says {
    /// It heard these frames, the loudest first, and what is to be counted.
    Frames(Vec<Result<Heard, LinkCount>>),
    /// It can be reached.
    Here,
    /// What became of a downlink; `None` if that cannot be read.
    Sent(Option<Verdict>),
}

/// Reads a datagram, as a link does.
#[must_use]
pub fn read(datagram: &[u8]) -> Option<Datagram> {
    let from = FromForwarder::parse(datagram)?;
    let says = match from.body {
        Body::Push(json) => Says::Frames(read_push(json)),
        Body::Pull => Says::Here,
        Body::TxAck(json) => Says::Sent(read_tx_ack(json)),
    };
    Some(Datagram { eui: from.eui, acknowledgement: from.acknowledgement(), says })
}
