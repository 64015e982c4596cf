//! `check`, the way to each broker: name, TCP, TLS with both certificates.

use super::broker_files::{SOON_DAYS, days_left};
use super::findings::Findings;
use crate::config::{Broker, MqttVersion};
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
        judge_version(broker, findings);
        judge(broker, outcome, findings);
    }
}

fn judge_version(broker: &Broker, findings: &mut Findings) {
    if broker.mqtt == MqttVersion::V3_1_1 {
        findings.advice(
            &format!("broker {}", broker.name),
            "it is spoken to in MQTT 3.1.1, in which a broker cannot say that it refuses an event, \
             why it hangs up, how much it takes at a time, or that nobody listens: only the \
             centre's receipts tell"
                .to_owned(),
            "if this broker speaks MQTT 5 as well, remove `mqtt`; else watch that its access list \
             lets this gateway publish to all its topics",
        );
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::findings::one;
    use crate::engine::name::Name;

    fn broker(mqtt: MqttVersion) -> Broker {
        Broker {
            name: Name::new("north").expect("a name"),
            host: "broker".into(),
            port: 8883,
            mqtt,
            interface: None,
            client_id: "gw-1".into(),
            ca_file: "ca.pem".into(),
            certificate_file: "gw.pem".into(),
            key_file: "gw.key".into(),
            server_name: None,
            keep_alive_s: 30,
            session_expiry_s: 60,
            username: None,
            password_file: None,
        }
    }

    #[test]
    fn what_mqtt_3_1_1_lacks_is_told() {
        let mut findings = Findings::default();
        judge_version(&broker(MqttVersion::V5), &mut findings);
        judge_version(&broker(MqttVersion::V3_1_1), &mut findings);
        let (grade, text, _) = one(&findings);
        assert_eq!(grade, "advice");
        assert!(text.contains("only the centre's receipts tell"), "{text}");
    }
}
