//! From dialling to CONNACK, with one set of certificates. A line that stands may
//! be dialled beside: the broker gives the session to whoever connects last, and
//! only once it has accepted the new certificate.

use super::BrokerSettings;
use super::fault::{Awaited, BrokerFault, Circumstances};
use super::wire::{CONNECT_WAIT, Event, Failure, Line, Packet, Sender, line};
use crate::shell::clock::unix_s;
use crate::shell::tls::ClientTls;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use tokio::time::{Instant, timeout_at};

/// What one wait for the library brought.
pub(super) type Polled = Result<Event, PollError>;

pub(super) enum PollError {
    Failed(Failure),
    TimedOut,
    Panicked,
}

/// A broker that has said CONNACK.
pub(super) struct Dialled {
    pub(super) sender: Sender,
    pub(super) line: Line,
    /// Unacknowledged publishes that it allows.
    pub(super) in_flight_max: u16,
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
    let (sender, mut line) = line(settings, &tls);
    let mqtt = settings.mqtt;
    Box::pin(async move {
        let fault = match guarded(&mut line, Instant::now() + CONNECT_WAIT).await {
            Ok(Event::Heard(Packet::ConnAck { in_flight_max })) => {
                return Ok(Dialled { sender, line, in_flight_max, tls });
            }
            Ok(_) => BrokerFault::no_connack(),
            Err(PollError::Failed(failure)) => {
                let own = tls.own;
                Circumstances { answered: false, mqtt, own, now_unix_s: unix_s() }.fault(failure)
            }
            Err(PollError::TimedOut) => BrokerFault::ProtocolTimeout(Awaited::Connection),
            Err(PollError::Panicked) => BrokerFault::gave_up(),
        };
        Err(Undialled { tls, fault })
    })
}

/// Polls the library until `limit`, and survives it.
pub(super) async fn guarded(line: &mut Line, limit: Instant) -> Polled {
    let mut polling = pin!(timeout_at(limit, line.poll()));
    poll_fn(|context| {
        let once = AssertUnwindSafe(|| polling.as_mut().poll(context));
        match catch_unwind(once) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(polled))) => Poll::Ready(polled.map_err(PollError::Failed)),
            Ok(Poll::Ready(Err(_))) => Poll::Ready(Err(PollError::TimedOut)),
            Err(_) => Poll::Ready(Err(PollError::Panicked)),
        }
    })
    .await
}
