//! `check`, the way to each broker: name, TCP, TLS with both certificates.

use super::broker_files::{SOON_DAYS, days_left};
use super::findings::Findings;
use crate::config::Broker;
use crate::shell::probe::{Answered, probe};
use crate::shell::uplink::BrokerFault;

/// Tries all at once, each for 5 s at most.
pub(super) fn examine(brokers: &[Broker], findings: &mut Findings) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return findings.wrong("brokers", format!("cannot be tried: {error}"), "try again");
        }
    };
    let tried = runtime.block_on(async {
        let mut tries = tokio::task::JoinSet::new();
        for (place, broker) in brokers.iter().cloned().enumerate() {
            tries.spawn(async move { (place, probe(&broker).await) });
        }
        let mut tried = tries.join_all().await;
        tried.sort_by_key(|(place, _)| *place);
        tried
    });
    // A resolver that does not answer is not waited for.
    runtime.shutdown_background();
    for (broker, (_, outcome)) in brokers.iter().zip(tried) {
        judge(broker, outcome, findings);
    }
}

fn judge(broker: &Broker, outcome: Result<Answered, BrokerFault>, findings: &mut Findings) {
    let about = format!("broker {}", broker.name);
    let way = format!("{}:{}", broker.host, broker.port);
    let Answered { took, broker: validity } = match outcome {
        Ok(answered) => answered,
        Err(fault) => {
            return findings.wrong(&about, format!("{way} cannot be used"), &fault.to_string());
        }
    };
    let days = validity.map(|validity| days_left(validity.not_after_unix_s));
    match days {
        Some(days) if days < SOON_DAYS => findings.advice(
            &about,
            format!("{way} answers, but its certificate ends in {days} days"),
            "tell the centre: without a new one no gateway can connect then",
        ),
        _ => findings.good(
            &about,
            format!(
                "{way} answers in TLS within {} ms, and does not refuse this gateway's certificate; its own \
                 is valid{}",
                took.as_millis().max(1),
                days.map(|days| format!(", {days} more days")).unwrap_or_default()
            ),
        ),
    }
}
