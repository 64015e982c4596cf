//! The connection ends, or stops, at every byte of a whole exchange: TCP, TLS,
//! CONNECT, SUBSCRIBE, the state, an event, its PUBACK, a receipt and its PUBACK,
//! in both directions. The next connection is good, and the event gets through.

use crate::courier::{Answered, Outcome, Place, deliver};
use pendant_kit::broker::{After, Break, Broker, Manner, Verdict};
use pendant_kit::line::{Cut, From, Line};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinSet;

/// How many exchanges run side by side; each waits most of its time for its
/// second try.
const AT_ONCE: usize = 256;

/// PUBACK for the event (packet id 3) and a receipt: PUBLISH, QoS 1, packet id 1,
/// no properties.
const TAKEN_AND_RECEIPTED: &[u8] =
    b"\x40\x02\x00\x03\x32\x28\x00\x1elonework/v1/north/gw-1/receipt\x00\x01\x00{\"r\"}";

/// A good broker but for where its connection breaks.
async fn good(place: &Place) -> Broker {
    let broker = place.broker().await;
    broker.faults().judge(|offer| match offer.topic.ends_with("/urgent") {
        true => Verdict::TakeThenSay(TAKEN_AND_RECEIPTED),
        false => Verdict::TakeThenSay(b"\x40\x02\x00\x02"),
    });
    broker
}

/// The event is taken, and its receipt has come, or was lost with its connection
/// and the next one stands.
fn complete(outcome: &Outcome) -> bool {
    outcome.answered == Some(Answered::Taken) && (outcome.receipts > 0 || outcome.ups == 2)
}

/// What one position led to.
struct Tried {
    /// The connection did break there, and so there was a second one.
    broke: bool,
    outcome: Outcome,
    dials: u64,
}

impl Tried {
    fn judge(&self, what: &str) {
        assert!(self.outcome.offers >= 1 && self.outcome.offers <= 2, "{what}: {:?}", self.outcome);
        assert_eq!(self.dials, if self.broke { 2 } else { 1 }, "{what}: {:?}", self.outcome);
        // What breaks is told, unless all that was wanted had come before.
        if self.broke {
            assert!(!self.outcome.faults.is_empty(), "{what}: {:?}", self.outcome);
        }
    }
}

/// Tries positions from 0 on, every `step`th, until the exchange is over before
/// it breaks. Gives how many positions broke it.
async fn every_position<F>(what: &str, step: usize, attempt: impl Fn(usize) -> F) -> usize
where
    F: Future<Output = Tried> + Send + 'static,
{
    let mut broken = 0;
    let mut over = false;
    let mut running = JoinSet::new();
    let mut positions = (0..).step_by(step);
    loop {
        while !over && running.len() < AT_ONCE {
            let position = positions.next().expect("endless");
            assert!(position < 20_000, "{what}: the exchange has no end");
            let attempt = attempt(position);
            running.spawn(async move { (position, attempt.await) });
        }
        let Some(tried) = running.join_next().await else { return broken };
        let (position, tried) = tried.expect("no attempt panics");
        tried.judge(&format!("{what}, byte {position}"));
        broken += usize::from(tried.broke);
        over |= !tried.broke;
    }
}

async fn within_tls(manner: Manner, side: fn(usize) -> After, step: usize) -> usize {
    let place = Arc::new(Place::new());
    let attempt = |position| {
        let place = Arc::clone(&place);
        async move {
            let broker = good(&place).await;
            broker.faults().break_next(Break { after: side(position), manner });
            let outcome = deliver(place.settings(broker.port(), "gw-1"), complete).await;
            let dials = broker.look(|view| view.dials());
            Tried { broke: dials > 1, outcome, dials }
        }
    };
    every_position(&format!("{manner:?} {:?}", side(0)), step, attempt).await
}

async fn on_the_line(from: From, step: usize) -> usize {
    let place = Arc::new(Place::new());
    let attempt = |position: usize| {
        let place = Arc::clone(&place);
        async move {
            let broker = good(&place).await;
            let target = SocketAddr::from(([127, 0, 0, 1], broker.port()));
            let line = Line::start(target).expect("a line");
            line.cut_next(Cut { from, bytes: position as u64 });
            let outcome = deliver(place.settings(line.port(), "gw-1"), complete).await;
            Tried { broke: line.dials() > 1, outcome, dials: line.dials() }
        }
    };
    every_position(&format!("cut from {from:?}"), step, attempt).await
}

/// Every byte in the long mode; every `step`th in the ordinary one.
fn step(ordinary: usize) -> usize {
    if std::env::var_os("LONG").is_some() { 1 } else { ordinary }
}

#[tokio::test]
async fn the_broker_closes_at_every_byte_that_it_reads_or_writes() {
    let sent = within_tls(Manner::Close, After::Sent, 1).await;
    let received = within_tls(Manner::Close, After::Received, 1).await;
    println!("closed at {sent} bytes sent, {received} received");
    assert!(sent > 60 && received > 60, "{sent}, {received}");
}

#[tokio::test]
async fn the_broker_stops_in_the_middle_of_a_packet() {
    let sent = within_tls(Manner::Stall, After::Sent, step(4)).await;
    let received = within_tls(Manner::Stall, After::Received, step(13)).await;
    println!("stopped at {sent} bytes sent, {received} received");
    assert!(sent > 5 && received > 5, "{sent}, {received}");
}

#[tokio::test]
async fn the_line_breaks_at_every_byte() {
    let server = on_the_line(From::Server, step(5)).await;
    let client = on_the_line(From::Client, step(5)).await;
    println!("cut at {server} bytes from the broker, {client} from the gateway");
    assert!(server > 60 && client > 60, "{server}, {client}");
}
