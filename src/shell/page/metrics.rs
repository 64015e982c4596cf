//! Metrics in Prometheus' text format, version 0.0.4, out of the same answer that
//! `status` prints: what is not in that is not here. Labels are names of links and
//! brokers, and reasons of a closed list; never a pendant.

use serde_json::Value;
use std::fmt::Write as _;

/// <https://prometheus.io/docs/instrumenting/exposition_formats/>
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All of them.
pub(super) fn text(status: &Value) -> String {
    let mut page = Metrics::default();
    gateway(status, &mut page);
    links(status, &mut page);
    brokers(status, &mut page);
    counters(&status["counters"], &mut page);
    page.0
}

#[derive(Default)]
struct Metrics(String);

type Sample = (Vec<(&'static str, String)>, f64);

impl Metrics {
    /// One family; none of it if there is no sample.
    fn family(&mut self, name: &str, kind: &str, help: &str, samples: Vec<Sample>) {
        if samples.is_empty() {
            return;
        }
        let name = format!("pendant_gateway_{name}");
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let labels: Vec<String> = labels
                .iter()
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            let labels = match labels.is_empty() {
                true => String::new(),
                false => format!("{{{}}}", labels.join(",")),
            };
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: Option<f64>) {
        self.family(name, "gauge", help, value.map(|value| (vec![], value)).into_iter().collect());
    }

    fn counter(&mut self, name: &str, help: &str, value: Option<f64>) {
        let samples = value.map(|value| (vec![], value)).into_iter().collect();
        self.family(name, "counter", help, samples);
    }
}

/// As the format wants it in a label's value.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn figure(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_bool().map(|flag| f64::from(u8::from(flag))))
}

fn thousandth(value: &Value) -> Option<f64> {
    value.as_f64().map(|value| value / 1000.0)
}

/// A sample a member of a list, labelled with its name.
fn each(list: &Value, label: &'static str, value: impl Fn(&Value) -> Option<f64>) -> Vec<Sample> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let sample = |item: &Value| {
        let name = item["name"].as_str()?.to_owned();
        Some((vec![(label, name)], value(item)?))
    };
    items.iter().filter_map(sample).collect()
}

fn gateway(status: &Value, page: &mut Metrics) {
    let version =
        status["version"].as_str().map(|version| (vec![("version", version.into())], 1.0));
    page.family("info", "gauge", "The gateway's version.", version.into_iter().collect());
    for (name, help, value) in [
        ("uptime_seconds", "Time since the start.", figure(&status["uptime_s"])),
        ("clock_set", "Whether the clock was ever set.", figure(&status["clock"]["set"])),
        (
            "clock_uncertainty_seconds",
            "How far the clock may be off.",
            thousandth(&status["clock"]["uncertainty_ms"]),
        ),
        ("pendants", "Enrolled pendants.", figure(&status["pendants"])),
        (
            "waiting_events",
            "Events that the centre has not receipted yet.",
            figure(&status["backlog"]),
        ),
        ("store_works", "Whether the store can be written.", figure(&status["journal_works"])),
        ("centre_heard", "Whether the centre answers events.", figure(&status["centre_heard"])),
        (
            "centre_messages",
            "Whether the centre's regular message comes.",
            figure(&status["centre_messages"]),
        ),
        (
            "reception_suspect",
            "Whether many pendants fell silent together.",
            figure(&status["reception_suspect"]),
        ),
        (
            "jamming_suspected",
            "Whether jamming is suspected anywhere.",
            figure(&status["jamming_suspected"]),
        ),
        (
            "history_works",
            "Whether signal quality is kept.",
            status.get("history_trouble").map(|trouble| {
                f64::from(u8::from(trouble.is_null() || status["history_open"] == true))
            }),
        ),
        (
            "last_test_reached_centre",
            "Whether the last test alarm came back as a receipt.",
            figure(&status["last_test"]["reached_centre"]),
        ),
        (
            "last_test_timestamp_seconds",
            "When the last test alarm was asked for.",
            figure(&status["last_test"]["asked_unix_s"]),
        ),
        (
            "last_test_duration_seconds",
            "How long the last test alarm's receipt took.",
            thousandth(&status["last_test"]["after_ms"]),
        ),
    ] {
        page.gauge(name, help, value);
    }
}

fn links(status: &Value, page: &mut Metrics) {
    let links = &status["links"];
    for (name, help, samples) in [
        ("link_up", "Whether a receiver works.", each(links, "link", |l| figure(&l["up"]))),
        (
            "link_noise_dbm",
            "Noise that a radio measured last, dBm.",
            each(links, "link", |l| figure(&l["noise_dbm"])),
        ),
        (
            "link_jamming_suspected",
            "Whether a channel looks jammed.",
            each(links, "link", |l| figure(&l["jamming_suspected"])),
        ),
        (
            "link_deaf_ratio",
            "Part of the time in which a radio could not listen.",
            each(links, "link", |l| thousandth(&l["deaf_permille"])),
        ),
        (
            "link_airtime_spent_seconds",
            "Airtime of answers within the last hour.",
            each(links, "link", |l| thousandth(&l["airtime"]["spent_ms"])),
        ),
        (
            "link_airtime_allowed_seconds",
            "Airtime that the region allows in an hour.",
            each(links, "link", |l| thousandth(&l["airtime"]["allowed_ms_per_hour"])),
        ),
    ] {
        page.family(name, "gauge", help, samples);
    }
}

fn brokers(status: &Value, page: &mut Metrics) {
    let brokers = &status["brokers"];
    page.family(
        "broker_connected",
        "gauge",
        "Whether events can go out through a broker.",
        each(brokers, "broker", |b| figure(&b["connected"])),
    );
    page.family(
        "broker_faulty",
        "gauge",
        "Whether a broker has a fault that status names.",
        each(brokers, "broker", |b| b.get("fault").map(|f| f64::from(u8::from(!f.is_null())))),
    );
    page.family(
        "broker_connections_total",
        "counter",
        "Connections made to a broker since the start.",
        each(brokers, "broker", |b| figure(&b["connections"])),
    );
    page.family(
        "broker_certificate_end_timestamp_seconds",
        "gauge",
        "When the certificate for a broker ends.",
        each(brokers, "broker", |b| figure(&b["certificate_ends_unix_s"])),
    );
}

fn counters(counters: &Value, page: &mut Metrics) {
    for (name, help) in [
        ("frames_heard", "Authentic frames, repetitions not counted."),
        ("frames_heard_again", "Repetitions of frames."),
        ("frames_heard_beside", "Transmissions that another receiver had heard before."),
        ("acknowledgements_late", "Answers that came too late for both windows."),
        ("transmissions_failed", "Answers that a receiver could not send."),
        ("publishes_refused", "Offers that a broker refused."),
        ("receipts_unreadable", "Messages on the receipt topic that were none."),
        ("journal_failures", "Times that the store could not be written."),
        ("journal_overflows", "Events for which the store had no room."),
        ("journal_frames_damaged", "Stored frames that could not be read back."),
        ("events_shed", "Events given up for room."),
    ] {
        page.counter(&format!("{name}_total"), help, figure(&counters[name]));
    }
    for (member, name, help, label) in [
        ("frames_refused", "frames_refused_total", "Refused frames.", "reason"),
        ("link_drops", "link_drops_total", "What receivers dropped.", "reason"),
    ] {
        let members = counters[member].as_object().into_iter().flatten();
        let samples: Vec<Sample> = members
            .filter_map(|(reason, count)| Some((vec![(label, reason.clone())], figure(count)?)))
            .collect();
        page.family(name, "counter", help, samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn families_have_help_type_and_escaped_labels() {
        let text = text(&json!({
            "version": "1.2\"\\\n",
            "backlog": 7,
            "clock": { "set": false },
            "links": [{ "name": "roof", "up": true, "deaf_permille": 25 }, { "name": "hall" }],
            "counters": { "frames_heard": 9, "frames_refused": { "forged": 2 } },
        }));
        for line in [
            "pendant_gateway_info{version=\"1.2\\\"\\\\\\n\"} 1\n",
            "# TYPE pendant_gateway_waiting_events gauge\npendant_gateway_waiting_events 7\n",
            "pendant_gateway_clock_set 0\n",
            "pendant_gateway_link_up{link=\"roof\"} 1\n",
            "pendant_gateway_link_deaf_ratio{link=\"roof\"} 0.025\n",
            "# TYPE pendant_gateway_frames_heard_total counter\npendant_gateway_frames_heard_total 9\n",
            "pendant_gateway_frames_refused_total{reason=\"forged\"} 2\n",
        ] {
            assert!(text.contains(line), "{line}in\n{text}");
        }
        assert!(!text.contains("hall") && !text.contains("noise"), "what is unknown is not there");
    }
}
