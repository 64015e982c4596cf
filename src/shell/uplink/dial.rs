//! From dialling to CONNACK, with one set of certificates. A line that stands may
//! be dialled beside: the broker gives the session to whoever connects last, and
//! only once it has accepted the new certificate.

use super::BrokerSettings;
use super::fault::{Awaited, BrokerFault, Circumstances};
use super::wire::{CONNECT_WAIT, Event, Failure, Line, Packet, Sender, line};
use crate::shell::clock::unix_s;
use crate::shell::tls::ClientTls;
use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use tokio::net::lookup_host;
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

/// Dials. `turn` is 0 until an attempt meets no answer at all: the library tries the next
/// of a host's addresses only after an answer, so from then on every second attempt is at
/// another of them. An address is dialled as such, and no name is told in TLS (SNI); what
/// lets nobody in without one is reached by the attempts between, which go by name.
pub(super) fn dial(settings: &BrokerSettings, tls: Arc<ClientTls>, turn: usize) -> Dialling {
    let mut settings = settings.clone();
    Box::pin(async move {
        let limit = Instant::now() + CONNECT_WAIT;
        if turn > 0 {
            let found = timeout_at(limit, lookup_host((&*settings.host, settings.port))).await;
            let found = found.ok().and_then(Result::ok).into_iter().flatten();
            let addresses: Vec<IpAddr> = found.map(|found| found.ip()).collect();
            if let Some(address) = address_of_turn(&addresses, turn) {
                settings.host = address.to_string();
            }
        }
        let (sender, mut line) = line(&settings, &tls);
        let (mqtt, interface) = (settings.mqtt, settings.interface);
        let fault = match guarded(&mut line, limit).await {
            Ok(Event::Heard(Packet::ConnAck { in_flight_max })) => {
                return Ok(Dialled { sender, line, in_flight_max, tls });
            }
            Ok(_) => BrokerFault::no_connack(),
            Err(PollError::Failed(failure)) => {
                let own = tls.own;
                BrokerFault::of_interface(&failure, interface.as_deref()).unwrap_or_else(|| {
                    let now_unix_s = unix_s();
                    Circumstances { answered: false, mqtt, own, now_unix_s }.fault(failure)
                })
            }
            Err(PollError::TimedOut) => BrokerFault::ProtocolTimeout(Awaited::Connection),
            Err(PollError::Panicked) => BrokerFault::gave_up(),
        };
        Err(Undialled { tls, fault })
    })
}

/// The address to dial; `None`: by name, which is the first one's turn.
fn address_of_turn(addresses: &[IpAddr], turn: usize) -> Option<IpAddr> {
    let (_, others) = addresses.split_first()?;
    let is_odd = turn % 2 == 1;
    let place = (turn / 2).checked_rem(others.len()).filter(|_| is_odd)?;
    others.get(place).copied()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_turn_and_of_two_attempts_one_goes_by_name() {
        let addresses = [1, 2, 3].map(|n| IpAddr::from([192, 0, 2, n]));
        let turns =
            |addresses: &[IpAddr]| [0, 1, 2, 3, 4, 5].map(|n| address_of_turn(addresses, n));
        let [_, second, third] = addresses.map(Some);
        assert_eq!(turns(&addresses), [None, second, None, third, None, second]);
        assert_eq!(turns(&addresses[..2]), [None, second, None, second, None, second]);
        assert_eq!(turns(&addresses[..1]), [None; 6]);
        assert_eq!(turns(&[]), [None; 6], "it does not resolve");
    }
}
