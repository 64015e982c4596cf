//! The walk test: how each pendant is heard, readable at arm's length.

use super::{Parts, ago, fact, items, number, placed, rough_ago, text, volatile};
use crate::plot::{Line, Plot, TimeLabels, escaped, svg};
use crate::shell::page::live::Snapshot;
use pendant_protocol::PendantId;
use serde_json::Value;

/// Pendants in the list: those heard last. Others are found by their number.
const LISTED_MAX: usize = 40;
/// Above the limit of the demodulator: what bodies and walls may still take away.
const MARGIN_GOOD_DB: f64 = 10.0;
const MARGIN_THIN_DB: f64 = 3.0;

/// The list's only part.
pub(in crate::shell::page) fn list_parts(snapshot: &Snapshot) -> Parts {
    vec![("pendants".to_owned(), list(snapshot))]
}

pub(in crate::shell::page) fn list_main(snapshot: &Snapshot) -> String {
    format!(
        "<p>Choose the pendant that you carry.</p>\
         <form action=\"/walk\"><label for=\"pendant\">Number</label> \
         <input id=\"pendant\" name=\"pendant\" maxlength=\"6\" size=\"8\" autocapitalize=\"off\" \
         autocomplete=\"off\" spellcheck=\"false\"> <button>Show</button></form>{}",
        placed("pendants", &list(snapshot))
    )
}

/// Each pendant's row of the link that heard it last, the last heard first.
fn list(snapshot: &Snapshot) -> String {
    let mut rows: Vec<&Value> = items(&snapshot.survey, "rows").iter().collect();
    let strength = |row: &Value| row["rssi_dbm"].as_i64().unwrap_or(i64::MIN);
    let silence = |row: &Value| row["last_heard_s"].as_u64().unwrap_or(u64::MAX);
    rows.sort_by_key(|row| (row["pendant"].as_str(), silence(row), -strength(row).max(-1000)));
    rows.dedup_by_key(|row| row["pendant"].as_str());
    rows.sort_by_key(|row| silence(row));
    if rows.is_empty() {
        return "<p class=\"look\"><b>No pendant was heard</b> since the gateway was started. Press \
                a pendant's button.</p>"
            .to_owned();
    }
    let more = rows.len().saturating_sub(LISTED_MAX);
    let card = |row: &&Value| {
        let pendant = text(&row["pendant"]);
        format!(
            "<a class=\"card\" id=\"w-{pendant}\" href=\"/walk/{pendant}\"><h3>{pendant}</h3><dl>{}{}{}\
             </dl></a>",
            fact("Signal", &number(&row["rssi_dbm"], " dBm")),
            fact("Lost", &number(&row["lost_percent"], " %")),
            fact("Heard", &volatile(&rough_ago(row["last_heard_s"].as_u64().unwrap_or(0)))),
        )
    };
    let cards: String = rows.iter().take(LISTED_MAX).map(card).collect();
    let note = match more {
        0 => String::new(),
        more => format!("<p class=\"soft\">And {more} that were heard before these.</p>"),
    };
    format!("<div class=\"cards\">{cards}</div>{note}")
}

/// One pendant's parts.
pub(in crate::shell::page) fn one_parts(snapshot: &Snapshot, pendant: PendantId) -> Parts {
    let number = pendant.to_string();
    vec![
        ("heard".to_owned(), heard(snapshot, &number)),
        ("recent".to_owned(), recent(snapshot, &number)),
    ]
}

pub(in crate::shell::page) fn one_main(snapshot: &Snapshot, pendant: PendantId) -> String {
    let parts = one_parts(snapshot, pendant);
    let parts: String = parts.iter().map(|(id, content)| placed(id, content)).collect();
    format!("{parts}<p><a href=\"/walk\">Another pendant</a></p>")
}

fn heard(snapshot: &Snapshot, pendant: &str) -> String {
    let rows: Vec<&Value> =
        items(&snapshot.survey, "rows").iter().filter(|row| row["pendant"] == pendant).collect();
    if rows.is_empty() {
        return "<p class=\"look\"><b>Not heard</b> since the gateway was started. Press its \
                button.</p>"
            .to_owned();
    }
    let minutes = snapshot.survey["minutes"].as_u64().unwrap_or(0);
    let card = |row: &&Value| {
        let mut facts = String::new();
        // The first one is the biggest; a serial receiver may tell no signal.
        for (label, member, unit) in
            [("Signal", "rssi_dbm", " dBm"), ("Above noise", "snr_db", " dB")]
        {
            if row[member].is_number() {
                facts += &fact(label, &number(&row[member], unit));
            }
        }
        if row["margin_db"].is_number() {
            facts += &fact("Margin", &number(&row["margin_db"], " dB"));
        }
        facts += &fact("Lost", &number(&row["lost_percent"], " %"));
        facts += &fact(&format!("Frames in {minutes} min"), &number(&row["frames"], ""));
        facts += &fact("Heard", &volatile(&ago(row["last_heard_s"].as_u64())));
        let link = row["link"].as_str().map_or("a link that was removed".into(), escaped);
        format!(
            "<section class=\"card\"><h2>at {link}</h2>{}<dl class=\"big\">{facts}</dl></section>",
            verdict(row["margin_db"].as_f64())
        )
    };
    format!("<div class=\"cards\">{}</div>", rows.iter().map(card).collect::<String>())
}

fn verdict(margin_db: Option<f64>) -> &'static str {
    match margin_db {
        None => "",
        Some(margin) if margin >= MARGIN_GOOD_DB => "<p class=\"good\"><b>Good here</b></p>",
        Some(margin) if margin >= MARGIN_THIN_DB => {
            "<p class=\"look\"><b>Thin here:</b> a body or a door may be too much</p>"
        }
        Some(_) => "<p class=\"bad\"><b>At the limit:</b> frames will be lost here</p>",
    }
}

/// Its latest receptions, where the survey tells them one by one.
fn recent(snapshot: &Snapshot, pendant: &str) -> String {
    const SHOWN_S: f64 = 900.0;
    let mine = || {
        let all = items(&snapshot.survey, "recent").iter();
        all.filter(|reception| reception["pendant"] == pendant)
    };
    let mut links: Vec<&str> = mine().filter_map(|reception| reception["link"].as_str()).collect();
    links.sort_unstable();
    links.dedup();
    let point = |reception: &Value| {
        let age_s = reception["age_ms"].as_f64()? / 1000.0;
        Some((SHOWN_S - age_s, reception["rssi_dbm"].as_f64()?))
    };
    let lines: Vec<Line> = links
        .iter()
        .map(|link| Line {
            name: link,
            points: mine().filter(|r| r["link"] == **link).filter_map(point).collect(),
        })
        .filter(|line| !line.points.is_empty())
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    let plot = Plot {
        title: "Signal strength of each frame",
        unit: "dBm",
        width: 340,
        height: 140,
        from_s: 0.0,
        until_s: SHOWN_S,
        labels: TimeLabels::Ago,
        gap_s: 120.0,
        lines: &lines,
        shades: &[],
    };
    format!("<h2>The last 15 minutes</h2>{}", svg(&plot))
}
