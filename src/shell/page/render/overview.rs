//! The overview: health, links with their signal over time, brokers, what waits,
//! clock, last test.

use super::{Parts, ago, date, fact, health, items, number, placed, text, volatile};
use crate::plot::{Line, Plot, Shade, TimeLabels, svg};
use crate::shell::page::live::Snapshot;
use crate::shell::page::signals::{Heard, Period, Signals};
use serde_json::Value;
use std::collections::BTreeMap;

const DAY_S: i64 = 86_400;
/// Room for plots in one page, so that it stays small with many links.
const PLOTS_BYTES_MAX: usize = 36 * 1024;

/// The parts that the stream keeps fresh.
pub(in crate::shell::page) fn parts(snapshot: &Snapshot) -> Parts {
    let status = &snapshot.status;
    let mut parts = vec![("health".to_owned(), health::health(snapshot))];
    let links = items(status, "links").iter().enumerate();
    parts.extend(links.map(|(index, link)| (format!("link-{index}"), link_state(link))));
    parts.push(("brokers".to_owned(), brokers(snapshot)));
    parts.push(("rest".to_owned(), rest(snapshot)));
    parts
}

/// The view's HTML. `signals` is `None` while the history cannot be read.
pub(in crate::shell::page) fn main(
    snapshot: &Snapshot,
    period: Period,
    signals: Option<&Signals>,
) -> String {
    let parts: BTreeMap<String, String> = parts(snapshot).into_iter().collect();
    let part = |id: &str| placed(id, parts.get(id).map_or("", String::as_str));
    let mut html = format!("<section role=\"status\">{}</section>", part("health"));
    html += &format!("<section><h2>Receivers</h2>{}<div class=\"cards\">", periods(period));
    let mut room = PLOTS_BYTES_MAX;
    for (index, link) in items(&snapshot.status, "links").iter().enumerate() {
        let name = text(&link["name"]);
        let plot = match (signals, snapshot.unix_s) {
            (Some(signals), Some(now)) => link_plot(index, link, period, signals, now),
            _ => "<p class=\"soft\">There is no history of signals now.</p>".to_owned(),
        };
        let plot = if plot.len() <= room {
            room -= plot.len();
            plot
        } else {
            "<p class=\"soft\">Too many receivers for a plot of each.</p>".to_owned()
        };
        html += &format!(
            "<div class=\"card\"><h3>{name}</h3>{}{plot}</div>",
            part(&format!("link-{index}"))
        );
    }
    html + &format!(
        "</div></section><section><h2>Brokers</h2>{}</section>\
         <section><h2>Gateway</h2>{}</section>",
        part("brokers"),
        part("rest")
    )
}

fn periods(period: Period) -> String {
    let entry = |(of, path, name)| {
        let current = if of == period { " aria-current=\"true\"" } else { "" };
        format!("<a href=\"{path}\"{current}>{name}</a>")
    };
    let entries = [(Period::Day, "/", "24 hours"), (Period::Week, "/?days=7", "7 days")].map(entry);
    format!("<p class=\"periods\">Signal over time: {}</p>", entries.concat())
}

fn link_state(link: &Value) -> String {
    let mut html = match (link["up"].as_bool(), link["fault"].as_str()) {
        (Some(true), _) => "<p class=\"good\"><b>Works</b></p>".to_owned(),
        (_, Some(_)) => {
            format!("<p class=\"bad\"><b>Does not work:</b> {}</p>", text(&link["fault"]))
        }
        _ => "<p class=\"look\"><b>Does not work yet</b></p>".to_owned(),
    };
    let mut facts = String::new();
    if link["noise_dbm"].is_number() {
        facts += &fact("Noise", &volatile(&number(&link["noise_dbm"], " dBm")));
    }
    let airtime = &link["airtime"];
    let ms = |member: &str| airtime[member].as_u64();
    if let (Some(spent), Some(allowed)) = (ms("spent_ms"), ms("allowed_ms_per_hour")) {
        facts += &fact("Airtime spent", &format!("{} %", 100 * spent / allowed.max(1)));
    }
    if !facts.is_empty() {
        html += &format!("<dl>{facts}</dl>");
    }
    html
}

fn link_plot(index: usize, link: &Value, period: Period, signals: &Signals, now: u64) -> String {
    let tag = u8::try_from(index).unwrap_or(u8::MAX);
    let of_link: Vec<(u64, &Heard)> =
        signals.range((tag, 0)..=(tag, u64::MAX)).map(|((_, at), heard)| (*at, heard)).collect();
    // Seconds since 1970 are far from where a double begins to round.
    let middle = |at: u64| (at as f64 + period.step_s() as f64 / 2.0).min(now as f64);
    let mean = |heard: &Heard| heard.rssi_dbm.sum as f64 / f64::from(heard.rssi_dbm.count);
    let measured = || of_link.iter().filter(|(_, heard)| heard.rssi_dbm.count > 0);
    let name = link["name"].as_str().unwrap_or("?");
    let (title, unit, lines) = if measured().next().is_some() {
        let lines = vec![
            Line {
                name: "mean of all pendants",
                points: measured().map(|(at, heard)| (middle(*at), mean(heard))).collect(),
            },
            Line {
                name: "weakest frame",
                points: measured()
                    .map(|(at, heard)| (middle(*at), f64::from(heard.rssi_dbm.min)))
                    .collect(),
            },
        ];
        (format!("Signal strength at {name}"), "dBm", lines)
    } else {
        let frames = of_link.iter().filter(|(_, heard)| heard.frames > 0);
        let points = frames.map(|(at, heard)| (middle(*at), f64::from(heard.frames))).collect();
        (format!("Frames heard at {name}"), "frames", vec![Line { name: "frames", points }])
    };
    let lost = of_link.iter().filter(|(_, heard)| heard.losses > 0);
    let shades: Vec<Shade> = lost
        .map(|(at, _)| Shade {
            name: "receiver away",
            from_s: *at as f64,
            until_s: (*at + period.step_s()) as f64,
        })
        .collect();
    if lines.iter().all(|line| line.points.is_empty()) && shades.is_empty() {
        return "<p class=\"soft\">Nothing was heard in this time.</p>".to_owned();
    }
    svg(&Plot {
        title: &title,
        unit,
        width: 340,
        height: 130,
        from_s: now.saturating_sub(period.seconds()) as f64,
        until_s: now as f64,
        labels: TimeLabels::Ago,
        gap_s: 2.5 * period.step_s() as f64,
        lines: &lines,
        shades: &shades,
    })
}

fn brokers(snapshot: &Snapshot) -> String {
    let card = |broker: &Value| {
        let state = match (broker["connected"].as_bool(), broker["fault"].as_str()) {
            (Some(true), None) => "<p class=\"good\"><b>Connected</b></p>".to_owned(),
            (Some(true), Some(_)) => {
                format!("<p class=\"look\"><b>Connected, but:</b> {}</p>", text(&broker["fault"]))
            }
            (_, Some(_)) => {
                format!("<p class=\"bad\"><b>Not connected:</b> {}</p>", text(&broker["fault"]))
            }
            _ => "<p class=\"look\"><b>Not connected yet</b></p>".to_owned(),
        };
        format!(
            "<div class=\"card\"><h3>{}</h3>{state}<dl>{}</dl></div>",
            text(&broker["name"]),
            fact("Certificate", &certificate(broker, snapshot.unix_s))
        )
    };
    let cards: String = items(&snapshot.status, "brokers").iter().map(card).collect();
    format!("<div class=\"cards\">{cards}</div>")
}

fn certificate(broker: &Value, now: Option<u64>) -> String {
    let Some(end) = broker["certificate_ends_unix_s"].as_i64() else { return "unknown".into() };
    let date = volatile(&date(u64::try_from(end).unwrap_or(0)));
    match now.and_then(|now| i64::try_from(now).ok()).map(|now| end - now) {
        None => format!("until {date}"),
        Some(left) if left <= 0 => format!("<b class=\"bad\">ended</b> {date}"),
        Some(left) => {
            let days = left / DAY_S;
            let class = if days <= 30 { "look" } else { "good" };
            format!("<b class=\"{class}\">{days} days left</b>, until {date}")
        }
    }
}

fn rest(snapshot: &Snapshot) -> String {
    let status = &snapshot.status;
    let clock = &status["clock"];
    let clock = match clock["set"].as_bool() {
        Some(true) => {
            let within = match clock["uncertainty_ms"].as_u64() {
                Some(ms) if ms < 86_400_000 => volatile(&format!(", within {ms} ms")),
                _ => String::new(),
            };
            format!("{}{within}", text(&clock["source"]))
        }
        Some(false) => "<b class=\"look\">not set</b>".to_owned(),
        None => "unknown".to_owned(),
    };
    let waiting = match status["backlog"].as_u64() {
        Some(1) => "1 event".to_owned(),
        Some(count) => format!("{count} events"),
        None => "unknown".to_owned(),
    };
    let mut facts = fact("Waiting for the centre", &format!("<span class=\"v\">{waiting}</span>"));
    facts += &fact("Pendants", &number(&status["pendants"], " enrolled"));
    facts += &fact("Clock", &clock);
    if let Some(test) = status.get("last_test") {
        facts += &fact("Last test alarm", &last_test(test, snapshot.unix_s));
    }
    format!("<dl>{facts}</dl>")
}

fn last_test(test: &Value, now: Option<u64>) -> String {
    if test.is_null() {
        return "none yet: <code>sudo pendant-gateway test</code>".to_owned();
    }
    let asked = now.zip(test["asked_unix_s"].as_u64()).map(|(now, at)| now.saturating_sub(at));
    let when = asked.map_or(String::new(), |s| format!(", {}", volatile(&ago(Some(s)))));
    match (test["reached_centre"].as_bool(), test["on_its_way"].as_bool()) {
        (Some(true), _) => {
            let after = test["after_ms"].as_u64();
            let after =
                after.map_or(String::new(), |ms| format!(" after {} s", ms as f64 / 1000.0));
            format!("<b class=\"good\">reached the centre</b>{}{when}", volatile(&after))
        }
        (_, Some(true)) => format!("on its way{when}"),
        _ => format!("<b class=\"bad\">did not reach the centre</b>{when}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Frame, View, document};
    use super::*;
    use crate::shell::history::Spread;
    use serde_json::json;

    const NOW: u64 = 1_800_000_000;

    fn full(links: u8, fault: &str) -> (Snapshot, Signals) {
        let name = |number: u8| format!("{number:032}");
        let link = |number| {
            json!({ "name": name(number), "up": false, "fault": fault,
            "noise_dbm": -110, "airtime": { "spent_ms": 1, "allowed_ms_per_hour": 36_000 } })
        };
        let broker = |number| {
            json!({ "name": name(number), "connected": false, "fault": fault,
            "certificate_ends_unix_s": NOW + 86_400 })
        };
        let status = json!({
            "links": (0..links).map(link).collect::<Vec<_>>(),
            "brokers": (0..4).map(broker).collect::<Vec<_>>(),
            "backlog": 1_000_000, "pendants": 0, "journal_works": false,
            "clock": { "set": true, "source": "ntp", "uncertainty_ms": 3 },
            "last_test": { "asked_unix_s": NOW - 100, "reached_centre": true, "after_ms": 812 },
        });
        let heard = |at: u64| {
            let low = -120 + i16::try_from(at / 900 * 7919 % 60).expect("small");
            let rssi_dbm =
                Spread { count: 2, min: low, max: low + 20, sum: 2 * i64::from(low) + 20 };
            Heard { frames: 2, rssi_dbm, losses: 0 }
        };
        let steps = (0..96).map(|step| (NOW - step * 900) / 900 * 900);
        let signals = steps.flat_map(|at| (0..links).map(move |link| ((link, at), heard(at))));
        let snapshot = Snapshot { status, survey: json!({}), unix_s: Some(NOW) };
        (snapshot, signals.collect())
    }

    fn page(snapshot: &Snapshot, signals: &Signals) -> String {
        let names = || "n".repeat(32);
        let frame = Frame { site: names(), gateway: names(), has_session: true };
        let main = main(snapshot, Period::Day, Some(signals));
        let view = View { title: "Overview", live: Some("/live".into()), here: "/", main };
        document(&frame, &view, &"0".repeat(32))
    }

    #[test]
    fn the_fullest_page_stays_within_60_kib() {
        let (snapshot, signals) = full(16, &"x".repeat(120));
        let page = page(&snapshot, &signals);
        assert!(page.len() <= 60 * 1024, "{} bytes", page.len());
        assert!(page.matches("<svg").count() >= 8, "{} plots", page.matches("<svg").count());
    }

    #[test]
    fn what_a_fault_says_is_never_html() {
        let (snapshot, signals) = full(1, "<script>alert(1)</script>\"'");
        let page = page(&snapshot, &signals);
        let own = page.matches("<script").count();
        assert_eq!(own, 1, "only the page's own: {page}");
        assert!(page.contains("&lt;script&gt;"));
    }

    #[test]
    fn certificates_and_tests_are_told_in_words() {
        let (mut snapshot, _) = full(1, "gone");
        let broker = |end: u64| json!({ "certificate_ends_unix_s": end });
        assert!(certificate(&broker(NOW + 40 * 86_400), Some(NOW)).contains("40 days left"));
        assert!(certificate(&broker(NOW - 1), Some(NOW)).contains("ended"));
        assert_eq!(certificate(&json!({}), Some(NOW)), "unknown");
        assert!(rest(&snapshot).contains("reached the centre"));
        snapshot.status["last_test"] = Value::Null;
        assert!(rest(&snapshot).contains("none yet"));
        snapshot.status.as_object_mut().expect("an object").remove("last_test");
        assert!(!rest(&snapshot).contains("test alarm"), "an older gateway has none");
    }
}
