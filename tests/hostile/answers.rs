//! Answers that no good broker gives: each refusal of the standard, wrong and
//! double acknowledgements, packets that are none or too long, and hanging up.
//! Whatever comes, the event is answered at last, never twice, and what was wrong
//! is told.

use crate::courier::{Answered, Outcome, Place, TAKEN, deliver};
use crate::support::{ANSWER, Running, STATE};
use pendant_gateway::shell::uplink::BrokerFault;
use pendant_kit::broker::{ConnectReturnCode, Offer, PubAckReason, Verdict};
use std::sync::Arc;
use tokio::task::JoinSet;

/// A broker that meets the first event with `verdict` and the next ones well.
async fn first_met_with(place: Arc<Place>, verdict: Verdict) -> (Outcome, u64) {
    let broker = place.broker().await;
    let mut first = true;
    broker.faults().judge(move |offer: &Offer<'_>| {
        let event = offer.topic.ends_with("/urgent");
        match event {
            true if std::mem::take(&mut first) => verdict,
            true => Verdict::TakeThenSay(&TAKEN),
            false => Verdict::Take,
        }
    });
    let outcome =
        deliver(place.settings(broker.port(), "gw-1"), |outcome| outcome.answered.is_some()).await;
    (outcome, broker.look(|view| view.dials()))
}

/// Meets first events with all of these at the same time; results in their order.
async fn all_met_with(verdicts: &[Verdict]) -> Vec<(Outcome, u64)> {
    let place = Arc::new(Place::new());
    let mut running = JoinSet::new();
    for (index, &verdict) in verdicts.iter().enumerate() {
        let place = Arc::clone(&place);
        running.spawn(async move { (index, first_met_with(place, verdict).await) });
    }
    let mut results = running.join_all().await;
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[tokio::test]
async fn each_refusal_is_handed_on_with_its_reason_and_ends_nothing() {
    let reasons = [
        (PubAckReason::NoMatchingSubscribers, 0x10),
        (PubAckReason::UnspecifiedError, 0x80),
        (PubAckReason::ImplementationSpecificError, 0x83),
        (PubAckReason::NotAuthorized, 0x87),
        (PubAckReason::TopicNameInvalid, 0x90),
        (PubAckReason::PacketIdentifierInUse, 0x91),
        (PubAckReason::QuotaExceeded, 0x97),
        (PubAckReason::PayloadFormatInvalid, 0x99),
    ];
    let verdicts = reasons.map(|(reason, _)| Verdict::Refuse(reason));
    let closing = reasons.map(|(reason, _)| Verdict::RefuseThenClose(reason));
    let results = all_met_with(&[verdicts, closing].concat()).await;
    for (result, (_, code)) in results.iter().zip(reasons.iter().cycle()) {
        assert_eq!(result.0.answered, Some(Answered::Refused(*code)), "{result:?}");
        assert_eq!((result.0.offers, result.1), (1, 1), "{result:?}");
    }
}

#[tokio::test]
async fn each_refused_login_is_told_and_the_next_is_tried() {
    use ConnectReturnCode as C;
    let credentials =
        [C::ClientIdentifierNotValid, C::BadUserNamePassword, C::NotAuthorized, C::Banned];
    let others = [
        C::UnspecifiedError,
        C::MalformedPacket,
        C::ProtocolError,
        C::ImplementationSpecificError,
        C::UnsupportedProtocolVersion,
        C::ServerUnavailable,
        C::ServerBusy,
        C::BadAuthenticationMethod,
        C::TopicNameInvalid,
        C::PacketTooLarge,
        C::QuotaExceeded,
        C::PayloadFormatInvalid,
        C::RetainNotSupported,
        C::QoSNotSupported,
        C::UseAnotherServer,
        C::ServerMoved,
        C::ConnectionRateExceeded,
    ];
    let place = Arc::new(Place::new());
    let mut running = JoinSet::new();
    for code in credentials.into_iter().chain(others) {
        let place = Arc::clone(&place);
        running.spawn(async move {
            let broker = place.broker().await;
            broker.faults().refuse_login(Some(code));
            broker.faults().judge(|_| Verdict::TakeThenSay(&TAKEN));
            let settings = place.settings(broker.port(), "gw-1");
            let faults = broker.faults().clone();
            let outcome = deliver(settings, |outcome| {
                if !outcome.faults.is_empty() {
                    faults.refuse_login(None);
                }
                outcome.answered.is_some()
            });
            (code, outcome.await, broker.look(|view| view.dials()))
        });
    }
    while let Some(ended) = running.join_next().await {
        let (code, outcome, dials) = ended.expect("no case panics");
        let told = outcome.faults.first().expect("it was told");
        match told {
            BrokerFault::LoginRefused => {
                assert!(credentials.contains(&code) || code == C::BadAuthenticationMethod);
            }
            BrokerFault::Refused(why) => assert_eq!(*why, format!("{code:?}")),
            other => panic!("{code:?}: {other:?}"),
        }
        assert_eq!(dials, 2, "{code:?}");
    }
}

#[tokio::test]
async fn each_reason_to_hang_up_is_told_and_the_event_gets_through() {
    const REASONS: [u8; 30] = [
        0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94,
        0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2, 0x42,
    ];
    let said = REASONS.map(|reason| -> &'static [u8] { Vec::leak(vec![0xE0, 2, reason, 0]) });
    for (result, reason) in all_met_with(&said.map(Verdict::TakeThenSay)).await.iter().zip(REASONS)
    {
        let (outcome, dials) = result;
        assert_eq!(outcome.answered, Some(Answered::Taken), "0x{reason:02x}: {outcome:?}");
        assert_eq!((outcome.offers, *dials), (2, 2), "0x{reason:02x}: {outcome:?}");
        let told = outcome.faults.first().expect("it was told");
        match reason {
            0x8E => assert_eq!(*told, BrokerFault::TakenOver),
            // No reason of the standard.
            0x42 => assert!(matches!(told, BrokerFault::Protocol(_)), "{told:?}"),
            reason => assert_eq!(*told, BrokerFault::Closed(Some(reason))),
        }
    }
}

#[tokio::test]
async fn what_is_no_packet_or_too_long_ends_one_connection_and_nothing_else() {
    const MALFORMED: &[&[u8]] = &[
        // Reserved packet types, and those that only clients send.
        &[0x00, 0],
        &[0xF0, 0],
        &[0x10, 2, 0, 0],
        &[0x82, 3, 0, 1, 0],
        &[0xC0, 0],
        // A second CONNACK, an acknowledgement of nothing, of packet id 0.
        &[0x40, 2, 1, 44],
        &[0x40, 2, 0, 0],
        &[0x40, 1, 0],
        &[0x40, 3, 0, 3, 0x42],
        // QoS 3, a wildcard in a topic, a topic that is longer than its packet, no UTF-8.
        &[0x36, 7, 0, 1, b'a', 0, 1, 0, 0],
        &[0x32, 2, 0xFF, 0xFF],
        // A length that never ends, and one of 256 MiB.
        &[0x32, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0x32, 0xFF, 0xFF, 0xFF, 0x7F],
        // Properties that are none.
        &[0x32, 8, 0, 1, b'a', 0, 1, 2, 0xEE, 0xEE],
        &[0xFF; 4096],
    ];
    let mut said = MALFORMED.to_vec();
    if std::env::var_os("LONG").is_some() {
        // A length of properties that never ends: only the missing PUBACK tells, after 30 s.
        said.push(&[0x32, 8, 0, 1, b'a', 0, 1, 0x80, 0x80, 0x80]);
    }
    // A receipt of 300 KiB: more than the gateway said it takes.
    let mut oversize = vec![0x30, 0x80, 0x80, 0x13, 0, 30];
    oversize.extend(b"lonework/v1/north/gw-1/receipt");
    oversize.resize(5 + 0x13 * 0x4000, b'x');
    said.push(oversize.leak());
    let verdicts: Vec<Verdict> = said.iter().map(|bytes| Verdict::TakeThenSay(bytes)).collect();
    for ((outcome, dials), bytes) in all_met_with(&verdicts).await.iter().zip(&said) {
        let bytes = &bytes[..bytes.len().min(16)];
        assert_eq!(outcome.answered, Some(Answered::Taken), "{bytes:02x?}: {outcome:?}");
        assert_eq!((outcome.offers, *dials), (2, 2), "{bytes:02x?}: {outcome:?}");
        assert!(!outcome.faults.is_empty(), "{bytes:02x?}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_event_is_answered_once_however_the_broker_ends_it() {
    let verdicts = [
        (Verdict::TakeThenSay(&[0x40, 2, 0, 3, 0x40, 2, 0, 3]), 1),
        (Verdict::TakeThenClose, 2),
        (Verdict::Close, 2),
        // A negative acknowledgement after the positive one.
        (Verdict::TakeThenSay(&[0x40, 2, 0, 3, 0x40, 3, 0, 3, 0x87]), 1),
        // Acknowledgement, and DISCONNECT with it.
        (Verdict::TakeThenSay(&[0x40, 2, 0, 3, 0xE0, 2, 0x8B, 0]), 1),
    ];
    let results = all_met_with(&verdicts.map(|(verdict, _)| verdict)).await;
    for ((outcome, _), (verdict, offers)) in results.iter().zip(verdicts) {
        assert_eq!(outcome.answered, Some(Answered::Taken), "{verdict:?}: {outcome:?}");
        assert_eq!(outcome.offers, offers, "{verdict:?}: {outcome:?}");
    }
}

/// Unlike what is not allowed, a quota is over some time.
#[tokio::test]
async fn answers_to_the_centre_go_on_when_a_quota_is_over() {
    let place = Place::new();
    let broker = place.broker().await;
    let mut running = Running::start(place.settings(broker.port(), "gw-1"));
    running.up().await;
    broker.faults().refuse(PubAckReason::QuotaExceeded, |offer| offer.topic == ANSWER);
    assert!(running.answer("refused"));
    assert_eq!(running.fault().await, BrokerFault::AnswerRefused(0x97));
    broker.faults().clear();
    assert!(running.answer("taken"));
    running.status(|status| status.connected && status.fault.is_none()).await;
    running.handle.stop().await;
}

/// Else the centre would hold it for offline as long as the connection stands.
#[tokio::test]
async fn the_state_is_said_again_when_a_quota_is_over() {
    let place = Place::new();
    let broker = place.broker().await;
    broker.faults().refuse(PubAckReason::QuotaExceeded, |offer| offer.topic == STATE);
    let mut running = Running::start(place.settings(broker.port(), "gw-1"));
    running.up().await;
    assert_eq!(running.fault().await, BrokerFault::StateRefused(0x97));
    broker.faults().clear();
    // What shows that it is over.
    assert!(running.answer("taken"));
    running.status(|status| status.connected && status.fault.is_none()).await;
    running.handle.stop().await;
}
